//! ArcSight's Common Event Format: `CEF:0|vendor|product|version|class|name|severity|key=value …`, alone or within syslog.
//!
//! The header has the names that Elastic's `decode_cef` gives it; the extension keeps its own (`src`, `cs1`, `cs1Label`).
use super::key_value::is_key;
use super::lines::most_lines;
use crate::event::fields::{Fields, Refused};

const HEADER: [&str; 7] = [
    "cef.version",
    "cef.device.vendor",
    "cef.device.product",
    "cef.device.version",
    "cef.device.event_class_id",
    "cef.name",
    "cef.severity",
];

/// Where the event begins in a line.
pub(super) fn start(line: &str) -> Option<usize> {
    let at = memchr::memmem::find(line.as_bytes(), b"CEF:")?;
    let version = line[at + 4..].bytes().take_while(u8::is_ascii_digit).count();
    let alone = at == 0 || line[..at].ends_with([' ', '\t', ':', '"']);
    (alone && version > 0 && line[at + 4 + version..].starts_with('|')).then_some(at)
}

/// Whether most lines hold an event.
pub(super) fn looks_like(head: &[u8]) -> bool {
    most_lines(head, |line| start(line).is_some())
}

/// Reads an event that begins with `CEF:`.
pub(super) fn event(text: &str, fields: &mut Fields, scratch: &mut String) -> Result<(), Refused> {
    let mut rest = text.strip_prefix("CEF:").unwrap_or(text);
    for (at, name) in HEADER.into_iter().enumerate() {
        let Some(end) = unescaped(rest, b'|') else {
            // The last bar is left out where there is no extension.
            if at == HEADER.len() - 1 {
                return put(name, rest.trim(), b"|\\", fields, scratch);
            }
            return Err(Refused::new("truncated-cef", format!("a CEF header ends before {name}")));
        };
        put(name, rest[..end].trim(), b"|\\", fields, scratch)?;
        rest = &rest[end + 1..];
    }
    extension(rest, fields, scratch)
}

/// `key=value key=value`: values hold blanks; an equals sign within one is escaped, or what stands before it is no key.
pub(super) fn extension(text: &str, fields: &mut Fields, scratch: &mut String) -> Result<(), Refused> {
    let mut key = None;
    // Where the value of the key begins, and where to look for the next equals sign.
    let (mut value, mut at) = (0, 0);
    while let Some(equals) = unescaped(&text[at..], b'=').map(|found| at + found) {
        let before = text[value..equals].rfind([' ', '\t']).map_or(value, |blank| value + blank + 1);
        let next = &text[before..equals];
        at = equals + 1;
        if !is_key(next) || before == value && key.is_some() {
            continue;
        }
        match key {
            Some(key) => put(key, text[value..before].trim(), b"=\\|", fields, scratch)?,
            None => stray(&text[..before], fields)?,
        }
        (key, value) = (Some(next), at);
    }
    match key {
        Some(key) => put(key, text[value..].trim(), b"=\\|", fields, scratch),
        None => stray(text, fields),
    }
}

/// Text before the first key: no extension has it, but it must not be lost.
fn stray(text: &str, fields: &mut Fields) -> Result<(), Refused> {
    let text = text.trim();
    if text.is_empty() { Ok(()) } else { fields.text("message", text) }
}

/// The place of a byte before which no backslash stands.
fn unescaped(text: &str, wanted: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(wanted, b'\\', &text.as_bytes()[at..])?;
        if text.as_bytes()[at] == wanted {
            return Some(at);
        }
        at += 1 + usize::from(at + 1 < text.len());
        // A character that is not ASCII was not meant to be escaped.
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
}

/// Puts a value without its escapes: `\n` and `\r` end lines, those of `escaped` stand for themselves, any other backslash is one.
fn put(name: &str, value: &str, escaped: &[u8], fields: &mut Fields, scratch: &mut String) -> Result<(), Refused> {
    if !value.contains('\\') {
        return fields.text(name, value);
    }
    scratch.clear();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('\\') {
        scratch.push_str(before);
        let next = after.bytes().next();
        match next {
            Some(b'n') => scratch.push('\n'),
            Some(b'r') => scratch.push('\r'),
            Some(byte) if escaped.contains(&byte) => scratch.push(char::from(byte)),
            _ => {
                scratch.push('\\');
                rest = after;
                continue;
            }
        }
        rest = &after[1..];
    }
    scratch.push_str(rest);
    fields.text(name, scratch)
}

#[cfg(test)]
mod tests {
    use super::super::LogFormat;
    use super::super::tests::read;

    #[test]
    fn escapes_of_header_and_extension_are_taken_off_and_values_hold_blanks() {
        let log = r#"CEF:0|Security|threat\|manager|1.0|100|detected a \\ in name|10|src=10.0.0.1 act=blocked a \\ msg=two\nlines and an \= sign request=http://a.example/?x=1&y=2 cs1Label=Rule Name cs1= dst=2.1.2.2
CEF:0|V|P|1|2|N|Low"#;
        assert_eq!(
            read(LogFormat::Cef, log),
            [
                r#"1 {"act":"blocked a \\","cef.device.event_class_id":"100","cef.device.product":"threat|manager","cef.device.vendor":"Security","cef.device.version":"1.0","cef.name":"detected a \\ in name","cef.severity":"10","cef.version":"0","cs1":"","cs1Label":"Rule Name","dst":"2.1.2.2","msg":"two\nlines and an = sign","request":"http://a.example/?x=1&y=2","src":"10.0.0.1"}"#,
                r#"2 {"cef.device.event_class_id":"2","cef.device.product":"P","cef.device.vendor":"V","cef.device.version":"1","cef.name":"N","cef.severity":"Low","cef.version":"0"}"#,
            ]
        );
    }

    #[test]
    fn an_event_within_syslog_keeps_both() {
        let log = "<134>Feb 14 19:04:54 host01 CEF:0|V|P|1|2|N|Low|src=10.0.0.1\nCEF:0|V|P\nneither";
        assert_eq!(
            read(LogFormat::Cef, log),
            [
                r#"1 {"cef.device.event_class_id":"2","cef.device.product":"P","cef.device.vendor":"V","cef.device.version":"1","cef.name":"N","cef.severity":"Low","cef.version":"0","log.syslog.facility.code":16,"log.syslog.facility.name":"local0","log.syslog.hostname":"host01","log.syslog.priority":134,"log.syslog.severity.code":6,"log.syslog.severity.name":"info","message":"CEF:0|V|P|1|2|N|Low|src=10.0.0.1","src":"10.0.0.1","timestamp":"Feb 14 19:04:54"}"#,
                "2 truncated-cef",
                "3 not-syslog",
            ]
        );
    }
}
