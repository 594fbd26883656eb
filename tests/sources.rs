//! What sources make of real events, beside what other people's parsers made of them.
#![allow(clippy::unwrap_used, missing_docs)]
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Map, Value};

/// The shared data, where it lies beside this repository.
fn data() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let data = std::env::var_os("SIGHTLINE_DATA").map_or(beside, PathBuf::from);
    data.is_dir().then_some(data)
}

/// Sigma's regression events, and what a pySigma-based evaluator flattened each of them to.
#[test]
fn windows_events_have_the_names_that_sigma_rules_use() {
    let Some(data) = data() else { return eprintln!("skipped: the shared data is not here") };
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("events.json"), folder.path().join("out"));
    let mut file = std::fs::File::create(&input).unwrap();
    let mut expected: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for line in std::fs::read_to_string(data.join("sigma/regression-events.jsonl")).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        writeln!(file, "{}", case["event"]).unwrap();
        let flat = case["flat"].as_object().unwrap().clone();
        expected.insert(name(&flat), flat);
    }
    let done = Command::new(env!("CARGO_BIN_EXE_sightline")).arg("process").arg(&input).arg("--out").arg(&out).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let (mut equal, mut all, mut differ) = (0u32, 0u32, BTreeMap::<String, u32>::new());
    for line in std::fs::read_to_string(out.join("events.ndjson")).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let fields = match &event["fields"] {
            Value::String(text) => serde_json::from_str(text).unwrap(),
            fields => fields.as_object().unwrap().clone(),
        };
        let flat = expected.remove(&name(&fields)).unwrap_or_else(|| panic!("an event that was not expected: {line}"));
        for (field, value) in &flat {
            all += 1;
            // A field that holds nothing is as good as one that is not there.
            if fields.get(field) == Some(value) || value.is_null() && !fields.contains_key(field) {
                equal += 1;
            } else {
                *differ.entry(field.clone()).or_default() += 1;
            }
        }
    }
    assert!(expected.is_empty(), "events that did not arrive: {:?}", expected.keys());
    println!("{equal} of {all} fields are equal; the others: {differ:?}");
    assert!(equal * 10 >= all * 9, "{equal} of {all}: {differ:?}");
}

/// What tells the events apart.
fn name(fields: &Map<String, Value>) -> String {
    ["EventRecordID", "Computer", "Channel", "UtcTime"].map(|name| fields.get(name).map(Value::to_string).unwrap_or_default()).join(" ")
}
