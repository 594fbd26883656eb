//! What is found in a file, as it streams by.
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use sightline_formats::event::fields::Refused;
use sightline_formats::logs::PieceReader;
use sightline_formats::logs::stream::{Framed, LogStream, binary};
use sightline_formats::sources::Sources;
use sightline_formats::unpack::charset::Charset;
use sightline_formats::unpack::{Unpacked, fault};
use sightline_formats::{FlatEvent, IntelFormat, IntelItem, Limits, detect_intel, parse_intel};

use super::found::{Found, Member};

/// How many faults are kept for people, and for programs.
const FEW: usize = 20;
const MANY: usize = 100_000;
/// How much a part of a package is.
const PART: usize = 4 << 20;

/// Looks at members, one after the other.
pub struct Survey {
    limits: Limits,
    sources: Sources,
    shows_events: bool,
    /// How many faults are kept.
    most_faults: usize,
    reader: PieceReader,
    found: Found,
}

impl Survey {
    /// Prints events if asked to; keeps all faults, or the first.
    pub fn new(limits: &Limits, sources: Sources, shows_events: bool, keeps_all: bool) -> Self {
        Self {
            limits: limits.clone(),
            sources,
            shows_events,
            most_faults: if keeps_all { MANY } else { FEW },
            reader: PieceReader::new(limits),
            found: Found::default(),
        }
    }

    /// What was found.
    pub fn finish(self, file: &str, packed: u64, elapsed: Duration) -> Found {
        Found { file: file.to_owned(), packed, elapsed, ..self.found }
    }

    /// Looks at a member.
    pub fn member(&mut self, unpacked: Unpacked<'_>) -> Result<()> {
        match unpacked {
            Unpacked::Refused { path, refused } => {
                self.begin(path, Charset::Utf8);
                self.found.refuse(String::new(), refused, self.most_faults);
                Ok(())
            }
            Unpacked::Member { path, content } => {
                let stream = LogStream::open(content);
                self.begin(path, stream.charset());
                match detect_intel(stream.head()) {
                    Some(format) => self.intelligence(format, stream),
                    None => self.logs(stream),
                }
            }
        }
    }

    fn begin(&mut self, path: &str, charset: Charset) {
        let charset = match charset {
            Charset::Utf8 => "utf-8",
            Charset::Utf16Le | Charset::Utf16Be => "utf-16",
            Charset::Utf32Le | Charset::Utf32Be => "utf-32",
        };
        self.found.members.push(Member { path: path.to_owned(), format: None, charset, bytes: 0, records: 0, refused: 0 });
    }

    fn logs(&mut self, stream: LogStream<'_>) -> Result<()> {
        let Self { limits, sources, shows_events, most_faults, reader, found } = self;
        let Some(format) = stream.format() else {
            found.refuse("line 1".into(), binary(), *most_faults);
            return Ok(());
        };
        found.member(|member| member.format = Some(format.as_str()));
        let mut failure = None;
        let mut out = io::stdout().lock();
        stream.pieces(format, limits, &mut |framed| {
            match framed {
                Framed::Refused { line, bytes, refused } => {
                    found.member(|member| member.bytes += bytes.len() as u64);
                    found.refuse(format!("line {line}"), refused, *most_faults);
                }
                Framed::Piece(piece) => {
                    found.member(|member| member.bytes += (piece.prelude.len() + piece.body.len()) as u64);
                    reader.read(&piece, &mut |read| {
                        let event = read.fields.and_then(|fields| Ok((FlatEvent::of(fields, sources)?, fields)));
                        match event {
                            Err(refused) => found.refuse(format!("line {}", read.line), refused, *most_faults),
                            Ok((event, fields)) => {
                                found.event(&event, fields);
                                if *shows_events && failure.is_none() {
                                    failure = writeln!(out, "{}", event.fields).err();
                                }
                            }
                        }
                    });
                }
            }
            if failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// A package is one whole, and held as such.
    fn intelligence(&mut self, format: IntelFormat, stream: LogStream<'_>) -> Result<()> {
        let Self { limits, most_faults, found, .. } = self;
        found.member(|member| {
            member.format = Some(match format {
                IntelFormat::Stix => "stix",
                IntelFormat::Csv => "indicators (csv)",
                IntelFormat::Warninglist => "allow-list",
                IntelFormat::List | IntelFormat::Auto => "indicators (list)",
            });
        });
        let mut text = stream.into_text();
        let mut parts: Vec<Bytes> = Vec::new();
        loop {
            let mut part = Vec::new();
            let read = (&mut text).take(PART as u64).read_to_end(&mut part);
            found.member(|member| member.bytes += part.len() as u64);
            match read {
                Ok(0) => break,
                Ok(_) => parts.push(part.into()),
                Err(error) => match fault(&error) {
                    // As `process` has it: a part of a package is none.
                    Some(refused) => {
                        found.refuse(String::new(), refused.clone(), *most_faults);
                        return Ok(());
                    }
                    None => return Err(error.into()),
                },
            }
        }
        let whole = parse_intel(format, &parts, limits, &mut |item| match item {
            IntelItem::Object { object, .. } => {
                found.objects += 1;
                found.member(|member| member.records += 1);
                object.holds.iter().for_each(|held| found.observable(held.observable.kind(), held.observable.value()));
            }
            IntelItem::Poison(poison) => found.refuse(poison.position, Refused::new(poison.reason, poison.message), *most_faults),
        });
        if let Err(poison) = whole {
            found.refuse(poison.position, Refused::new(poison.reason, poison.message), *most_faults);
        }
        Ok(())
    }
}
