//! Writing a file so that it is whole or not there.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use sightline_failpoints::{self as failpoints, Point};

/// The suffix of what is being written: left behind by a crash, it is removed at the next start.
pub(super) const TEMPORARY: &str = "tmp";

/// Writes to a temporary name, syncs, renames, and syncs the directory.
pub(super) fn write(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    failpoints::io(Point::ManifestBefore, "")?;
    let temporary = path.with_extension(TEMPORARY);
    let mut file = io::BufWriter::new(File::create(&temporary)?);
    write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    drop(file);
    failpoints::hit(Point::ManifestWritten, "");
    fs::rename(&temporary, path)?;
    failpoints::hit(Point::ManifestRenamed, "");
    match path.parent() {
        Some(directory) => sync_directory(directory),
        None => Ok(()),
    }
}

/// Makes new, renamed and removed names of a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
