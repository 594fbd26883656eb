//! ATT&CK releases against `EXPECTED.json`, and the speed of reading them.
use std::collections::BTreeMap;
use std::time::Instant;

use sightline_formats::{IntelFormat, Limits, object_from_doc, parse_intel};

use super::data;

#[test]
fn every_release_of_attack_gives_the_counts_of_its_publisher() {
    let Some(folder) = data::path("attack-stix") else { return };
    let expected: serde_json::Value = serde_json::from_slice(&data::read(&folder.join("EXPECTED.json"))).unwrap();
    for (release, expected) in expected.as_object().unwrap() {
        let path = folder.join(format!("{release}.json.xz"));
        if !path.exists() {
            continue;
        }
        let (digest, objects, poisons) = data::parse(&data::read(&path), IntelFormat::Auto);
        assert_eq!(poisons, [], "{release}");
        assert_eq!(digest.unwrap().objects, expected["objects"].as_u64().unwrap(), "{release}");
        let mut types: BTreeMap<&str, u64> = BTreeMap::new();
        for object in &objects {
            *types.entry(object.id.ty().as_str()).or_default() += 1;
        }
        assert_eq!(serde_json::to_value(&types).unwrap(), expected["types"], "{release}");
        assert_eq!(objects.iter().filter(|object| object.revoked).count() as u64, expected["revoked"].as_u64().unwrap(), "{release}");
    }
}

#[test]
fn an_object_read_again_from_its_document_is_the_same_object() {
    let Some(path) = data::path("attack-stix/ics-attack-16.1.json.xz") else { return };
    let (_, objects, _) = data::parse(&data::read(&path), IntelFormat::Stix);
    for object in objects {
        assert_eq!(object_from_doc(&object.doc, &Limits::default()).unwrap(), object);
    }
}

/// Run it with `cargo test --release -- --ignored --nocapture speed`.
#[test]
#[ignore = "a measurement"]
fn speed_of_reading_attack_enterprise() {
    let Some(path) = data::path("attack-stix/enterprise-attack-v16.1.json.xz") else { return };
    let bytes = data::read(&path);
    let parts = [bytes.clone()];
    for round in 1..=3 {
        let (start, mut objects, mut held) = (Instant::now(), 0u64, 0);
        parse_intel(IntelFormat::Stix, &parts, &Limits::default(), &mut |item| {
            if let sightline_formats::IntelItem::Object { object, .. } = item {
                objects += 1;
                held += object.holds.len();
            }
        })
        .unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let (rate, megabytes) = (objects as f64 / seconds, bytes.len() as f64 / 1e6);
        println!(
            "round {round}: {objects} objects, {held} observables, {megabytes:.1} MB in {seconds:.3} s = {rate:.0} objects/s, {:.0} MB/s",
            megabytes / seconds
        );
    }
}
