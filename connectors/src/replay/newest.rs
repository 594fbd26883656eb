//! The compacted view of a span: which record of a key is its last.
//!
//! Keys as 128-bit hashes, so a record costs some 40 bytes here, whatever its size. A key stands in one partition, written by one lane, so
//! its highest offset is its newest epoch.
use std::collections::HashMap;

use sightline_log::{Log, LogError, Offset, Record, TopicPartition};
use sightline_schemas::ContentHash;

use super::read::{self, Step};
use super::span::Span;

/// The last record of each key.
#[derive(Debug, Default)]
pub(super) struct Newest {
    last: HashMap<TopicPartition, HashMap<ContentHash, Offset>>,
    /// What stands behind it, as far as it was read.
    pub after: Span,
}

impl Newest {
    /// Reads the keys of the span, and of what comes behind it: what is newer there makes the record in the span an old one.
    pub(super) fn read(log: &dyn Log, span: &Span, passed: &mut (dyn FnMut(u64) + Send)) -> Result<Self, LogError> {
        let mut newest = Self::default();
        read::each(log, span, &mut |step| {
            match step {
                Step::Record(partition, record) => newest.note(&partition, &record),
                Step::Passed(offsets) => passed(offsets),
            }
            true
        })?;
        newest.after = span.after(log)?;
        let behind = newest.after.clone();
        read::each(log, &behind, &mut |step| {
            // Only of keys that would be given: the others need no room.
            if let Step::Record(partition, record) = step
                && newest.holds(&partition, &record)
            {
                newest.note(&partition, &record);
            }
            true
        })?;
        Ok(newest)
    }

    fn note(&mut self, partition: &TopicPartition, record: &Record) {
        let last = match self.last.get_mut(partition) {
            Some(last) => last,
            None => self.last.entry(partition.clone()).or_default(),
        };
        last.insert(hash(record), record.offset);
    }

    /// Whether the key of `record` is one of those that were read.
    pub(super) fn holds(&self, partition: &TopicPartition, record: &Record) -> bool {
        self.last.get(partition).is_some_and(|last| last.contains_key(&hash(record)))
    }

    /// Whether `record` is the last of its key.
    pub(super) fn is_last(&self, partition: &TopicPartition, record: &Record) -> bool {
        self.last.get(partition).is_some_and(|last| last.get(&hash(record)) == Some(&record.offset))
    }
}

fn hash(record: &Record) -> ContentHash {
    ContentHash::of(record.key.as_deref().unwrap_or_default())
}
