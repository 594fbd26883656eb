//! Records of `in.logs` → events and probes. Record by record: nothing is kept.
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sightline_formats::event::above;
use sightline_formats::event::fields::Refused;
use sightline_formats::logs::record::{RecordReader, Told};
use sightline_formats::sources::Sources;
use sightline_formats::{FlatEvent, Limits};
use sightline_schemas::record::{EventObservable, EventRecord, Stage};
use sightline_schemas::{ContentHash, Micros, ObservableKey, TenantId, header};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use super::{EventRef, Probe};
use crate::by_epoch::Flow;
use crate::guard::{guarded, unguarded};
use crate::output::{Emission, Emitter, Rejection};
use crate::settings::EventSettings;
use crate::source::Raw;

/// What leaves.
#[derive(Clone, Debug)]
pub enum ParsedEvent {
    /// An event, to be completed with its matches.
    Event(Box<OpenEvent>),
    /// Who names this observable?
    Probe(Probe),
    /// A dead letter.
    Row(Box<Emission>),
}

/// An event that waits for its hits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OpenEvent {
    /// Which.
    pub event: EventRef,
    /// The row without matches.
    pub record: EventRecord,
}

/// What a parser is told.
#[derive(Clone)]
pub struct EventParsing {
    /// Bounds.
    pub limits: Limits,
    /// What is asked of events.
    pub settings: EventSettings,
    /// Sources known by content.
    pub sources: Arc<Sources>,
    /// Writes records.
    pub emitter: Emitter,
    /// Which worker this is.
    pub worker: u32,
}

/// Parses logs.
pub fn events<'scope>(records: Flow<'scope, Raw>, parsing: EventParsing) -> Flow<'scope, ParsedEvent> {
    records.unary::<CapacityContainerBuilder<Vec<ParsedEvent>>, _, _, _>(Pipeline, "ParseEvents", |_, _| {
        let mut parser = Parser { reader: RecordReader::new(&parsing.limits), parsing };
        move |input, output| {
            input.for_each(|capability, records| {
                let mut session = output.session(&capability);
                for raw in records.drain(..) {
                    parser.parse(&raw, &mut |parsed| session.give(parsed));
                }
            });
        }
    })
}

struct Parser {
    parsing: EventParsing,
    reader: RecordReader,
}

impl Parser {
    fn parse(&mut self, raw: &Raw, out: &mut dyn FnMut(ParsedEvent)) {
        let Self { parsing, reader } = self;
        let limits = &parsing.limits;
        let reject = |rejection: Rejection, out: &mut dyn FnMut(ParsedEvent)| {
            out(ParsedEvent::Row(Box::new(parsing.emitter.dead_letter(raw.at, rejection))));
        };
        let (key_tenant, key_source) = raw.key_text().and_then(|key| key.split_once(':')).unwrap_or(("default", "default"));
        let source = raw.header(header::SOURCE).unwrap_or(key_source);
        let tenant = match TenantId::new(raw.header(header::TENANT).unwrap_or(key_tenant)) {
            Ok(tenant) => tenant,
            Err(error) => {
                let refused = Refused::new("invalid-header", format!("header tenant: {error}"));
                return reject(rejection("$".into(), &refused, cut(&raw.value, limits)), out);
            }
        };
        if let Some(reason) = raw.header(header::REFUSED) {
            return reject(refused_before(raw, reason, limits), out);
        }
        let told = Told {
            format: raw.header(header::FORMAT),
            file: raw.header(header::FILE),
            line: raw.header(header::LINE),
            prelude: raw.header(header::PRELUDE),
        };
        let mut index = 0;
        let parsed = guarded(std::slice::from_ref(&raw.value), limits, || {
            reader.read(&raw.value, told, &mut |file, read| {
                let event = read.fields.and_then(|fields| {
                    let event = FlatEvent::of(fields, &parsing.sources)?;
                    parsing.settings.check(&event, raw.received)?;
                    Ok(event)
                });
                let (line, bytes) = (read.line, read.bytes);
                unguarded(|| match event {
                    Err(refused) => reject(rejection(place(file, line), &refused, cut(bytes, limits)), out),
                    Ok(event) => {
                        let at = EventRef { at: raw.at, index, worker: parsing.worker };
                        index += 1;
                        let keys: Vec<ObservableKey> = event.observables.iter().map(|found| found.observable.key(tenant)).collect();
                        let probes = touched(&event, &keys, parsing.settings.above);
                        let (id, record) = record(event, &keys, tenant, source, raw.received);
                        let seen = record.timestamp;
                        out(ParsedEvent::Event(Box::new(OpenEvent { event: at, record })));
                        for (observable, (value, direct)) in probes {
                            out(ParsedEvent::Probe(Probe { observable, event: at, id, seen, value, direct }));
                        }
                    }
                });
            });
        });
        if let Err(poison) = parsed {
            // The events before the panic have left; the dead letter has the input as a whole. What the reader held is not trusted any more.
            *reader = RecordReader::new(limits);
            reject(poison.into(), out);
        }
    }
}

/// What an event touched, by value, and whether it has the value itself or one below it. `keys` are those of its observables.
fn touched(event: &FlatEvent, keys: &[ObservableKey], with_above: bool) -> BTreeMap<ObservableKey, (Box<str>, bool)> {
    let observables = || keys.iter().zip(event.observables.iter().map(|found| &found.observable));
    let mut touched: BTreeMap<ObservableKey, (Box<str>, bool)> =
        observables().map(|(key, observable)| (*key, (observable.value().into(), true))).collect();
    for (key, observable) in observables().filter(|_| with_above) {
        for above in above(observable) {
            touched.entry(above.key(key.tenant)).or_insert_with(|| (above.value().into(), false));
        }
    }
    touched
}

/// Where a record began.
fn place(file: &str, line: u64) -> String {
    if file.is_empty() { format!("line {line}") } else { format!("{file} line {line}") }
}

/// What the intake refused before it was a record of any format.
fn refused_before(raw: &Raw, reason: &str, limits: &Limits) -> Rejection {
    const LONGEST: usize = 200;
    let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
    let file = raw.header(header::FILE).unwrap_or_default();
    let position = match raw.header(header::LINE).and_then(|line| line.parse().ok()) {
        Some(line) => place(file, line),
        None => file.to_owned(),
    };
    let message = short(raw.header(header::MESSAGE).unwrap_or_default());
    Rejection { position: short(&position), stage: Stage::Parse, reason: short(reason), message, bytes: cut(&raw.value, limits) }
}

fn rejection(position: String, refused: &Refused, bytes: Bytes) -> Rejection {
    // What is read, and then breaks a rule of events.
    let rules = ["not-an-object", "too-deep", "too-many-fields", "flattened-too-large", "nul-character", "time-in-future", "time-missing"];
    let stage = if rules.contains(&refused.reason) { Stage::Validate } else { Stage::Parse };
    Rejection { position, stage, reason: refused.reason.into(), message: refused.message.clone(), bytes }
}

fn cut(bytes: &[u8], limits: &Limits) -> Bytes {
    Bytes::copy_from_slice(&bytes[..bytes.len().min(limits.dead_letter_bytes)])
}

fn record(event: FlatEvent, keys: &[ObservableKey], tenant: TenantId, source: &str, received: Micros) -> (ContentHash, EventRecord) {
    let content = event.hash.to_string();
    let id = ContentHash::of_parts([tenant.as_str().as_bytes(), source.as_bytes(), content.as_bytes()]);
    let mut observables: Vec<_> = event
        .observables
        .into_iter()
        .zip(keys)
        .map(|(found, key)| EventObservable {
            id: key.id(),
            kind: found.observable.kind(),
            value: found.observable.value().to_owned(),
            field: found.field,
        })
        .collect();
    observables.sort();
    observables.dedup();
    let record = EventRecord {
        tenant: tenant.to_string(),
        id: id.to_string(),
        source: source.to_owned(),
        timestamp: event.timestamp.unwrap_or(received),
        fields: event.fields,
        observables,
        matches: Vec::new(),
    };
    (id, record)
}
