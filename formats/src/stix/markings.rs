//! Traffic Light Protocol from the marking definitions that STIX 2.0 and 2.1 fix (TLP 1.0) and that FIRST and OASIS publish (TLP 2.0).
use serde_json::Value;

use crate::intel::Tlp;

const KNOWN: &[(&str, Tlp)] = &[
    ("613f2e26-407d-48c7-9eca-b8e91df99dc9", Tlp::Clear),
    ("34098fce-860f-48ae-8e50-ebd3cc5e41da", Tlp::Green),
    ("f88d31f6-486f-44da-b317-01333bde0b82", Tlp::Amber),
    ("5e57c739-391a-4eb3-b6be-7d15ca92d5ed", Tlp::Red),
    ("94868c89-83c2-464b-929b-a1a8aa3c8487", Tlp::Clear),
    ("bab4a63c-aed9-4cf5-a766-dfca5abac2bb", Tlp::Green),
    ("55d920b0-5e8b-4f79-9ee9-91f868d9b421", Tlp::Amber),
    ("939a9414-2ddd-4d32-a0cd-375ea402b003", Tlp::AmberStrict),
    ("e828b379-4e03-4974-9ac4-e53a884c97c1", Tlp::Red),
];

/// The strictest TLP among `object_marking_refs`.
pub(super) fn strictest(markings: Option<&Value>) -> Option<Tlp> {
    let markings = markings.and_then(Value::as_array)?;
    markings
        .iter()
        .filter_map(|marking| marking.as_str()?.strip_prefix("marking-definition--"))
        .filter_map(|uuid| KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(uuid)))
        .map(|(_, tlp)| *tlp)
        .max()
}
