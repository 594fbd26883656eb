//! Mends nodes and edges beside the running connector, in one transaction that holds the lease as a batch does: so the two take turns.
//!
//! The connector writes between two of these transactions, so nothing can be remembered of the edges: they are looked up by key, in every
//! type that has an index for it, and a record that is older than an edge of its key is left out.
use std::collections::HashMap;

use neo4rs::{BoltType, Graph, Txn, query};
use sightline_schemas::avro::RecordType;

use super::known::{KnownEdges, SIGHTED};
use super::scan::Held;
use super::{TYPES, cypher, failed, scan, session, write};
use crate::batch::{Batch, SinkRecord};
use crate::sink::{Mended, SinkError, Stored, Wrong};

pub(super) async fn mend(graph: &Graph, connector: &str, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
    let failed = failed("mend the graph");
    let mut transaction = graph.start_txn().await.map_err(failed)?;
    match locked(graph, &mut transaction, connector, wrong, batch).await {
        Ok(mended) => {
            transaction.commit().await.map_err(failed)?;
            Ok(mended)
        }
        Err(error) => {
            // The server drops it with the connection in any case.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

async fn locked(graph: &Graph, transaction: &mut Txn, connector: &str, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
    let failed = failed("mend the graph");
    transaction.run(query(cypher::LOCK).param("connector", connector)).await.map_err(failed)?;
    // Edges first: a node that only wrong edges hold goes with them.
    let is_node = |ty: &&RecordType| matches!(ty, RecordType::Entity | RecordType::Observable);
    let mut left = 0;
    for ty in TYPES.iter().filter(|ty| !is_node(ty)).chain(TYPES.iter().filter(is_node)) {
        let seen: Vec<&Stored> = wrong.iter().filter(|wrong| wrong.ty == *ty).map(|wrong| &wrong.stored).collect();
        if !seen.is_empty() {
            left += take_out(transaction, *ty, &seen).await?;
        }
    }
    let mut known = KnownEdges::default();
    let newest = look_up(graph, transaction, batch, &mut known).await?;
    let is_older = |record: &SinkRecord| has_key(record.ty) && newest.get(&record.key()).is_some_and(|epoch| *epoch > record.epoch);
    let stays: Vec<usize> = (0..batch.records.len()).filter(|at| !is_older(&batch.records[*at])).collect();
    let given = Batch { records: stays.iter().map(|at| batch.records[*at].clone()).collect(), next: Vec::new() };
    let plan = write::plan(graph, &given, &mut known).await.map_err(|error| placed(error, &stays))?;
    let fresh = plan.fresh;
    write::run(transaction, plan).await?;
    if fresh {
        transaction.run(query(cypher::MEND).param("connector", connector)).await.map_err(failed)?;
    }
    Ok(Mended { left, written: TYPES.iter().map(|ty| given.newest(*ty).len() as u64).sum() })
}

/// Relations and sightings are edges with a key of their own.
fn has_key(ty: RecordType) -> bool {
    matches!(ty, RecordType::Relation | RecordType::Sighting)
}

/// A refusal with its place in the whole batch.
fn placed(error: SinkError, stays: &[usize]) -> SinkError {
    let SinkError::Refused(mut refused) = error else { return error };
    refused.iter_mut().for_each(|refused| refused.at = stays.get(refused.at).copied().unwrap_or(refused.at));
    SinkError::Refused(refused)
}

/// The edges of the batch's keys that the graph holds: into `known`, and their epochs.
async fn look_up(graph: &Graph, transaction: &mut Txn, batch: &Batch, known: &mut KnownEdges) -> Result<HashMap<String, u64>, SinkError> {
    const WHAT: &str = "look edges up";
    let keys = |ty| batch.newest(ty).into_iter().map(|(_, record)| BoltType::from(record.key())).collect::<Vec<_>>();
    let (relations, sightings) = (keys(RecordType::Relation), keys(RecordType::Sighting));
    let mut newest = HashMap::new();
    if relations.is_empty() && sightings.is_empty() {
        return Ok(newest);
    }
    let mut types: Vec<String> = Vec::new();
    session::read(graph, WHAT, query(cypher::EDGE_INDICES), |row| {
        types.extend(row.get::<String>("name")?.strip_prefix("edge_key_").map(str::to_owned));
        Ok(())
    })
    .await?;
    for ty in types {
        let keys = if ty == SIGHTED { &sightings } else { &relations };
        if keys.is_empty() {
            continue;
        }
        let number = known.number(&ty);
        let mut rows = transaction.execute(query(&cypher::held_edges(&ty)).param("keys", keys.clone())).await.map_err(failed(WHAT))?;
        while let Some(row) = rows.next(&mut *transaction).await.map_err(failed(WHAT))? {
            let read = row.get::<String>("key").and_then(|key| Ok((key, row.get::<Option<i64>>("epoch")?)));
            let (key, epoch) = read.map_err(|error| SinkError::fatal(WHAT, error))?;
            known.add(&key, number);
            let held = newest.entry(key).or_insert(0);
            *held = (*held).max(epoch.unwrap_or(0).unsigned_abs());
        }
    }
    Ok(newest)
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
        let stored = Held::of(&row).map_err(|error| SinkError::fatal("read the graph", error))?.stored(ty);
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
