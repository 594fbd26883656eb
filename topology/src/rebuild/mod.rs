//! The state of a cell whose snapshots are all gone and whose journal is trimmed, made again from the inputs that are still there.
//!
//! Which packages a feed sent, and which declarations there were, decides about the state; which epoch they were in does not, but for the clock. So the
//! records of the inputs up to the lanes' progress are put into epochs again, in the order in which the log took them, and an engine of
//! its own runs them, as for a [shadow](crate::shadow). Its snapshot becomes the cell's, as of the epoch that every lane has committed: the next start goes
//! on from there as from any other. Nothing is written to the cell's topics.
mod inputs;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sightline_log::embedded::Embedded;
use sightline_log::{CleanUp, Headers, Log, LogError, NewRecord, Offset, Record, TopicPartition, TopicSpec};
use sightline_schemas::Micros;
use sightline_schemas::topic::Topics;

use self::inputs::Queue;
use crate::cluster::Place;
use crate::epoch::{Epoch, Journal, JournalEntry};
use crate::lane::{self, Fenced};
use crate::recovery::fingerprint;
use crate::settings::TopologySettings;
use crate::shadow::{Declarations, Replay, ShadowError};
use crate::source::InputTopic;
use crate::state::fetch::fetch;
use crate::state::manifest::{self, Manifest, ManifestError};
use crate::state::segment;
use crate::state::store::{StateStore, StoreError};

/// The size of a part of an adopted package.
const PART: usize = 8 << 20;

/// Why a state cannot be made again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The private engine failed.
    #[error(transparent)]
    Replay(#[from] ShadowError),
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state directory cannot be written.
    #[error("failed to write {path}: {source}")]
    Directory {
        /// Where.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// There is nothing to do.
    #[error("nothing is to be rebuilt: {0}; start the cell as usual")]
    Needless(String),
    /// The journal does not hold what the lanes have committed.
    #[error("the journal holds epochs {} to {}, but the lanes have committed epoch {}: restore the journal's topic", first.0, head.0, gate.0)]
    Lost {
        /// The journal's first.
        first: Epoch,
        /// Its last.
        head: Epoch,
        /// What every lane has committed.
        gate: Epoch,
    },
    /// More epochs than there were.
    #[error("the inputs make {epochs} epochs, but the cell had {} only: they are not those that it has read; ingest again into a new cell", gate.0)]
    Crowded {
        /// Needed.
        epochs: u64,
        /// What every lane has committed.
        gate: Epoch,
    },
    /// The engine did not leave the state that it should have.
    #[error("the rebuilt state in {0} is not whole; see the errors before, and try again")]
    Unfinished(PathBuf),
}

/// A cell to be rebuilt. It must not run: a running one is fenced, and ends.
pub struct Cell {
    /// Its log.
    pub log: Arc<dyn Log>,
    /// Its topics.
    pub topics: Topics,
    /// Its settings.
    pub settings: TopologySettings,
    /// Worker threads.
    pub workers: usize,
    /// Its state directory.
    pub state_dir: PathBuf,
    /// Its store of snapshots.
    pub store: Option<Arc<dyn StateStore>>,
}

/// A STIX bundle that stands for what a feed said in packages that have expired.
pub struct Package {
    /// Tenant.
    pub tenant: String,
    /// Feed.
    pub feed: String,
    /// The bundle.
    pub bytes: Bytes,
}

/// A state that was made again, beside the state directory.
pub struct Rebuilt {
    /// As of which epoch.
    pub epoch: Epoch,
    /// How many input records made it.
    pub records: u64,
    /// What it says: outputs, under the cell's own topic names.
    pub outputs: Embedded,
    directory: PathBuf,
    state_dir: PathBuf,
}

impl Cell {
    /// Makes the state again, beside the state directory. `packages` stand for those that have expired: they come before all that the inputs still hold.
    ///
    /// # Errors
    /// [`RebuildError`].
    pub fn rebuild(&self, packages: &[Package], each: impl FnMut(Epoch)) -> Result<Rebuilt, RebuildError> {
        let (entries, gate) = self.committed()?;
        let (Some(first), Some(last)) = (entries.first(), entries.iter().find(|entry| entry.epoch == gate)) else {
            let bound = |entry: Option<&JournalEntry>| entry.map_or(Epoch(0), |entry| entry.epoch);
            return Err(RebuildError::Lost { first: bound(entries.first()), head: bound(entries.last()), gate });
        };
        self.is_needed(first.epoch, gate)?;
        let positions = self.positions(&entries, gate)?;
        let own = Embedded::temporary()?;
        let (more, adopted) = self.adopt(&own, packages)?;
        let mut again = inputs::again(&*self.log, &self.topics, &positions, adopted, last.wall)?;
        again.push(JournalEntry::of(gate, last.wall, Vec::new(), &[], false));
        let records = again.iter().map(|entry| entry.records).sum();
        // There were more epochs before, for a heartbeat is one too, and few hold as much as these.
        let Some(base) = gate.0.checked_sub(again.len() as u64).filter(|base| *base > 0).map(Epoch) else {
            return Err(RebuildError::Crowded { epochs: again.len() as u64, gate });
        };
        let again: Vec<JournalEntry> =
            (base.0 + 1..).zip(again).map(|(epoch, entry)| JournalEntry { epoch: Epoch(epoch), ..entry }).collect();
        let directory = beside(&self.state_dir, "rebuild");
        let wall = again.first().map_or(last.wall, |entry| entry.wall);
        self.begin(&directory, base, wall, positions.iter().cloned().chain(more.map(|partition| (partition, Offset(0)))))?;
        let replay = Replay {
            log: Arc::clone(&self.log),
            topics: self.topics.clone(),
            entries: &again,
            settings: self.settings.clone(),
            declarations: Declarations::default(),
            workers: self.workers,
            own,
            directory: &directory,
            resume: Some(base),
        };
        let outputs = replay.run(each)?;
        let Some(mut manifest) = manifest::list(&directory).into_iter().find(|manifest| manifest.epoch == gate) else {
            return Err(RebuildError::Unfinished(directory));
        };
        // Where the cell goes on; the partition of the adopted packages is none of its.
        manifest.positions = positions.into_iter().map(|(at, offset)| (at.topic.to_string(), at.partition, offset.0)).collect();
        manifest::write(&directory, &manifest)?;
        Ok(Rebuilt { epoch: gate, records, outputs, directory, state_dir: self.state_dir.clone() })
    }

    /// The journal, and what every lane has committed. Whoever wrote them is fenced.
    fn committed(&self) -> Result<(Vec<JournalEntry>, Epoch), LogError> {
        let mut journal = Journal::take_over(&*self.log, &self.topics)?;
        let _fenced = Fenced::take_over(&*self.log, &self.topics, &self.settings.lanes, Place::alone(self.workers))?;
        let gate = lane::gates(&*self.log, &self.topics, &self.settings.lanes)?.into_iter().min().unwrap_or_default();
        Ok((journal.read(&*self.log)?, gate))
    }

    /// Refuses when a start would find a state: a snapshot that it can load, here or in the store.
    fn is_needed(&self, first: Epoch, gate: Epoch) -> Result<(), RebuildError> {
        if first <= Epoch(1) {
            return Err(RebuildError::Needless("the journal is whole".into()));
        }
        let found = |directory: &Path| {
            let serves = |manifest: &Manifest| manifest.epoch <= gate && first <= manifest.epoch.next();
            let is_whole = |manifest: &Manifest| manifest.segments.iter().all(|meta| segment::read(directory, meta).is_ok());
            manifest::list(directory).into_iter().find(|manifest| serves(manifest) && is_whole(manifest)).map(|manifest| manifest.epoch)
        };
        let needless = |place: String, epoch: Epoch| Err(RebuildError::Needless(format!("{place} has a snapshot of epoch {}", epoch.0)));
        if let Some(epoch) = found(&self.state_dir) {
            return needless(self.state_dir.display().to_string(), epoch);
        }
        let Some(store) = &self.store else { return Ok(()) };
        let fetched = beside(&self.state_dir, "fetched");
        self.make(&fetched)?;
        let mut newest = gate;
        let mut of_store = None;
        while of_store.is_none()
            && newest > Epoch(0)
            && let Some(epoch) = fetch(&**store, &fetched, newest)?
        {
            of_store = found(&fetched);
            newest = Epoch(epoch.0.saturating_sub(1));
        }
        fs::remove_dir_all(&fetched).map_err(|source| RebuildError::Directory { path: fetched, source })?;
        of_store.map_or(Ok(()), |epoch| needless(store.address(), epoch))
    }

    /// An empty directory.
    fn make(&self, directory: &Path) -> Result<(), RebuildError> {
        let failed = |source| RebuildError::Directory { path: directory.to_owned(), source };
        if directory.exists() {
            fs::remove_dir_all(directory).map_err(failed)?;
        }
        fs::create_dir_all(directory).map_err(failed)
    }

    /// Writes packages into a partition of `in.intel` that the cell does not have; returns it, and its records.
    fn adopt(&self, own: &Embedded, packages: &[Package]) -> Result<(Option<TopicPartition>, Vec<Record>), LogError> {
        if packages.is_empty() {
            return Ok((None, Vec::new()));
        }
        let topic = InputTopic::Intel.name(&self.topics);
        let partition = TopicPartition::new(topic.as_str(), self.log.partitions(&topic)?);
        own.ensure_topics(&[TopicSpec {
            name: topic,
            partitions: partition.partition + 1,
            replication: 1,
            clean_up: CleanUp::Keep,
            log_append_time: true,
        }])?;
        let mut writer = own.writer()?;
        for package in packages {
            let parts = package.bytes.len().div_ceil(PART).max(1);
            for part in 0..parts {
                let headers = Headers::default()
                    .with("tenant", package.tenant.clone())
                    .with("feed", package.feed.clone())
                    .with("format", "stix")
                    .with("package", "adopted")
                    .with("part", part.to_string())
                    .with("parts", parts.to_string());
                writer.send(NewRecord {
                    topic: Arc::clone(&partition.topic),
                    partition: Some(partition.partition),
                    key: Some(package.feed.clone().into()),
                    value: Some(package.bytes.slice(part * PART..((part + 1) * PART).min(package.bytes.len()))),
                    headers,
                })?;
            }
        }
        writer.flush()?;
        let mut queue = Queue::open(own, InputTopic::Intel, &partition, own.range(&partition)?.end)?;
        let mut records = Vec::new();
        loop {
            queue.fill()?;
            match queue.records.is_empty() {
                true => return Ok((Some(partition), records)),
                false => records.extend(queue.records.drain(..)),
            }
        }
    }

    /// An empty state to begin with, in an empty directory.
    fn begin(
        &self,
        directory: &Path,
        epoch: Epoch,
        wall: Micros,
        positions: impl Iterator<Item = (TopicPartition, Offset)>,
    ) -> Result<(), RebuildError> {
        self.make(directory)?;
        let mut starts = Vec::new();
        for (partition, position) in positions {
            let from = if position > Offset(0) { self.log.range(&partition)?.start.min(position) } else { position };
            starts.push((partition.topic.to_string(), partition.partition, from.0));
        }
        manifest::commit(directory, &Manifest::new(&fingerprint(&self.settings), epoch, wall, starts), &[])?;
        Ok(())
    }

    /// Where each input partition was after `gate`.
    fn positions(&self, entries: &[JournalEntry], gate: Epoch) -> Result<Vec<(TopicPartition, Offset)>, LogError> {
        let mut known: BTreeMap<TopicPartition, Offset> = BTreeMap::new();
        for entry in entries {
            for range in &entry.ranges {
                if entry.epoch <= gate {
                    known.insert(range.partition(), Offset(range.to));
                } else {
                    known.entry(range.partition()).or_insert(Offset(range.from));
                }
            }
        }
        let mut positions = Vec::new();
        for topic in InputTopic::ALL.map(|topic| topic.name(&self.topics)) {
            for number in 0..self.log.partitions(&topic)? {
                let partition = TopicPartition::new(topic.as_str(), number);
                // The journal names a partition in every epoch while records wait in it. One that it does not name had none: what was there before the
                // journal's first epoch had been read, and what came after has not been.
                let since = entries.first().map_or(0, |first| first.wall.0 / 1000 + 1);
                let position = match known.get(&partition) {
                    Some(position) => *position,
                    None => self.log.offset_at(&partition, since)?,
                };
                positions.push((partition, position));
            }
        }
        Ok(positions)
    }
}

impl Rebuilt {
    /// Puts the state in the place of the state directory; what is there is kept under another name.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn install(self) -> Result<(), RebuildError> {
        for manifest in manifest::list(&self.directory).into_iter().filter(|manifest| manifest.epoch != self.epoch) {
            self.done(fs::remove_file(self.directory.join(manifest::name_of(manifest.epoch))))?;
        }
        if self.state_dir.exists() {
            let lost = beside(&self.state_dir, &format!("lost-{}", self.epoch.0));
            self.done(fs::rename(&self.state_dir, lost))?;
        }
        self.done(fs::rename(&self.directory, &self.state_dir))
    }

    /// Leaves everything as it was.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn discard(self) -> Result<(), RebuildError> {
        self.done(fs::remove_dir_all(&self.directory))
    }

    fn done(&self, result: std::io::Result<()>) -> Result<(), RebuildError> {
        result.map_err(|source| RebuildError::Directory { path: self.state_dir.clone(), source })
    }
}

/// A directory beside another: on the same disk, so that a rename will do.
fn beside(directory: &Path, what: &str) -> PathBuf {
    let mut name = directory.components().collect::<PathBuf>().into_os_string();
    name.push(format!(".{what}"));
    name.into()
}

#[cfg(test)]
mod tests;
