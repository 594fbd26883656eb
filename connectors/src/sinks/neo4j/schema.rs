//! Constraints, generations and positions.
use neo4rs::{Graph, query};
use sightline_log::{Offset, TopicPartition};

use super::session;
use crate::sink::SinkError;

/// Constraints come first: without them `MERGE` scans, and two may create the same node. Values go into a text index, because an
/// entry of a range index is bounded at about 8 KB.
const SCHEMA: &[&str] = &[
    "CREATE CONSTRAINT intel_entity_key IF NOT EXISTS FOR (n:IntelEntity) REQUIRE n.key IS UNIQUE",
    "CREATE CONSTRAINT observable_key IF NOT EXISTS FOR (n:Observable) REQUIRE n.key IS UNIQUE",
    "CREATE CONSTRAINT sink_offset_key IF NOT EXISTS FOR (n:SinkOffset) REQUIRE (n.connector, n.topic, n.part) IS UNIQUE",
    "CREATE CONSTRAINT sink_lease_key IF NOT EXISTS FOR (n:SinkLease) REQUIRE n.connector IS UNIQUE",
    "CREATE INDEX intel_entity_id IF NOT EXISTS FOR (n:IntelEntity) ON (n.id)",
    "CREATE TEXT INDEX observable_value IF NOT EXISTS FOR (n:Observable) ON (n.value)",
];

/// Creates what is missing.
pub(super) async fn ensure(graph: &Graph) -> Result<(), SinkError> {
    for statement in SCHEMA {
        session::run(graph, "create the constraints", query(statement)).await?;
    }
    session::run(graph, "wait for the indices", query("CALL db.awaitIndexes(120)")).await
}

/// Raises the connector's generation; older holders are fenced from here on.
pub(super) async fn take_over(graph: &Graph, connector: &str) -> Result<i64, SinkError> {
    const WHAT: &str = "take the connector over";
    let statement = "MERGE (l:SinkLease {connector: $connector}) SET l.generation = coalesce(l.generation, 0) + 1
        RETURN l.generation AS generation";
    let mut generation = None;
    session::read(graph, WHAT, query(statement).param("connector", connector), |row| {
        generation = Some(row.get("generation")?);
        Ok(())
    })
    .await?;
    generation.ok_or_else(|| SinkError::retriable(WHAT, "no answer"))
}

pub(super) async fn positions(graph: &Graph, connector: &str) -> Result<Vec<(TopicPartition, Offset)>, SinkError> {
    const WHAT: &str = "read the positions";
    let statement = "MATCH (o:SinkOffset {connector: $connector}) RETURN o.topic AS topic, o.part AS part, o.next_offset AS next";
    let mut positions = Vec::new();
    session::read(graph, WHAT, query(statement).param("connector", connector), |row| {
        let partition = TopicPartition::new(row.get::<String>("topic")?, row.get("part")?);
        positions.push((partition, Offset(row.get("next")?)));
        Ok(())
    })
    .await?;
    Ok(positions)
}
