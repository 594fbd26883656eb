//! Linux's audit daemon: `type=SYSCALL msg=audit(1604994496.155:92733): arch=… comm="arp" …`.
//!
//! Fields have the names of the audit log. `msg=audit(…)` becomes `timestamp` and `serial`; the pairs of a nested `msg='…'` stand beside the others. What the
//! kernel writes in hexadecimal digits, because it may hold anything, is decoded, and the digits are kept with `_hex` after the name.
use sightline_schemas::Micros;

use super::lines::{each_line, most_lines};
use super::{Out, Piece};
use crate::event::fields::{FieldScalar, Fields, Refused};
use crate::limits::Limits;

/// Values that the kernel encodes when they hold a blank, a quote or a control character.
const ENCODED: &[&str] =
    &["proctitle", "cmd", "cmdline", "comm", "exe", "name", "cwd", "path", "key", "acct", "data", "vm", "dir", "watch", "ocomm"];

/// Stands before the fields that auditd adds when it resolves names.
const ENRICHED: char = '\u{1d}';

/// The head of a line.
struct Stamp<'a> {
    node: Option<&'a str>,
    ty: Option<&'a str>,
    /// Seconds and milliseconds, as they are written.
    time: &'a str,
    serial: &'a str,
    rest: &'a str,
}

impl<'a> Stamp<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let line = line.strip_prefix("audit: ").unwrap_or(line);
        let (node, line) = word(line, "node=");
        let (ty, line) = word(line, "type=");
        let line = line.strip_prefix("msg=").unwrap_or(line).strip_prefix("audit(")?;
        let (stamp, rest) = line.split_once(')')?;
        let (time, serial) = stamp.split_once(':')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        (digits(time) && digits(serial)).then(|| Self { node, ty, time, serial, rest: rest.strip_prefix(':').unwrap_or(rest) })
    }

    fn micros(&self) -> Option<Micros> {
        let (seconds, fraction) = self.time.split_once('.').unwrap_or((self.time, "0"));
        let micros = format!("{fraction:0<6}");
        let micros = seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.get(..6)?.parse().ok()?)?;
        Some(Micros(micros))
    }
}

/// The word after a name, and what follows it.
fn word<'a>(line: &'a str, name: &str) -> (Option<&'a str>, &'a str) {
    match line.strip_prefix(name) {
        Some(after) => after.split_once(' ').map_or((Some(after), ""), |(word, rest)| (Some(word), rest)),
        None => (None, line),
    }
}

/// Whether a line is a record of the audit log.
pub(super) fn is_record(line: &str) -> bool {
    Stamp::of(line).is_some()
}

/// Whether most lines are.
pub(super) fn looks_like(head: &[u8]) -> bool {
    most_lines(head, is_record)
}

/// Reads a record.
pub(super) fn record(line: &str, fields: &mut Fields) -> Result<(), Refused> {
    let Some(stamp) = Stamp::of(line) else {
        return Err(Refused::new("not-auditd", "no audit(time:serial) at the start of the line"));
    };
    match stamp.micros() {
        Some(at) => fields.text("timestamp", &at.to_string())?,
        None => fields.text("timestamp", stamp.time)?,
    }
    match stamp.serial.parse() {
        Ok(serial) => fields.put("serial", FieldScalar::Uint(serial))?,
        Err(_) => fields.text("serial", stamp.serial)?,
    }
    if let Some(node) = stamp.node {
        fields.text("node", node)?;
    }
    if let Some(ty) = stamp.ty {
        fields.text("type", ty)?;
    }
    pairs(stamp.rest, stamp.ty == Some("EXECVE"), true, fields)
}

/// The pairs of a record; `outer` says that a `msg` holds others.
fn pairs(text: &str, execve: bool, outer: bool, fields: &mut Fields) -> Result<(), Refused> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ENRICHED, ',']);
        if rest.is_empty() {
            return Ok(());
        }
        let end = rest.find([' ', '=', ENRICHED]).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            // Words without a value say what happened: `avc:  denied  { read } for …`.
            let end = rest.find('=').map_or(rest.len(), |equals| rest[..equals].rfind(' ').unwrap_or(equals));
            fields.text("message", rest[..end].trim())?;
            rest = &rest[end..];
            continue;
        };
        let (value, quoted, next) = value(after);
        rest = next;
        if key.is_empty() {
            fields.text("message", value)?;
        } else if outer && key == "msg" && quoted {
            pairs(value, execve, false, fields)?;
        } else {
            let encoded = !quoted && (ENCODED.contains(&key) || execve && is_argument(key));
            match decoded(value).filter(|_| encoded) {
                Some(text) => {
                    fields.text(key, &text)?;
                    fields.text(&format!("{key}_hex"), value)?;
                }
                None => fields.text(key, value)?,
            }
        }
    }
}

/// `a0`, `a1`, and the parts of a long one, `a2[0]`.
fn is_argument(key: &str) -> bool {
    key.strip_prefix('a').and_then(|rest| rest.bytes().next()).is_some_and(|byte| byte.is_ascii_digit())
}

/// A value, whether it stood in quotes, and what follows.
fn value(text: &str) -> (&str, bool, &str) {
    for (open, close, quotes) in [('"', '"', true), ('\'', '\'', true), ('{', '}', false)] {
        if let Some(inner) = text.strip_prefix(open)
            && let Some(end) = inner.find(close)
        {
            return if quotes { (&inner[..end], true, &inner[end + 1..]) } else { (&text[..end + 2], false, &inner[end + 1..]) };
        }
    }
    let end = text.find([' ', ENRICHED]).unwrap_or(text.len());
    (&text[..end], false, &text[end..])
}

/// The text of hexadecimal digits; the zeros between the arguments of a command become blanks.
fn decoded(digits: &str) -> Option<String> {
    if digits.len() < 2 || !digits.len().is_multiple_of(2) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect();
    let text = String::from_utf8(bytes?).ok()?;
    Some(text.trim_end_matches('\0').replace('\0', " "))
}

/// Reads each line.
pub(super) fn read(piece: &Piece<'_>, fields: &mut Fields, limits: &Limits, out: Out<'_>) {
    each_line(piece, fields, limits, out, record);
}

#[cfg(test)]
mod tests {
    use super::super::LogFormat;
    use super::super::tests::read;

    #[test]
    fn pairs_are_fields_and_encoded_values_are_decoded() {
        let log = "type=SYSCALL msg=audit(1604994496.155:92733): syscall=59 a0=558e a1=61 comm=\"arp\" exe=2F746D702F6120 key=(null)\n\
            type=EXECVE msg=audit(1604994496.155:92733): argc=2 a0=\"arp\" a1=2D61\n\
            node=web1 type=PROCTITLE msg=audit(1604994496.155:92733): proctitle=617270002D61\n\
            type=USER_START msg=audit(1.5:7): pid=1 uid=0 msg='op=PAM:session_open acct=\"root\" hostname=? res=success'\u{1d}UID=\"root\"\n\
            type=AVC msg=audit(1.5:8): avc:  denied  { read } for  pid=9 name=\"x\"\n\
            type=CWD cwd=\"/\"\n";
        assert_eq!(
            read(LogFormat::Auditd, log),
            [
                r#"1 {"a0":"558e","a1":"61","comm":"arp","exe":"/tmp/a ","exe_hex":"2F746D702F6120","key":"(null)","serial":92733,"syscall":"59","timestamp":"2020-11-10T07:48:16.155Z","type":"SYSCALL"}"#,
                r#"2 {"a0":"arp","a1":"-a","a1_hex":"2D61","argc":"2","serial":92733,"timestamp":"2020-11-10T07:48:16.155Z","type":"EXECVE"}"#,
                r#"3 {"node":"web1","proctitle":"arp -a","proctitle_hex":"617270002D61","serial":92733,"timestamp":"2020-11-10T07:48:16.155Z","type":"PROCTITLE"}"#,
                r#"4 {"UID":"root","acct":"root","hostname":"?","op":"PAM:session_open","pid":"1","res":"success","serial":7,"timestamp":"1970-01-01T00:00:01.5Z","type":"USER_START","uid":"0"}"#,
                r#"5 {"message":"avc:  denied  { read } for","name":"x","pid":"9","serial":8,"timestamp":"1970-01-01T00:00:01.5Z","type":"AVC"}"#,
                "6 not-auditd",
            ]
        );
    }
}
