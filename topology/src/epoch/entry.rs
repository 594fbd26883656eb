//! What the journal says of an epoch.
use serde::{Deserialize, Serialize};
use sightline_log::{Record, TopicPartition};
use sightline_schemas::Micros;
use xxhash_rust::xxh3::Xxh3;

use super::Epoch;

/// The version of the record's format.
pub(super) const VERSION: u8 = 1;

/// The records of one partition in an epoch; in JSON `[topic, partition, from, to]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "(String, i32, i64, i64)", into = "(String, i32, i64, i64)")]
pub struct EpochRange {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The first record's offset.
    pub from: i64,
    /// The offset after the last record. Between the two there may be offsets without a record (markers, compaction).
    pub to: i64,
}

impl From<(String, i32, i64, i64)> for EpochRange {
    fn from((topic, partition, from, to): (String, i32, i64, i64)) -> Self {
        Self { topic, partition, from, to }
    }
}
impl From<EpochRange> for (String, i32, i64, i64) {
    fn from(range: EpochRange) -> Self {
        (range.topic, range.partition, range.from, range.to)
    }
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
    /// The clock of the epoch: never less than that of the epoch before.
    pub wall: Micros,
    /// Partitions with records, sorted.
    pub ranges: Vec<EpochRange>,
    /// How many records.
    pub records: u64,
    /// [`JournalEntry::matches`] compares it; in JSON 16 hexadecimal digits, for a JSON number of another reader may hold 53 bits only.
    #[serde(with = "hex")]
    pub checksum: u64,
    /// No more input will come: whatever waits for more input is due.
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

/// XXH3-64 over everything of the records that the dataflow can see. It guards against a log that changed, not against an adversary: who can
/// rewrite the inputs needs no collision.
fn checksum(records: &[Record]) -> u64 {
    let mut hasher = Xxh3::new();
    for record in records {
        put(&mut hasher, Some(record.topic.as_bytes()));
        hasher.update(&record.partition.to_le_bytes());
        hasher.update(&record.offset.0.to_le_bytes());
        hasher.update(&record.timestamp.to_le_bytes());
        put(&mut hasher, record.key.as_deref());
        put(&mut hasher, record.value.as_deref());
        hasher.update(&(record.headers.0.len() as u64).to_le_bytes());
        for (name, value) in &record.headers.0 {
            put(&mut hasher, Some(name.as_bytes()));
            put(&mut hasher, Some(value));
        }
    }
    hasher.digest()
}

/// The length first, so that borders count; all ones for a value that is not there.
fn put(hasher: &mut Xxh3, bytes: Option<&[u8]>) {
    hasher.update(&bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
    hasher.update(bytes.unwrap_or_default());
}

mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{number:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let digits = String::deserialize(deserializer)?;
        u64::from_str_radix(&digits, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use sightline_log::{Headers, Offset};

    use super::*;

    fn record(offset: i64) -> Record {
        Record {
            topic: "soc.in.intel".into(),
            partition: 0,
            offset: Offset(offset),
            timestamp: 1_767_225_600_000,
            key: Some(Bytes::from_static(b"feed")),
            value: Some(Bytes::from_static(b"value")),
            headers: Headers::default().with("tenant", "acme"),
        }
    }

    #[test]
    fn an_entry_is_written_as_docs_journal_md_draws_it() {
        let range = EpochRange { topic: "soc.in.intel".into(), partition: 0, from: 12, to: 15 };
        let records = [record(12), record(13), record(14)];
        let entry = JournalEntry::of(Epoch(7), Micros(1_767_225_600_000_000), vec![range], &records, false);
        let golden = include_str!("../../../testdata/journal/entry-v1.json").trim_end();
        assert_eq!(serde_json::to_string(&entry).unwrap(), golden);
        assert_eq!(serde_json::from_str::<JournalEntry>(golden).unwrap(), entry);
        assert!(entry.matches(&records));
    }

    #[test]
    fn a_change_of_anything_that_the_dataflow_sees_changes_the_checksum() {
        let entry = JournalEntry::of(Epoch(1), Micros(0), Vec::new(), &[record(1)], false);
        let changes: [fn(&mut Record); 8] = [
            |record| record.topic = "soc.in.logs".into(),
            |record| record.partition = 1,
            |record| record.offset = Offset(2),
            |record| record.timestamp += 1,
            |record| record.key = None,
            |record| record.key = Some(Bytes::new()),
            |record| record.value = Some(Bytes::from_static(b"other")),
            |record| record.headers = Headers::default().with("tenant", "other"),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = record(1);
            change(&mut changed);
            assert!(!entry.matches(&[changed]), "change {number}");
        }
        assert!(!entry.matches(&[]));
    }
}
