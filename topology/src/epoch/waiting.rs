//! Records that were read and are in no epoch yet.
use std::collections::{BTreeMap, VecDeque};

use sightline_log::{Offset, Record, TopicPartition};

/// Queues by partition, in the order in which an epoch holds them: topic, partition, offset.
pub(super) struct Waiting {
    queues: BTreeMap<TopicPartition, VecDeque<Record>>,
    records: usize,
    bytes: usize,
    /// Which partition is served first; each in turn.
    turn: usize,
}

/// What one epoch may take.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// What a partition gives to an epoch.
pub(super) struct Share {
    pub(super) partition: TopicPartition,
    pub(super) records: Vec<Record>,
}

/// The bytes of a record: its key, value and headers.
pub(crate) fn size(record: &Record) -> usize {
    let headers: usize = record.headers.0.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.as_ref().map_or(0, |key| key.len()) + record.value.as_ref().map_or(0, |value| value.len()) + headers
}

impl Waiting {
    pub(super) fn new(partitions: impl Iterator<Item = TopicPartition>) -> Self {
        Self { queues: partitions.map(|partition| (partition, VecDeque::new())).collect(), records: 0, bytes: 0, turn: 0 }
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }

    pub(super) fn fills(&self, budget: Budget) -> bool {
        self.records >= budget.records || self.bytes >= budget.bytes
    }

    pub(super) fn is_empty_of(&self, partition: &TopicPartition) -> bool {
        self.queues.get(partition).is_none_or(VecDeque::is_empty)
    }

    pub(super) fn push(&mut self, record: Record) {
        let partition = TopicPartition { topic: record.topic.clone(), partition: record.partition };
        self.records += 1;
        self.bytes += size(&record);
        self.queues.entry(partition).or_default().push_back(record);
    }

    /// Takes the records of a partition below `to`, and drops those below `from`.
    pub(super) fn take_range(&mut self, partition: &TopicPartition, from: Offset, to: Offset, into: &mut Vec<Record>) {
        let Some(queue) = self.queues.get_mut(partition) else { return };
        while let Some(record) = queue.pop_front_if(|record| record.offset < to) {
            self.records -= 1;
            self.bytes -= size(&record);
            if record.offset >= from {
                into.push(record);
            }
        }
    }

    /// Takes what `budget` allows. Every topic gets its equal share first, and every partition its part of that, so that a flood in one cannot
    /// keep the others waiting; what is left over then goes to who has more. The partition whose turn it is may exceed the budget with its first
    /// record, so that no record is too large for ever.
    pub(super) fn take(&mut self, budget: Budget) -> Vec<Share> {
        let mut plan = Plan::new(self.queues.values(), budget);
        let order: Vec<usize> = (0..self.queues.len()).map(|at| (at + self.turn) % self.queues.len()).collect();
        let shares = self.shares(budget);
        for &at in &order {
            plan.grow(at, shares[at]);
        }
        for &at in &order {
            plan.grow(at, budget);
        }
        self.turn = self.turn.wrapping_add(1);
        let counts: Vec<usize> = plan.taken.iter().map(|taken| taken.records).collect();
        let mut taken = Vec::new();
        for ((partition, queue), count) in self.queues.iter_mut().zip(counts).filter(|(_, count)| *count > 0) {
            let records: Vec<Record> = queue.drain(..count).collect();
            self.records -= count;
            self.bytes -= records.iter().map(size).sum::<usize>();
            taken.push(Share { partition: partition.clone(), records });
        }
        taken
    }

    /// The part of the budget that each partition is sure of.
    fn shares(&self, budget: Budget) -> Vec<Budget> {
        let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
        for (partition, _) in self.queues.iter().filter(|(_, queue)| !queue.is_empty()) {
            *waiting.entry(&partition.topic).or_default() += 1;
        }
        let part = |whole: usize, partitions: usize| (whole / waiting.len().max(1) / partitions).max(1);
        let share =
            |topic: &str| waiting.get(topic).map_or(budget, |&n| Budget { records: part(budget.records, n), bytes: part(budget.bytes, n) });
        self.queues.keys().map(|partition| share(&partition.topic)).collect()
    }
}

/// How much of each queue an epoch takes, while it is being decided.
struct Plan<'a> {
    queues: Vec<&'a VecDeque<Record>>,
    taken: Vec<Budget>,
    left: Budget,
}

impl<'a> Plan<'a> {
    fn new(queues: impl Iterator<Item = &'a VecDeque<Record>>, left: Budget) -> Self {
        let queues: Vec<_> = queues.collect();
        Self { taken: vec![Budget { records: 0, bytes: 0 }; queues.len()], queues, left }
    }

    /// Takes from queue `at` up to `share`, counting what it gave already.
    fn grow(&mut self, at: usize, share: Budget) {
        let is_first = self.taken.iter().all(|taken| taken.records == 0);
        let taken = &mut self.taken[at];
        while let Some(record) = self.queues[at].get(taken.records) {
            let bytes = size(record);
            let may_exceed = is_first && taken.records == 0;
            let fits =
                taken.records < share.records && taken.bytes + bytes <= share.bytes && self.left.records > 0 && bytes <= self.left.bytes;
            if !(fits || may_exceed) {
                break;
            }
            *taken = Budget { records: taken.records + 1, bytes: taken.bytes + bytes };
            self.left = Budget { records: self.left.records.saturating_sub(1), bytes: self.left.bytes.saturating_sub(bytes) };
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use sightline_log::Headers;

    use super::*;

    fn record(topic: &str, partition: i32, offset: i64, bytes: usize) -> Record {
        let value = Some(Bytes::from(vec![0; bytes]));
        Record { topic: topic.into(), partition, offset: Offset(offset), timestamp: 0, key: None, value, headers: Headers::default() }
    }

    fn waiting(records: impl IntoIterator<Item = Record>) -> Waiting {
        let mut waiting = Waiting::new(std::iter::empty());
        records.into_iter().for_each(|record| waiting.push(record));
        waiting
    }

    fn counts(shares: &[Share]) -> Vec<(String, usize)> {
        shares.iter().map(|share| (share.partition.to_string(), share.records.len())).collect()
    }

    #[test]
    fn a_flood_in_one_topic_leaves_the_others_their_share() {
        let flood = (0..4).flat_map(|partition| (0..1000).map(move |offset| record("intel", partition, offset, 10)));
        let mut waiting = waiting(flood.chain((0..60).map(|offset| record("logs", 0, offset, 10))));
        let taken = waiting.take(Budget { records: 100, bytes: 1 << 20 });
        assert_eq!(counts(&taken).last(), Some(&("logs:0".to_owned(), 50)));
        assert_eq!(taken.iter().map(|share| share.records.len()).sum::<usize>(), 100);
    }

    #[test]
    fn what_one_topic_does_not_use_goes_to_the_others() {
        let mut waiting = waiting((0..1000).map(|offset| record("intel", 0, offset, 10)).chain([record("logs", 0, 0, 10)]));
        let taken = waiting.take(Budget { records: 100, bytes: 1 << 20 });
        assert_eq!(counts(&taken), [("intel:0".to_owned(), 99), ("logs:0".to_owned(), 1)]);
    }

    #[test]
    fn a_record_larger_than_an_epoch_gets_its_turn() {
        let mut waiting = waiting([record("a", 0, 0, 1000), record("b", 0, 0, 10), record("b", 0, 1, 10)]);
        let budget = Budget { records: 10, bytes: 100 };
        assert_eq!(counts(&waiting.take(budget)), [("a:0".to_owned(), 1)]);
        assert_eq!(counts(&waiting.take(budget)), [("b:0".to_owned(), 2)]);
        assert!(waiting.take(budget).is_empty());
    }

    proptest! {
        #[test]
        fn every_record_leaves_once_in_order_and_no_epoch_exceeds_its_bounds_but_for_one_large_record(
            sizes in proptest::collection::vec((0usize..3, 0i32..3, 0usize..150), 0..200),
            records in 1usize..40,
        ) {
            let budget = Budget { records, bytes: 100 };
            let all: Vec<_> = sizes.iter().enumerate().map(|(at, (topic, partition, bytes))| record(["a", "b", "c"][*topic], *partition, at as i64, *bytes)).collect();
            let mut waiting = waiting(all.clone());
            let mut left = Vec::new();
            while waiting.records() > 0 {
                let epoch: Vec<Record> = waiting.take(budget).into_iter().flat_map(|share| share.records).collect();
                prop_assert!(!epoch.is_empty() && epoch.len() <= records);
                let (bytes, largest) = (epoch.iter().map(size).sum::<usize>(), epoch.iter().map(size).max().unwrap_or(0));
                prop_assert!(bytes <= 100 || bytes == largest);
                prop_assert!(epoch.is_sorted_by_key(|record| (record.topic.clone(), record.partition, record.offset)));
                left.extend(epoch);
            }
            prop_assert_eq!(waiting.bytes, 0);
            // Sorting by partition alone is stable: what is out of order within one stays so.
            let by_partition = |mut records: Vec<Record>| { records.sort_by_key(|record| (record.topic.clone(), record.partition)); records };
            prop_assert_eq!(by_partition(left), by_partition(all));
        }
    }
}
