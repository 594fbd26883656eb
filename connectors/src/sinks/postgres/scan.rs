//! Reads a table back.
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::error::Error;
use std::pin::pin;

use futures_util::TryStreamExt;
use sightline_schemas::Micros;
use sightline_schemas::avro::RecordType;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Row};

use super::{failed, schema};
use crate::digest::Slot;
use crate::relational::{Cell, Column, ColumnType, Table, digest, key_text, place, table};
use crate::sink::{SinkError, Stored, Visit};

/// Reads rows: all of the table, or those whose digest is in `slots` and those that have none.
pub(super) async fn scan(
    client: &Client,
    schema: &str,
    ty: RecordType,
    slots: Option<&BTreeSet<Slot>>,
    visit: Visit<'_>,
) -> Result<(), SinkError> {
    let failed = failed("read a table");
    let table = table(ty);
    let mut sql = format!("SELECT {} FROM {schema}.{} AS held", columns(table), table.name);
    if let Some(slots) = slots {
        let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
        sql.push_str(&format!(" WHERE held.digest IS NULL OR held.digest & 255 IN ({})", slots.join(", ")));
    }
    let rows = match client.query_raw(&sql, std::iter::empty::<i32>()).await {
        Ok(rows) => rows,
        Err(error) if schema::nothing_there(&error) => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let mut rows = pin!(rows);
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        visit(stored(table, &row).map_err(failed)?);
    }
    Ok(())
}

/// The content columns of the row `held`, to be read by [`stored`].
pub(super) fn columns(table: &Table) -> String {
    let columns = table.content_columns().iter();
    let columns = columns.map(|column| format!("held.{}{}", column.name, if column.ty == ColumnType::Json { "::text" } else { "" }));
    columns.collect::<Vec<_>>().join(", ")
}

/// A row of [`columns`].
pub(super) fn stored(table: &Table, row: &Row) -> Result<Stored, tokio_postgres::Error> {
    let mut cells = Vec::with_capacity(table.content);
    for (at, column) in table.content_columns().iter().enumerate() {
        cells.push(cell(row, at, column)?);
    }
    let key = &cells[..table.key];
    Ok(Stored { key: key_text(key), digest: digest(&cells), place: place(key) })
}

fn cell<'a>(row: &'a Row, at: usize, column: &Column) -> Result<Cell<'a>, tokio_postgres::Error> {
    Ok(match column.ty {
        ColumnType::Text => row.try_get::<_, Option<&str>>(at)?.into(),
        ColumnType::Json => row.try_get::<_, Option<&str>>(at)?.map_or(Cell::Null, |json| Cell::Json(Cow::Borrowed(json))),
        ColumnType::TextList => row.try_get::<_, Option<Vec<String>>>(at)?.map_or(Cell::Null, |list| Cell::TextList(Cow::Owned(list))),
        ColumnType::Int => row.try_get::<_, Option<i64>>(at)?.into(),
        ColumnType::Bool => row.try_get::<_, Option<bool>>(at)?.into(),
        ColumnType::Time => row.try_get::<_, Option<Instant>>(at)?.map(|instant| instant.0).into(),
    })
}

/// `timestamptz` without the detour over a calendar: microseconds since 2000.
struct Instant(Micros);

impl<'a> FromSql<'a> for Instant {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let since_2000 = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(Micros(since_2000.saturating_add(super::copy::EPOCH_2000))))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}
