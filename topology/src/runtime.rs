//! The engine's threads, all started here.
//!
//! ```text
//! epochs ──(bounded, one a worker)──► timely workers ──(bounded, one a lane)──► lane-0 … lane-n ──► committed
//!    ▲                                     └──(segments)──► snapshots                                   │
//!    └────────────── window: head − slowest lane ≤ flow.window_epochs ◄─────────────────────────────────┘
//! ```
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sightline_failpoints::{self as failpoints, Control, Point};
use sightline_log::{CleanUp, Log, LogError, Offset, TopicPartition, TopicSpec};
use sightline_schemas::avro::{Encoder, RecordType};
use sightline_schemas::registry::{RegistryError, SchemaRegistry};
use sightline_schemas::topic::Topics;

use crate::dataflow::WorkerParts;
use crate::epoch::{Epoch, EpochError, Former, Journal, JournalEntry};
use crate::intel::Tick;
use crate::lane::{Committed, LaneSender, Lanes};
use crate::output::Emitter;
use crate::recovery::{Recovered, RecoveryError, recover};
use crate::settings::TopologySettings;
use crate::shadow::Declarations;
use crate::source::{InputTopic, Raw};
use crate::state::pace::Pace;
use crate::state::snapshot::{SnapshotSender, Snapshots};
use crate::state::store::StateStore;
use crate::worker::{self, Feed};

/// What an engine needs.
pub struct EngineOptions {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Where schemas are registered.
    pub registry: Arc<dyn SchemaRegistry>,
    /// Names of topics.
    pub topics: Topics,
    /// Settings.
    pub settings: TopologySettings,
    /// Worker threads.
    pub workers: usize,
    /// Where snapshots and documents are.
    pub state_dir: PathBuf,
    /// Where snapshots are copied to, and fetched from when `state_dir` is lost.
    pub store: Option<Arc<dyn StateStore>>,
    /// When to stop.
    pub input: InputMode,
    /// Partitions of topics that do not exist yet.
    pub partitions: i32,
    /// Replicas of topics that do not exist yet.
    pub replication: i32,
}

/// When an engine stops by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InputMode {
    /// Never: a service.
    Follow,
    /// When all that was in the inputs at the start is processed: the last epoch says that no more will come.
    Drain,
    /// At the end of the journal: what is there is replayed, and nothing is minted.
    Replay {
        /// What counts as declared.
        declarations: Declarations,
        /// A snapshot is taken of the last epoch.
        snapshot: bool,
    },
}

/// Why an engine could not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Recovery refused.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// An epoch could not be formed or replayed.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// The frontier stood still with work to do.
    #[error("no lane has committed for {millis} ms with {behind} epochs under way; restart the process, the journal holds all of them")]
    Stalled {
        /// Milliseconds.
        millis: u64,
        /// Epochs.
        behind: u64,
    },
    /// A thread ended that should not have.
    #[error("thread {0} ended early; restart the process, the journal holds all that it had")]
    Thread(String),
}

/// How far an engine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineStatus {
    /// The newest epoch in the journal.
    pub head: Epoch,
    /// The newest epoch that every lane has committed.
    pub committed: Epoch,
    /// Input records since the start.
    pub records: u64,
}

/// Shared between the engine's handle and its threads.
struct Shared {
    head: AtomicU64,
    records: AtomicU64,
    stop: AtomicBool,
    committed: Arc<Committed>,
    failure: Mutex<Option<EngineError>>,
}

impl Shared {
    fn fail(&self, error: EngineError) {
        tracing::error!(%error, "the engine stops");
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// A running engine.
pub struct Engine {
    shared: Arc<Shared>,
    epochs: JoinHandle<()>,
    workers: JoinHandle<Result<(), String>>,
    lanes: Lanes,
    snapshots: Snapshots,
}

/// The topics of a cell.
pub fn topic_specs(topics: &Topics, partitions: i32, replication: i32) -> Vec<TopicSpec> {
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    let spec = |name: String, partitions: i32, clean_up: CleanUp, log_append_time: bool| TopicSpec {
        name,
        partitions,
        replication,
        clean_up,
        log_append_time,
    };
    let delete = |retention_ms: i64| CleanUp::Delete { retention_ms };
    vec![
        spec(topics.intel_in(), partitions, delete(14 * DAY), true),
        spec(topics.logs_in(), partitions, delete(72 * HOUR), true),
        spec(topics.control_in(), 1, delete(365 * DAY), true),
        spec(topics.entities(), partitions, CleanUp::Compact, false),
        spec(topics.observables(), partitions, CleanUp::Compact, false),
        spec(topics.relations(), partitions, CleanUp::Compact, false),
        spec(topics.links(), partitions, CleanUp::Compact, false),
        spec(topics.packages(), partitions, CleanUp::Compact, false),
        spec(topics.events(), partitions, delete(72 * HOUR), true),
        spec(topics.sightings(), partitions, CleanUp::CompactDelete { retention_ms: 90 * DAY }, false),
        spec(topics.dlq_parse(), partitions, delete(30 * DAY), true),
        spec(topics.epochs(), 1, CleanUp::Keep, false),
        spec(topics.progress(), 1, CleanUp::Compact, false),
    ]
}

impl Engine {
    /// Creates topics, registers schemas, recovers, and runs.
    ///
    /// # Errors
    /// [`EngineError`] when a server is away or the state cannot be brought back.
    pub fn start(options: EngineOptions) -> Result<Self, EngineError> {
        let EngineOptions { log, registry, topics, settings, workers, state_dir, store, input, partitions, replication } = options;
        log.ensure_topics(&topic_specs(&topics, partitions, replication))?;
        let encoder = register(&*registry, &topics)?;
        let recovered = recover(&*log, &topics, &settings, &state_dir, store, workers)?;
        let Recovered { journal, entries, mut lanes, former, resume, tables, documents, snapshots, snapshot_sender } = recovered;
        if !settings.snapshots.keep_journal {
            snapshot_sender.trim_journal(Arc::clone(&log), topics.clone());
        }
        let senders = lanes.take_senders();
        let shared = Arc::new(Shared {
            head: AtomicU64::new(entries.last().map_or(resume, |entry| entry.epoch).0),
            records: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            committed: lanes.committed(),
            failure: Mutex::new(None),
        });

        let window = settings.flow.window_epochs as usize;
        let (feeds, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel::<Feed>(window)).unzip();
        let emitter = Emitter::new(encoder, Arc::new(topics.clone()));
        let lane_count = settings.lanes.count;
        let parts: Vec<_> = tables
            .into_iter()
            .zip(documents)
            .enumerate()
            .map(|(worker, (tables, documents))| PartsToMove {
                worker,
                tables,
                documents,
                lanes: senders.iter().filter(|(lane, _)| *lane as usize % workers == worker).cloned().collect(),
            })
            .collect();
        drop(senders);
        let workers_thread = start_workers(parts, receivers, emitter, resume, lane_count, settings.clone(), Arc::clone(&shared))?;

        let source = Source {
            log,
            topics,
            settings,
            journal,
            entries,
            former,
            feeds,
            input,
            snapshots: snapshot_sender,
            shared: Arc::clone(&shared),
        };
        let epochs = spawn("epochs", move || source.run())?;
        Ok(Self { shared, epochs, workers: workers_thread, lanes, snapshots })
    }

    /// Mints no more epochs; what is under way is drained, and a snapshot taken.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
    }

    /// How far it is.
    pub fn status(&self) -> EngineStatus {
        EngineStatus {
            head: Epoch(self.shared.head.load(Ordering::SeqCst)),
            committed: self.shared.committed.min(),
            records: self.shared.records.load(Ordering::Relaxed),
        }
    }

    /// Whether it has ended, or is about to.
    pub fn is_finished(&self) -> bool {
        self.workers.is_finished()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// The first failure of any thread.
    pub fn wait(self) -> Result<EngineStatus, EngineError> {
        let ended = |thread: &str| EngineError::Thread(thread.to_owned());
        if self.epochs.join().is_err() {
            self.shared.fail(ended("epochs"));
        }
        match self.workers.join() {
            Ok(Ok(())) => {}
            Ok(Err(worker)) => self.shared.fail(EngineError::Thread(worker)),
            Err(_) => self.shared.fail(ended("workers")),
        }
        if let Err(error) = self.lanes.close() {
            self.shared.fail(error.into());
        }
        self.snapshots.close();
        if let Some(error) = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(error);
        }
        Ok(EngineStatus {
            head: Epoch(self.shared.head.load(Ordering::SeqCst)),
            committed: self.shared.committed.min(),
            records: self.shared.records.load(Ordering::Relaxed),
        })
    }
}

fn register(registry: &dyn SchemaRegistry, topics: &Topics) -> Result<Encoder, EngineError> {
    let mut ids = Vec::new();
    for ty in RecordType::ALL {
        let subject = ty.subject(topics);
        registry.set_compatibility_backward(&subject)?;
        ids.push((*ty, registry.register(&subject, ty.schema_json())?));
    }
    Ok(Encoder::new(ids))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, EngineError> {
    std::thread::Builder::new().name(name.into()).spawn(run).map_err(|_| EngineError::Thread(name.into()))
}

/// What moves into a worker's thread; the graph's shared cells are made there.
struct PartsToMove {
    worker: usize,
    tables: crate::tables::Tables,
    documents: crate::state::documents::Documents,
    lanes: Vec<(u32, LaneSender)>,
}

fn start_workers(
    parts: Vec<PartsToMove>,
    receivers: Vec<Receiver<Feed>>,
    emitter: Emitter,
    resume: Epoch,
    lane_count: u32,
    settings: TopologySettings,
    shared: Arc<Shared>,
) -> Result<JoinHandle<Result<(), String>>, EngineError> {
    let workers = parts.len();
    let slots: Vec<_> = parts.into_iter().zip(receivers).map(|slot| Mutex::new(Some(slot))).collect();
    std::thread::Builder::new()
        .name("workers".into())
        .spawn(move || {
            let guards = timely::execute(timely::Config::process(workers), move |timely_worker| {
                let index = timely_worker.index();
                let slot = slots[index].lock().unwrap_or_else(PoisonError::into_inner).take();
                let Some((parts, feed)) = slot else { return };
                let PartsToMove { worker, tables, documents, lanes } = parts;
                let parts = WorkerParts {
                    worker,
                    workers,
                    resume,
                    tables: worker::shared(tables),
                    documents: worker::shared(documents),
                    emitter: emitter.clone(),
                    lanes,
                    lane_count,
                    settings: settings.clone(),
                };
                worker::run(timely_worker, parts, &feed);
            })?;
            let failed: Vec<String> = guards.join().into_iter().filter_map(Result::err).collect();
            if failed.is_empty() {
                Ok(())
            } else {
                shared.stop.store(true, Ordering::SeqCst);
                Err(failed.join("; "))
            }
        })
        .map_err(|_| EngineError::Thread("workers".into()))
}

/// The epochs thread: replays the journal, then mints.
struct Source {
    log: Arc<dyn Log>,
    topics: Topics,
    settings: TopologySettings,
    journal: Journal,
    entries: Vec<JournalEntry>,
    former: Former,
    feeds: Vec<SyncSender<Feed>>,
    input: InputMode,
    snapshots: SnapshotSender,
    shared: Arc<Shared>,
}

/// How often positions are published for lag tools.
const PUBLISH: Duration = Duration::from_secs(5);

impl Source {
    fn run(mut self) {
        if let Err(error) = self.replay_and_mint() {
            self.shared.fail(error);
        }
    }

    fn replay_and_mint(&mut self) -> Result<(), EngineError> {
        let mut pace = Pace::new(Duration::from_millis(self.settings.snapshots.interval_ms));
        let entries = std::mem::take(&mut self.entries);
        let last = entries.last().map(|entry| entry.epoch);
        for entry in entries {
            let mut records = self.former.replay(&entry)?;
            if let InputMode::Replay { declarations, .. } = &self.input {
                declarations.apply(&entry, &self.topics, &mut records);
            }
            failpoints::hit(Point::StartReplaying, "");
            if failpoints::without(Control::NoReplay) {
                continue;
            }
            let demanded = matches!(self.input, InputMode::Replay { snapshot: true, .. }) && Some(entry.epoch) == last;
            let snapshot = pace.is_due(&entry) || demanded;
            self.feed(&entry, records, snapshot)?;
            if snapshot {
                self.begin_snapshot(&entry);
            }
        }
        let targets = match self.input {
            InputMode::Follow => None,
            InputMode::Drain => Some(self.ends()?),
            InputMode::Replay { .. } => return Ok(()),
        };
        failpoints::hit(Point::StartMinting, "");
        let mut published_at = Instant::now();
        loop {
            let drained = targets.as_ref().is_some_and(|targets| self.has_reached(targets));
            let last = drained || self.shared.stop.load(Ordering::SeqCst);
            let formed = if last { self.former.form_last(drained)? } else { self.former.form()? };
            let snapshot = pace.is_due(&formed.entry) || last;
            failpoints::hit(Point::EpochFormed, "");
            // I1: the journal first.
            if failpoints::without(Control::JournalLate) {
                self.feed(&formed.entry, formed.records, snapshot)?;
                self.journal.append(&formed.entry)?;
            } else {
                self.journal.append(&formed.entry)?;
                self.feed(&formed.entry, formed.records, snapshot)?;
            }
            failpoints::hit(Point::EpochReleased, "");
            if snapshot {
                self.begin_snapshot(&formed.entry);
            }
            if last || published_at.elapsed() >= PUBLISH {
                published_at = Instant::now();
                // For people with lag tools only: a failure costs nothing.
                if let Err(error) = self.log.publish_positions(&format!("{}-topology", self.topics.prefix()), &self.former.positions()) {
                    tracing::debug!(%error, "failed to publish positions");
                }
            }
            if last {
                return Ok(());
            }
        }
    }

    fn begin_snapshot(&self, entry: &JournalEntry) {
        let positions = self.former.positions().into_iter().map(|(at, offset)| (at.topic.to_string(), at.partition, offset.0)).collect();
        self.snapshots.begin(entry.epoch, entry.wall, positions);
        failpoints::hit(Point::SnapshotBegun, "");
    }

    /// The ends of all inputs, now.
    fn ends(&self) -> Result<Vec<(TopicPartition, Offset)>, EngineError> {
        let positions = self.former.positions();
        positions.into_iter().map(|(partition, _)| Ok((partition.clone(), self.log.range(&partition)?.end))).collect()
    }

    fn has_reached(&self, targets: &[(TopicPartition, Offset)]) -> bool {
        let positions = self.former.positions();
        targets.iter().all(|(partition, end)| positions.iter().any(|(at, offset)| at == partition && offset >= end))
    }

    /// Hands an epoch to the workers of this process: each record to one of them, the clock to all.
    fn feed(&mut self, entry: &JournalEntry, records: Vec<sightline_log::Record>, snapshot: bool) -> Result<(), EngineError> {
        self.wait_for_window(entry.epoch)?;
        self.shared.records.fetch_add(entry.records, Ordering::Relaxed);
        let tick = Tick { wall: entry.wall, last: entry.last, snapshot };
        let workers = self.feeds.len();
        let mut shares: Vec<Vec<Raw>> = (0..workers).map(|_| Vec::new()).collect();
        let names = InputTopic::ALL.map(|topic| (topic, topic.name(&self.topics)));
        for (at, record) in records.into_iter().enumerate() {
            if let Some((topic, _)) = names.iter().find(|(_, name)| **name == *record.topic) {
                shares[at % workers].push(Raw::new(*topic, record));
            }
        }
        for (worker, (feed, records)) in self.feeds.iter().zip(shares).enumerate() {
            let share = Feed { epoch: entry.epoch, tick, records, tells: worker == 0 };
            feed.send(share).map_err(|_| EngineError::Thread(format!("worker {worker}")))?;
        }
        self.shared.head.store(entry.epoch.0, Ordering::SeqCst);
        Ok(())
    }

    /// Back-pressure: waits until the slowest lane is within the window.
    fn wait_for_window(&self, epoch: Epoch) -> Result<(), EngineError> {
        let window = self.settings.flow.window_epochs;
        let watchdog = Duration::from_millis(self.settings.flow.watchdog_ms);
        let mut least = self.shared.committed.min();
        let mut since = Instant::now();
        while epoch.0.saturating_sub(least.0.max(self.former.resume().0)) > window {
            if self.shared.committed.has_failed() {
                return Err(EngineError::Thread("lanes".into()));
            }
            let now = self.shared.committed.wait_past(least, Duration::from_millis(100));
            if now > least {
                (least, since) = (now, Instant::now());
            } else if since.elapsed() > watchdog {
                return Err(EngineError::Stalled { millis: self.settings.flow.watchdog_ms, behind: epoch.0 - least.0 });
            }
        }
        Ok(())
    }
}
