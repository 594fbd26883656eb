//! Fills a new place beside the live one and swaps the two, while the connector goes on.
//!
//! ```text
//!  begin ► fill: all that the topics hold ► fill: what came meanwhile, until that is little ► hold ► fill: to the end of the log ► swap ► finish
//! ```
//! While the live place is held nothing is written into it, so all that it holds was in the log before, and is in the new place before the
//! two are swapped. What the connector could not write meanwhile it tries again, and that goes into the new place. Documents that are there
//! already are refused as repeated: nothing is lost, and nothing doubles.
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::give::{Giver, Taker};
use super::newest::Newest;
use super::patience::Patience;
use super::span::Span;
use super::{ReplayError, Source, Summary, Watch};
use crate::batch::Batch;
use crate::runtime::ConnectorConfig;
use crate::sink::{Rebuild, SinkConnector, SinkError};

/// So many offsets take less than a second: little enough to hold the connector for them. Where more keeps coming than can be given, it is
/// held for more.
const LITTLE: u64 = 5_000;

/// The new place.
struct New<'a>(&'a mut dyn Rebuild);

#[async_trait]
impl Taker for New<'_> {
    async fn take(&mut self, batch: &Batch) -> Result<u64, SinkError> {
        self.0.fill(batch).await
    }
}

/// Rebuilds the store of `sink`, which was never opened, beside its connector. Returns what was done, and the names of old places that somebody
/// still reads.
///
/// # Errors
/// [`ReplayError`]. The live place is then as it was; what was made beside it is removed when the rebuild is run again.
pub async fn rebuild(
    source: &Source,
    config: &ConnectorConfig,
    keep_old: bool,
    sink: &mut dyn SinkConnector,
    watch: Watch<'_>,
) -> Result<(Summary, Vec<String>), ReplayError> {
    let began = Instant::now();
    let mut types = config.record_types(sink.supports()).map_err(|error| SinkError::fatal("read the options", error))?;
    let cannot = || ReplayError::NoRebuild { connector: config.name.clone(), class: config.class.clone() };
    let new = sink.rebuild().ok_or_else(cannot)?;
    types.retain(|ty| new.types().contains(ty));
    if types.is_empty() {
        return Err(cannot());
    }
    let wait = Patience { source, config };
    wait.for_store(async || new.begin(&types).await).await?;
    let log = &*source.log;
    let span = Span::all(log, &source.topics, &types)?;
    let (half, mut giver) = (span.offsets(), Giver::new(source, config));
    let newest = Arc::new(Newest::read(log, &span, &mut |passed| watch(passed, 2 * half))?);
    let mut given = newest.after.clone();
    // A place that is new has nothing to delete.
    let which = Box::new(move |partition: &_, record: &sightline_log::Record| record.value.is_some() && newest.is_last(partition, record));
    giver.give(&span, which, &mut New(new), &mut |passed| watch(half + passed, 2 * half)).await?;
    giver.give(&given, Box::new(|_, _| true), &mut New(new), &mut |_| {}).await?;
    let mut before = u64::MAX;
    loop {
        let behind = given.after(log)?;
        let count = behind.offsets();
        if count <= LITTLE || count >= before {
            break;
        }
        giver.give(&behind, Box::new(|_, _| true), &mut New(new), &mut |_| {}).await?;
        (given, before) = (behind, count);
    }
    let swapped = async {
        wait.for_store(async || new.hold().await).await?;
        giver.give(&given.after(log)?, Box::new(|_, _| true), &mut New(new), &mut |_| {}).await?;
        wait.for_store(async || new.swap(keep_old).await).await
    }
    .await;
    if let Err(error) = swapped {
        // When this fails too, the next `begin` does it; until then the connector waits.
        wait.for_store(async || new.release().await).await?;
        return Err(error);
    }
    let left = wait.for_store(async || new.finish(source.patience).await).await?;
    let mut summary = giver.summary;
    summary.took = began.elapsed();
    Ok((summary, left))
}
