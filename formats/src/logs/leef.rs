//! QRadar's Log Event Extended Format: `LEEF:1.0|vendor|product|version|id|key=value⇥key=value`, alone or within syslog.
//!
//! Version 2.0 may name what stands between the pairs in a sixth part of the header: a character, or its code as `x09` or `0x09`.
use super::cef;
use super::lines::most_lines;
use crate::event::fields::{Fields, Refused};

const HEADER: [&str; 5] = ["leef.version", "leef.vendor", "leef.product", "leef.product_version", "leef.event_id"];

/// Where the event begins in a line.
pub(super) fn start(line: &str) -> Option<usize> {
    let at = memchr::memmem::find(line.as_bytes(), b"LEEF:")?;
    let rest = &line[at + 5..];
    let alone = at == 0 || line[..at].ends_with([' ', '\t', ':', '"']);
    (alone && ["1.0|", "2.0|", "1|", "2|"].iter().any(|version| rest.starts_with(version))).then_some(at)
}

/// Whether most lines hold an event.
pub(super) fn looks_like(head: &[u8]) -> bool {
    most_lines(head, |line| start(line).is_some())
}

/// Reads an event that begins with `LEEF:`.
pub(super) fn event(text: &str, fields: &mut Fields, scratch: &mut String) -> Result<(), Refused> {
    let mut rest = text.strip_prefix("LEEF:").unwrap_or(text);
    let second = rest.starts_with('2');
    for (at, name) in HEADER.into_iter().enumerate() {
        let (value, after) = match rest.split_once('|') {
            Some(parts) => parts,
            // The last bar is left out where there are no pairs.
            None if at == HEADER.len() - 1 => (rest, ""),
            None => return Err(Refused::new("truncated-leef", format!("a LEEF header ends before {name}"))),
        };
        fields.text(name, value.trim())?;
        rest = after;
    }
    let mut between = '\t';
    if second
        && let Some((named, after)) = rest.split_once('|')
        && let Some(separator) = separator(named)
    {
        (between, rest) = (separator, after);
    }
    if between == '\t' && !rest.contains('\t') {
        // Somebody made blanks of the tabs.
        return cef::extension(rest, fields, scratch);
    }
    for pair in rest.split(between).filter(|pair| !pair.trim().is_empty()) {
        match pair.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => fields.text(key.trim(), value)?,
            _ => fields.text("message", pair.trim())?,
        }
    }
    Ok(())
}

/// What the sixth part of the header stands for; nothing if it is no such part.
fn separator(named: &str) -> Option<char> {
    let mut chars = named.chars();
    match (chars.next(), chars.next()) {
        (None, _) => Some('\t'),
        (Some(one), None) => Some(one),
        _ => {
            let code = named.strip_prefix("0x").or_else(|| named.strip_prefix('x'))?;
            u32::from_str_radix(code, 16).ok().and_then(char::from_u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LogFormat;
    use super::super::tests::read;

    #[test]
    fn pairs_are_parted_by_what_the_header_names() {
        let log = "LEEF:1.0|V|P|1|id|src=10.0.0.1\tmsg=a = b\tusrName=joe doe\nLEEF:2.0|V|P|1|id|^|src=10.0.0.1^msg=a\tb\nLEEF:2.0|V|P|1|id|x09|a=1\tb=2\n\
            LEEF:2.0|V|P|1|id|0x7C|a=1|b=2\nLEEF:2.0|V|P|1|id|a=1 b=x y\nLEEF:2.0|V|P|1|id\nLEEF:1.0|V";
        let head = r#""leef.event_id":"id","leef.product":"P","leef.product_version":"1","leef.vendor":"V","leef.version":"#;
        assert_eq!(
            read(LogFormat::Leef, log),
            [
                format!(r#"1 {{{head}"1.0","msg":"a = b","src":"10.0.0.1","usrName":"joe doe"}}"#),
                format!(r#"2 {{{head}"2.0","msg":"a\tb","src":"10.0.0.1"}}"#),
                format!(r#"3 {{"a":"1","b":"2",{head}"2.0"}}"#),
                format!(r#"4 {{"a":"1","b":"2",{head}"2.0"}}"#),
                format!(r#"5 {{"a":"1","b":"x y",{head}"2.0"}}"#),
                format!(r#"6 {{{head}"2.0"}}"#),
                "7 truncated-leef".to_owned(),
            ]
        );
    }
}
