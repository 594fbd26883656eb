//! One vnode of a table, as a file. `docs/snapshot.md` draws it.
//!
//! ```text
//! magic "SLSG" | version u16 | table u8 | vnode u8 | epoch u64 | entries u64 | entry … | BLAKE3 of all before (32 bytes)
//! entry: key length u32 | value length u32 | key | value            integers little-endian, keys and values in postcard
//! ```
//! It holds all of the vnode, or what changed since it was written whole; the manifest says which. There, a value length of 2³² − 1 is a key that went.
//!
//! A segment is written once and never changed, and counts for nothing until a manifest names it; so it needs no rename. It is whole, or its
//! checksum says so: truncation, torn writes and flipped bits are [`SegmentError::Damaged`], never a wrong table.
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sightline_failpoints::{self as failpoints, Control, Point};

use crate::epoch::Epoch;

const MAGIC: &[u8; 4] = b"SLSG";
/// Also raised when a table holds something else: postcard does not say what it is.
pub(crate) const VERSION: u16 = 3;
const HEADER: usize = 4 + 2 + 1 + 1 + 8 + 8;
const LENGTHS: usize = 4 + 4;
const CHECKSUM: usize = 32;
/// The value length of a key that went.
const GONE: u32 = u32::MAX;

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
    /// An entry is not of this table's types: written by another version without a change of fingerprint. Or too large to be written.
    #[error(
        "an entry of the state cannot be read or written: {0}; remove the state directory and start again; if that is refused, run `sightline topology rebuild`"
    )]
    Entry(String),
}

/// Entries on their way into a segment, already as the file holds them: one allocation a vnode, not two an entry.
#[derive(Debug, Default)]
pub struct Entries {
    count: u64,
    bytes: Vec<u8>,
}

impl Entries {
    /// Adds an entry, or a key that went. Keys must come in order, each once, so that the same table is the same file.
    ///
    /// # Errors
    /// [`SegmentError::Entry`] when serde refuses it, or a key or value is 4 GiB or larger.
    pub fn push(&mut self, key: &impl Serialize, value: Option<&impl Serialize>) -> Result<(), SegmentError> {
        let lengths = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTHS]);
        let key = self.append(key)?;
        let value = value.map_or(Ok(GONE.to_le_bytes()), |value| self.append(value))?;
        self.bytes[lengths..lengths + 4].copy_from_slice(&key);
        self.bytes[lengths + 4..lengths + 8].copy_from_slice(&value);
        self.count += 1;
        Ok(())
    }

    fn append(&mut self, part: &impl Serialize) -> Result<[u8; 4], SegmentError> {
        let start = self.bytes.len();
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(part, bytes).map_err(|error| SegmentError::Entry(error.to_string()))?;
        let length = u32::try_from(self.bytes.len() - start).ok().filter(|length| *length < GONE);
        Ok(length.ok_or_else(|| SegmentError::Entry("4 GiB or larger".to_owned()))?.to_le_bytes())
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A segment that was read, and found whole.
#[derive(Debug)]
pub struct Segment {
    bytes: Vec<u8>,
    count: usize,
}

impl Segment {
    /// How many entries it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Its entries, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut rest = Cursor { bytes: &self.bytes, at: HEADER };
        (0..self.count).map_while(move |_| rest.entry().ok())
    }
}

/// An entry of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    key: &'a [u8],
    value: Option<&'a [u8]>,
}

impl Entry<'_> {
    /// Decodes it; no value for a key that went.
    ///
    /// # Errors
    /// [`SegmentError::Entry`].
    pub fn decode<K: DeserializeOwned, V: DeserializeOwned>(&self) -> Result<(K, Option<V>), SegmentError> {
        let failed = |error: postcard::Error| SegmentError::Entry(error.to_string());
        let value = self.value.map(postcard::from_bytes).transpose().map_err(failed)?;
        Ok((postcard::from_bytes(self.key).map_err(failed)?, value))
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
    /// All of the vnode, or what changed since it was written whole.
    pub whole: bool,
}

impl SegmentMeta {
    /// The file's name.
    pub fn file_name(&self) -> String {
        format!("{:02}-{:03}-{}.seg", self.table, self.vnode, self.epoch.0)
    }

    /// The epoch in a file's name, if the file is a segment.
    pub(super) fn epoch_of(file_name: &str) -> Option<Epoch> {
        file_name.strip_suffix(".seg")?.rsplit('-').next()?.parse().ok().map(Epoch)
    }
}

/// Writes a segment into `directory`, without waiting for the disk: [`sync`] does.
///
/// # Errors
/// [`SegmentError::Io`].
pub fn write(directory: &Path, meta: &SegmentMeta, entries: &Entries) -> Result<(), SegmentError> {
    let path = directory.join(meta.file_name());
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&[meta.table, meta.vnode]);
    header.extend_from_slice(&meta.epoch.0.to_le_bytes());
    header.extend_from_slice(&entries.count.to_le_bytes());
    let checksum = blake3::Hasher::new().update(&header).update(&entries.bytes).finalize();
    let written = failpoints::io(Point::SegmentBefore, meta.table).and_then(|()| File::create(&path)).and_then(|mut file| {
        file.write_all(&header)?;
        file.write_all(&entries.bytes)?;
        file.write_all(checksum.as_bytes())
    });
    written.map_err(|source| SegmentError::Io { path, source })
}

/// Waits until a segment is on the disk. Its directory must be synced after it.
///
/// # Errors
/// [`SegmentError::Io`].
pub fn sync(directory: &Path, meta: &SegmentMeta) -> Result<(), SegmentError> {
    let path = directory.join(meta.file_name());
    let synced: io::Result<()> = File::open(&path).and_then(|file| file.sync_data());
    synced.map_err(|source| SegmentError::Io { path, source })
}

/// Reads a segment from `directory`: wholly checked before the first entry is given.
///
/// # Errors
/// [`SegmentError`].
pub fn read(directory: &Path, meta: &SegmentMeta) -> Result<Segment, SegmentError> {
    let path = directory.join(meta.file_name());
    let bytes = fs::read(&path).map_err(|source| SegmentError::Io { path: path.clone(), source })?;
    check(bytes, meta).map_err(|what| SegmentError::Damaged { path, what })
}

fn check(mut bytes: Vec<u8>, meta: &SegmentMeta) -> Result<Segment, &'static str> {
    let body = bytes.len().checked_sub(CHECKSUM).filter(|body| *body >= HEADER).ok_or("too short")?;
    let checksum = bytes.split_off(body);
    if blake3::hash(&bytes).as_bytes()[..] != checksum[..] && !failpoints::without(Control::TrustChecksums) {
        return Err("checksum");
    }
    let mut rest = Cursor { bytes: &bytes, at: 0 };
    if rest.take(4)? != MAGIC || rest.take(2)? != VERSION.to_le_bytes() {
        return Err("not a segment of this version");
    }
    if rest.take(2)? != [meta.table, meta.vnode] || rest.take(8)? != meta.epoch.0.to_le_bytes() {
        return Err("another table, vnode or epoch than its name says");
    }
    let count = rest.number(8)?;
    for _ in 0..count {
        rest.entry()?;
    }
    if rest.at == bytes.len() { Ok(Segment { bytes, count }) } else { Err("bytes after the last entry") }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let end = self.at.checked_add(length).ok_or("ends inside an entry")?;
        let taken = self.bytes.get(self.at..end).ok_or("ends inside an entry")?;
        self.at = end;
        Ok(taken)
    }

    /// A little-endian integer of up to 8 bytes.
    fn number(&mut self, length: usize) -> Result<usize, &'static str> {
        Ok(self.take(length)?.iter().rev().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    }

    fn entry(&mut self) -> Result<Entry<'a>, &'static str> {
        let (key, value) = (self.number(4)?, self.number(4)?);
        let key = self.take(key)?;
        let value = if value == GONE as usize { None } else { Some(self.take(value)?) };
        Ok(Entry { key, value })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn meta() -> SegmentMeta {
        SegmentMeta { table: 1, vnode: 7, epoch: Epoch(42), whole: true }
    }

    fn entries<K: Serialize, V: Serialize>(pairs: impl IntoIterator<Item = (K, V)>) -> Entries {
        let mut entries = Entries::default();
        pairs.into_iter().for_each(|(key, value)| entries.push(&key, Some(&value)).unwrap());
        entries
    }

    fn decoded(directory: &Path) -> Vec<(u32, Option<String>)> {
        read(directory, &meta()).unwrap().iter().map(|entry| entry.decode().unwrap()).collect()
    }

    fn damaged(path: &Path, bytes: &[u8]) -> &'static str {
        fs::write(path, bytes).unwrap();
        match read(path.parent().unwrap(), &meta()) {
            Err(SegmentError::Damaged { what, .. }) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_segment_is_written_as_docs_snapshot_md_draws_it_and_the_golden_file_still_reads() {
        let directory = tempfile::tempdir().unwrap();
        let pairs = [(1u32, "one"), (300, "three hundred")];
        write(directory.path(), &meta(), &entries(pairs)).unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/segment");
        assert_eq!(fs::read(directory.path().join(meta().file_name())).unwrap(), fs::read(golden.join(meta().file_name())).unwrap());
        assert_eq!(decoded(&golden), pairs.map(|(key, value)| (key, Some(value.to_owned()))));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(meta().file_name());
        write(directory.path(), &meta(), &entries([(1u32, "one")])).unwrap();
        let whole = fs::read(&path).unwrap();
        let resealed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut body = whole[..whole.len() - CHECKSUM].to_vec();
            change(&mut body);
            let checksum = blake3::hash(&body);
            body.extend_from_slice(checksum.as_bytes());
            body
        };
        assert_eq!(damaged(&path, &[]), "too short");
        assert_eq!(damaged(&path, &whole[..whole.len() - 1]), "checksum");
        assert_eq!(damaged(&path, &resealed(&|body| body[4] = 9)), "not a segment of this version");
        assert_eq!(damaged(&path, &resealed(&|body| body[7] = 8)), "another table, vnode or epoch than its name says");
        assert_eq!(damaged(&path, &resealed(&|body| body[16..24].fill(0xff))), "ends inside an entry");
        assert_eq!(damaged(&path, &resealed(&|body| body[24..28].fill(0xff))), "ends inside an entry");
        assert_eq!(damaged(&path, &resealed(&|body| body.push(0))), "bytes after the last entry");
    }

    #[test]
    fn an_entry_of_other_types_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &meta(), &entries([(1u32, [0xffu8; 8])])).unwrap();
        let read = read(directory.path(), &meta()).unwrap();
        let entry = read.iter().next().unwrap();
        assert!(matches!(entry.decode::<u32, String>(), Err(SegmentError::Entry(_))));
    }

    proptest! {
        #[test]
        fn a_segment_reads_back_as_written(pairs in proptest::collection::vec((any::<u32>(), proptest::option::of(".*")), 0..50)) {
            let directory = tempfile::tempdir().unwrap();
            let mut entries = Entries::default();
            pairs.iter().for_each(|(key, value)| entries.push(key, value.as_ref()).unwrap());
            write(directory.path(), &meta(), &entries).unwrap();
            prop_assert_eq!(decoded(directory.path()), pairs);
        }

        #[test]
        fn a_damaged_segment_is_an_error_and_never_another_table(at in any::<prop::sample::Index>(), flip in 1u8.., torn in 0..3) {
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), &meta(), &entries((0u32..20).map(|key| (key, format!("value {key}"))))).unwrap();
            let path = directory.path().join(meta().file_name());
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            match torn {
                0 => bytes.truncate(at),
                // What a crash of the machine leaves of a file whose length was written before its bytes.
                1 => bytes[at..].fill(0),
                _ => bytes[at] ^= flip,
            }
            damaged(&path, &bytes);
        }
    }
}
