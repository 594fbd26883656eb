//! Where a JSON value ends, without reading what is in it.
//!
//! Brackets and quotes are counted; that the value is JSON is for the parser to say. But where the text cannot be JSON (a line ends within a string, an
//! object begins where none may) the scan ends, so that a value whose brackets stay open costs only its own lines.

/// What a scan found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// The value ends before this place.
    At(usize),
    /// All brackets that were opened may still close in what follows.
    Open,
    /// It cannot be JSON; what is wrong was seen at this place.
    Broken(usize),
}

/// Scans the object or list that `text` begins with.
pub(crate) fn end_of_value(text: &[u8]) -> End {
    end(text, 0, b',')
}

/// Scans what is left of an object after one of its values.
pub(crate) fn end_of_rest(text: &[u8]) -> End {
    end(text, 1, b']')
}

/// `depth` brackets are open, and `before` was the last byte that was neither blank nor within a string.
fn end(text: &[u8], mut depth: u64, mut before: u8) -> End {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => match end_of_string(text, at + 1) {
                Ok(end) => at = end,
                Err(end) => return end,
            },
            b'{' | b'[' => {
                if !matches!(before, b',' | b':' | b'[') {
                    return End::Broken(at);
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return End::At(at + 1);
                }
            }
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            _ => {}
        }
        before = byte;
        at += 1;
    }
    End::Open
}

/// The place of the quote that ends the string whose text begins at `start`.
pub(crate) fn end_of_string(text: &[u8], start: usize) -> Result<usize, End> {
    let mut at = start;
    loop {
        let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', text.get(at..).unwrap_or_default()) else { return Err(End::Open) };
        at += found;
        match text[at] {
            b'"' => return Ok(at),
            b'\\' => at += 2,
            _ => return Err(End::Broken(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_its_brackets_do() {
        for (text, end) in [
            (r#"{"a":[1,{"b":"]}\""}]} x"#, End::At(22)),
            ("[]", End::At(2)),
            ("{\"a\":\n {\"b\":1}\n}\n{", End::At(16)),
            (r#"{"a":"#, End::Open),
            (r#"{"a":"b"#, End::Open),
            (r#"{"a":"b\"#, End::Open),
            ("{\"a\":\"b\n", End::Broken(7)),
            ("{\"a\":{\n{\"b\":1}", End::Broken(7)),
            ("{\"a\":[\n{\"b\":1}\n{\"c\":1}", End::Broken(15)),
        ] {
            assert_eq!(end_of_value(text.as_bytes()), end, "{text}");
        }
    }
}
