//! Brings a snapshot back from a store, into a state directory that has lost its own.
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sightline_failpoints::{self as failpoints, Control, Point};

use super::documents;
use super::durable;
use super::manifest;
use super::pack::{Files, Pack, Piece};
use super::store::{StateStore, StoreError};
use super::stored::{self, StoredManifest};
use crate::epoch::Epoch;

/// Fetches the newest whole snapshot that is no newer than `gate`. Returns its epoch; nothing when the store holds none. The directory's manifest is
/// written last, so that a crash in between leaves none.
///
/// # Errors
/// When the store is away. A damaged snapshot is no error: the one before it is tried.
pub fn fetch(store: &dyn StateStore, directory: &Path, gate: Epoch) -> Result<Option<Epoch>, StoreError> {
    for epoch in stored::epochs(store)?.into_iter().filter(|epoch| *epoch <= gate) {
        let Some(stored) = stored::read(store, epoch)? else { continue };
        tracing::info!(store = store.address(), epoch = epoch.0, "fetching a snapshot: the state directory has none to go on from");
        match restore(store, directory, &stored) {
            Ok(()) => return Ok(Some(epoch)),
            Err(error) => tracing::warn!(%error, epoch = epoch.0, "this snapshot of the store cannot be used"),
        }
    }
    Ok(None)
}

fn restore(store: &dyn StateStore, directory: &Path, stored: &StoredManifest) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError {
        what: format!("restore the snapshot of epoch {}", stored.manifest.epoch.0),
        address: store.address(),
        message: error.to_string(),
    };
    let files = wanted(stored);
    remove_documents(directory).map_err(failed)?;
    let mut written = BTreeMap::new();
    for pack in stored.packs.iter().filter(|pack| pack.pieces.iter().any(|piece| piece.is_live(&files))) {
        let mut writer = PackWriter { directory, files: &files, pack, piece: 0, done: 0, hasher: Box::default(), written: &mut written };
        failpoints::io(Point::StoreFetch, "").map_err(failed)?;
        store.get(&pack.name, &mut writer)?;
        writer.end().map_err(failed)?;
    }
    if written != files {
        let lacking = files.iter().find(|(file, length)| written.get(*file) != Some(*length)).map(|(file, _)| file.as_str());
        return Err(failed(io::Error::other(format!("its packs do not hold all of {}", lacking.unwrap_or("a file")))));
    }
    let synced = files.iter().try_for_each(|(file, length)| {
        let file = File::options().write(true).open(directory.join(file))?;
        // A damaged one of that name may have been longer.
        file.set_len(*length)?;
        file.sync_data()
    });
    synced.and_then(|()| durable::sync_directory(directory)).map_err(failed)?;
    failpoints::hit(Point::StoreFetched, "");
    manifest::write(directory, &stored.manifest).map_err(|error| failed(io::Error::other(error)))
}

/// The files that the manifest names. A segment's length is its piece's.
fn wanted(stored: &StoredManifest) -> Files {
    let pieces = stored.packs.iter().flat_map(|pack| &pack.pieces);
    let lengths: BTreeMap<&str, u64> = pieces.map(|piece| (piece.file.as_str(), piece.len)).collect();
    let segments = stored.manifest.segments.iter().map(super::segment::SegmentMeta::file_name);
    let mut files: Files = segments.map(|name| (name.clone(), lengths.get(name.as_str()).copied().unwrap_or(0))).collect();
    files.extend(stored.manifest.documents.iter().map(|mark| (documents::file_name(mark.vnode), mark.len)));
    files
}

/// What is left of the lost state would be longer than its marks.
fn remove_documents(directory: &Path) -> io::Result<()> {
    for vnode in 0..=u8::MAX {
        match fs::remove_file(directory.join(documents::file_name(vnode))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Takes a pack apart, and checks each piece.
struct PackWriter<'a> {
    directory: &'a Path,
    files: &'a Files,
    pack: &'a Pack,
    /// The piece that comes next, and how much of it has come.
    piece: usize,
    done: u64,
    hasher: Box<blake3::Hasher>,
    /// How much of each file is there.
    written: &'a mut BTreeMap<String, u64>,
}

impl PackWriter<'_> {
    /// Ends pieces that are complete.
    fn complete(&mut self) -> io::Result<()> {
        while let Some(piece) = self.pack.pieces.get(self.piece)
            && self.done == piece.len
        {
            if self.hasher.finalize().to_hex().as_str() != piece.checksum && !failpoints::without(Control::TrustPacks) {
                return Err(damaged(&self.pack.name, piece, "checksum"));
            }
            if piece.is_live(self.files) {
                *self.written.entry(piece.file.clone()).or_default() += piece.len;
            }
            self.hasher.reset();
            (self.piece, self.done) = (self.piece + 1, 0);
        }
        Ok(())
    }

    fn end(mut self) -> io::Result<()> {
        self.complete()?;
        match self.pack.pieces.get(self.piece) {
            Some(piece) => Err(damaged(&self.pack.name, piece, "the pack ends before it")),
            None => Ok(()),
        }
    }
}

impl Write for PackWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.complete()?;
        let Some(piece) = self.pack.pieces.get(self.piece) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is longer than its pieces", self.pack.name)));
        };
        let taken = &bytes[..bytes.len().min(usize::try_from(piece.len - self.done).unwrap_or(usize::MAX))];
        self.hasher.update(taken);
        if piece.is_live(self.files) {
            let path = self.directory.join(&piece.file);
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            file.write_all_at(taken, piece.from + self.done)?;
        }
        self.done += taken.len() as u64;
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn damaged(pack: &str, piece: &Piece, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{pack}: {} from byte {} is damaged ({what})", piece.file, piece.from))
}
