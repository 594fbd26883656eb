//! Mends rows beside the running connector: SQLite lets one transaction write at a time, so what is looked at stays as it is until it is mended.
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params_from_iter};

use super::{failed, scan, write};
use crate::batch::Batch;
use crate::relational::{TABLES, Table, key_at, table};
use crate::sink::{Mended, SinkError, Wrong};

pub(super) fn mend(connection: &mut Connection, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
    let failed = failed("mend rows");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    let mut mended = Mended::default();
    for wrong in wrong {
        mended.left += u64::from(!take_out(&transaction, wrong).map_err(&failed)?);
    }
    for table in TABLES {
        mended.written += write::write(&transaction, table, batch)?;
    }
    transaction.commit().map_err(&failed)?;
    Ok(mended)
}

/// False when the row is no longer the one that was seen.
fn take_out(transaction: &Transaction<'_>, Wrong { ty, stored }: &Wrong) -> rusqlite::Result<bool> {
    let table = table(*ty);
    let key: Vec<String> = table.key_columns().iter().enumerate().map(|(at, c)| format!("{} = ?{}", c.name, at + 1)).collect();
    let (key, parameters) = (key.join(" AND "), || params_from_iter(key_at(&stored.place)));
    let select = format!("SELECT {} FROM {} WHERE {key}", Table::names(table.content_columns()), table.name);
    let held = transaction.prepare_cached(&select)?.query_row(parameters(), |row| scan::stored(table, row)).optional()?;
    if held.as_ref() != Some(stored) {
        return Ok(false);
    }
    transaction.prepare_cached(&format!("DELETE FROM {} WHERE {key}", table.name))?.execute(parameters())?;
    Ok(true)
}
