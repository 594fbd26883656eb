//! Why a replay could not be done, and what to do.
use std::time::Duration;

use sightline_log::{LogError, Offset, TopicPartition};
use sightline_schemas::Micros;

use crate::sink::SinkError;

/// A replay that was refused, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log no longer holds where to begin.
    #[error(
        "offset {} of {partition} has expired: the earliest that the log still holds is {}; \
         begin there (--from-offset {}:{}), or with --earliest",
        asked.0, earliest.0, partition.partition, earliest.0
    )]
    Expired {
        /// Partition.
        partition: TopicPartition,
        /// What was asked for.
        asked: Offset,
        /// What there is.
        earliest: Offset,
    },
    /// The log no longer holds what came at that time.
    #[error(
        "what {partition} held at {asked} has expired: the earliest record that the log still holds is offset {}, of {}; \
         ask for that time or a later one, or begin with --earliest",
        earliest.0, at
    )]
    ExpiredTime {
        /// Partition.
        partition: TopicPartition,
        /// What was asked for.
        asked: Micros,
        /// The offset of the earliest record.
        earliest: Offset,
        /// When it came.
        at: Micros,
    },
    /// An offset that the log has not reached.
    #[error("offset {} of {partition} lies beyond its end, {}", asked.0, end.0)]
    Beyond {
        /// Partition.
        partition: TopicPartition,
        /// What was asked for.
        asked: Offset,
        /// Where it ends.
        end: Offset,
    },
    /// A partition that the topic does not have.
    #[error("{topic} has no partition {asked}: its partitions are 0 to {}", count - 1)]
    NoPartition {
        /// Topic.
        topic: String,
        /// What was asked for.
        asked: i32,
        /// How many there are.
        count: i32,
    },
    /// Nothing lies between beginning and end.
    #[error("the end of {partition}, offset {}, lies before the beginning, {}", end.0, begin.0)]
    Backwards {
        /// Partition.
        partition: TopicPartition,
        /// Beginning.
        begin: Offset,
        /// End.
        end: Offset,
    },
    /// An end in a partition that has no beginning.
    #[error("an end is given for partition {partition}, and no beginning; add --from-offset {partition}:OFFSET")]
    NoBeginning {
        /// Partition.
        partition: i32,
    },
    /// The store is empty for this connector.
    #[error(
        "connector {connector} has written nothing to its store yet: `sightline run` fills a new store from the topics by itself, without a replay"
    )]
    NeverRan {
        /// Connector.
        connector: String,
    },
    /// Only some stores can be rebuilt beside themselves.
    #[error(
        "connector {connector} of class {class} cannot be rebuilt beside its live store; let a connector of another name fill a new place, and drop the old one"
    )]
    NoRebuild {
        /// Connector.
        connector: String,
        /// Class.
        class: String,
    },
    /// The store does not answer.
    #[error("the store was away for {} s: {last}; run the same command again when it is back, nothing is lost", patience.as_secs())]
    Away {
        /// How long it was waited for.
        patience: Duration,
        /// Its last error.
        last: String,
    },
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A thread could not be started, or ended.
    #[error("failed to read the log: {0}")]
    Thread(String),
}
