#![allow(clippy::unwrap_used)]
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use sightline_schemas::Micros;
use tempfile::TempDir;

use super::*;
use crate::state::documents::{self, Mark};
use crate::state::fetch::fetch;
use crate::state::segment::{self, Entries, SegmentMeta};

/// A directory as a store, which can be told to keep writers waiting.
struct Folder {
    folder: TempDir,
    is_shut: AtomicBool,
}

impl Folder {
    fn new() -> Arc<Self> {
        Arc::new(Self { folder: tempfile::tempdir().unwrap(), is_shut: AtomicBool::new(false) })
    }

    fn names(&self) -> BTreeSet<String> {
        names(self.folder.path())
    }

    fn damage(&self, wanted: impl Fn(&str) -> bool) {
        for name in self.names().iter().filter(|name| wanted(name)) {
            let path = self.folder.path().join(name);
            let mut bytes = fs::read(&path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
        }
    }

    fn failed(&self, error: impl std::fmt::Display) -> StoreError {
        StoreError { what: "do it".into(), address: self.address(), message: error.to_string() }
    }
}

impl StateStore for Folder {
    fn address(&self) -> String {
        self.folder.path().display().to_string()
    }
    fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.names().into_iter().collect())
    }
    fn put(&self, name: &str, from: &mut dyn Read) -> Result<(), StoreError> {
        while self.is_shut.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(|error| self.failed(error))?;
        assert!(!name.starts_with("pack-") || !self.folder.path().join(name).exists(), "{name} is written twice");
        fs::write(self.folder.path().join(name), bytes).map_err(|error| self.failed(error))
    }
    fn get(&self, name: &str, into: &mut dyn Write) -> Result<(), StoreError> {
        let bytes = fs::read(self.folder.path().join(name)).map_err(|error| self.failed(error))?;
        bytes.chunks(7).try_for_each(|chunk| into.write_all(chunk)).map_err(|error| self.failed(error))
    }
    fn delete(&self, name: &str) -> Result<(), StoreError> {
        fs::remove_file(self.folder.path().join(name)).map_err(|error| self.failed(error))
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// The bytes of all files of a state, documents up to their marks.
fn content(folder: &Path, manifest: &Manifest) -> Vec<(String, Vec<u8>)> {
    let files = pack::files_of(folder, manifest).unwrap();
    files.into_iter().map(|(name, length)| (name.clone(), fs::read(folder.join(name)).unwrap()[..length as usize].to_vec())).collect()
}

/// Takes a snapshot of `epoch` in which one of two vnodes changed and documents grew.
fn snapshot(folder: &Path, epoch: u64, handle: Option<&UploadHandle>) -> Manifest {
    let mut manifest = Manifest::new("f", Epoch(epoch), Micros(7), Vec::new());
    for vnode in [epoch as u8 % 2, 7] {
        let meta = SegmentMeta { table: 1, vnode, epoch: Epoch(if vnode == 7 { 1 } else { epoch }), whole: true };
        let mut entries = Entries::default();
        entries.push(&epoch, Some(&"x".repeat(if vnode == 7 { 4_000 } else { 100 }))).unwrap();
        if vnode != 7 || epoch == 1 {
            segment::write(folder, &meta, &entries).unwrap();
        }
        manifest.segments.push(meta);
    }
    let documents = folder.join(documents::file_name(3));
    let mut grown = fs::read(&documents).unwrap_or_default();
    grown.extend(format!("document {epoch}").repeat(9).into_bytes());
    manifest.documents = vec![Mark { vnode: 3, len: grown.len() as u64 }];
    fs::write(documents, grown).unwrap();
    manifest::commit(folder, &manifest, &handle.map(UploadHandle::pinned).unwrap_or_default()).unwrap();
    if let Some(handle) = handle {
        handle.offer(manifest.clone());
    }
    manifest
}

fn await_stored(handle: &UploadHandle, epoch: u64) {
    let started = Instant::now();
    while handle.shared.state().stored.first() != Some(&Epoch(epoch)) {
        assert!(started.elapsed() < Duration::from_secs(30), "epoch {epoch} is not stored");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A directory with snapshots up to `last`, and their copies.
fn filled(store: &Arc<Folder>, last: u64) -> (TempDir, Vec<Manifest>) {
    let folder = tempfile::tempdir().unwrap();
    let uploads = Uploads::start(Arc::clone(store) as Arc<dyn StateStore>, folder.path().to_owned(), None).unwrap();
    let handle = uploads.handle();
    let manifests = (1..=last)
        .map(|epoch| {
            let manifest = snapshot(folder.path(), epoch, Some(&handle));
            await_stored(&handle, epoch);
            manifest
        })
        .collect();
    uploads.close();
    (folder, manifests)
}

#[test]
fn what_is_fetched_is_what_was_copied_byte_by_byte() {
    let store = Folder::new();
    let (folder, manifests) = filled(&store, 40);
    let names = store.names();
    assert_eq!(names.iter().filter(|name| name.starts_with("manifest")).count(), 2, "{names:?}");
    assert!(names.len() < 14, "old packs are taken over and removed: {names:?}");
    let fresh = tempfile::tempdir().unwrap();
    fs::write(fresh.path().join(documents::file_name(3)), "longer than it was".repeat(9_999)).unwrap();
    assert_eq!(fetch(&*store, fresh.path(), Epoch(99)).unwrap(), Some(Epoch(40)));
    assert_eq!(manifest::list(fresh.path()), [manifests[39].clone()]);
    assert_eq!(content(fresh.path(), &manifests[39]), content(folder.path(), &manifests[39]));
}

#[test]
fn a_snapshot_that_the_lanes_are_behind_or_that_is_damaged_gives_way_to_the_one_before() {
    let store = Folder::new();
    let (folder, manifests) = filled(&store, 9);
    let fresh = || tempfile::tempdir().unwrap();
    assert_eq!(fetch(&*store, fresh().path(), Epoch(8)).unwrap(), Some(Epoch(8)));
    assert_eq!(fetch(&*store, fresh().path(), Epoch(7)).unwrap(), None);
    store.damage(|name| name.starts_with("pack-9-"));
    let before = fresh();
    assert_eq!(fetch(&*store, before.path(), Epoch(99)).unwrap(), Some(Epoch(8)));
    let whole = content(folder.path(), &Manifest { segments: vec![manifests[7].segments[1].clone()], ..manifests[7].clone() });
    assert!(whole.iter().all(|file| content(before.path(), &manifests[7]).contains(file)));
    store.damage(|name| name == "manifest-8.json");
    let none = fresh();
    assert_eq!(fetch(&*store, none.path(), Epoch(99)).unwrap(), None);
    assert!(manifest::list(none.path()).is_empty());
}

#[test]
fn a_slow_store_gets_the_newest_snapshot_whose_files_are_kept_for_it() {
    let (store, folder) = (Folder::new(), tempfile::tempdir().unwrap());
    store.is_shut.store(true, Ordering::SeqCst);
    let uploads = Uploads::start(Arc::clone(&store) as Arc<dyn StateStore>, folder.path().to_owned(), None).unwrap();
    let handle = uploads.handle();
    snapshot(folder.path(), 1, Some(&handle));
    while handle.shared.state().copying.is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let newest = (2..=6).map(|epoch| snapshot(folder.path(), epoch, Some(&handle))).next_back().unwrap();
    assert_eq!(handle.oldest_stored(), None);
    store.is_shut.store(false, Ordering::SeqCst);
    await_stored(&handle, 6);
    assert_eq!(handle.oldest_stored(), Some(Epoch(1)), "2 to 5 were passed over");
    uploads.close();
    for epoch in [1, 6] {
        assert_eq!(fetch(&*store, tempfile::tempdir().unwrap().path(), Epoch(epoch)).unwrap(), Some(Epoch(epoch)));
    }
    snapshot(folder.path(), 7, None);
    assert_eq!(names(folder.path()).iter().filter(|name| name.starts_with("manifest")).count(), 2, "nothing is pinned any more");
    drop(newest);
}

#[test]
fn a_run_that_goes_on_from_an_older_state_removes_the_newer_ones_and_uses_its_packs() {
    let store = Folder::new();
    let (folder, manifests) = filled(&store, 9);
    let restored = manifests[7].clone();
    let large = store.names().into_iter().find(|name| name.starts_with("pack-1-"));
    let uploads = Uploads::start(Arc::clone(&store) as Arc<dyn StateStore>, folder.path().to_owned(), Some(restored)).unwrap();
    let handle = uploads.handle();
    let manifest = snapshot(folder.path(), 10, Some(&handle));
    await_stored(&handle, 10);
    uploads.close();
    let names = store.names();
    let left: Vec<&String> = names.iter().filter(|name| name.starts_with("manifest")).collect();
    assert_eq!(left, ["manifest-10.json", "manifest-8.json"]);
    assert!(large.is_some_and(|large| names.contains(&large)), "what did not change is not copied again: {names:?}");
    let fresh = tempfile::tempdir().unwrap();
    assert_eq!(fetch(&*store, fresh.path(), Epoch(99)).unwrap(), Some(Epoch(10)));
    assert_eq!(content(fresh.path(), &manifest), content(folder.path(), &manifest));
}
