//! What a disk can do to the state directory while no process runs.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fastrand::Rng;

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A segment or manifest ends too early.
    Truncate,
    /// A segment or manifest has its length, and zeros at its end: what a crash of the machine leaves.
    Zero,
    /// One bit of a segment or manifest.
    Flip,
    /// A file of documents is cut short, or a bit of it is flipped.
    Documents,
    /// The directory is removed.
    Everything,
    /// The newest copy in the state store; and the directory is removed.
    Copy,
}

impl Damage {
    /// Does it to one file, mostly one of the newest snapshot. `newest_only`: to a file that the manifest before does not name, and only if there is one
    /// before: with the journal trimmed, what both manifests name is there once. Returns what was done; none when there is no such file yet.
    pub fn cause(self, state: &Path, newest_only: bool, rng: &mut Rng) -> Result<Option<String>> {
        if matches!(self, Self::Everything | Self::Copy) {
            fs::remove_dir_all(state).or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
            return Ok(Some("removed the state directory".into()));
        }
        let endings: &[&str] = if self == Self::Documents { &[".log"] } else { &[".seg", ".json"] };
        let ending = endings[rng.usize(0..endings.len())];
        let mut files: Vec<PathBuf> = match fs::read_dir(state) {
            Ok(files) => files.flatten().map(|file| file.path()).filter(|path| path.to_string_lossy().ends_with(ending)).collect(),
            Err(_) => return Ok(None),
        };
        // The newest last; by name where several are of one moment, so that a seed finds the same file.
        files.sort_by_key(|path| (epoch_of(path), path.clone()));
        let newest = files.last().map(|path| epoch_of(path)).unwrap_or_default();
        let manifests = manifests(state);
        let is_spare = |path: &Path| manifests.len() > 1 && manifests.last() == Some(&epoch_of(path));
        let recent: Vec<&PathBuf> = match newest_only {
            true => files.iter().filter(|path| is_spare(path)).collect(),
            false => files.iter().filter(|path| epoch_of(path) == newest || rng.u8(0..4) == 0).collect(),
        };
        if recent.is_empty() {
            return Ok(None);
        }
        let path = recent[rng.usize(0..recent.len())];
        let mut bytes = fs::read(path)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let at = rng.usize(0..bytes.len());
        let flips = self == Self::Flip || (self == Self::Documents && rng.bool());
        match self {
            _ if flips => bytes[at] ^= 1 << rng.u8(0..8),
            Self::Zero => bytes[at..].fill(0),
            _ => bytes.truncate(at),
        }
        fs::write(path, bytes)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Some(format!("{} of {name} at byte {at}", if flips { "a flipped bit".to_owned() } else { format!("{self:?}") })))
    }
}

/// The epochs of the manifests that can be read, and whose newest files are as they were written as far as the length tells.
fn manifests(state: &Path) -> Vec<u64> {
    let files = fs::read_dir(state).into_iter().flatten().flatten().map(|file| file.path());
    let whole = |path: &PathBuf| fs::read(path).is_ok_and(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
    let mut epochs: Vec<u64> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter(whole)
        .map(|path| epoch_of(&path))
        .collect();
    epochs.sort_unstable();
    epochs
}

/// The number at the end of a file's stem: the epoch of segments and manifests.
fn epoch_of(path: &Path) -> u64 {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    stem.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
