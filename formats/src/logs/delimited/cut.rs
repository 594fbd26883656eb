//! Cuts between records, and keeps the header as prelude.
use super::record::record_end;
use super::{delimiter_of, record_length};
use crate::limits::Limits;
use crate::logs::frame::{Cut, Step};
use crate::logs::lines::LineCutter;

/// Cuts delimited values.
pub(crate) struct RecordCutter {
    lines: LineCutter,
    most: usize,
    header: Vec<u8>,
    delimiter: u8,
}

impl RecordCutter {
    /// Records within the bounds.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { lines: LineCutter::new(limits), most: limits.event_bytes, header: Vec::new(), delimiter: b',' }
    }

    /// Whether the record that `text` begins with may go on in text to come.
    fn may_go_on(&self, text: &[u8], end: bool) -> bool {
        !end && text.len() <= self.most
            && record_end(text, self.delimiter).is_none_or(|length| length == text.len() && !text.ends_with(b"\n"))
    }
}

impl Cut for RecordCutter {
    fn cut(&mut self, text: &[u8], target: usize, end: bool) -> Step {
        if self.lines.is_within_refused() {
            return self.lines.cut(text, target, end);
        }
        if self.header.is_empty() {
            let blank = text.len() - text.trim_ascii_start().len();
            if blank > 0 {
                return Step::Skip(blank);
            }
            self.delimiter = delimiter_of(text);
            if self.may_go_on(text, end) {
                return Step::More;
            }
            let length = record_length(text, self.delimiter, self.most);
            return match length {
                Some(length) => {
                    self.header = text[..length].trim_ascii_end().to_vec();
                    Step::Skip(length)
                }
                None => self.lines.cut(text, target, end),
            };
        }
        if text.len() < target && !end {
            return Step::More;
        }
        // Whole records, up to the target.
        let mut used = 0;
        while used < text.len() && used < target {
            let rest = &text[used..];
            if self.may_go_on(rest, end) {
                break;
            }
            let Some(length) = record_length(rest, self.delimiter, self.most) else { break };
            if used > 0 && used + length > target {
                break;
            }
            used += length;
        }
        match used {
            0 if self.may_go_on(text, end) => Step::More,
            0 => self.lines.cut(text, 0, end),
            used => Step::Piece { body: 0..used, used },
        }
    }

    fn prelude(&self) -> &[u8] {
        &self.header
    }
}
