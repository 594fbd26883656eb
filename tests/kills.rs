//! `kill -9` in mid-ingest on real servers: nothing is lost, nothing doubles.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cell::{Cell, INTEL, Tapped, assert_nothing_doubled, demo};

const STORES: [&str; 3] = ["postgres", "elasticsearch", "neo4j"];

#[test]
fn kill_nine_in_mid_ingest_loses_nothing_and_doubles_nothing() {
    let Some(cell) = Cell::new(&STORES) else { return };
    // Pseudo-random moments, another seed each run; printed, and taken from the environment, so that a failure can be repeated.
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let rounds = number("SIGHTLINE_KILLS").unwrap_or(3);
    let mut seed = number("SIGHTLINE_SEED").unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    eprintln!("cell {} SIGHTLINE_SEED={seed} SIGHTLINE_KILLS={rounds}", cell.name);
    let files = ["ics-attack-16.1.json.gz", "poisonivy.json", "apt1.json", "tweetfeed-today.csv"];
    let packages: Vec<(PathBuf, String)> =
        (0..rounds).map(|round| (demo(files[round as usize % files.len()]), format!("feed-{round}"))).collect();
    for (round, (path, feed)) in packages.iter().enumerate() {
        let service = cell.run(1 + round % 3);
        cell.process(std::slice::from_ref(path), &["--feed", feed]);
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(Duration::from_millis(u64::from(seed >> 16) % 2_500));
        service.kill();
    }
    // The same input into a cell that nothing disturbs.
    let undisturbed = cell.beside("u");
    let other = undisturbed.run(1);
    for (path, feed) in &packages {
        undisturbed.process(std::slice::from_ref(path), &["--feed", feed]);
    }
    undisturbed.await_packages(packages.len());
    let service = cell.run(2);
    cell.await_packages(packages.len());
    let counts = |view: &BTreeMap<String, BTreeMap<String, serde_json::Value>>| {
        view.iter().map(|(topic, records)| format!("{topic} {}", records.len())).collect::<Vec<_>>().join(", ")
    };
    cell::eventually(|| {
        let (expected, found) = (undisturbed.view(), cell.view());
        if expected == found { Ok(()) } else { Err(format!("{} instead of {}", counts(&found), counts(&expected))) }
    });
    eprintln!("{}", counts(&cell.view()));
    other.terminate();

    for topic in INTEL {
        assert_nothing_doubled(topic, &cell.tap(topic));
    }
    // By origin: each input record that completed a package is the origin of one package, and of nothing twice.
    let read = cell.tap("packages");
    let origins: BTreeSet<&str> = read.iter().map(|record| record.origin.as_str()).collect();
    assert_eq!((read.len(), origins.len()), (packages.len(), packages.len()), "one record a package, each of an origin of its own");
    let letters = |records: Vec<Tapped>| records.len();
    assert_eq!(letters(cell.tap(&format!("{}.dlq.parse", cell.name))), 0, "nothing was refused");

    let verified = cell.verify(None, &[]);
    service.terminate();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
