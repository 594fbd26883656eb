//! Gives records of the output topics to a store again, beside its running connector.
//!
//! ```text
//!  span      what was asked for → offsets, by partition; refuses what the log no longer holds
//!  newest    the last record of each key in them: of an older one the store has no use
//!  give      reads these, decodes, and mends the store with them
//! ```
//! A store that was whole is not changed by it: every write is ordered by epoch. [`mod@rebuild`] is the same into a new place beside the live one.
mod error;
mod give;
mod newest;
mod patience;
mod read;
pub mod rebuild;
mod span;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sightline_log::{Log, Record};
use sightline_schemas::avro::RecordType;
use sightline_schemas::registry::SchemaRegistry;
use sightline_schemas::topic::Topics;

pub use error::ReplayError;
pub use rebuild::rebuild;
pub use span::{Begin, End};

use crate::runtime::ConnectorConfig;
use crate::sink::SinkConnector;
use give::{Giver, Live};
use newest::Newest;
use patience::Patience;

/// What a replay works with.
pub struct Source {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The registry.
    pub registry: Arc<dyn SchemaRegistry>,
    /// Names of topics.
    pub topics: Topics,
    /// How long a store may be away before the replay gives up.
    pub patience: Duration,
}

/// What to give.
#[derive(Clone, Debug)]
pub struct Request {
    /// The topics, as types of the connector.
    pub types: Vec<RecordType>,
    /// Where to begin.
    pub begin: Begin,
    /// Where to end.
    pub end: End,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Records read in the span.
    pub read: u64,
    /// Of these, records after which another of the same key comes: they were not given.
    pub superseded: u64,
    /// Records that the store took.
    pub written: u64,
    /// Records that the store held already, or held newer.
    pub held: u64,
    /// Records that nobody can read, or that the store will never take: they are in the dead letters since they first came.
    pub refused: u64,
    /// How long it took.
    pub took: Duration,
}

/// Told of progress: records passed, and how many there are, as far as offsets tell.
pub type Watch<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

/// Gives the records of `request` to `sink`, which was never opened, beside its connector.
///
/// Of each key the last record in the span is given, unless a newer one stands behind the span: so nothing goes back in time. The
/// span ends where the store's own positions are: what comes after them is for the connector to write. Deletes that come while
/// records are given are repeated, as a row that was deleted has no epoch that could keep an older record out.
///
/// # Errors
/// [`ReplayError`]. What was given before a failure stays, and does no harm; the same replay can be run again.
pub async fn replay(
    source: &Source,
    config: &ConnectorConfig,
    request: &Request,
    sink: &mut dyn SinkConnector,
    watch: Watch<'_>,
) -> Result<Summary, ReplayError> {
    let began = Instant::now();
    let positions = Patience { source, config }.for_store(async || sink.positions().await).await?;
    if positions.is_empty() {
        return Err(ReplayError::NeverRan { connector: config.name.clone() });
    }
    let span = span::find(&*source.log, &source.topics, request, &positions.into_iter().collect())?;
    let total = 2 * span.offsets();
    let newest = Newest::read(&*source.log, &span, &mut |passed| watch(passed, total))?;
    let after = newest.after.clone();
    let newest = Arc::new(newest);
    let mut giver = Giver::new(source, config);
    let mut live = Live(sink);
    let (last, passed) = (Arc::clone(&newest), span.offsets());
    let which = Box::new(move |partition: &_, record: &_| last.is_last(partition, record));
    giver.give(&span, which, &mut live, &mut |given| watch(passed + given, total)).await?;
    let mut summary = std::mem::take(&mut giver.summary);
    // A row that was deleted meanwhile has no epoch that would have kept the older record out: the delete comes once more.
    let which = Box::new(move |partition: &_, record: &Record| record.value.is_none() && newest.holds(partition, record));
    giver.give(&after.after(&*source.log)?, which, &mut live, &mut |_| {}).await?;
    summary.took = began.elapsed();
    Ok(summary)
}
