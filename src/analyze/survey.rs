//! What is found in a file, as it streams by.
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use sightline_formats::event::fields::{FieldScalar, FieldValue, Fields, Refused};
use sightline_formats::logs::PieceReader;
use sightline_formats::logs::stream::{Framed, LogStream, binary};
use sightline_formats::unpack::charset::Charset;
use sightline_formats::unpack::{Unpacked, fault};
use sightline_formats::{FlatEvent, IntelFormat, IntelItem, Limits, detect_intel, parse_intel};
use sightline_schemas::{Micros, ObservableKind};

use super::counts::Counts;

/// How many names of fields, and how many values of a kind, are counted one by one.
const FIELDS: usize = 5_000;
const VALUES: usize = 20_000;
/// How long an example may be, in characters.
const EXAMPLE: usize = 60;
/// How much a part of a package is.
const PART: usize = 4 << 20;

/// A member of the file.
pub struct Member {
    /// `logs.zip!day1/a.json`.
    pub path: String,
    /// Its format; none when it could not be told.
    pub format: Option<&'static str>,
    /// How its text is written.
    pub charset: &'static str,
    /// As UTF-8.
    pub bytes: u64,
    /// Events, or objects of intelligence.
    pub records: u64,
    /// Parts refused.
    pub refused: u64,
}

/// Something refused.
pub struct Fault {
    /// The member.
    pub path: String,
    /// Where in it: `line 7`.
    pub position: String,
    /// A stable code.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A field.
pub struct Field {
    /// How many events have it.
    pub events: u64,
    /// The first value.
    pub example: String,
}

/// All that was found.
pub struct Found {
    /// The file.
    pub file: String,
    /// As it lies on the disk.
    pub packed: u64,
    /// Its members, in order.
    pub members: Vec<Member>,
    /// Events.
    pub events: u64,
    /// Objects of intelligence.
    pub objects: u64,
    /// Parts refused.
    pub refused: u64,
    /// By reason.
    pub reasons: BTreeMap<String, u64>,
    /// The first of them, or all.
    pub faults: Vec<Fault>,
    /// The first and the last time of an event.
    pub times: Option<(Micros, Micros)>,
    /// Events that name none.
    pub timeless: u64,
    /// By name.
    pub fields: HashMap<String, Field>,
    /// Whether there were more than are counted.
    pub more_fields: bool,
    /// By kind.
    pub observables: BTreeMap<ObservableKind, Counts>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Found {
    /// Whether nothing could be read, for faults.
    pub fn is_nothing(&self) -> bool {
        self.events + self.objects == 0 && self.refused > 0
    }

    /// Unpacked, as UTF-8.
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.bytes).sum()
    }
}

/// Looks at members, one after the other.
pub struct Survey {
    limits: Limits,
    shows_events: bool,
    /// How many faults are kept.
    most_faults: usize,
    reader: PieceReader,
    line: Vec<u8>,
    found: Found,
}

impl Survey {
    /// Prints events if asked to; keeps all faults, or the first.
    pub fn new(limits: &Limits, shows_events: bool, keeps_all: bool) -> Self {
        let found = Found {
            file: String::new(),
            packed: 0,
            members: Vec::new(),
            events: 0,
            objects: 0,
            refused: 0,
            reasons: BTreeMap::new(),
            faults: Vec::new(),
            times: None,
            timeless: 0,
            fields: HashMap::new(),
            more_fields: false,
            observables: BTreeMap::new(),
            elapsed: Duration::ZERO,
        };
        Self {
            limits: limits.clone(),
            shows_events,
            most_faults: if keeps_all { usize::MAX } else { 20 },
            reader: PieceReader::new(limits),
            line: Vec::new(),
            found,
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
        let Self { limits, shows_events, most_faults, reader, line, found } = self;
        let Some(format) = stream.format() else {
            found.refuse("line 1".into(), binary(), *most_faults);
            return Ok(());
        };
        found.member(|member| member.format = Some(format.as_str()));
        let mut failure = None;
        stream.pieces(format, limits, &mut |framed| {
            match framed {
                Framed::Refused { line, bytes, refused } => {
                    found.member(|member| member.bytes += bytes.len() as u64);
                    found.refuse(format!("line {line}"), refused, *most_faults);
                }
                Framed::Piece(piece) => {
                    found.member(|member| member.bytes += (piece.prelude.len() + piece.body.len()) as u64);
                    reader.read(&piece, &mut |read| match read.fields {
                        Err(refused) => found.refuse(format!("line {}", read.line), refused, *most_faults),
                        Ok(fields) => {
                            found.event(fields);
                            if *shows_events && failure.is_none() {
                                line.clear();
                                fields.write_json(line);
                                line.push(b'\n');
                                failure = io::stdout().lock().write_all(line).err();
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

impl Found {
    /// The member that is being looked at.
    fn member(&mut self, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.last_mut() {
            change(member);
        }
    }

    fn refuse(&mut self, position: String, refused: Refused, most: usize) {
        self.refused += 1;
        *self.reasons.entry(refused.reason.to_owned()).or_default() += 1;
        self.member(|member| member.refused += 1);
        if self.faults.len() < most {
            let path = self.members.last().map(|member| member.path.clone()).unwrap_or_default();
            self.faults.push(Fault { path, position, reason: refused.reason.to_owned(), message: refused.message });
        }
    }

    fn observable(&mut self, kind: ObservableKind, value: &str) {
        self.observables.entry(kind).or_insert_with(|| Counts::of(VALUES)).add(value);
    }

    fn event(&mut self, fields: &Fields) {
        self.events += 1;
        self.member(|member| member.records += 1);
        for (name, value) in fields.iter() {
            if let Some(field) = self.fields.get_mut(name) {
                field.events += 1;
                if field.example.is_empty() {
                    field.example = example(value);
                }
            } else if self.fields.len() < FIELDS {
                self.fields.insert(name.to_owned(), Field { events: 1, example: example(value) });
            } else {
                self.more_fields = true;
            }
        }
        let event = FlatEvent::of(fields);
        match event.timestamp {
            None => self.timeless += 1,
            Some(at) => {
                self.times = Some(self.times.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            }
        }
        event.observables.iter().for_each(|found| self.observable(found.observable.kind(), found.observable.value()));
    }
}

/// The value for people, on one line.
fn example(value: FieldValue<'_>) -> String {
    let text = |scalar| match scalar {
        FieldScalar::Text(text) => text.to_owned(),
        FieldScalar::Int(number) => number.to_string(),
        FieldScalar::Uint(number) => number.to_string(),
        FieldScalar::Float(number) => number.to_string(),
        FieldScalar::Bool(truth) => truth.to_string(),
        FieldScalar::Null => String::new(),
    };
    let whole = match value {
        FieldValue::One(scalar) => text(scalar),
        FieldValue::List(list) => list.iter().take(5).map(text).collect::<Vec<_>>().join(", "),
        FieldValue::EmptyObject => "{}".into(),
    };
    let line: String = whole.chars().take(EXAMPLE).map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    if whole.chars().nth(EXAMPLE).is_some() { format!("{line}…") } else { line }
}
