//! Records of `in.logs` → events and probes. Record by record: nothing is kept.
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sightline_formats::{EventItem, FlatEvent, Limits, Poison, parse_events};
use sightline_schemas::record::{EventObservable, EventRecord, Stage};
use sightline_schemas::{ContentHash, Micros, ObservableKey, TenantId};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

use super::EventRef;
use crate::by_epoch::Flow;
use crate::guard::{guarded, unguarded};
use crate::output::{Emission, Emitter, Rejection};
use crate::source::Raw;

/// What leaves.
#[derive(Clone, Debug)]
pub enum ParsedEvent {
    /// An event, to be completed with its matches.
    Event(Box<OpenEvent>),
    /// Who names this observable?
    Probe(ObservableKey, EventRef),
    /// A dead letter.
    Row(Box<Emission>),
}

/// An event that waits for its hits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OpenEvent {
    /// Which.
    pub event: EventRef,
    /// Whose.
    pub tenant: TenantId,
    /// The row without matches.
    pub record: EventRecord,
}

/// Parses logs.
pub fn events<'scope>(records: Flow<'scope, Raw>, limits: Limits, emitter: Emitter, worker: u32) -> Flow<'scope, ParsedEvent> {
    records.unary::<CapacityContainerBuilder<Vec<ParsedEvent>>, _, _, _>(Pipeline, "ParseEvents", |_, _| {
        move |input, output| {
            input.for_each(|capability, records| {
                let mut session = output.session(&capability);
                for raw in records.drain(..) {
                    parse(&raw, &limits, &emitter, worker, &mut |parsed| session.give(parsed));
                }
            });
        }
    })
}

fn parse(raw: &Raw, limits: &Limits, emitter: &Emitter, worker: u32, out: &mut dyn FnMut(ParsedEvent)) {
    let (key_tenant, key_source) = raw.key_text().and_then(|key| key.split_once(':')).unwrap_or(("default", "default"));
    let source = raw.header("source").unwrap_or(key_source);
    let tenant = match TenantId::new(raw.header("tenant").unwrap_or(key_tenant)) {
        Ok(tenant) => tenant,
        Err(error) => {
            let bytes = raw.value.slice(..raw.value.len().min(limits.dead_letter_bytes));
            let message = format!("header tenant: {error}");
            let rejection = Rejection { position: "$".into(), stage: Stage::Parse, reason: "invalid-header".into(), message, bytes };
            return out(ParsedEvent::Row(Box::new(emitter.dead_letter(raw.at, rejection))));
        }
    };
    let mut take = |item| match item {
        EventItem::Poison(poison) => out(dead_letter(poison, raw, emitter)),
        EventItem::Event { index, event } => {
            let event_ref = EventRef { at: raw.at, index: index as u32, worker };
            let probes: BTreeSet<ObservableKey> = event.observables.iter().map(|found| found.observable.key(tenant)).collect();
            out(ParsedEvent::Event(Box::new(OpenEvent { event: event_ref, tenant, record: record(*event, tenant, source, raw.received) })));
            for observable in probes {
                out(ParsedEvent::Probe(observable, event_ref));
            }
        }
    };
    let input = std::slice::from_ref(&raw.value);
    let parsed = guarded(input, limits, || parse_events(&raw.value, limits, &mut |item| unguarded(|| take(item))));
    if let Err(poison) = parsed {
        // The events before the panic have left; the dead letter has the input as a whole.
        out(dead_letter(poison, raw, emitter));
    }
}

fn record(event: FlatEvent, tenant: TenantId, source: &str, received: Micros) -> EventRecord {
    let content = event.hash.to_string();
    let mut observables: Vec<_> = event
        .observables
        .into_iter()
        .map(|found| EventObservable {
            id: found.observable.key(tenant).id(),
            kind: found.observable.kind(),
            value: found.observable.value().to_owned(),
            field: found.field,
        })
        .collect();
    observables.sort();
    observables.dedup();
    EventRecord {
        tenant: tenant.to_string(),
        id: ContentHash::of_parts([tenant.as_str().as_bytes(), source.as_bytes(), content.as_bytes()]).to_string(),
        source: source.to_owned(),
        timestamp: event.timestamp.unwrap_or(received),
        fields: event.fields,
        observables,
        matches: Vec::new(),
    }
}

fn dead_letter(poison: Poison, raw: &Raw, emitter: &Emitter) -> ParsedEvent {
    ParsedEvent::Row(Box::new(emitter.dead_letter(raw.at, poison.into())))
}
