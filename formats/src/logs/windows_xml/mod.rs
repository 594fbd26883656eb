//! Windows events as XML: bare `<Event>`s or within `<Events>`, one or many a line.
//!
//! Elements and attributes become dotted names: `Event.System.EventID`, `Event.System.Provider.Name`. `<Data Name="x">` is `Event.EventData.x`; those without
//! a name are numbered, `Event.EventData.Data.0`. Of elements that come again under one parent the second is `Name_2`. Numbers of the `System` part are
//! numbers, all else is text.
mod event;
mod scan;

pub(crate) use event::EventReader;
pub(crate) use scan::EventCutter;

use self::scan::{Found, next};
use super::lines::{give, too_large};
use super::{Out, Piece};
use crate::event::fields::{Fields, Refused};
use crate::limits::Limits;

/// Whether an event, or what encloses events, is in sight.
pub(super) fn looks_like(head: &[u8]) -> bool {
    let head = head.trim_ascii_start();
    head.starts_with(b"<") && (scan::first_event(head).is_some() || memchr::memmem::find(head, b"<Events").is_some())
}

/// Reads each event of a piece.
pub(super) fn read(piece: &Piece<'_>, reader: &mut EventReader, fields: &mut Fields, limits: &Limits, out: Out<'_>) {
    let (mut rest, mut line) = (piece.body, piece.first_line);
    while !rest.is_empty() {
        let found = next(rest);
        let (start, used) = match found {
            Found::Nothing(used) => (used, used),
            Found::Event(start, end) | Found::Junk(start, end) => (start, end),
            Found::Open(start) => (start, rest.len()),
        };
        let bytes = &rest[start..used];
        line += newlines(&rest[..start]);
        fields.clear();
        let read = match found {
            Found::Nothing(_) => None,
            Found::Event(..) if bytes.len() > limits.event_bytes => Some(Err(too_large(limits.event_bytes))),
            Found::Event(..) => Some(reader.event(bytes, fields, limits)),
            Found::Junk(..) if scan::is_event(bytes) => Some(Err(Refused::new("truncated", "another <Event> begins before this one ends"))),
            Found::Junk(..) => Some(Err(Refused::new("not-an-event", "text that is no <Event>"))),
            Found::Open(_) => Some(Err(Refused::new("truncated", "the input ends within an <Event>"))),
        };
        if let Some(read) = read {
            give(line, bytes, read, fields, out);
        }
        line += newlines(bytes);
        rest = &rest[used..];
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests;
