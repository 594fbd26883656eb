//! The documents of claims, on disk: written when a claim comes, read again when an older version comes back to power.
//!
//! One append-only file a vnode, `docs-<vnode>.log`, so that rescaling moves nothing:
//! ```text
//! document: length u32 | XXH3-64 of the bytes, low half u32 | bytes          integers little-endian
//! ```
//! The end of a file is in memory until 16 KiB are together. A snapshot marks the lengths; a restart cuts the files back to them,
//! and the replay appends again what came after.
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sightline_failpoints::{self as failpoints, Point};
use xxhash_rust::xxh3::xxh3_64;

use super::snapshot::SnapshotSender;
use super::table::{VNODES, vnode_of};
use crate::epoch::Epoch;

/// How much of a file stays in memory: large enough that a write costs little a document, small enough for 256 of them.
const TAIL: usize = 16 << 10;
const HEADER: usize = 8;

/// Where a document is. Bytes, not numbers, so that it takes eleven of them in a row of a table and fits where others leave a gap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct DocRef {
    offset: [u8; 6],
    len: [u8; 4],
    vnode: u8,
}

impl DocRef {
    pub(crate) fn new(offset: u64, len: u32, vnode: u8) -> Self {
        let [a, b, c, d, e, f, ..] = offset.to_le_bytes();
        debug_assert!(offset < 1 << 48, "a vnode's documents are less than 256 TiB");
        Self { offset: [a, b, c, d, e, f], len: len.to_le_bytes(), vnode }
    }

    fn offset(self) -> u64 {
        let [a, b, c, d, e, f] = self.offset;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    fn len(self) -> u32 {
        u32::from_le_bytes(self.len)
    }
}

/// The length of one vnode's file at a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Which.
    pub vnode: u8,
    /// Bytes.
    pub len: u64,
}

/// The documents of one worker's vnodes.
pub struct Documents {
    directory: PathBuf,
    files: Vec<DocumentFile>,
    snapshots: SnapshotSender,
}

#[derive(Default)]
struct DocumentFile {
    file: Option<File>,
    written: u64,
    tail: Vec<u8>,
}

/// The name of a vnode's file.
pub fn file_name(vnode: u8) -> String {
    format!("docs-{vnode:03}.log")
}

impl Documents {
    /// Opens the files of `owned` vnodes in `directory`, cut back to `marks`; a vnode without a mark is emptied.
    ///
    /// # Errors
    /// When the directory cannot be written, or a file is shorter than its mark.
    pub fn open(directory: &Path, owned: impl Fn(u8) -> bool, marks: &[Mark], snapshots: SnapshotSender) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut files: Vec<DocumentFile> = (0..VNODES).map(|_| DocumentFile::default()).collect();
        for vnode in (0..=u8::MAX).filter(|vnode| owned(*vnode)) {
            let path = directory.join(file_name(vnode));
            let mark = marks.iter().find(|mark| mark.vnode == vnode).map_or(0, |mark| mark.len);
            if mark == 0 && !path.exists() {
                continue;
            }
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
            if file.metadata()?.len() < mark {
                let advice = format!(
                    "{} is shorter than its snapshot says; remove the state directory and start again; if that is refused, run `sightline topology rebuild`",
                    path.display()
                );
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, advice));
            }
            file.set_len(mark)?;
            files[usize::from(vnode)] = DocumentFile { file: Some(file), written: mark, tail: Vec::new() };
        }
        Ok(Self { directory: directory.to_owned(), files, snapshots })
    }

    /// Appends a document of the key with this route. It is smaller than 4 GiB, as the bounds on input see to.
    pub fn append(&mut self, route: u64, bytes: &[u8]) -> DocRef {
        let vnode = vnode_of(route);
        let file = &mut self.files[usize::from(vnode)];
        debug_assert!(u32::try_from(bytes.len()).is_ok(), "limits keep documents below 4 GiB");
        let at = DocRef::new(file.written + file.tail.len() as u64, bytes.len() as u32, vnode);
        file.tail.extend_from_slice(&at.len);
        file.tail.extend_from_slice(&(xxh3_64(bytes) as u32).to_le_bytes());
        file.tail.extend_from_slice(bytes);
        if file.tail.len() >= TAIL
            && let Err(error) = file.flush(&self.directory, vnode)
        {
            // The documents stay in memory, and the snapshot that needs them on disk will not be taken.
            tracing::error!(%error, vnode, "failed to write documents; free space in the state directory");
        }
        at
    }

    /// Reads a document.
    ///
    /// # Panics
    /// When the file does not hold what was written: the state is then worth nothing, and the process must end before it writes on.
    pub fn text(&self, at: DocRef) -> String {
        self.read(at).unwrap_or_else(|error| {
            let file = self.directory.join(file_name(at.vnode));
            panic!(
                "{} is damaged at byte {}: {error}; remove the state directory and start again; if that is refused, run `sightline topology rebuild`",
                file.display(),
                at.offset()
            )
        })
    }

    fn read(&self, at: DocRef) -> Result<String, String> {
        let file = &self.files[usize::from(at.vnode)];
        let total = HEADER + at.len() as usize;
        let mut bytes = vec![0; total];
        if at.offset() >= file.written {
            let start = (at.offset() - file.written) as usize;
            bytes.copy_from_slice(file.tail.get(start..start + total).ok_or("out of range")?);
        } else {
            file.file.as_ref().ok_or("no file")?.read_exact_at(&mut bytes, at.offset()).map_err(|error| error.to_string())?;
        }
        let (header, document) = bytes.split_at(HEADER);
        if header[..4] != at.len || header[4..] != (xxh3_64(document) as u32).to_le_bytes() {
            return Err("checksum".into());
        }
        String::from_utf8(bytes.split_off(HEADER)).map_err(|error| error.to_string())
    }

    /// Writes all to the files, and tells the snapshot of `epoch` how long they are.
    pub fn mark(&mut self, epoch: Epoch) {
        let mut marks = Vec::new();
        for (vnode, file) in (0..=u8::MAX).zip(&mut self.files) {
            if let Err(error) = file.flush(&self.directory, vnode) {
                tracing::error!(%error, vnode, "failed to write documents; no snapshot is taken until there is space in the state directory");
                return self.snapshots.give_up(epoch);
            }
            if file.written > 0 {
                marks.push(Mark { vnode, len: file.written });
            }
        }
        self.snapshots.documents(epoch, marks);
    }
}

impl DocumentFile {
    fn flush(&mut self, directory: &Path, vnode: u8) -> io::Result<()> {
        if self.tail.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            let path = directory.join(file_name(vnode));
            // Not emptied: at the start there was none, so one that is there is of a process that has replaced this one, and begins with the same bytes.
            self.file = Some(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?);
        }
        if let Some(file) = &self.file {
            failpoints::io(Point::DocumentsFlush, vnode)?;
            // At an explicit offset: a write that failed half-way is written over.
            file.write_all_at(&self.tail, self.written)?;
            self.written += self.tail.len() as u64;
            self.tail.clear();
            self.tail.shrink_to(TAIL);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::snapshot::snapshot_channel;

    const ROUTE: u64 = 7 << 56;

    fn open(directory: &Path, marks: &[Mark]) -> io::Result<Documents> {
        // Nobody listens: what is sent is dropped.
        Documents::open(directory, |vnode| vnode % 2 == 1, marks, snapshot_channel().0)
    }

    fn marks(documents: &Documents) -> Vec<Mark> {
        let marks = (0..=u8::MAX).zip(&documents.files).map(|(vnode, file)| Mark { vnode, len: file.written });
        marks.filter(|mark| mark.len > 0).collect()
    }

    fn document(number: usize) -> String {
        format!("{number} ").repeat(number * 37 % 500)
    }

    #[test]
    fn a_document_reads_the_same_from_memory_from_the_file_and_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut documents = open(directory.path(), &[]).unwrap();
        let at: Vec<DocRef> = (0..1_000).map(|number| documents.append(ROUTE, document(number).as_bytes())).collect();
        let check = |documents: &Documents| (0..1_000).for_each(|number| assert_eq!(documents.text(at[number]), document(number)));
        assert!(!documents.files[7].tail.is_empty() && documents.files[7].written > 0, "some are in the file, some in memory");
        check(&documents);
        documents.mark(Epoch(1));
        check(&documents);
        check(&open(directory.path(), &marks(&documents)).unwrap());
    }

    #[test]
    fn a_restart_cuts_off_what_came_after_the_snapshot() {
        let directory = tempfile::tempdir().unwrap();
        let mut documents = open(directory.path(), &[]).unwrap();
        let kept = documents.append(ROUTE, b"kept");
        documents.mark(Epoch(1));
        let marks = marks(&documents);
        let lost = documents.append(ROUTE, b"lost");
        documents.append(ROUTE + (2 << 56), b"of a vnode that the snapshot does not know");
        documents.mark(Epoch(2));
        let mut restarted = open(directory.path(), &marks).unwrap();
        assert_eq!(restarted.text(kept), "kept");
        assert_eq!(restarted.append(ROUTE, b"once more"), DocRef { len: 9u32.to_le_bytes(), ..lost });
        assert_eq!(fs::metadata(directory.path().join(file_name(9))).unwrap().len(), 0);
    }

    #[test]
    fn a_file_shorter_than_its_mark_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut documents = open(directory.path(), &[]).unwrap();
        documents.append(ROUTE, b"document");
        documents.mark(Epoch(1));
        let error = open(directory.path(), &[Mark { vnode: 7, len: 17 }]).err().unwrap();
        assert!(error.to_string().contains("docs-007.log is shorter"), "{error}");
    }

    #[test]
    #[should_panic(expected = "docs-007.log is damaged at byte 0: checksum; remove the state directory")]
    fn a_damaged_document_ends_the_process() {
        let directory = tempfile::tempdir().unwrap();
        let mut documents = open(directory.path(), &[]).unwrap();
        let at = documents.append(ROUTE, b"document");
        documents.mark(Epoch(1));
        let path = directory.path().join(file_name(7));
        let mut bytes = fs::read(&path).unwrap();
        bytes[10] ^= 1;
        fs::write(&path, bytes).unwrap();
        documents.text(at);
    }

    #[test]
    fn a_reference_is_eleven_bytes() {
        assert_eq!(std::mem::size_of::<DocRef>(), 11);
    }

    #[test]
    fn a_process_that_was_replaced_cuts_nothing_of_its_successor() {
        let directory = tempfile::tempdir().unwrap();
        let (mut old, mut new) = (open(directory.path(), &[]).unwrap(), open(directory.path(), &[]).unwrap());
        old.append(ROUTE, b"both have this");
        let places = [&b"both have this"[..], b"only the newer has this"].map(|document| new.append(ROUTE, document));
        new.mark(Epoch(2));
        old.mark(Epoch(1));
        assert_eq!(places.map(|at| new.text(at)), ["both have this", "only the newer has this"]);
    }
}
