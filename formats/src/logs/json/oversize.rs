//! Passes over a value that is too large to be held.
use super::cut::is_between;

/// How far into the value it is.
#[derive(Default)]
pub(super) struct Oversize {
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    is_line_start: bool,
}

impl Oversize {
    /// Where the value ends in the text that comes next: at its last bracket, or where it is broken: at a line end within a string, or before an object
    /// that begins a line.
    pub(super) fn end(&mut self, text: &[u8]) -> Option<usize> {
        for (at, &byte) in text.iter().enumerate() {
            let is_line_start = std::mem::replace(&mut self.is_line_start, byte == b'\n');
            if std::mem::take(&mut self.is_escaped) {
                continue;
            }
            match byte {
                b'\n' if self.in_string => return Some(at + 1),
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => {
                    self.in_string = !self.in_string;
                    if !self.in_string && self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ if self.in_string => {}
                b'{' if is_line_start => return Some(at),
                b'{' | b'[' => self.depth += 1,
                // The bracket of what encloses it.
                b'}' | b']' if self.depth == 0 => return Some(at),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ if self.depth == 0 && is_between(byte) => return Some(at),
                _ => {}
            }
        }
        None
    }
}
