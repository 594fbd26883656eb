//! The journal: what went into each epoch, committed before the epoch is released (invariant I1).
//!
//! One JSON record an epoch on `sys.epochs` (partition 0), key = the epoch's number:
//! `{"v":1,"epoch":7,"wall":1767225600000000,"ranges":[["soc.in.intel",0,12,15]],"records":3,"checksum":"…16 hex digits","last":false}`
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sightline_log::{Headers, Log, LogError, NewRecord, Offset, Record, TopicPartition, TransactionalWriter};
use sightline_schemas::Micros;
use sightline_schemas::topic::Topics;

use super::Epoch;

const VERSION: u8 = 1;

/// The records of one partition in an epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EpochRange {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset after the last.
    pub to: i64,
}

impl EpochRange {
    /// The partition.
    pub fn partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), self.partition)
    }
}

/// What went into an epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalEntry {
    /// Format.
    pub v: u8,
    /// Which.
    pub epoch: Epoch,
    /// The clock of the epoch.
    pub wall: Micros,
    /// Partitions with records, sorted.
    pub ranges: Vec<EpochRange>,
    /// How many records.
    pub records: u64,
    /// XXH3 of the records' positions, keys and values, in order: a replay must find the same.
    pub checksum: u64,
    /// No more input will come.
    pub last: bool,
}

impl JournalEntry {
    /// Describes the records of an epoch, which must be sorted by topic, partition and offset.
    pub fn of(epoch: Epoch, wall: Micros, ranges: Vec<EpochRange>, records: &[Record], last: bool) -> Self {
        Self { v: VERSION, epoch, wall, ranges, records: records.len() as u64, checksum: checksum(records), last }
    }

    /// Whether `records` are the ones described.
    pub fn matches(&self, records: &[Record]) -> bool {
        self.records == records.len() as u64 && self.checksum == checksum(records)
    }
}

fn checksum(records: &[Record]) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for record in records {
        hasher.update(record.topic.as_bytes());
        hasher.update(&record.partition.to_le_bytes());
        hasher.update(&record.offset.0.to_le_bytes());
        for part in [&record.key, &record.value] {
            let bytes = part.as_deref().unwrap_or_default();
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
    }
    hasher.digest()
}

/// The journal's writer.
pub struct Journal {
    writer: Box<dyn TransactionalWriter>,
    topic: String,
}

impl Journal {
    /// Takes the journal over from any older process, then reads it to its end.
    ///
    /// # Errors
    /// [`LogError`]; an entry that cannot be read is [`LogError::Fatal`], for without it nothing after it can be replayed.
    pub fn open(log: &dyn Log, topics: &Topics) -> Result<(Self, Vec<JournalEntry>), LogError> {
        let topic = topics.epochs();
        let writer = log.transactional(&format!("{}-journal", topics.prefix()))?;
        let mut entries: Vec<JournalEntry> = Vec::new();
        read_all(log, &topic, |record| {
            let entry: JournalEntry = serde_json::from_slice(record.value.as_deref().unwrap_or_default())
                .map_err(|error| LogError::Fatal { what: "read the journal", message: format!("{topic} offset {}: {error}", record.offset.0) })?;
            entries.push(entry);
            Ok(())
        })?;
        entries.sort_by_key(|entry| entry.epoch);
        Ok((Self { writer, topic }, entries))
    }

    /// Commits an entry.
    ///
    /// # Errors
    /// [`LogError::Fenced`] when another process has taken over: then nothing of this epoch may leave.
    pub fn append(&mut self, entry: &JournalEntry) -> Result<(), LogError> {
        let value = serde_json::to_vec(entry).map_err(|error| LogError::Fatal { what: "write the journal", message: error.to_string() })?;
        let mut pause = Duration::from_millis(50);
        loop {
            match self.write(entry.epoch, &value) {
                Err(error) if error.is_retriable() => {
                    tracing::warn!(%error, epoch = entry.epoch.0, "the journal waits");
                    // An abort that fails leaves nothing visible: the next `begin` settles it.
                    let _ = self.writer.abort();
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                done => return done,
            }
        }
    }

    fn write(&mut self, epoch: Epoch, value: &[u8]) -> Result<(), LogError> {
        self.writer.begin()?;
        self.writer.send(NewRecord {
            topic: self.topic.as_str().into(),
            partition: Some(0),
            key: Some(epoch.0.to_string().into()),
            value: Some(bytes::Bytes::copy_from_slice(value)),
            headers: Headers::default(),
        })?;
        self.writer.commit()
    }
}

/// Reads partition 0 of a topic from its beginning to its present end.
pub(crate) fn read_all(log: &dyn Log, topic: &str, mut each: impl FnMut(Record) -> Result<(), LogError>) -> Result<(), LogError> {
    let partition = TopicPartition::new(topic, 0);
    let range = log.range(&partition)?;
    if range.start >= range.end {
        return Ok(());
    }
    let mut reader = log.reader(&[(partition.clone(), range.start)])?;
    let mut records = Vec::new();
    loop {
        reader.poll(&mut records, 10_000, Duration::from_millis(100))?;
        for record in records.drain(..) {
            each(record)?;
        }
        let at = reader.positions().into_iter().find(|(at, _)| *at == partition).map_or(Offset(0), |(_, offset)| offset);
        if at >= range.end {
            return Ok(());
        }
    }
}
