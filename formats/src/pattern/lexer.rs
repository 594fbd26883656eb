//! Characters to tokens.
use super::PatternError;
use super::ast::Literal;

/// A token.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    /// An unquoted word: a keyword, an object type or a property. Types may hold hyphens.
    Word(String),
    /// A literal.
    Literal(Literal),
    /// Punctuation or an operator.
    Sign(&'static str),
}

/// A token and where it begins.
pub(super) type Spanned = (usize, Token);

const SIGNS: &[&str] = &["==", "!=", "<>", "<=", ">=", "=", "<", ">", "[", "]", "(", ")", ",", ":", ".", "*"];

/// Splits a pattern into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, PatternError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        if let Some(end) = comment(&text[at..]) {
            at += end;
            continue;
        }
        let (token, length) = token(&text[at..], at, tokens.last().map(|(_, token)| token))?;
        tokens.push((at, token));
        at += length;
    }
    Ok(tokens)
}

/// A dot and a digit behind a property go on with the path; behind anything else they are a number.
fn follows_a_property(before: Option<&Token>) -> bool {
    match before {
        Some(Token::Word(word)) => word != "WITHIN",
        Some(Token::Literal(_) | Token::Sign("]")) => true,
        _ => false,
    }
}

/// `// …` to the end of the line, `/* … */`.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        Some(text.find('\n').unwrap_or(text.len()))
    } else if text.starts_with("/*") {
        Some(text.find("*/").map_or(text.len(), |end| end + 2))
    } else {
        None
    }
}

fn token(text: &str, at: usize, before: Option<&Token>) -> Result<(Token, usize), PatternError> {
    let bytes = text.as_bytes();
    if bytes[0] == b'\'' {
        let (value, length) = quoted(text, at)?;
        return Ok((Token::Literal(Literal::Text(value)), length));
    }
    if bytes.get(1) == Some(&b'\'') && matches!(bytes[0], b't' | b'h' | b'b') {
        let (value, length) = quoted(&text[1..], at + 1)?;
        return Ok((Token::Literal(prefixed(bytes[0], value, at)?), length + 1));
    }
    // A sign belongs to a number only where no number could have come before.
    let signed = matches!(bytes[0], b'-' | b'+') && bytes.get(1).is_some_and(|next| next.is_ascii_digit() || *next == b'.');
    let fraction = bytes[0] == b'.' && bytes.get(1).is_some_and(u8::is_ascii_digit) && !follows_a_property(before);
    if bytes[0].is_ascii_digit() || signed || fraction {
        return number(text, at);
    }
    if bytes[0].is_ascii_alphabetic() || bytes[0] == b'_' {
        let length = bytes.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))).unwrap_or(bytes.len());
        return Ok((Token::Word(text[..length].to_owned()), length));
    }
    match SIGNS.iter().find(|sign| text.starts_with(**sign)) {
        Some(sign) => Ok((Token::Sign(sign), sign.len())),
        None => Err(PatternError::new(at, format!("unexpected {:?}", text.chars().next().unwrap_or(' ')))),
    }
}

/// Only `\\` and `\'` are escapes (STIX 2.1 §9.2); a backslash before anything else is an error of the grammar.
fn quoted(text: &str, at: usize) -> Result<(String, usize), PatternError> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((offset, c)) = chars.next() {
        match c {
            '\'' => return Ok((value, offset + 1)),
            '\\' => match chars.next() {
                Some((_, escaped @ ('\\' | '\''))) => value.push(escaped),
                Some((offset, other)) => {
                    return Err(PatternError::new(at + offset, format!("\\{other} is no escape; write \\\\ for a backslash")));
                }
                None => break,
            },
            other => value.push(other),
        }
    }
    Err(PatternError::new(at, "a text without its closing quote"))
}

fn prefixed(prefix: u8, value: String, at: usize) -> Result<Literal, PatternError> {
    match prefix {
        b't' if is_timestamp(&value) => Ok(Literal::Timestamp(value)),
        b't' => Err(PatternError::new(at, "not a timestamp: expected t'2006-01-02T15:04:05Z'")),
        b'h' if value.len().is_multiple_of(2) && value.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(Literal::Hexadecimal(value)),
        b'h' => Err(PatternError::new(at, "not hexadecimal: expected pairs of digits")),
        _ if is_base64(&value) => Ok(Literal::Binary(value)),
        _ => Err(PatternError::new(at, "not Base64")),
    }
}

/// The grammar's own form: four-digit year, two digits each, optional fraction, `Z`; a leap second is allowed.
fn is_timestamp(text: &str) -> bool {
    let Some(text) = text.strip_suffix('Z') else { return false };
    let Some((date, time)) = text.split_once('T') else { return false };
    let number = |text: &str, length: usize, from: u32, to: u32| {
        text.len() == length
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|number| (from..=to).contains(&number))
    };
    let date: Vec<_> = date.split('-').collect();
    let (time, fraction) = time.split_once('.').map_or((time, None), |(time, fraction)| (time, Some(fraction)));
    let time: Vec<_> = time.split(':').collect();
    matches!(date[..], [year, month, day] if number(year, 4, 0, 9999) && number(month, 2, 1, 12) && number(day, 2, 1, 31))
        && matches!(time[..], [hour, minute, second] if number(hour, 2, 0, 23) && number(minute, 2, 0, 59) && number(second, 2, 0, 60))
        && fraction.is_none_or(|fraction| !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit()))
}

/// Base64 as RFC 4648 §4 has it, padded.
pub(crate) fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

fn number(text: &str, at: usize) -> Result<(Token, usize), PatternError> {
    let bytes = text.as_bytes();
    let mut end = usize::from(matches!(bytes[0], b'-' | b'+'));
    while bytes.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    let is_float = bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
    if is_float {
        end += 1;
        while bytes.get(end).is_some_and(u8::is_ascii_digit) {
            end += 1;
        }
    }
    if bytes.get(end).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_')) {
        return Err(PatternError::new(at, "a number ends in letters; texts need quotes"));
    }
    let literal = if is_float { text[..end].parse().ok().map(Literal::Float) } else { text[..end].parse().ok().map(Literal::Integer) };
    match literal {
        Some(literal) => Ok((Token::Literal(literal), end)),
        None => Err(PatternError::new(at, "a number out of range")),
    }
}
