//! Forms epochs from the inputs, and forms them again from the journal.
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sightline_log::{Log, LogError, LogReader, Offset, Record, TopicPartition};
use sightline_schemas::Micros;

use super::{Clock, Epoch, EpochRange, JournalEntry, SystemClock};

/// When an epoch closes: on the first bound it meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EpochSettings {
    /// How long an epoch with records stays open, in milliseconds.
    pub interval_ms: u64,
    /// How many records it takes.
    pub records: usize,
    /// How many bytes of keys and values it takes; a larger single record is an epoch of its own.
    pub bytes: usize,
    /// How often an epoch without records is formed, in milliseconds, to drive the clock.
    pub heartbeat_ms: u64,
}

impl Default for EpochSettings {
    fn default() -> Self {
        Self { interval_ms: 50, records: 20_000, bytes: 16 << 20, heartbeat_ms: 1_000 }
    }
}

/// How many polls of 100 ms in a row may give nothing while the journal says that there are records: a broker's restart, and then some.
const REPLAY_PATIENCE: u32 = 1_200;

/// An epoch that cannot be formed.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The inputs no longer hold what the journal says: records were deleted, or the topic was made anew.
    #[error(
        "epoch {} cannot be replayed: the journal says {expected} records, the inputs now give {found} or other ones; \
         restore the input topics, or remove the cell's journal, progress and state together and ingest again", epoch.0
    )]
    Changed {
        /// Which.
        epoch: Epoch,
        /// As journalled.
        expected: u64,
        /// As read.
        found: u64,
    },
}

/// A new epoch.
#[derive(Debug)]
pub struct Formed {
    /// For the journal.
    pub entry: JournalEntry,
    /// Sorted by topic, partition and offset.
    pub records: Vec<Record>,
}

/// Reads all inputs; the only one who does.
pub struct Former {
    reader: Box<dyn LogReader>,
    /// What was read and is in no epoch yet, by partition.
    waiting: BTreeMap<TopicPartition, VecDeque<Record>>,
    waiting_records: usize,
    waiting_bytes: usize,
    /// Where the next epoch begins.
    positions: BTreeMap<TopicPartition, Offset>,
    next: Epoch,
    resume: Epoch,
    clock: Box<dyn Clock>,
    settings: EpochSettings,
}

fn size(record: &Record) -> usize {
    record.key.as_ref().map_or(0, |key| key.len()) + record.value.as_ref().map_or(0, |value| value.len())
}

impl Former {
    /// Reads from `positions` on; the first epoch is the one after `resume`, and its clock shows no less than `wall`.
    ///
    /// # Errors
    /// [`LogError::OffsetExpired`] when a partition no longer holds its position.
    pub fn open(log: &dyn Log, positions: Vec<(TopicPartition, Offset)>, resume: Epoch, wall: Micros, settings: EpochSettings) -> Result<Self, EpochError> {
        let reader = log.reader(&positions)?;
        Ok(Self {
            reader,
            waiting: positions.iter().map(|(partition, _)| (partition.clone(), VecDeque::new())).collect(),
            waiting_records: 0,
            waiting_bytes: 0,
            positions: positions.into_iter().collect(),
            next: resume.next(),
            resume,
            clock: Box::new(SystemClock::after(wall)),
            settings,
        })
    }

    /// The epoch that this former began after.
    pub fn resume(&self) -> Epoch {
        self.resume
    }

    /// Where the next epoch begins, by partition.
    pub fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        self.positions.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect()
    }

    /// Forms the next epoch: waits for records until a bound is met, or for the heartbeat.
    ///
    /// # Errors
    /// [`EpochError::Log`].
    pub fn form(&mut self) -> Result<Formed, EpochError> {
        let started = Instant::now();
        let heartbeat = Duration::from_millis(self.settings.heartbeat_ms);
        let interval = Duration::from_millis(self.settings.interval_ms);
        let mut closes = started + if self.waiting_records > 0 { interval } else { heartbeat };
        while !self.is_full() {
            let left = closes.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let had = self.waiting_records;
            self.poll(left.min(interval))?;
            if had == 0 && self.waiting_records > 0 {
                closes = Instant::now() + interval;
            }
        }
        Ok(self.close(false))
    }

    /// Forms the last epoch of this run, without waiting. `complete`: no more input will come at all.
    ///
    /// # Errors
    /// [`EpochError::Log`].
    pub fn form_last(&mut self, complete: bool) -> Result<Formed, EpochError> {
        Ok(self.close(complete))
    }

    fn is_full(&self) -> bool {
        self.waiting_records >= self.settings.records || self.waiting_bytes >= self.settings.bytes
    }

    fn poll(&mut self, timeout: Duration) -> Result<(), EpochError> {
        let mut records = Vec::new();
        match self.reader.poll(&mut records, self.settings.records, timeout) {
            Ok(_) => {}
            Err(error) if error.is_retriable() => {
                tracing::warn!(%error, "the inputs wait");
                std::thread::sleep(timeout.min(Duration::from_millis(100)));
            }
            Err(error) => return Err(error.into()),
        }
        for record in records {
            let partition = TopicPartition { topic: record.topic.clone(), partition: record.partition };
            self.waiting_records += 1;
            self.waiting_bytes += size(&record);
            self.waiting.entry(partition).or_default().push_back(record);
        }
        Ok(())
    }

    /// Takes from each partition in turn what the bounds allow.
    fn close(&mut self, last: bool) -> Formed {
        let (mut records, mut ranges) = (Vec::new(), Vec::new());
        let (mut left, mut bytes) = (self.settings.records, self.settings.bytes);
        for (partition, waiting) in &mut self.waiting {
            let before = records.len();
            while let Some(record) = waiting.front() {
                let size = size(record);
                if left == 0 || (size > bytes && !records.is_empty()) {
                    break;
                }
                (left, bytes) = (left - 1, bytes.saturating_sub(size));
                (self.waiting_records, self.waiting_bytes) = (self.waiting_records - 1, self.waiting_bytes - size);
                records.extend(waiting.pop_front());
            }
            if let (Some(first), Some(end)) = (records.get(before), records.last()) {
                let range = EpochRange { topic: partition.topic.to_string(), partition: partition.partition, from: first.offset.0, to: end.offset.0 + 1 };
                self.positions.insert(partition.clone(), Offset(range.to));
                ranges.push(range);
            }
        }
        let epoch = self.next;
        self.next = epoch.next();
        let wall = self.clock.now();
        Formed { entry: JournalEntry::of(epoch, wall, ranges, &records, last), records }
    }

    /// Forms an epoch of the journal again. Epochs must come in order, from the one after `resume`.
    ///
    /// # Errors
    /// [`EpochError::Changed`] when the inputs give something else.
    pub fn replay(&mut self, entry: &JournalEntry) -> Result<Vec<Record>, EpochError> {
        let mut records = Vec::with_capacity(entry.records as usize);
        for range in &entry.ranges {
            let partition = range.partition();
            let mut silent = 0;
            loop {
                let waiting = self.waiting.entry(partition.clone()).or_default();
                while let Some(record) = waiting.pop_front_if(|record| record.offset.0 < range.to) {
                    (self.waiting_records, self.waiting_bytes) = (self.waiting_records - 1, self.waiting_bytes - size(&record));
                    if record.offset.0 >= range.from {
                        records.push(record);
                    }
                }
                let last = records.last().map(|record: &Record| (&*record.topic, record.partition, record.offset.0 + 1));
                let passed = last == Some((&*partition.topic, partition.partition, range.to));
                if passed || !waiting.is_empty() || self.has_read_past(&partition, range.to) || silent > REPLAY_PATIENCE {
                    break;
                }
                let before = self.waiting_records;
                self.poll(Duration::from_millis(100))?;
                silent = if self.waiting_records > before { 0 } else { silent + 1 };
            }
            self.positions.insert(partition, Offset(range.to));
        }
        records.sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
        self.next = entry.epoch.next();
        // New epochs show no earlier time than replayed ones, whatever the system's clock did meanwhile.
        self.clock = Box::new(SystemClock::after(entry.wall));
        if entry.matches(&records) {
            Ok(records)
        } else {
            Err(EpochError::Changed { epoch: entry.epoch, expected: entry.records, found: records.len() as u64 })
        }
    }

    fn has_read_past(&self, partition: &TopicPartition, offset: i64) -> bool {
        self.reader.positions().iter().any(|(at, position)| at == partition && position.0 >= offset)
    }
}
