//! What `analyze` and `process` say of archives and logs, and that it is what an independent program counts.
#![allow(clippy::unwrap_used, missing_docs)]
use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use zip::write::SimpleFileOptions;

fn sightline(arguments: &[&str], path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sightline")).args(arguments).arg(path).output().unwrap()
}

fn analyze(path: &Path) -> (i32, Value) {
    let done = sightline(&["analyze", "--json"], path);
    let summary = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&done.stderr)));
    (done.status.code().unwrap(), summary)
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

const EVENTS: &[u8] = br#"{"@timestamp":"2024-05-01T00:00:00Z","src":{"ip":"198.51.100.7"}}
not an event
{"@timestamp":"2024-05-02T00:00:00Z","src":{"ip":"198.51.100.7"},"n":1}
"#;

#[test]
fn a_stranger_is_told_what_an_archive_holds_and_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let inner = zip(&[("deep.json", br#"[{"a":1},{"a":2}]"#)]);
    let path =
        file(&folder, "logs.bin", &zip(&[("day/a.json", EVENTS), ("inner", &inner), ("b.pcap", b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0")]));
    let (code, found) = analyze(&path);
    assert_eq!(code, 3);
    assert_eq!((&found["events"], &found["refused"]), (&4.into(), &2.into()));
    assert_eq!(found["refused_by_reason"], serde_json::json!({ "binary-content": 1, "invalid-json": 1 }));
    let members: Vec<_> =
        found["members"].as_array().unwrap().iter().map(|member| (member["path"].as_str().unwrap(), &member["records"])).collect();
    assert_eq!(members, [("logs.bin!day/a.json", &2.into()), ("logs.bin!inner!deep.json", &2.into()), ("logs.bin!b.pcap", &0.into())]);
    assert_eq!((&found["rejects"][0]["file"], &found["rejects"][0]["position"]), (&"logs.bin!day/a.json".into(), &"line 2".into()));
    assert_eq!((&found["first"], &found["last"]), (&"2024-05-01T00:00:00Z".into(), &"2024-05-02T00:00:00Z".into()));
    assert_eq!(found["observables"]["ipv4-addr"]["top"][0], serde_json::json!({ "value": "198.51.100.7", "count": 2 }));

    let text = String::from_utf8(sightline(&["analyze", "--show-events"], &path).stdout).unwrap();
    assert!(text.contains("\"src.ip\":\"198.51.100.7\"") && text.contains("logs.bin!day/a.json line 2: invalid-json"), "{text}");
}

#[test]
fn the_exit_code_says_whether_all_some_or_nothing_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let code = |path: PathBuf| sightline(&["analyze"], &path).status.code().unwrap();
    assert_eq!(code(file(&folder, "good", b"{\"a\":1}\n")), 0);
    assert_eq!(code(file(&folder, "empty", b"")), 0);
    assert_eq!(code(file(&folder, "some", EVENTS)), 3);
    assert_eq!(code(file(&folder, "nothing", b"7z\xbc\xaf\x27\x1c")), 1);
    assert_eq!(code(folder.path().join("missing")), 1);
}

#[test]
fn what_the_intake_refuses_is_a_dead_letter_and_the_rest_of_the_archive_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("{{\"a\":1}}\n{{\"b\":\"{}\"}}\n{{\"c\":3}}\n", "x".repeat(2 << 20));
    let mut bytes = zip(&[("secret", b"hidden"), ("a.json", b"{\"a\":1}\n"), ("long.json", long.as_bytes())]);
    let directory = bytes.windows(4).position(|at| at == b"PK\x01\x02").unwrap();
    // The mark of a member with a password, in both places.
    (bytes[6], bytes[directory + 8]) = (1, 1);
    let path = file(&folder, "logs.zip", &bytes);
    let out = folder.path().join("out");
    let done = sightline(&["process", "--out", out.to_str().unwrap()], &path);
    assert_eq!(done.status.code(), Some(3), "{}", String::from_utf8_lossy(&done.stderr));
    let rows = |name: &str| {
        std::fs::read_to_string(out.join(name)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let mut letters: Vec<_> = rows("dead-letters.ndjson")
        .iter()
        .map(|row| format!("{} {}", row["position"].as_str().unwrap(), row["reason"].as_str().unwrap()))
        .collect();
    letters.sort();
    assert_eq!(letters, ["logs.zip!long.json line 2 event-too-large", "logs.zip!secret encrypted"]);
    assert_eq!(rows("events.ndjson").len(), 3);
}

#[test]
fn no_more_events_are_read_than_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let events: String = (0..1_000).map(|number| format!("{{\"n\":{number}}}\n")).collect();
    let path = file(&folder, "events.json", events.as_bytes());
    let out = folder.path().join("out");
    let done = sightline(&["process", "--max-events", "7", "--out", out.to_str().unwrap()], &path);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(std::fs::read_to_string(out.join("events.ndjson")).unwrap().lines().count(), 7);
}

/// The logs of the data folder.
const LOGS: [&str; 3] = ["otrf-security-datasets", "logs/panther-rule-tests.jsonl.xz", "sigma/regression-events.jsonl"];

#[test]
fn every_log_and_archive_holds_as_many_records_as_an_independent_program_counts() {
    let root =
        std::env::var_os("SIGHTLINE_DATA").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let (mut members, mut records) = (0, 0);
    for name in LOGS {
        let path = root.join(name);
        if !path.exists() {
            eprintln!("skipped: no {name} in the data folder; set SIGHTLINE_DATA to it");
            return;
        }
        let python = std::env::var_os("SIGHTLINE_ORACLE").unwrap_or_else(|| "python3".into());
        let counted =
            Command::new(python).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/logs.py")).arg(&path).output().unwrap();
        assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stderr));
        let mut expected: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for line in counted.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let row: Value = serde_json::from_slice(line).unwrap();
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            let (kind, count) = (text("kind"), row["records"].as_u64().unwrap());
            let file = text("file");
            // `analyze` names a member by the file's own name.
            let folder = file.rfind('/').map_or(0, |slash| slash + 1);
            let member = text("member")[folder..].to_owned();
            let refused = u64::from(kind == "closed");
            expected.entry(file).or_default().insert(format!("{member} {refused}"), count);
        }
        for (file, expected) in expected {
            let path = if path.is_dir() { path.join(&file) } else { path.clone() };
            let (_, found) = analyze(&path);
            let found: BTreeMap<String, u64> = found["members"]
                .as_array()
                .unwrap()
                .iter()
                .map(|member| (format!("{} {}", member["path"].as_str().unwrap(), member["refused"]), member["records"].as_u64().unwrap()))
                .collect();
            assert_eq!(found, expected, "{file}");
            (members, records) = (members + found.len(), records + found.values().sum::<u64>());
        }
    }
    println!("{members} members, {records} records, as counted");
    assert!(members >= 49 && records > 140_000);
}
