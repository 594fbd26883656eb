//! Where the data is: beside the repository, or where `SIGHTLINE_DATA` says.
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use sightline_formats::{IntelFormat, IntelItem, IntelObject, Limits, PackageDigest, Poison, parse_intel};

/// The path of a file or folder of the data; says so when there is none, and only then may a test be skipped.
pub fn path(name: &str) -> Option<PathBuf> {
    let root =
        std::env::var_os("SIGHTLINE_DATA").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no {name} in the data folder; set SIGHTLINE_DATA to it");
    None
}

/// A file's bytes, unpacked when its name ends in `.xz`.
pub fn read(path: &Path) -> Bytes {
    if path.extension().is_some_and(|extension| extension == "xz") {
        let output = Command::new("xz").arg("-dc").arg(path).output().unwrap();
        assert!(output.status.success(), "xz could not read {}", path.display());
        return output.stdout.into();
    }
    std::fs::read(path).unwrap().into()
}

/// The lines of a file as JSON.
pub fn lines(path: &Path) -> Vec<serde_json::Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A package read in parts of 64 KiB.
pub fn parse(bytes: &Bytes, format: IntelFormat) -> (Result<PackageDigest, Poison>, Vec<IntelObject>, Vec<Poison>) {
    let parts: Vec<Bytes> = (0..bytes.len()).step_by(64 << 10).map(|at| bytes.slice(at..bytes.len().min(at + (64 << 10)))).collect();
    let (mut objects, mut poisons) = (Vec::new(), Vec::new());
    let digest = parse_intel(format, &parts, &Limits::default(), &mut |item| match item {
        IntelItem::Object { object, .. } => objects.push(*object),
        IntelItem::Poison(poison) => poisons.push(poison),
    });
    (digest, objects, poisons)
}
