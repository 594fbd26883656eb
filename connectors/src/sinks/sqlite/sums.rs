//! Adds a table up. SQLite has no hash of its own, so the rows are read; but they are neither decoded nor given out.
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::RecordType;

use super::failed;
use crate::digest::{Digest, Sums, slot_of};
use crate::relational::{Cell, SEAL, Table, key_text, table};
use crate::sink::SinkError;

/// The seal of a row: a hash of its cells as the table holds them.
pub(super) fn seal<'a>(cells: impl Iterator<Item = ValueRef<'a>>) -> i64 {
    let mut bytes = Vec::with_capacity(512);
    let text = |tag: u8, text: &[u8], bytes: &mut Vec<u8>| {
        bytes.push(tag);
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text);
    };
    for cell in cells {
        match cell {
            ValueRef::Null => bytes.push(0),
            ValueRef::Integer(number) => text(1, &number.to_le_bytes(), &mut bytes),
            ValueRef::Real(number) => text(2, &number.to_le_bytes(), &mut bytes),
            ValueRef::Text(value) => text(3, value, &mut bytes),
            ValueRef::Blob(value) => text(4, value, &mut bytes),
        }
    }
    ContentHash::of(&bytes).0[0].cast_signed()
}

pub(super) fn sums(connection: &Connection, ty: RecordType) -> Result<Option<Sums>, SinkError> {
    let failed = failed("add a table up");
    let table = table(ty);
    let has = |column: &str| {
        let found = connection.query_row("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2", [table.name, column], |_| Ok(()));
        found.optional().map(|found| found.is_some())
    };
    if !has("epoch").map_err(&failed)? {
        return Ok(Some(Sums::default()));
    }
    // Of a version without digests, and not yet opened by this one.
    if !has(SEAL).map_err(&failed)? {
        return Ok(None);
    }
    let mut statement =
        connection.prepare(&format!("SELECT {}, {SEAL} FROM {}", Table::names(table.columns), table.name)).map_err(&failed)?;
    let mut rows = statement.query([]).map_err(&failed)?;
    let mut sums = Sums::default();
    let last = table.columns.len();
    while let Some(row) = rows.next().map_err(&failed)? {
        let cells = (0..last).map(|at| row.get_ref(at)).collect::<rusqlite::Result<Vec<_>>>().map_err(&failed)?;
        let sealed = row.get_ref(last).map_err(&failed)? == ValueRef::Integer(seal(cells.iter().copied()));
        match cells.last() {
            Some(ValueRef::Integer(digest)) => {
                let epoch = if ty == RecordType::Event { 0 } else { row.get::<_, i64>("epoch").unwrap_or_default().cast_unsigned() };
                let digest = Digest { bits: digest.cast_unsigned(), epoch };
                sums.of(digest).add(digest);
                sums.doubtful.extend((!sealed).then(|| digest.slot()));
            }
            _ => {
                let key: Vec<Cell<'_>> = cells[..table.key].iter().map(|cell| cell.as_str().unwrap_or_default().into()).collect();
                sums.doubtful.insert(slot_of(key_text(&key).as_bytes()));
            }
        }
    }
    Ok(Some(sums))
}
