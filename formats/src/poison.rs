//! What could not be read.
use bytes::Bytes;
use sightline_schemas::record::Stage;

use crate::limits::Limits;

/// A part of an input that was refused; the rest goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poison {
    /// Where: a JSON path (`$.objects[3].pattern`) or `line 7`.
    pub position: String,
    /// Which step refused it.
    pub stage: Stage,
    /// A stable code in kebab case.
    pub reason: &'static str,
    /// For people: what is wrong.
    pub message: String,
    /// The original bytes, cut at [`Limits::dead_letter_bytes`].
    pub bytes: Bytes,
}

impl Poison {
    /// Bytes that are not what their format says.
    pub(crate) fn parse(position: String, reason: &'static str, message: impl Into<String>, bytes: &[u8], limits: &Limits) -> Self {
        Self { position, stage: Stage::Parse, reason, message: message.into(), bytes: cut(bytes, limits) }
    }

    /// A value that breaks a rule of its format.
    pub(crate) fn validate(position: String, reason: &'static str, message: impl Into<String>, bytes: &[u8], limits: &Limits) -> Self {
        Self { position, stage: Stage::Validate, reason, message: message.into(), bytes: cut(bytes, limits) }
    }
}

fn cut(bytes: &[u8], limits: &Limits) -> Bytes {
    Bytes::copy_from_slice(&bytes[..bytes.len().min(limits.dead_letter_bytes)])
}
