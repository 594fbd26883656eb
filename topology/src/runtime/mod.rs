//! The engine's threads, all started here.
//!
//! ```text
//! epochs ──(bounded, one a worker)──► timely workers ──(bounded, one a lane)──► lane-0 … lane-n ──► committed
//!    ▲                                     └──(segments)──► snapshots                                   │
//!    └────────────── window: head − slowest lane ≤ flow.window_epochs ◄─────────────────────────────────┘
//! ```
//! In a cell of several processes each has all of these, and a thread for each process that it talks to ([`crate::cluster`]).
//!
//! [`topics`] what they read and write · [`source`] the epochs thread · [`workers`] timely's · [`peers`] those that listen to other processes.
mod peers;
mod source;
mod topics;
mod workers;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sightline_formats::sources::{SourceError, Sources};
use sightline_log::{Log, LogError};
use sightline_schemas::avro::{Encoder, RecordType};
use sightline_schemas::registry::{RegistryError, SchemaRegistry};
use sightline_schemas::topic::Topics;

use self::peers::{hear_follower, hear_leader};
use self::source::{Entries, Source};
pub use self::topics::topic_specs;
use self::workers::{Graph, PartsToMove, start_workers};
use crate::cluster::control::{Peer, ToLeader};
use crate::cluster::{self, ClusterError, ClusterOptions, Identity, Members, Place};
use crate::epoch::{Epoch, EpochError};
use crate::lane::{Committed, Lanes};
use crate::output::Emitter;
use crate::recovery::{Recovered, RecoveryError, fingerprint, recover};
use crate::settings::TopologySettings;
use crate::shadow::Declarations;
use crate::state::snapshot::Snapshots;
use crate::state::store::StateStore;

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
    /// Worker threads of this process.
    pub workers: usize,
    /// The other processes of the cell, if there are any.
    pub cluster: Option<ClusterOptions>,
    /// Where snapshots and documents are; the same for all processes of a cell.
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
    /// The processes of the cell did not come together, or fell apart.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The sources of events contradict each other.
    #[error("topology.sources: {0}")]
    Sources(#[from] SourceError),
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

/// How often an engine that is waited for is looked at, where it is one of several.
const LOOK: Duration = Duration::from_millis(20);

/// A running engine.
pub struct Engine {
    place: Place,
    shared: Arc<Shared>,
    epochs: JoinHandle<()>,
    workers: JoinHandle<Result<(), String>>,
    lanes: Lanes,
    snapshots: Snapshots,
    /// The process that leads, where this one does not.
    leader: Option<Peer>,
}

impl Engine {
    /// Creates topics, registers schemas, recovers, and runs.
    ///
    /// # Errors
    /// [`EngineError`] when a server is away or the state cannot be brought back.
    pub fn start(options: EngineOptions) -> Result<Self, EngineError> {
        let EngineOptions { log, registry, topics, settings, workers, cluster, state_dir, store, input, partitions, replication } = options;
        let sources = Arc::new(Sources::new(settings.sources.iter().cloned())?);
        let (members, connections) = match &cluster {
            None => (Members::alone(workers), Vec::new()),
            Some(cluster) => {
                let (cell, processes) = (topics.prefix().to_owned(), cluster.addresses.len());
                cluster::join(cluster, &Identity { cell, fingerprint: fingerprint(&settings), processes, workers })?
            }
        };
        // Of several processes one makes topics and schemas, and the others find them: at the same time they would get into each other's way.
        let leads = members.place().leads();
        let made = if leads {
            log.ensure_topics(&topic_specs(&topics, partitions, replication))?;
            Some(register(&*registry, &topics)?)
        } else {
            None
        };
        let recovered = recover(&*log, &topics, &settings, &state_dir, store, members)?;
        let encoder = made.map_or_else(|| register(&*registry, &topics), Ok)?;
        let Recovered { place, controls, journal, entries, mut lanes, former, resume, tables, documents, snapshots, snapshot_sender } =
            recovered;
        let shared = Arc::new(Shared {
            head: AtomicU64::new(entries.last().map_or(resume, |entry| entry.epoch).0),
            records: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            committed: lanes.committed(),
            failure: Mutex::new(None),
        });
        let leader = controls.first().filter(|_| !place.leads()).cloned();
        let (entries, followers) = match (journal, &leader) {
            (Some(journal), None) => {
                if !settings.snapshots.keep_journal {
                    snapshot_sender.trim_journal(Arc::clone(&log), topics.clone());
                }
                for control in &controls {
                    hear_follower(control.clone(), snapshot_sender.clone(), Arc::clone(&shared))?;
                }
                (Entries::Mint { journal, replay: entries, input }, controls)
            }
            (_, Some(leader)) => (Entries::Follow(hear_leader(leader.clone(), Arc::clone(&shared))?), Vec::new()),
            (None, None) => return Err(ClusterError::Lost(0).into()),
        };

        let window = settings.flow.window_epochs as usize;
        let (feeds, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel(window)).unzip();
        let emitter = Emitter::new(encoder, Arc::new(topics.clone()));
        let senders = lanes.take_senders();
        let parts: Vec<_> = place
            .own()
            .zip(tables)
            .zip(documents)
            .map(|((worker, tables), documents)| {
                let lanes = senders.iter().filter(|(lane, _)| place.worker_of_lane(*lane) == worker).cloned().collect();
                PartsToMove { worker, tables, documents, lanes }
            })
            .collect();
        drop(senders);
        let graph = Graph { place, emitter, resume, settings: settings.clone(), sources };
        let workers_thread = start_workers(parts, receivers, graph, connections, Arc::clone(&shared))?;

        let source = Source {
            place,
            log,
            topics,
            settings,
            followers,
            former,
            feeds,
            snapshots: snapshot_sender,
            shared: Arc::clone(&shared),
            under_way: VecDeque::new(),
        };
        let epochs = spawn("epochs", move || source.run(entries))?;
        Ok(Self { place, shared, epochs, workers: workers_thread, lanes, snapshots, leader })
    }

    /// Mints no more epochs; what is under way is drained, and a snapshot taken.
    /// Of several processes all stop.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(leader) = &self.leader {
            // One that is gone has stopped already.
            let _ = leader.send(&ToLeader::Stop);
        }
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
        self.workers.is_finished() || self.has_failed()
    }

    fn has_failed(&self) -> bool {
        self.shared.committed.has_failed() || self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// The first failure of any thread.
    pub fn wait(self) -> Result<EngineStatus, EngineError> {
        let ended = |thread: &str| EngineError::Thread(thread.to_owned());
        // Workers of several processes end together: those of one that failed would wait for the others, which wait for it. So this process ends without
        // them, and the others hear of it by their connections.
        while self.place.processes > 1 && !self.workers.is_finished() {
            if self.has_failed() {
                let failure = self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
                return Err(failure.unwrap_or_else(|| self.lanes.failure().map_or_else(|| ended("lanes"), EngineError::Log)));
            }
            std::thread::sleep(LOOK);
        }
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
        if let Some(leader) = &self.leader {
            let _ = leader.send(&ToLeader::Bye);
        }
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
