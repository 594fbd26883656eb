//! Statements outside batches, each in a transaction of its own.
//!
//! `Graph::run` and `Graph::execute` try again by themselves for a minute, unseen; the runtime's own tries are visible and can be stopped.
use neo4rs::{Graph, Query, Row};

use super::failed;
use crate::sink::SinkError;

/// Runs a statement that answers nothing.
pub(super) async fn run(graph: &Graph, what: &'static str, statement: Query) -> Result<(), SinkError> {
    read(graph, what, statement, |_| Ok(())).await
}

/// Runs a statement and gives each row of its answer to `visit`.
pub(super) async fn read(
    graph: &Graph,
    what: &'static str,
    statement: Query,
    mut visit: impl FnMut(Row) -> Result<(), neo4rs::DeError>,
) -> Result<(), SinkError> {
    let failed = failed(what);
    let mut transaction = graph.start_txn().await.map_err(failed)?;
    let mut rows = transaction.execute(statement).await.map_err(failed)?;
    while let Some(row) = rows.next(&mut transaction).await.map_err(failed)? {
        visit(row).map_err(|error| SinkError::fatal(what, error))?;
    }
    transaction.commit().await.map_err(failed)
}
