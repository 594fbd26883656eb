//! Tables, generations and positions.
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};
use sightline_log::{Offset, TopicPartition};

use super::{SqliteConfig, failed};
use crate::relational::{ColumnType, SEAL, TABLES, Table};
use crate::sink::SinkError;

/// A lock of another process is waited for so long before the runtime backs off.
const BUSY: Duration = Duration::from_secs(5);

/// Indices beside the primary keys: what people ask of these tables.
const INDICES: &str = r#"
CREATE INDEX IF NOT EXISTS entity_type ON entity (type);
CREATE INDEX IF NOT EXISTS observable_kind_value ON observable (kind, value);
CREATE INDEX IF NOT EXISTS entity_observable_observable ON entity_observable (observable_id);
CREATE INDEX IF NOT EXISTS relation_source ON relation (source_id);
CREATE INDEX IF NOT EXISTS relation_target ON relation (target_id);
CREATE INDEX IF NOT EXISTS sighting_seen ON sighting (seen);
CREATE INDEX IF NOT EXISTS event_timestamp ON event (timestamp);
"#;

pub(super) fn connect(config: &SqliteConfig) -> Result<Connection, SinkError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&config.path, flags)
        .map_err(|error| SinkError::fatal("open the database", format!("{}: {error}", config.path.display())))?;
    connection.busy_timeout(BUSY).map_err(failed("set the time-out"))?;
    let synchronous = if config.durable { "FULL" } else { "OFF" };
    connection
        .execute_batch(&format!("PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA temp_store = MEMORY;"))
        .map_err(failed("configure the database"))?;
    Ok(connection)
}

/// Creates what is missing.
pub(super) fn migrate(connection: &Connection) -> Result<(), SinkError> {
    let mut sql = String::from("BEGIN IMMEDIATE;\n");
    for table in TABLES {
        sql.push_str(&create(table));
    }
    sql.push_str(INDICES);
    sql.push_str(
        "CREATE TABLE IF NOT EXISTS sink_offset (connector TEXT NOT NULL, topic TEXT NOT NULL, part INTEGER NOT NULL,
           next_offset INTEGER NOT NULL, epoch INTEGER NOT NULL, generation INTEGER NOT NULL, PRIMARY KEY (connector, topic, part)) STRICT;
         CREATE TABLE IF NOT EXISTS sink_lease (connector TEXT PRIMARY KEY, generation INTEGER NOT NULL) STRICT;
         COMMIT;",
    );
    let failed = failed("create the tables");
    connection.execute_batch(&sql).map_err(&failed)?;
    for table in TABLES {
        for column in ["digest", SEAL] {
            let there = connection
                .query_row("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2", [table.name, column], |_| Ok(()))
                .optional()
                .map_err(&failed)?;
            if there.is_none() {
                connection.execute_batch(&format!("ALTER TABLE {} ADD COLUMN {column} INTEGER", table.name)).map_err(&failed)?;
            }
        }
    }
    Ok(())
}

fn create(table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let ty = match column.ty {
                ColumnType::Text | ColumnType::TextList | ColumnType::Time | ColumnType::Json => "TEXT",
                ColumnType::Int | ColumnType::Bool => "INTEGER",
            };
            format!("{} {ty}{}", column.name, if column.nullable { "" } else { " NOT NULL" })
        })
        .collect();
    let key = Table::names(table.key_columns());
    format!("CREATE TABLE IF NOT EXISTS {} ({}, {SEAL} INTEGER, PRIMARY KEY ({key})) STRICT;\n", table.name, columns.join(", "))
}

/// Raises the connector's generation; older holders are fenced from here on.
pub(super) fn take_over(connection: &mut Connection, connector: &str) -> Result<i64, SinkError> {
    let failed = failed("take the connector over");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    let generation = transaction
        .query_row(
            "INSERT INTO sink_lease VALUES (?1, 1) ON CONFLICT (connector) DO UPDATE SET generation = generation + 1 RETURNING generation",
            [connector],
            |row| row.get(0),
        )
        .map_err(&failed)?;
    transaction.commit().map_err(&failed)?;
    Ok(generation)
}

pub(super) fn positions(connection: &Connection, connector: &str) -> Result<Vec<(TopicPartition, Offset)>, SinkError> {
    let failed = failed("read the positions");
    let there = connection
        .query_row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'sink_offset'", [], |_| Ok(()))
        .optional()
        .map_err(&failed)?;
    if there.is_none() {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare("SELECT topic, part, next_offset FROM sink_offset WHERE connector = ?1").map_err(&failed)?;
    let rows = statement
        .query_map([connector], |row| Ok((TopicPartition::new(row.get::<_, String>(0)?, row.get(1)?), Offset(row.get(2)?))))
        .map_err(&failed)?;
    rows.collect::<Result<_, _>>().map_err(&failed)
}
