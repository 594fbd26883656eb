//! A batch as one transaction.
use std::collections::BTreeMap;

use neo4rs::{BoltList, BoltType, Graph, Txn, query};
use sightline_failpoints::Point;
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::record::LinkRecord;

use super::known::{KnownEdges, SIGHTED, edge_type};
use super::rows::{self, Properties};
use super::{cypher, failed, session};
use crate::batch::{Batch, Op, SinkRecord};
use crate::sink::{Refused, SinkError, fail};

/// Rows of one statement: 5,000 was the quickest of what was tried.
const ROWS: usize = 5_000;

/// The batch sorted into what each statement takes.
#[derive(Default)]
pub(super) struct Plan {
    statements: Vec<(String, Vec<BoltType>)>,
    /// Whether edges are created without being looked for.
    pub fresh: bool,
}

impl Plan {
    fn add(&mut self, statement: impl Into<String>, rows: Vec<BoltType>) {
        if !rows.is_empty() {
            self.statements.push((statement.into(), rows));
        }
    }
}

pub(super) async fn put(graph: &Graph, connector: &str, generation: i64, batch: &Batch, known: &mut KnownEdges) -> Result<(), SinkError> {
    let failed = failed("write a batch");
    let mut transaction = graph.start_txn().await.map_err(failed)?;
    match write(graph, &mut transaction, connector, generation, batch, known).await {
        Ok(()) => {
            transaction.commit().await.map_err(failed)?;
            fail(Point::SinkAfterCommit, connector)
        }
        Err(error) => {
            // The server drops it with the connection in any case.
            let _ = transaction.rollback().await;
            Err(error)
        }
    }
}

async fn write(
    graph: &Graph,
    transaction: &mut Txn,
    connector: &str,
    generation: i64,
    batch: &Batch,
    known: &mut KnownEdges,
) -> Result<(), SinkError> {
    let failed = failed("write a batch");
    let lease = query(cypher::LEASE).param("connector", connector).param("generation", generation);
    let mut mine = transaction.execute(lease).await.map_err(failed)?;
    let mut held = None;
    while let Some(row) = mine.next(&mut *transaction).await.map_err(failed)? {
        held = Some(row.get::<i64>("mended").map_err(|error| SinkError::fatal("read the lease", error))?);
    }
    match held {
        None => return Err(SinkError::Fenced { connector: connector.to_owned() }),
        // Under the lock, so that nobody adds edges while they are read.
        Some(mended) if mended != known.mended => *known = KnownEdges::load(graph, connector).await?,
        Some(_) => {}
    }
    let plan = plan(graph, batch, known).await?;
    fail(Point::SinkBeforeRows, connector)?;
    run(transaction, plan).await?;
    fail(Point::SinkBeforeOffset, connector)?;
    if !batch.next.is_empty() {
        let rows = batch.next.iter().map(|(partition, next)| {
            Properties::new().with("topic", &*partition.topic).with("part", partition.partition).with("next", next.0).build()
        });
        let positions = query(cypher::POSITIONS)
            .param("rows", BoltType::List(BoltList::from(rows.collect::<Vec<_>>())))
            .param("connector", connector)
            .param("generation", generation)
            .param("epoch", i64::try_from(batch.epoch()).unwrap_or(i64::MAX));
        transaction.run(positions).await.map_err(failed)?;
    }
    fail(Point::SinkBeforeCommit, connector)
}

/// Runs the statements of a plan, so many rows at a time.
pub(super) async fn run(transaction: &mut Txn, plan: Plan) -> Result<(), SinkError> {
    for (statement, rows) in plan.statements {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let rows: Vec<BoltType> = rows.by_ref().take(ROWS).collect();
            let statement = query(&statement).param("rows", BoltType::List(BoltList::from(rows)));
            transaction.run(statement).await.map_err(failed("write a batch"))?;
        }
    }
    Ok(())
}

/// Nodes before edges, edges before deletions: whatever a deletion leaves without need goes with it.
pub(super) async fn plan(graph: &Graph, batch: &Batch, known: &mut KnownEdges) -> Result<Plan, SinkError> {
    let (mut plan, mut refused) = (Plan::default(), Vec::new());
    let mut gone: BTreeMap<RecordType, Vec<BoltType>> = BTreeMap::new();
    let (mut entities, mut observables, mut links, mut unlinks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (_, record) in sorted(batch, RecordType::Entity).into_iter().chain(sorted(batch, RecordType::Observable)) {
        match &record.op {
            Op::Upsert(OutputRecord::Entity(value)) => entities.push(rows::entity(record, value)),
            Op::Upsert(OutputRecord::Observable(value)) => observables.push(rows::observable(record, value)),
            _ => gone.entry(record.ty).or_default().push(
                Properties::new()
                    .with("key", record.key())
                    .with("tenant", record.tenant.as_str())
                    .with("id", record.id.as_str())
                    .with_headers(record)
                    .build(),
            ),
        }
    }
    for (at, record) in sorted(batch, RecordType::Link) {
        match &record.op {
            Op::Upsert(OutputRecord::Link(value)) => links.push(rows::link(record, value)),
            _ => match LinkRecord::from_id(&record.tenant, &record.id) {
                Some(value) => unlinks.push(rows::link(record, &value)),
                None => refused.push(Refused { at, reason: "invalid-key", message: "expected entity|observable|role".into() }),
            },
        }
    }
    if !refused.is_empty() {
        return Err(SinkError::Refused(refused));
    }
    plan.add(cypher::ENTITIES, entities);
    plan.add(cypher::OBSERVABLES, observables);
    plan.add(cypher::LINKS, links);
    edges(graph, batch, known, &mut plan).await?;
    plan.add(cypher::UNLINK, unlinks);
    for (ty, rows) in gone {
        let label = if ty == RecordType::Entity { "IntelEntity" } else { "Observable" };
        plan.add(cypher::remove_nodes(label), rows.clone());
        plan.add(cypher::stub_nodes(label), rows);
    }
    Ok(plan)
}

/// Edges with a key: relations and sightings.
async fn edges(graph: &Graph, batch: &Batch, known: &mut KnownEdges, plan: &mut Plan) -> Result<(), SinkError> {
    let mut removals: BTreeMap<u16, Vec<BoltType>> = BTreeMap::new();
    // By type, by label of the target, and whether it is new.
    let mut upserts: BTreeMap<(u16, &'static str, bool), Vec<BoltType>> = BTreeMap::new();
    for (_, record) in sorted(batch, RecordType::Relation).into_iter().chain(sorted(batch, RecordType::Sighting)) {
        let key = record.key();
        let held = known.may_hold(&key);
        let edge = edge(record, &key);
        let mine = edge.as_ref().map(|edge| known.number(&edge.ty));
        for ty in &held {
            let keep = mine == Some(*ty);
            let (a, b) = edge.as_ref().map_or(("", ""), |edge| (&edge.a, &edge.b));
            let row = Properties::new().with("key", key.as_str()).with("keep", keep).with("a", a).with("b", b);
            removals.entry(*ty).or_default().push(row.with("epoch", rows::epoch(record)).build());
        }
        if let (Some(edge), Some(ty)) = (edge, mine) {
            let fresh = !held.contains(&ty);
            known.add(&key, ty);
            upserts.entry((ty, edge.to, fresh)).or_default().push(edge.row);
        }
    }
    let types: Vec<u16> = upserts.keys().map(|(ty, ..)| *ty).chain(removals.keys().copied()).collect();
    for ty in types {
        // Schema and data cannot change in one transaction.
        if !known.is_indexed(ty) {
            session::run(graph, "create an index", query(&cypher::edge_index(known.name(ty)))).await?;
            known.indexed(ty);
        }
    }
    removals.into_iter().for_each(|(ty, rows)| plan.add(cypher::remove_edges(known.name(ty)), rows));
    for ((ty, to, fresh), rows) in upserts {
        plan.fresh |= fresh;
        plan.add(cypher::edges(known.name(ty), to, fresh), rows);
    }
    Ok(())
}

struct Edge {
    ty: String,
    to: &'static str,
    a: String,
    b: String,
    row: BoltType,
}

/// The edge of an upsert; none for a delete.
fn edge(record: &SinkRecord, key: &str) -> Option<Edge> {
    let properties = || Properties::new().with("key", key).with("tenant", record.tenant.as_str()).with("id", record.id.as_str());
    let (ty, to, from_id, to_id, properties) = match &record.op {
        Op::Upsert(OutputRecord::Relation(value)) => {
            let properties = properties().with("type", value.ty.as_str());
            (edge_type(&value.ty), "IntelEntity", &value.source_id, &value.target_id, properties)
        }
        Op::Upsert(OutputRecord::Sighting(value)) => {
            let properties = properties()
                .with("event_id", value.event_id.as_str())
                .with_time("seen", Some(value.seen))
                .with("retracted", value.retracted);
            (SIGHTED.to_owned(), "Observable", &value.entity_id, &value.observable_id, properties)
        }
        _ => return None,
    };
    let (a, b) = (format!("{}:{from_id}", record.tenant), format!("{}:{to_id}", record.tenant));
    let row = Properties::new()
        .with("a", a.as_str())
        .with("a_id", from_id.as_str())
        .with("b", b.as_str())
        .with("b_id", to_id.as_str())
        .with("edge", properties.with_headers(record).build())
        .build();
    Some(Edge { ty, to, a, b, row })
}

/// The newest of each key, by key: writers that lock nodes in one order do not deadlock.
fn sorted(batch: &Batch, ty: RecordType) -> Vec<(usize, &SinkRecord)> {
    let mut records = batch.newest(ty);
    records.sort_unstable_by(|(_, a), (_, b)| (&a.tenant, &a.id).cmp(&(&b.tenant, &b.id)));
    records
}
