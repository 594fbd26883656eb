//! Epochs made again of the inputs.
use std::collections::VecDeque;
use std::time::Duration;

use sightline_log::{Log, LogError, LogReader, Offset, Record, TopicPartition};
use sightline_schemas::Micros;
use sightline_schemas::topic::Topics;

use crate::epoch::{Epoch, EpochRange, JournalEntry};
use crate::source::InputTopic;

/// Bounds of an epoch that is made again.
const RECORDS: usize = 20_000;
const BYTES: usize = 16 << 20;
/// How long a partition may give nothing before its end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Epochs of the records of all inputs before `positions`, in the order in which the log took them, with `adopted` before the first that `in.intel` still
/// holds. Their numbers are given later.
pub(super) fn again(
    log: &dyn Log,
    topics: &Topics,
    positions: &[(TopicPartition, Offset)],
    adopted: Vec<Record>,
    until: Micros,
) -> Result<Vec<JournalEntry>, LogError> {
    let mut queues = Vec::new();
    for topic in InputTopic::ALL {
        let name = topic.name(topics);
        for (partition, end) in positions.iter().filter(|(partition, _)| *partition.topic == *name) {
            queues.push(Queue::open(log, topic, partition, *end)?);
        }
    }
    let (mut entries, mut wall) = (Vec::new(), Micros(0));
    let (mut epoch, mut bytes) = (Vec::new(), 0);
    let mut adopted: VecDeque<Record> = adopted.into();
    loop {
        queues.iter_mut().try_for_each(Queue::fill)?;
        let next = queues.iter_mut().filter(|queue| !queue.records.is_empty()).min_by_key(|queue| queue.front());
        let next = match next {
            Some(queue) if queue.topic != InputTopic::Intel || adopted.is_empty() => {
                // An adopted record was made just now, and tells nothing of its time.
                queue.records.pop_front().map(|record| (queue.topic, Some(Micros(record.timestamp.saturating_mul(1000))), record))
            }
            _ => adopted.pop_front().map(|record| (InputTopic::Intel, None, record)),
        };
        let Some((topic, taken, record)) = next else { break };
        // Within an epoch declarations come first: one that came after packages begins another.
        let follows = topic == InputTopic::Control && epoch.iter().any(|(topic, _)| *topic == InputTopic::Intel);
        if epoch.len() >= RECORDS || bytes >= BYTES || follows {
            entries.push(entry(std::mem::take(&mut epoch), wall));
            bytes = 0;
        }
        if let Some(taken) = taken {
            wall = wall.max(taken).min(until);
        }
        bytes += record.value.as_ref().map_or(0, |value| value.len());
        epoch.push((topic, record));
    }
    if !epoch.is_empty() {
        entries.push(entry(epoch, wall));
    }
    Ok(entries)
}

/// A partition, read to where the epochs end.
pub(super) struct Queue {
    topic: InputTopic,
    partition: TopicPartition,
    end: Offset,
    reader: Box<dyn LogReader>,
    pub(super) records: VecDeque<Record>,
}

impl Queue {
    pub(super) fn open(log: &dyn Log, topic: InputTopic, partition: &TopicPartition, end: Offset) -> Result<Self, LogError> {
        let reader = log.reader(&[(partition.clone(), log.range(partition)?.start.min(end))])?;
        Ok(Self { topic, partition: partition.clone(), end, reader, records: VecDeque::new() })
    }

    /// Reads on when nothing is left.
    pub(super) fn fill(&mut self) -> Result<(), LogError> {
        let began = std::time::Instant::now();
        while self.records.is_empty() && self.reader.positions().iter().any(|(_, at)| *at < self.end) {
            let mut records = Vec::new();
            match self.reader.poll(&mut records, 100, Duration::from_millis(100)) {
                Err(error) if !error.is_retriable() => return Err(error),
                _ if records.is_empty() && began.elapsed() > PATIENCE => {
                    let message = format!("{} gave nothing for {} s; see that the brokers serve it", self.partition, PATIENCE.as_secs());
                    return Err(LogError::Fatal { what: "read an input", message });
                }
                _ => self.records.extend(records.into_iter().filter(|record| record.offset < self.end)),
            }
        }
        Ok(())
    }

    /// The order in which records came.
    fn front(&self) -> Option<(i64, InputTopic, i32)> {
        self.records.front().map(|record| (record.timestamp, self.topic, record.partition))
    }
}

fn entry(records: Vec<(InputTopic, Record)>, wall: Micros) -> JournalEntry {
    let mut records: Vec<Record> = records.into_iter().map(|(_, record)| record).collect();
    records.sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
    let mut ranges: Vec<EpochRange> = Vec::new();
    for record in &records {
        match ranges.last_mut().filter(|range| range.topic == *record.topic && range.partition == record.partition) {
            Some(range) => range.to = record.offset.0 + 1,
            None => ranges.push(EpochRange {
                topic: record.topic.to_string(),
                partition: record.partition,
                from: record.offset.0,
                to: record.offset.0 + 1,
            }),
        }
    }
    JournalEntry::of(Epoch(0), wall, ranges, &records, false)
}
