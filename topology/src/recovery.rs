//! What happens at a start: fence, read gates and journal, load the newest state that no lane is behind, and say where to go on.
//!
//! The steps R1 to R6 of the protocol; R7 (replay) and R8 (mint) are the epochs thread's.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sightline_failpoints::{self as failpoints, Control, Point};
use sightline_log::{Log, LogError, Offset, TopicPartition};
use sightline_schemas::Micros;
use sightline_schemas::topic::Topics;

use crate::epoch::{Epoch, EpochError, Former, Journal, JournalEntry};
use crate::lane::Lanes;
use crate::settings::TopologySettings;
use crate::source::InputTopic;
use crate::state::documents::Documents;
use crate::state::fetch::fetch;
use crate::state::manifest::{self, Manifest};
use crate::state::segment::{self, Entry, SegmentError, SegmentMeta};
use crate::state::snapshot::{SnapshotOptions, SnapshotSender, Snapshots, snapshot_channel};
use crate::state::store::{StateStore, StoreError};
use crate::tables::{TableId, Tables};

/// State that cannot be brought back.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The inputs cannot be read from where the state ends.
    #[error(transparent)]
    Epoch(#[from] EpochError),
    /// A segment failed, and no older snapshot serves.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The state directory cannot be used.
    #[error("failed to open the state directory {path}: {source}")]
    Directory {
        /// Where.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The state directory has no snapshot to go on from, and the store cannot be asked.
    #[error("{0}; see that it can be reached, for the state directory holds no snapshot to go on from")]
    Store(#[from] StoreError),
    /// The journal begins after the newest usable snapshot.
    #[error(
        "no snapshot in {path} reaches the journal, which begins at epoch {}; restore the state directory, or make the state again with \
         `sightline topology rebuild`", first.0
    )]
    Gap {
        /// State directory.
        path: PathBuf,
        /// The journal's first epoch.
        first: Epoch,
    },
    /// Epochs are known that the journal does not hold: it was deleted or made anew under a cell that lives.
    #[error(
        "the journal ends at epoch {}, but epoch {} was committed; restore the journal topic, or remove the cell's journal, progress and state together \
         and ingest again", head.0, known.0
    )]
    JournalLost {
        /// The journal's last epoch, 0 if it is empty.
        head: Epoch,
        /// The newest that the lanes or the snapshot know.
        known: Epoch,
    },
    /// The state was made by other code or settings, and epochs wait to be replayed: the replay would mix both.
    #[error(
        "the journal holds {pending} epochs that were under way when version {was} stopped; start that version once more and stop it with SIGTERM, \
         then start {is}"
    )]
    Fingerprint {
        /// Epochs.
        pending: u64,
        /// The snapshot's.
        was: String,
        /// This one's.
        is: String,
    },
}

/// Everything a start needs.
pub struct Recovered {
    /// Taken over.
    pub journal: Journal,
    /// To be replayed.
    pub entries: Vec<JournalEntry>,
    /// Taken over.
    pub lanes: Lanes,
    /// Reads from where the state ends.
    pub former: Former,
    /// The epoch of the state.
    pub resume: Epoch,
    /// One a worker.
    pub tables: Vec<Tables>,
    /// One a worker.
    pub documents: Vec<Documents>,
    /// The running thread.
    pub snapshots: Snapshots,
    /// For the epochs thread.
    pub snapshot_sender: SnapshotSender,
}

/// What a state depends on beside its input. Bounds are part of it: other bounds, other dead letters.
pub(crate) fn fingerprint(settings: &TopologySettings) -> String {
    let state = serde_json::json!({ "lanes": settings.lanes.count, "intel": settings.intel, "limits": settings.limits });
    let hash = blake3::hash(state.to_string().as_bytes()).to_hex();
    format!("{}-{}", env!("CARGO_PKG_VERSION"), &hash[..16])
}

/// Recovers a cell for `workers` workers.
///
/// # Errors
/// [`RecoveryError`].
pub fn recover(
    log: &dyn Log,
    topics: &Topics,
    settings: &TopologySettings,
    directory: &Path,
    store: Option<Arc<dyn StateStore>>,
    workers: usize,
) -> Result<Recovered, RecoveryError> {
    let failed = |source| RecoveryError::Directory { path: directory.to_owned(), source };
    std::fs::create_dir_all(directory).map_err(failed)?;
    // R1 to R3: nobody else writes from here on, so what is read is the truth.
    let mut journal = Journal::take_over(log, topics)?;
    let lanes = Lanes::open(log, topics, &settings.lanes, settings.flow.window_epochs)?;
    let gate = lanes.committed().min();
    let mut entries = journal.read(log)?;
    failpoints::hit(Point::StartProgress, "");

    // R4, R5.
    let fingerprint = fingerprint(settings);
    let (snapshot_sender, receiver) = snapshot_channel();
    let (mut manifest, mut tables) = newest_usable(directory, gate, workers, &snapshot_sender)?;
    let reaches_journal = |manifest: Option<&Manifest>| {
        let next = manifest.map_or(Epoch(0), |manifest| manifest.epoch).next();
        entries.first().is_none_or(|first| first.epoch <= next)
    };
    if let Some(store) = &store
        && gate > Epoch(0)
        && (manifest.is_none() || !reaches_journal(manifest.as_ref()))
        && fetch(&**store, directory, gate)?.is_some()
    {
        // The directory's own, if any, are older, and not needed.
        drop(tables);
        (manifest, tables) = newest_usable(directory, gate, workers, &snapshot_sender)?;
    }
    failpoints::hit(Point::StartChosen, "");
    let resume = manifest.as_ref().map_or(Epoch(0), |manifest| manifest.epoch);
    let wall = manifest.as_ref().map_or(Micros(0), |manifest| manifest.wall);
    if !reaches_journal(manifest.as_ref()) {
        return Err(RecoveryError::Gap { path: directory.to_owned(), first: entries[0].epoch });
    }
    // A journal is trimmed, but never to nothing: minting again from a number that lanes have committed would drop the new outputs as old ones.
    let (head, known) = (entries.last().map_or(Epoch(0), |entry| entry.epoch), gate.max(resume));
    if head < known {
        return Err(RecoveryError::JournalLost { head, known });
    }
    entries.retain(|entry| entry.epoch > resume);
    if let Some(manifest) = &manifest
        && manifest.fingerprint != fingerprint
        && entries.iter().any(|entry| entry.epoch > gate || entry.records > 0)
    {
        let pending = entries.len() as u64;
        return Err(RecoveryError::Fingerprint { pending, was: manifest.fingerprint.clone(), is: fingerprint });
    }
    let mut documents = Vec::new();
    let marks = manifest.as_ref().map(|manifest| manifest.documents.as_slice()).unwrap_or_default();
    for worker in 0..workers {
        let owned = |vnode: u8| usize::from(vnode) % workers == worker;
        documents.push(Documents::open(directory, owned, marks, snapshot_sender.clone()).map_err(failed)?);
    }

    failpoints::hit(Point::StartLoaded, "");
    // R6.
    let former = Former::open(log, positions(log, topics, manifest.as_ref())?, resume, wall, settings.epochs.clone())?;
    let options = SnapshotOptions {
        directory: directory.to_owned(),
        fingerprint,
        tables: TableId::ALL.len(),
        workers,
        restored: manifest,
        committed: lanes.committed(),
        store,
    };
    let snapshots = Snapshots::start(receiver, options).map_err(failed)?;
    failpoints::hit(Point::StartAssigned, "");
    tracing::info!(resume = resume.0, gate = gate.0, replay = entries.len(), workers, "recovered");
    Ok(Recovered { journal, entries, lanes, former, resume, tables, documents, snapshots, snapshot_sender })
}

/// The newest manifest that no lane is behind and whose segments are whole, and its tables, one set a worker; empty ones if there is none.
fn newest_usable(
    directory: &Path,
    gate: Epoch,
    workers: usize,
    snapshots: &SnapshotSender,
) -> Result<(Option<Manifest>, Vec<Tables>), RecoveryError> {
    for manifest in
        manifest::list(directory).into_iter().filter(|manifest| manifest.epoch <= gate || failpoints::without(Control::ManifestAhead))
    {
        match load_all(directory, &manifest, workers, snapshots) {
            Ok(tables) => return Ok((Some(manifest), tables)),
            // An older one is of the same types.
            Err(error @ SegmentError::Entry(_)) => return Err(error.into()),
            Err(error) => tracing::warn!(%error, epoch = manifest.epoch.0, "this snapshot cannot be used"),
        }
    }
    Ok((None, (0..workers).map(|worker| Tables::new(worker, Micros(0), snapshots.clone())).collect()))
}

/// Every worker's tables at the same time, a segment after the other, so that no more than a segment is in memory twice.
fn load_all(directory: &Path, manifest: &Manifest, workers: usize, snapshots: &SnapshotSender) -> Result<Vec<Tables>, SegmentError> {
    std::thread::scope(|scope| {
        let loading: Vec<_> = (0..workers)
            .map(|worker| {
                let mut tables = Tables::new(worker, manifest.wall, snapshots.clone());
                scope.spawn(move || {
                    let is_of_worker =
                        |meta: &&SegmentMeta| meta.table == TableId::Feeds as u8 || usize::from(meta.vnode) % workers == worker;
                    for meta in manifest.segments.iter().filter(is_of_worker) {
                        load(&mut tables, meta, &segment::read(directory, meta)?)?;
                    }
                    Ok(tables)
                })
            })
            .collect();
        loading.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn load(tables: &mut Tables, meta: &SegmentMeta, entries: &[Entry]) -> Result<(), SegmentError> {
    let Some(table) = TableId::ALL.into_iter().find(|table| *table as u8 == meta.table) else { return Ok(()) };
    match table {
        TableId::Feeds => {
            tables.feeds.extend(entries.iter().map(Entry::decode).collect::<Result<Vec<_>, _>>()?);
            Ok(())
        }
        TableId::Heads => tables.heads.load(entries),
        TableId::Packages => tables.packages.load(entries),
        TableId::Parts => tables.parts.load(entries),
        TableId::Waiting => tables.waiting.load(entries),
        TableId::Index => tables.index.load(entries),
    }
}

/// Where each input partition goes on: where the snapshot says, or at its beginning.
fn positions(log: &dyn Log, topics: &Topics, manifest: Option<&Manifest>) -> Result<Vec<(TopicPartition, Offset)>, LogError> {
    let mut positions = Vec::new();
    for topic in crate::source::InputTopic::ALL.map(|topic: InputTopic| topic.name(topics)) {
        for number in 0..log.partitions(&topic)? {
            let partition = TopicPartition::new(topic.as_str(), number);
            let known = manifest.and_then(|manifest| manifest.positions.iter().find(|(name, at, _)| *name == topic && *at == number));
            let offset = match known {
                Some((_, _, offset)) => Offset(*offset),
                None => log.range(&partition)?.start,
            };
            positions.push((partition, offset));
        }
    }
    Ok(positions)
}
