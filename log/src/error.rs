//! What can go wrong with the log, and whether to try again.
use crate::record::{Offset, TopicPartition};

/// A failed operation on the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another process holds this transactional id now: stop at once, nothing of this process will be committed.
    #[error("fenced: another process has taken over transactional id {id}; this one must stop")]
    Fenced {
        /// Transactional id.
        id: String,
    },
    /// The partition no longer holds the offset (retention). Replay needs a snapshot newer than this, or a later start.
    #[error("offset {} of {partition} has expired; the earliest kept is {}", asked.0, earliest.0)]
    OffsetExpired {
        /// Partition.
        partition: TopicPartition,
        /// What was asked for.
        asked: Offset,
        /// What is there.
        earliest: Offset,
    },
    /// No such topic.
    #[error("topic {0} does not exist; create it, or let `sightline run` do so")]
    UnknownTopic(String),
    /// The record is larger than the log takes.
    #[error("a record of {bytes} bytes is larger than {topic} takes; split it into parts or raise max.message.bytes")]
    TooLarge {
        /// Topic.
        topic: String,
        /// Key and value.
        bytes: usize,
    },
    /// May pass: a broker away, a time-out. Try again with back-off.
    #[error("failed to {what}: {message}; it may pass: try again, and see that the log is up and can be reached")]
    Retriable {
        /// The operation, to follow "failed to".
        what: &'static str,
        /// The cause.
        message: String,
    },
    /// Will not pass.
    #[error("failed to {what}: {message}")]
    Fatal {
        /// The operation, to follow "failed to".
        what: &'static str,
        /// The cause.
        message: String,
    },
}

impl LogError {
    /// Whether the same call may succeed later.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Retriable { .. })
    }
}
