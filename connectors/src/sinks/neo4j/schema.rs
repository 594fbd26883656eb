//! Constraints, generations and positions.
use neo4rs::{Graph, query};
use sightline_log::{Offset, TopicPartition};

use super::failed;
use crate::sink::SinkError;

/// Constraints come first: without them `MERGE` scans, and two may create the same node. Values go into a text index, because an
/// entry of a range index is bounded at about 8 KB.
const SCHEMA: &[&str] = &[
    "CREATE CONSTRAINT intel_entity_key IF NOT EXISTS FOR (n:IntelEntity) REQUIRE n.key IS UNIQUE",
    "CREATE CONSTRAINT observable_key IF NOT EXISTS FOR (n:Observable) REQUIRE n.key IS UNIQUE",
    "CREATE CONSTRAINT sink_offset_key IF NOT EXISTS FOR (n:SinkOffset) REQUIRE (n.connector, n.topic, n.part) IS UNIQUE",
    "CREATE CONSTRAINT sink_lease_key IF NOT EXISTS FOR (n:SinkLease) REQUIRE n.connector IS UNIQUE",
    "CREATE TEXT INDEX intel_entity_id IF NOT EXISTS FOR (n:IntelEntity) ON (n.id)",
    "CREATE TEXT INDEX intel_entity_name IF NOT EXISTS FOR (n:IntelEntity) ON (n.name)",
    "CREATE TEXT INDEX observable_value IF NOT EXISTS FOR (n:Observable) ON (n.value)",
];

/// Creates what is missing.
pub(super) async fn ensure(graph: &Graph) -> Result<(), SinkError> {
    for statement in SCHEMA {
        graph.run(query(statement)).await.map_err(failed("create the constraints"))?;
    }
    graph.run(query("CALL db.awaitIndexes(120)")).await.map_err(failed("wait for the indices"))
}

/// Raises the connector's generation; older holders are fenced from here on.
pub(super) async fn take_over(graph: &Graph, connector: &str) -> Result<i64, SinkError> {
    const WHAT: &str = "take the connector over";
    let statement = "MERGE (l:SinkLease {connector: $connector}) SET l.generation = coalesce(l.generation, 0) + 1
        RETURN l.generation AS generation";
    let mut rows = graph.execute(query(statement).param("connector", connector)).await.map_err(failed(WHAT))?;
    let row = rows.next().await.map_err(failed(WHAT))?;
    let generation = row.and_then(|row| row.get("generation").ok()).ok_or_else(|| SinkError::retriable(WHAT, "no answer"))?;
    // To its end: an answer that is not read to the end is not committed.
    while rows.next().await.map_err(failed(WHAT))?.is_some() {}
    Ok(generation)
}

pub(super) async fn positions(graph: &Graph, connector: &str) -> Result<Vec<(TopicPartition, Offset)>, SinkError> {
    const WHAT: &str = "read the positions";
    let statement = "MATCH (o:SinkOffset {connector: $connector}) RETURN o.topic AS topic, o.part AS part, o.next_offset AS next";
    let mut rows = graph.execute(query(statement).param("connector", connector)).await.map_err(failed(WHAT))?;
    let mut positions = Vec::new();
    while let Some(row) = rows.next().await.map_err(failed(WHAT))? {
        let broken = |error: neo4rs::DeError| SinkError::fatal(WHAT, error);
        let (topic, part, next) = (row.get::<String>("topic"), row.get("part"), row.get("next"));
        positions.push((TopicPartition::new(topic.map_err(broken)?, part.map_err(broken)?), Offset(next.map_err(broken)?)));
    }
    Ok(positions)
}
