//! What happens at a start: fence, read gates and journal, load the newest state that no lane is behind, and say where to go on.
//!
//! The steps R1 to R6 of the protocol; R7 (replay) and R8 (mint) are the epochs thread's.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sightline_failpoints::{self as failpoints, Control, Point, without};
use sightline_log::{Log, LogError, Offset, TopicPartition};
use sightline_schemas::Micros;
use sightline_schemas::topic::Topics;

use crate::cluster::control::{Peer, ToFollower, ToLeader};
use crate::cluster::{ClusterError, Members, Place};
use crate::epoch::{Epoch, EpochError, Former, Journal, JournalEntry};
use crate::lane::{self, Committed, Fenced, Lanes, Mark};
use crate::settings::TopologySettings;
use crate::source::InputTopic;
use crate::state::documents::Documents;
use crate::state::fetch::fetch;
use crate::state::manifest::{self, Manifest};
use crate::state::owner::Owner;
use crate::state::segment::{self, Segment, SegmentError, SegmentMeta};
use crate::state::snapshot::{Role, SnapshotOptions, SnapshotSender, Snapshots, snapshot_channel};
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
    /// The other processes of the cell.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
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
        "no snapshot in {path}{} reaches the journal, which begins at epoch {}; restore the state directory, or make the state again with \
         `sightline topology rebuild`", store.as_ref().map(|store| format!(" or in the state store {store}")).unwrap_or_default(), first.0
    )]
    Gap {
        /// State directory.
        path: PathBuf,
        /// Where copies are, if there are any.
        store: Option<String>,
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
    /// Who runs what.
    pub place: Place,
    /// The other processes of the cell that this one talks to.
    pub controls: Vec<Peer>,
    /// Taken over, where this process leads.
    pub journal: Option<Journal>,
    /// To be replayed; process 0 knows them and tells.
    pub entries: Vec<JournalEntry>,
    /// Taken over.
    pub lanes: Lanes,
    /// Reads from where the state ends.
    pub former: Former,
    /// The epoch of the state.
    pub resume: Epoch,
    /// One a worker of this process.
    pub tables: Vec<Tables>,
    /// One a worker of this process.
    pub documents: Vec<Documents>,
    /// The running thread.
    pub snapshots: Snapshots,
    /// For the epochs thread.
    pub snapshot_sender: SnapshotSender,
}

/// What a state depends on beside its input. Bounds are part of it: other bounds, other dead letters.
pub(crate) fn fingerprint(settings: &TopologySettings) -> String {
    let state = serde_json::json!({
        "segments": segment::VERSION,
        "lanes": settings.lanes.count,
        "intel": settings.intel,
        "events": settings.events,
        "sources": settings.sources,
        "limits": settings.limits,
    });
    let hash = blake3::hash(state.to_string().as_bytes()).to_hex();
    format!("{}-{}", env!("CARGO_PKG_VERSION"), &hash[..16])
}

/// Recovers this process's part of a cell; of a cell of several processes, together with the others.
///
/// # Errors
/// [`RecoveryError`].
pub fn recover(
    log: &dyn Log,
    topics: &Topics,
    settings: &TopologySettings,
    directory: &Path,
    store: Option<Arc<dyn StateStore>>,
    members: Members,
) -> Result<Recovered, RecoveryError> {
    let place = members.place();
    let failed = |source| RecoveryError::Directory { path: directory.to_owned(), source };
    std::fs::create_dir_all(directory).map_err(failed)?;
    // R1 to R3: nobody else writes from here on, so what is read is the truth.
    let mut journal = if place.leads() { Some(Journal::take_over(log, topics)?) } else { None };
    let owner = if place.leads() { Some(Owner::take(directory).map_err(failed)?) } else { None };
    let fenced = Fenced::take_over(log, topics, &settings.lanes, place)?;
    let own = owner.map(|owner| owner.id()).unwrap_or_default();
    let (gates, owner) = members.fenced(|| Ok::<_, RecoveryError>((lane::gates(log, topics, &settings.lanes)?, own)))?;
    let owner = Owner::of(directory, owner);
    let gate = gates.iter().copied().min().unwrap_or_default();
    let mut entries = journal.as_mut().map_or_else(|| Ok(Vec::new()), |journal| journal.read(log))?;
    failpoints::hit(Point::StartProgress, "");

    // R4, R5.
    let fingerprint = fingerprint(settings);
    let (snapshot_sender, receiver) = snapshot_channel();
    let journal_begins = entries.first().map_or(Epoch(0), |entry| entry.epoch);
    let fetch = |newest: Epoch| match &store {
        Some(store) if newest > Epoch(0) => {
            owner.check().map_err(failed)?;
            Ok::<_, RecoveryError>(fetch(&**store, directory, newest)?)
        }
        _ => Ok(None),
    };
    let (manifest, tables) = choose(directory, journal_begins, gate, &members, &snapshot_sender, fetch)?;
    failpoints::hit(Point::StartChosen, "");
    let resume = manifest.as_ref().map_or(Epoch(0), |manifest| manifest.epoch);
    let wall = manifest.as_ref().map_or(Micros(0), |manifest| manifest.wall);
    if place.leads() {
        let copies = store.as_ref().map(|store| store.address());
        check(directory, copies, manifest.as_ref(), &entries, gate, &fingerprint)?;
        members.start()?;
    }
    entries.retain(|entry| entry.epoch > resume);
    owner.check().map_err(failed)?;
    let mut documents = Vec::new();
    let marks = manifest.as_ref().map(|manifest| manifest.documents.as_slice()).unwrap_or_default();
    for worker in place.own() {
        let owned = |vnode: u8| usize::from(vnode) % place.all() == worker;
        documents.push(Documents::open(directory, owned, marks, snapshot_sender.clone()).map_err(failed)?);
    }

    failpoints::hit(Point::StartLoaded, "");
    // R6.
    let former = Former::open(log, positions(log, topics, manifest.as_ref())?, resume, wall, settings.epochs.clone())?;
    let controls = members.into_controls();
    let committed = Arc::new(committed(place, gates, &controls));
    let lanes = fenced.start(topics, &settings.lanes, settings.flow.window_epochs, Arc::clone(&committed))?;
    let role = match controls.first() {
        Some(leader) if !place.leads() => Role::Follows(leader.clone()),
        _ => Role::Leads(controls.len()),
    };
    let options = SnapshotOptions {
        directory: directory.to_owned(),
        fingerprint,
        tables: TableId::ALL.len(),
        workers: place.workers,
        restored: manifest,
        committed,
        role,
        owner,
        store: store.filter(|_| place.leads()),
    };
    let snapshots = Snapshots::start(receiver, options).map_err(failed)?;
    failpoints::hit(Point::StartAssigned, "");
    tracing::info!(resume = resume.0, gate = gate.0, replay = entries.len(), ?place, "recovered");
    Ok(Recovered { place, controls, journal, entries, lanes, former, resume, tables, documents, snapshots, snapshot_sender })
}

/// Whether the journal carries on from the state, and this program may replay it.
fn check(
    directory: &Path,
    store: Option<String>,
    manifest: Option<&Manifest>,
    entries: &[JournalEntry],
    gate: Epoch,
    fingerprint: &str,
) -> Result<(), RecoveryError> {
    let resume = manifest.map_or(Epoch(0), |manifest| manifest.epoch);
    if entries.first().is_some_and(|first| first.epoch > resume.next()) {
        return Err(RecoveryError::Gap { path: directory.to_owned(), store, first: entries[0].epoch });
    }
    // A journal is trimmed, but never to nothing: minting again from a number that lanes have committed would drop the new outputs as old ones.
    let (head, known) = (entries.last().map_or(Epoch(0), |entry| entry.epoch), gate.max(resume));
    if head < known {
        return Err(RecoveryError::JournalLost { head, known });
    }
    let pending = || entries.iter().filter(|entry| entry.epoch > resume);
    match manifest {
        Some(manifest) if manifest.fingerprint != fingerprint && pending().any(|entry| entry.epoch > gate || entry.records > 0) => {
            let (was, is) = (manifest.fingerprint.clone(), fingerprint.to_owned());
            Err(RecoveryError::Fingerprint { pending: pending().count() as u64, was, is })
        }
        _ => Ok(()),
    }
}

/// The marks of all lanes where this process leads, and it tells the others what is demanded; elsewhere those of its own lanes, and it tells them.
/// A process that is gone cannot be told, and its end is noticed elsewhere.
fn committed(place: Place, gates: Vec<Epoch>, controls: &[Peer]) -> Committed {
    let controls = controls.to_vec();
    if place.leads() {
        return Committed::telling(gates, move |mark| {
            if let Mark::Demanded(epoch) = mark {
                let _ = controls.iter().try_for_each(|control| control.send(&ToFollower::Demand(epoch)));
            }
        });
    }
    let own = (0..).zip(gates).map(|(lane, gate)| if place.has_lane(lane) { gate } else { Epoch(u64::MAX) }).collect();
    Committed::telling(own, move |mark| {
        let told = match mark {
            Mark::Done(lane, epoch) => ToLeader::Done(lane, epoch),
            Mark::Durable(lane, epoch) => ToLeader::Durable(lane, epoch),
            Mark::Demanded(_) => return,
        };
        let _ = controls.iter().try_for_each(|control| control.send(&told));
    })
}

/// The newest manifest that no lane is behind, that reaches the journal and whose segments are whole, and its tables, one set a worker of this process;
/// empty ones if there is none. Process 0 proposes; a manifest of which any process cannot load its part gives way to the one before. When the directory
/// has none, `fetch` brings one from elsewhere that is no newer than it is told, and says which.
fn choose(
    directory: &Path,
    journal_begins: Epoch,
    gate: Epoch,
    members: &Members,
    snapshots: &SnapshotSender,
    fetch: impl Fn(Epoch) -> Result<Option<Epoch>, RecoveryError>,
) -> Result<(Option<Manifest>, Vec<Tables>), RecoveryError> {
    let place = members.place();
    let empty = || place.own().map(|worker| Tables::new(worker, Micros(0), snapshots.clone())).collect();
    let try_load = |manifest: &Manifest| match load_all(directory, manifest, place, snapshots) {
        Ok(tables) => Ok(Some(tables)),
        // An older one is of the same types.
        Err(error @ SegmentError::Entry(_)) => Err(RecoveryError::from(error)),
        Err(error) => {
            tracing::warn!(%error, epoch = manifest.epoch.0, "this snapshot cannot be used");
            Ok(None)
        }
    };
    if !place.leads() {
        let mut chosen = (None, empty());
        while let Some(epoch) = members.to_load()? {
            let manifest = manifest::list(directory).into_iter().find(|manifest| Some(manifest.epoch) == epoch);
            let tables = manifest.as_ref().map_or(Ok(None), try_load)?;
            members.loaded(tables.is_some() || epoch.is_none())?;
            chosen = (manifest, tables.unwrap_or_else(empty));
        }
        return Ok(chosen);
    }
    let propose = || {
        let may =
            |manifest: &Manifest| (manifest.epoch <= gate || without(Control::ManifestAhead)) && journal_begins <= manifest.epoch.next();
        for manifest in manifest::list(directory).into_iter().filter(may) {
            let tables = try_load(&manifest)?;
            if members.all_loaded(Some(manifest.epoch), tables.is_some())?
                && let Some(tables) = tables
            {
                return Ok(Some((Some(manifest), tables)));
            }
        }
        Ok::<_, RecoveryError>(None)
    };
    if let Some(found) = propose()? {
        return Ok(found);
    }
    let mut newest = gate;
    while let Some(fetched) = fetch(newest)? {
        if let Some(found) = propose()? {
            return Ok(found);
        }
        // It was copied as it was, and that was damaged.
        newest = Epoch(fetched.0.saturating_sub(1));
    }
    members.all_loaded(None, true)?;
    Ok((None, empty()))
}

/// The tables of every worker of this process at the same time, a segment after the other, so that no more than a segment is in memory twice.
fn load_all(directory: &Path, manifest: &Manifest, place: Place, snapshots: &SnapshotSender) -> Result<Vec<Tables>, SegmentError> {
    std::thread::scope(|scope| {
        let loading: Vec<_> = place
            .own()
            .map(|worker| {
                let mut tables = Tables::new(worker, manifest.wall, snapshots.clone());
                scope.spawn(move || {
                    let is_of_worker =
                        |meta: &&SegmentMeta| meta.table == TableId::Feeds as u8 || usize::from(meta.vnode) % place.all() == worker;
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

fn load(tables: &mut Tables, meta: &SegmentMeta, segment: &Segment) -> Result<(), SegmentError> {
    let Some(table) = TableId::ALL.into_iter().find(|table| *table as u8 == meta.table) else { return Ok(()) };
    match table {
        TableId::Feeds => {
            for entry in segment.iter() {
                let (feed, known) = entry.decode()?;
                tables.feeds.extend(known.map(|known| (feed, known)));
            }
            Ok(())
        }
        TableId::Heads => tables.heads.load(meta, segment),
        TableId::Packages => tables.packages.load(meta, segment),
        TableId::Parts => tables.parts.load(meta, segment),
        TableId::Waiting => tables.waiting.load(meta, segment),
        TableId::Index => tables.index.load(meta, segment),
        TableId::Touches => tables.touches.load(meta, segment),
        TableId::Matched => tables.matched.load(meta, segment),
        TableId::Wide => tables.wide.load(meta, segment),
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
