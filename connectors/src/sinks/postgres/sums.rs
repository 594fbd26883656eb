//! Adds a table up, on the server.
use sightline_schemas::avro::RecordType;
use tokio_postgres::{Client, Transaction};

use super::{failed, schema};
use crate::digest::{Slot, Sums, slot_of};
use crate::relational::{Cell, SEAL, Table, key_text, table};
use crate::sink::SinkError;

/// Rows without a digest that are looked at one by one; where there are more, the table was written by an older version.
const STRANGERS: i64 = 1_000;

/// For this transaction alone. Compiling the query takes longer than running it, and the planner, which cannot know that there are 256 slots, would sort whole rows.
const SETTINGS: &str = "SET LOCAL jit = off; SET LOCAL enable_sort = off";

pub(super) async fn sums(client: &mut Client, schema: &str, ty: RecordType) -> Result<Option<Sums>, SinkError> {
    let failed = failed("add a table up");
    let client = client.build_transaction().read_only(true).start().await.map_err(failed)?;
    client.batch_execute(SETTINGS).await.map_err(failed)?;
    let table = table(ty);
    let sql = format!(
        "SELECT (digest & 255)::integer, count(*), sum(digest)::text, count(*) FILTER (WHERE {SEAL} IS DISTINCT FROM {seal}),
         sum(epoch)::text
         FROM {schema}.{name} GROUP BY 1",
        seal = schema::seal(table),
        name = table.name,
    );
    let rows = match client.query(&sql, &[]).await {
        Ok(rows) => rows,
        Err(error) if schema::nothing_there(&error) => return Ok(Some(Sums::default())),
        // Of a version without digests, and not yet opened by this one.
        Err(error) if schema::no_column(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut sums = Sums::default();
    for row in rows {
        let Some(slot) = row.get::<_, Option<i32>>(0).and_then(|slot| Slot::try_from(slot).ok()) else {
            strangers(&client, schema, table, &mut sums).await?;
            continue;
        };
        let sum = &mut sums.slots[usize::from(slot)];
        sum.count = row.get::<_, i64>(1).cast_unsigned();
        sum.digests = modulo(row.get(2))?;
        sum.epochs = if ty == RecordType::Event { 0 } else { modulo(row.get(4))? };
        if row.get::<_, i64>(3) > 0 {
            sums.doubtful.insert(slot);
        }
    }
    Ok(Some(sums))
}

/// A sum, exact and of any length, modulo 2^64.
fn modulo(sum: &str) -> Result<u64, SinkError> {
    let sum: i128 = sum.parse().map_err(|_| SinkError::fatal("add a table up", "a sum is no whole number"))?;
    Ok(sum as u64)
}

/// Doubts the slots of rows that have no digest.
async fn strangers(client: &Transaction<'_>, schema: &str, table: &Table, sums: &mut Sums) -> Result<(), SinkError> {
    let sql =
        format!("SELECT {} FROM {schema}.{} WHERE digest IS NULL LIMIT {}", Table::names(table.key_columns()), table.name, STRANGERS + 1);
    let rows = client.query(&sql, &[]).await.map_err(failed("add a table up"))?;
    if rows.len() as i64 > STRANGERS {
        sums.doubt_all();
        return Ok(());
    }
    for row in rows {
        let key: Vec<Cell<'_>> = (0..table.key).map(|at| row.get::<_, &str>(at).into()).collect();
        sums.doubtful.insert(slot_of(key_text(&key).as_bytes()));
    }
    Ok(())
}
