//! Values one after the other: one a line, over several lines, with commas between, in lists.
use std::ops::Range;

use super::document::JsonReader;
use super::scan::{End, end_of_value};
use crate::event::fields::{Fields, Refused};
use crate::limits::Limits;
use crate::logs::{Out, Piece, Read};

impl JsonReader {
    /// Reads the values of a piece. Commas between values mean nothing here: who cuts the pieces has seen to what encloses them.
    pub(in crate::logs) fn sequence(&mut self, piece: &Piece<'_>, fields: &mut Fields, limits: &Limits, out: Out<'_>) {
        let text = piece.body;
        let mut lines = LineCount { text, at: 0, line: piece.first_line };
        let mut at = 0;
        // Up to here the text is known not to be a value a line.
        let mut crowded = 0;
        while let Some(start) = next_value(text, at) {
            let line = lines.of(start);
            let rest_of_line = start..end_of_line(text, start);
            let mut hear =
                |range: &Range<usize>, fields: Result<&mut Fields, Refused>| out(Read { line, bytes: &text[range.clone()], fields });
            // Nearly always a value is a line: then the parser alone finds its end.
            if start >= crowded {
                crowded = rest_of_line.end;
                if let Some(length) = one_object(&text[rest_of_line.clone()]).filter(|length| *length <= limits.event_bytes) {
                    let range = start..start + length;
                    match self.value(&text[range.clone()], fields, &mut |read| hear(&range, read)) {
                        // Perhaps there are several on the line, or its last bracket is not the value's last.
                        Err(refused) if refused.reason == "invalid-json" => {}
                        read => {
                            if let Err(refused) = read {
                                hear(&range, Err(refused));
                            }
                            at = range.end;
                            continue;
                        }
                    }
                }
            }
            let (known, range) = value_or_line(text, start, rest_of_line);
            at = range.end;
            let read = match known {
                Some(refused) => Err(refused),
                None if range.len() > limits.event_bytes => Err(too_large(limits)),
                None => self.value(&text[range.clone()], fields, &mut |read| hear(&range, read)),
            };
            if let Err(refused) = read {
                hear(&range, Err(refused));
            }
        }
    }
}

fn too_large(limits: &Limits) -> Refused {
    Refused::new("event-too-large", format!("an event larger than limits.event_bytes ({})", limits.event_bytes))
}

/// The length of what may be one object and nothing else on a line.
fn one_object(line: &[u8]) -> Option<usize> {
    let value = line.trim_ascii_end();
    let value = value.strip_suffix(b",").unwrap_or(value).trim_ascii_end();
    (value.starts_with(b"{") && value.ends_with(b"}")).then_some(value.len())
}

/// The value at `start` by its brackets; its line where it has none, or where they do not match. With what is wrong, if that is known.
fn value_or_line(text: &[u8], start: usize, line: Range<usize>) -> (Option<Refused>, Range<usize>) {
    if !matches!(text[start], b'{' | b'[') {
        return (None, line);
    }
    match end_of_value(&text[start..]) {
        End::At(length) => (None, start..start + length),
        End::Open => (Some(Refused::new("truncated", "the input ends within a value")), start..text.len()),
        End::Broken(_) => (None, line),
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
