//! The writing thread of a connector: takes over, finds its positions, then gathers and writes batches until it is stopped or fails.
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sightline_failpoints::{self as failpoints, Point};
use sightline_log::{Log, LogError, Offset, TopicPartition};
use sightline_schemas::avro::RecordType;
use sightline_schemas::registry::SchemaRegistry;
use sightline_schemas::topic::Topics;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::agreement::Ask;
use super::backoff::Backoff;
use super::config::ConnectorConfig;
use super::reader::{Chunk, Chunks, Reader, Rejected};
use super::status::ConnectorState;
use super::write::{BatchWriter, End};
use crate::batch::{Batch, SinkRecord};

/// On a stop the batch in hand is written, unless the store is too slow for even that.
const DRAIN: Duration = Duration::from_secs(10);

pub(super) struct Task {
    pub config: ConnectorConfig,
    pub types: Vec<RecordType>,
    pub topics: Topics,
    pub log: Arc<dyn Log>,
    pub registry: Arc<dyn SchemaRegistry>,
    pub writer: BatchWriter,
    /// Asked between two batches, when nothing is under way.
    pub asks: mpsc::Receiver<Ask>,
}

/// Records on their way into a batch.
#[derive(Default)]
struct Gathered {
    batch: Batch,
    bytes: usize,
    rejected: Vec<Rejected>,
    since: Option<Instant>,
}

impl Gathered {
    fn add(&mut self, chunk: Chunk) {
        self.bytes += chunk.records.iter().map(SinkRecord::bytes).sum::<usize>();
        self.batch.records.extend(chunk.records);
        self.rejected.extend(chunk.rejected);
        self.batch.next = chunk.next;
        self.since.get_or_insert_with(Instant::now);
    }
}

impl Task {
    /// Runs to the end of the connector.
    pub(super) async fn run(mut self) {
        let end = self.life().await;
        self.writer.sink.close().await;
        let (state, error) = match end {
            Ok(()) | Err(End::Stopped) => (ConnectorState::Stopped, None),
            Err(End::Failed(error)) => {
                tracing::error!(connector = self.config.name, error, "connector failed");
                (ConnectorState::Failed, Some(error))
            }
        };
        self.writer.progress.send_modify(|progress| {
            progress.state = state;
            progress.error = error;
        });
    }

    async fn life(&mut self) -> Result<(), End> {
        while let Err(error) = self.writer.sink.open().await {
            self.writer.wait_after(error).await?;
        }
        failpoints::hit(Point::SinkOpened, &self.config.name);
        let from = self.positions().await?;
        self.writer.reached(&from);
        self.writer.progress.send_modify(super::status::Progress::running);
        let mut chunks = self.reader(from).start().map_err(|error| End::Failed(format!("failed to start a thread: {error}")))?;
        self.follow(&mut chunks).await
    }

    /// Where to read on: what the store says; the earliest record of a partition that it does not know.
    async fn positions(&mut self) -> Result<Vec<(TopicPartition, Offset)>, End> {
        let stored: HashMap<TopicPartition, Offset> = loop {
            match self.writer.sink.positions().await {
                Ok(stored) => break stored.into_iter().collect(),
                Err(error) => self.writer.wait_after(error).await?,
            }
        };
        loop {
            match self.start_from(&stored) {
                Ok(Ok(from)) => return Ok(from),
                Ok(Err(ahead)) => return Err(End::Failed(ahead)),
                // Whoever creates the topics may not have come that far.
                Err(error @ (LogError::Retriable { .. } | LogError::UnknownTopic(_))) => self.writer.pause(error.to_string()).await?,
                Err(error) => return Err(End::Failed(error.to_string())),
            }
        }
    }

    fn start_from(&self, stored: &HashMap<TopicPartition, Offset>) -> Result<Result<Vec<(TopicPartition, Offset)>, String>, LogError> {
        self.writer.dead_letters.ensure_topic()?;
        let mut from = Vec::new();
        for (partition, range) in ranges(&*self.log, &self.types, &self.topics)? {
            let at = stored.get(&partition).copied().unwrap_or(range.start);
            if at > range.end {
                return Ok(Err(format!(
                    "the store is at offset {} of {partition}, but the log ends at {}: the log was made anew; \
                     empty the store, or give the connector another name",
                    at.0, range.end.0
                )));
            }
            if at < range.start {
                return Ok(Err(format!(
                    "the store is at offset {} of {partition}, and the log holds nothing before {} any more: the connector was away for longer than the \
                     topic is kept, and what lay between is lost to it; give the connector another name, and it goes on from the earliest that there is",
                    at.0, range.start.0
                )));
            }
            from.push((partition, at));
        }
        Ok(Ok(from))
    }

    fn reader(&self, from: Vec<(TopicPartition, Offset)>) -> Reader {
        Reader {
            name: self.config.name.clone(),
            log: Arc::clone(&self.log),
            registry: Arc::clone(&self.registry),
            types: self.types.iter().map(|ty| (ty.topic(&self.topics).into(), *ty)).collect(),
            from,
            max: self.config.batch.records,
            backoff: Backoff::new(&self.config.backoff),
            progress: self.writer.progress.clone(),
            failing: false,
        }
    }

    async fn follow(&mut self, chunks: &mut Chunks) -> Result<(), End> {
        let mut gathered = Gathered::default();
        let mut stop = self.writer.stop.clone();
        loop {
            let due = gathered.since.map(|since| since + Duration::from_millis(self.config.batch.interval_ms));
            let chunk = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                () = sleep_until(due) => None,
                Some(ask) = self.asks.recv() => {
                    ask.answer(&mut *self.writer.sink, &self.types).await;
                    continue;
                }
                chunk = chunks.chunks.recv() => Some(chunk),
            };
            match chunk {
                None => self.write(&mut gathered).await?,
                Some(Some(Ok(chunk))) => {
                    let records = gathered.batch.records.len() + chunk.records.len();
                    let bytes = gathered.bytes + chunk.records.iter().map(SinkRecord::bytes).sum::<usize>();
                    if records > self.config.batch.records || bytes > self.config.batch.bytes {
                        self.write(&mut gathered).await?;
                    }
                    gathered.add(chunk);
                    if gathered.batch.records.len() >= self.config.batch.records || gathered.bytes >= self.config.batch.bytes {
                        self.write(&mut gathered).await?;
                    }
                }
                Some(Some(Err(error))) => return Err(End::Failed(error.to_string())),
                Some(None) => return Err(End::Failed("the reading thread ended; see the log for its reason".into())),
            }
        }
        match tokio::time::timeout(DRAIN, self.write(&mut gathered)).await {
            Ok(written) => written,
            Err(_) => Err(End::Stopped),
        }
    }

    async fn write(&mut self, gathered: &mut Gathered) -> Result<(), End> {
        let Gathered { batch, rejected, .. } = std::mem::take(gathered);
        for Rejected { record, reason, message } in &rejected {
            self.writer.dead_letter(record, reason, message).await?;
        }
        if batch.records.is_empty() && rejected.is_empty() {
            self.writer.reached(&batch.next);
            return Ok(());
        }
        self.writer.write(batch).await
    }
}

/// The partitions of the topics of `types`, with what the log holds of them.
pub(crate) fn ranges(
    log: &dyn Log,
    types: &[RecordType],
    topics: &Topics,
) -> Result<BTreeMap<TopicPartition, std::ops::Range<Offset>>, LogError> {
    let mut ranges = BTreeMap::new();
    for ty in types {
        let topic: Arc<str> = ty.topic(topics).into();
        for partition in 0..log.partitions(&topic)? {
            let partition = TopicPartition::new(Arc::clone(&topic), partition);
            let range = log.range(&partition)?;
            ranges.insert(partition, range);
        }
    }
    Ok(ranges)
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
