//! Rows of the SQLite file, counted with plain SQL.
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, OpenFlags};
use sightline_log::{Offset, TopicPartition};

/// Topic → table.
pub const TABLES: [(&str, &str); 7] = [
    ("out.entities", "entity"),
    ("out.observables", "observable"),
    ("out.relations", "relation"),
    ("out.links", "entity_observable"),
    ("out.packages", "package"),
    ("out.events", "event"),
    ("out.sightings", "sighting"),
];

fn open(path: &Path) -> Result<Option<Connection>> {
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?))
}

/// How many rows each table has, by topic.
pub fn rows(path: &Path) -> Result<BTreeMap<&'static str, u64>> {
    let mut rows = BTreeMap::new();
    if let Some(connection) = open(path)? {
        for (topic, table) in TABLES {
            let count: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
            rows.insert(topic, count.unsigned_abs());
        }
    }
    Ok(rows)
}

/// The positions that the store holds.
pub fn positions(path: &Path) -> Result<BTreeMap<TopicPartition, Offset>> {
    let Some(connection) = open(path)? else { return Ok(BTreeMap::new()) };
    let Ok(mut statement) = connection.prepare("SELECT topic, part, next_offset FROM sink_offset") else { return Ok(BTreeMap::new()) };
    let rows = statement.query_map([], |row| Ok((TopicPartition::new(row.get::<_, String>(0)?, row.get(1)?), Offset(row.get(2)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
