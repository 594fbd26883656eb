//! The thread that writes snapshots, off the workers' path.
//!
//! Every worker tells, at the same epoch, what changed in each of its tables and how long its documents are. When all have told, and every
//! lane has committed the epoch (invariant I3), the manifest is written. A snapshot that cannot be written is given up; the next one holds more.
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sightline_schemas::Micros;

use super::documents::{self, Mark};
use super::manifest::{self, Manifest};
use super::segment::{self, Entry, SegmentMeta};
use super::table::{KeyedTable, Routed};
use crate::epoch::Epoch;
use crate::lane::Committed;

/// Where workers and the epochs thread send what a snapshot is made of.
#[derive(Clone)]
pub struct SnapshotSender {
    sender: Sender<Message>,
}

enum Message {
    Begin { epoch: Epoch, wall: Micros, positions: Vec<(String, i32, i64)> },
    Table { epoch: Epoch, table: u8, vnodes: Vec<(u8, Vec<Entry>)> },
    Documents { epoch: Epoch, marks: Vec<Mark> },
    GiveUp { epoch: Epoch },
}

impl SnapshotSender {
    /// A snapshot is to be taken of `epoch`.
    pub fn begin(&self, epoch: Epoch, wall: Micros, positions: Vec<(String, i32, i64)>) {
        self.send(Message::Begin { epoch, wall, positions });
    }

    /// What changed in a worker's table.
    pub fn write<K, V>(&self, epoch: Epoch, table: u8, of: &mut KeyedTable<K, V>)
    where
        K: Routed + Eq + Hash + Ord + Serialize + DeserializeOwned,
        V: Serialize + DeserializeOwned,
    {
        self.send(Message::Table { epoch, table, vnodes: of.take_dirty() });
    }

    /// A small table that every worker holds in full: written as vnode 0, by the worker that is told to.
    pub fn write_shared<K: Serialize, V: Serialize>(&self, epoch: Epoch, table: u8, of: &BTreeMap<K, V>, writes: bool) {
        let vnodes = if writes { vec![(0, of.iter().filter_map(|(key, value)| Entry::encode(key, value)).collect())] } else { Vec::new() };
        self.send(Message::Table { epoch, table, vnodes });
    }

    /// How long a worker's documents are.
    pub fn documents(&self, epoch: Epoch, marks: Vec<Mark>) {
        self.send(Message::Documents { epoch, marks });
    }

    /// A worker cannot take part.
    pub fn give_up(&self, epoch: Epoch) {
        self.send(Message::GiveUp { epoch });
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
    /// Tables a worker reports, times workers; and as many reports of documents as workers.
    pub tables: usize,
    /// Workers.
    pub workers: usize,
    /// The manifest that the state was restored from.
    pub restored: Option<Manifest>,
    /// What lanes have committed.
    pub committed: Arc<Committed>,
}

/// The running thread.
pub struct Snapshots {
    thread: JoinHandle<()>,
}

/// A channel to be handed to workers before the thread runs.
pub fn snapshot_channel() -> (SnapshotSender, SnapshotReceiver) {
    let (sender, receiver) = channel();
    (SnapshotSender { sender }, SnapshotReceiver { receiver })
}

/// The thread's end of the channel.
pub struct SnapshotReceiver {
    receiver: Receiver<Message>,
}

impl Snapshots {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(receiver: SnapshotReceiver, options: SnapshotOptions) -> std::io::Result<Self> {
        let segments = options.restored.iter().flat_map(|manifest| manifest.segments.iter()).map(|meta| ((meta.table, meta.vnode), meta.clone())).collect();
        let mut writer = Writer { options, open: BTreeMap::new(), segments };
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(move || writer.run(&receiver.receiver))?;
        Ok(Self { thread })
    }

    /// Waits for the last snapshot; all senders must be gone.
    pub fn close(self) {
        let _ = self.thread.join();
    }
}

struct Writer {
    options: SnapshotOptions,
    open: BTreeMap<Epoch, Open>,
    /// The newest segment of each vnode.
    segments: BTreeMap<(u8, u8), SegmentMeta>,
}

#[derive(Default)]
struct Open {
    begun: Option<(Micros, Vec<(String, i32, i64)>)>,
    tables: usize,
    documents: usize,
    marks: Vec<Mark>,
    segments: Vec<SegmentMeta>,
    failed: bool,
}

impl Writer {
    fn run(&mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            let epoch = match message {
                Message::Begin { epoch, wall, positions } => {
                    self.open.entry(epoch).or_default().begun = Some((wall, positions));
                    epoch
                }
                Message::Table { epoch, table, vnodes } => {
                    self.table(epoch, table, vnodes);
                    epoch
                }
                Message::Documents { epoch, marks } => {
                    let open = self.open.entry(epoch).or_default();
                    open.documents += 1;
                    open.marks.extend(marks);
                    epoch
                }
                Message::GiveUp { epoch } => {
                    let open = self.open.entry(epoch).or_default();
                    (open.documents, open.failed) = (open.documents + 1, true);
                    epoch
                }
            };
            self.finish(epoch);
        }
    }

    fn table(&mut self, epoch: Epoch, table: u8, vnodes: Vec<(u8, Vec<Entry>)>) {
        let open = self.open.entry(epoch).or_default();
        open.tables += 1;
        for (vnode, entries) in vnodes {
            let meta = SegmentMeta { table, vnode, epoch };
            match segment::write(&self.options.directory, &meta, &entries) {
                Ok(()) => open.segments.push(meta),
                Err(error) => {
                    tracing::error!(%error, "the snapshot is given up; free space in the state directory");
                    open.failed = true;
                    // What could not be written must be in the next snapshot, but its vnode is no longer marked as changed.
                    // The process goes on without snapshots: a restart replays from the last one.
                    self.options.tables = usize::MAX;
                }
            }
        }
    }

    fn finish(&mut self, epoch: Epoch) {
        let workers = self.options.workers;
        let complete = |open: &Open| open.begun.is_some() && open.documents == workers && Some(open.tables) == self.options.tables.checked_mul(workers);
        if !self.open.get(&epoch).is_some_and(complete) {
            return;
        }
        let Some(open) = self.open.remove(&epoch) else { return };
        let Some((wall, positions)) = open.begun else { return };
        for meta in open.segments {
            self.segments.insert((meta.table, meta.vnode), meta);
        }
        if open.failed {
            return;
        }
        if let Err(error) = sync_documents(&self.options.directory, &open.marks) {
            tracing::error!(%error, "failed to sync documents; this snapshot is given up");
            return;
        }
        // I3: a manifest is never newer than what every lane has committed.
        if !self.options.committed.wait_durable(epoch, Duration::from_secs(600)) {
            tracing::warn!(epoch = epoch.0, "the lanes did not commit in time; this snapshot is given up");
            return;
        }
        debug_assert!(self.options.committed.durable() >= epoch);
        let mut manifest = Manifest::new(&self.options.fingerprint, epoch, wall, positions);
        manifest.segments = self.segments.values().cloned().collect();
        manifest.documents = open.marks;
        manifest.documents.sort_unstable();
        match manifest::commit(&self.options.directory, &manifest) {
            Ok(()) => tracing::debug!(epoch = epoch.0, segments = manifest.segments.len(), "snapshot"),
            Err(error) => tracing::error!(%error, "this snapshot is given up"),
        }
    }
}

fn sync_documents(directory: &Path, marks: &[Mark]) -> std::io::Result<()> {
    for mark in marks {
        File::open(directory.join(documents::file_name(mark.vnode)))?.sync_data()?;
    }
    Ok(())
}
