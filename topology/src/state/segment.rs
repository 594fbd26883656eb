//! One vnode of a table, as a file. `docs/snapshot.md` draws it.
//!
//! ```text
//! magic "SLSG" | version u16 | table u8 | vnode u8 | epoch u64 | entries u64 | entry … | BLAKE3 of all before (32 bytes)
//! entry: key length u32 | value length u32 | key | value            integers little-endian, keys and values in postcard
//! ```
//! A segment is written once and never changed. It is whole, or its checksum says so: truncation, torn writes and flipped bits are
//! [`SegmentError::Damaged`], never a wrong table.
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::durable;
use crate::epoch::Epoch;

const MAGIC: &[u8; 4] = b"SLSG";
const VERSION: u16 = 1;
const HEADER: usize = 4 + 2 + 1 + 1 + 8 + 8;
const CHECKSUM: usize = 32;

/// A segment that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The disk refused: full, or away.
    #[error("failed to access segment {path}: {source}")]
    Io {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// The file is not what was written. The older manifest, or a rebuild, gets round it.
    #[error("segment {path} is damaged ({what}); an older snapshot will be used, and the journal replayed from there")]
    Damaged {
        /// File.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// An entry is not of this table's types: written by another version without a change of fingerprint.
    #[error("a stored entry cannot be read: {0}")]
    Entry(String),
}

/// An entry as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Entry {
    /// Encodes an entry; nothing if serde refuses it, which no type of a table does.
    pub fn encode(key: &impl Serialize, value: &impl Serialize) -> Option<Self> {
        Some(Self { key: postcard::to_allocvec(key).ok()?, value: postcard::to_allocvec(value).ok()? })
    }

    /// Decodes it.
    ///
    /// # Errors
    /// [`SegmentError::Entry`].
    pub fn decode<K: DeserializeOwned, V: DeserializeOwned>(&self) -> Result<(K, V), SegmentError> {
        let failed = |error: postcard::Error| SegmentError::Entry(error.to_string());
        Ok((postcard::from_bytes(&self.key).map_err(failed)?, postcard::from_bytes(&self.value).map_err(failed)?))
    }
}

/// A segment, as a manifest names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct SegmentMeta {
    /// Which table.
    pub table: u8,
    /// Which vnode.
    pub vnode: u8,
    /// As of which epoch.
    pub epoch: Epoch,
}

impl SegmentMeta {
    /// The file's name.
    pub fn file_name(&self) -> String {
        format!("{:02}-{:03}-{}.seg", self.table, self.vnode, self.epoch.0)
    }
}

/// Writes a segment into `directory`.
///
/// # Errors
/// [`SegmentError::Io`].
pub fn write(directory: &Path, meta: &SegmentMeta, entries: &[Entry]) -> Result<(), SegmentError> {
    let path = directory.join(meta.file_name());
    let written = durable::write(&path, |file| {
        let mut hasher = blake3::Hasher::new();
        let mut put = |bytes: &[u8]| {
            hasher.update(bytes);
            file.write_all(bytes)
        };
        put(MAGIC)?;
        put(&VERSION.to_le_bytes())?;
        put(&[meta.table, meta.vnode])?;
        put(&meta.epoch.0.to_le_bytes())?;
        put(&(entries.len() as u64).to_le_bytes())?;
        for entry in entries {
            put(&(entry.key.len() as u32).to_le_bytes())?;
            put(&(entry.value.len() as u32).to_le_bytes())?;
            put(&entry.key)?;
            put(&entry.value)?;
        }
        let checksum = *hasher.finalize().as_bytes();
        file.write_all(&checksum)
    });
    written.map_err(|source| SegmentError::Io { path, source })
}

/// Reads a segment from `directory`.
///
/// # Errors
/// [`SegmentError`].
pub fn read(directory: &Path, meta: &SegmentMeta) -> Result<Vec<Entry>, SegmentError> {
    let path = directory.join(meta.file_name());
    let bytes = fs::read(&path).map_err(|source| SegmentError::Io { path: path.clone(), source })?;
    decode(&bytes, meta).map_err(|what| SegmentError::Damaged { path, what })
}

fn decode(bytes: &[u8], meta: &SegmentMeta) -> Result<Vec<Entry>, &'static str> {
    let body = bytes.len().checked_sub(CHECKSUM).filter(|body| *body >= HEADER).ok_or("too short")?;
    let (body, checksum) = bytes.split_at(body);
    if blake3::hash(body).as_bytes() != checksum {
        return Err("checksum");
    }
    let mut rest = body;
    if take(&mut rest, 4)? != MAGIC || take(&mut rest, 2)? != VERSION.to_le_bytes() {
        return Err("not a segment of this version");
    }
    if take(&mut rest, 2)? != [meta.table, meta.vnode] || take(&mut rest, 8)? != meta.epoch.0.to_le_bytes() {
        return Err("another table, vnode or epoch than its name says");
    }
    let count = number(take(&mut rest, 8)?);
    let mut entries = Vec::with_capacity(count.min(1 << 20));
    for _ in 0..count {
        let (key, value) = (number(take(&mut rest, 4)?), number(take(&mut rest, 4)?));
        entries.push(Entry { key: take(&mut rest, key)?.to_vec(), value: take(&mut rest, value)?.to_vec() });
    }
    if rest.is_empty() { Ok(entries) } else { Err("bytes after the last entry") }
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Result<&'a [u8], &'static str> {
    let (taken, left) = rest.split_at_checked(bytes).ok_or("ends inside an entry")?;
    *rest = left;
    Ok(taken)
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn meta() -> SegmentMeta {
        SegmentMeta { table: 1, vnode: 7, epoch: Epoch(42) }
    }

    proptest! {
        #[test]
        fn a_segment_reads_back_as_written(pairs in proptest::collection::vec((any::<u32>(), ".*"), 0..50)) {
            let directory = tempfile::tempdir().unwrap();
            let entries: Vec<_> = pairs.iter().map(|(key, value)| Entry::encode(key, value).unwrap()).collect();
            write(directory.path(), &meta(), &entries).unwrap();
            let read = read(directory.path(), &meta()).unwrap();
            let decoded: Vec<(u32, String)> = read.iter().map(|entry| entry.decode().unwrap()).collect();
            prop_assert_eq!(decoded, pairs);
        }

        #[test]
        fn a_damaged_segment_is_an_error_and_never_another_table(at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<bool>()) {
            let directory = tempfile::tempdir().unwrap();
            let entries: Vec<_> = (0u32..20).map(|key| Entry::encode(&key, &format!("value {key}")).unwrap()).collect();
            write(directory.path(), &meta(), &entries).unwrap();
            let path = directory.path().join(meta().file_name());
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            fs::write(&path, &bytes).unwrap();
            let damaged = matches!(read(directory.path(), &meta()), Err(SegmentError::Damaged { .. }));
            prop_assert!(damaged);
        }
    }
}
