//! Mends rows beside the running connector, in one transaction that holds the lease as a batch does: so the two take turns, and cannot deadlock.
use std::collections::HashMap;

use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::session::Session;
use super::{failed, scan, write};
use crate::batch::Batch;
use crate::relational::{TABLES, Table, key_at};
use crate::sink::{Mended, SinkError, Stored, Wrong};

pub(super) async fn mend(
    session: &mut Session,
    schema: &str,
    connector: &str,
    wrong: &[Wrong],
    batch: &Batch,
) -> Result<Mended, SinkError> {
    let failed = failed("mend rows");
    let work = write::work(session, schema, batch).await?;
    let transaction = session.client.transaction().await.map_err(failed)?;
    // Whatever its generation, and no row when the connector never ran: nobody is fenced.
    let lease = format!("SELECT 1 FROM {schema}.sink_lease WHERE connector = $1 FOR UPDATE");
    transaction.query_opt(&lease, &[&connector]).await.map_err(failed)?;
    let mut left = 0;
    for table in TABLES {
        let seen: Vec<&Stored> = wrong.iter().filter(|wrong| wrong.ty == table.ty).map(|wrong| &wrong.stored).collect();
        if !seen.is_empty() {
            left += take_out(&transaction, schema, table, &seen).await.map_err(failed)?;
        }
    }
    let written = write::rows(&transaction, &work).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(Mended { left, written })
}

/// Removes the rows that are still as they were seen; returns how many are not.
async fn take_out(transaction: &Transaction<'_>, schema: &str, table: &Table, seen: &[&Stored]) -> Result<u64, tokio_postgres::Error> {
    let arrays: Vec<String> = (1..=table.key).map(|n| format!("${n}::text[]")).collect();
    let names: Vec<String> = (1..=table.key).map(|n| format!("k{n}")).collect();
    let equal: Vec<String> = table.key_columns().iter().zip(&names).map(|(c, k)| format!("held.{} = wrong.{k}", c.name)).collect();
    let (arrays, names, equal) = (arrays.join(", "), names.join(", "), equal.join(" AND "));
    let keys = keys(table, seen);
    let select = format!(
        "SELECT {} FROM {schema}.{} AS held, unnest({arrays}) AS wrong ({names}) WHERE {equal} FOR UPDATE OF held",
        scan::columns(table),
        table.name
    );
    let mut held = HashMap::new();
    for row in transaction.query(&select, &parameters(&keys)).await? {
        let stored = scan::stored(table, &row)?;
        held.insert(stored.place.clone(), stored);
    }
    let same: Vec<&Stored> = seen.iter().filter(|seen| held.get(&seen.place) == Some(**seen)).copied().collect();
    let keys = self::keys(table, &same);
    let delete = format!("DELETE FROM {schema}.{} AS held USING unnest({arrays}) AS wrong ({names}) WHERE {equal}", table.name);
    transaction.execute(&delete, &parameters(&keys)).await?;
    Ok((seen.len() - same.len()) as u64)
}

/// A list a column of the key.
fn keys<'a>(table: &Table, rows: &[&'a Stored]) -> Vec<Vec<&'a str>> {
    let mut keys = vec![Vec::with_capacity(rows.len()); table.key];
    for row in rows {
        keys.iter_mut().zip(key_at(&row.place)).for_each(|(column, part)| column.push(part));
    }
    keys
}

fn parameters<'a>(keys: &'a [Vec<&str>]) -> Vec<&'a (dyn ToSql + Sync)> {
    keys.iter().map(|column| column as &(dyn ToSql + Sync)).collect()
}
