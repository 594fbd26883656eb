//! `replay --shadow` lists exactly the rows in which two separate full runs differ, one with each configuration, and touches nothing.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cell::{Beside, demo};
use serde_json::{Value, json};

const ROWS: [&str; 7] = ["entities", "observables", "links", "relations", "events", "sightings", "packages"];

/// What is tried: keys of a configuration that differ from those of the cell.
const TRIED: [(&str, &str); 3] = [
    ("a limit that refuses some objects", "limits: { object_bytes: 900 }"),
    ("fewer holders named", "intel: { reference_grace_ms: 500, max_holders: 1 }"),
    ("a feed of which the newest package is the whole", ""),
];

/// A cell's configuration; where its log is, and its name, `log` says.
fn config(log: &str, folder: &Path, tried: Option<&str>) -> String {
    let intel = "intel: { reference_grace_ms: 500 }";
    let topology = match tried {
        Some(tried) if tried.starts_with("intel") => tried.to_owned(),
        Some(tried) if !tried.is_empty() => format!("{intel}, {tried}"),
        _ => intel.to_owned(),
    };
    let feeds = if tried == Some("") { "feeds: [{ name: vendor, snapshot: true }]\n" } else { "" };
    format!(
        "{log}state_dir: {state}\npartitions: 2\n{feeds}topology: {{ snapshots: {{ interval_ms: 300, keep_journal: true }}, {topology} }}\n",
        state = folder.join("state").display()
    )
}

/// Lets a cell take in intelligence, and then events.
fn fill(cell: &Beside) {
    cell.process(&[demo("poisonivy.json"), demo("apt1.json")], &["--feed", "vendor"]);
    cell.process(&[demo("poisonivy.json"), demo("tweetfeed-today.csv")], &["--feed", "partner"]);
    run_until(cell, "packages", 4);
    cell.process(&[demo("staged.ndjson"), demo("cloudtrail.ndjson")], &[]);
    run_until(cell, "events", 20);
}

/// Runs a cell until a topic has so many records, and a little longer: what waits for its grace is due then.
fn run_until(cell: &Beside, topic: &str, count: usize) {
    let found = || match cell.tap(topic).len() {
        found if found >= count => Ok(()),
        found => Err(format!("{found} of {count} {topic}")),
    };
    let is_shared = std::fs::read_to_string(cell.folder().join("cell.yaml")).unwrap().contains("kafka:");
    if is_shared {
        let service = cell.run(1);
        cell::eventually(found);
        std::thread::sleep(Duration::from_secs(2));
        service.terminate();
    } else {
        // An embedded log is one process's at a time, so the service ends before anyone looks.
        cell::eventually(|| {
            let service = cell.run(1);
            std::thread::sleep(Duration::from_secs(3));
            service.terminate();
            found()
        });
    }
}

/// The last value of each key of each topic; dead letters by place and reason. `name` is the cell's, whose name is in origins.
fn state(cell: &Beside, name: &str) -> BTreeMap<(String, String), Value> {
    let mut state = BTreeMap::new();
    for topic in ROWS {
        for record in cell.tap(topic) {
            let key = (topic.to_owned(), record.key);
            if record.value.is_null() {
                state.remove(&key)
            } else {
                state.insert(key, record.value)
            };
        }
    }
    let done = cell.command("dlq").arg("list").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for line in String::from_utf8(done.stdout).unwrap().lines() {
        let mut letter: Value = serde_json::from_str(line).unwrap();
        letter.as_object_mut().unwrap().remove("at");
        let origin = letter["origin"].as_str().unwrap().replace(&format!("{name}."), "");
        letter["origin"] = origin.clone().into();
        let key = format!("{origin} {} {}", letter["position"].as_str().unwrap(), letter["reason"].as_str().unwrap());
        assert_eq!(state.insert(("dead-letters".into(), key.clone()), letter), None, "{key} twice");
    }
    state
}

/// As `--json` says it, by topic and key.
fn difference(first: &BTreeMap<(String, String), Value>, second: &BTreeMap<(String, String), Value>) -> BTreeMap<(String, String), Value> {
    let mut found = BTreeMap::new();
    for key in first.keys().chain(second.keys()) {
        let change = match (first.get(key), second.get(key)) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), None) => json!({ "change": "-", "row": old }),
            (None, Some(new)) => json!({ "change": "+", "row": new }),
            (Some(old), Some(new)) => {
                let names = old.as_object().unwrap().keys().chain(new.as_object().unwrap().keys());
                let fields = names.filter(|name| old[name.as_str()] != new[name.as_str()]);
                let fields: BTreeMap<_, _> = fields.map(|name| (name, [&old[name.as_str()], &new[name.as_str()]])).collect();
                json!({ "change": "~", "fields": fields })
            }
            (None, None) => unreachable!(),
        };
        found.insert(key.clone(), change);
    }
    found
}

fn shadow(cell: &Beside, other: &Path, more: &[&str]) -> std::process::Output {
    cell.command("replay").arg("--shadow").arg(other).args(more).output().unwrap()
}

/// What the command lists, as [`difference`] puts it, and its last line.
fn listed(cell: &Beside, name: &str, other: &Path) -> (BTreeMap<(String, String), Value>, Value) {
    let done = shadow(cell, other, &["--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap().replace(&format!("{name}.in."), "in.");
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let totals = lines.pop().unwrap();
    let count = lines.len();
    let rows: BTreeMap<_, _> = lines
        .into_iter()
        .map(|mut line| {
            let object = line.as_object_mut().unwrap();
            let text = |value: Option<Value>| value.unwrap().as_str().unwrap().to_owned();
            ((text(object.remove("topic")), text(object.remove("key"))), line)
        })
        .collect();
    assert_eq!(rows.len(), count, "each key once");
    (rows, totals)
}

/// `log` makes the part of a configuration that says where the log is, for a cell in a folder, and its name.
fn assert_as_two_full_runs(log: impl Fn(&Path, &str) -> (String, String)) {
    let live = Beside::with(|folder| config(&log(folder, "live").0, folder, None));
    let name = log(live.folder(), "live").1;
    fill(&live);
    let before = state(&live, &name);
    assert!(before.len() > 500 && before.keys().filter(|(topic, _)| topic == "sightings").count() > 3, "{}", before.len());

    // The cell runs meanwhile: nobody fences it, and its log is only read.
    let service = live.run(1);
    std::thread::sleep(Duration::from_secs(1));
    let (rows, totals) = listed(&live, &name, &live.folder().join("cell.yaml"));
    assert_eq!((rows, totals["totals"]["entities"]["~"].as_u64()), (BTreeMap::new(), Some(0)), "the same configuration changes nothing");
    assert!(totals["totals"]["entities"]["equal"].as_u64() > Some(50) && totals["epoch"].as_u64() > Some(3), "{totals}");
    let mut signs = [0; 3];
    for (number, (what, tried)) in TRIED.iter().enumerate() {
        let path = live.folder().join(format!("other-{number}.yaml"));
        std::fs::write(&path, config("log: unused\n", live.folder(), Some(tried))).unwrap();
        let (rows, totals) = listed(&live, &name, &path);
        let other = Beside::with(|folder| config(&log(folder, &format!("other{number}")).0, folder, Some(tried)));
        fill(&other);
        let expected = difference(&before, &state(&other, &log(other.folder(), &format!("other{number}")).1));
        for (key, change) in &expected {
            assert_eq!(rows.get(key), Some(change), "{what}: {key:?}");
        }
        assert_eq!(rows.keys().find(|key| !expected.contains_key(key)), None, "{what}: listed, and the same in two full runs");
        assert!(!expected.is_empty(), "{what} changes something");
        for (at, sign) in ["+", "-", "~"].iter().enumerate() {
            let count = rows.values().filter(|row| row["change"] == *sign).count();
            let told: u64 = totals["totals"].as_object().unwrap().values().map(|topic| topic[sign].as_u64().unwrap()).sum();
            assert_eq!(told, count as u64, "{what}: {totals}");
            signs[at] += count;
        }
        eprintln!("{what}: {} rows; {totals}", rows.len());
    }
    assert!(signs.iter().all(|count| *count > 0), "every sign was seen: {signs:?}");

    let before_last = (totals["epoch"].as_u64().unwrap() - 1).to_string();
    // For people: a line a row, and only of the topic that was asked for.
    let done = shadow(&live, &live.folder().join("other-0.yaml"), &["--topic", "entities", "--to-epoch", &before_last]);
    let text = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && text.contains(&format!("at epoch {before_last}:")), "{text}");
    assert!(text.lines().next().unwrap().starts_with("entities - ") && !text.contains("observables"), "{text}");
    let done = shadow(&live, &live.folder().join("other-0.yaml"), &["--to-epoch", "999999999"]);
    assert!(done.status.code() == Some(1) && String::from_utf8_lossy(&done.stderr).contains("the journal ends at epoch"));
    service.terminate();
    assert!(difference(&before, &state(&live, &name)).is_empty(), "the cell is as it was");
}

#[test]
fn on_an_embedded_log_a_shadow_lists_what_two_full_runs_differ_in() {
    assert_as_two_full_runs(|folder, _| (format!("log: {}\n", folder.join("log").display()), "soc".into()));
}

#[test]
fn on_kafka_a_shadow_lists_what_two_full_runs_differ_in() {
    let variable = |name: &str| std::env::var(name).ok();
    let (Some(kafka), Some(registry)) = (variable("SIGHTLINE_KAFKA"), variable("SIGHTLINE_REGISTRY")) else {
        eprintln!("skipped: no servers; `ci/test` starts them, and CONTRIBUTING.md says how to keep them running");
        return;
    };
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    assert_as_two_full_runs(|_, cell| {
        let name = format!("s{:x}{cell}", nanos & 0xffff_ffff_ffff);
        (format!("cell: {name}\nkafka: {{ bootstrap: \"{kafka}\" }}\nregistry: {{ url: \"{registry}\" }}\n"), name)
    });
}

#[test]
fn a_journal_that_was_trimmed_is_refused_with_what_to_do() {
    let cell = Beside::with(|folder| {
        let text = config(&format!("log: {}\n", folder.join("log").display()), folder, None);
        text.replace(", keep_journal: true", "")
    });
    cell.process(&[demo("apt1.json")], &[]);
    run_until(&cell, "packages", 1);
    cell.process(&[demo("poisonivy.json")], &[]);
    run_until(&cell, "packages", 2);
    let done = shadow(&cell, &cell.folder().join("cell.yaml"), &[]);
    let message = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0), "{message}");
    assert!(message.contains("soc.sys.epochs begins at epoch") && message.contains("topology.snapshots.keep_journal"), "{message}");
}
