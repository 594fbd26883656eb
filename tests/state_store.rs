//! The disk with the state is lost after the journal was trimmed: the snapshots of the store bring the cell back, and nothing shows it.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cell::{Beside, Tapped, demo};

const OUTPUTS: [&str; 7] = ["entities", "observables", "links", "relations", "events", "sightings", "packages"];

/// A cell on an embedded log, with SQLite as its store of rows and `store` as that of its snapshots.
fn cell(store: &str) -> Beside {
    Beside::with(|folder| {
        format!(
            "log: {log}\nstate_dir: {state}\n{store}topology: {{ snapshots: {{ interval_ms: 200 }}, intel: {{ reference_grace_ms: 500 }} }}\n\
             connectors:\n- {{ name: lite, class: sqlite, options: {{ path: {sqlite} }} }}\n",
            log = folder.join("log").display(),
            state = folder.join("state").display(),
            sqlite = folder.join("sightline.db").display()
        )
    })
}

/// Takes in some files, and ends as told.
fn take_in(cell: &Beside, files: &[&str], feed: &str, kill: bool) {
    let paths: Vec<_> = files.iter().map(|name| demo(name)).collect();
    cell.process(&paths, &["--feed", feed]);
    let service = cell.run(2);
    std::thread::sleep(Duration::from_secs(4));
    if kill { service.kill() } else { service.terminate() }
}

/// Of each topic the records of each key in order, without the epochs: those are a matter of time.
fn history(cell: &Beside) -> BTreeMap<(String, String), Vec<serde_json::Value>> {
    let mut history: BTreeMap<(String, String), Vec<serde_json::Value>> = BTreeMap::new();
    for topic in OUTPUTS {
        let mut epochs: BTreeMap<String, u64> = BTreeMap::new();
        for Tapped { key, epoch, value, .. } in cell.tap(topic) {
            assert!(epochs.insert(key.clone(), epoch).is_none_or(|before| before < epoch), "{topic} {key}: epoch {epoch} comes again");
            history.entry((topic.to_owned(), key)).or_default().push(value);
        }
    }
    history
}

fn first_epoch(cell: &Beside) -> u64 {
    cell.tap("soc.sys.epochs").first().unwrap().key.parse().unwrap()
}

/// A service that ends by itself.
fn run_to_its_end(cell: &Beside) -> Output {
    cell.command("run").output().unwrap()
}

fn assert_survives(store: &str, forget: impl Fn()) {
    let (cell, undisturbed) = (cell(store), cell(""));
    let state = cell.folder().join("state");
    take_in(&cell, &["apt1.json", "poisonivy.json"], "a", false);
    take_in(&cell, &["poisonivy.json", "ics-attack-16.1.json.gz"], "b", true);
    assert!(first_epoch(&cell) > 1, "the journal is trimmed: without a snapshot there is no way back");
    std::fs::remove_dir_all(&state).unwrap();
    take_in(&cell, &["tweetfeed-today.csv"], "c", true);
    std::fs::remove_dir_all(&state).unwrap();
    assert!(cell.command("feed").args(["remove", "a"]).status().unwrap().success());
    take_in(&cell, &["staged.ndjson"], "-", false);

    take_in(&undisturbed, &["apt1.json", "poisonivy.json"], "a", false);
    take_in(&undisturbed, &["poisonivy.json", "ics-attack-16.1.json.gz"], "b", false);
    take_in(&undisturbed, &["tweetfeed-today.csv"], "c", false);
    assert!(undisturbed.command("feed").args(["remove", "a"]).status().unwrap().success());
    take_in(&undisturbed, &["staged.ndjson"], "-", false);
    let (expected, found) = (history(&undisturbed), history(&cell));
    let differs = expected.iter().find(|(key, values)| found.get(*key) != Some(*values));
    assert!(differs.is_none(), "{differs:?} instead of {:?}", differs.and_then(|(key, _)| found.get(key)));
    assert_eq!(expected.len(), found.len());
    assert!(found.len() > 3_000 && found.keys().any(|(topic, _)| topic == "sightings"), "{}", found.len());
    let verified = cell.command("verify").output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));

    // The control: without the store's copy the same loss is the end, and says so.
    std::fs::remove_dir_all(&state).unwrap();
    forget();
    let refused = run_to_its_end(&cell);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && message.contains("reaches the journal, which begins at epoch"), "{message}");
}

#[test]
fn a_lost_disk_is_made_good_from_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    assert_survives(&format!("state: {{ store: \"{}\" }}\n", store.display()), || {
        let objects = std::fs::read_dir(store.join("soc")).unwrap().count();
        assert!((2..40).contains(&objects), "two manifests, and few packs: {objects}");
        std::fs::remove_dir_all(&store).unwrap();
    });
}

#[test]
fn a_lost_disk_is_made_good_from_s3() {
    let variable = |name: &str| std::env::var(name).ok();
    // `s3://bucket?endpoint`, and the folder of the bucket, so that it can be emptied.
    let (Some(endpoint), Some(bucket), Some(folder)) =
        (variable("SIGHTLINE_S3"), variable("SIGHTLINE_S3_BUCKET"), variable("SIGHTLINE_S3_FOLDER"))
    else {
        eprintln!("skipped: no S3 server; `scripts/services start s3` starts one");
        return;
    };
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let options = format!(
        "aws_endpoint: \"{endpoint}\", aws_region: us-east-1, aws_access_key_id: test, aws_secret_access_key: testsecret, allow_http: \"true\""
    );
    let prefix = format!("t{:x}", nanos & 0xffff_ffff_ffff);
    let store = format!("state: {{ store: \"s3://{bucket}/{prefix}\", options: {{ {options} }} }}\n");
    assert_survives(&store, || std::fs::remove_dir_all(Path::new(&folder).join(&prefix)).unwrap());
}

#[test]
fn a_store_that_cannot_be_reached_costs_no_epoch_and_keeps_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let cell = cell(&format!("state: {{ store: \"{}\" }}\n", store.display()));
    // A file where the cell's folder should be: every write fails, also for root.
    std::fs::create_dir_all(&store).unwrap();
    std::fs::write(store.join("soc"), "").unwrap();
    take_in(&cell, &["poisonivy.json"], "a", false);
    take_in(&cell, &["apt1.json"], "a", false);
    assert_eq!(cell.tap("packages").len(), 2);
    assert_eq!(first_epoch(&cell), 1, "the journal is kept until the store has caught up");
    std::fs::remove_file(store.join("soc")).unwrap();
    take_in(&cell, &["tweetfeed-today.csv"], "b", false);
    take_in(&cell, &["staged.ndjson"], "-", false);
    assert!(first_epoch(&cell) > 1, "the store has caught up");
}
