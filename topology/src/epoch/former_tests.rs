#![allow(clippy::unwrap_used)]
use bytes::Bytes;
use proptest::prelude::*;
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::{CleanUp, Headers, NewRecord, TopicSpec};
use sightline_schemas::topic::Topics;
use tempfile::TempDir;

use super::*;
use crate::epoch::{Journal, SetClock, trim};

/// An embedded log with two input topics of two partitions, and the journal's.
struct Cell {
    log: Embedded,
    topics: Topics,
    /// Removed with the value.
    _directory: TempDir,
}

impl Cell {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Embedded::open(directory.path(), EmbeddedOptions { sync: false, ..EmbeddedOptions::default() }).unwrap();
        let topics = Topics::new("soc");
        let spec =
            |name: String, partitions| TopicSpec { name, partitions, replication: 1, clean_up: CleanUp::Keep, log_append_time: true };
        log.ensure_topics(&[spec(topics.intel_in(), 2), spec(topics.logs_in(), 2), spec(topics.epochs(), 1)]).unwrap();
        Self { log, topics, _directory: directory }
    }

    fn write(&self, topic: &str, partition: i32, values: impl IntoIterator<Item = Bytes>) {
        let mut writer = self.log.writer().unwrap();
        for value in values {
            let headers = Headers::default().with("tenant", "acme");
            writer.send(NewRecord { topic: topic.into(), partition: Some(partition), key: None, value: Some(value), headers }).unwrap();
        }
        writer.flush().unwrap();
    }

    fn inputs(&self) -> Vec<(TopicPartition, Offset)> {
        let topics = [self.topics.intel_in(), self.topics.logs_in()];
        topics.iter().flat_map(|topic| (0..2).map(|partition| (TopicPartition::new(topic.as_str(), partition), Offset(0)))).collect()
    }

    fn former(&self, settings: &EpochSettings) -> Former {
        Former::open(&self.log, self.inputs(), Epoch(0), Micros(0), settings.clone()).unwrap()
    }
}

fn quick(records: usize, bytes: usize) -> EpochSettings {
    EpochSettings { interval_ms: 1, records, bytes, heartbeat_ms: 5 }
}

fn values(count: usize, bytes: usize) -> impl Iterator<Item = Bytes> {
    (0..count).map(move |at| Bytes::from(vec![at as u8; bytes]))
}

fn form_all(former: &mut Former, records: usize) -> Vec<Formed> {
    let mut epochs = Vec::new();
    while epochs.iter().map(|formed: &Formed| formed.records.len()).sum::<usize>() < records {
        epochs.push(former.form().unwrap());
    }
    epochs
}

#[test]
fn without_records_a_heartbeat_still_moves_the_clock() {
    let cell = Cell::new();
    let clock = SetClock::at(Micros(10));
    let mut former = cell.former(&quick(10, 1 << 20)).with_clock(clock.clone());
    let first = former.form().unwrap();
    clock.set(Micros(20));
    let second = former.form().unwrap();
    assert_eq!((first.entry.epoch, first.entry.wall, first.records.len()), (Epoch(1), Micros(10), 0));
    assert_eq!((second.entry.epoch, second.entry.wall), (Epoch(2), Micros(20)));
}

#[test]
fn journalled_time_never_goes_back() {
    let cell = Cell::new();
    let clock = SetClock::at(Micros(100));
    let mut former = Former::open(&cell.log, cell.inputs(), Epoch(0), Micros(50), quick(1, 1)).unwrap().with_clock(clock.clone());
    clock.set(Micros(40));
    assert_eq!(former.form().unwrap().entry.wall, Micros(50));
    former.replay(&JournalEntry::of(Epoch(2), Micros(90), Vec::new(), &[], false)).unwrap();
    assert_eq!(former.form().unwrap().entry.wall, Micros(90));
}

#[test]
fn a_record_larger_than_an_epoch_is_an_epoch_of_its_own() {
    let cell = Cell::new();
    cell.write(&cell.topics.intel_in(), 0, values(3, 10_000));
    let mut former = cell.former(&quick(100, 1_000));
    let epochs = form_all(&mut former, 3);
    assert!(epochs.iter().all(|formed| formed.records.len() <= 1));
}

#[test]
fn a_replay_of_changed_input_is_refused() {
    let cell = Cell::new();
    cell.write(&cell.topics.intel_in(), 0, values(10, 10));
    let formed = form_all(&mut cell.former(&quick(100, 1 << 20)), 10).pop().unwrap();
    let other = Cell::new();
    other.write(&other.topics.intel_in(), 0, values(10, 11));
    let mut former = other.former(&quick(100, 1 << 20));
    let before = JournalEntry::of(Epoch(0), Micros(0), Vec::new(), &[], false);
    for epoch in 1..formed.entry.epoch.0 {
        former.replay(&JournalEntry { epoch: Epoch(epoch), ..before.clone() }).unwrap();
    }
    assert!(matches!(former.replay(&formed.entry), Err(EpochError::Changed { expected: 10, found: 10, .. })));
}

#[test]
fn an_input_that_was_trimmed_under_the_journal_is_refused() {
    let cell = Cell::new();
    cell.write(&cell.topics.intel_in(), 0, values(10, 10));
    cell.log.trim(&TopicPartition::new(cell.topics.intel_in(), 0), Offset(5)).unwrap();
    let opened = Former::open(&cell.log, cell.inputs(), Epoch(0), Micros(0), quick(1, 1));
    assert!(matches!(opened, Err(EpochError::Log(sightline_log::LogError::OffsetExpired { .. }))));
}

#[test]
fn i1_the_journal_of_a_fenced_process_takes_no_more() {
    let cell = Cell::new();
    let (mut old, _) = Journal::open(&cell.log, &cell.topics).unwrap();
    let entry = |epoch| JournalEntry::of(Epoch(epoch), Micros(0), Vec::new(), &[], false);
    old.append(&entry(1)).unwrap();
    let (mut new, entries) = Journal::open(&cell.log, &cell.topics).unwrap();
    assert_eq!(entries, [entry(1)]);
    assert!(matches!(old.append(&entry(2)), Err(sightline_log::LogError::Fenced { .. })));
    new.append(&entry(2)).unwrap();
    assert_eq!(Journal::open(&cell.log, &cell.topics).unwrap().1, [entry(1), entry(2)]);
}

#[test]
fn a_journal_read_after_progress_holds_what_another_process_added_since_the_take_over() {
    let cell = Cell::new();
    let entry = |number| JournalEntry::of(Epoch(number), Micros(0), Vec::new(), &[], false);
    let mut paused = Journal::take_over(&cell.log, &cell.topics).unwrap();
    let (mut newer, _) = Journal::open(&cell.log, &cell.topics).unwrap();
    newer.append(&entry(1)).unwrap();
    // Read before, it would be behind the lanes, and the start would say that the journal was lost.
    assert_eq!(paused.read(&cell.log).unwrap(), [entry(1)]);
    assert!(matches!(paused.append(&entry(2)), Err(sightline_log::LogError::Fenced { .. })));
}

#[test]
fn a_trimmed_journal_keeps_the_epoch_named_and_what_follows() {
    let cell = Cell::new();
    let entry = |epoch| JournalEntry::of(Epoch(epoch), Micros(0), Vec::new(), &[], false);
    let (mut journal, _) = Journal::open(&cell.log, &cell.topics).unwrap();
    (1..=9).for_each(|epoch| journal.append(&entry(epoch)).unwrap());
    trim(&cell.log, &cell.topics, Epoch(7)).unwrap();
    trim(&cell.log, &cell.topics, Epoch(3)).unwrap();
    assert_eq!(Journal::open(&cell.log, &cell.topics).unwrap().1, [entry(7), entry(8), entry(9)]);
}

#[test]
fn a_journal_with_a_hole_is_refused() {
    let cell = Cell::new();
    let entry = |epoch| JournalEntry::of(Epoch(epoch), Micros(0), Vec::new(), &[], false);
    let (mut journal, _) = Journal::open(&cell.log, &cell.topics).unwrap();
    journal.append(&entry(1)).unwrap();
    // A process that did not read the journal goes on somewhere else.
    let value = serde_json::to_vec(&entry(3)).unwrap();
    cell.write(&cell.topics.epochs(), 0, [Bytes::from(value)]);
    let error = Journal::open(&cell.log, &cell.topics).err().unwrap().to_string();
    assert!(error.contains("epoch 3 follows epoch 1"), "{error}");
}

#[test]
fn an_entry_of_a_later_version_is_refused_and_says_so() {
    let cell = Cell::new();
    cell.write(&cell.topics.epochs(), 0, [Bytes::from_static(br#"{"v":2,"epoch":1,"news":true}"#)]);
    let error = Journal::open(&cell.log, &cell.topics).err().unwrap().to_string();
    assert!(error.contains("version 2") && error.contains("soc.sys.epochs offset 0"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn i4_a_replay_of_the_journal_makes_the_same_epochs(
        batches in proptest::collection::vec((0usize..2, 0i32..2, 0usize..30, 0usize..300), 1..10),
        records in 1usize..50,
        bytes in 1usize..2_000,
        from in any::<prop::sample::Index>(),
    ) {
        let cell = Cell::new();
        let names = [cell.topics.intel_in(), cell.topics.logs_in()];
        let settings = quick(records, bytes);
        let mut total = 0;
        for (topic, partition, count, size) in batches {
            cell.write(&names[topic], partition, values(count, size));
            total += count;
        }
        let mut former = cell.former(&settings);
        let epochs = form_all(&mut former, total);

        // From the beginning, with other bounds, for bounds are for minting only.
        let mut replayer = cell.former(&quick(7, 77));
        let mut positions = vec![replayer.positions()];
        for formed in &epochs {
            prop_assert_eq!(&replayer.replay(&formed.entry).unwrap(), &formed.records);
            positions.push(replayer.positions());
        }
        prop_assert_eq!(replayer.positions(), former.positions());

        // From the middle, as after a snapshot.
        let from = from.index(epochs.len() + 1);
        let mut replayer = Former::open(&cell.log, positions[from].clone(), Epoch(from as u64), Micros(0), settings).unwrap();
        for formed in &epochs[from..] {
            prop_assert_eq!(&replayer.replay(&formed.entry).unwrap(), &formed.records);
        }
        prop_assert_eq!(replayer.form().unwrap().entry.records, 0);
    }
}
