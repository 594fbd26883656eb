//! Reads and decodes on one thread, writes on the caller's.
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use sightline_log::{Log, LogError, Record, TopicPartition};
use sightline_schemas::avro::{Decoder, RecordType};
use sightline_schemas::registry::SchemaRegistry;
use tokio::sync::mpsc;

use super::patience::Patience;
use super::read::{self, Step};
use super::span::Span;
use super::{ReplayError, Source, Summary};
use crate::batch::{Batch, RecordError, SinkRecord};
use crate::runtime::ConnectorConfig;
use crate::runtime::backoff::Backoff;
use crate::sink::{SinkConnector, SinkError};

/// Batches that wait between the threads: one is read while one is written.
const WAITING: usize = 1;

/// What takes batches, without positions.
#[async_trait]
pub(super) trait Taker: Send {
    /// Returns how many records changed something.
    async fn take(&mut self, batch: &Batch) -> Result<u64, SinkError>;
}

/// A live store.
pub(super) struct Live<'a>(pub &'a mut dyn SinkConnector);

#[async_trait]
impl Taker for Live<'_> {
    async fn take(&mut self, batch: &Batch) -> Result<u64, SinkError> {
        Ok(self.0.mend(&[], batch).await?.written)
    }
}

/// Which records of a span are given.
pub(super) type Which = Box<dyn Fn(&TopicPartition, &Record) -> bool + Send>;

/// Gives spans to a store, and counts.
pub(super) struct Giver<'a> {
    source: &'a Source,
    config: &'a ConnectorConfig,
    pub summary: Summary,
}

/// What the reading thread hands over.
#[derive(Default)]
struct Chunk {
    records: Vec<SinkRecord>,
    bytes: usize,
    read: u64,
    left_out: u64,
    refused: u64,
    /// Offsets behind.
    passed: u64,
}

impl<'a> Giver<'a> {
    pub(super) fn new(source: &'a Source, config: &'a ConnectorConfig) -> Self {
        Self { source, config, summary: Summary::default() }
    }

    /// Gives the records of `span` that `which` picks.
    pub(super) async fn give(
        &mut self,
        span: &Span,
        which: Which,
        taker: &mut dyn Taker,
        watch: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), ReplayError> {
        let (sender, mut chunks) = mpsc::channel(WAITING);
        let reader = Reader {
            log: Arc::clone(&self.source.log),
            registry: Arc::clone(&self.source.registry),
            types: span.types.clone(),
            records: self.config.batch.records,
            bytes: self.config.batch.bytes,
            which,
            backoff: Backoff::new(&self.config.backoff),
            patience: self.source.patience,
            chunks: sender,
        };
        let span = span.clone();
        let thread = std::thread::Builder::new().name("replay-read".into());
        let thread = thread.spawn(move || reader.run(&span)).map_err(|error| ReplayError::Thread(error.to_string()))?;
        while let Some(chunk) = chunks.recv().await {
            let Chunk { records, read, left_out, refused, passed, .. } = chunk;
            self.summary.read += read;
            self.summary.superseded += left_out;
            self.summary.refused += refused;
            self.write(records, taker).await?;
            watch(passed);
        }
        match thread.join() {
            Ok(read) => Ok(read?),
            // The hook has reported it, and in the service aborted the process.
            Err(_) => Err(ReplayError::Thread("the thread panicked; see above".into())),
        }
    }

    async fn write(&mut self, records: Vec<SinkRecord>, taker: &mut dyn Taker) -> Result<(), ReplayError> {
        let patience = Patience { source: self.source, config: self.config };
        let mut parts = vec![records];
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let mut batch = Batch { records: part, next: Vec::new() };
            match patience.for_store(async || taker.take(&batch).await).await {
                Ok(written) => {
                    self.summary.written += written;
                    self.summary.held += (batch.records.len() as u64).saturating_sub(written);
                }
                Err(ReplayError::Sink(SinkError::Refused(refused))) => {
                    let (before, bad) = (batch.records.len(), refused.iter().map(|refused| refused.at).collect::<HashSet<_>>());
                    let mut at = 0..;
                    batch.records.retain(|_| at.next().is_none_or(|at| !bad.contains(&at)));
                    if batch.records.len() == before {
                        return Err(SinkError::Refused(refused).into());
                    }
                    self.summary.refused += (before - batch.records.len()) as u64;
                    parts.push(batch.records);
                }
                Err(ReplayError::Sink(SinkError::Data { reason, message })) => match batch.records.len() {
                    1 => {
                        tracing::warn!(connector = self.config.name, key = batch.records[0].key(), reason, message, "refused");
                        self.summary.refused += 1;
                    }
                    count => {
                        parts.push(batch.records.split_off(count / 2));
                        parts.push(batch.records);
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What the reading thread needs.
struct Reader {
    log: Arc<dyn Log>,
    registry: Arc<dyn SchemaRegistry>,
    types: BTreeMap<Arc<str>, RecordType>,
    records: usize,
    bytes: usize,
    which: Which,
    backoff: Backoff,
    patience: std::time::Duration,
    chunks: mpsc::Sender<Chunk>,
}

impl Reader {
    fn run(mut self, span: &Span) -> Result<(), LogError> {
        let mut decoder = Decoder::new(Arc::clone(&self.registry));
        let (mut chunk, mut failure) = (Chunk::default(), None);
        let log = Arc::clone(&self.log);
        read::each(&*log, span, &mut |step| {
            let (partition, record) = match step {
                Step::Record(partition, record) => (partition, record),
                Step::Passed(passed) => {
                    chunk.passed = passed;
                    return true;
                }
            };
            chunk.read += 1;
            let Some(ty) = self.types.get(&partition.topic).copied().filter(|_| (self.which)(&partition, &record)) else {
                chunk.left_out += 1;
                return true;
            };
            match self.decode(ty, &record, &mut decoder) {
                Ok(Some(decoded)) => {
                    chunk.bytes += decoded.bytes();
                    chunk.records.push(decoded);
                }
                Ok(None) => chunk.refused += 1,
                Err(error) => {
                    failure = Some(error);
                    return false;
                }
            }
            // When nobody listens any more, the writing has failed, and says why.
            chunk.records.len() < self.records && chunk.bytes < self.bytes || self.hand_over(&mut chunk)
        })?;
        self.hand_over(&mut chunk);
        failure.map_or(Ok(()), Err)
    }

    fn hand_over(&self, chunk: &mut Chunk) -> bool {
        let passed = chunk.passed;
        self.chunks.blocking_send(std::mem::replace(chunk, Chunk { passed, ..Chunk::default() })).is_ok()
    }

    /// None when nobody can read it.
    fn decode(&mut self, ty: RecordType, record: &Record, decoder: &mut Decoder) -> Result<Option<SinkRecord>, LogError> {
        let began = Instant::now();
        loop {
            match SinkRecord::decode(ty, record, decoder) {
                Ok(decoded) => {
                    self.backoff.reset();
                    return Ok(Some(decoded));
                }
                Err(RecordError::Data { .. }) => return Ok(None),
                Err(RecordError::Retriable(error)) if began.elapsed() < self.patience => {
                    tracing::warn!(%error, "the schema registry is away; will try again");
                    std::thread::sleep(self.backoff.delay());
                }
                Err(RecordError::Retriable(error)) => {
                    return Err(LogError::Retriable { what: "decode a record", message: error.to_string() });
                }
            }
        }
    }
}
