//! Values one after the other: one a line, over several lines, with commas between, in lists.
use std::ops::Range;

use super::document::JsonReader;
use super::scan::{End, end_of_value};
use crate::event::fields::{Fields, Refused};
use crate::limits::Limits;
use crate::logs::{Out, Piece, Read};

impl JsonReader {
    /// Reads the values of a piece. Brackets and commas between values mean nothing here: who cuts the pieces has seen to what encloses them.
    pub(in crate::logs) fn sequence(&mut self, piece: &Piece<'_>, fields: &mut Fields, limits: &Limits, out: Out<'_>) {
        let text = piece.body;
        let mut lines = LineCount { text, at: 0, line: piece.first_line };
        let mut at = 0;
        while let Some(start) = next_value(text, at) {
            let line = lines.of(start);
            // Nearly always a value is a line: then the parser alone finds its end.
            let first_line = start..end_of_line(text, start);
            let (range, read) = match self.one_line(&text[first_line.clone()], fields, limits) {
                Some(Ok(length)) => (start..start + length, Ok(())),
                Some(Err(refused)) => (first_line, Err(refused)),
                None => self.scanned(text, start, fields, limits),
            };
            at = range.end;
            out(Read { line, bytes: &text[range], fields: read.map(|()| &mut *fields) });
        }
    }

    /// Reads a value that is a line by itself; nothing if it is not.
    fn one_line(&mut self, line: &[u8], fields: &mut Fields, limits: &Limits) -> Option<Result<usize, Refused>> {
        let value = line.trim_ascii_end();
        let value = value.strip_suffix(b",").unwrap_or(value).trim_ascii_end();
        if value.len() > limits.event_bytes || !value.starts_with(b"{") || !value.ends_with(b"}") {
            return None;
        }
        match self.object(value, fields) {
            Ok(()) => Some(Ok(value.len())),
            // Perhaps there are several on the line, or its last bracket is not the value's last.
            Err(refused) if refused.reason == "invalid-json" => None,
            Err(refused) => Some(Err(refused)),
        }
    }

    /// Reads a value whose end is where its brackets say.
    fn scanned(&mut self, text: &[u8], start: usize, fields: &mut Fields, limits: &Limits) -> (Range<usize>, Result<(), Refused>) {
        let line = start..end_of_line(text, start);
        if !matches!(text[start], b'{' | b'[') {
            // No object begins here: the line as a whole is none.
            return (line.clone(), self.object(&text[line], fields));
        }
        match end_of_value(&text[start..]) {
            End::At(length) if length > limits.event_bytes => {
                let message = format!("an event larger than limits.event_bytes ({})", limits.event_bytes);
                (start..start + length, Err(Refused::new("event-too-large", message)))
            }
            End::At(length) => (start..start + length, self.object(&text[start..start + length], fields)),
            End::Open => {
                let refused = Refused::new("truncated", "the input ends within a value");
                (start..text.len(), Err(refused))
            }
            End::Broken(_) => {
                let refused = self.object(&text[line.clone()], fields).err();
                (line, Err(refused.unwrap_or_else(|| Refused::new("invalid-json", "brackets that do not match"))))
            }
        }
    }
}

/// Where the next value begins, at or after `at`.
fn next_value(text: &[u8], at: usize) -> Option<usize> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',');
    text[at..].iter().position(|byte| !blank(byte)).map(|skipped| at + skipped)
}

fn end_of_line(text: &[u8], start: usize) -> usize {
    memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |end| start + end)
}

/// Counts lines up to places that only grow.
struct LineCount<'a> {
    text: &'a [u8],
    at: usize,
    line: u64,
}

impl LineCount<'_> {
    fn of(&mut self, place: usize) -> u64 {
        self.line += memchr::memchr_iter(b'\n', &self.text[self.at..place]).count() as u64;
        self.at = place;
        self.line
    }
}
