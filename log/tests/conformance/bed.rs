//! A log to try claims on.
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::{CleanUp, Headers, Log, LogReader, NewRecord, Offset, Record, TopicPartition, TopicSpec};

/// The largest record that the logs of these tests take.
pub const LARGEST: usize = 12 << 20;

/// A log, and names on it that no other test uses.
pub struct Bed {
    pub log: Arc<dyn Log>,
    directory: Option<tempfile::TempDir>,
    name: String,
}

impl Bed {
    pub fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = open_embedded(directory.path());
        Self { log, directory: Some(directory), name: "t".into() }
    }

    #[cfg(feature = "kafka")]
    pub fn kafka() -> Option<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        use std::time::{SystemTime, UNIX_EPOCH};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(bootstrap) = std::env::var("SIGHTLINE_KAFKA") else {
            eprintln!("skipped: SIGHTLINE_KAFKA names no broker");
            return None;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("log-test-{now}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Some(Self { log: open_kafka(&bootstrap), directory: None, name })
    }

    /// The same log, opened anew.
    pub fn reopen(self) -> Self {
        let Self { log, directory, name } = self;
        drop(log);
        let log = match &directory {
            Some(directory) => open_embedded(directory.path()),
            None => reopened_kafka(),
        };
        Self { log, directory, name }
    }

    /// A name of this test's own.
    pub fn name(&self, of: &str) -> String {
        format!("{}-{of}", self.name)
    }

    /// A new topic.
    pub fn topic(&self, of: &str, partitions: i32) -> String {
        self.topic_with(of, partitions, false)
    }

    pub fn topic_with(&self, of: &str, partitions: i32, log_append_time: bool) -> String {
        let name = self.name(of);
        self.log
            .ensure_topics(&[TopicSpec { name: name.clone(), partitions, replication: 1, clean_up: CleanUp::Keep, log_append_time }])
            .unwrap();
        name
    }

    /// Everything committed on some partitions, from the beginning: by definition what a reader has read when it has reached the end of the range.
    pub fn read_all(&self, partitions: &[TopicPartition]) -> Vec<Record> {
        let from: Vec<_> = partitions.iter().map(|at| (at.clone(), self.log.range(at).unwrap().start)).collect();
        self.read_on(&mut *self.log.reader(&from).unwrap(), partitions)
    }

    pub fn read_on(&self, reader: &mut dyn LogReader, partitions: &[TopicPartition]) -> Vec<Record> {
        let ends: Vec<(TopicPartition, Offset)> = partitions.iter().map(|at| (at.clone(), self.log.range(at).unwrap().end)).collect();
        let mut records = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let positions = reader.positions();
            if ends.iter().all(|(at, end)| positions.iter().any(|(partition, position)| partition == at && position >= end)) {
                return records;
            }
            assert!(Instant::now() < deadline, "the reader is at {positions:?}, the ends are {ends:?}");
            reader.poll(&mut records, 10_000, Duration::from_millis(50)).unwrap();
        }
    }

    pub fn values(&self, topic: &str, partition: i32) -> Vec<String> {
        texts(&self.read_all(&[TopicPartition::new(topic, partition)]))
    }

    /// Asserts what a partition holds. Kafka writes the markers of a transaction after it has answered the commit, so that readers see it a
    /// moment later; what has not come by the deadline has not been committed.
    pub fn assert_holds(&self, topic: &str, partition: i32, expected: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let values = self.values(topic, partition);
            if values == expected {
                return;
            }
            assert!(Instant::now() < deadline, "{topic}:{partition} holds {values:?}, not {expected:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn write(&self, records: impl IntoIterator<Item = NewRecord>) {
        let mut writer = self.log.writer().unwrap();
        records.into_iter().for_each(|record| writer.send(record).unwrap());
        writer.flush().unwrap();
    }
}

pub fn open_embedded(directory: &std::path::Path) -> Arc<dyn Log> {
    Arc::new(Embedded::open(directory, EmbeddedOptions { record_bytes: LARGEST, segment_bytes: 1 << 20, ..Default::default() }).unwrap())
}

#[cfg(feature = "kafka")]
pub fn open_kafka(bootstrap: &str) -> Arc<dyn Log> {
    use sightline_log::kafka::{Kafka, KafkaOptions};
    Arc::new(Kafka::new(KafkaOptions { bootstrap: bootstrap.to_owned(), record_bytes: LARGEST, ..Default::default() }).unwrap())
}

#[cfg(feature = "kafka")]
fn reopened_kafka() -> Arc<dyn Log> {
    open_kafka(&std::env::var("SIGHTLINE_KAFKA").unwrap())
}
#[cfg(not(feature = "kafka"))]
fn reopened_kafka() -> Arc<dyn Log> {
    unreachable!("no Kafka in this build")
}

/// A record for partition 0.
pub fn record(topic: &str, value: &str) -> NewRecord {
    NewRecord {
        topic: topic.into(),
        partition: Some(0),
        key: None,
        value: Some(Bytes::from(value.to_owned())),
        headers: Headers::default(),
    }
}

pub fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.value.clone().unwrap().to_vec()).unwrap()).collect()
}
