//! Stores that somebody changed by hand: `verify` finds exactly what was changed, `verify --repair` mends exactly that, and the service ingests meanwhile.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use cell::{Cell, demo};

const STORES: [(&str, &str); 3] = [("pg", "postgres"), ("es", "elasticsearch"), ("neo", "neo4j")];

/// Every difference that `verify` names: connector, type, how, key.
fn differences(verified: &Output) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(&verified.stdout);
    let (mut connector, mut ty, mut found) = ("", "", BTreeSet::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [name, "at", "epoch", ..] => connector = name,
            [word, _, "equal", ..] => ty = word,
            [how @ ("missing" | "extra" | "different"), key] => {
                assert!(found.insert(format!("{connector} {ty} {how} {key}")), "named twice: {line}");
            }
            _ => {}
        }
    }
    found
}

#[test]
fn thirty_differences_made_by_hand_are_found_exactly_and_mended_while_ingestion_goes_on() {
    let Some(cell) = Cell::new(&STORES.map(|(_, store)| store)) else { return };
    let service = cell.run(2);
    cell.process(&[demo("apt1.json"), demo("poisonivy.json")], &["--feed", "before"]);
    cell.await_packages(2);
    let verified = cell.verify(None, &[]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Another feed each time, so that every entity of it changes each time.
        let ingesting = scope.spawn(|| {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                cell.process(&[demo("ics-attack-16.1.json.gz")], &["--feed", &format!("meanwhile-{round}")]);
                round += 1;
            }
            round
        });
        // The thread ends whatever this one finds.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drift_and_mend(&cell)));
        stop.store(true, Ordering::Relaxed);
        let rounds = ingesting.join().unwrap();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        println!("{rounds} packages were ingested meanwhile");
        cell.await_packages(2 + rounds);
    });
    let verified = cell.verify(None, &[]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    service.terminate();
}

fn drift_and_mend(cell: &Cell) {
    let mut expected = BTreeSet::new();
    for (connector, store) in STORES {
        let made = cell.oracle_on("drift.py", store);
        expected.extend(made.lines().map(|line| format!("{connector} {line}")));
    }
    assert_eq!(expected.len(), 30);
    let verified = cell.verify(None, &[]);
    assert_eq!(verified.status.code(), Some(5), "{}", String::from_utf8_lossy(&verified.stdout));
    assert_eq!(differences(&verified), expected);

    let repaired = cell.verify(None, &["--repair"]);
    let text = String::from_utf8_lossy(&repaired.stdout);
    println!("{text}");
    assert!(repaired.status.success(), "{text}");
    for (connector, _) in STORES {
        assert!(text.contains(&format!("{connector}: 10 keys mended; 0 had changed meanwhile; 0 refused by the store")), "{text}");
    }
    let verified = cell.verify(None, &[]);
    assert_eq!((verified.status.code(), differences(&verified)), (Some(0), BTreeSet::new()));
}
