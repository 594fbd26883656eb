//! Whose a state directory is.
//!
//! The log fences the journal and the lanes; nothing fences a directory. A process that was stopped in the middle of its start, and replaced, would go on to
//! cut documents back and to remove snapshots that its successor has written since. So whoever takes the journal over leaves its mark in the directory, and
//! looks whether it is still there before it cuts or removes anything.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sightline_failpoints::{self as failpoints, Control};

/// A mark; of all processes of a cell the same.
pub type OwnerId = [u8; 16];

/// The one who has taken a directory over.
#[derive(Clone, Debug)]
pub struct Owner {
    directory: PathBuf,
    id: OwnerId,
}

const FILE: &str = "owner";

impl Owner {
    /// Takes a directory over. It need not outlive a crash of the machine, for then nobody is left who could be wrong.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn take(directory: &Path) -> io::Result<Self> {
        let mut id = OwnerId::default();
        getrandom::fill(&mut id).map_err(io::Error::other)?;
        let written = directory.join(format!("{FILE}-{:032x}", u128::from_be_bytes(id)));
        fs::write(&written, id)?;
        fs::rename(written, directory.join(FILE))?;
        Ok(Self::of(directory, id))
    }

    /// Another process of a cell whose first has taken the directory over.
    pub fn of(directory: &Path, id: OwnerId) -> Self {
        Self { directory: directory.to_owned(), id }
    }

    /// Its mark.
    pub fn id(&self) -> OwnerId {
        self.id
    }

    /// Whether it still is the owner.
    ///
    /// # Errors
    /// When it is not, or that cannot be told.
    pub fn check(&self) -> io::Result<()> {
        match failpoints::without(Control::NoOwner) || fs::read(self.directory.join(FILE))? == self.id {
            true => Ok(()),
            false => Err(io::Error::other("another process of the cell has taken the state directory over; this one must stop")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_to_take_a_directory_owns_it() {
        let directory = tempfile::tempdir().unwrap();
        let first = Owner::take(directory.path()).unwrap();
        first.check().unwrap();
        let second = Owner::take(directory.path()).unwrap();
        assert!(first.check().unwrap_err().to_string().contains("another process"));
        Owner::of(directory.path(), second.id()).check().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
    }
}
