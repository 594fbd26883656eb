//! A store against the view of the topics.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use sightline_log::{Offset, TopicPartition};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::RecordType;
use tokio::time::Instant;

use super::report::{Report, TypeReport, VerifyError};
use super::view::{Outputs, View};
use crate::digest::{SLOTS, Slot, all_slots};
use crate::sink::{SinkConnector, SinkError, Stored};

/// How often the store's positions are looked at while it catches up.
const LOOK: Duration = Duration::from_millis(200);

/// Compares `sink`, which need not be opened, with the topics of `outputs` as `view` has them: waits up to `patience` until the store has come as far,
/// then compares what the records add up to, slot by slot, and record by record where that differs. Keys written meanwhile are left out and counted.
///
/// # Errors
/// [`VerifyError`].
pub async fn verify(outputs: &Outputs<'_>, view: &View, sink: &mut dyn SinkConnector, patience: Duration) -> Result<Report, VerifyError> {
    let ends = view.last.iter().filter(|(partition, _)| outputs.types.iter().any(|ty| ty.topic(outputs.topics) == *partition.topic));
    wait_for(sink, &ends.map(|(partition, end)| (partition.clone(), *end)).collect(), patience).await?;
    let mut report = Report { epoch: view.epoch, ..Report::default() };
    for ty in &outputs.types {
        report.undecodable += view.unreadable.get(ty).copied().unwrap_or_default();
        let expected = view.sums(*ty);
        let held = sink.sealed_sums(*ty).await?;
        let slots = held.map_or_else(all_slots, |held| expected.differing(&held));
        let mut compared = TypeReport { equal: expected.count(), ..TypeReport::default() };
        if !slots.is_empty() {
            let (fields, undecodable) = outputs.fields(*ty, &slots, view, &|record| sink.digest(record))?;
            compared.equal -= slots.iter().map(|slot| expected.slots[usize::from(*slot)].count).sum::<u64>();
            report.undecodable += undecodable;
            compare(sink, *ty, &slots, fields, view.trimmed.contains(ty), &mut compared).await?;
        }
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
        let positions: HashMap<_, _> = match sink.positions().await {
            Ok(positions) => positions.into_iter().collect(),
            // An index that is just being made, say.
            Err(error) if error.is_retriable() && Instant::now() < deadline => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let at = |partition| positions.get(partition).copied().unwrap_or_default();
        let Some((partition, end)) = ends.iter().find(|(partition, end)| at(partition) < **end) else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(VerifyError::Behind { partition: partition.clone(), at: at(partition), end: *end });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Compares the records of some slots one by one.
async fn compare(
    sink: &mut dyn SinkConnector,
    ty: RecordType,
    slots: &BTreeSet<Slot>,
    fields: HashMap<String, ContentHash>,
    trimmed: bool,
    report: &mut TypeReport,
) -> Result<(), SinkError> {
    // Each with whether it was met: what comes again is one too many.
    let mut fields: HashMap<String, (ContentHash, bool)> = fields.into_iter().map(|(key, digest)| (key, (digest, false))).collect();
    let mut visit = |stored: Stored| match fields.get_mut(&stored.key) {
        Some((digest, met)) => match (std::mem::replace(met, true), *digest == stored.digest) {
            (true, _) => report.extra.push(stored),
            (false, true) => report.equal += 1,
            (false, false) => report.different.push(stored),
        },
        None if trimmed => report.beyond_retention += 1,
        None => report.extra.push(stored),
    };
    if slots.len() == SLOTS {
        sink.scan(ty, &mut visit).await?;
    } else {
        sink.scan_slots(ty, slots, &mut visit).await?;
    }
    report.missing = fields.into_iter().filter(|(_, (_, met))| !met).map(|(key, _)| key).collect();
    report.missing.sort_unstable();
    for wrong in [&mut report.extra, &mut report.different] {
        wrong.sort_unstable_by(|a, b| (&a.key, &a.place).cmp(&(&b.key, &b.place)));
    }
    Ok(())
}
