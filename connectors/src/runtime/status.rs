//! What is seen of a connector from outside.
use std::collections::BTreeMap;
use std::fmt;

use sightline_log::{Offset, TopicPartition};

/// What a connector is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectorState {
    /// Reading and writing.
    Running,
    /// The store, the log or the registry is away; it tries again with back-off, for ever.
    Retrying,
    /// It cannot go on; restart it once the error is dealt with.
    Failed,
    /// It was told to stop, and has.
    Stopped,
}

impl fmt::Display for ConnectorState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "RUNNING",
            Self::Retrying => "RETRYING",
            Self::Failed => "FAILED",
            Self::Stopped => "STOPPED",
        })
    }
}

/// A connector at one moment.
#[derive(Clone, PartialEq, Debug)]
pub struct ConnectorStatus {
    /// Name.
    pub name: String,
    /// Class.
    pub class: String,
    /// State.
    pub state: ConnectorState,
    /// The last failure; none while all is well.
    pub error: Option<String>,
    /// Records stored since the start (deletes and repeats count).
    pub written: u64,
    /// Batches stored since the start.
    pub batches: u64,
    /// Failed tries since the start.
    pub retries: u64,
    /// Records dead-lettered since the start.
    pub dead_letters: u64,
    /// Positions and lag. Empty until the store has told its positions.
    pub partitions: Vec<PartitionStatus>,
}

impl ConnectorStatus {
    /// Records that the log holds and the store does not yet; none while a partition's end is unknown.
    pub fn lag(&self) -> Option<i64> {
        self.partitions.iter().map(PartitionStatus::lag).sum()
    }
}

/// A partition as a connector has read it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionStatus {
    /// Which.
    pub partition: TopicPartition,
    /// All before this is stored.
    pub next: Offset,
    /// The end of the log; none when it could not be asked.
    pub end: Option<Offset>,
}

impl PartitionStatus {
    /// Offsets between the two.
    pub fn lag(&self) -> Option<i64> {
        self.end.map(|end| (end.0 - self.next.0).max(0))
    }
}

/// What a connector's thread publishes.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub state: ConnectorState,
    pub error: Option<String>,
    pub written: u64,
    pub batches: u64,
    pub retries: u64,
    pub dead_letters: u64,
    /// None until the positions are known.
    pub next: Option<BTreeMap<TopicPartition, Offset>>,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { state: ConnectorState::Running, error: None, written: 0, batches: 0, retries: 0, dead_letters: 0, next: None }
    }

    /// Something failed that will be tried again.
    pub(super) fn retrying(&mut self, error: String) {
        self.state = ConnectorState::Retrying;
        self.error = Some(error);
        self.retries += 1;
    }

    /// Something worked.
    pub(super) fn running(&mut self) {
        self.state = ConnectorState::Running;
        self.error = None;
    }

    /// Whether everything before `ends` is stored.
    pub(super) fn reached(&self, ends: &BTreeMap<TopicPartition, Offset>) -> bool {
        let Some(next) = &self.next else { return false };
        ends.iter().all(|(partition, end)| next.get(partition).is_some_and(|at| at >= end))
    }
}
