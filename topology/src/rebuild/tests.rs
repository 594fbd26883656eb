#![allow(clippy::unwrap_used)]
use super::*;
use crate::epoch::EpochRange;
use crate::runtime::topic_specs;
use crate::state::segment::{Entries, SegmentMeta};

fn cell() -> Cell {
    let (log, topics) = (Embedded::temporary().unwrap(), Topics::new("soc"));
    log.ensure_topics(&topic_specs(&topics, 2, 1)).unwrap();
    Cell { log: Arc::new(log), topics, settings: TopologySettings::default(), workers: 1, state_dir: "nowhere/state".into(), store: None }
}

fn send(cell: &Cell, topic: InputTopic, partition: i32, value: &'static str) {
    let (topic, value, headers) = (topic.name(&cell.topics).into(), Some(value.into()), Headers::default());
    let mut writer = cell.log.writer().unwrap();
    writer.send(NewRecord { topic, partition: Some(partition), key: None, value, headers }).unwrap();
    writer.flush().unwrap();
}

fn entry(cell: &Cell, epoch: u64, wall: i64, ranges: &[(InputTopic, i32, i64, i64)]) -> JournalEntry {
    let range = |(topic, partition, from, to): &(InputTopic, i32, i64, i64)| EpochRange {
        topic: topic.name(&cell.topics),
        partition: *partition,
        from: *from,
        to: *to,
    };
    JournalEntry::of(Epoch(epoch), Micros(wall), ranges.iter().map(range).collect(), &[], false)
}

fn now() -> i64 {
    std::thread::sleep(std::time::Duration::from_millis(3));
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros() as i64
}

#[test]
fn positions_are_those_of_the_journal_and_by_time_where_it_names_none() {
    let cell = cell();
    (0..3).for_each(|_| send(&cell, InputTopic::Control, 0, "read long ago"));
    let began = now();
    std::thread::sleep(std::time::Duration::from_millis(3));
    send(&cell, InputTopic::Control, 0, "came after the end");
    let entries = [
        entry(&cell, 7, began, &[(InputTopic::Intel, 0, 10, 12)]),
        entry(&cell, 8, began, &[(InputTopic::Intel, 0, 12, 15)]),
        entry(&cell, 9, began, &[(InputTopic::Intel, 0, 15, 20), (InputTopic::Intel, 1, 4, 5)]),
    ];
    let positions = cell.positions(&entries, Epoch(8)).unwrap();
    let of = |topic: InputTopic, partition| {
        let wanted = TopicPartition::new(topic.name(&cell.topics), partition);
        positions.iter().find(|(at, _)| *at == wanted).unwrap().1
    };
    assert_eq!((of(InputTopic::Intel, 0), of(InputTopic::Intel, 1)), (Offset(15), Offset(4)));
    assert_eq!(of(InputTopic::Control, 0), Offset(3));
    assert_eq!(positions.len(), 5, "of every partition of every input");
}

#[test]
fn inputs_are_put_into_epochs_in_the_order_in_which_they_came() {
    let cell = cell();
    let in_turn =
        [(InputTopic::Control, 0), (InputTopic::Intel, 1), (InputTopic::Intel, 0), (InputTopic::Control, 0), (InputTopic::Intel, 1)];
    for (topic, partition) in in_turn {
        send(&cell, topic, partition, "x");
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
    let own = Embedded::temporary().unwrap();
    let package = |feed: &str| Package { tenant: "default".into(), feed: feed.into(), bytes: Bytes::from(vec![b'x'; PART + 1]) };
    let (more, adopted) = cell.adopt(&own, &[package("a"), package("b")]).unwrap();
    assert_eq!(
        (more, adopted.len()),
        (Some(TopicPartition::new(cell.topics.intel_in(), 2)), 4),
        "two parts each, in a partition of their own"
    );
    let positions = cell.positions(&[], Epoch(0)).unwrap();
    let ends: Vec<_> = positions.into_iter().map(|(at, _)| (at.clone(), cell.log.range(&at).unwrap().end)).collect();
    let epochs = inputs::again(&*cell.log, &cell.topics, &ends, adopted, Micros(i64::MAX)).unwrap();
    let ranges: Vec<Vec<(String, i32, i64, i64)>> =
        epochs.iter().map(|entry| entry.ranges.iter().cloned().map(Into::into).collect()).collect();
    let (control, intel) = (cell.topics.control_in(), cell.topics.intel_in());
    let of = |topic: &String, partition, from, to| (topic.clone(), partition, from, to);
    assert_eq!(ranges[0][0], of(&control, 0, 0, 1));
    let merged: Vec<_> = ranges.concat();
    assert!(merged.contains(&of(&intel, 0, 0, 1)) && merged.contains(&of(&control, 0, 1, 2)));
    let second = ranges.iter().position(|epoch| epoch.contains(&of(&control, 0, 1, 2))).unwrap();
    let at = |partition, from| {
        ranges.iter().position(|epoch| epoch.iter().any(|range| range.0 == intel && (range.1, range.2) == (partition, from)))
    };
    assert!(at(0, 0).unwrap() < second && at(1, 0).unwrap() < second, "a declaration that came after packages begins an epoch: {ranges:?}");
    assert!(at(1, 1).unwrap() >= second && at(2, 0).unwrap() < second, "{ranges:?}");
    assert_eq!(epochs.iter().map(|entry| entry.records).sum::<u64>(), 9);
    assert!(epochs.is_sorted_by_key(|entry| entry.wall) && epochs[0].wall > Micros(0));
}

#[test]
fn a_snapshot_that_a_start_cannot_load_is_no_reason_not_to_rebuild() {
    let folder = tempfile::tempdir().unwrap();
    let cell = Cell { state_dir: folder.path().join("state"), ..cell() };
    let needed = |first: u64| cell.is_needed(Epoch(first), Epoch(9));
    std::fs::create_dir(&cell.state_dir).unwrap();
    let meta = SegmentMeta { table: 1, vnode: 2, epoch: Epoch(7), whole: true };
    let mut entries = Entries::default();
    entries.push(&1u64, Some(&"x")).unwrap();
    segment::write(&cell.state_dir, &meta, &entries).unwrap();
    let mut manifest = Manifest::new("f", Epoch(7), Micros(7), Vec::new());
    manifest.segments = vec![meta.clone()];
    manifest::commit(&cell.state_dir, &manifest, &[]).unwrap();
    assert!(needed(1).unwrap_err().to_string().contains("the journal is whole"));
    assert!(needed(8).unwrap_err().to_string().contains("a snapshot of epoch 7"));
    needed(9).unwrap();
    let path = cell.state_dir.join(meta.file_name());
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
    needed(8).unwrap();
}
