//! Reads nodes and edges back.
use std::borrow::Cow;

use neo4rs::{BoltList, BoltMap, BoltType, Graph, Row, query};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::{ContentHash, Micros};

use super::session;
use crate::relational::{Cell, digest};
use crate::sink::{SinkError, Stored};

/// Rows that the server sends at a time.
pub(super) const PAGE: usize = 2_000;

const ENTITY: &[&str] = &[
    "tenant",
    "id",
    "type",
    "name",
    "description",
    "created",
    "modified",
    "revoked",
    "confidence",
    "tlp",
    "labels",
    "sources",
    "valid_from",
    "valid_until",
];
const OBSERVABLE: &[&str] = &["tenant", "id", "kind", "value", "first_seen", "last_seen"];
const RELATION: &[&str] = &["tenant", "id", "type"];
const SIGHTING: &[&str] = &["tenant", "id", "event_id", "seen", "retracted"];

/// What Neo4j keeps of a type in properties.
fn properties(ty: RecordType) -> &'static [&'static str] {
    match ty {
        RecordType::Entity => ENTITY,
        RecordType::Observable => OBSERVABLE,
        RecordType::Relation => RELATION,
        RecordType::Sighting => SIGHTING,
        // A link is all in its key; the others are not among the sink's types.
        _ => &[],
    }
}

/// What a scan gives for `record`: its properties, and of an edge the keys of its ends.
pub(super) fn digest_of(record: &OutputRecord) -> ContentHash {
    let end = |id: &str| Cell::Text(Cow::Owned(format!("{}:{id}", record.tenant())));
    digest(&match record {
        OutputRecord::Entity(r) => vec![
            (&r.tenant).into(),
            (&r.id).into(),
            (&r.ty).into(),
            r.name.as_ref().into(),
            r.description.as_ref().into(),
            r.created.into(),
            r.modified.into(),
            r.revoked.into(),
            r.confidence.map(i64::from).into(),
            r.tlp.as_ref().into(),
            (&r.labels).into(),
            (&r.sources).into(),
            r.valid_from.into(),
            r.valid_until.into(),
        ],
        OutputRecord::Observable(r) => {
            vec![(&r.tenant).into(), (&r.id).into(), r.kind.as_str().into(), (&r.value).into(), r.first_seen.into(), r.last_seen.into()]
        }
        OutputRecord::Relation(r) => {
            vec![(&r.tenant).into(), (&r.id).into(), (&r.ty).into(), end(&r.source_id), end(&r.target_id)]
        }
        OutputRecord::Sighting(r) => vec![
            (&r.tenant).into(),
            (&r.id).into(),
            (&r.event_id).into(),
            r.seen.into(),
            r.retracted.into(),
            end(&r.entity_id),
            end(&r.observable_id),
        ],
        _ => vec![],
    })
}

pub(super) async fn scan(graph: &Graph, ty: RecordType, visit: &mut (dyn FnMut(Stored) + Send)) -> Result<(), SinkError> {
    let Some((pattern, held)) = pattern(ty) else { return Ok(()) };
    let statement = format!("MATCH {pattern} WHERE {held} {}", columns(ty));
    session::read(graph, "read the graph", query(&statement), |row| {
        visit(stored(ty, &row)?);
        Ok(())
    })
    .await
}

/// Where records of a type are in the graph, as `x`, and which of what is there they are.
pub(super) fn pattern(ty: RecordType) -> Option<(&'static str, &'static str)> {
    match ty {
        RecordType::Entity => Some(("(x:IntelEntity)", "x.stub IS NULL")),
        RecordType::Observable => Some(("(x:Observable)", "x.stub IS NULL")),
        RecordType::Link => Some(("(a:IntelEntity)-[x:HAS_OBSERVABLE]->(b:Observable)", "true")),
        RecordType::Relation => Some(("(a:IntelEntity)-[x]->(b:IntelEntity)", "x.key IS NOT NULL")),
        RecordType::Sighting => Some(("(a:IntelEntity)-[x:SIGHTED]->(b:Observable)", "true")),
        RecordType::Event | RecordType::Package => None,
    }
}

/// What [`stored`] reads. (`elementId` came with version 5; `id` is known to all.)
pub(super) fn columns(ty: RecordType) -> &'static str {
    match ty {
        RecordType::Entity | RecordType::Observable => "RETURN id(x) AS place, x.key AS key, properties(x) AS held",
        RecordType::Link => "RETURN id(x) AS place, a.key AS a, b.key AS b, x.role AS role",
        _ => "RETURN id(x) AS place, x.key AS key, properties(x) AS held, a.key AS a, b.key AS b",
    }
}

pub(super) fn stored(ty: RecordType, row: &Row) -> Result<Stored, neo4rs::DeError> {
    let place = row.get::<i64>("place")?.to_string();
    let text = |name: &str| row.get::<BoltType>(name).map(|value| text(&value));
    if ty == RecordType::Link {
        let (a, b, role) = (text("a")?, text("b")?, text("role")?);
        // The key of the topic, if the ends are of one tenant, as they should be.
        let tenant = a.split_once(':').map_or("", |(tenant, _)| tenant);
        let b = b.strip_prefix(tenant).and_then(|b| b.strip_prefix(':')).unwrap_or(&b);
        return Ok(Stored { key: format!("{a}|{b}|{role}"), digest: digest(&[]), place });
    }
    let held = match row.get::<BoltType>("held")? {
        BoltType::Map(map) => map,
        _ => BoltMap::default(),
    };
    let mut cells: Vec<Cell<'_>> = properties(ty).iter().map(|name| held.value.get(*name).map_or(Cell::Null, cell)).collect();
    if matches!(ty, RecordType::Relation | RecordType::Sighting) {
        cells.extend([Cell::Text(text("a")?.into()), Cell::Text(text("b")?.into())]);
    }
    Ok(Stored { key: text("key")?, digest: digest(&cells), place })
}

/// What is no text was not written by a connector; it has to look different from any text only as a whole.
fn text(value: &BoltType) -> String {
    match value {
        BoltType::String(text) => text.value.clone(),
        BoltType::Null(_) => String::new(),
        other => format!("{other:?}"),
    }
}

/// A value that somebody else changed into something we never write becomes a text, and so differs.
fn cell(value: &BoltType) -> Cell<'_> {
    match value {
        BoltType::Null(_) => Cell::Null,
        BoltType::String(text) => text.value.as_str().into(),
        BoltType::Integer(number) => number.value.into(),
        BoltType::Boolean(truth) => truth.value.into(),
        BoltType::List(list) => texts(list).unwrap_or_else(|| Cell::Text(text(value).into())),
        BoltType::DateTime(instant) => match chrono::DateTime::<chrono::FixedOffset>::try_from(instant) {
            Ok(instant) => Cell::Time(Micros(instant.timestamp_micros())),
            Err(_) => Cell::Text(text(value).into()),
        },
        other => Cell::Text(text(other).into()),
    }
}

fn texts(list: &BoltList) -> Option<Cell<'static>> {
    let text = |value: &BoltType| if let BoltType::String(text) = value { Some(text.value.clone()) } else { None };
    list.value.iter().map(text).collect::<Option<Vec<_>>>().map(|texts| Cell::TextList(Cow::Owned(texts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_is_another_value() {
        assert_ne!(digest(&[cell(&"1".into())]), digest(&[cell(&1.into())]));
        assert_eq!(cell(&vec!["a".to_owned()].into()), Cell::TextList(Cow::Owned(vec!["a".to_owned()])));
        assert!(matches!(cell(&vec![1].into()), Cell::Text(_)));
    }
}
