//! What the parsers make of small inputs, byte for byte: `testdata/formats/<name>` gives `<name>.expected`.
//! After a change that is meant, write them anew with `SIGHTLINE_BLESS=1 cargo test -p sightline-formats --test golden`, and read the difference.
#![allow(clippy::unwrap_used)]
use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use sightline_formats::logs::record::{RecordReader, Told};
use sightline_formats::sources::Sources;
use sightline_formats::{FlatEvent, IntelFormat, IntelItem, IntelObject, Limits, Poison, parse_intel};

fn write_object(text: &mut String, index: u64, object: &IntelObject) {
    writeln!(text, "{index} {} {:?}", object.id, object.name.as_deref().unwrap_or_default()).unwrap();
    let span = object.seen.map(|(first, last)| format!("{first}..{last}")).unwrap_or_default();
    let (tlp, revoked) = (object.tlp.map_or("-", |tlp| tlp.as_str()), if object.revoked { " revoked" } else { "" });
    writeln!(text, "  seen {span} tlp {tlp} confidence {:?} labels {:?}{revoked}", object.confidence, object.labels).unwrap();
    for held in &object.holds {
        writeln!(text, "  holds {} {} {}", held.role, held.observable.kind(), held.observable.value()).unwrap();
    }
    for reference in &object.references {
        writeln!(text, "  refers {} {}", reference.ty, reference.target).unwrap();
    }
    if let Some(relationship) = object.relationship {
        writeln!(text, "  relates {} {} {}", relationship.source, relationship.ty, relationship.target).unwrap();
    }
    writeln!(text, "  doc {} {}", object.hash, object.doc).unwrap();
}

fn write_poison(text: &mut String, poison: &Poison) {
    writeln!(text, "refused {} {} {}: {}", poison.position, poison.stage.as_str(), poison.reason, poison.message).unwrap();
}

fn intel(bytes: &[u8]) -> String {
    let mut text = String::new();
    let parts: Vec<Bytes> = bytes.chunks(100).map(Bytes::copy_from_slice).collect();
    let digest = parse_intel(IntelFormat::Auto, &parts, &Limits::default(), &mut |item| match item {
        IntelItem::Object { index, object } => write_object(&mut text, index, &object),
        IntelItem::Poison(poison) => write_poison(&mut text, &poison),
    });
    match digest {
        Ok(digest) => {
            let newest = digest.newest.map(|at| at.to_string()).unwrap_or_default();
            writeln!(text, "{}: {} objects, {} refused, newest {newest}", digest.format, digest.objects, digest.rejected).unwrap();
        }
        Err(poison) => write_poison(&mut text, &poison),
    }
    text
}

fn events(bytes: &[u8]) -> String {
    let mut text = String::new();
    let sources = Sources::default();
    RecordReader::new(&Limits::default()).read(bytes, Told::default(), &mut |_, read| match read
        .fields
        .and_then(|fields| FlatEvent::of(fields, &sources))
    {
        Ok(event) => {
            let at = event.timestamp.map_or("-".to_owned(), |at| at.to_string());
            writeln!(text, "line {} {at} {} {}", read.line, event.hash, event.fields).unwrap();
            for found in &event.observables {
                writeln!(text, "  {} {} in {}", found.observable.kind(), found.observable.value(), found.field).unwrap();
            }
        }
        Err(refused) => writeln!(text, "refused line {} {}: {}", read.line, refused.reason, refused.message).unwrap(),
    });
    text
}

fn compare(name: &str, read: fn(&[u8]) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/formats");
    let (input, expected) = (folder.join(name), folder.join(format!("{name}.expected")));
    let got = read(&std::fs::read(input).unwrap());
    if std::env::var_os("SIGHTLINE_BLESS").is_some() {
        std::fs::write(&expected, &got).unwrap();
    }
    assert_eq!(got, std::fs::read_to_string(expected).unwrap(), "{name}");
}

#[test]
fn a_bundle_of_every_feature_is_read_as_recorded() {
    compare("features.json", intel);
}

#[test]
fn a_bundle_of_every_fault_is_refused_part_by_part_as_recorded() {
    compare("faults.json", intel);
}

#[test]
fn lists_and_csv_are_read_as_recorded() {
    compare("values.txt", intel);
    compare("values.csv", intel);
}

#[test]
fn events_are_flattened_as_recorded() {
    compare("events.ndjson", events);
}
