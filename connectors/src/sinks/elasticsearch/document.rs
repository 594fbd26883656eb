//! Records as documents: the columns of the contract, the object itself under `doc`, and what belongs to it as an array.
use serde::Serialize;
use serde_json::value::RawValue;
use sightline_schemas::Micros;
use sightline_schemas::avro::OutputRecord;
use sightline_schemas::record::{EntityRecord, EventMatch, EventObservable, EventRecord, HeldObservable, Holder, ObservableRecord};
use sightline_schemas::record::{RelationRecord, SightingRecord};

use crate::batch::{Op, SinkRecord};
use crate::canonical::instant;

/// Elasticsearch's bound on `_id`, in bytes.
const ID_BYTES: usize = 512;

/// The JSON of a record's value.
///
/// # Errors
/// When a document inside is not JSON.
pub(super) fn content(record: &OutputRecord) -> Result<Vec<u8>, serde_json::Error> {
    match record {
        OutputRecord::Entity(record) => serde_json::to_vec(&Entity::of(record)?),
        OutputRecord::Observable(record) => serde_json::to_vec(&Observable::of(record)),
        OutputRecord::Relation(record) => serde_json::to_vec(&Relation::of(record)?),
        OutputRecord::Event(record) => serde_json::to_vec(&Event::of(record)?),
        OutputRecord::Sighting(record) => serde_json::to_vec(&Sighting::of(record)),
        // Not among the sink's types: kept total so that a digest exists for every record.
        OutputRecord::Link(record) => serde_json::to_vec(record),
        OutputRecord::Package(record) => serde_json::to_vec(record),
    }
}

/// The whole document: value, epoch, origin, digest, and whether it is a deletion's mark. `version`: what it will have in the index, if that is not its epoch.
pub(super) fn document(record: &SinkRecord, version: Option<u64>) -> Result<Vec<u8>, serde_json::Error> {
    let mut json = match &record.op {
        Op::Upsert(value) => content(value)?,
        Op::Delete => serde_json::to_vec(&Gone { tenant: &record.tenant, id: &record.id })?,
    };
    // Spliced rather than flattened: flattening would copy every field through a map.
    json.pop();
    json.extend_from_slice(format!(",\"epoch\":{},\"origin\":", record.epoch).as_bytes());
    serde_json::to_writer(&mut json, &record.origin)?;
    // In halves: sums are doubles, which are exact up to 2^53.
    let digest = record.digest();
    json.extend_from_slice(
        format!(",\"digest\":{{\"slot\":{},\"high\":{},\"low\":{}}}", digest.slot(), digest.bits >> 32, digest.bits as u32).as_bytes(),
    );
    // What is created has version 1, and nothing but events is.
    let own = if record.ty == sightline_schemas::avro::RecordType::Event { 1 } else { record.epoch };
    if let Some(raised) = version.map(|version| version.wrapping_sub(own).cast_signed()) {
        json.extend_from_slice(format!(",\"raised\":{raised}").as_bytes());
    }
    // A data stream holds what happened; nothing is ever deleted from it by key.
    if record.ty != sightline_schemas::avro::RecordType::Event {
        json.extend_from_slice(if matches!(record.op, Op::Delete) { b",\"deleted\":true" } else { b",\"deleted\":false" });
    }
    json.push(b'}');
    Ok(json)
}

/// `_id`: the key; its hash where that is too long.
pub(super) fn id(record: &SinkRecord) -> String {
    let key = record.key();
    if key.len() <= ID_BYTES { key } else { format!("hash:{}", sightline_schemas::ContentHash::of(key.as_bytes())) }
}

#[derive(Serialize)]
struct Gone<'a> {
    tenant: &'a str,
    id: &'a str,
}

#[derive(Serialize)]
struct Entity<'a> {
    tenant: &'a str,
    id: &'a str,
    #[serde(rename = "type")]
    ty: &'a str,
    name: Option<&'a str>,
    description: Option<&'a str>,
    created: Option<String>,
    modified: Option<String>,
    revoked: bool,
    confidence: Option<i32>,
    tlp: Option<&'a str>,
    labels: &'a [String],
    sources: &'a [String],
    valid_from: Option<String>,
    valid_until: Option<String>,
    observables: &'a [HeldObservable],
    doc: &'a RawValue,
}

impl<'a> Entity<'a> {
    fn of(record: &'a EntityRecord) -> Result<Self, serde_json::Error> {
        Ok(Self {
            tenant: &record.tenant,
            id: &record.id,
            ty: &record.ty,
            name: record.name.as_deref(),
            description: record.description.as_deref(),
            created: record.created.map(instant),
            modified: record.modified.map(instant),
            revoked: record.revoked,
            confidence: record.confidence,
            tlp: record.tlp.as_deref(),
            labels: &record.labels,
            sources: &record.sources,
            valid_from: record.valid_from.map(instant),
            valid_until: record.valid_until.map(instant),
            observables: &record.observables,
            doc: serde_json::from_str(&record.doc)?,
        })
    }
}

#[derive(Serialize)]
struct Observable<'a> {
    tenant: &'a str,
    id: &'a str,
    kind: &'a str,
    value: &'a str,
    first_seen: Option<String>,
    last_seen: Option<String>,
    holders: i64,
    entities: &'a [Holder],
}

impl<'a> Observable<'a> {
    fn of(record: &'a ObservableRecord) -> Self {
        Self {
            tenant: &record.tenant,
            id: &record.id,
            kind: record.kind.as_str(),
            value: &record.value,
            first_seen: record.first_seen.map(instant),
            last_seen: record.last_seen.map(instant),
            holders: record.holders,
            entities: &record.entities,
        }
    }
}

#[derive(Serialize)]
struct Relation<'a> {
    tenant: &'a str,
    id: &'a str,
    #[serde(rename = "type")]
    ty: &'a str,
    source_id: &'a str,
    target_id: &'a str,
    doc: Option<&'a RawValue>,
}

impl<'a> Relation<'a> {
    fn of(record: &'a RelationRecord) -> Result<Self, serde_json::Error> {
        Ok(Self {
            tenant: &record.tenant,
            id: &record.id,
            ty: &record.ty,
            source_id: &record.source_id,
            target_id: &record.target_id,
            doc: record.doc.as_deref().map(serde_json::from_str).transpose()?,
        })
    }
}

#[derive(Serialize)]
struct Event<'a> {
    /// The name that data streams ask for.
    #[serde(rename = "@timestamp")]
    timestamp: String,
    tenant: &'a str,
    id: &'a str,
    source: &'a str,
    fields: &'a RawValue,
    observables: &'a [EventObservable],
    matches: &'a [EventMatch],
}

impl<'a> Event<'a> {
    fn of(record: &'a EventRecord) -> Result<Self, serde_json::Error> {
        Ok(Self {
            timestamp: instant(record.timestamp),
            tenant: &record.tenant,
            id: &record.id,
            source: &record.source,
            fields: serde_json::from_str(&record.fields)?,
            observables: &record.observables,
            matches: &record.matches,
        })
    }
}

#[derive(Serialize)]
struct Sighting<'a> {
    tenant: &'a str,
    id: &'a str,
    entity_id: &'a str,
    observable_id: &'a str,
    event_id: &'a str,
    seen: String,
    retracted: bool,
}

impl<'a> Sighting<'a> {
    fn of(record: &'a SightingRecord) -> Self {
        let seen: Micros = record.seen;
        Self {
            tenant: &record.tenant,
            id: &record.id,
            entity_id: &record.entity_id,
            observable_id: &record.observable_id,
            event_id: &record.event_id,
            seen: instant(seen),
            retracted: record.retracted,
        }
    }
}
