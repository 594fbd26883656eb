//! A store against the view of the topics.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sightline_log::{Log, LogError, Offset, TopicPartition};
use sightline_schemas::avro::{Decoder, RecordType};
use sightline_schemas::registry::SchemaRegistry;
use sightline_schemas::topic::Topics;
use tokio::time::Instant;

use super::view::View;
use crate::sink::{SinkConnector, SinkError, Stored};

/// How often the store's positions are looked at while it catches up.
const LOOK: Duration = Duration::from_millis(200);

/// The difference between a store and the topics, at the epoch up to which the topics were read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// The highest epoch in the topics.
    pub epoch: u64,
    /// By record type.
    pub types: BTreeMap<RecordType, TypeReport>,
    /// Records of the topics that no store can hold; they are in the dead letters.
    pub undecodable: u64,
}

/// The difference in one record type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TypeReport {
    /// Records that are the same.
    pub equal: u64,
    /// Keys that the store lacks, sorted.
    pub missing: Vec<String>,
    /// Keys that only the store holds, sorted.
    pub extra: Vec<String>,
    /// Keys whose values differ, sorted.
    pub different: Vec<String>,
    /// Records of the store that are older than what the log still holds: not a fault.
    pub beyond_retention: u64,
    /// Keys written while the comparison ran: not compared.
    pub in_flight: u64,
}

impl Report {
    /// Whether store and topics agree. Records that nobody can read are no agreement: the topics hold more than any store can.
    pub fn is_equal(&self) -> bool {
        self.undecodable == 0 && self.types.values().all(|ty| ty.missing.is_empty() && ty.extra.is_empty() && ty.different.is_empty())
    }
}

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The store is behind.
    #[error("the store is at offset {} of {partition} and did not reach {} in time; is its connector running?", at.0, end.0)]
    Behind {
        /// Partition.
        partition: TopicPartition,
        /// Where the store is.
        at: Offset,
        /// Where the topic ended when the comparison started.
        end: Offset,
    },
}

/// Compares `sink`, which need not be opened, with the topics of `types`: waits up to `patience` until the store has reached the ends
/// that the topics have now, then compares every record by key and digest. Keys written meanwhile are left out and counted.
///
/// The keys and digests of the topics are held in memory: about 100 bytes a record.
///
/// # Errors
/// [`VerifyError`].
pub async fn verify(
    log: &dyn Log,
    registry: Arc<dyn SchemaRegistry>,
    topics: &Topics,
    types: &[RecordType],
    sink: &mut dyn SinkConnector,
    patience: Duration,
) -> Result<Report, VerifyError> {
    let mut decoder = Decoder::new(registry);
    let mut view = View::read(log, &mut decoder, topics, types, &|record| sink.digest(record))?;
    wait_for(sink, &view.last, patience).await?;
    let mut report = Report { epoch: view.epoch, undecodable: view.undecodable, ..Report::default() };
    for ty in types {
        let expected = view.held.remove(ty).unwrap_or_default();
        let compared = compare(sink, *ty, expected, view.trimmed.contains(ty)).await?;
        report.types.insert(*ty, compared);
    }
    if !report.is_equal() {
        let touched = View::touched_since(log, &mut decoder, topics, types, &view.ends)?;
        for (ty, compared) in &mut report.types {
            for keys in [&mut compared.missing, &mut compared.extra, &mut compared.different] {
                let before = keys.len();
                keys.retain(|key| !touched.contains(&(*ty, key.clone())));
                compared.in_flight += (before - keys.len()) as u64;
            }
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
    mut expected: HashMap<String, sightline_schemas::ContentHash>,
    trimmed: bool,
) -> Result<TypeReport, SinkError> {
    let mut report = TypeReport::default();
    sink.scan(ty, &mut |Stored { key, digest }| match expected.remove(&key) {
        Some(same) if same == digest => report.equal += 1,
        Some(_) => report.different.push(key),
        None if trimmed => report.beyond_retention += 1,
        None => report.extra.push(key),
    })
    .await?;
    report.missing = expected.into_keys().collect();
    for keys in [&mut report.missing, &mut report.extra, &mut report.different] {
        keys.sort_unstable();
    }
    Ok(report)
}
