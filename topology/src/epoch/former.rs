//! Forms epochs from the inputs, and forms them again from the journal.
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sightline_log::{Log, LogReader, Offset, Record, TopicPartition};
use sightline_schemas::Micros;

use super::waiting::{Budget, Waiting};
use super::{Clock, Epoch, EpochError, EpochRange, EpochSettings, JournalEntry, SystemClock};

/// How long the inputs may give nothing while the journal says that there are records: a broker's restart, and then some.
const REPLAY_PATIENCE: Duration = Duration::from_secs(120);
const REPLAY_POLL: Duration = Duration::from_millis(100);
/// How many records one poll asks for: few, because only their number can be bounded, and each may be as large as the log takes.
const POLL_RECORDS: usize = 128;

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
    waiting: Waiting,
    /// Where the next epoch begins.
    positions: BTreeMap<TopicPartition, Offset>,
    next: Epoch,
    resume: Epoch,
    /// The newest time that any epoch has shown.
    wall: Micros,
    clock: Box<dyn Clock>,
    settings: EpochSettings,
}

impl Former {
    /// Reads from `positions` on; the first epoch is the one after `resume`, and its clock shows no less than `wall`.
    ///
    /// # Errors
    /// [`sightline_log::LogError::OffsetExpired`] when a partition no longer holds its position.
    pub fn open(
        log: &dyn Log,
        positions: Vec<(TopicPartition, Offset)>,
        resume: Epoch,
        wall: Micros,
        settings: EpochSettings,
    ) -> Result<Self, EpochError> {
        let reader = log.reader(&positions)?;
        Ok(Self {
            reader,
            waiting: Waiting::new(positions.iter().map(|(partition, _)| partition.clone())),
            positions: positions.into_iter().collect(),
            next: resume.next(),
            resume,
            wall,
            clock: Box::new(SystemClock),
            settings,
        })
    }

    /// Takes the time from `clock` instead of the system.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
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
        let interval = self.settings.interval();
        let first_wait = if self.waiting.records() > 0 { interval } else { self.settings.heartbeat() };
        let mut closes = Instant::now() + first_wait;
        while !self.waiting.fills(self.budget()) {
            let left = closes.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let had = self.waiting.records();
            self.poll(left.min(interval))?;
            if had == 0 && self.waiting.records() > 0 {
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

    fn budget(&self) -> Budget {
        Budget { records: self.settings.records, bytes: self.settings.bytes }
    }

    fn poll(&mut self, timeout: Duration) -> Result<(), EpochError> {
        let mut records = Vec::new();
        match self.reader.poll(&mut records, POLL_RECORDS, timeout) {
            Ok(_) => {}
            Err(error) if error.is_retriable() => {
                tracing::warn!(%error, "the inputs wait");
                std::thread::sleep(timeout.min(Duration::from_millis(100)));
            }
            Err(error) => return Err(error.into()),
        }
        records.into_iter().for_each(|record| self.waiting.push(record));
        Ok(())
    }

    fn close(&mut self, last: bool) -> Formed {
        let (mut records, mut ranges) = (Vec::new(), Vec::new());
        for mut share in self.waiting.take(self.budget()) {
            if let (Some(first), Some(end)) = (share.records.first(), share.records.last()) {
                let range = EpochRange {
                    topic: share.partition.topic.to_string(),
                    partition: share.partition.partition,
                    from: first.offset.0,
                    to: end.offset.0 + 1,
                };
                self.positions.insert(share.partition, Offset(range.to));
                ranges.push(range);
            }
            records.append(&mut share.records);
        }
        self.skip_markers();
        self.wall = self.wall.max(self.clock.now());
        let epoch = self.next;
        self.next = epoch.next();
        Formed { entry: JournalEntry::of(epoch, self.wall, ranges, &records, last), records }
    }

    /// A partition whose records are all in epochs goes on where its reader is: that is past markers of transactions, which no record tells of.
    fn skip_markers(&mut self) {
        for (partition, position) in self.reader.positions() {
            if self.waiting.is_empty_of(&partition) {
                let known = self.positions.entry(partition).or_default();
                *known = position.max(*known);
            }
        }
    }

    /// Forms an epoch of the journal again. Epochs must come in order, from the one after `resume`.
    ///
    /// # Errors
    /// [`EpochError::Changed`] when the inputs give something else; [`EpochError::Silent`] when they give nothing.
    pub fn replay(&mut self, entry: &JournalEntry) -> Result<Vec<Record>, EpochError> {
        debug_assert_eq!(entry.epoch, self.next, "epochs are replayed without a gap");
        let mut records = Vec::new();
        for range in &entry.ranges {
            self.replay_range(entry.epoch, range, &mut records)?;
        }
        self.next = entry.epoch.next();
        self.wall = self.wall.max(entry.wall);
        if entry.matches(&records) {
            Ok(records)
        } else {
            Err(EpochError::Changed { epoch: entry.epoch, expected: entry.records, found: records.len() as u64 })
        }
    }

    fn replay_range(&mut self, epoch: Epoch, range: &EpochRange, records: &mut Vec<Record>) -> Result<(), EpochError> {
        let (partition, end) = (range.partition(), Offset(range.to));
        let began = records.len();
        let mut heard = Instant::now();
        loop {
            self.waiting.take_range(&partition, Offset(range.from), end, records);
            let has_last = records.len() > began && records.last().is_some_and(|record| record.offset.0 + 1 == range.to);
            let has_more = !self.waiting.is_empty_of(&partition);
            if has_last || has_more || self.reader.positions().iter().any(|(at, position)| *at == partition && *position >= end) {
                break;
            }
            let before = self.waiting.records();
            self.poll(REPLAY_POLL)?;
            if self.waiting.records() > before {
                heard = Instant::now();
            } else if heard.elapsed() > REPLAY_PATIENCE {
                return Err(EpochError::Silent { epoch, partition: partition.to_string(), seconds: REPLAY_PATIENCE.as_secs() });
            }
        }
        self.positions.insert(partition, end);
        Ok(())
    }
}

#[cfg(test)]
#[path = "former_tests.rs"]
mod tests;
