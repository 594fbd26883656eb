//! Logs: bytes of any format to events.
//!
//! | module | does |
//! | --- | --- |
//! | [`detect`] | names the format, by content |
//! | [`frame`] | what cuts a format says of a text |
//! | [`stream`] | cuts a stream into pieces of whole records, for a topic |
//! | [`record`] | a record of a topic: a piece, or anything |
//! | [`json`] | JSON: documents, sequences, lists, wrappers |
//! | the others | a format each: a piece to the fields of its records |
//!
//! A **piece** is what a record of `in.logs` holds: whole records of one format, and before them the lines that say how to read them (the header of a
//! CSV file). So each record of the topic can be read alone, by any worker, in any order.
mod auditd;
mod cef;
pub(crate) mod cutter;
mod delimited;
pub mod detect;
pub(crate) mod frame;
pub mod json;
mod key_value;
mod leef;
mod lines;
pub mod record;
pub mod stream;
mod syslog;
mod text;
mod w3c;
mod windows_xml;
mod zeek;

use crate::event::fields::{Fields, Refused};
use crate::limits::Limits;

/// A format of logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LogFormat {
    /// JSON in any arrangement: a document, one a line, one after the other, lists, wrapped lists.
    Json,
    /// Comma-, semicolon-, bar- or tab-separated values with a header.
    Csv,
    /// Zeek's own: tab-separated with `#fields`.
    Zeek,
    /// W3C extended, as IIS writes it: blank-separated with `#Fields:`.
    W3c,
    /// Syslog, RFC 3164 and 5424, a line or counted octets a message.
    Syslog,
    /// ArcSight's Common Event Format, alone or within syslog.
    Cef,
    /// QRadar's Log Event Extended Format, alone or within syslog.
    Leef,
    /// Windows events as XML.
    WindowsXml,
    /// Linux's audit daemon.
    Auditd,
    /// `key=value` pairs.
    KeyValue,
    /// Lines of which nothing is known.
    Text,
}

impl LogFormat {
    /// All, in the order in which they are tried.
    pub const ALL: [Self; 11] = [
        Self::Json,
        Self::WindowsXml,
        Self::Zeek,
        Self::W3c,
        Self::Cef,
        Self::Leef,
        Self::Auditd,
        Self::Syslog,
        Self::Csv,
        Self::KeyValue,
        Self::Text,
    ];

    /// Its name, in headers, options and summaries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Zeek => "zeek",
            Self::W3c => "w3c",
            Self::Syslog => "syslog",
            Self::Cef => "cef",
            Self::Leef => "leef",
            Self::WindowsXml => "windows-xml",
            Self::Auditd => "auditd",
            Self::KeyValue => "key-value",
            Self::Text => "text",
        }
    }

    /// The format of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }
}

/// Whole records of one format.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// How to read it.
    pub format: LogFormat,
    /// Lines that say how to read the records: a header. Empty for most formats.
    pub prelude: &'a [u8],
    /// The records, UTF-8.
    pub body: &'a [u8],
    /// The number of the body's first line in its file, from 1.
    pub first_line: u64,
}

/// A record of a piece, read or refused.
pub struct Read<'a> {
    /// The line that it begins on, or its number.
    pub line: u64,
    /// Its bytes, for a dead letter.
    pub bytes: &'a [u8],
    /// Its fields, settled.
    pub fields: Result<&'a mut Fields, Refused>,
}

/// Hears what a format reads, in order.
pub type Out<'o> = &'o mut dyn FnMut(Read<'_>);

/// Reads pieces, one after the other, into memory that it keeps.
pub struct PieceReader {
    limits: Limits,
    fields: Fields,
    json: json::JsonReader,
    windows: windows_xml::EventReader,
    scratch: String,
}

impl PieceReader {
    /// Within the bounds.
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            fields: Fields::new(limits),
            json: json::JsonReader::new(limits),
            windows: windows_xml::EventReader::default(),
            scratch: String::new(),
        }
    }

    /// Reads the records of a piece.
    pub fn read(&mut self, piece: &Piece<'_>, out: Out<'_>) {
        let Self { limits, fields, json, windows, scratch } = self;
        match piece.format {
            LogFormat::Json => json.sequence(piece, fields, limits, out),
            LogFormat::Csv => delimited::read(piece, fields, limits, out),
            LogFormat::Zeek => zeek::read(piece, fields, limits, out),
            LogFormat::W3c => w3c::read(piece, fields, limits, out),
            LogFormat::Syslog | LogFormat::Cef | LogFormat::Leef => syslog::read(piece, fields, limits, (json, scratch), out),
            LogFormat::WindowsXml => windows_xml::read(piece, windows, fields, limits, out),
            LogFormat::Auditd => auditd::read(piece, fields, limits, out),
            LogFormat::KeyValue => key_value::read(piece, fields, limits, scratch, out),
            LogFormat::Text => text::read(piece, fields, limits, out),
        }
    }
}

/// The lines of a piece that are not blank, with their numbers and without their ends.
///
/// A line over `limits.event_bytes` or one that is not UTF-8 is refused here, and the others go on.
pub(crate) fn lines<'a>(
    body: &'a [u8],
    first_line: u64,
    limits: &Limits,
) -> impl Iterator<Item = (u64, &'a [u8], Result<&'a str, Refused>)> {
    let most = limits.event_bytes;
    let mut rest = body;
    let mut number = first_line;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (line, after) = match memchr::memchr(b'\n', rest) {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, &rest[rest.len()..]),
            };
            (rest, number) = (after, number + 1);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            let text = if line.len() > most {
                Err(Refused::new("event-too-large", format!("an event larger than limits.event_bytes ({most})")))
            } else {
                std::str::from_utf8(line).map_err(|error| Refused::new("invalid-utf8", error.to_string()))
            };
            return Some((number - 1, line, text));
        }
        None
    })
}

#[cfg(test)]
mod tests;
