//! The epochs thread: replays the journal, then mints; or, in a cell of several processes, follows the one that does.
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use sightline_failpoints::{self as failpoints, Control, Point, without};
use sightline_log::{Log, Offset, TopicPartition};
use sightline_schemas::topic::Topics;

use super::{EngineError, InputMode, Shared};
use crate::cluster::control::{Peer, ToFollower};
use crate::cluster::{ClusterError, Place};
use crate::epoch::waiting::size;
use crate::epoch::{Epoch, Former, Journal, JournalEntry};
use crate::intel::Tick;
use crate::settings::TopologySettings;
use crate::source::{InputTopic, Raw};
use crate::state::pace::Pace;
use crate::state::snapshot::SnapshotSender;
use crate::worker::Feed;

/// An entry that is committed, and whether a snapshot is taken after it; nothing after the last one.
pub(super) type Told = Result<Option<(JournalEntry, bool)>, ClusterError>;

/// Where epochs come from.
pub(super) enum Entries {
    /// From the journal, then from the inputs.
    Mint { journal: Journal, replay: Vec<JournalEntry>, input: InputMode },
    /// From the process that mints.
    Follow(Receiver<Told>),
}

/// The epochs thread.
pub(super) struct Source {
    pub(super) place: Place,
    pub(super) log: Arc<dyn Log>,
    pub(super) topics: Topics,
    pub(super) settings: TopologySettings,
    /// The processes that follow this one.
    pub(super) followers: Vec<Peer>,
    pub(super) former: Former,
    pub(super) feeds: Vec<SyncSender<Feed>>,
    pub(super) snapshots: SnapshotSender,
    pub(super) shared: Arc<Shared>,
    /// Epochs that were handed to the workers and are perhaps not committed yet, and the bytes of their records.
    pub(super) under_way: VecDeque<(Epoch, u64)>,
}

/// How often positions are published for lag tools.
const PUBLISH: Duration = Duration::from_secs(5);

impl Source {
    pub(super) fn run(mut self, entries: Entries) {
        let done = match entries {
            Entries::Mint { journal, replay, input } => self.replay_and_mint(journal, replay, input),
            Entries::Follow(told) => self.follow(&told),
        };
        if let Err(error) = done {
            self.shared.fail(error);
        }
    }

    /// Forms again what the process that leads has journalled.
    fn follow(&mut self, told: &Receiver<Told>) -> Result<(), EngineError> {
        while let Some((entry, snapshot)) = told.recv().unwrap_or(Err(ClusterError::Lost(0)))? {
            let records = self.former.replay(&entry)?;
            self.feed(&entry, records, snapshot)?;
            if snapshot {
                self.begin_snapshot(&entry);
            }
        }
        Ok(())
    }

    fn replay_and_mint(&mut self, mut journal: Journal, replay: Vec<JournalEntry>, input: InputMode) -> Result<(), EngineError> {
        let mut pace = Pace::new(Duration::from_millis(self.settings.snapshots.interval_ms));
        let last = replay.last().map(|entry| entry.epoch);
        for entry in replay {
            let mut records = self.former.replay(&entry)?;
            if let InputMode::Replay { declarations, .. } = &input {
                declarations.apply(&entry, &self.topics, &mut records);
            }
            failpoints::hit(Point::StartReplaying, "");
            if without(Control::NoReplay) {
                continue;
            }
            let demanded = matches!(input, InputMode::Replay { snapshot: true, .. }) && Some(entry.epoch) == last;
            let snapshot = pace.is_due(&entry) || demanded;
            self.feed(&entry, records, snapshot)?;
            if snapshot {
                self.begin_snapshot(&entry);
            }
        }
        let targets = match input {
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
            if without(Control::JournalLate) {
                self.feed(&formed.entry, formed.records, snapshot)?;
                journal.append(&formed.entry)?;
            } else {
                journal.append(&formed.entry)?;
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
                self.tell(&ToFollower::Close)?;
                return Ok(());
            }
        }
    }

    fn tell(&self, message: &ToFollower) -> Result<(), ClusterError> {
        self.followers.iter().try_for_each(|follower| follower.send(message))
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

    /// Hands an epoch to the workers: each record to one of all processes, the clock to all.
    fn feed(&mut self, entry: &JournalEntry, records: Vec<sightline_log::Record>, snapshot: bool) -> Result<(), EngineError> {
        if self.place.leads() {
            self.wait_for_window(entry.epoch, records.iter().map(|record| size(record) as u64).sum())?;
            self.tell(&ToFollower::Entry(entry.clone(), snapshot))?;
        }
        self.shared.records.fetch_add(entry.records, Ordering::Relaxed);
        let tick = Tick { wall: entry.wall, last: entry.last, snapshot };
        let (own, workers) = (self.place.own(), self.place.all());
        let mut shares: Vec<Vec<Raw>> = own.clone().map(|_| Vec::new()).collect();
        let names = InputTopic::ALL.map(|topic| (topic, topic.name(&self.topics)));
        for (at, record) in records.into_iter().enumerate() {
            let share = (at % workers).checked_sub(own.start).and_then(|local| shares.get_mut(local));
            if let (Some(share), Some((topic, _))) = (share, names.iter().find(|(_, name)| **name == *record.topic)) {
                share.push(Raw::new(*topic, record));
            }
        }
        for (worker, (feed, records)) in own.zip(self.feeds.iter().zip(shares)) {
            let share = Feed { epoch: entry.epoch, tick, records, tells: worker == 0 };
            feed.send(share).map_err(|_| EngineError::Thread(format!("worker {worker}")))?;
        }
        self.shared.head.store(entry.epoch.0, Ordering::SeqCst);
        Ok(())
    }

    /// Back-pressure: waits until the slowest lane is within the window, for an epoch of so many bytes.
    fn wait_for_window(&mut self, epoch: Epoch, bytes: u64) -> Result<(), EngineError> {
        let (window, most) = (self.settings.flow.window_epochs, self.settings.flow.window_bytes);
        let watchdog = Duration::from_millis(self.settings.flow.watchdog_ms);
        let mut least = self.shared.committed.min();
        let mut since = Instant::now();
        loop {
            let done = least.max(self.former.resume());
            while self.under_way.front().is_some_and(|(epoch, _)| *epoch <= done) {
                self.under_way.pop_front();
            }
            let held: u64 = self.under_way.iter().map(|(_, bytes)| bytes).sum();
            if epoch.0.saturating_sub(done.0) <= window && (bytes == 0 || held == 0 || held.saturating_add(bytes) <= most) {
                break;
            }
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
        if bytes > 0 {
            self.under_way.push_back((epoch, bytes));
        }
        Ok(())
    }
}
