//! The verdicts of the standard's own pattern parser.
use sightline_formats::{Limits, pattern};

use super::data;

#[test]
fn every_verdict_of_the_reference_grammar_is_ours() {
    let Some(path) = data::path("stix/pattern-grammar.jsonl") else { return };
    let cases = data::lines(&path);
    let mut different = Vec::new();
    for case in &cases {
        let text = case["pattern"].as_str().unwrap();
        let parsed = pattern::parse(text, &Limits::default());
        if parsed.is_ok() != case["valid"].as_bool().unwrap() {
            different.push(format!("{} {text}: {parsed:?}", case["n"]));
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), cases.len(), different.join("\n"));
}

#[test]
fn every_pattern_that_the_reference_matcher_runs_is_read() {
    let Some(path) = data::path("stix/pattern-match.jsonl") else { return };
    let mut different = Vec::new();
    for case in data::lines(&path) {
        let text = case["pattern"].as_str().unwrap();
        if case.get("error").is_none_or(serde_json::Value::is_null)
            && let Err(error) = pattern::parse(text, &Limits::default())
            // The matcher runs what the grammar's own verdicts refuse.
            && error.message != "a second qualifier of the same sort"
        {
            different.push(format!("{text}: {error}"));
        }
    }
    assert_eq!(different, Vec::<String>::new());
}
