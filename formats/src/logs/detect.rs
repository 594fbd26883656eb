//! Names the format of a stream by its beginning.
use super::{LogFormat, auditd, cef, delimited, key_value, leef, lines, syslog, text, w3c, windows_xml, zeek};

/// How much of a stream is looked at.
pub const HEAD: usize = 64 << 10;

/// The format of a stream that begins with `head`, whole lines where it is longer.
pub fn detect(head: &[u8]) -> LogFormat {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    LogFormat::ALL.into_iter().find(|format| looks_like(*format, head)).unwrap_or(LogFormat::Text)
}

fn looks_like(format: LogFormat, head: &[u8]) -> bool {
    match format {
        LogFormat::Json => is_json(head),
        LogFormat::WindowsXml => windows_xml::looks_like(head),
        LogFormat::Zeek => zeek::looks_like(head),
        LogFormat::W3c => w3c::looks_like(head),
        LogFormat::Cef => cef::looks_like(head),
        LogFormat::Leef => leef::looks_like(head),
        LogFormat::Auditd => auditd::looks_like(head),
        LogFormat::Syslog => syslog::looks_like(head),
        LogFormat::Csv => delimited::looks_like(head),
        LogFormat::KeyValue => key_value::looks_like(head),
        LogFormat::Text => text::looks_like(head),
    }
}

/// An object or a list at the beginning, or at the beginning of most lines.
fn is_json(head: &[u8]) -> bool {
    match head.trim_ascii_start().first() {
        Some(b'{') => true,
        Some(b'[') => !is_bracketed(lines::sample(head).next().unwrap_or_default()),
        _ => lines::most_lines(head, |line| line.starts_with('{')),
    }
}

/// `[Wed Oct 11 14:32:52 2000] [error] …`, `[   12.345] usb …`: a time or a level in brackets, and a text after them.
fn is_bracketed(line: &str) -> bool {
    let Some((inside, after)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) else { return false };
    let text = after.trim_start();
    if text.is_empty() || text.len() == after.len() || text.starts_with([',', ']', '}']) || inside.contains(['{', '"']) {
        return false;
    }
    // `[1] [2]` may be JSON, one after the other.
    !text.starts_with(['[', '{']) || serde_json::from_str::<serde::de::IgnoredAny>(&format!("[{inside}]")).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_content() {
        let zeek = "#separator \\x09\n#fields\tts\n#types\ttime\n1.0\n";
        for (text, format) in [
            ("  \n{\"a\":1}", LogFormat::Json),
            ("\u{feff}[{\"a\":1}]", LogFormat::Json),
            ("[1,2] [3]", LogFormat::Json),
            ("[\n  {", LogFormat::Json),
            ("garbage\n{\"a\":1}\n{\"b\":1}", LogFormat::Json),
            ("[Wed Oct 11 14:32:52 2000] [error] client denied", LogFormat::Text),
            ("[   12.345] usb 1-1: new device\n[   12.5] x", LogFormat::Text),
            ("<?xml version='1.0'?>\n<Events><Event xmlns='x'>", LogFormat::WindowsXml),
            ("<Event>", LogFormat::WindowsXml),
            (zeek, LogFormat::Zeek),
            ("#Software: x\r\n#Fields: date time\r\n2024-05-01 00:00:01", LogFormat::W3c),
            ("# exported\nCEF:0|V|P|1|2|N|3|src=1.1.1.1\n", LogFormat::Cef),
            ("<13>Oct 11 22:14:15 host CEF:0|V|P|1|2|N|3|a=b", LogFormat::Cef),
            ("LEEF:2.0|V|P|1|id|^|a=b", LogFormat::Leef),
            ("node=a type=CWD msg=audit(1.5:8): cwd=\"/\"\n", LogFormat::Auditd),
            ("<34>1 - - - - - -", LogFormat::Syslog),
            ("Oct 11 22:14:15 host su: x\n  continued\nOct 11 22:14:15 host su: x", LogFormat::Syslog),
            ("17 <13>some message\n\n", LogFormat::Syslog),
            ("id,name\n1,x\n2,\"y\nz\"\nbroken\n3,x\n4,x\n5,x", LogFormat::Csv),
            ("a\tb\tc\n1\t2\t3", LogFormat::Csv),
            ("Hello, world\nthis is a text, of some lines, with commas\n", LogFormat::Text),
            ("ts=1 level=info msg=\"x y\"\n\nnot so\nts=2 level=warn", LogFormat::KeyValue),
            ("", LogFormat::Text),
        ] {
            assert_eq!(detect(text.as_bytes()), format, "{text}");
        }
    }
}
