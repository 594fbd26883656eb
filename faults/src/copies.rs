//! Where copies of snapshots go (`state.store`), and what can be done to them.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fastrand::Rng;

use crate::broker::var;

/// The copies of one cell.
#[derive(Clone)]
pub struct Copies {
    /// What tells the process of them.
    pub environment: Vec<(&'static str, String)>,
    /// The folder with the objects: of an S3 server, its own.
    folder: PathBuf,
}

impl Copies {
    /// In a directory beside the cell.
    pub fn in_directory(cell: &str, folder: &Path) -> Self {
        let store = folder.join("store");
        Self { environment: vec![("SIGHTLINE_STATE__STORE", store.display().to_string())], folder: store.join(cell) }
    }

    /// In the S3 that `scripts/services start s3` starts.
    pub fn in_s3(cell: &str, seed: u64) -> Result<Self> {
        let prefix = format!("f{seed}x{:x}", std::process::id());
        let environment = vec![
            ("SIGHTLINE_STATE__STORE", format!("s3://{}/{prefix}", var("SIGHTLINE_S3_BUCKET")?)),
            ("AWS_ENDPOINT", var("SIGHTLINE_S3")?),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "testsecret".to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ];
        Ok(Self { environment, folder: Path::new(&var("SIGHTLINE_S3_FOLDER")?).join(prefix).join(cell) })
    }

    /// Takes the store away, or gives it back: a file where the folder should be fails every call, also root's.
    pub fn set_away(&self, is_away: bool) -> Result<()> {
        let aside = self.folder.with_extension("away");
        if is_away {
            if let Some(parent) = self.folder.parent() {
                fs::create_dir_all(parent)?;
            }
            if self.folder.exists() {
                fs::rename(&self.folder, &aside)?;
            }
            return Ok(fs::write(&self.folder, "")?);
        }
        fs::remove_file(&self.folder)?;
        if aside.exists() {
            fs::rename(aside, &self.folder)?;
        }
        Ok(())
    }

    /// Cuts the newest manifest, or cuts or flips a pack that only the newest names: what two manifests name is there once. Nothing while there are no two.
    pub fn damage(&self, rng: &mut Rng) -> Result<Option<String>> {
        let mut manifests = self.manifests();
        let (Some((newest, packs)), Some((_, before))) = (manifests.pop(), manifests.pop()) else { return Ok(None) };
        let own: Vec<&String> = packs.difference(&before).collect();
        let of_manifest = own.is_empty() || rng.bool();
        let path = if of_manifest { newest } else { self.folder.join(own[rng.usize(0..own.len())]) };
        let mut bytes = fs::read(&path)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let at = rng.usize(0..bytes.len());
        // A manifest with a flipped bit may still be JSON, and the harness would take it for whole.
        let flips = !of_manifest && rng.bool();
        if flips {
            bytes[at] ^= 1 << rng.u8(0..8);
        } else {
            bytes.truncate(at);
        }
        fs::write(&path, bytes)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(format!("{name} {} at byte {at}", if flips { "flipped" } else { "cut" })))
    }

    /// The manifests that can be read, oldest first, and the packs that each names.
    fn manifests(&self) -> Vec<(PathBuf, BTreeSet<String>)> {
        let files = fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|file| file.path());
        let read = |path: PathBuf| {
            let stored: serde_json::Value = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            let packs = stored["manifest"]["packs"].as_array()?;
            let names = packs.iter().filter_map(|pack| Some(pack["name"].as_str()?.to_owned())).collect();
            Some((stored["manifest"]["manifest"]["epoch"].as_u64()?, path, names))
        };
        let mut manifests: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).filter_map(read).collect();
        manifests.sort();
        manifests.into_iter().map(|(_, path, packs)| (path, packs)).collect()
    }
}
