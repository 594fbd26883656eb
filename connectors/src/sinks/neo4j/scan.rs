//! Reads nodes and edges back.
use neo4rs::{Graph, query};
use serde::{Deserialize, Serialize};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::{ContentHash, Micros};

use super::session;
use crate::canonical;
use crate::sink::{SinkError, Stored};

/// Rows that the server sends at a time.
pub(super) const PAGE: usize = 2_000;

/// What Neo4j keeps of a record; which fields are there depends on its type.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    tenant: String,
    id: String,
    r#type: Option<String>,
    name: Option<String>,
    description: Option<String>,
    created: Option<i64>,
    modified: Option<i64>,
    revoked: Option<bool>,
    confidence: Option<i64>,
    tlp: Option<String>,
    labels: Vec<String>,
    sources: Vec<String>,
    valid_from: Option<i64>,
    valid_until: Option<i64>,
    kind: Option<String>,
    value: Option<String>,
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    source: Option<String>,
    target: Option<String>,
    event_id: Option<String>,
    seen: Option<i64>,
    retracted: Option<bool>,
}

impl Kept {
    fn digest(&self) -> ContentHash {
        // A struct of texts and numbers always becomes a value.
        canonical::digest(&serde_json::to_value(self).unwrap_or_default())
    }

    fn of(record: &OutputRecord) -> Self {
        let micros = |micros: Option<Micros>| micros.map(|micros| micros.0);
        let kept = Self { tenant: record.tenant().to_owned(), id: record.id(), ..Self::default() };
        match record {
            OutputRecord::Entity(r) => Self {
                r#type: Some(r.ty.clone()),
                name: r.name.clone(),
                description: r.description.clone(),
                created: micros(r.created),
                modified: micros(r.modified),
                revoked: Some(r.revoked),
                confidence: r.confidence.map(i64::from),
                tlp: r.tlp.clone(),
                labels: r.labels.clone(),
                sources: r.sources.clone(),
                valid_from: micros(r.valid_from),
                valid_until: micros(r.valid_until),
                ..kept
            },
            OutputRecord::Observable(r) => Self {
                kind: Some(r.kind.as_str().to_owned()),
                value: Some(r.value.clone()),
                first_seen: micros(r.first_seen),
                last_seen: micros(r.last_seen),
                ..kept
            },
            OutputRecord::Relation(r) => {
                Self { r#type: Some(r.ty.clone()), source: Some(r.source_id.clone()), target: Some(r.target_id.clone()), ..kept }
            }
            OutputRecord::Sighting(r) => Self {
                source: Some(r.entity_id.clone()),
                target: Some(r.observable_id.clone()),
                event_id: Some(r.event_id.clone()),
                seen: Some(r.seen.0),
                retracted: Some(r.retracted),
                ..kept
            },
            // A link is all in its key; the others are not among the sink's types.
            _ => kept,
        }
    }
}

/// What a scan gives for `record`.
pub(super) fn digest_of(record: &OutputRecord) -> ContentHash {
    Kept::of(record).digest()
}

pub(super) async fn scan(graph: &Graph, ty: RecordType, visit: &mut (dyn FnMut(Stored) + Send)) -> Result<(), SinkError> {
    let Some(statement) = statement(ty) else { return Ok(()) };
    session::read(graph, "read the graph", query(&statement), |row| {
        let kept: Kept = row.to()?;
        visit(Stored { key: format!("{}:{}", kept.tenant, kept.id), digest: kept.digest() });
        Ok(())
    })
    .await
}

fn statement(ty: RecordType) -> Option<String> {
    let fields = |of: &str, names: &[&str]| names.iter().map(|name| format!("{of}.{name} AS {name}")).collect::<Vec<_>>().join(", ");
    // Whole seconds and the rest apart: a date of the year 1 in nanoseconds would not fit.
    let times = |of: &str, names: &[&str]| {
        let micros = |name: &&str| format!("{of}.{name}.epochSeconds * 1000000 + {of}.{name}.nanosecond / 1000 AS {name}");
        names.iter().map(micros).collect::<Vec<_>>().join(", ")
    };
    match ty {
        RecordType::Entity => Some(format!(
            "MATCH (n:IntelEntity) WHERE n.stub IS NULL RETURN {}, {}",
            fields("n", &["tenant", "id", "type", "name", "description", "revoked", "confidence", "tlp", "labels", "sources"]),
            times("n", &["created", "modified", "valid_from", "valid_until"]),
        )),
        RecordType::Observable => Some(format!(
            "MATCH (n:Observable) WHERE n.stub IS NULL RETURN {}, {}",
            fields("n", &["tenant", "id", "kind", "value"]),
            times("n", &["first_seen", "last_seen"]),
        )),
        RecordType::Link => Some(
            "MATCH (a:IntelEntity)-[r:HAS_OBSERVABLE]->(b:Observable)
             RETURN a.tenant AS tenant, a.id + '|' + b.id + '|' + r.role AS id"
                .into(),
        ),
        RecordType::Relation => Some(format!(
            "MATCH (a:IntelEntity)-[r]->(b:IntelEntity) WHERE r.key IS NOT NULL RETURN {}, a.id AS source, b.id AS target",
            fields("r", &["tenant", "id", "type"]),
        )),
        RecordType::Sighting => Some(format!(
            "MATCH (a:IntelEntity)-[r:SIGHTED]->(b:Observable) RETURN {}, {}, a.id AS source, b.id AS target",
            fields("r", &["tenant", "id", "event_id", "retracted"]),
            times("r", &["seen"]),
        )),
        RecordType::Event | RecordType::Package => None,
    }
}
