//! Adds a table up. SQLite has no hash of its own, so the rows are read; but they are neither decoded nor given out.
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::RecordType;

use super::{SqliteConfig, failed, schema};
use crate::digest::{Digest, Sums, slot_of};
use crate::relational::{Cell, SEAL, Table, key_text, table};
use crate::sink::SinkError;

const WHAT: &str = "add a table up";

/// The seal of a row: a hash of its cells as the table holds them, in `bytes`, which need not be made anew for each row.
pub(super) fn seal<'a>(cells: impl Iterator<Item = ValueRef<'a>>, bytes: &mut Vec<u8>) -> i64 {
    bytes.clear();
    let text = |tag: u8, text: &[u8], bytes: &mut Vec<u8>| {
        bytes.push(tag);
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text);
    };
    for cell in cells {
        match cell {
            ValueRef::Null => bytes.push(0),
            ValueRef::Integer(number) => text(1, &number.to_le_bytes(), bytes),
            ValueRef::Real(number) => text(2, &number.to_le_bytes(), bytes),
            ValueRef::Text(value) => text(3, value, bytes),
            ValueRef::Blob(value) => text(4, value, bytes),
        }
    }
    ContentHash::of(bytes).0[0].cast_signed()
}

/// Half of the rows are added up by a thread of its own, which ends with the call.
pub(super) fn sums(connection: &Connection, config: &SqliteConfig, ty: RecordType) -> Result<Option<Sums>, SinkError> {
    let failed = failed(WHAT);
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
    // Each found at an end of the table, and not by reading it.
    let middle = format!("SELECT ((SELECT min(rowid) FROM {0}) + (SELECT max(rowid) FROM {0})) / 2", table.name);
    let Some(middle) = connection.query_row(&middle, [], |row| row.get::<_, Option<i64>>(0)).map_err(&failed)? else {
        return Ok(Some(Sums::default()));
    };
    std::thread::scope(|scope| {
        let upper = || half(&schema::connect(config)?, table, "rowid > ?1", middle);
        let upper = std::thread::Builder::new().name("sums".into()).spawn_scoped(scope, upper);
        let upper = upper.map_err(|error| SinkError::retriable(WHAT, error))?;
        let mut sums = half(connection, table, "rowid <= ?1", middle)?;
        sums.merge(&upper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        Ok(Some(sums))
    })
}

fn half(connection: &Connection, table: &Table, which: &str, middle: i64) -> Result<Sums, SinkError> {
    let failed = failed(WHAT);
    let sql = format!("SELECT {}, {SEAL} FROM {} WHERE {which}", Table::names(table.columns), table.name);
    let mut statement = connection.prepare(&sql).map_err(&failed)?;
    let mut rows = statement.query([middle]).map_err(&failed)?;
    let (mut sums, mut bytes) = (Sums::default(), Vec::new());
    let last = table.columns.len();
    let epoch_at = table.columns.iter().position(|column| column.name == "epoch");
    while let Some(row) = rows.next().map_err(&failed)? {
        let cell = |at| row.get_ref(at).unwrap_or(ValueRef::Null);
        let sealed = cell(last) == ValueRef::Integer(seal((0..last).map(cell), &mut bytes));
        match cell(last - 1) {
            ValueRef::Integer(digest) => {
                let epoch = match epoch_at.map(cell) {
                    Some(ValueRef::Integer(epoch)) if table.ty != RecordType::Event => epoch.cast_unsigned(),
                    _ => 0,
                };
                let digest = Digest { bits: digest.cast_unsigned(), epoch };
                sums.of(digest).add(digest);
                sums.doubtful.extend((!sealed).then(|| digest.slot()));
            }
            _ => {
                let text = |at| cell(at).as_str().unwrap_or_default().into();
                let key: Vec<Cell<'_>> = (0..table.key).map(text).collect();
                sums.doubtful.insert(slot_of(key_text(&key).as_bytes()));
            }
        }
    }
    Ok(sums)
}
