//! What a comparison found.
use std::collections::BTreeMap;

use sightline_log::{LogError, Offset, TopicPartition};
use sightline_schemas::avro::RecordType;

use crate::sink::{SinkError, Stored};

/// The difference between a store and the topics, at the epoch up to which the topics were read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// The highest epoch in the topics.
    pub epoch: u64,
    /// By record type.
    pub types: BTreeMap<RecordType, TypeReport>,
    /// Records of the topics that no store can hold; they are in the dead letters.
    pub undecodable: u64,
}

/// The difference in one record type.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TypeReport {
    /// Records that are the same.
    pub equal: u64,
    /// Keys that the store lacks, sorted.
    pub missing: Vec<String>,
    /// What only the store holds, by key. A second copy of a record counts here too.
    pub extra: Vec<Stored>,
    /// What the store holds otherwise, by key.
    pub different: Vec<Stored>,
    /// Records of the store that are older than what the log still holds: not a fault.
    pub beyond_retention: u64,
    /// Keys written while the comparison ran: not compared.
    pub in_flight: u64,
}

impl Report {
    /// Whether store and topics agree. Records that nobody can read are no agreement: the topics hold more than any store can.
    pub fn is_equal(&self) -> bool {
        self.undecodable == 0 && self.types.values().all(TypeReport::is_equal)
    }
}

impl TypeReport {
    /// Whether there is no difference.
    pub fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.different.is_empty()
    }

    /// The keys that differ, each with the word for how.
    pub fn differences(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let missing = self.missing.iter().map(|key| ("missing", key.as_str()));
        let extra = self.extra.iter().map(|stored| ("extra", stored.key.as_str()));
        let different = self.different.iter().map(|stored| ("different", stored.key.as_str()));
        missing.chain(extra).chain(different)
    }
}

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The store.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The store is behind.
    #[error("the store is at offset {} of {partition} and did not reach {} in time; is its connector running?", at.0, end.0)]
    Behind {
        /// Partition.
        partition: TopicPartition,
        /// Where the store is.
        at: Offset,
        /// Where the topic ended when the comparison started.
        end: Offset,
    },
}
