//! The manifest: which segments and how much of the documents make the state of one epoch. Written last, by rename: it is there and whole, or not there.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sightline_schemas::Micros;

use super::documents::Mark;
use super::durable;
use super::segment::SegmentMeta;
use crate::epoch::Epoch;

const VERSION: u32 = 1;
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
struct Sealed {
    checksum: String,
    manifest: Manifest,
}

/// A store of manifests and segments.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} {path}: {source}")]
pub struct ManifestError {
    what: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

fn checksum(manifest: &Manifest) -> String {
    // A struct of strings and numbers always serialises.
    blake3::hash(&serde_json::to_vec(manifest).unwrap_or_default()).to_hex().to_string()
}

fn path_of(directory: &Path, epoch: Epoch) -> PathBuf {
    directory.join(format!("manifest-{}.json", epoch.0))
}

/// Writes a manifest, then removes what only manifests older than the last two name.
///
/// # Errors
/// When the disk refuses; the manifests before stay valid.
pub fn commit(directory: &Path, manifest: &Manifest) -> Result<(), ManifestError> {
    let path = path_of(directory, manifest.epoch);
    let sealed = Sealed { checksum: checksum(manifest), manifest: manifest.clone() };
    durable::write(&path, |file| serde_json::to_writer(file, &sealed).map_err(Into::into))
        .map_err(|source| ManifestError { what: "write", path, source })?;
    collect_garbage(directory);
    Ok(())
}

/// The valid manifests, newest first. Damaged ones are named in the log and left out.
pub fn list(directory: &Path) -> Vec<Manifest> {
    let Ok(files) = fs::read_dir(directory) else { return Vec::new() };
    let mut manifests: Vec<Manifest> = files
        .flatten()
        .map(|file| file.path())
        .filter(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("manifest-") && name.ends_with(".json")))
        .filter_map(|path| read(&path))
        .collect();
    manifests.sort_by_key(|manifest| std::cmp::Reverse(manifest.epoch));
    manifests
}

fn read(path: &Path) -> Option<Manifest> {
    let sealed: Option<Sealed> = fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match sealed {
        Some(sealed) if sealed.checksum == checksum(&sealed.manifest) && sealed.manifest.version == VERSION => Some(sealed.manifest),
        _ => {
            tracing::warn!(path = %path.display(), "this manifest is damaged or of another version; the one before it will be used");
            None
        }
    }
}

/// Best effort: what stays is found again by the next snapshot.
fn collect_garbage(directory: &Path) {
    let kept = list(directory);
    for old in kept.iter().skip(KEEP) {
        let _ = fs::remove_file(path_of(directory, old.epoch));
    }
    let named: BTreeSet<String> = kept.iter().take(KEEP).flat_map(|manifest| manifest.segments.iter().map(SegmentMeta::file_name)).collect();
    let newest = kept.first().map_or(Epoch(0), |manifest| manifest.epoch);
    for file in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        // Segments of a snapshot under way are newer than the newest manifest.
        let epoch = name.strip_suffix(".seg").and_then(|name| name.rsplit('-').next()).and_then(|epoch| epoch.parse().ok()).map(Epoch);
        if epoch.is_some_and(|epoch| epoch <= newest) && !named.contains(&name) {
            let _ = fs::remove_file(file.path());
        }
    }
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
            commit(directory.path(), &manifest(epoch)).unwrap();
        }
        assert_eq!(list(directory.path()).iter().map(|manifest| manifest.epoch.0).collect::<Vec<_>>(), [27, 9]);
    }

    #[test]
    fn a_damaged_manifest_gives_way_to_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        for epoch in [3, 9] {
            commit(directory.path(), &manifest(epoch)).unwrap();
        }
        let path = path_of(directory.path(), Epoch(9));
        for damage in 0..3 {
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                0 => bytes.truncate(bytes.len() / 2),
                1 => bytes.clear(),
                _ => {
                    commit(directory.path(), &manifest(9)).unwrap();
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
