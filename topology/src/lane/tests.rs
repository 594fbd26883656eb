#![allow(clippy::unwrap_used)]
use std::time::Duration;

use bytes::Bytes;
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::{CleanUp, Record, TopicSpec};
use sightline_schemas::avro::RecordType;
use tempfile::TempDir;

use super::*;
use crate::epoch::read_all;
use crate::output::Target;
use crate::source::{InputTopic, SourceRef};

const WINDOW: u64 = 64;
const SOON: Duration = Duration::from_secs(10);

struct Cell {
    log: Embedded,
    topics: Topics,
    _directory: TempDir,
}

impl Cell {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = Embedded::open(directory.path(), EmbeddedOptions { sync: false, ..EmbeddedOptions::default() }).unwrap();
        let topics = Topics::new("soc");
        let spec = |name: String| TopicSpec { name, partitions: 1, replication: 1, clean_up: CleanUp::Keep, log_append_time: false };
        log.ensure_topics(&[spec(topics.entities()), spec(topics.progress())]).unwrap();
        Self { log, topics, _directory: directory }
    }

    fn open(&self, count: u32) -> (Lanes, Vec<LaneSender>) {
        let settings = LaneSettings { count, progress_epochs: 1_000, ..LaneSettings::default() };
        let mut lanes = Lanes::open(&self.log, &self.topics, &settings, WINDOW).unwrap();
        let senders = lanes.take_senders().into_iter().map(|(_, sender)| sender).collect();
        (lanes, senders)
    }

    fn output(&self, key: &str) -> Box<Emission> {
        Box::new(Emission {
            target: Target::of(RecordType::Entity),
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Some(Bytes::from_static(b"value")),
            origin: SourceRef { topic: InputTopic::Intel, partition: 0, offset: 0 },
            headers: Vec::new(),
        })
    }

    fn keys(&self, topic: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let text = |record: Record| String::from_utf8(record.key.unwrap().to_vec()).unwrap();
        read_all(&self.log, topic, |record| {
            keys.push(text(record));
            Ok(())
        })
        .unwrap();
        keys
    }
}

#[test]
fn what_lanes_were_given_is_out_when_they_close() {
    let cell = Cell::new();
    let (lanes, senders) = cell.open(2);
    for epoch in 1..=9 {
        senders[0].send(Epoch(epoch), vec![cell.output(&format!("a-{epoch}"))]);
        senders[1].send(Epoch(epoch), Vec::new());
    }
    drop(senders);
    let committed = lanes.committed();
    lanes.close().unwrap();
    assert_eq!(cell.keys(&cell.topics.entities()), (1..=9).map(|epoch| format!("a-{epoch}")).collect::<Vec<_>>());
    assert_eq!((committed.min(), committed.durable()), (Epoch(9), Epoch(9)));
}

#[test]
fn a_restart_drops_what_a_lane_had_committed_and_writes_the_rest_once() {
    let cell = Cell::new();
    let replay = |senders: &[LaneSender], epochs: std::ops::RangeInclusive<u64>| {
        for epoch in epochs {
            senders[0].send(Epoch(epoch), vec![cell.output(&epoch.to_string())]);
        }
    };
    let (lanes, senders) = cell.open(1);
    replay(&senders, 1..=5);
    drop(senders);
    lanes.close().unwrap();
    let (lanes, senders) = cell.open(1);
    assert_eq!(lanes.committed().min(), Epoch(5));
    replay(&senders, 3..=8);
    drop(senders);
    lanes.close().unwrap();
    assert_eq!(cell.keys(&cell.topics.entities()), (1..=8).map(|epoch| epoch.to_string()).collect::<Vec<_>>());
}

#[test]
fn i5_lanes_of_an_older_process_fail_and_leave_nothing() {
    let cell = Cell::new();
    let (old, senders) = cell.open(1);
    let (new, _new_senders) = cell.open(1);
    senders[0].send(Epoch(1), vec![cell.output("zombie")]);
    drop(senders);
    let committed = old.committed();
    assert!(matches!(old.close(), Err(LogError::Fenced { .. })));
    assert!(committed.has_failed());
    assert_eq!(cell.keys(&cell.topics.entities()), Vec::<String>::new());
    assert_eq!(new.committed().min(), Epoch(0));
}

#[test]
fn i3_epochs_without_output_are_done_at_once_and_durable_on_demand() {
    let cell = Cell::new();
    let (lanes, senders) = cell.open(2);
    for epoch in 1..=5 {
        senders.iter().for_each(|sender| sender.send(Epoch(epoch), Vec::new()));
    }
    let committed = lanes.committed();
    assert!(committed.wait_for(Epoch(5), SOON));
    assert_eq!((committed.durable(), cell.keys(&cell.topics.progress())), (Epoch(0), Vec::new()));
    assert!(committed.wait_durable(Epoch(4), SOON));
    assert_eq!(committed.durable(), Epoch(5), "progress is as far as the lane is, not as far as asked");
    let mut keys = cell.keys(&cell.topics.progress());
    keys.sort();
    assert_eq!(keys, ["lane-0", "lane-1"]);
}

#[test]
fn a_demand_ahead_of_a_lane_waits_for_it() {
    let cell = Cell::new();
    let (lanes, senders) = cell.open(1);
    let committed = lanes.committed();
    assert!(!committed.wait_durable(Epoch(3), Duration::from_millis(120)));
    senders[0].send(Epoch(3), Vec::new());
    assert!(committed.wait_durable(Epoch(3), SOON));
}

#[test]
fn fewer_lanes_than_the_cell_was_made_with_are_refused() {
    let cell = Cell::new();
    let (lanes, senders) = cell.open(2);
    senders[1].send(Epoch(1), vec![cell.output("key")]);
    drop(senders);
    lanes.close().unwrap();
    let settings = LaneSettings { count: 1, ..LaneSettings::default() };
    let error = Lanes::open(&cell.log, &cell.topics, &settings, WINDOW).err().unwrap().to_string();
    assert!(error.contains("lanes.count is 1"), "{error}");
}
