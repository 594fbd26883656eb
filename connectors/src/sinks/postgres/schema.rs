//! Tables, statements, generations and positions.
use sightline_log::{Offset, TopicPartition};
use sightline_schemas::avro::RecordType;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::failed;
use crate::relational::{ColumnType, SEAL, TABLES, Table};
use crate::sink::SinkError;

/// One migration at a time, whoever runs it: an arbitrary number that only Sightline takes.
const MIGRATION_LOCK: i64 = 0x5197_71e1;

/// Creates what is missing, in one transaction.
pub(super) async fn migrate(client: &mut Client, schema: &str, events: bool) -> Result<(), SinkError> {
    let failed = failed("create the tables");
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await.map_err(failed)?;
    // `CREATE SCHEMA IF NOT EXISTS` asks for the privilege even when there is nothing to create.
    let missing: bool = transaction.query_one("SELECT to_regnamespace($1) IS NULL", &[&schema]).await.map_err(failed)?.get(0);
    let mut sql = if missing { format!("CREATE SCHEMA {schema};\n") } else { String::new() };
    for table in TABLES.iter().filter(|table| events || table.ty != RecordType::Event) {
        sql.push_str(&create(schema, table));
    }
    sql.push_str(&indices(schema, events));
    for table in TABLES {
        // Tables of versions that kept no digests. Asked for first: the statement locks the table even when there is nothing to add.
        let old =
            "SELECT count(*) < 2 FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname IN ('digest', $2) AND NOT attisdropped
                   HAVING to_regclass($1) IS NOT NULL";
        let name = format!("{schema}.{}", table.name);
        let old = transaction.query_opt(old, &[&name, &SEAL]).await.map_err(failed)?;
        if old.is_some_and(|row| row.get(0)) {
            sql.push_str(&format!("ALTER TABLE {name} ADD COLUMN IF NOT EXISTS digest bigint, ADD COLUMN IF NOT EXISTS {SEAL} bigint;\n"));
        }
    }
    transaction.batch_execute(&sql).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

fn create(schema: &str, table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let ty = match column.ty {
                ColumnType::Text => "text",
                ColumnType::TextList => "text[]",
                ColumnType::Int => "bigint",
                ColumnType::Bool => "boolean",
                ColumnType::Time => "timestamptz",
                ColumnType::Json => "jsonb",
            };
            format!("{} {ty}{}", column.name, if column.nullable { "" } else { " NOT NULL" })
        })
        .collect();
    let (columns, key, name) = (columns.join(", ") + &format!(", {SEAL} bigint"), conflict_key(table), table.name);
    match table.ty {
        RecordType::Event => format!(
            "CREATE TABLE IF NOT EXISTS {schema}.{name} ({columns}, PRIMARY KEY ({key})) PARTITION BY RANGE (timestamp);\n\
             CREATE TABLE IF NOT EXISTS {schema}.event_other PARTITION OF {schema}.event DEFAULT;\n"
        ),
        _ => format!("CREATE TABLE IF NOT EXISTS {schema}.{name} ({columns}, PRIMARY KEY ({key}));\n"),
    }
}

/// The primary key; a partitioned table's must hold the column that it is partitioned by. An event's time follows from its id, so the
/// key is as unique with it as without.
fn conflict_key(table: &Table) -> String {
    let key = Table::names(table.key_columns());
    if table.ty == RecordType::Event { format!("{key}, timestamp") } else { key }
}

fn indices(schema: &str, events: bool) -> String {
    // A hash index on `value`: a URL may be longer than an entry of a B-tree.
    let mut sql = format!(
        "CREATE INDEX IF NOT EXISTS entity_type ON {schema}.entity (type);
         CREATE INDEX IF NOT EXISTS observable_kind ON {schema}.observable (kind);
         CREATE INDEX IF NOT EXISTS observable_value ON {schema}.observable USING hash (value);
         CREATE INDEX IF NOT EXISTS entity_observable_observable ON {schema}.entity_observable (observable_id);
         CREATE INDEX IF NOT EXISTS relation_source ON {schema}.relation (source_id);
         CREATE INDEX IF NOT EXISTS relation_target ON {schema}.relation (target_id);
         CREATE INDEX IF NOT EXISTS sighting_seen ON {schema}.sighting (seen);
         CREATE TABLE IF NOT EXISTS {schema}.sink_offset (connector text NOT NULL, topic text NOT NULL, part integer NOT NULL,
           next_offset bigint NOT NULL, epoch bigint NOT NULL, generation bigint NOT NULL, PRIMARY KEY (connector, topic, part));
         CREATE TABLE IF NOT EXISTS {schema}.sink_lease (connector text PRIMARY KEY, generation bigint NOT NULL);\n"
    );
    if events {
        sql.push_str(&format!("CREATE INDEX IF NOT EXISTS event_timestamp ON {schema}.event (timestamp);\n"));
    }
    sql
}

/// The staging table of a session. It is emptied at each commit; being temporary, it writes no WAL.
pub(super) fn staging(schema: &str, table: &Table) -> String {
    format!("CREATE TEMPORARY TABLE IF NOT EXISTS stage_{name} (LIKE {schema}.{name}) ON COMMIT DELETE ROWS", name = table.name)
}

pub(super) fn copy(table: &Table) -> String {
    format!("COPY stage_{} ({}) FROM STDIN (FORMAT binary)", table.name, Table::names(table.columns))
}

/// The seal of a row: its columns, hashed by the server's own hash functions, by which it also partitions and joins.
pub(super) fn seal(table: &Table) -> String {
    format!("hash_record_extended(ROW({}), 0)", Table::names(table.columns))
}

/// From staging into the table: never over a newer row, and nothing at all where the row is the same, so that a replay leaves no dead rows.
pub(super) fn upsert(schema: &str, table: &Table) -> String {
    let others: Vec<&str> = table.other_columns().iter().map(|c| c.name).chain([SEAL]).collect();
    let list = |prefix: &str| others.iter().map(|name| format!("{prefix}.{name}")).collect::<Vec<_>>().join(", ");
    let set: Vec<String> = others.iter().map(|name| format!("{name} = excluded.{name}")).collect();
    format!(
        "INSERT INTO {schema}.{name} AS held ({columns}, {SEAL}) SELECT {columns}, {seal} FROM stage_{name} ON CONFLICT ({key}) \
         DO UPDATE SET {set} WHERE held.epoch <= excluded.epoch AND ({held}) IS DISTINCT FROM ({new})",
        name = table.name,
        columns = Table::names(table.columns),
        seal = seal(table),
        key = conflict_key(table),
        set = set.join(", "),
        held = list("held"),
        new = list("excluded"),
    )
}

/// Deletes by lists: one array a column of the key, then one of epochs.
pub(super) fn delete(schema: &str, table: &Table) -> String {
    let arrays: Vec<String> = (1..=table.key).map(|n| format!("${n}::text[]")).collect();
    let names: Vec<String> = (1..=table.key).map(|n| format!("k{n}")).collect();
    let equal: Vec<String> = table.key_columns().iter().zip(&names).map(|(c, k)| format!("held.{} = gone.{k}", c.name)).collect();
    format!(
        "DELETE FROM {schema}.{name} AS held USING unnest({arrays}, ${last}::bigint[]) AS gone ({names}, epoch) \
         WHERE {equal} AND held.epoch <= gone.epoch",
        name = table.name,
        arrays = arrays.join(", "),
        last = table.key + 1,
        names = names.join(", "),
        equal = equal.join(" AND "),
    )
}

/// Raises the connector's generation; older holders are fenced from here on. Waits for a transaction of theirs that is under way.
pub(super) async fn take_over(client: &Client, schema: &str, connector: &str) -> Result<i64, SinkError> {
    let sql = format!(
        "INSERT INTO {schema}.sink_lease AS held VALUES ($1, 1)
         ON CONFLICT (connector) DO UPDATE SET generation = held.generation + 1 RETURNING generation"
    );
    let row = client.query_one(&sql, &[&connector]).await.map_err(failed("take the connector over"))?;
    Ok(row.get(0))
}

pub(super) async fn positions(client: &Client, schema: &str, connector: &str) -> Result<Vec<(TopicPartition, Offset)>, SinkError> {
    let sql = format!("SELECT topic, part, next_offset FROM {schema}.sink_offset WHERE connector = $1");
    match client.query(&sql, &[&connector]).await {
        Ok(rows) => Ok(rows.iter().map(|row| (TopicPartition::new(row.get::<_, String>(0), row.get(1)), Offset(row.get(2)))).collect()),
        Err(error) if nothing_there(&error) => Ok(Vec::new()),
        Err(error) => Err(failed("read the positions")(error)),
    }
}

/// A column has not been added yet.
pub(super) fn no_column(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::UNDEFINED_COLUMN)
}

/// The schema or the table has not been created yet.
pub(super) fn nothing_there(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME)
}
