//! The files below paths.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file, and what it is called: its path below the folder that was named.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct InputFile {
    /// Where it is.
    pub path: PathBuf,
    /// In positions of dead letters: no path of this machine.
    pub name: String,
}

/// The files below paths, sorted.
pub fn files(paths: &[PathBuf]) -> Result<Vec<InputFile>> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path).with_context(|| format!("failed to read {}", path.display()))?;
        if metadata.is_dir() {
            below(path, "", &mut found)?;
        } else {
            found.push(InputFile { path: path.clone(), name: name(path) });
        }
    }
    Ok(found)
}

fn below(folder: &Path, prefix: &str, found: &mut Vec<InputFile>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| !is_hidden(path)).collect();
    paths.sort();
    for path in paths {
        let name = format!("{prefix}{}", name(&path));
        if path.is_dir() {
            below(&path, &format!("{name}/"), found)?;
        } else {
            found.push(InputFile { path, name });
        }
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy().into_owned())
}

fn is_hidden(path: &Path) -> bool {
    name(path).starts_with('.')
}
