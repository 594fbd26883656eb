//! A snapshot in a store: its manifest, and the packs that hold its files.
use serde::{Deserialize, Serialize};

use super::manifest::{self, Manifest};
use super::pack::Pack;
use super::store::{StateStore, StoreError};
use crate::epoch::Epoch;

const VERSION: u32 = 1;

/// The object `manifest-<epoch>.json`, written after its packs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StoredManifest {
    /// Format of this object.
    pub version: u32,
    /// As on the local disk.
    pub manifest: Manifest,
    /// Its pieces, put together, are the files that the manifest names; pieces of other files are left-overs.
    pub packs: Vec<Pack>,
}

impl StoredManifest {
    /// Of a manifest whose files are in `packs`.
    pub fn new(manifest: Manifest, packs: Vec<Pack>) -> Self {
        Self { version: VERSION, manifest, packs }
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put(&self, store: &dyn StateStore) -> Result<(), StoreError> {
        let name = manifest::name_of(self.manifest.epoch);
        let failed =
            |error: std::io::Error| StoreError { what: format!("write {name}"), address: store.address(), message: error.to_string() };
        let bytes = manifest::seal(self).map_err(failed)?;
        store.put(&name, &mut bytes.as_slice())
    }
}

/// The epochs of the manifests in a store, newest first.
///
/// # Errors
/// [`StoreError`].
pub fn epochs(store: &dyn StateStore) -> Result<Vec<Epoch>, StoreError> {
    let mut epochs: Vec<Epoch> = store.list()?.iter().filter_map(|name| manifest::epoch_of(name)).collect();
    epochs.sort_unstable_by(|a, b| b.cmp(a));
    Ok(epochs)
}

/// Reads one; nothing when it is damaged or of another version.
///
/// # Errors
/// [`StoreError`].
pub fn read(store: &dyn StateStore, epoch: Epoch) -> Result<Option<StoredManifest>, StoreError> {
    let mut bytes = Vec::new();
    store.get(&manifest::name_of(epoch), &mut bytes)?;
    let stored = manifest::unseal::<StoredManifest>(&bytes).filter(|stored| stored.version == VERSION && stored.manifest.epoch == epoch);
    if stored.is_none() {
        tracing::warn!(store = store.address(), epoch = epoch.0, "this manifest is damaged or of another version");
    }
    Ok(stored)
}
