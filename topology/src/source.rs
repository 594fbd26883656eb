//! Where a record came from, and the record as the dataflow carries it.
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sightline_log::Record;
use sightline_schemas::Micros;
use sightline_schemas::topic::Topics;

/// The input topics, in the order in which one epoch reads them: a declaration comes before what it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum InputTopic {
    /// `in.control`.
    Control,
    /// `in.intel`.
    Intel,
    /// `in.logs`.
    Logs,
}

impl InputTopic {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Control, Self::Intel, Self::Logs];

    /// The topic's name in a cell.
    pub fn name(self, topics: &Topics) -> String {
        match self {
            Self::Control => topics.control_in(),
            Self::Intel => topics.intel_in(),
            Self::Logs => topics.logs_in(),
        }
    }
}

/// The position of an input record: the total order in which one epoch is processed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SourceRef {
    /// Topic.
    pub topic: InputTopic,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// A [`SourceRef`] in eight bytes, for the rows of tables: 2 bits of topic, 16 of partition, 46 of offset. A partition has fewer than 7 × 10¹³ records, and a topic
/// fewer than 65,536 partitions; what is beyond is kept as the bound, in what is only ever shown to people.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "SourceRef", into = "SourceRef")]
pub struct PackedRef(u64);

impl From<SourceRef> for PackedRef {
    fn from(at: SourceRef) -> Self {
        let partition = u64::from(u16::try_from(at.partition).unwrap_or(u16::MAX));
        let offset = u64::try_from(at.offset).unwrap_or(0).min((1 << 46) - 1);
        Self((at.topic as u64) << 62 | partition << 46 | offset)
    }
}
impl From<PackedRef> for SourceRef {
    fn from(packed: PackedRef) -> Self {
        Self {
            topic: InputTopic::ALL[(packed.0 >> 62) as usize % InputTopic::ALL.len()],
            partition: i32::from((packed.0 >> 46) as u16),
            offset: (packed.0 & ((1 << 46) - 1)) as i64,
        }
    }
}

/// A [`SourceRef`] spelt with the topic's name, as in the header `origin`.
pub struct Origin<'a> {
    /// The cell's topics.
    pub topics: &'a Topics,
    /// The position.
    pub at: SourceRef,
}

impl fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.at.topic.name(self.topics), self.at.partition, self.at.offset)
    }
}

/// An input record. The payload is a reference to what the reader fetched, not a copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Raw {
    /// Where it came from.
    pub at: SourceRef,
    /// When the log took it.
    pub received: Micros,
    /// Key, empty if none.
    pub key: Bytes,
    /// Value, empty if none.
    pub value: Bytes,
    /// Headers.
    pub headers: Vec<(Box<str>, Bytes)>,
}

impl Raw {
    /// Takes a record of `topic`.
    pub fn new(topic: InputTopic, record: Record) -> Self {
        Self {
            at: SourceRef { topic, partition: record.partition, offset: record.offset.0 },
            received: Micros(record.timestamp.saturating_mul(1000)),
            key: record.key.unwrap_or_default(),
            value: record.value.unwrap_or_default(),
            headers: record.headers.0.into_iter().map(|(name, value)| (Box::from(&*name), value)).collect(),
        }
    }

    /// The last header of that name, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().rev().find(|(n, _)| &**n == name).and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// The key, if it is UTF-8.
    pub fn key_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.key).ok()
    }
}
