//! Syslog, RFC 3164 and 5424: a line a message, or with its length before it (RFC 6587).
//!
//! | field | holds |
//! | --- | --- |
//! | `log.syslog.priority`, `.facility.code`, `.facility.name`, `.severity.code`, `.severity.name` | what the number in angle brackets says |
//! | `log.syslog.version`, `.hostname`, `.appname`, `.procid`, `.msgid` | the header, by the names of Elastic's processor |
//! | `sd.<id>.<parameter>` | structured data |
//! | `timestamp` | as it is written: RFC 3164 has neither year nor zone |
//! | `message` | the text after the header |
//!
//! A text that is CEF, LEEF, JSON, a record of the audit log or `key=value` pairs is read further: its fields stand beside these, and its own time is
//! `timestamp`.
mod header;
mod messages;

pub(crate) use messages::MessageCutter;

use self::header::Header;
use super::json::JsonReader;
use super::lines::{give, most_lines};
use super::{Out, Piece, auditd, cef, key_value, leef};
use crate::event::fields::{Fields, Refused};
use crate::limits::Limits;

/// Whether most lines begin as messages do.
pub(super) fn looks_like(head: &[u8]) -> bool {
    messages::is_counted(head) || most_lines(head, header::begins)
}

/// Reads each message.
pub(super) fn read(piece: &Piece<'_>, fields: &mut Fields, limits: &Limits, reader: (&mut JsonReader, &mut String), out: Out<'_>) {
    let (json, scratch) = reader;
    messages::each(piece, limits, &mut |line, bytes, text| {
        fields.clear();
        let read = text.and_then(|text| message(text.trim(), fields, json, scratch));
        give(line, bytes, read, fields, out);
    });
}

/// Reads a message, and the payload in it.
pub(super) fn message(text: &str, fields: &mut Fields, json: &mut JsonReader, scratch: &mut String) -> Result<(), Refused> {
    // The start of these is known; a header's last word is not, where a name of theirs may follow it.
    if let Some(at) = cef::start(text) {
        let told = enclosing(text, at, fields)?;
        cef::event(&text[at..], fields, scratch)?;
        return told.map_or(Ok(()), |message| fields.text("message", message));
    }
    if let Some(at) = leef::start(text) {
        let told = enclosing(text, at, fields)?;
        leef::event(&text[at..], fields, scratch)?;
        return told.map_or(Ok(()), |message| fields.text("message", message));
    }
    if let Some(at) = json_start(text) {
        let told = enclosing(text, at, fields)?;
        match json.merge(&text[at..], fields) {
            Ok(()) => return told.map_or(Ok(()), |message| fields.text("message", message)),
            // A text with brackets in it.
            Err(refused) if refused.reason == "invalid-json" => fields.clear(),
            Err(refused) => return Err(refused),
        }
    }
    let header = Header::of(text)?;
    header.put(fields)?;
    if auditd::is_record(header.message) {
        auditd::record(header.message, fields)?;
    } else if key_value::is_pairs(header.message) {
        key_value::pairs(header.message, fields, scratch)?;
    }
    fields.text("message", header.message)
}

/// Where a document begins that the message ends with.
fn json_start(text: &str) -> Option<usize> {
    let at = text.find('{').filter(|_| text.ends_with('}'))?;
    (at > 0 && text[..at].ends_with([' ', ':'])).then_some(at)
}

/// Puts the header before a payload; returns the message, if there is a header.
fn enclosing<'a>(text: &'a str, payload: usize, fields: &mut Fields) -> Result<Option<&'a str>, Refused> {
    let before = text[..payload].trim_end();
    if before.is_empty() {
        return Ok(None);
    }
    let Ok(header) = Header::of(before) else { return Ok(Some(text)) };
    header.put(fields)?;
    let message = before.len() - header.message.len();
    Ok(Some(if header.message.is_empty() { &text[payload..] } else { &text[message..] }))
}

#[cfg(test)]
mod tests;
