//! What a sink is given: records decoded once, with the positions that go with them.
use std::collections::HashMap;
use std::sync::Arc;

use sightline_log::{Offset, Record, TopicPartition};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{AvroError, Decoder, OutputRecord, RecordType};
use sightline_schemas::registry::RegistryError;
use sightline_schemas::time::Micros;
use sightline_schemas::topic::split_key;

use crate::digest::Digest;

/// What a record asks of the store.
#[derive(Clone, PartialEq, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every record is an upsert; a box would cost an allocation each")]
pub enum Op {
    /// Hold this value under the key.
    Upsert(OutputRecord),
    /// Hold nothing under the key.
    Delete,
}

/// A record of an output topic, decoded.
#[derive(Clone, PartialEq, Debug)]
pub struct SinkRecord {
    /// Which table, index or label it belongs to.
    pub ty: RecordType,
    /// Tenant: the key before its first colon.
    pub tenant: String,
    /// Identifier: the key after its first colon.
    pub id: String,
    /// What to do.
    pub op: Op,
    /// Header `epoch`: the version of the value. Of two records with one key the one with the higher epoch holds.
    pub epoch: u64,
    /// Header `origin`: `topic:partition:offset` of the input that caused it; empty where a record has none.
    pub origin: String,
    /// Header `received`: when the package arrived (packages only).
    pub received: Option<Micros>,
    /// The record as read: where it stands, and its bytes for the dead letters.
    pub source: Record,
}

/// Why a record of an output topic cannot be given to a sink.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The record itself is wrong: it goes to the dead letters.
    #[error("{message}")]
    Data {
        /// A stable code in kebab case.
        reason: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The registry cannot be asked just now: try again.
    #[error(transparent)]
    Retriable(AvroError),
}

impl SinkRecord {
    /// Decodes a record of the topic of `ty`.
    ///
    /// # Errors
    /// [`RecordError::Data`] when key, headers or value are not what the contract says; [`RecordError::Retriable`] when the schema
    /// registry did not answer.
    pub fn decode(ty: RecordType, record: &Record, decoder: &mut Decoder) -> Result<Self, RecordError> {
        let data = |reason, message: String| RecordError::Data { reason, message };
        let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let (tenant, id) = key.and_then(split_key).ok_or_else(|| data("invalid-key", "the key is not `tenant:id`".into()))?;
        let epoch = record.headers.text("epoch").and_then(|epoch| epoch.parse().ok());
        let epoch = epoch.ok_or_else(|| data("invalid-header", "header `epoch` is missing or not a number".into()))?;
        let op = match &record.value {
            None => Op::Delete,
            Some(value) => match decoder.decode(ty, value) {
                Ok(value) if value.tenant() == tenant && value.id() == id => Op::Upsert(value),
                Ok(_) => return Err(data("key-mismatch", "key and value name different records".into())),
                Err(error @ AvroError::Registry(RegistryError::Unreachable(_))) => return Err(RecordError::Retriable(error)),
                Err(error) => return Err(data("undecodable", error.to_string())),
            },
        };
        Ok(Self {
            ty,
            tenant: tenant.to_owned(),
            id: id.to_owned(),
            op,
            epoch,
            origin: record.headers.text("origin").unwrap_or_default().to_owned(),
            received: record.headers.text("received").and_then(|micros| micros.parse().ok()).map(Micros),
            source: record.clone(),
        })
    }

    /// The key, `tenant:id`.
    pub fn key(&self) -> String {
        format!("{}:{}", self.tenant, self.id)
    }

    /// Its digest, of key, value and epoch.
    pub fn digest(&self) -> Digest {
        let key = ContentHash::of(self.source.key.as_deref().unwrap_or_default());
        Digest::of(self.ty, key, self.source.value.as_deref().unwrap_or_default(), self.epoch)
    }

    /// The partition it was read from.
    pub fn partition(&self) -> TopicPartition {
        TopicPartition::new(Arc::clone(&self.source.topic), self.source.partition)
    }

    /// Bytes of key and value as read: what batches are measured by.
    pub fn bytes(&self) -> usize {
        self.source.key.as_ref().map_or(0, bytes::Bytes::len) + self.source.value.as_ref().map_or(0, bytes::Bytes::len)
    }
}

/// Records in the order of reading, and where reading goes on once they are stored.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Batch {
    /// The records; those of one key are in the order of the topic.
    pub records: Vec<SinkRecord>,
    /// The positions to be stored together with the records. Empty when a batch had to be cut: then the records are written and the
    /// stored positions stay, and the last part brings the positions of the whole.
    pub next: Vec<(TopicPartition, Offset)>,
}

impl Batch {
    /// The records of one type, the newest of each key only, with their place in `records`. A statement may touch a row once, and a
    /// store has no use for what is overwritten in the same transaction.
    pub fn newest(&self, ty: RecordType) -> Vec<(usize, &SinkRecord)> {
        let mut newest: HashMap<(&str, &str), usize> = HashMap::new();
        for (at, record) in self.records.iter().enumerate().filter(|(_, record)| record.ty == ty) {
            let held = newest.entry((&record.tenant, &record.id)).or_insert(at);
            if self.records[*held].epoch <= record.epoch {
                *held = at;
            }
        }
        let mut newest: Vec<_> = newest.into_values().map(|at| (at, &self.records[at])).collect();
        newest.sort_unstable_by_key(|(at, _)| *at);
        newest
    }

    /// The highest epoch in it.
    pub fn epoch(&self) -> u64 {
        self.records.iter().map(|record| record.epoch).max().unwrap_or(0)
    }
}
