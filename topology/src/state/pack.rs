//! Packs: a snapshot's files, bundled into objects.
//!
//! A snapshot changes hundreds of small files. Each as an object of its own would be hundreds of requests; so what is new goes into one *pack*, a plain
//! sequence of pieces of files. Segments are replaced by newer ones and packs become hollow; documents grow, and their pieces many. So a new pack takes
//! over the live pieces of packs that are hollow by half or no larger than itself: what is stored stays within about twice the state, and the number of
//! packs within the logarithm of its size.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::documents;
use super::manifest::Manifest;

/// A stretch of a file of the state directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Piece {
    /// The file's name.
    pub file: String,
    /// Where it begins.
    pub from: u64,
    /// Bytes.
    pub len: u64,
    /// BLAKE3, in hexadecimal.
    pub checksum: String,
}

/// An object with pieces one after the other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pack {
    /// The object's name, used once and never again.
    pub name: String,
    /// What it holds.
    pub pieces: Vec<Piece>,
}

/// The files of a snapshot: name and length.
pub type Files = BTreeMap<String, u64>;

/// A stretch that is to be packed: file, from, length.
pub type Stretch = (String, u64, u64);

/// The files that a manifest names, as the directory has them.
///
/// # Errors
/// When a segment is not there.
pub fn files_of(directory: &Path, manifest: &Manifest) -> io::Result<Files> {
    let mut files = Files::new();
    for name in manifest.segments.iter().map(super::segment::SegmentMeta::file_name) {
        let length = fs::metadata(directory.join(&name))?.len();
        files.insert(name, length);
    }
    files.extend(manifest.documents.iter().map(|mark| (documents::file_name(mark.vnode), mark.len)));
    Ok(files)
}

impl Piece {
    /// Whether `files` are made of it. Documents are only appended, and a segment is whole.
    pub fn is_live(&self, files: &Files) -> bool {
        files.get(&self.file).is_some_and(|length| self.from + self.len <= *length)
    }
}

impl Pack {
    fn live(&self, files: &Files) -> u64 {
        self.pieces.iter().filter(|piece| piece.is_live(files)).map(|piece| piece.len).sum()
    }

    fn bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len).sum()
    }
}

/// Which of the `known` packs stay, and what a new one must hold so that all together hold `files`.
pub fn plan(known: &[Pack], files: &Files) -> (Vec<Pack>, Vec<Stretch>) {
    let mut packs: Vec<(u64, &Pack)> = known.iter().map(|pack| (pack.live(files), pack)).filter(|(live, _)| *live > 0).collect();
    packs.sort_by_key(|(live, _)| *live);
    let mut covered: BTreeMap<&str, u64> = BTreeMap::new();
    for piece in packs.iter().flat_map(|(_, pack)| &pack.pieces).filter(|piece| piece.is_live(files)) {
        let end = covered.entry(&piece.file).or_default();
        *end = (piece.from + piece.len).max(*end);
    }
    let mut taken: Vec<Stretch> = Vec::new();
    for (file, length) in files {
        let from = covered.get(file.as_str()).copied().unwrap_or(0);
        if from < *length || !covered.contains_key(file.as_str()) {
            taken.push((file.clone(), from, length - from));
        }
    }
    let mut size: u64 = taken.iter().map(|(_, _, length)| length).sum();
    let mut kept = Vec::new();
    for (live, pack) in packs {
        if live <= size || live * 2 < pack.bytes() {
            size += live;
            let pieces = pack.pieces.iter().filter(|piece| piece.is_live(files));
            taken.extend(pieces.map(|piece| (piece.file.clone(), piece.from, piece.len)));
        } else {
            kept.push(pack.clone());
        }
    }
    taken.sort_unstable();
    taken.dedup_by(|(file, from, length), (before, start, so_far)| {
        let follows = file == before && *start + *so_far == *from;
        *so_far += if follows { *length } else { 0 };
        follows
    });
    (kept, taken)
}

/// Reads stretches one after the other, and learns their checksums.
pub struct PackReader {
    directory: PathBuf,
    left: std::vec::IntoIter<Stretch>,
    open: Option<(File, Piece, u64, Box<blake3::Hasher>)>,
    pieces: Vec<Piece>,
}

impl PackReader {
    /// Reads from files in `directory`.
    pub fn new(directory: &Path, stretches: Vec<Stretch>) -> Self {
        Self { directory: directory.to_owned(), left: stretches.into_iter(), open: None, pieces: Vec::new() }
    }

    /// The pieces, when all is read.
    pub fn into_pieces(self) -> Vec<Piece> {
        self.pieces
    }
}

impl Read for PackReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.open.is_none() {
                let Some((file, from, len)) = self.left.next() else { return Ok(0) };
                let opened = File::open(self.directory.join(&file))?;
                self.open = Some((opened, Piece { file, from, len, checksum: String::new() }, 0, Box::default()));
            }
            let Some((file, piece, done, hasher)) = &mut self.open else { return Ok(0) };
            let left = usize::try_from(piece.len - *done).unwrap_or(usize::MAX);
            if left > 0 {
                let wanted = left.min(into.len());
                let read = file.read_at(&mut into[..wanted], piece.from + *done)?;
                if read == 0 && wanted > 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{} is shorter than its manifest says", piece.file)));
                }
                hasher.update(&into[..read]);
                *done += read as u64;
                return Ok(read);
            }
            piece.checksum = hasher.finalize().to_hex().to_string();
            self.pieces.extend(self.open.take().map(|(_, piece, _, _)| piece));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// The pack that a plan asks for.
    fn packed(name: usize, stretches: Vec<Stretch>) -> Pack {
        let piece = |(file, from, len)| Piece { file, from, len, checksum: String::new() };
        Pack { name: name.to_string(), pieces: stretches.into_iter().map(piece).collect() }
    }

    /// Each file once, from its beginning to its end.
    fn assert_holds(packs: &[Pack], files: &Files) {
        let mut pieces: Vec<&Piece> = packs.iter().flat_map(|pack| &pack.pieces).filter(|piece| piece.is_live(files)).collect();
        pieces.sort();
        let mut held = Files::new();
        for piece in pieces {
            let end = held.entry(piece.file.clone()).or_default();
            assert_eq!(*end, piece.from, "{piece:?}");
            *end += piece.len;
        }
        assert_eq!(&held, files);
    }

    #[test]
    fn what_a_snapshot_adds_goes_into_one_pack_and_small_packs_are_taken_over() {
        let files =
            |documents, segment: &str| Files::from([("docs-001.log".into(), documents), (segment.into(), 10), ("large.seg".into(), 900)]);
        let (kept, taken) = plan(&[], &files(100, "a-1.seg"));
        assert!(kept.is_empty());
        let first = packed(1, taken);
        let (kept, taken) = plan(std::slice::from_ref(&first), &files(130, "a-2.seg"));
        assert_eq!(kept, std::slice::from_ref(&first));
        assert_eq!(taken, [("a-2.seg".into(), 0, 10), ("docs-001.log".into(), 100, 30)]);
        let (kept, taken) = plan(&[first.clone(), packed(2, taken)], &files(160, "a-3.seg"));
        assert_eq!(kept, [first], "the second was no larger than what is new");
        assert_eq!(taken, [("a-3.seg".into(), 0, 10), ("docs-001.log".into(), 100, 60)], "its piece of documents is joined");
    }

    #[test]
    fn a_hollow_pack_is_taken_over() {
        let known = packed(1, vec![("a-1.seg".into(), 0, 100), ("b-1.seg".into(), 0, 900)]);
        let (kept, taken) = plan(&[known], &Files::from([("a-1.seg".into(), 100), ("b-2.seg".into(), 1)]));
        assert!(kept.is_empty());
        assert_eq!(taken, [("a-1.seg".into(), 0, 100), ("b-2.seg".into(), 0, 1)]);
    }

    proptest! {
        #[test]
        fn packs_hold_every_file_once_within_bounds(steps in proptest::collection::vec(proptest::collection::vec((0u8..6, 1u64..5_000), 1..6), 1..60)) {
            let (mut files, mut packs) = (Files::new(), Vec::<Pack>::new());
            for (number, changes) in steps.into_iter().enumerate() {
                for (file, size) in changes {
                    if file < 3 {
                        // A newer segment in place of the older.
                        files.retain(|name, _| !name.starts_with(&format!("{file}-")));
                        files.insert(format!("{file}-{number}.seg"), size);
                    } else {
                        *files.entry(format!("docs-{file}.log")).or_default() += size;
                    }
                }
                let (kept, taken) = plan(&packs, &files);
                packs = kept;
                packs.push(packed(number, taken));
                assert_holds(&packs, &files);
                let (bytes, live): (u64, u64) = (packs.iter().map(Pack::bytes).sum(), files.values().sum());
                prop_assert!(bytes <= 2 * live, "{bytes} for {live}");
                prop_assert!(packs.len() <= 2 + (live as f64).log2().ceil() as usize, "{} packs for {live}", packs.len());
            }
        }

        #[test]
        fn a_pack_is_read_as_its_pieces_say(stretches in proptest::collection::vec((0u64..500, 0u64..500), 0..8), step in 1usize..300) {
            let directory = tempfile::tempdir().unwrap();
            let whole: Vec<u8> = (0..1_000u32).map(|number| (number % 251) as u8).collect();
            fs::write(directory.path().join("f"), &whole).unwrap();
            let wanted: Vec<Stretch> = stretches.into_iter().map(|(from, len)| ("f".to_owned(), from, len)).collect();
            let mut reader = PackReader::new(directory.path(), wanted.clone());
            let (mut read, mut buffer) = (Vec::new(), vec![0; step]);
            loop {
                match reader.read(&mut buffer).unwrap() {
                    0 => break,
                    count => read.extend_from_slice(&buffer[..count]),
                }
            }
            let expected: Vec<&[u8]> = wanted.iter().map(|(_, from, len)| &whole[*from as usize..(from + len) as usize]).collect();
            prop_assert_eq!(read, expected.concat());
            let checksums: Vec<String> = reader.into_pieces().into_iter().map(|piece| piece.checksum).collect();
            prop_assert_eq!(checksums, expected.iter().map(|bytes| blake3::hash(bytes).to_hex().to_string()).collect::<Vec<_>>());
        }
    }
}
