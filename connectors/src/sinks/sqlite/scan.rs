//! Reads a table back.
use std::borrow::Cow;
use std::collections::BTreeSet;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use sightline_schemas::Micros;
use sightline_schemas::avro::RecordType;

use super::failed;
use crate::digest::Slot;
use crate::relational::{Cell, ColumnType, Table, digest, key_text, place, table};
use crate::sink::{SinkError, Stored, Visit};

/// Reads rows: all of the table, or those whose digest is in `slots` and those that have none.
pub(super) fn scan(connection: &Connection, ty: RecordType, slots: Option<&BTreeSet<Slot>>, visit: Visit<'_>) -> Result<(), SinkError> {
    let failed = failed("read a table");
    let table = table(ty);
    let there = connection
        .query_row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1", [table.name], |_| Ok(()))
        .optional()
        .map_err(&failed)?;
    if there.is_none() {
        return Ok(());
    }
    let mut sql = format!("SELECT {} FROM {}", Table::names(table.content_columns()), table.name);
    if let Some(slots) = slots {
        let slots: Vec<String> = slots.iter().map(ToString::to_string).collect();
        sql.push_str(&format!(" WHERE digest IS NULL OR digest & 255 IN ({})", slots.join(", ")));
    }
    let mut statement = connection.prepare(&sql).map_err(&failed)?;
    let mut rows = statement.query([]).map_err(&failed)?;
    while let Some(row) = rows.next().map_err(&failed)? {
        visit(stored(table, row).map_err(&failed)?);
    }
    Ok(())
}

/// A row that begins with the content columns of `table`.
pub(super) fn stored(table: &Table, row: &Row<'_>) -> rusqlite::Result<Stored> {
    let mut cells = Vec::with_capacity(table.content);
    for (at, column) in table.content_columns().iter().enumerate() {
        cells.push(cell(column.ty, row.get_ref(at)?));
    }
    let key = &cells[..table.key];
    Ok(Stored { key: key_text(key), digest: digest(&cells), place: place(key) })
}

/// A value that somebody else changed into something we never write becomes a text, and so differs.
fn cell(ty: ColumnType, value: ValueRef<'_>) -> Cell<'_> {
    let text = match value {
        ValueRef::Null => return Cell::Null,
        ValueRef::Integer(number) if ty == ColumnType::Bool => return Cell::Bool(number != 0),
        ValueRef::Integer(number) => return Cell::Int(number),
        ValueRef::Real(number) => return Cell::Text(number.to_string().into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes),
    };
    match ty {
        ColumnType::Json => Cell::Json(text),
        ColumnType::Time => Micros::parse(&text).map_or(Cell::Text(text), Cell::Time),
        ColumnType::TextList => match serde_json::from_str::<Vec<String>>(&text) {
            Ok(list) => Cell::TextList(Cow::Owned(list)),
            Err(_) => Cell::Text(text),
        },
        _ => Cell::Text(text),
    }
}
