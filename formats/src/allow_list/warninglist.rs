//! MISP's warninglists: a JSON file a list.
use std::sync::LazyLock;

use bytes::Bytes;
use chrono::NaiveDate;
use regex::bytes::Regex;
use serde::Deserialize;
use serde_json::json;
use sightline_schemas::{Micros, StixId, TypeName};
use uuid::Uuid;

use super::TYPE;
use super::matcher::{expression, network};
use crate::intel::{Counted, IntelItem, PackageDigest};
use crate::limits::Limits;
use crate::parts::Parts;
use crate::poison::Poison;
use crate::stix::object_from_doc;

/// The namespace of lists; drawn once at random.
const NAMESPACE: Uuid = Uuid::from_u128(0x9d0b_7a5e_44c1_4c5b_8a72_e0c9_13f6_2bd8);
/// Entries an object: a longer list is several, for objects have a bound.
const ENTRIES: usize = 10_000;

#[derive(Deserialize)]
struct Warninglist {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    version: u64,
    #[serde(rename = "type", default = "string")]
    ty: String,
    #[serde(default)]
    matching_attributes: Vec<String>,
    list: Vec<String>,
}

fn string() -> String {
    "string".into()
}

/// The properties that come before the list, whichever they are, and the beginning of a list of texts.
static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let before = r#"\s*"(name|description|version|type|matching_attributes)"\s*:\s*("([^"\\]|\\.)*"|\d+|\[[^\]{]*\])\s*,"#;
    Regex::new(&format!(r#"(?-u)^\{{({before})*\s*"list"\s*:\s*\[\s*("|\])"#)).ok()
});

/// Whether JSON that begins with `head` is a warninglist.
pub(crate) fn is_warninglist(head: &[u8]) -> bool {
    MARK.as_ref().is_some_and(|mark| mark.is_match(head))
}

/// Reads a list.
pub(crate) fn parse(parts: &[Bytes], limits: &Limits, out: &mut dyn FnMut(IntelItem)) -> Result<PackageDigest, Poison> {
    let mut counted = Counted::new("warninglist", out);
    let list: Warninglist = serde_json::from_reader(Parts::new(parts)).map_err(|error| {
        let message = format!("not a MISP warninglist: {error}; expected name, type and list");
        Poison::parse(format!("line {}", error.line()), "invalid-warninglist", message, parts.first().map_or(&[], |part| &part[..]), limits)
    })?;
    let Ok(ty) = TypeName::new(TYPE) else { return Ok(counted.finish()) };
    let Warninglist { name, description, version, ty: list_type, matching_attributes, list } = list;
    if !["string", "substring", "hostname", "cidr", "regex"].contains(&list_type.as_str()) {
        let message = format!("type {list_type:?} of the list is none of string, substring, hostname, cidr, regex");
        return Err(Poison::validate("$.type".into(), "invalid-warninglist", message, list_type.as_bytes(), limits));
    }
    let mut kept = Vec::with_capacity(list.len());
    for (entry, at) in list.into_iter().zip(0..) {
        let wrong = match list_type.as_str() {
            "cidr" if network(&entry).is_none() => Some("expected an address or a network, as in 198.51.100.0/24"),
            "regex" if expression(&entry).is_none() => {
                Some("expected an expression without look-around and back-references, of a bounded size")
            }
            _ => None,
        };
        match wrong {
            Some(expected) => {
                counted.poison(Poison::validate(format!("$.list[{at}]"), "invalid-entry", expected, entry.as_bytes(), limits))
            }
            None => kept.push(entry),
        }
    }
    let modified = instant(version).to_string();
    let total = kept.len().div_ceil(ENTRIES).max(1);
    for part in 0..total {
        let entries = &kept[part * ENTRIES..((part + 1) * ENTRIES).min(kept.len())];
        let id = StixId::new(ty, Uuid::new_v5(&NAMESPACE, format!("{name}\n{part}").as_bytes()));
        let named = if total == 1 { name.clone() } else { format!("{name} ({} of {total})", part + 1) };
        let document = json!({
            "type": TYPE, "spec_version": "2.1", "id": id.to_string(), "created": modified, "modified": modified, "name": named,
            "list_description": description, "list_type": list_type, "matching_attributes": matching_attributes, "list": entries,
        });
        match object_from_doc(&document.to_string(), limits) {
            Ok(object) => counted.object(part as u64, Box::new(object)),
            Err(poison) => counted.poison(poison),
        }
    }
    Ok(counted.finish())
}

/// A version is a date (`20260405`), or a number that counts up.
fn instant(version: u64) -> Micros {
    const DAY: i64 = 86_400_000_000;
    let of_date = |number: u64| {
        let (year, month, day) = (i32::try_from(number / 10_000).ok()?, (number / 100 % 100) as u32, (number % 100) as u32);
        Some(NaiveDate::from_ymd_opt(year, month, day)?.signed_duration_since(NaiveDate::default()).num_days() * DAY)
    };
    let counted = i64::try_from(version.min(1 << 30)).unwrap_or(0) * 1_000_000;
    Micros((19_700_101..=99_991_231).contains(&version).then(|| of_date(version)).flatten().unwrap_or(counted))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sightline_schemas::ObservableKind as Kind;

    use super::super::AllowList;
    use super::*;

    const LIST: &str = r#"{"description":"two","list":["198.51.100.0/24","nonsense","203.0.113.7"],"matching_attributes":["ip-dst"],
        "name":"Two of ours","type":"cidr","version":20260405}"#;

    fn read(text: &str) -> (Vec<crate::IntelObject>, Vec<Poison>) {
        let (mut objects, mut poisons) = (Vec::new(), Vec::new());
        let done = parse(&[Bytes::copy_from_slice(text.as_bytes())], &Limits::default(), &mut |item| match item {
            IntelItem::Object { object, .. } => objects.push(*object),
            IntelItem::Poison(poison) => poisons.push(poison),
        });
        poisons.extend(done.err());
        (objects, poisons)
    }

    #[test]
    fn a_list_is_an_object_with_a_version_and_a_bad_entry_costs_only_itself() {
        let (objects, poisons) = read(LIST);
        let [object] = &objects[..] else { panic!("{} objects", objects.len()) };
        assert_eq!((object.id.ty().as_str(), object.name.as_deref()), (TYPE, Some("Two of ours")));
        assert_eq!(object.modified.unwrap().to_string(), "2026-04-05T00:00:00Z");
        assert!(object.holds.is_empty(), "a list names no indicators: {:?}", object.holds);
        let list = AllowList::of(&object.doc).unwrap();
        assert!(
            list.has(Kind::Ipv4Addr, "198.51.100.9") && list.has(Kind::Ipv4Addr, "203.0.113.7") && !list.has(Kind::Ipv4Addr, "203.0.113.8")
        );
        let [poison] = &poisons[..] else { panic!("{poisons:?}") };
        assert_eq!((poison.position.as_str(), poison.reason), ("$.list[1]", "invalid-entry"));
    }

    #[test]
    fn a_long_list_is_several_objects() {
        let entries: Vec<String> = (0..25_000).map(|number| format!("host-{number}.example")).collect();
        let (objects, poisons) = read(&json!({ "name": "long", "type": "hostname", "version": 3, "list": entries }).to_string());
        assert_eq!((objects.len(), poisons.len()), (3, 0));
        let lists: Vec<_> = objects.iter().map(|object| AllowList::of(&object.doc).unwrap()).collect();
        assert!(entries.iter().all(|host| lists.iter().any(|list| list.has(Kind::DomainName, host))));
    }

    #[test]
    fn a_warninglist_is_told_from_other_json_and_one_that_is_broken_says_where() {
        assert!(is_warninglist(LIST.as_bytes()));
        assert!(is_warninglist(br#"{"name":"a \" b","version":1,"list":[]}"#));
        for other in [r#"{"list":[{"a":1}]}"#, r#"{"event":"x","list":["a"]}"#, r#"{"type":"bundle","objects":[]}"#, r#"["a"]"#] {
            assert!(!is_warninglist(other.as_bytes()), "{other}");
        }
        let (_, poisons) = read("{\"name\":\"x\",\n\"list\":[1]}");
        assert_eq!((poisons[0].position.as_str(), poisons[0].reason), ("line 2", "invalid-warninglist"));
        assert_eq!(read(r#"{"name":"x","type":"fuzzy","list":[]}"#).1[0].reason, "invalid-warninglist");
    }
}
