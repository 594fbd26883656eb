//! Examples of the standard and pages of a TAXII server.
use std::path::{Path, PathBuf};

use sightline_formats::IntelFormat;

use super::data;

/// Counted once by this parser, and gone through by eye.
const OBJECTS: u64 = 306;
const REFUSED: usize = 77;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

fn refused(folder: &str) -> Option<(u64, Vec<String>)> {
    let folder = data::path(folder)?;
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    let (mut objects, mut refused) = (0, Vec::new());
    for path in paths {
        let (digest, _, poisons) = data::parse(&data::read(&path), IntelFormat::Stix);
        let name = path.strip_prefix(&folder).unwrap().display().to_string();
        match digest {
            Ok(digest) => objects += digest.objects,
            Err(poison) => refused.push(format!("{name} {} {}", poison.position, poison.reason)),
        }
        refused.extend(poisons.iter().map(|poison| format!("{name} {} {}: {}", poison.position, poison.reason, poison.message)));
    }
    Some((objects, refused))
}

#[test]
fn the_examples_of_the_standards_body_are_all_read() {
    let Some((objects, refused)) = refused("stix/examples") else { return };
    assert!(objects > 50, "{objects}");
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn of_the_fixtures_only_the_wrong_ones_are_refused() {
    let Some((objects, refused)) = refused("stix/rstix-fixtures") else { return };
    println!("{objects} objects read, {} refused:\n{}", refused.len(), refused.join("\n"));
    // Two identifiers that are one digit short, two malware objects without the required `is_family`; the others are fragments or wrong on purpose.
    assert_eq!(refused.iter().filter(|line| line.starts_with("interop/")).count(), 4);
    assert_eq!((objects, refused.len()), (OBJECTS, REFUSED));
}

#[test]
fn the_pages_of_a_taxii_server_are_all_read() {
    let Some((objects, refused)) = refused("taxii/tweetfeed/pages") else { return };
    println!("{objects} objects");
    assert_eq!(refused, Vec::<String>::new());
}
