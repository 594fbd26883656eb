//! The promise, on the embedded log: the same intelligence gives the same bytes, in any order, with any number of workers.
#![allow(clippy::unwrap_used, missing_docs)]
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [&str; 7] = ["entities", "observables", "links", "relations", "events", "sightings", "dead-letters"];

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(name)
}

/// Runs `process` and returns its exit code and files; the positions of dead letters' origins depend on the order of input and are left out.
fn process(paths: &[PathBuf], extra: &[&str]) -> (i32, BTreeMap<String, String>) {
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sightline"));
    command.arg("process").args(paths).arg("--out").arg(out.path()).args(extra);
    let done = command.output().unwrap();
    let code = done.status.code().unwrap_or(-1);
    assert!(matches!(code, 0 | 3), "process ended with {code}: {}", String::from_utf8_lossy(&done.stderr));
    let read = |name: &&str| {
        let text = std::fs::read_to_string(out.path().join(format!("{name}.ndjson"))).unwrap();
        ((*name).to_owned(), text)
    };
    (code, FILES.iter().map(read).collect())
}

fn lines(files: &BTreeMap<String, String>, name: &str) -> Vec<serde_json::Value> {
    files[name].lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn any_order_of_packages_and_any_number_of_workers_end_in_the_same_bytes() {
    let forward = [demo("poisonivy.json"), demo("apt1.json"), demo("tweetfeed-today.csv"), demo("staged.ndjson")];
    let mut backward = forward.to_vec();
    backward.reverse();
    let twice: Vec<PathBuf> = forward.iter().chain(&forward).cloned().collect();
    let (code, expected) = process(&forward, &[]);
    assert_eq!(code, 0);
    assert!(expected["links"].lines().count() > 200 && expected["relations"].lines().count() > 100);
    // An event says what it met when it came; all else is the same in the other orders.
    let but_events: Vec<&str> = FILES.into_iter().filter(|name| *name != "events").collect();
    for (paths, workers, names) in
        [(&forward[..], "3", &FILES[..]), (&backward, "1", &but_events), (&backward, "3", &but_events), (&twice, "2", &but_events)]
    {
        let (_, files) = process(paths, &["--workers", workers]);
        for name in names {
            assert_eq!(files[*name], expected[*name], "{name} with {workers} workers");
        }
    }
}

#[test]
fn removing_a_feed_leaves_exactly_what_the_others_support() {
    let copy = tempfile::tempdir().unwrap();
    let second = copy.path().join("second.json");
    std::fs::copy(demo("poisonivy.json"), &second).unwrap();
    let (_, all) = process(&[demo("poisonivy.json"), second, demo("apt1.json")], &["--remove-feed", "poisonivy"]);
    let lone = tempfile::tempdir().unwrap();
    let second = lone.path().join("second.json");
    std::fs::copy(demo("poisonivy.json"), &second).unwrap();
    let (_, others) = process(&[second, demo("apt1.json")], &[]);
    for name in &FILES[..4] {
        assert_eq!(all[*name], others[*name], "{name}");
    }
}

#[test]
fn a_list_without_times_is_unlearnt_with_its_feed_and_its_sightings_are_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let paths = [
        write("events.ndjson", "{\"@timestamp\":\"2026-01-01T00:00:00Z\",\"source\":{\"ip\":\"198.51.100.7\"},\"n\":1}\n"),
        write("plain.txt", "198.51.100.7\nevil.example\n203.0.113.9\n"),
        write("table.csv", "value,type\n198.51.100.8,ip\nworse.example,domain\n203.0.113.10,ip\n"),
    ];
    let (_, before) = process(&paths, &[]);
    assert_eq!((lines(&before, "entities").len(), lines(&before, "sightings").len()), (6, 1));
    let (_, after) = process(&paths, &["--remove-feed", "plain", "--remove-feed", "table"]);
    for name in &FILES[..4] {
        assert_eq!(after[*name], "", "{name}");
    }
    assert!(lines(&after, "sightings").iter().all(|sighting| sighting["retracted"] == true), "{}", after["sightings"]);
}

fn bundle(objects: &serde_json::Value) -> String {
    serde_json::json!({ "type": "bundle", "id": "bundle--5d0092c5-5f74-4287-9642-33f4c354e56d", "objects": objects }).to_string()
}

fn indicator(modified: &str, more: &serde_json::Value) -> serde_json::Value {
    let mut object = serde_json::json!({
        "type": "indicator", "spec_version": "2.1", "id": "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f", "created": "2020-01-01T00:00:00Z",
        "modified": modified, "pattern": "[ipv4-addr:value = '198.51.100.7']", "pattern_type": "stix", "valid_from": "2020-01-01T00:00:00Z"
    });
    object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object
}

#[test]
fn a_revoked_or_expired_indicator_takes_back_its_links_and_stays_as_an_entity() {
    let folder = tempfile::tempdir().unwrap();
    for (name, more) in
        [("revoked", serde_json::json!({ "revoked": true })), ("expired", serde_json::json!({ "valid_until": "2021-01-01T00:00:00Z" }))]
    {
        let (first, second) = (folder.path().join(format!("{name}-1.json")), folder.path().join(format!("{name}-2.json")));
        std::fs::write(&first, bundle(&serde_json::json!([indicator("2020-01-01T00:00:00Z", &serde_json::json!({}))]))).unwrap();
        std::fs::write(&second, bundle(&serde_json::json!([indicator("2020-02-01T00:00:00Z", &more)]))).unwrap();
        let (_, before) = process(std::slice::from_ref(&first), &[]);
        assert_eq!((lines(&before, "links").len(), lines(&before, "observables").len()), (1, 1), "{name}");
        let (_, after) = process(&[first, second], &["--feed", "one"]);
        assert_eq!(
            (lines(&after, "links").len(), lines(&after, "observables").len(), lines(&after, "entities").len()),
            (0, 0, 1),
            "{name}"
        );
    }
}

#[test]
fn the_newest_package_of_a_snapshot_feed_is_the_whole_feed_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let malware = |uuid: &str, modified: &str, name: &str| {
        serde_json::json!({
            "type": "malware", "spec_version": "2.1", "id": format!("malware--{uuid}"), "created": "2020-01-01T00:00:00Z", "modified": modified, "name": name, "is_family": true
        })
    };
    let (a, b, c) =
        ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-333333333333");
    let releases = [
        bundle(&serde_json::json!([malware(a, "2020-01-01T00:00:00Z", "gone"), malware(b, "2020-01-01T00:00:00Z", "before")])),
        // Changed without a new `modified`, as real releases do; the package itself is newer.
        bundle(&serde_json::json!([malware(b, "2020-01-01T00:00:00Z", "after"), malware(c, "2020-03-01T00:00:00Z", "new")])),
    ];
    let paths: Vec<PathBuf> = (0..2).map(|at| folder.path().join(format!("release-{at}.json"))).collect();
    for (path, release) in paths.iter().zip(&releases) {
        std::fs::write(path, release).unwrap();
    }
    for order in [[0, 1], [1, 0]] {
        let paths: Vec<PathBuf> = order.iter().map(|at| paths[*at].clone()).collect();
        let (_, files) = process(&paths, &["--feed", "vendor", "--snapshot"]);
        let names: Vec<_> = lines(&files, "entities").iter().map(|entity| entity["name"].as_str().unwrap().to_owned()).collect();
        assert_eq!(names, ["after", "new"], "{order:?}");
    }
}

#[test]
fn a_feed_may_be_declared_a_snapshot_after_its_packages_came() {
    let folder = tempfile::tempdir().unwrap();
    let malware = |uuid: &str, modified: &str| {
        serde_json::json!({
            "type": "malware", "spec_version": "2.1", "id": format!("malware--{uuid}"), "created": "2020-01-01T00:00:00Z", "modified": modified, "name": uuid, "is_family": true
        })
    };
    let (a, b) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
    let (first, second) = (folder.path().join("first.json"), folder.path().join("second.json"));
    std::fs::write(&first, bundle(&serde_json::json!([malware(a, "2020-01-01T00:00:00Z"), malware(b, "2020-01-01T00:00:00Z")]))).unwrap();
    std::fs::write(&second, bundle(&serde_json::json!([malware(b, "2020-02-01T00:00:00Z")]))).unwrap();
    let config = folder.path().join("cell.yaml");
    std::fs::write(
        &config,
        format!("log: {}\nstate_dir: {}\n", folder.path().join("log").display(), folder.path().join("state").display()),
    )
    .unwrap();
    let sightline = |arguments: &[&std::ffi::OsStr]| {
        let done = Command::new(env!("CARGO_BIN_EXE_sightline")).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let into = ["--feed".as_ref(), "vendor".as_ref(), "--config".as_ref(), config.as_os_str()];
    sightline(&[&["process".as_ref(), first.as_os_str(), second.as_os_str()], &into[..]].concat());
    sightline(&["feed".as_ref(), "-c".as_ref(), config.as_os_str(), "declare".as_ref(), "vendor".as_ref(), "--snapshot".as_ref()]);
    let mut service = Command::new(env!("CARGO_BIN_EXE_sightline")).arg("run").arg("-c").arg(&config).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    Command::new("kill").args(["-TERM", &service.id().to_string()]).status().unwrap();
    assert!(service.wait().unwrap().success());
    let rows = sightline(&["tap".as_ref(), "entities".as_ref(), "-c".as_ref(), config.as_os_str(), "--from-beginning".as_ref()]);
    let rows: BTreeMap<String, bool> = rows
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|record| (record["key"].as_str().unwrap().to_owned(), !record["value"].is_null()))
        .collect();
    assert_eq!(rows.get(&format!("default:malware--{b}")), Some(&true), "{rows:?}");
    assert!(!rows.get(&format!("default:malware--{a}")).is_some_and(|there| *there), "{rows:?}");
}

#[test]
fn each_bad_object_is_one_dead_letter_and_all_good_ones_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mixed.json");
    let good = indicator("2020-01-01T00:00:00Z", &serde_json::json!({}));
    let dangling = serde_json::json!({
        "type": "relationship", "spec_version": "2.1", "id": "relationship--44298a74-ba52-4f0c-87a3-1824e67d7fad", "created": "2020-01-01T00:00:00Z",
        "modified": "2020-01-01T00:00:00Z", "relationship_type": "indicates", "source_ref": good["id"], "target_ref": "malware--31b940d4-6f7f-459a-80ea-9c1f17b5891b"
    });
    let broken = indicator(
        "2020-01-01T00:00:00Z",
        &serde_json::json!({ "id": "indicator--9e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f", "pattern": "[broken" }),
    );
    let text = bundle(&serde_json::json!([good, dangling, broken, 7]));
    std::fs::write(&path, text[..text.len() - 2].replace("\"objects\":[", "\"objects\":[{\"type\":\"x\",},")).unwrap();
    let (code, files) = process(&[path], &[]);
    assert_eq!(code, 3);
    assert_eq!(lines(&files, "entities").len(), 1);
    let letters = lines(&files, "dead-letters");
    let mut reasons: Vec<_> =
        letters.iter().map(|letter| format!("{} {}", letter["position"].as_str().unwrap(), letter["reason"].as_str().unwrap())).collect();
    reasons.sort();
    assert!(reasons.contains(&"$.objects[0] invalid-json".to_owned()), "{reasons:?}");
    assert!(reasons.contains(&"$.objects[3].pattern invalid-pattern".to_owned()), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.ends_with("unresolved-reference")), "{reasons:?}");
    assert!(letters.iter().all(|letter| letter["origin"].as_str().unwrap().starts_with("soc.in.intel:")));
}

#[test]
fn events_meet_the_indicators_that_name_what_they_touch() {
    let (_, files) = process(&[demo("poisonivy.json"), demo("apt1.json"), demo("staged.ndjson")], &[]);
    let sightings = lines(&files, "sightings");
    assert_eq!(sightings.len(), 6);
    let entities: Vec<_> = lines(&files, "entities").iter().map(|entity| entity["id"].clone()).collect();
    assert!(sightings.iter().all(|sighting| entities.contains(&sighting["entity_id"])));
    assert_eq!(lines(&files, "events").iter().filter(|event| !event["matches"].as_array().unwrap().is_empty()).count(), 3);
}

#[test]
fn a_path_that_is_not_there_is_one_clear_line_and_exit_code_1() {
    let done = Command::new(env!("CARGO_BIN_EXE_sightline")).args(["process", "no/such/file"]).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&done.stderr).lines().count(), 1);
}
