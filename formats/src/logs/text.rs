//! Lines of which nothing is known: each is a `message`.
use super::lines::each_line;
use super::{Out, Piece};
use crate::event::fields::Fields;
use crate::limits::Limits;

/// Anything is text.
pub(super) fn looks_like(_head: &[u8]) -> bool {
    true
}

/// Reads each line.
pub(super) fn read(piece: &Piece<'_>, fields: &mut Fields, limits: &Limits, out: Out<'_>) {
    each_line(piece, fields, limits, out, |line, fields| fields.text("message", line));
}
