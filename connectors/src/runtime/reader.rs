//! The reading thread of a connector: polls the log, decodes, hands chunks over.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use sightline_log::{Log, LogError, Offset, Record, TopicPartition};
use sightline_schemas::avro::{Decoder, RecordType};
use sightline_schemas::registry::SchemaRegistry;
use tokio::sync::{mpsc, watch};

use super::backoff::Backoff;
use super::status::Progress;
use crate::batch::{RecordError, SinkRecord};

/// Chunks that wait between the threads: enough to decode one while one is written and one waits.
const CHUNKS: usize = 2;
/// Records a poll asks for at most; smaller batches ask for less.
const POLL: usize = 1_000;
/// How long a poll waits for the first record, and so how long a stop may take.
const WAIT: Duration = Duration::from_millis(50);

/// What one poll brought.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub records: Vec<SinkRecord>,
    pub rejected: Vec<Rejected>,
    /// The reader's positions after it.
    pub next: Vec<(TopicPartition, Offset)>,
}

/// A record that no sink can be given.
#[derive(Debug)]
pub(super) struct Rejected {
    pub record: Record,
    pub reason: &'static str,
    pub message: String,
}

/// What a reader needs.
pub(super) struct Reader {
    pub name: String,
    pub log: Arc<dyn Log>,
    pub registry: Arc<dyn SchemaRegistry>,
    /// Topic → record type.
    pub types: HashMap<Arc<str>, RecordType>,
    pub from: Vec<(TopicPartition, Offset)>,
    pub max: usize,
    pub backoff: Backoff,
    pub progress: watch::Sender<Progress>,
    /// The last poll, or the last look-up of a schema, failed.
    pub failing: bool,
}

/// The receiving end. Dropping it stops the thread.
pub(super) struct Chunks {
    pub chunks: mpsc::Receiver<Result<Chunk, LogError>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.chunks.close();
        // Frees a reader that waits for room.
        while self.chunks.try_recv().is_ok() {}
        if let Some(thread) = self.thread.take() {
            // A panic has aborted the process or been reported by the hook already.
            let _ = thread.join();
        }
    }
}

impl Reader {
    /// Starts the thread.
    pub(super) fn start(self) -> std::io::Result<Chunks> {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name(format!("read-{}", self.name)).spawn(move || self.run(&sender, &stopped))?;
        Ok(Chunks { chunks, stop, thread: Some(thread) })
    }

    fn run(mut self, chunks: &mpsc::Sender<Result<Chunk, LogError>>, stop: &AtomicBool) {
        if let Err(error) = self.read(chunks, stop) {
            // Nobody listens any more when the connector is stopping.
            let _ = chunks.blocking_send(Err(error));
        }
    }

    fn read(&mut self, chunks: &mpsc::Sender<Result<Chunk, LogError>>, stop: &AtomicBool) -> Result<(), LogError> {
        let mut decoder = Decoder::new(Arc::clone(&self.registry));
        let mut polled = Vec::new();
        let mut told = self.from.clone();
        while !stop.load(Ordering::Relaxed) {
            let mut reader = match self.log.reader(&told) {
                Ok(reader) => reader,
                Err(error) => {
                    self.wait_after(error, stop)?;
                    continue;
                }
            };
            while !stop.load(Ordering::Relaxed) {
                if let Err(error) = reader.poll(&mut polled, self.max.min(POLL), WAIT) {
                    // What was polled before the failure comes again from the new reader.
                    polled.clear();
                    self.wait_after(error, stop)?;
                    break;
                }
                self.works();
                let next = reader.positions();
                if polled.is_empty() && next == told {
                    continue;
                }
                let mut chunk = Chunk { next, ..Chunk::default() };
                for record in polled.drain(..) {
                    if !self.decode(record, &mut decoder, &mut chunk, stop) {
                        return Ok(());
                    }
                }
                self.backoff.reset();
                told.clone_from(&chunk.next);
                if chunks.blocking_send(Ok(chunk)).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Adds the record to the chunk, waiting while the registry is away; false when told to stop meanwhile.
    fn decode(&mut self, record: Record, decoder: &mut Decoder, chunk: &mut Chunk, stop: &AtomicBool) -> bool {
        let Some(&ty) = self.types.get(&record.topic) else { return true };
        loop {
            match SinkRecord::decode(ty, &record, decoder) {
                Ok(decoded) => {
                    chunk.records.push(decoded);
                    return true;
                }
                Err(RecordError::Data { reason, message }) => {
                    chunk.rejected.push(Rejected { record, reason, message });
                    return true;
                }
                Err(RecordError::Retriable(error)) => {
                    self.failing = true;
                    self.progress.send_modify(|progress| progress.retrying(error.to_string()));
                    if !self.sleep(stop) {
                        return false;
                    }
                }
            }
        }
    }

    fn wait_after(&mut self, error: LogError, stop: &AtomicBool) -> Result<(), LogError> {
        if !error.is_retriable() {
            return Err(error);
        }
        tracing::warn!(connector = self.name, %error, "reading failed; will try again");
        self.failing = true;
        self.progress.send_modify(|progress| progress.retrying(error.to_string()));
        self.sleep(stop);
        Ok(())
    }

    /// Takes back what a failure of this thread has shown; a failure of the store is the other thread's to take back.
    fn works(&mut self) {
        if std::mem::take(&mut self.failing) {
            self.progress.send_modify(Progress::running);
        }
    }

    /// Sleeps for the next delay in short steps; false when told to stop.
    fn sleep(&mut self, stop: &AtomicBool) -> bool {
        let mut left = self.backoff.delay();
        while !left.is_zero() && !stop.load(Ordering::Relaxed) {
            let step = left.min(WAIT);
            std::thread::sleep(step);
            left -= step;
        }
        !stop.load(Ordering::Relaxed)
    }
}
