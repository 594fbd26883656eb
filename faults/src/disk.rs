//! A real file system that can be full: a small tmpfs where the state directory is.
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::child::output;

/// A mounted tmpfs; unmounted when dropped.
pub struct FullDisk {
    at: PathBuf,
}

const SIZE: &str = "size=48m";
const BALLAST: &str = "ballast";

impl FullDisk {
    /// Whether this account may mount.
    pub fn is_possible(folder: &Path) -> bool {
        let at = folder.join("mount-test");
        let possible = Self::mount(&at).is_ok();
        let _ = fs::remove_dir(at);
        possible
    }

    /// Mounts one at `at`, a new directory.
    pub fn mount(at: &Path) -> Result<Self> {
        fs::create_dir_all(at)?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(at);
        let (code, text) = output(command)?;
        if code != Some(0) {
            bail!("mount: {}", text.trim());
        }
        Ok(Self { at: at.to_owned() })
    }

    /// Fills it but for so many bytes.
    pub fn fill(&self, but: u64) -> Result<()> {
        let path = self.at.join(BALLAST);
        let mut file = File::create(&path)?;
        let block = vec![0x5a; 1 << 16];
        let mut written = 0u64;
        while file.write_all(&block).is_ok() {
            written += block.len() as u64;
        }
        file.set_len(written.saturating_sub(but))?;
        Ok(())
    }

    /// Frees it again.
    pub fn free(&self) -> Result<()> {
        let path = self.at.join(BALLAST);
        if path.exists() { Ok(fs::remove_file(path)?) } else { Ok(()) }
    }

    /// Removes all files.
    pub fn empty(&self) -> Result<()> {
        fs::read_dir(&self.at)?.flatten().try_for_each(|file| Ok(fs::remove_file(file.path())?))
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        let mut command = Command::new("umount");
        command.arg(&self.at);
        let _ = output(command);
    }
}
