//! `key=value` pairs: logfmt, and what firewalls write.
//!
//! A value may stand in quotes, with backslashes before quotes in it. Where words stand between the pairs, the line is kept as `message` beside them.
use super::lines::{each_line, most_lines};
use super::{Out, Piece};
use crate::event::fields::{Fields, Refused};
use crate::limits::Limits;

/// Whether a word can be a key.
pub(super) fn is_key(word: &str) -> bool {
    let first = word.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@'));
    first && word.len() <= 128 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-@[]:()/$".contains(&byte))
}

/// A word of a line: a pair, or not.
enum Word<'a> {
    Pair(&'a str, Value<'a>),
    Bare,
}

enum Value<'a> {
    Plain(&'a str),
    /// Between quotes, escapes and all.
    Quoted(&'a str),
}

/// The words of a line.
fn words(line: &str) -> impl Iterator<Item = Word<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t']);
        if rest.is_empty() {
            return None;
        }
        let end = rest.find([' ', '\t', '=']).unwrap_or(rest.len());
        let key = &rest[..end];
        if !rest[end..].starts_with('=') || !is_key(key) {
            // An equals sign after what is no key belongs to the word.
            rest = &rest[rest.find([' ', '\t']).unwrap_or(rest.len())..];
            return Some(Word::Bare);
        }
        let after = &rest[end + 1..];
        if let Some(quoted) = after.strip_prefix('"')
            && let Some(close) = closing_quote(quoted)
        {
            rest = &quoted[close + 1..];
            return Some(Word::Pair(key, Value::Quoted(&quoted[..close])));
        }
        let end = after.find([' ', '\t']).unwrap_or(after.len());
        rest = &after[end..];
        Some(Word::Pair(key, Value::Plain(&after[..end])))
    })
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.as_bytes().get(at..)?)?;
        if text.as_bytes()[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// Whether a line is pairs for the most part, and begins with one.
pub(super) fn is_pairs(line: &str) -> bool {
    let (mut pairs, mut bare) = (0, 0);
    for word in words(line) {
        match word {
            Word::Pair(..) => pairs += 1,
            Word::Bare if pairs == 0 => return false,
            Word::Bare => bare += 1,
        }
    }
    pairs >= 2 && pairs >= bare
}

/// Whether most lines are pairs.
pub(super) fn looks_like(head: &[u8]) -> bool {
    most_lines(head, is_pairs)
}

/// Puts the pairs of a line; says whether it was all pairs.
pub(super) fn pairs(line: &str, fields: &mut Fields, scratch: &mut String) -> Result<bool, Refused> {
    let mut all = true;
    for word in words(line) {
        match word {
            Word::Pair(key, Value::Plain(value)) => fields.text(key, value)?,
            Word::Pair(key, Value::Quoted(value)) if !value.contains('\\') => fields.text(key, value)?,
            Word::Pair(key, Value::Quoted(value)) => {
                unescape(value, scratch);
                fields.text(key, scratch)?;
            }
            Word::Bare => all = false,
        }
    }
    Ok(all)
}

/// As JSON and Go have it; a backslash before anything else is one: `C:\Windows`.
fn unescape(value: &str, plain: &mut String) {
    plain.clear();
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = match (c, chars.peek()) {
            ('\\', Some('"')) => Some('"'),
            ('\\', Some('\\')) => Some('\\'),
            _ => None,
        };
        plain.push(escaped.unwrap_or(c));
        if escaped.is_some() {
            chars.next();
        }
    }
}

/// Reads each line.
pub(super) fn read(piece: &Piece<'_>, fields: &mut Fields, limits: &Limits, scratch: &mut String, out: Out<'_>) {
    each_line(piece, fields, limits, out, |line, fields| {
        let all = pairs(line, fields, scratch)?;
        if all { Ok(()) } else { fields.text("message", line) }
    });
}

#[cfg(test)]
mod tests {
    use super::super::LogFormat;
    use super::super::tests::read;

    #[test]
    fn pairs_are_fields_and_words_between_them_are_kept() {
        let log = "ts=2024-05-01T00:00:01Z level=info msg=\"a \\\"b\\\" C:\\\\x\" empty= quoted=\"\" path=C:\\x url=http://a.example/?b=c\n\
            2024-05-01 00:00:01 user=bob open=\"never closed\n";
        assert_eq!(
            read(LogFormat::KeyValue, log),
            [
                r#"1 {"empty":"","level":"info","msg":"a \"b\" C:\\x","path":"C:\\x","quoted":"","ts":"2024-05-01T00:00:01Z","url":"http://a.example/?b=c"}"#,
                r#"2 {"message":"2024-05-01 00:00:01 user=bob open=\"never closed","open":"\"never","user":"bob"}"#,
            ]
        );
    }
}
