//! Records and where they are.
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A position in a partition, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Offset(pub i64);

/// A partition of a topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TopicPartition {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Puts the two together.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}
impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.topic, self.partition)
    }
}

/// Named byte strings beside a record, in order of writing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers(pub Vec<(Arc<str>, Bytes)>);

impl Headers {
    /// The last header of that name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().rev().find(|(n, _)| &**n == name).map(|(_, value)| value)
    }

    /// The last header of that name, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Bytes>) -> Self {
        self.0.push((name.into(), value.into()));
        self
    }
}

/// A record as read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: Offset,
    /// Milliseconds since 1970: when the log took it (`LogAppendTime`), or what the writer said, as the topic is set.
    pub timestamp: i64,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Headers,
}

/// A record to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRecord {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition; by the key's murmur2 hash (Kafka's default) where none is given, partition 0 without a key.
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; none is a tombstone.
    pub value: Option<Bytes>,
    /// Headers.
    pub headers: Headers,
}
