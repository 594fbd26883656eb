//! What another configuration makes of the epochs that a cell has had.
//!
//! A shadow is a whole engine with a log of its own. It reads the cell's inputs, gets a copy of its journal, and starts with no state: it recovers as
//! a cell whose snapshots are gone, replays, and stops where the journal does. So it is the product's own code that answers, and the cell is only read.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sightline_log::embedded::Embedded;
use sightline_log::{Headers, Log, LogError, Offset, Overlay, Record, TopicPartition};
use sightline_schemas::registry::EmbeddedRegistry;
use sightline_schemas::topic::Topics;

use crate::epoch::{self, Epoch, Journal, JournalEntry};
use crate::intel::FeedKey;
use crate::intel::packages::{declaration, declared};
use crate::lane::progress_record;
use crate::runtime::{Engine, EngineError, EngineOptions, InputMode, topic_specs};
use crate::settings::TopologySettings;
use crate::source::InputTopic;

/// Why the past cannot be computed again.
#[derive(Debug, thiserror::Error)]
pub enum ShadowError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A shadow's engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There is no past.
    #[error("{journal} holds no epoch: the cell has not run yet")]
    Nothing {
        /// Topic.
        journal: String,
    },
    /// The journal's beginning is gone.
    #[error(
        "the journal {journal} begins at epoch {}: the epochs before it are in snapshots only, which another configuration cannot use; \
         set topology.snapshots.keep_journal in a cell from its start on, or ingest again into a new one", first.0
    )]
    Trimmed {
        /// Topic.
        journal: String,
        /// The first epoch that it holds.
        first: Epoch,
    },
    /// An input's beginning is gone.
    #[error(
        "{partition} begins at offset {}, but epoch {} took offset {} from it: the input has expired; \
         raise the topic's retention in a cell whose past is to be computed again, or ingest again into a new one", earliest.0, epoch.0, asked.0
    )]
    Expired {
        /// Partition.
        partition: TopicPartition,
        /// Which epoch needs it.
        epoch: Epoch,
        /// The first offset needed.
        asked: Offset,
        /// The first there is.
        earliest: Offset,
    },
    /// An epoch that is still to come.
    #[error("epoch {} was asked for, but the journal ends at epoch {}", asked.0, head.0)]
    Ahead {
        /// Asked for.
        asked: Epoch,
        /// The journal's last.
        head: Epoch,
    },
}

/// The epochs of a cell, from its first to a chosen one: all of them, with inputs that are still there.
pub struct Past {
    log: Arc<dyn Log>,
    topics: Topics,
    entries: Vec<JournalEntry>,
    head: Epoch,
}

impl Past {
    /// Reads a cell's journal up to `to`, or to its present end.
    ///
    /// # Errors
    /// [`ShadowError`] when the past is not all there.
    pub fn read(log: Arc<dyn Log>, topics: Topics, to: Option<Epoch>) -> Result<Self, ShadowError> {
        let mut entries = epoch::read(&*log, &topics)?;
        let journal = topics.epochs();
        let (first, last) = match (entries.first(), entries.last()) {
            (Some(first), Some(last)) => (first.epoch, last.epoch),
            _ => return Err(ShadowError::Nothing { journal }),
        };
        if first > Epoch(0).next() {
            return Err(ShadowError::Trimmed { journal, first });
        }
        let head = to.unwrap_or(last);
        if head > last {
            return Err(ShadowError::Ahead { asked: head, head: last });
        }
        entries.retain(|entry| entry.epoch <= head);
        let mut seen = BTreeMap::new();
        for entry in &entries {
            for range in &entry.ranges {
                seen.entry(range.partition()).or_insert((entry.epoch, Offset(range.from)));
            }
        }
        for (partition, (epoch, asked)) in seen {
            let earliest = log.range(&partition)?.start;
            if asked < earliest {
                return Err(ShadowError::Expired { partition, epoch, asked, earliest });
            }
        }
        Ok(Self { log, topics, entries, head })
    }

    /// The last epoch.
    pub fn head(&self) -> Epoch {
        self.head
    }

    /// Runs all epochs through an engine with other settings; `directory` takes its documents, and `each` hears how far it is. What the cell would
    /// have written is in the log returned, under the cell's own topic names.
    ///
    /// # Errors
    /// [`ShadowError`]; also when an input expires meanwhile.
    pub fn replay(
        &self,
        settings: TopologySettings,
        declarations: Declarations,
        workers: usize,
        directory: &Path,
        each: impl FnMut(Epoch),
    ) -> Result<Embedded, ShadowError> {
        let (log, topics) = (Arc::clone(&self.log), self.topics.clone());
        let own = Embedded::temporary()?;
        Replay { log, topics, entries: &self.entries, settings, declarations, workers, own, directory, resume: None }.run(each)
    }
}

/// An engine of its own over the inputs of a cell.
pub(crate) struct Replay<'a> {
    /// The cell's, only read.
    pub(crate) log: Arc<dyn Log>,
    pub(crate) topics: Topics,
    /// What is replayed.
    pub(crate) entries: &'a [JournalEntry],
    pub(crate) settings: TopologySettings,
    pub(crate) declarations: Declarations,
    pub(crate) workers: usize,
    /// Its own log, which may hold inputs beyond the cell's.
    pub(crate) own: Embedded,
    /// Its state directory.
    pub(crate) directory: &'a Path,
    /// The epoch of the state that is there; then a snapshot is taken of the last one, too.
    pub(crate) resume: Option<Epoch>,
}

impl Replay<'_> {
    /// Returns the log with its outputs.
    pub(crate) fn run(self, mut each: impl FnMut(Epoch)) -> Result<Embedded, ShadowError> {
        let own = self.own;
        let inputs = InputTopic::ALL.map(|topic| topic.name(&self.topics)).to_vec();
        let overlay = Arc::new(Overlay::new(Arc::clone(&self.log), Arc::new(own.clone()), inputs));
        overlay.ensure_topics(&topic_specs(&self.topics, 1, 1))?;
        let mut writer = own.writer()?;
        for entry in self.entries {
            writer.send(Journal::record(&self.topics.epochs(), entry)?)?;
        }
        for lane in self.resume.iter().flat_map(|_| 0..self.settings.lanes.count) {
            writer.send(progress_record(&self.topics.progress().into(), lane, self.resume.unwrap_or_default()))?;
        }
        writer.flush()?;
        let mut settings = self.settings;
        // None but the last.
        settings.snapshots.interval_ms = u64::MAX;
        let engine = Engine::start(EngineOptions {
            log: overlay,
            registry: Arc::new(EmbeddedRegistry),
            topics: self.topics,
            settings,
            workers: self.workers,
            cluster: None,
            state_dir: self.directory.to_owned(),
            store: None,
            input: InputMode::Replay { declarations: self.declarations, snapshot: self.resume.is_some() },
            partitions: 1,
            replication: 1,
        })?;
        while !engine.is_finished() {
            each(engine.status().committed);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        engine.wait()?;
        Ok(own)
    }
}

/// Feeds that count as declared otherwise than the records of `in.control` say.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Declarations {
    /// By feed: a snapshot feed or not; nothing when what was declared does not count at all.
    feeds: BTreeMap<FeedKey, Option<bool>>,
}

impl Declarations {
    /// Where two configurations declare a feed differently, the other one's word counts, from the first epoch on.
    pub fn between(live: &BTreeMap<FeedKey, bool>, other: &BTreeMap<FeedKey, bool>) -> Self {
        let differs = live.keys().chain(other.keys()).filter(|feed| live.get(feed) != other.get(feed));
        Self { feeds: differs.map(|feed| (*feed, other.get(feed).copied())).collect() }
    }

    /// Puts them in place of what an epoch's records declare.
    pub(crate) fn apply(&self, entry: &JournalEntry, topics: &Topics, records: &mut Vec<Record>) {
        if self.feeds.is_empty() {
            return;
        }
        let control = topics.control_in();
        let of_record = |record: &Record| {
            let is_control = *record.topic == *control;
            is_control
                .then(|| declared(record.value.as_deref().unwrap_or_default()))
                .flatten()
                .and_then(|feed| self.feeds.get_key_value(&feed))
        };
        records.retain_mut(|record| match of_record(record) {
            Some((_, None)) => false,
            Some((feed, Some(snapshot))) => {
                record.value = Some(declaration(*feed, *snapshot));
                true
            }
            None => true,
        });
        if entry.epoch == Epoch(0).next() {
            let first = self.feeds.iter().filter_map(|(feed, snapshot)| snapshot.map(|snapshot| declaration(*feed, snapshot)));
            records.splice(0..0, first.map(|value| Self::record(&control, entry, value)).collect::<Vec<_>>());
        }
    }

    /// Before all that the topic holds.
    fn record(control: &str, entry: &JournalEntry, value: Bytes) -> Record {
        Record {
            topic: control.into(),
            partition: 0,
            offset: Offset(-1),
            timestamp: entry.wall.0 / 1000,
            key: None,
            value: Some(value),
            headers: Headers::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sightline_schemas::{FeedId, Micros, TenantId};

    use super::*;
    use crate::epoch::EpochRange;

    fn topics() -> Topics {
        Topics::new("soc")
    }

    fn entry(epoch: u64, from: i64, to: i64) -> JournalEntry {
        let range = EpochRange { topic: topics().intel_in(), partition: 0, from, to };
        JournalEntry::of(Epoch(epoch), Micros(7_000), vec![range], &[], false)
    }

    /// A log with a journal of these entries and some records of intelligence.
    fn cell(entries: &[JournalEntry]) -> Arc<dyn Log> {
        let log = Embedded::temporary().unwrap();
        log.ensure_topics(&topic_specs(&topics(), 1, 1)).unwrap();
        let mut writer = log.writer().unwrap();
        for _ in 0..9 {
            let (topic, headers) = (topics().intel_in().into(), Headers::default());
            writer.send(sightline_log::NewRecord { topic, partition: Some(0), key: None, value: None, headers }).unwrap();
        }
        writer.flush().unwrap();
        let mut journal = Journal::take_over(&log, &topics()).unwrap();
        entries.iter().for_each(|entry| journal.append(entry).unwrap());
        Arc::new(log)
    }

    fn refused(log: &Arc<dyn Log>, to: Option<u64>) -> String {
        Past::read(Arc::clone(log), topics(), to.map(Epoch)).err().unwrap().to_string()
    }

    #[test]
    fn a_past_of_which_a_part_is_gone_is_refused_and_the_part_is_named() {
        assert!(refused(&cell(&[]), None).starts_with("soc.sys.epochs holds no epoch"));
        assert!(refused(&cell(&[entry(2, 0, 3)]), None).starts_with("the journal soc.sys.epochs begins at epoch 2"));
        let log = cell(&[entry(1, 2, 5), entry(2, 5, 7)]);
        assert_eq!(Past::read(Arc::clone(&log), topics(), Some(Epoch(1))).unwrap().head(), Epoch(1));
        assert_eq!(refused(&log, Some(3)), "epoch 3 was asked for, but the journal ends at epoch 2");
        let partition = TopicPartition::new(topics().intel_in(), 0);
        log.trim(&partition, Offset(2)).unwrap();
        assert_eq!(Past::read(Arc::clone(&log), topics(), None).unwrap().head(), Epoch(2), "what no epoch took is not missed");
        log.trim(&partition, Offset(3)).unwrap();
        let message = refused(&log, None);
        assert!(message.starts_with("soc.in.intel:0 begins at offset 3, but epoch 1 took offset 2 from it"), "{message}");
    }

    #[test]
    fn a_feed_that_two_configurations_declare_differently_is_declared_as_the_other_says() {
        let feed = |name: &str| FeedKey { tenant: TenantId::new("default").unwrap(), feed: FeedId::new(name).unwrap() };
        let live = BTreeMap::from([(feed("same"), true), (feed("changed"), false), (feed("gone"), true)]);
        let other = BTreeMap::from([(feed("same"), true), (feed("changed"), true), (feed("new"), true)]);
        let declarations = Declarations::between(&live, &other);
        let entry = entry(2, 0, 0);
        let said = |value: Bytes| Declarations::record(&topics().control_in(), &entry, value);
        let removal = Bytes::from_static(br#"{"kind":"feed","tenant":"default","feed":"changed","removed":true}"#);
        let commands = ["same", "changed", "gone", "undeclared"].map(|name| said(declaration(feed(name), false)));
        let mut records = [commands.to_vec(), vec![said(removal.clone())]].concat();
        declarations.apply(&entry, &topics(), &mut records);
        let values: Vec<Bytes> = records.into_iter().map(|record| record.value.unwrap()).collect();
        let expected = [("same", false), ("changed", true), ("undeclared", false)].map(|(name, kind)| declaration(feed(name), kind));
        assert_eq!(values, [expected.to_vec(), vec![removal]].concat(), "a removal is no declaration");
        let mut first = Vec::new();
        declarations.apply(&JournalEntry { epoch: Epoch(1), ..entry.clone() }, &topics(), &mut first);
        let values: Vec<Bytes> = first.into_iter().map(|record| record.value.unwrap()).collect();
        assert_eq!(values.len(), 2);
        assert!(["changed", "new"].iter().all(|name| values.contains(&declaration(feed(name), true))), "{values:?}");
        let mut untouched = commands.to_vec();
        Declarations::between(&live, &live).apply(&entry, &topics(), &mut untouched);
        assert_eq!(untouched, commands);
    }
}
