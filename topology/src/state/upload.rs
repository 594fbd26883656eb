//! The thread that copies snapshots into a store.
//!
//! It takes the newest manifest each time it is free, so a slow store costs snapshots there, and nothing else: workers and the local snapshots never wait for it.
//! While it copies, the files of its manifest are pinned. The journal is trimmed behind what the store holds: whoever loses the disk goes on from there.
use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sightline_failpoints::{self as failpoints, Point};

use super::manifest::{self, Manifest};
use super::pack::{self, Pack, PackReader};
use super::store::{StateStore, StoreError};
use super::stored::{self, StoredManifest};
use crate::epoch::Epoch;

/// Two, as on the local disk: should the newest be damaged, the one before still serves.
const KEEP: usize = 2;
/// The first pause after a failure, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The thread, and what it is told.
pub struct Uploads {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

/// Tells the thread of new manifests, and what it has done.
#[derive(Clone)]
pub struct UploadHandle {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Option<Manifest>,
    copying: Option<Epoch>,
    /// The manifests in the store, newest first; none until the store was looked at.
    stored: Vec<Epoch>,
    closing: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UploadHandle {
    /// The epochs whose files must stay.
    pub fn pinned(&self) -> Vec<Epoch> {
        let state = self.shared.state();
        state.copying.into_iter().chain(state.waiting.as_ref().map(|manifest| manifest.epoch)).collect()
    }

    /// A manifest is durable on the local disk.
    pub fn offer(&self, manifest: Manifest) {
        self.shared.state().waiting = Some(manifest);
        self.shared.changed.notify_all();
    }

    /// The older of the last two manifests in the store: nothing before it is needed any more. Nothing until there are two.
    pub fn oldest_stored(&self) -> Option<Epoch> {
        self.shared.state().stored.get(KEEP - 1).copied()
    }
}

impl Uploads {
    /// Starts the thread, for a run that goes on from `restored`.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(store: Arc<dyn StateStore>, directory: PathBuf, restored: Option<Manifest>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let copier = Copier { store, directory, restored, known: None, shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new().name("state-store".into()).spawn(move || copier.run())?;
        Ok(Self { shared, thread })
    }

    /// For the thread that makes manifests.
    pub fn handle(&self) -> UploadHandle {
        UploadHandle { shared: Arc::clone(&self.shared) }
    }

    /// Lets it copy what waits, trying once, and waits for its end.
    pub fn close(self) {
        self.shared.state().closing = true;
        self.shared.changed.notify_all();
        let _ = self.thread.join();
    }
}

struct Copier {
    store: Arc<dyn StateStore>,
    directory: PathBuf,
    /// What the run went on from.
    restored: Option<Manifest>,
    /// The packs of the newest manifest in the store; unset until the store was looked at.
    known: Option<Vec<Pack>>,
    shared: Arc<Shared>,
}

impl Copier {
    fn run(mut self) {
        let mut pause = PAUSES.0;
        while let Some(manifest) = self.next() {
            let epoch = manifest.epoch;
            match self.copy(&manifest) {
                Ok(()) => {
                    tracing::debug!(epoch = epoch.0, store = self.store.address(), "the snapshot is in the store");
                    pause = PAUSES.0;
                    let mut state = self.shared.state();
                    state.copying = None;
                    state.stored.insert(0, epoch);
                    state.stored.truncate(KEEP);
                }
                Err(error) => {
                    tracing::warn!(%error, epoch = epoch.0, "this snapshot is on the local disk only; will try again, and the journal is kept until then");
                    let mut state = self.shared.state();
                    state.copying = None;
                    if state.closing {
                        return;
                    }
                    // A newer one takes its place.
                    state.waiting.get_or_insert(manifest);
                    let (_state, _) = self
                        .shared
                        .changed
                        .wait_timeout_while(state, pause, |state| !state.closing)
                        .unwrap_or_else(PoisonError::into_inner);
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
        }
    }

    /// Waits for a manifest, and pins it.
    fn next(&self) -> Option<Manifest> {
        let state = self.shared.state();
        let idle = |state: &mut State| state.waiting.is_none() && !state.closing;
        let mut state = self.shared.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        let manifest = state.waiting.take();
        state.copying = manifest.as_ref().map(|manifest| manifest.epoch);
        manifest
    }

    fn copy(&mut self, manifest: &Manifest) -> Result<(), StoreError> {
        let known = match self.known.take() {
            Some(known) => known,
            None => self.look()?,
        };
        let failed = |error| self.failed(format!("copy the snapshot of epoch {}", manifest.epoch.0), error);
        let copied = pack::files_of(&self.directory, manifest).map_err(failed).and_then(|files| {
            let (mut packs, stretches) = pack::plan(&known, &files);
            if !stretches.is_empty() {
                let name = format!("pack-{}-{:016x}.bin", manifest.epoch.0, RandomState::new().build_hasher().finish());
                let mut reader = PackReader::new(&self.directory, stretches);
                failpoints::io(Point::StoreBefore, "pack").map_err(failed)?;
                self.store.put(&name, &mut reader)?;
                failpoints::hit(Point::StoreAfter, "pack");
                packs.push(Pack { name, pieces: reader.into_pieces() });
            }
            let stored = StoredManifest::new(manifest.clone(), packs);
            failpoints::io(Point::StoreBefore, "manifest").map_err(failed)?;
            stored.put(&*self.store)?;
            failpoints::hit(Point::StoreAfter, "manifest");
            Ok(stored.packs)
        });
        match copied {
            Ok(packs) => {
                self.known = Some(packs);
                if let Err(error) = self.collect_garbage(manifest.epoch) {
                    tracing::debug!(%error, "old objects stay; the next snapshot tries again");
                }
                Ok(())
            }
            // What was half done is left over, and removed later; the packs before are as they were.
            Err(error) => {
                self.known = Some(known);
                Err(error)
            }
        }
    }

    fn failed(&self, what: String, error: std::io::Error) -> StoreError {
        StoreError { what, address: self.store.address(), message: error.to_string() }
    }

    /// Removes the manifests that this run does not go on from, as [`manifest::adopt`] does on the local disk, and finds the packs of the one that it does.
    fn look(&self) -> Result<Vec<Pack>, StoreError> {
        let resume = self.restored.as_ref().map(|manifest| manifest.epoch);
        let mut whole = Vec::new();
        for epoch in &stored::epochs(&*self.store)? {
            if Some(*epoch) > resume {
                tracing::warn!(epoch = epoch.0, store = self.store.address(), "this snapshot is not one to go on from; it is removed");
                self.store.delete(&manifest::name_of(*epoch))?;
            } else if whole.len() < KEEP
                && let Some(stored) = stored::read(&*self.store, *epoch)?
            {
                whole.push(stored);
            }
        }
        self.shared.state().stored = whole.iter().map(|stored| stored.manifest.epoch).collect();
        let same = whole.into_iter().find(|stored| Some(&stored.manifest) == self.restored.as_ref());
        Ok(same.map(|stored| stored.packs).unwrap_or_default())
    }

    /// Removes all manifests but the last two, and the packs up to epoch `until` that neither names.
    fn collect_garbage(&self, until: Epoch) -> Result<(), StoreError> {
        failpoints::io(Point::StoreCollect, "").map_err(|error| self.failed("remove old objects".into(), error))?;
        let epochs = stored::epochs(&*self.store)?;
        let mut named = BTreeSet::new();
        for epoch in epochs.iter().take(KEEP) {
            // One that cannot be read may name any pack.
            let Some(stored) = stored::read(&*self.store, *epoch)? else { return Ok(()) };
            named.extend(stored.packs.into_iter().map(|pack| pack.name));
        }
        for epoch in epochs.iter().skip(KEEP) {
            self.store.delete(&manifest::name_of(*epoch))?;
        }
        let is_old = |name: &str| {
            let epoch = name.strip_prefix("pack-").and_then(|rest| rest.split('-').next()).and_then(|epoch| epoch.parse().ok());
            epoch.is_some_and(|epoch: u64| epoch <= until.0)
        };
        for name in self.store.list()?.into_iter().filter(|name| is_old(name) && !named.contains(name)) {
            self.store.delete(&name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;
