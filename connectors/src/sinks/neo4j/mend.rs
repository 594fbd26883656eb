//! Mends nodes and edges beside the running connector, in one transaction that holds the lease as a batch does: so the two take turns.
use std::collections::HashMap;

use neo4rs::{Graph, Txn, query};
use sightline_schemas::avro::RecordType;

use super::known::KnownEdges;
use super::{TYPES, cypher, failed, scan, write};
use crate::batch::Batch;
use crate::sink::{SinkError, Stored, Wrong};

pub(super) async fn mend(graph: &Graph, connector: &str, wrong: &[Wrong], batch: &Batch, known: &mut KnownEdges) -> Result<u64, SinkError> {
    let failed = failed("mend the graph");
    let statements = write::plan(graph, batch, known, false).await?;
    let edges = batch.records.iter().any(|record| matches!(record.ty, RecordType::Relation | RecordType::Sighting));
    let mut transaction = graph.start_txn().await.map_err(failed)?;
    let mended = async {
        transaction.run(query(cypher::MEND).param("connector", connector).param("edges", edges)).await.map_err(failed)?;
        // Edges first: a node that only wrong edges hold goes with them.
        let is_node = |ty: &&RecordType| matches!(ty, RecordType::Entity | RecordType::Observable);
        let mut left = 0;
        for ty in TYPES.iter().filter(|ty| !is_node(ty)).chain(TYPES.iter().filter(is_node)) {
            let seen: Vec<&Stored> = wrong.iter().filter(|wrong| wrong.ty == *ty).map(|wrong| &wrong.stored).collect();
            if !seen.is_empty() {
                left += take_out(&mut transaction, *ty, &seen).await?;
            }
        }
        write::run(&mut transaction, statements).await?;
        Ok(left)
    }
    .await;
    match mended {
        Ok(left) => {
            transaction.commit().await.map_err(failed)?;
            Ok(left)
        }
        Err(error) => {
            // The server drops it with the connection in any case.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

/// Takes out what is still as it was seen; returns how many are not.
async fn take_out(transaction: &mut Txn, ty: RecordType, seen: &[&Stored]) -> Result<u64, SinkError> {
    let failed = failed("mend the graph");
    let Some((pattern, held)) = scan::pattern(ty) else { return Ok(0) };
    let places: HashMap<i64, &Stored> = seen.iter().filter_map(|stored| Some((stored.place.parse().ok()?, *stored))).collect();
    let listed: Vec<i64> = places.keys().copied().collect();
    // Writing takes the lock, and what is read after it stays.
    let look = format!("MATCH {pattern} WHERE id(x) IN $places AND {held} SET x.epoch = x.epoch {}", scan::columns(ty));
    let mut rows = transaction.execute(query(&look).param("places", listed)).await.map_err(failed)?;
    let mut same: Vec<i64> = Vec::new();
    while let Some(row) = rows.next(&mut *transaction).await.map_err(failed)? {
        let stored = scan::stored(ty, &row).map_err(|error| SinkError::fatal("read the graph", error))?;
        same.extend(stored.place.parse().ok().filter(|place| places.get(place) == Some(&&stored)));
    }
    let left = (seen.len() - same.len()) as u64;
    let statements: &[&str] = match ty {
        RecordType::Entity | RecordType::Observable => &[cypher::TAKE_OUT_NODES, cypher::TAKE_OUT_TO_STUBS],
        _ => &[cypher::TAKE_OUT_EDGES],
    };
    for statement in statements {
        transaction.run(query(statement).param("places", same.clone())).await.map_err(failed)?;
    }
    Ok(left)
}
