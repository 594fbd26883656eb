//! Lanes: the only way out. A fixed number of transactional producers, whatever the number of workers.
//!
//! A transaction holds all outputs and dead letters of one or more epochs and one progress record. So an epoch is wholly out or not at all, and
//! what is out is known (invariant I2: a lane commits in epoch order, because one thread writes it).
mod committed;
mod progress;
mod record;
mod thread;

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use sightline_failpoints::{self as failpoints, Point};
use sightline_log::{Log, LogError, TransactionalWriter};
use sightline_schemas::topic::Topics;

pub use committed::{Committed, Mark};
pub(crate) use progress::record as progress_record;

use crate::cluster::Place;
use crate::epoch::{Epoch, writer_id};
use crate::output::Emission;

/// How outputs are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LaneSettings {
    /// How many. It is part of the identity of a cell: changing it needs a drained cell.
    pub count: u32,
    /// How many records one transaction may gather when a lane is behind.
    pub transaction_records: usize,
    /// How many epochs without output may pass before progress is written all the same. A snapshot has it written when it needs it, so this
    /// only bounds what a lag tool can be wrong by.
    pub progress_epochs: u64,
}

impl Default for LaneSettings {
    fn default() -> Self {
        Self { count: 2, transaction_records: 50_000, progress_epochs: 30 }
    }
}

/// The outputs of an epoch, for one lane.
struct LaneEpoch {
    epoch: Epoch,
    outputs: Outputs,
}

/// Emissions in the order in which they are to be written; boxed, as they come.
pub type Outputs = Vec<Box<Emission>>;

/// Where a worker puts the epochs of a lane.
#[derive(Clone)]
pub struct LaneSender {
    sender: SyncSender<LaneEpoch>,
}

impl LaneSender {
    /// Hands over an epoch. The channel holds more epochs than the window lets under way, so this does not wait.
    pub fn send(&self, epoch: Epoch, outputs: Outputs) {
        // The lane ends only by failing, which it has reported by then.
        let _ = self.sender.send(LaneEpoch { epoch, outputs });
    }
}

/// The lanes of this process, taken over from any older one: nobody else writes to them.
pub struct Fenced {
    writers: Vec<(u32, Box<dyn TransactionalWriter>)>,
}

/// The running lanes of this process.
pub struct Lanes {
    senders: Vec<(u32, LaneSender)>,
    threads: Vec<JoinHandle<Result<(), LogError>>>,
    committed: Arc<Committed>,
}

/// What each lane of a cell has committed; epoch 0 if nothing. Read once all of them are fenced.
///
/// # Errors
/// [`LogError`].
pub fn gates(log: &dyn Log, topics: &Topics, settings: &LaneSettings) -> Result<Vec<Epoch>, LogError> {
    progress::read(log, topics, settings.count)
}

impl Fenced {
    /// Takes the lanes of this process over.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn take_over(log: &dyn Log, topics: &Topics, settings: &LaneSettings, place: Place) -> Result<Self, LogError> {
        let ids = (0..settings.count).filter(|lane| place.has_lane(*lane)).map(|lane| (lane, writer_id(topics, &format!("lane-{lane}"))));
        // In parallel: each takeover may wait for a transaction of the older process to end.
        let writers = std::thread::scope(|scope| {
            let openings: Vec<_> = ids.map(|(lane, id)| (lane, scope.spawn(move || log.transactional(&id)))).collect();
            openings
                .into_iter()
                .map(|(lane, opening)| {
                    let failed = |_| Err(LogError::Fatal { what: "open a lane", message: "its thread panicked".into() });
                    opening.join().unwrap_or_else(failed).map(|writer| (lane, writer))
                })
                .collect::<Result<_, _>>()
        })?;
        failpoints::hit(Point::StartLanes, "");
        Ok(Self { writers })
    }

    /// Starts the lanes' threads, which drop what they had committed. `window`: how many epochs may be under way.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn start(self, topics: &Topics, settings: &LaneSettings, window: u64, committed: Arc<Committed>) -> Result<Lanes, LogError> {
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for (lane, writer) in self.writers {
            let (sender, receiver) = sync_channel(window as usize + 2);
            let lane_thread = thread::LaneThread {
                lane,
                writer,
                gate: committed.done(lane),
                records: record::Records::new(topics),
                progress_topic: topics.progress().into(),
                settings: settings.clone(),
                committed: Arc::clone(&committed),
            };
            let spawned = std::thread::Builder::new().name(format!("lane-{lane}")).spawn(move || lane_thread.run(&receiver));
            threads.push(spawned.map_err(|error| LogError::Fatal { what: "start a lane", message: error.to_string() })?);
            senders.push((lane, LaneSender { sender }));
        }
        Ok(Lanes { senders, threads, committed })
    }
}

impl Lanes {
    /// The lanes of a process alone.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn open(log: &dyn Log, topics: &Topics, settings: &LaneSettings, window: u64) -> Result<Self, LogError> {
        let fenced = Fenced::take_over(log, topics, settings, Place::alone(1))?;
        let committed = Committed::telling(gates(log, topics, settings)?, |_| {});
        fenced.start(topics, settings, window, Arc::new(committed))
    }

    /// What lanes have committed.
    pub fn committed(&self) -> Arc<Committed> {
        Arc::clone(&self.committed)
    }

    /// The lanes' inputs, for the workers. Lanes end when all of these are gone.
    pub fn take_senders(&mut self) -> Vec<(u32, LaneSender)> {
        std::mem::take(&mut self.senders)
    }

    /// Why a lane has ended while others go on: only a failure ends one early.
    pub fn failure(self) -> Option<LogError> {
        self.threads.into_iter().filter(JoinHandle::is_finished).find_map(|thread| thread.join().ok()?.err())
    }

    /// Waits for all lanes to commit what they were given.
    ///
    /// # Errors
    /// The first failure.
    pub fn close(self) -> Result<(), LogError> {
        drop(self.senders);
        let mut result = Ok(());
        for thread in self.threads {
            let ended = thread.join().unwrap_or(Err(LogError::Fatal { what: "run a lane", message: "its thread panicked".into() }));
            result = result.and(ended);
        }
        result
    }
}

#[cfg(test)]
mod tests;
