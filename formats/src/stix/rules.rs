//! MUSTs of the standard about values: what a consumer would be misled by. STIX 2.1 §2, §3, §5, §6 and §7; 2.0 has the same ones.
//!
//! Left out on purpose: spelling of custom property names, reserved property names, CVE spelling in external references, CPE and MIME syntax,
//! abbreviated registry hives, custom TLP markings. Feeds in use break them, and nothing that Sightline does depends on them.
use serde_json::{Map, Value};
use sightline_schemas::{Micros, Observable, ObservableKind as Kind, StixId};

use super::object::{Wrong, wrong};
use super::required::{Version, is_observable, is_standard};
use crate::pattern::is_base64;

/// Properties that hold an instant wherever they stand.
const TIMES: &[&str] = &[
    "account_created",
    "account_expires",
    "account_first_login",
    "account_last_login",
    "analysis_ended",
    "analysis_started",
    "atime",
    "created_time",
    "credential_last_changed",
    "ctime",
    "end",
    "first_observed",
    "first_seen",
    "last_observed",
    "last_seen",
    "modified_time",
    "mtime",
    "private_key_usage_period_not_after",
    "private_key_usage_period_not_before",
    "published",
    "start",
    "submitted",
    "time_date_stamp",
    "validity_not_after",
    "validity_not_before",
];

/// The first is not after the second.
const ORDERED: &[(&str, &str)] = &[
    ("first_seen", "last_seen"),
    ("first_observed", "last_observed"),
    ("start", "end"),
    ("start_time", "stop_time"),
    ("analysis_started", "analysis_ended"),
];

/// Types that a relationship cannot link (STIX 2.1 §5.1).
const UNLINKED: &[&str] = &["bundle", "language-content", "marking-definition", "relationship", "sighting"];

/// Checks an object of the standard's own types; custom ones are held to the common properties only.
pub(super) fn check(object: &Map<String, Value>, ty: &str, version: Version) -> Result<(), Wrong> {
    markings(object)?;
    match ty {
        "relationship" => relationship(object)?,
        "sighting" => types_of(object, "where_sighted_refs", "identities or locations", |ty| matches!(ty, "identity" | "location"))?,
        "observed-data" => observed_data(object)?,
        "marking-definition" => marking_definition(object)?,
        "extension-definition" => {
            let allowed = ["new-sdo", "new-sco", "new-sro", "property-extension", "toplevel-property-extension"];
            closed(object, "extension_types", &allowed)?;
        }
        _ => {}
    }
    if is_observable(ty) {
        observable(object, ty, "")?;
        times(object, "")?;
    } else if is_standard(ty) {
        for (property, value) in object {
            instant(property, value, "")?;
        }
    }
    in_order(object, version)
}

fn relationship(object: &Map<String, Value>) -> Result<(), Wrong> {
    let ty = text(object, "relationship_type").unwrap_or_default();
    if !ty.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return wrong("relationship_type", "invalid-name", format!("{ty:?} must be of a-z, 0-9 and -"));
    }
    for property in ["source_ref", "target_ref"] {
        types_of(object, property, "a domain, observable or custom object", |ty| !UNLINKED.contains(&ty))?;
    }
    Ok(())
}

fn observed_data(object: &Map<String, Value>) -> Result<(), Wrong> {
    if object.get("number_observed").is_some_and(|number| !number.as_u64().is_some_and(|number| (1..=999_999_999).contains(&number))) {
        return wrong("number_observed", "out-of-range", "expected an integer from 1 to 999,999,999");
    }
    types_of(object, "object_refs", "observables or relationships", |ty| !is_standard(ty) || UNLINKED.contains(&ty))?;
    let Some(items) = object.get("objects") else { return Ok(()) };
    let Some(items) = items.as_object() else {
        return wrong("objects", "wrong-type", "expected a dictionary of observable objects");
    };
    for (key, item) in items {
        let place = format!("objects.{key}");
        let Some(item) = item.as_object() else { return wrong(&place, "wrong-type", "expected an object") };
        let ty = text(item, "type").unwrap_or_default();
        let well_named =
            ty.len() >= 3 && !ty.contains("--") && ty.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !well_named {
            return wrong(&format!("{place}.type"), "invalid-name", "an observable needs a `type` of a-z, 0-9 and -");
        }
        observable(item, ty, &format!("{place}."))?;
        times(item, &format!("{place}."))?;
    }
    Ok(())
}

/// A cyber-observable object, at `place` within its package's object.
fn observable(object: &Map<String, Value>, ty: &str, place: &str) -> Result<(), Wrong> {
    if object.get("extensions").is_some_and(|extensions| !extensions.is_object()) {
        return wrong(&format!("{place}extensions"), "wrong-type", "expected a dictionary");
    }
    let value = text(object, "value");
    match (ty, value) {
        ("ipv4-addr", Some(value)) if Observable::new(Kind::Ipv4Addr, value).is_err() => {
            wrong(&format!("{place}value"), "invalid-value", "not an IPv4 address or network")
        }
        ("ipv6-addr", Some(value)) if Observable::new(Kind::Ipv6Addr, value).is_err() => {
            wrong(&format!("{place}value"), "invalid-value", "not an IPv6 address or network")
        }
        ("url", Some(value)) if !has_scheme(value) => wrong(&format!("{place}value"), "invalid-value", "not a URL: it has no scheme"),
        ("network-traffic", _) => network_traffic(object, place),
        ("artifact", _) => artifact(object, place),
        _ => Ok(()),
    }
}

fn network_traffic(object: &Map<String, Value>, place: &str) -> Result<(), Wrong> {
    if !object.contains_key("src_ref") && !object.contains_key("dst_ref") {
        return wrong(&format!("{place}src_ref"), "missing-property", "network traffic needs `src_ref` or `dst_ref`");
    }
    if !object.contains_key("protocols") {
        return wrong(&format!("{place}protocols"), "missing-property", "network traffic needs `protocols`");
    }
    for property in ["src_port", "dst_port"] {
        if object.get(property).is_some_and(|port| port.as_u64().is_none_or(|port| port > 65_535)) {
            return wrong(&format!("{place}{property}"), "out-of-range", "expected a port from 0 to 65535");
        }
    }
    Ok(())
}

fn artifact(object: &Map<String, Value>, place: &str) -> Result<(), Wrong> {
    match (text(object, "payload_bin"), text(object, "url")) {
        (Some(_), Some(_)) => wrong(&format!("{place}url"), "conflict", "an artifact holds `payload_bin` or `url`, not both"),
        (Some(payload), None) if !is_base64(payload) => wrong(&format!("{place}payload_bin"), "invalid-value", "not Base64"),
        (None, Some(url)) if !has_scheme(url) => wrong(&format!("{place}url"), "invalid-value", "not a URL: it has no scheme"),
        (None, Some(_)) if !object.get("hashes").is_some_and(Value::is_object) => {
            wrong(&format!("{place}hashes"), "missing-property", "an artifact with `url` needs `hashes`")
        }
        (None, None) => wrong(&format!("{place}payload_bin"), "missing-property", "an artifact needs `payload_bin` or `url`"),
        _ => closed(object, "encryption_algorithm", &["AES-256-GCM", "ChaCha20-Poly1305", "mime-type-indicated"]),
    }
}

fn marking_definition(object: &Map<String, Value>) -> Result<(), Wrong> {
    if object.contains_key("extensions") {
        return Ok(());
    }
    for property in ["definition_type", "definition"] {
        if !object.contains_key(property) {
            return wrong(property, "missing-property", "a marking definition without extension needs `definition_type` and `definition`");
        }
    }
    Ok(())
}

fn markings(object: &Map<String, Value>) -> Result<(), Wrong> {
    types_of(object, "object_marking_refs", "marking definitions", |ty| ty == "marking-definition")?;
    for (at, marking) in object.get("granular_markings").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if text_of(marking, "marking_ref").is_some_and(|reference| !reference.starts_with("marking-definition--")) {
            return wrong(&format!("granular_markings[{at}].marking_ref"), "wrong-type", "expected a marking definition");
        }
        let selectors = marking.get("selectors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for selector in selectors {
            // A selector begins with the name of a property of the object (STIX 2.1 §7.2.3.1).
            if !object.contains_key(selector.split('.').next().unwrap_or_default()) {
                let message = format!("{selector:?} selects no property of the object");
                return wrong(&format!("granular_markings[{at}].selectors"), "invalid-selector", message);
            }
        }
    }
    Ok(())
}

/// Every reference of `property` is of a type that `fits`; what is no identifier is for others to say.
fn types_of(object: &Map<String, Value>, property: &str, expected: &str, fits: impl Fn(&str) -> bool) -> Result<(), Wrong> {
    let value = object.get(property);
    let one = value.into_iter().filter_map(Value::as_str);
    let many = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for reference in one.chain(many) {
        if let Ok(id) = StixId::parse(reference)
            && !fits(id.ty().as_str())
        {
            return wrong(property, "wrong-type", format!("{reference} is not one of {expected}"));
        }
    }
    Ok(())
}

/// A value, or each of a list, is one of those that the standard allows.
fn closed(object: &Map<String, Value>, property: &str, allowed: &[&str]) -> Result<(), Wrong> {
    let value = object.get(property);
    let one = value.into_iter().filter_map(Value::as_str);
    let many = value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    match one.chain(many).find(|text| !allowed.contains(text)) {
        Some(text) => wrong(property, "not-allowed", format!("{text:?} is none of {}", allowed.join(", "))),
        None => Ok(()),
    }
}

/// Instants at any depth: extensions of observables hold some. The depth is bounded by that of the object.
fn times(object: &Map<String, Value>, place: &str) -> Result<(), Wrong> {
    for (property, value) in object {
        instant(property, value, place)?;
        if let Value::Object(inner) = value {
            times(inner, &format!("{place}{property}."))?;
        }
    }
    Ok(())
}

fn instant(property: &str, value: &Value, place: &str) -> Result<(), Wrong> {
    match value.as_str() {
        Some(text) if TIMES.binary_search(&property).is_ok() => match Micros::parse(text) {
            Ok(_) => Ok(()),
            Err(error) => wrong(&format!("{place}{property}"), "invalid-time", error.to_string()),
        },
        _ => Ok(()),
    }
}

fn in_order(object: &Map<String, Value>, version: Version) -> Result<(), Wrong> {
    for (first, last) in ORDERED {
        // STIX 2.0 does not ask it of campaigns and the like, and reports in use have them the wrong way round.
        if version == Version::V20 && *first == "first_seen" {
            continue;
        }
        let at = |property| text(object, property).and_then(|text| Micros::parse(text).ok());
        if let (Some(from), Some(to)) = (at(first), at(last))
            && to < from
        {
            return wrong(last, "invalid-time", format!("`{last}` is before `{first}`"));
        }
    }
    Ok(())
}

fn has_scheme(url: &str) -> bool {
    // Feeds defang their URLs: what the colon is hidden in does not matter.
    url.split_once([':', '[']).is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'))
    })
}

fn text<'a>(object: &'a Map<String, Value>, property: &str) -> Option<&'a str> {
    object.get(property).and_then(Value::as_str)
}

fn text_of<'a>(value: &'a Value, property: &str) -> Option<&'a str> {
    value.get(property).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_times_are_sorted_for_the_search() {
        assert!(TIMES.is_sorted());
    }
}
