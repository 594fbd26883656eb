//! On Kafka: the compacted contents of `out.*` follow from the intelligence alone, in whatever order, however often and on however many
//! workers it came. `tests/embedded.rs` claims the same of the embedded log, byte by byte.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::collections::BTreeMap;
use std::path::PathBuf;

use cell::{Cell, corpus, data, demo, paths_in};
use serde_json::Value;

const STORES: [&str; 2] = ["postgres", "elasticsearch"];

type View = BTreeMap<String, BTreeMap<String, Value>>;

/// Waits until a cell says what another says. It may still be writing when its packages are all there.
fn assert_becomes(expected: &View, mut view: impl FnMut() -> View, what: &str) {
    cell::eventually(|| {
        let found = view();
        for (topic, records) in expected {
            let other = &found[topic];
            if records != other {
                let differs = records.iter().find(|(key, value)| other.get(*key) != Some(value));
                return Err(format!("{what}: {topic} has {} records, expected {}; {differs:?}", other.len(), records.len()));
            }
        }
        Ok(())
    });
}

#[test]
fn forwards_backwards_or_twice_on_one_worker_or_three_the_topics_and_the_stores_end_alike() {
    let Some(cell) = Cell::new(&STORES) else { return };
    let corpus = corpus();
    let forward = paths_in(corpus.path());
    let mut backward = forward.clone();
    backward.reverse();
    let service = cell.run(3);
    cell.process(&backward, &["--format", "stix"]);
    cell.await_packages(forward.len());
    cell.assert_oracle(corpus.path(), &STORES, &[]);
    let expected = cell.view();
    // Again, into the same cell: nothing moves.
    cell.process(&forward, &["--format", "stix"]);
    let single = cell.beside("b");
    let other = single.run(1);
    single.process(&forward, &["--format", "stix"]);
    single.await_packages(forward.len());
    assert_becomes(&expected, || single.view(), "forwards on one worker");
    other.terminate();
    assert_becomes(&expected, || cell.view(), "twice");
    let verified = cell.verify(None, &[]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    cell.assert_oracle(corpus.path(), &STORES, &[]);
    service.terminate();
}

#[test]
fn a_feed_that_is_removed_leaves_what_the_others_say_alone() {
    let Some(cell) = Cell::new(&STORES) else { return };
    // The feeds overlap: each of them holds some of what the others hold.
    let bundles = [demo("poisonivy.json"), demo("apt1.json"), demo("ics-attack-16.1.json.gz")];
    let feed = |name: &str, paths: &[&PathBuf], ingest: &dyn Fn(&[PathBuf], &[&str])| {
        ingest(&paths.iter().map(|path| (*path).clone()).collect::<Vec<_>>(), &["--feed", name]);
    };
    let service = cell.run(2);
    let into = |paths: &[PathBuf], more: &[&str]| cell.process(paths, more);
    feed("a", &[&bundles[0], &bundles[1]], &into);
    feed("b", &[&bundles[0], &bundles[1], &bundles[2]], &into);
    feed("c", &[&bundles[1]], &into);
    cell.await_packages(6);
    assert!(cell.command("feed").args(["remove", "b"]).status().unwrap().success());

    let others = cell.beside("ac");
    let other = others.run(1);
    let into = |paths: &[PathBuf], more: &[&str]| others.process(paths, more);
    feed("c", &[&bundles[1]], &into);
    feed("a", &[&bundles[0], &bundles[1]], &into);
    others.await_packages(3);
    let mut expected = cell::eventually(|| {
        let view = others.view();
        if view["relations"].len() > 100 { Ok(view) } else { Err(format!("{} relations", view["relations"].len())) }
    });
    other.terminate();
    expected.clone_from(&others.view());
    // Which packages were read is history, and stays.
    expected.remove("packages");
    assert_becomes(&expected, || cell.view(), "without b");
    let verified = cell.verify(None, &[]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    service.terminate();
}

/// Releases of ATT&CK, of which each family is one feed whose newest package is the whole feed.
const FAMILIES: [(&str, &[&str]); 3] = [
    ("ics", &["ics-attack-14.1", "ics-attack-15.1", "ics-attack-16.1"]),
    ("mobile", &["mobile-attack-11.3", "mobile-attack-12.1", "mobile-attack-13.1"]),
    ("enterprise", &["enterprise-attack-v15.1", "enterprise-attack-v16.1"]),
];

#[test]
fn successive_releases_of_a_snapshot_feed_end_in_the_newest_in_any_order() {
    let Some(cell) = Cell::new(&STORES) else { return };
    let Some(data) = data() else {
        eprintln!("skipped: no releases of ATT&CK beside the repository (SIGHTLINE_DATA)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let unpack = |release: &str| {
        let to = folder.path().join(format!("{}.json", release.replace('.', "-")));
        let packed = data.join("attack-stix").join(format!("{release}.json.xz"));
        let done = std::process::Command::new("xz").arg("-dc").arg(packed).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        std::fs::write(&to, done.stdout).unwrap();
        to
    };
    let newest = tempfile::tempdir().unwrap();
    let service = cell.run(2);
    let mut packages = 0;
    for (at, (family, releases)) in FAMILIES.iter().enumerate() {
        let mut paths: Vec<PathBuf> = releases.iter().map(|release| unpack(release)).collect();
        std::fs::copy(paths.last().unwrap(), newest.path().join(format!("{family}.json"))).unwrap();
        // Newest first, newest in the middle, newest last.
        paths.rotate_right(at);
        if at == 0 {
            paths.reverse();
        }
        for path in paths {
            cell.process(&[path], &["--feed", family, "--snapshot"]);
            packages += 1;
        }
    }
    cell.await_packages(packages);
    // The oracle reads the newest releases alone, each under its feed.
    cell.assert_oracle(newest.path(), &STORES, &[]);
    let expected: Value = serde_json::from_slice(&std::fs::read(data.join("attack-stix/EXPECTED.json")).unwrap()).unwrap();
    let entities = &cell.view()["entities"];
    for (family, releases) in FAMILIES {
        let of_family = |record: &&Value| record["sources"].as_array().unwrap().contains(&family.into());
        let held: Vec<&Value> = entities.values().filter(of_family).collect();
        for (ty, count) in expected[releases[releases.len() - 1]]["types"].as_object().unwrap() {
            let found = held.iter().filter(|entity| entity["type"] == ty.as_str()).count() as u64;
            assert!(ty == "relationship" || Some(found) == count.as_u64(), "{family}: {found} of {count} {ty}");
        }
    }
    let verified = cell.verify(None, &[]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    service.terminate();
}
