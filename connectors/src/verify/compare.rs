//! A store against the view of the topics.
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sightline_log::{Offset, TopicPartition};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::RecordType;
use tokio::time::Instant;

use super::report::{Report, TypeReport, VerifyError};
use super::view::Outputs;
use crate::sink::{SinkConnector, SinkError, Stored};

/// How often the store's positions are looked at while it catches up.
const LOOK: Duration = Duration::from_millis(200);

/// Compares `sink`, which need not be opened, with the topics: waits up to `patience` until the store has reached the ends
/// that the topics have now, then compares every record by key and digest. Keys written meanwhile are left out and counted.
///
/// The keys and digests of the topics are held in memory: about 100 bytes a record.
///
/// # Errors
/// [`VerifyError`].
pub async fn verify(outputs: &Outputs<'_>, sink: &mut dyn SinkConnector, patience: Duration) -> Result<Report, VerifyError> {
    let mut view = outputs.view(&|record| sink.digest(record))?;
    wait_for(sink, &view.last, patience).await?;
    let mut report = Report { epoch: view.epoch, undecodable: view.undecodable, ..Report::default() };
    for ty in &outputs.types {
        let expected = view.held.remove(ty).unwrap_or_default();
        let compared = compare(sink, *ty, expected, view.trimmed.contains(ty)).await?;
        report.types.insert(*ty, compared);
    }
    if !report.is_equal() {
        let touched = outputs.touched_since(&view.ends)?;
        for (ty, compared) in &mut report.types {
            let settled = |key: &str| !touched.contains(&(*ty, key.to_owned()));
            let before = compared.differences().count();
            compared.missing.retain(|key| settled(key));
            compared.extra.retain(|stored| settled(&stored.key));
            compared.different.retain(|stored| settled(&stored.key));
            compared.in_flight = (before - compared.differences().count()) as u64;
        }
    }
    Ok(report)
}

async fn wait_for(sink: &mut dyn SinkConnector, ends: &BTreeMap<TopicPartition, Offset>, patience: Duration) -> Result<(), VerifyError> {
    let deadline = Instant::now() + patience;
    loop {
        let positions: HashMap<_, _> = sink.positions().await?.into_iter().collect();
        let at = |partition| positions.get(partition).copied().unwrap_or_default();
        let Some((partition, end)) = ends.iter().find(|(partition, end)| at(partition) < **end) else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(VerifyError::Behind { partition: partition.clone(), at: at(partition), end: *end });
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn compare(
    sink: &mut dyn SinkConnector,
    ty: RecordType,
    expected: HashMap<String, ContentHash>,
    trimmed: bool,
) -> Result<TypeReport, SinkError> {
    let mut report = TypeReport::default();
    // Each with whether it was met: what comes again is one too many.
    let mut expected: HashMap<String, (ContentHash, bool)> = expected.into_iter().map(|(key, digest)| (key, (digest, false))).collect();
    sink.scan(ty, &mut |stored: Stored| match expected.get_mut(&stored.key) {
        Some((digest, met)) => match (std::mem::replace(met, true), *digest == stored.digest) {
            (true, _) => report.extra.push(stored),
            (false, true) => report.equal += 1,
            (false, false) => report.different.push(stored),
        },
        None if trimmed => report.beyond_retention += 1,
        None => report.extra.push(stored),
    })
    .await?;
    report.missing = expected.into_iter().filter(|(_, (_, met))| !met).map(|(key, _)| key).collect();
    report.missing.sort_unstable();
    for wrong in [&mut report.extra, &mut report.different] {
        wrong.sort_unstable_by(|a, b| (&a.key, &a.place).cmp(&(&b.key, &b.place)));
    }
    Ok(report)
}
