//! The thread that writes snapshots, off the workers' path.
//!
//! Every worker tells, at the same epoch, what changed in each of its tables and how long its documents are. When all have told, the files are
//! synced; when every lane's *durable* progress has reached the epoch (invariant I3), the manifest is written, and the journal before the older of the two
//! manifests kept is trimmed; with a [store](super::store), that is before the older of the two kept there, if it is older. A snapshot that cannot be written is given up; the next one holds more.
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sightline_failpoints::{self as failpoints, Control, Point};
use sightline_log::{Log, LogError};
use sightline_schemas::Micros;
use sightline_schemas::topic::Topics;

use super::chains::Chains;
use super::documents::{self, Mark};
use super::durable;
use super::manifest::{self, Manifest};
use super::owner::Owner;
use super::segment::{self, Entries, SegmentError, SegmentMeta};
use super::store::StateStore;
use super::table::{KeyedTable, Routed};
use super::upload::{UploadHandle, Uploads};
use crate::cluster::control::{Part, Peer, ToLeader};
use crate::epoch::{Epoch, trim};
use crate::lane::Committed;

/// How many vnodes may wait for the disk: a worker that writes faster waits, so that a snapshot never is a second copy of the state in memory.
const QUEUE: usize = 16;
/// How often the lanes are looked at while a snapshot waits for them.
const LOOK: Duration = Duration::from_millis(20);
/// How long the last snapshot of a run waits for lanes that are ending too.
const LAST_WAIT: Duration = Duration::from_secs(600);

/// Where workers and the epochs thread send what a snapshot is made of.
#[derive(Clone)]
pub struct SnapshotSender {
    sender: SyncSender<Message>,
}

enum Message {
    Journal { log: Arc<dyn Log>, topics: Topics },
    Begin { epoch: Epoch, wall: Micros, positions: Vec<Position> },
    Vnode { meta: SegmentMeta, entries: Entries },
    TableDone { epoch: Epoch, failed: bool },
    DocumentsDone { epoch: Epoch, marks: Option<Vec<Mark>> },
    Part(Part),
}

/// Topic, partition, offset.
type Position = (String, i32, i64);

impl SnapshotSender {
    /// From now on the journal is trimmed behind the snapshots.
    pub fn trim_journal(&self, log: Arc<dyn Log>, topics: Topics) {
        self.send(Message::Journal { log, topics });
    }

    /// A snapshot is to be taken of `epoch`.
    pub fn begin(&self, epoch: Epoch, wall: Micros, positions: Vec<(String, i32, i64)>) {
        self.send(Message::Begin { epoch, wall, positions });
    }

    /// What changed in a worker's table. Waits for the disk when it is slow.
    pub fn write<K, V>(&self, epoch: Epoch, table: u8, of: &mut KeyedTable<K, V>)
    where
        K: Routed + Eq + Hash + Ord + Clone + Serialize + DeserializeOwned,
        V: Serialize + DeserializeOwned,
    {
        let written = of.drain_dirty(|vnode, entries, whole| {
            self.send(Message::Vnode { meta: SegmentMeta { table, vnode, epoch, whole }, entries });
        });
        self.table_done(epoch, written);
    }

    /// A small table that every worker holds in full: written as vnode 0, by the worker that is told to.
    pub fn write_shared<K: Serialize, V: Serialize>(&self, epoch: Epoch, table: u8, of: &BTreeMap<K, V>, writes: bool) {
        let mut entries = Entries::default();
        let encoded = if writes { of.iter().try_for_each(|(key, value)| entries.push(key, Some(value))) } else { Ok(()) };
        if writes && encoded.is_ok() {
            self.send(Message::Vnode { meta: SegmentMeta { table, vnode: 0, epoch, whole: true }, entries });
        }
        self.table_done(epoch, encoded);
    }

    fn table_done(&self, epoch: Epoch, written: Result<(), SegmentError>) {
        if let Err(error) = &written {
            tracing::error!(%error, epoch = epoch.0, "a table cannot be stored; this snapshot is given up");
        }
        self.send(Message::TableDone { epoch, failed: written.is_err() });
    }

    /// How long a worker's documents are.
    pub fn documents(&self, epoch: Epoch, marks: Vec<Mark>) {
        self.send(Message::DocumentsDone { epoch, marks: Some(marks) });
    }

    /// A worker cannot write its documents.
    pub fn give_up(&self, epoch: Epoch) {
        self.send(Message::DocumentsDone { epoch, marks: None });
    }

    /// What another process of the cell has written.
    pub fn part(&self, part: Part) {
        self.send(Message::Part(part));
    }

    fn send(&self, message: Message) {
        // The thread outlives all senders but on a panic, which ends the process anyway.
        let _ = self.sender.send(message);
    }
}

/// What the thread needs to know.
pub struct SnapshotOptions {
    /// Where segments and manifests go.
    pub directory: PathBuf,
    /// Goes into manifests.
    pub fingerprint: String,
    /// How many tables each worker reports.
    pub tables: usize,
    /// How many workers of this process report their tables and documents.
    pub workers: usize,
    /// The manifest that the state was restored from.
    pub restored: Option<Manifest>,
    /// What lanes have committed.
    pub committed: Arc<Committed>,
    /// Who writes the manifest.
    pub role: Role,
    /// Whose the directory is, as far as this process knows.
    pub owner: Owner,
    /// Where manifests and their files are copied to.
    pub store: Option<Arc<dyn StateStore>>,
}

/// What a process does with the snapshots of its workers.
pub enum Role {
    /// It writes manifests, of its own part and those of so many others.
    Leads(usize),
    /// It tells the process that does.
    Follows(Peer),
}

/// The running thread.
pub struct Snapshots {
    thread: JoinHandle<()>,
    uploads: Option<Uploads>,
}

/// A channel to be handed to workers before the thread runs.
pub fn snapshot_channel() -> (SnapshotSender, SnapshotReceiver) {
    let (sender, receiver) = sync_channel(QUEUE);
    (SnapshotSender { sender }, SnapshotReceiver { receiver })
}

/// The thread's end of the channel.
pub struct SnapshotReceiver {
    receiver: Receiver<Message>,
}

impl Snapshots {
    /// Starts the thread. Where manifests are written, what the run does not go on from is removed from the directory first.
    ///
    /// # Errors
    /// When the directory cannot be cleaned, or the system has no more threads.
    pub fn start(receiver: SnapshotReceiver, options: SnapshotOptions) -> std::io::Result<Self> {
        let segments = match options.role {
            Role::Leads(_) => {
                let restored = options.restored.as_ref();
                options.owner.check()?;
                manifest::adopt(&options.directory, restored.map(|manifest| manifest.epoch)).map_err(std::io::Error::other)?;
                restored.into_iter().flat_map(|manifest| manifest.segments.iter().cloned()).collect()
            }
            Role::Follows(_) => Vec::new(),
        };
        let synced_documents =
            options.restored.iter().flat_map(|manifest| &manifest.documents).map(|mark| (mark.vnode, mark.len)).collect();
        let start = |store: &Arc<dyn StateStore>| Uploads::start(Arc::clone(store), options.directory.clone(), options.restored.clone());
        let uploads = options.store.as_ref().map(start).transpose()?;
        let mut chains = Chains::default();
        chains.extend(segments);
        let mut writer = Writer {
            uploads: uploads.as_ref().map(Uploads::handle),
            options,
            journal: None,
            open: BTreeMap::new(),
            chains,
            unsynced: BTreeSet::new(),
            unwritten: BTreeMap::new(),
            synced_documents,
            needed: None,
            trimmed: None,
            distrusts_disk: false,
        };
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(move || writer.run(&receiver.receiver))?;
        Ok(Self { thread, uploads })
    }

    /// Waits for the last snapshot; all senders must be gone.
    pub fn close(self) {
        let _ = self.thread.join();
        if let Some(uploads) = self.uploads {
            uploads.close();
        }
    }
}

/// Table and vnode, and whether it is all of it.
type Place = (u8, u8, bool);

struct Writer {
    options: SnapshotOptions,
    uploads: Option<UploadHandle>,
    journal: Option<(Arc<dyn Log>, Topics)>,
    open: BTreeMap<Epoch, Open>,
    /// The newest segments of each vnode, for the next manifest; where others write it, those that this process has written. They may be of a
    /// snapshot that was given up: they still are what the table holds, for it has not changed since, or it would have been written again.
    chains: Chains,
    /// Written, and not known to be on the disk.
    unsynced: BTreeSet<SegmentMeta>,
    /// What the disk refused. The tables no longer count it as changed, so it is kept here until it can be written, or is overtaken by its like.
    unwritten: BTreeMap<Place, (SegmentMeta, Entries)>,
    /// How much of each vnode's documents is known to be on the disk.
    synced_documents: BTreeMap<u8, u64>,
    /// The older of the last two manifests on the local disk: the journal before it is not needed here.
    needed: Option<Epoch>,
    /// Up to where the journal was last trimmed.
    trimmed: Option<Epoch>,
    /// The system failed to sync a file. It may then have dropped what it held and call the file synced the next time, so no snapshot of this run
    /// can be trusted any more.
    distrusts_disk: bool,
}

/// A snapshot under way.
#[derive(Default)]
struct Open {
    begun: Option<(Micros, Vec<Position>)>,
    tables: usize,
    documents: usize,
    parts: usize,
    marks: Vec<Mark>,
    segments: Vec<SegmentMeta>,
    failed: bool,
    /// All is on the disk; the lanes are waited for.
    ready: Option<Manifest>,
}

impl Writer {
    fn run(&mut self, receiver: &Receiver<Message>) {
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.commit_ready();
            self.trim_journal();
        }
        let last = self.open.iter().filter(|(_, open)| open.ready.is_some()).map(|(epoch, _)| *epoch).next_back();
        if let Some(epoch) = last
            && !self.options.committed.wait_durable(epoch, LAST_WAIT)
        {
            tracing::warn!(epoch = epoch.0, "the lanes did not commit; this snapshot is given up");
        }
        self.commit_ready();
        self.trim_journal();
    }

    fn take(&mut self, message: Message) {
        let epoch = match message {
            Message::Journal { log, topics } => {
                self.journal = Some((log, topics));
                return;
            }
            Message::Vnode { meta, entries } => return self.write(meta, entries),
            Message::Begin { epoch, wall, positions } => {
                self.open.entry(epoch).or_default().begun = Some((wall, positions));
                epoch
            }
            Message::TableDone { epoch, failed } => {
                let open = self.open.entry(epoch).or_default();
                open.tables += 1;
                open.failed |= failed;
                epoch
            }
            Message::DocumentsDone { epoch, marks } => {
                let open = self.open.entry(epoch).or_default();
                open.documents += 1;
                open.failed |= marks.is_none();
                open.marks.extend(marks.into_iter().flatten());
                epoch
            }
            Message::Part(Part { epoch, written }) => {
                let open = self.open.entry(epoch).or_default();
                open.parts += 1;
                open.failed |= written.is_none();
                let (segments, marks) = written.unwrap_or_default();
                open.segments.extend(segments);
                open.marks.extend(marks);
                epoch
            }
        };
        self.finish(epoch);
    }

    fn write(&mut self, meta: SegmentMeta, entries: Entries) {
        let place = (meta.table, meta.vnode, meta.whole);
        let open = self.open.entry(meta.epoch).or_default();
        match segment::write(&self.options.directory, &meta, &entries) {
            Ok(()) => {
                self.unwritten.remove(&place);
                failpoints::hit(Point::SegmentWritten, meta.table);
                self.unsynced.insert(meta.clone());
                open.segments.push(meta);
            }
            Err(error) => {
                tracing::error!(%error, "this snapshot is given up; free space in the state directory");
                open.failed = true;
                self.unwritten.insert(place, (meta, entries));
            }
        }
    }

    /// When all have told: makes the snapshot ready, or gives it up.
    fn finish(&mut self, epoch: Epoch) {
        let (workers, tables) = (self.options.workers, self.options.tables * self.options.workers);
        let parts = if let Role::Leads(others) = self.options.role { others } else { 0 };
        let is_complete = |open: &Open| open.begun.is_some() && open.documents == workers && open.tables == tables && open.parts == parts;
        let Some(open) = self.open.get_mut(&epoch).filter(|open| is_complete(open)) else { return };
        let Some((wall, positions)) = open.begun.take() else { return };
        let (marks, failed) = (std::mem::take(&mut open.marks), open.failed);
        self.chains.extend(std::mem::take(&mut open.segments));
        let synced = match failed {
            true => Err("see the errors before".to_owned()),
            false => self.write_late(epoch).and_then(|()| self.sync(epoch, &marks)),
        };
        if let Role::Follows(leader) = &self.options.role {
            if let Err(error) = &synced {
                tracing::error!(%error, epoch = epoch.0, "failed to write this process's part of a snapshot");
            }
            let written = synced.ok().map(|()| (self.chains.all(), marks));
            self.open.remove(&epoch);
            // A process that is gone has no use for it, and its end is noticed elsewhere.
            let _ = leader.send(&ToLeader::Part(Part { epoch, written }));
            return;
        }
        match (synced, self.open.get_mut(&epoch)) {
            (Ok(()), Some(open)) => {
                let mut manifest = Manifest::new(&self.options.fingerprint, epoch, wall, positions);
                manifest.segments = self.chains.all();
                manifest.documents = marks;
                manifest.documents.sort_unstable();
                open.ready = Some(manifest);
                self.options.committed.demand(epoch);
            }
            (Err(error), _) => {
                tracing::error!(%error, epoch = epoch.0, "failed to write the snapshot; it is given up, the next one holds more");
                self.open.remove(&epoch);
            }
            (Ok(()), None) => {}
        }
    }

    /// Tries once more what the disk refused before.
    fn write_late(&mut self, epoch: Epoch) -> Result<(), String> {
        let late: Vec<Place> = self.unwritten.iter().filter(|(_, (meta, _))| meta.epoch <= epoch).map(|(place, _)| *place).collect();
        for place in late {
            if let Some((meta, entries)) = self.unwritten.get(&place) {
                segment::write(&self.options.directory, meta, entries).map_err(|error| error.to_string())?;
                self.unsynced.insert(meta.clone());
                self.chains.take(meta.clone());
            }
            self.unwritten.remove(&place);
        }
        Ok(())
    }

    /// Waits until all that the manifest of `epoch` will name is on the disk.
    fn sync(&mut self, epoch: Epoch, marks: &[Mark]) -> Result<(), String> {
        if self.distrusts_disk {
            return Err("the disk failed before; restart the process, on another disk if it fails again".to_owned());
        }
        let began = Instant::now();
        let synced = self.sync_files(marks);
        self.distrusts_disk = synced.is_err();
        synced?;
        self.unsynced.retain(|meta| meta.epoch > epoch);
        self.synced_documents.extend(marks.iter().map(|mark| (mark.vnode, mark.len)));
        tracing::debug!(epoch = epoch.0, millis = began.elapsed().as_millis(), "the snapshot is on the disk");
        failpoints::hit(Point::SnapshotSynced, "");
        Ok(())
    }

    fn sync_files(&self, marks: &[Mark]) -> Result<(), String> {
        let directory = &self.options.directory;
        failpoints::io(Point::SnapshotSync, "").map_err(|error| error.to_string())?;
        // One that was overtaken is in no manifest to come.
        for meta in self.unsynced.iter().filter(|meta| self.chains.has(meta)) {
            segment::sync(directory, meta).map_err(|error| error.to_string())?;
        }
        for mark in marks.iter().filter(|mark| self.synced_documents.get(&mark.vnode) != Some(&mark.len)) {
            let path = directory.join(documents::file_name(mark.vnode));
            File::open(&path).and_then(|file| file.sync_data()).map_err(|error| format!("failed to sync {}: {error}", path.display()))?;
        }
        durable::sync_directory(directory).map_err(|error| format!("failed to sync {}: {error}", directory.display()))
    }

    /// I3: a manifest is never newer than what a restart will find that every lane has committed.
    fn commit_ready(&mut self) {
        let durable = self.options.committed.durable();
        while let Some((&epoch, open)) = self.open.iter_mut().find(|(_, open)| open.ready.is_some())
            && (epoch <= durable || failpoints::without(Control::ManifestAhead))
        {
            let ready = open.ready.take();
            self.open.remove(&epoch);
            let Some(manifest) = ready else { continue };
            debug_assert!(manifest.epoch <= self.options.committed.durable() || failpoints::without(Control::ManifestAhead), "I3");
            let pinned = self.uploads.as_ref().map(UploadHandle::pinned).unwrap_or_default();
            let owned = self.options.owner.check().map_err(|error| error.to_string());
            match owned.and_then(|()| manifest::commit(&self.options.directory, &manifest, &pinned).map_err(|error| error.to_string())) {
                Ok(oldest) => {
                    tracing::debug!(epoch = epoch.0, segments = manifest.segments.len(), "snapshot");
                    self.needed = oldest;
                    if let Some(uploads) = &self.uploads {
                        uploads.offer(manifest);
                    }
                }
                Err(error) => tracing::error!(%error, epoch = epoch.0, "this snapshot is given up"),
            }
        }
    }

    /// Trims the journal behind what is needed: by the local disk, and by the store once it has caught up.
    fn trim_journal(&mut self) {
        let stored = self.uploads.as_ref().filter(|_| !failpoints::without(Control::TrimEarly)).map(UploadHandle::oldest_stored);
        let needed = match (self.needed, stored) {
            (Some(local), Some(Some(stored))) => local.min(stored),
            (Some(local), None) => local,
            _ => return,
        };
        if self.trimmed.replace(needed) == Some(needed) {
            return;
        }
        if let Some((log, topics)) = &self.journal
            && let Err(error) = trimmed(&**log, topics, needed)
        {
            tracing::warn!(%error, "the journal is not trimmed; the next snapshot tries again");
        }
    }
}

fn trimmed(log: &dyn Log, topics: &Topics, oldest: Epoch) -> Result<(), LogError> {
    let failed = |error: std::io::Error| LogError::Retriable { what: "trim the journal", message: error.to_string() };
    failpoints::io(Point::JournalTrim, "").map_err(failed)?;
    trim(log, topics, oldest)?;
    failpoints::hit(Point::JournalTrimmed, "");
    Ok(())
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
