//! A batch as one transaction.
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, ToSql, Transaction, TransactionBehavior, params};
use sightline_failpoints::{self as failpoints, Control, Point};

use super::failed;
use super::sums::seal;
use crate::batch::{Batch, Op};
use crate::canonical::instant;
use crate::relational::{Cell, SEAL, TABLES, Table, deleted_key, row};
use crate::sink::{Refused, SinkError, fail};

pub(super) fn put(connection: &mut Connection, connector: &str, generation: i64, batch: &Batch) -> Result<(), SinkError> {
    let failed = failed("write a batch");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    let mine = transaction
        .prepare_cached("SELECT 1 FROM sink_lease WHERE connector = ?1 AND generation = ?2")
        .and_then(|mut statement| statement.query_row(params![connector, generation], |_| Ok(())).optional())
        .map_err(&failed)?;
    if mine.is_none() {
        return Err(SinkError::Fenced { connector: connector.to_owned() });
    }
    // The rule that a control of the fault harness breaks: rows and offsets are one transaction.
    let split = failpoints::without(Control::OffsetFirst);
    let transaction = if split {
        positions(&transaction, connector, generation, batch)?;
        transaction.commit().map_err(&failed)?;
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?
    } else {
        transaction
    };
    fail(Point::SinkBeforeRows, connector)?;
    for table in TABLES {
        write(&transaction, table, batch)?;
    }
    fail(Point::SinkBeforeOffset, connector)?;
    if !split {
        positions(&transaction, connector, generation, batch)?;
    }
    fail(Point::SinkBeforeCommit, connector)?;
    transaction.commit().map_err(&failed)?;
    fail(Point::SinkAfterCommit, connector)
}

fn positions(transaction: &Transaction<'_>, connector: &str, generation: i64, batch: &Batch) -> Result<(), SinkError> {
    for (partition, next) in &batch.next {
        transaction
            .prepare_cached(
                "INSERT INTO sink_offset VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (connector, topic, part)
                 DO UPDATE SET next_offset = excluded.next_offset, epoch = max(epoch, excluded.epoch), generation = excluded.generation",
            )
            .and_then(|mut statement| {
                let epoch = i64::try_from(batch.epoch()).unwrap_or(i64::MAX);
                statement.execute(params![connector, &*partition.topic, partition.partition, next.0, epoch, generation])
            })
            .map_err(failed("write the positions"))?;
    }
    Ok(())
}

/// The newest record of each key of one table; returns how many rows were written or removed.
pub(super) fn write(transaction: &Transaction<'_>, table: &Table, batch: &Batch) -> Result<u64, SinkError> {
    let records = batch.newest(table.ty);
    let mut changed = 0;
    if records.is_empty() {
        return Ok(changed);
    }
    let mut upsert = transaction.prepare_cached(&upsert(table)).map_err(failed("prepare a statement"))?;
    let mut delete = transaction.prepare_cached(&delete(table)).map_err(failed("prepare a statement"))?;
    for (at, record) in records {
        let written = match &record.op {
            Op::Upsert(value) => {
                let cells = row(record, value);
                bound(&cells).and_then(|cells| upsert.execute(rusqlite::params_from_iter(cells)))
            }
            Op::Delete => {
                let mut key = deleted_key(record)
                    .map_err(|error| SinkError::Refused(vec![Refused { at, reason: "invalid-key", message: error.to_string() }]))?;
                key.push(Cell::Int(i64::try_from(record.epoch).unwrap_or(i64::MAX)));
                delete.execute(rusqlite::params_from_iter(key.iter().map(Bound)))
            }
        };
        let written = written.map_err(failed("write a batch")).map_err(|error| match error {
            SinkError::Data { reason, message } => SinkError::Refused(vec![Refused { at, reason, message }]),
            other => other,
        });
        changed += written? as u64;
    }
    Ok(changed)
}

fn upsert(table: &Table) -> String {
    let places: Vec<String> = (1..=table.columns.len() + 1).map(|n| format!("?{n}")).collect();
    let others = table.other_columns().iter().map(|c| c.name).chain([SEAL]);
    let set: Vec<String> = others.map(|name| format!("{name} = excluded.{name}")).collect();
    format!(
        "INSERT INTO {name} ({columns}, {SEAL}) VALUES ({places}) ON CONFLICT ({key}) DO UPDATE SET {set} \
         WHERE {name}.epoch <= excluded.epoch",
        name = table.name,
        columns = Table::names(table.columns),
        places = places.join(", "),
        key = Table::names(table.key_columns()),
        set = set.join(", "),
    )
}

fn delete(table: &Table) -> String {
    let key: Vec<String> = table.key_columns().iter().enumerate().map(|(at, c)| format!("{} = ?{}", c.name, at + 1)).collect();
    format!("DELETE FROM {} WHERE {} AND epoch <= ?{}", table.name, key.join(" AND "), table.key + 1)
}

/// A row's cells as the table takes them, and their seal.
fn bound<'a>(cells: &'a [Cell<'_>]) -> rusqlite::Result<Vec<ToSqlOutput<'a>>> {
    let mut bound = cells.iter().map(sql).collect::<rusqlite::Result<Vec<_>>>()?;
    let seal = seal(bound.iter().map(value), &mut Vec::with_capacity(512));
    bound.push(ToSqlOutput::Owned(Value::Integer(seal)));
    Ok(bound)
}

fn value<'a>(output: &'a ToSqlOutput<'_>) -> ValueRef<'a> {
    match output {
        ToSqlOutput::Borrowed(value) => *value,
        ToSqlOutput::Owned(value) => value.into(),
        // No cell becomes anything else.
        _ => ValueRef::Null,
    }
}

struct Bound<'a>(&'a Cell<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        sql(self.0)
    }
}

fn sql<'a>(cell: &'a Cell<'_>) -> rusqlite::Result<ToSqlOutput<'a>> {
    Ok(match cell {
        Cell::Null => ToSqlOutput::Owned(Value::Null),
        Cell::Text(text) | Cell::Json(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        Cell::TextList(list) => ToSqlOutput::Owned(Value::Text(
            serde_json::to_string(list).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?,
        )),
        Cell::Int(number) => ToSqlOutput::Owned(Value::Integer(*number)),
        Cell::Bool(truth) => ToSqlOutput::Owned(Value::Integer(i64::from(*truth))),
        Cell::Time(micros) => ToSqlOutput::Owned(Value::Text(instant(*micros))),
    })
}
