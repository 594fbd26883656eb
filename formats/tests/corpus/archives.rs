//! Archives of OTRF's Security-Datasets, member by member, against the counts of `INDEX.json`.
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;

use sightline_formats::Limits;
use sightline_formats::logs::PieceReader;
use sightline_formats::logs::stream::{Framed, LogStream};
use sightline_formats::unpack::{Unpacked, unpack_file};

use crate::data;

/// What a member held.
#[derive(Default, PartialEq, Eq, Debug)]
struct Held {
    events: u64,
    reasons: Vec<String>,
}

fn members(archive: &std::path::Path) -> BTreeMap<String, Held> {
    let limits = Limits::default();
    let mut reader = PieceReader::new(&limits);
    let mut found: BTreeMap<String, Held> = BTreeMap::new();
    unpack_file("", File::open(archive).unwrap(), &limits, &mut |unpacked| {
        match unpacked {
            Unpacked::Refused { path, refused } => {
                found.entry(path.trim_start_matches('!').to_owned()).or_default().reasons.push(refused.reason.into());
            }
            Unpacked::Member { path, content } => {
                let held = found.entry(path.trim_start_matches('!').to_owned()).or_default();
                let stream = LogStream::open(content);
                let Some(format) = stream.format() else {
                    held.reasons.push("binary-content".into());
                    return ControlFlow::Continue(());
                };
                stream
                    .pieces(format, &limits, &mut |framed| {
                        match framed {
                            Framed::Refused { line, refused, .. } => held.reasons.push(format!("line {line} {}", refused.reason)),
                            Framed::Piece(piece) => reader.read(&piece, &mut |read| match read.fields {
                                Ok(_) => held.events += 1,
                                Err(refused) => held.reasons.push(format!("line {} {}", read.line, refused.reason)),
                            }),
                        }
                        ControlFlow::Continue(())
                    })
                    .unwrap();
            }
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

/// Zeek's lines that are no records: eight of a header, one at the end.
const ZEEK_COMMENTS: u64 = 9;

#[test]
fn every_member_of_every_archive_holds_what_the_index_counted() {
    let Some(root) = data::path("otrf-security-datasets") else { return };
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(root.join("INDEX.json")).unwrap()).unwrap();
    let (mut events, mut archives) = (0, 0);
    for (archive, entry) in index.as_object().unwrap() {
        let mut found = members(&root.join(archive));
        archives += 1;
        for member in entry["members"].as_array().unwrap() {
            let name = member["member"].as_str().unwrap();
            let number = |key: &str| member[key].as_u64().unwrap_or_default();
            let (count, reason) = match member["kind"].as_str().unwrap() {
                "AppleDouble junk" => continue,
                "ndjson" => (number("events"), None),
                "csv" => (number("lines") - 1, None),
                "zeek-tsv" => (number("lines") - ZEEK_COMMENTS, None),
                "text" => (number("lines"), None),
                "pcap" => (0, Some("binary-content")),
                "encrypted" => (0, Some("encrypted")),
                kind => panic!("{archive}!{name} is of an unknown kind, {kind}"),
            };
            // A file that is no archive is its own member.
            let held = found.remove(name).or_else(|| found.remove("")).unwrap_or_else(|| panic!("{archive}!{name} was not found"));
            let expected = Held { events: count, reasons: reason.into_iter().map(str::to_owned).collect() };
            assert_eq!(held, expected, "{archive}!{name}");
            events += held.events;
        }
        assert!(found.is_empty(), "{archive} holds what the index does not name: {found:?}");
    }
    println!("{archives} archives, {events} events");
    assert!(archives >= 24 && events > 136_491);
}
