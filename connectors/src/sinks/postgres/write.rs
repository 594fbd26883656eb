//! A batch as one transaction.
use std::pin::pin;

use bytes::Bytes;
use futures_util::SinkExt;
use sightline_failpoints::Point;
use tokio_postgres::types::ToSql;
use tokio_postgres::{CopyInSink, Transaction};

use super::copy::Rows;
use super::failed;
use super::session::{Prepared, Session};
use crate::batch::{Batch, Op, SinkRecord};
use crate::relational::{Cell, TABLES, Table, deleted_key, row};
use crate::sink::{Refused, SinkError, fail};

/// Rows are handed to the connection in pieces of about this size: large enough to fill packets, small enough to encode meanwhile.
const PIECE: usize = 256 << 10;

pub(super) async fn put(session: &mut Session, schema: &str, connector: &str, generation: i64, batch: &Batch) -> Result<(), SinkError> {
    let failed = failed("write a batch");
    let work = work(session, schema, batch).await?;
    let transaction = session.client.transaction().await.map_err(failed)?;
    // Locks the lease to the end of the transaction: whoever takes over waits, and then sees all of it.
    let lease = format!("SELECT 1 FROM {schema}.sink_lease WHERE connector = $1 AND generation = $2 FOR UPDATE");
    if transaction.query_opt(&lease, &[&connector, &generation]).await.map_err(failed)?.is_none() {
        return Err(SinkError::Fenced { connector: connector.to_owned() });
    }
    fail(Point::SinkBeforeRows, connector)?;
    rows(&transaction, &work).await?;
    fail(Point::SinkBeforeOffset, connector)?;
    positions(&transaction, schema, connector, generation, batch).await?;
    fail(Point::SinkBeforeCommit, connector)?;
    transaction.commit().await.map_err(failed)?;
    fail(Point::SinkAfterCommit, connector)
}

type Placed<'a> = (usize, &'a SinkRecord);
/// The records of one table, and the statements that write them.
pub(super) type Work<'a> = (&'static Table, Prepared, Vec<Placed<'a>>);

/// A batch by table.
pub(super) async fn work<'a>(session: &mut Session, schema: &str, batch: &'a Batch) -> Result<Vec<Work<'a>>, SinkError> {
    let mut work = Vec::new();
    for table in TABLES {
        let records = batch.newest(table.ty);
        if !records.is_empty() {
            work.push((table, session.prepare(schema, table).await?, records));
        }
    }
    Ok(work)
}

/// Writes the rows of a batch; returns how many changed.
pub(super) async fn rows(transaction: &Transaction<'_>, work: &[Work<'_>]) -> Result<u64, SinkError> {
    let (mut refused, mut changed) = (Vec::new(), 0);
    for (table, prepared, records) in work {
        let (upserts, deletes): (Vec<_>, Vec<_>) = records.iter().partition(|(_, record)| matches!(record.op, Op::Upsert(_)));
        changed += upsert(transaction, prepared, &upserts, &mut refused).await?;
        changed += delete(transaction, table, prepared, &deletes, &mut refused).await?;
    }
    if refused.is_empty() { Ok(changed) } else { Err(SinkError::Refused(refused)) }
}

async fn upsert(
    transaction: &Transaction<'_>,
    prepared: &Prepared,
    records: &[Placed<'_>],
    refused: &mut Vec<Refused>,
) -> Result<u64, SinkError> {
    if records.is_empty() {
        return Ok(0);
    }
    let failed = failed("write a batch");
    let sink: CopyInSink<Bytes> = transaction.copy_in(&prepared.copy).await.map_err(failed)?;
    let mut sink = pin!(sink);
    let mut rows = Rows::new();
    for (at, record) in records {
        let Op::Upsert(value) = &record.op else { continue };
        if rows.push(&row(record, value)).is_err() {
            let message = "PostgreSQL holds no text with the character NUL (U+0000)".into();
            refused.push(Refused { at: *at, reason: "nul-in-text", message });
        }
        if rows.len() >= PIECE {
            sink.send(rows.take()).await.map_err(failed)?;
        }
    }
    rows.finish();
    sink.send(rows.take()).await.map_err(failed)?;
    sink.finish().await.map_err(failed)?;
    transaction.execute(&prepared.upsert, &[]).await.map_err(failed)
}

async fn delete(
    transaction: &Transaction<'_>,
    table: &Table,
    prepared: &Prepared,
    records: &[Placed<'_>],
    refused: &mut Vec<Refused>,
) -> Result<u64, SinkError> {
    let mut keys: Vec<Vec<String>> = vec![Vec::with_capacity(records.len()); table.key];
    let mut epochs = Vec::with_capacity(records.len());
    for (at, record) in records {
        match deleted_key(record) {
            Ok(cells) => {
                for (column, cell) in keys.iter_mut().zip(cells) {
                    // A text with NUL is in no row; the empty one is in none either.
                    column.push(if let Cell::Text(text) = cell { text.replace('\0', "") } else { String::new() });
                }
                epochs.push(i64::try_from(record.epoch).unwrap_or(i64::MAX));
            }
            Err(error) => refused.push(Refused { at: *at, reason: "invalid-key", message: error.to_string() }),
        }
    }
    if epochs.is_empty() {
        return Ok(0);
    }
    let mut parameters: Vec<&(dyn ToSql + Sync)> = keys.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
    parameters.push(&epochs);
    transaction.execute(&prepared.delete, &parameters).await.map_err(failed("write a batch"))
}

async fn positions(transaction: &Transaction<'_>, schema: &str, connector: &str, generation: i64, batch: &Batch) -> Result<(), SinkError> {
    if batch.next.is_empty() {
        return Ok(());
    }
    let topics: Vec<&str> = batch.next.iter().map(|(partition, _)| &*partition.topic).collect();
    let parts: Vec<i32> = batch.next.iter().map(|(partition, _)| partition.partition).collect();
    let nexts: Vec<i64> = batch.next.iter().map(|(_, next)| next.0).collect();
    let epoch = i64::try_from(batch.epoch()).unwrap_or(i64::MAX);
    let sql = format!(
        "INSERT INTO {schema}.sink_offset AS held
         SELECT $1, at.topic, at.part, at.next, $5, $6 FROM unnest($2::text[], $3::integer[], $4::bigint[]) AS at (topic, part, next)
         ON CONFLICT (connector, topic, part) DO UPDATE SET next_offset = excluded.next_offset,
           epoch = greatest(held.epoch, excluded.epoch), generation = excluded.generation"
    );
    let parameters: [&(dyn ToSql + Sync); 6] = [&connector, &topics, &parts, &nexts, &epoch, &generation];
    transaction.execute(&sql, &parameters).await.map_err(failed("write the positions"))?;
    Ok(())
}
