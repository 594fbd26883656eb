//! Where a record ends: at a line end that no quotes enclose.

/// The length of the record that `text` begins with, its line end included; nothing if a quote stays open.
///
/// A quote opens a cell only at its beginning, as the reader of records has it.
pub(super) fn record_end(text: &[u8], delimiter: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        if text.get(at) == Some(&b'"') {
            let close = closing(text, at + 1)?;
            let closed = text.get(close).is_none_or(|byte| *byte == delimiter || matches!(byte, b'\r' | b'\n'));
            // A cell of several lines whose quote closes within a word is two cells that only have a quote.
            if !closed && memchr::memchr(b'\n', &text[at..close]).is_some() {
                return None;
            }
            at = close;
        }
        match memchr::memchr2(delimiter, b'\n', &text[at..]) {
            None => return Some(text.len()),
            Some(found) => at += found + 1,
        }
        if text[at - 1] == b'\n' {
            return Some(at);
        }
    }
}

/// The place after the quote that closes a cell; of two together neither does.
fn closing(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at += memchr::memchr(b'"', text.get(at..)?)? + 1;
        if text.get(at) != Some(&b'"') {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_ends_at_a_line_end_outside_of_quotes() {
        for (text, end) in [
            ("a,b\nc", Some(4)),
            ("a,\"b\n\"\"\",c\r\nd", Some(12)),
            ("a,b", Some(3)),
            ("a,\"b\nc", None),
            ("a,\"b\nc,\"d\"\n", None),
            ("a\"b\nc", Some(4)),
            ("\"a\"b\",\nc", Some(7)),
            ("", Some(0)),
        ] {
            assert_eq!(record_end(text.as_bytes(), b','), end, "{text:?}");
        }
    }
}
