//! The manifest: which segments and how much of the documents make the state of one epoch. Written last, by rename: it is there and whole, or not there.
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sightline_failpoints::{self as failpoints, Point};
use sightline_schemas::Micros;

use super::documents::Mark;
use super::durable;
use super::segment::SegmentMeta;
use crate::epoch::Epoch;

const VERSION: u32 = 3;
/// Two: should the newest be damaged, the one before still serves.
const KEEP: usize = 2;

/// A snapshot's table of contents.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of this file.
    pub version: u32,
    /// What the state depends on beside its input: another value means that it cannot be used.
    pub fingerprint: String,
    /// As of which epoch.
    pub epoch: Epoch,
    /// The journalled clock of that epoch.
    pub wall: Micros,
    /// The inputs' positions after that epoch: (topic, partition, offset).
    pub positions: Vec<(String, i32, i64)>,
    /// Segments, sorted.
    pub segments: Vec<SegmentMeta>,
    /// Documents, sorted.
    pub documents: Vec<Mark>,
}

impl Manifest {
    /// An empty one, to be filled.
    pub fn new(fingerprint: &str, epoch: Epoch, wall: Micros, positions: Vec<(String, i32, i64)>) -> Self {
        Self { version: VERSION, fingerprint: fingerprint.into(), epoch, wall, positions, segments: Vec::new(), documents: Vec::new() }
    }
}

/// The file: the manifest and the hash of its JSON.
#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    checksum: String,
    manifest: T,
}

/// A store of manifests and segments.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} {path}: {source}")]
pub struct ManifestError {
    what: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

fn checksum(manifest: &impl Serialize) -> String {
    // A struct of strings and numbers always serialises.
    blake3::hash(&serde_json::to_vec(manifest).unwrap_or_default()).to_hex().to_string()
}

/// A manifest, of this kind or another, as a file.
pub(super) fn seal<T: Serialize>(manifest: T) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&Sealed { checksum: checksum(&manifest), manifest })?)
}

/// Reads what [`seal`] made; nothing when it is damaged.
pub(super) fn unseal<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let sealed: Sealed<T> = serde_json::from_slice(bytes).ok()?;
    (sealed.checksum == checksum(&sealed.manifest)).then_some(sealed.manifest)
}

pub(crate) fn name_of(epoch: Epoch) -> String {
    format!("manifest-{}.json", epoch.0)
}

/// The epoch in a name, if it is a manifest's.
pub(super) fn epoch_of(name: &str) -> Option<Epoch> {
    name.strip_prefix("manifest-")?.strip_suffix(".json")?.parse().ok().map(Epoch)
}

fn is_manifest(name: &str) -> bool {
    name.starts_with("manifest-") && name.ends_with(".json")
}

fn path_of(directory: &Path, epoch: Epoch) -> PathBuf {
    directory.join(name_of(epoch))
}

/// Prepares a directory for a run that goes on from the manifest of `restored`, or from nothing: removes the manifests after it, damaged ones, and
/// what a crash left half written.
///
/// A manifest after the state that a run goes on from must not stay. Its documents are cut off; and when it is of another life of the cell (topics
/// made anew, the directory kept), the lanes would one day pass its epoch and a start would take it for the state.
///
/// # Errors
/// When the disk refuses: the run must not begin.
pub fn adopt(directory: &Path, restored: Option<Epoch>) -> Result<(), ManifestError> {
    let failed = |what: &'static str| move |source| ManifestError { what, path: directory.to_owned(), source };
    let valid: BTreeSet<String> =
        list(directory).iter().filter(|manifest| Some(manifest.epoch) <= restored).map(|manifest| name_of(manifest.epoch)).collect();
    for file in fs::read_dir(directory).map_err(failed("list"))?.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let is_stale = is_manifest(&name) && !valid.contains(&name);
        if is_stale {
            tracing::warn!(manifest = name, "this snapshot is not one to go on from; it is removed");
        }
        if is_stale || Path::new(&name).extension().is_some_and(|extension| extension == durable::TEMPORARY) {
            fs::remove_file(file.path()).map_err(failed("clean"))?;
        }
    }
    durable::sync_directory(directory).map_err(failed("sync"))?;
    collect_garbage(directory, u64::MAX, &[]);
    Ok(())
}

/// Writes a manifest, then removes what only manifests older than the last two name, but for those of the epochs `pinned`, which are being copied. What it
/// names must be on the disk, names included. Returns the epoch of the older of the last two, once there are two: nothing before it is needed any more.
///
/// # Errors
/// When the disk refuses; the manifests before stay valid.
pub fn commit(directory: &Path, manifest: &Manifest, pinned: &[Epoch]) -> Result<Option<Epoch>, ManifestError> {
    write(directory, manifest)?;
    failpoints::hit(Point::ManifestDurable, "");
    Ok(collect_garbage(directory, manifest.epoch.0, pinned))
}

/// Writes a manifest.
///
/// # Errors
/// When the disk refuses.
pub(crate) fn write(directory: &Path, manifest: &Manifest) -> Result<(), ManifestError> {
    let path = path_of(directory, manifest.epoch);
    let written = seal(manifest).and_then(|bytes| durable::write(&path, |file| file.write_all(&bytes)));
    written.map_err(|source| ManifestError { what: "write", path, source })
}

/// The valid manifests, newest first. Damaged ones are named in the log and left out.
pub fn list(directory: &Path) -> Vec<Manifest> {
    let Ok(files) = fs::read_dir(directory) else { return Vec::new() };
    let mut manifests: Vec<Manifest> = files
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(is_manifest))
        .filter_map(|path| read(&path))
        .collect();
    manifests.sort_by_key(|manifest| std::cmp::Reverse(manifest.epoch));
    manifests
}

fn read(path: &Path) -> Option<Manifest> {
    match fs::read(path).ok().and_then(|bytes| unseal::<Manifest>(&bytes)) {
        Some(manifest) if manifest.version == VERSION => Some(manifest),
        _ => {
            tracing::warn!(path = %path.display(), "this manifest is damaged or of another version; the one before it will be used");
            None
        }
    }
}

/// Removes all manifests but the last two and the pinned ones, and the segments up to epoch `until` that none of those names: segments of a snapshot under
/// way are newer. Best effort: what stays is found again by the next snapshot.
fn collect_garbage(directory: &Path, until: u64, pinned: &[Epoch]) -> Option<Epoch> {
    let known = list(directory);
    let is_kept = |(at, manifest): &(usize, &Manifest)| *at < KEEP || pinned.contains(&manifest.epoch);
    let (kept, old): (Vec<_>, Vec<_>) = known.iter().enumerate().partition(is_kept);
    for (_, old) in old {
        let _ = fs::remove_file(path_of(directory, old.epoch));
    }
    let named: BTreeSet<String> = kept.iter().flat_map(|(_, manifest)| manifest.segments.iter().map(SegmentMeta::file_name)).collect();
    for file in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if SegmentMeta::epoch_of(&name).is_some_and(|epoch| epoch.0 <= until) && !named.contains(&name) {
            let _ = fs::remove_file(file.path());
        }
    }
    known.get(KEEP - 1).map(|manifest| manifest.epoch)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn manifest(epoch: u64) -> Manifest {
        Manifest::new("f", Epoch(epoch), Micros(7), vec![("soc.in.intel".into(), 0, 3)])
    }

    #[test]
    fn the_last_two_manifests_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        for epoch in [3, 9, 27] {
            commit(directory.path(), &manifest(epoch), &[]).unwrap();
        }
        assert_eq!(list(directory.path()).iter().map(|manifest| manifest.epoch.0).collect::<Vec<_>>(), [27, 9]);
    }

    fn names(directory: &Path) -> BTreeSet<String> {
        fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn with_segment(epoch: u64, segment: u64) -> Manifest {
        let mut manifest = manifest(epoch);
        manifest.segments = vec![SegmentMeta { table: 1, vnode: 2, epoch: Epoch(segment), whole: true }];
        manifest
    }

    #[test]
    fn only_segments_that_a_kept_manifest_names_or_that_are_newer_stay() {
        let directory = tempfile::tempdir().unwrap();
        for segment in ["01-002-3.seg", "01-002-9.seg", "01-002-99.seg"] {
            fs::write(directory.path().join(segment), "").unwrap();
        }
        assert_eq!(commit(directory.path(), &with_segment(3, 3), &[]).unwrap(), None);
        assert_eq!(commit(directory.path(), &with_segment(9, 9), &[]).unwrap(), Some(Epoch(3)));
        assert!(names(directory.path()).contains("01-002-3.seg"), "the older manifest still names it");
        assert_eq!(commit(directory.path(), &with_segment(27, 9), &[]).unwrap(), Some(Epoch(9)));
        let left = ["01-002-9.seg", "01-002-99.seg", "manifest-27.json", "manifest-9.json"].map(str::to_owned);
        assert_eq!(names(directory.path()), BTreeSet::from(left));
    }

    #[test]
    fn what_is_being_copied_stays() {
        let directory = tempfile::tempdir().unwrap();
        for epoch in [3, 9, 27, 81] {
            fs::write(directory.path().join(format!("01-002-{epoch}.seg")), "").unwrap();
            let oldest = commit(directory.path(), &with_segment(epoch, epoch), &[Epoch(3)]).unwrap();
            assert_eq!(oldest, [None, Some(Epoch(3)), Some(Epoch(9)), Some(Epoch(27))][(epoch as f64).log(3.0).round() as usize - 1]);
        }
        let left = ["01-002-27.seg", "01-002-3.seg", "01-002-81.seg", "manifest-27.json", "manifest-3.json", "manifest-81.json"];
        assert_eq!(names(directory.path()), BTreeSet::from(left.map(str::to_owned)));
    }

    #[test]
    fn a_run_that_goes_on_from_an_older_state_leaves_no_newer_one_behind() {
        let directory = tempfile::tempdir().unwrap();
        for (epoch, segment) in [(9, 9), (27, 27)] {
            fs::write(directory.path().join(format!("01-002-{segment}.seg")), "").unwrap();
            commit(directory.path(), &with_segment(epoch, segment), &[]).unwrap();
        }
        fs::write(directory.path().join("manifest-30.json"), "torn").unwrap();
        fs::write(directory.path().join("manifest-31.tmp"), "torn").unwrap();
        adopt(directory.path(), Some(Epoch(9))).unwrap();
        assert_eq!(names(directory.path()), BTreeSet::from(["01-002-9.seg", "manifest-9.json"].map(str::to_owned)));
        adopt(directory.path(), None).unwrap();
        assert_eq!(names(directory.path()), BTreeSet::new());
    }

    #[test]
    fn a_manifest_is_written_as_docs_snapshot_md_draws_it_and_the_golden_file_still_reads() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/segment/manifest-42.json");
        let mut manifest = manifest(42);
        manifest.segments = vec![SegmentMeta { table: 1, vnode: 7, epoch: Epoch(42), whole: true }];
        manifest.documents = vec![Mark { vnode: 7, len: 4096 }];
        let directory = tempfile::tempdir().unwrap();
        commit(directory.path(), &manifest, &[]).unwrap();
        assert_eq!(fs::read_to_string(path_of(directory.path(), Epoch(42))).unwrap(), fs::read_to_string(&golden).unwrap().trim_end());
        assert_eq!(read(&golden), Some(manifest));
    }

    #[test]
    fn a_damaged_manifest_gives_way_to_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        for epoch in [3, 9] {
            commit(directory.path(), &manifest(epoch), &[]).unwrap();
        }
        let path = path_of(directory.path(), Epoch(9));
        for damage in 0..3 {
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                0 => bytes.truncate(bytes.len() / 2),
                1 => bytes.clear(),
                _ => {
                    commit(directory.path(), &manifest(9), &[]).unwrap();
                    bytes = fs::read(&path).unwrap();
                    let at = bytes.windows(5).position(|word| word == b"wall\"").unwrap() + 6;
                    bytes[at] = b'8';
                }
            }
            fs::write(&path, bytes).unwrap();
            assert_eq!(list(directory.path())[0].epoch, Epoch(3));
        }
    }
}
