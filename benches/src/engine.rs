//! The real engine on an embedded log of its own, fed through its input topic as `process` does.
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::{Headers, Log, LogWriter, NewRecord, TopicPartition};
use sightline_schemas::registry::EmbeddedRegistry;
use sightline_schemas::topic::Topics;
use sightline_topology::runtime::{Engine, EngineOptions, InputMode, topic_specs};
use sightline_topology::settings::TopologySettings;

/// Below the megabyte that brokers take.
const PART: usize = 900_000;
const PARTITIONS: i32 = 4;

/// A cell in a temporary folder.
pub struct Cell {
    pub log: Arc<dyn Log>,
    pub topics: Topics,
    /// Of the dataflow; the product's defaults.
    pub settings: TopologySettings,
    folder: PathBuf,
    /// Removed with the cell.
    _temporary: Option<tempfile::TempDir>,
}

impl Cell {
    /// `sync`: whether commits wait for the disk, as a service's do.
    pub fn new(sync: bool) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let cell = Self::at(temporary.path(), sync);
        Self { _temporary: Some(temporary), ..cell }
    }

    /// A cell in a folder that stays.
    pub fn at(folder: &Path, sync: bool) -> Self {
        let log = Embedded::open(&folder.join("log"), EmbeddedOptions { sync, ..EmbeddedOptions::default() }).unwrap();
        Self::on(Arc::new(log), "soc", folder)
    }

    /// A cell on a log of the caller's, its state in a folder.
    pub fn on(log: Arc<dyn Log>, prefix: &str, folder: &Path) -> Self {
        let topics = Topics::new(prefix);
        log.ensure_topics(&topic_specs(&topics, PARTITIONS, 1)).unwrap();
        Self { log, topics, settings: TopologySettings::default(), folder: folder.to_owned(), _temporary: None }
    }

    /// Partitions of its topics.
    pub fn partitions(&self) -> i32 {
        PARTITIONS
    }

    /// Writes a package in parts; returns how many.
    pub fn send(&self, writer: &mut dyn LogWriter, feed: &str, name: &str, bytes: Bytes) -> u64 {
        let parts = bytes.len().div_ceil(PART).max(1);
        for part in 0..parts {
            let headers = Headers::default()
                .with("tenant", "default")
                .with("feed", feed.to_owned())
                .with("format", "stix")
                .with("package", name.to_owned())
                .with("part", part.to_string())
                .with("parts", parts.to_string());
            let value = bytes.slice(part * PART..((part + 1) * PART).min(bytes.len()));
            let topic = self.topics.intel_in().into();
            writer.send(NewRecord { topic, partition: None, key: Some(feed.to_owned().into()), value: Some(value), headers }).unwrap();
        }
        parts as u64
    }

    pub fn start(&self, workers: usize, input: InputMode) -> Engine {
        Engine::start(EngineOptions {
            log: Arc::clone(&self.log),
            registry: Arc::new(EmbeddedRegistry),
            topics: self.topics.clone(),
            settings: self.settings.clone(),
            cluster: None,
            workers,
            state_dir: self.folder.join("state"),
            store: None,
            input,
            partitions: PARTITIONS,
            replication: 1,
        })
        .unwrap()
    }

    /// Records in a topic.
    pub fn count(&self, topic: &str) -> i64 {
        (0..PARTITIONS)
            .map(|number| {
                let range = self.log.range(&TopicPartition::new(topic, number)).unwrap();
                range.end.0 - range.start.0
            })
            .sum()
    }

    /// Waits until `engine` has taken in `records` and every lane has committed them.
    pub fn settle(&self, engine: &Engine, records: u64) {
        let mut taken_at = None;
        loop {
            let status = engine.status();
            if status.records >= records {
                let head = *taken_at.get_or_insert(status.head);
                if status.committed >= head {
                    return;
                }
            }
            assert!(!engine.is_finished(), "the engine ended early");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
