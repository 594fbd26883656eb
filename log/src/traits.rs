//! The contract of a log.
use std::ops::Range;
use std::time::Duration;

use crate::error::LogError;
use crate::record::{NewRecord, Offset, Record, TopicPartition};

/// How a topic is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CleanUp {
    /// Records older than this many milliseconds may go.
    Delete {
        /// Milliseconds.
        retention_ms: i64,
    },
    /// The newest record of each key stays.
    Compact,
    /// Both: the newest of each key, and none older than this.
    CompactDelete {
        /// Milliseconds.
        retention_ms: i64,
    },
    /// For ever.
    Keep,
}

/// A topic to be created if it is not there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicSpec {
    /// Name.
    pub name: String,
    /// Partitions.
    pub partitions: i32,
    /// Replicas (Kafka only).
    pub replication: i32,
    /// Clean-up.
    pub clean_up: CleanUp,
    /// The broker's clock stamps records. Inputs need it: retention goes by the timestamp, and old events must not be deleted on arrival.
    pub log_append_time: bool,
}

/// A log.
///
/// Isolation: readers see committed records only, in offset order, and never a record of an open or aborted transaction.
pub trait Log: Send + Sync {
    /// Creates the topics that are missing; leaves the others as they are.
    fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError>;

    /// How many partitions the topic has.
    fn partitions(&self, topic: &str) -> Result<i32, LogError>;

    /// The earliest offset kept, and the offset that a reader has reached when it has read all that is committed.
    fn range(&self, partition: &TopicPartition) -> Result<Range<Offset>, LogError>;

    /// The first offset whose timestamp (milliseconds) is at or after `timestamp`; the end of the range when there is none.
    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Offset, LogError>;

    /// Reads from the given offsets on, each partition in order. An offset before the earliest is [`LogError::OffsetExpired`], from here or from `poll`.
    fn reader(&self, from: &[(TopicPartition, Offset)]) -> Result<Box<dyn LogReader>, LogError>;

    /// Writes outside transactions, acknowledged and idempotent: for inputs.
    fn writer(&self) -> Result<Box<dyn LogWriter>, LogError>;

    /// Takes over `id`: returns once every transaction of an older holder is committed or aborted; from then on the older holder
    /// gets [`LogError::Fenced`].
    fn transactional(&self, id: &str) -> Result<Box<dyn TransactionalWriter>, LogError>;

    /// Deletes all before `offset`.
    fn trim(&self, partition: &TopicPartition, offset: Offset) -> Result<(), LogError>;

    /// Publishes positions under a group's name, so that lag tools can see them. Never read back.
    fn publish_positions(&self, group: &str, positions: &[(TopicPartition, Offset)]) -> Result<(), LogError>;
}

/// A position in each of some partitions.
pub trait LogReader: Send {
    /// Appends up to `max` records to `into`, waiting up to `timeout` for the first. Returns how many; 0 says nothing about the end.
    fn poll(&mut self, into: &mut Vec<Record>, max: usize, timeout: Duration) -> Result<usize, LogError>;

    /// For each partition the offset from which the next record will come. It moves past markers of transactions too, so a reader whose
    /// position has reached the end of [`Log::range`] has read all that was committed then.
    fn positions(&self) -> Vec<(TopicPartition, Offset)>;
}

/// Writes acknowledged records.
pub trait LogWriter: Send {
    /// Takes a record; waits while the queue is full.
    fn send(&mut self, record: NewRecord) -> Result<(), LogError>;

    /// Returns once everything sent is acknowledged, or with the first failure since the last flush.
    fn flush(&mut self) -> Result<(), LogError>;
}

/// Writes transactions: all of one becomes visible, or none.
pub trait TransactionalWriter: Send {
    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), LogError>;

    /// Adds a record; waits while the queue is full.
    fn send(&mut self, record: NewRecord) -> Result<(), LogError>;

    /// Makes the transaction visible; returns when it is durable. Waits as long as it takes: giving up half-way would leave the outcome unknown.
    /// On Kafka readers and [`Log::range`] see it a moment later, when its markers are written; who must know waits for [`Log::transactional`],
    /// which returns when nothing of the older holder is pending.
    fn commit(&mut self) -> Result<(), LogError>;

    /// Drops the transaction.
    fn abort(&mut self) -> Result<(), LogError>;
}
