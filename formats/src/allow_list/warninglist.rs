//! MISP's warninglists: a JSON file a list.
use std::sync::LazyLock;

use bytes::Bytes;
use regex::bytes::Regex;
use serde::Deserialize;
use serde_json::{Value, json};
use sightline_schemas::observable::MAX_VALUE_BYTES;
use sightline_schemas::{Micros, StixId, TypeName};
use uuid::Uuid;

use super::TYPE;
use super::matcher::{expression, expressions, host, network};
use crate::intel::{Counted, IntelItem, PackageDigest};
use crate::limits::Limits;
use crate::parts::Parts;
use crate::poison::Poison;
use crate::stix::object_from_doc;

/// The namespace of lists; drawn once at random.
const NAMESPACE: Uuid = Uuid::from_u128(0x9d0b_7a5e_44c1_4c5b_8a72_e0c9_13f6_2bd8);

#[derive(Deserialize)]
struct Warninglist {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    version: Version,
    #[serde(rename = "type", default = "string")]
    ty: String,
    #[serde(default)]
    matching_attributes: Vec<String>,
    list: Vec<Value>,
}

fn string() -> String {
    "string".into()
}

/// A number that counts up, written as such or as a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Version {
    Number(u64),
    Text(String),
}

impl Default for Version {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl Version {
    /// As the instant of the object's version: seconds, so that it rises with the number, whether that counts, is a date or a date with an hour.
    fn instant(&self) -> Option<Micros> {
        const LATEST: u64 = 253_402_300_799;
        let number = match self {
            Self::Number(number) => *number,
            Self::Text(text) => text.trim().parse().ok()?,
        };
        i64::try_from(number.min(LATEST)).ok().map(|seconds| Micros(seconds * 1_000_000))
    }
}

/// Known properties before a list of texts. Where the list comes first: one after it, or more of the list than the head holds.
static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let name = r#""(name|description|version|type|matching_attributes)"\s*:"#;
    let text = r#""([^"\\]|\\.)*""#;
    let before = format!(r#"\s*{name}\s*({text}|\d+|\[[^\]{{]*\])\s*,"#);
    let list = r#"\s*"list"\s*:\s*\["#;
    Regex::new(&format!(
        r#"(?-u)^\{{(({before})+{list}\s*("|\])|{list}(\s*{text}\s*,)*\s*({text}\s*\]\s*,\s*{name}|("([^"\\]|\\.)*"?)?\s*$))"#
    ))
    .ok()
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
    let refuse =
        |position: &str, message: String| Poison::validate(position.into(), "invalid-warninglist", message, name.as_bytes(), limits);
    if !["string", "substring", "hostname", "cidr", "regex"].contains(&list_type.as_str()) {
        return Err(refuse("$.type", format!("type {list_type:?} of the list is none of string, substring, hostname, cidr, regex")));
    }
    let Some(modified) = version.instant() else { return Err(refuse("$.version", "expected a number that counts up".into())) };
    let mut kept = Vec::with_capacity(list.len());
    for (entry, at) in list.into_iter().zip(0..) {
        let entry = match entry {
            Value::String(entry) => match check(&list_type, &entry) {
                Ok(()) => Ok(entry),
                Err(expected) => Err((expected, entry)),
            },
            other => Err(("expected a text", other.to_string())),
        };
        match entry {
            Ok(entry) => kept.push(entry),
            Err((expected, other)) => {
                counted.poison(Poison::validate(format!("$.list[{at}]"), "invalid-entry", expected, other.as_bytes(), limits));
            }
        }
    }
    if list_type == "regex" && expressions(&kept).is_none() {
        return Err(refuse("$.list", "the expressions are too large together; make several lists of them".into()));
    }
    let id = StixId::new(ty, Uuid::new_v5(&NAMESPACE, name.as_bytes()));
    let modified = modified.to_string();
    let document = json!({
        "type": TYPE, "spec_version": "2.1", "id": id.to_string(), "created": modified, "modified": modified, "name": name,
        "list_description": description, "list_type": list_type, "matching_attributes": matching_attributes, "list": kept,
    });
    let document = document.to_string();
    // Its row holds the document, and the name, which may be most of it, once more: together no more than an object may have.
    if document.len() > limits.object_bytes / 2 {
        let message = format!(
            "the list takes {} bytes, more than half of limits.object_bytes ({}) allows; make several of it",
            document.len(),
            limits.object_bytes
        );
        return Err(refuse("$", message));
    }
    match object_from_doc(&document, limits) {
        Ok(object) => counted.object(0, Box::new(object)),
        Err(poison) => counted.poison(poison),
    }
    Ok(counted.finish())
}

/// Whether an entry can be in force on a list of that type; else what was expected.
fn check(list_type: &str, entry: &str) -> Result<(), &'static str> {
    if entry.trim().is_empty() {
        return Err("expected a text that is not empty: it would allow everything, or nothing");
    }
    if entry.len() > MAX_VALUE_BYTES || entry.contains('\0') {
        return Err("expected a text of at most 8 KiB without U+0000");
    }
    match list_type {
        "cidr" if network(entry).is_none() => Err("expected an address or a network, as in 198.51.100.0/24"),
        "hostname" if host(entry).is_none() => Err("expected the name of a host, or an address"),
        "regex" if expression(entry).is_none() => Err("expected an expression without look-around and back-references, of a bounded size"),
        _ => Ok(()),
    }
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
        assert!(object.holds.is_empty(), "a list names no indicators: {:?}", object.holds);
        let list = AllowList::of(&object.doc).unwrap();
        assert!(
            list.has(Kind::Ipv4Addr, "198.51.100.9") && list.has(Kind::Ipv4Addr, "203.0.113.7") && !list.has(Kind::Ipv4Addr, "203.0.113.8")
        );
        let [poison] = &poisons[..] else { panic!("{poisons:?}") };
        assert_eq!((poison.position.as_str(), poison.reason), ("$.list[1]", "invalid-entry"));
    }

    #[test]
    fn versions_rise_with_their_numbers_whatever_these_are() {
        let at = |version: &str| read(&format!(r#"{{"name":"n","version":{version},"list":[]}}"#)).0[0].modified.unwrap();
        // Counted, a date, a date with an hour, a date with a number, seconds, one beyond all calendars.
        let versions = ["0", "5", "20260405", "\"20260406\"", "26081010", "26081401", "2026040501", "18446744073709551615"];
        assert!(versions.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{:?}", versions.map(at));
        assert_eq!(read(r#"{"name":"n","version":"one","list":[]}"#).1[0].position, "$.version");
    }

    #[test]
    fn a_bad_entry_of_any_type_costs_only_itself() {
        for (ty, bad) in [
            ("regex", "[\"\",\"//\",\"(\"]"),
            ("hostname", "[\"\",\"a b\",\"-\"]"),
            ("cidr", "[\"1.2.3.4/40\",5,null]"),
            ("string", "[\"\",\"a\\u0000b\",7]"),
            ("substring", "[\"\",\" \",[]]"),
        ] {
            let (objects, poisons) = read(&format!(r#"{{"name":"n","type":"{ty}","list":{bad}}}"#));
            assert_eq!(poisons.iter().map(|poison| poison.reason).collect::<Vec<_>>(), ["invalid-entry"; 3], "{ty}");
            assert_eq!(objects.len(), 1, "{ty}");
        }
    }

    #[test]
    fn a_list_beyond_the_bound_of_objects_is_refused_as_a_whole() {
        let limits = Limits { object_bytes: 1_000, ..Limits::default() };
        let text = json!({ "name": "long", "list": vec!["host.example"; 100] }).to_string();
        let refused = parse(&[Bytes::from(text)], &limits, &mut |_| panic!("nothing of it")).unwrap_err();
        assert!(refused.message.contains("limits.object_bytes (1000)"), "{}", refused.message);
    }

    #[test]
    fn a_warninglist_is_told_from_other_json_and_one_that_is_broken_says_where() {
        assert!(is_warninglist(LIST.as_bytes()));
        assert!(is_warninglist(br#"{"name":"a \" b","version":1,"list":[]}"#));
        assert!(is_warninglist(br#"{"list":["a","b"],"name":"b","type":"string","version":3}"#), "sorted by name");
        for cut in [r#"{"list":["a.example","b.exam"#, r#"{"list":["a.example""#, r#"{"list":["a.example", "#] {
            assert!(is_warninglist(cut.as_bytes()), "more than the head holds: {cut}");
        }
        for other in [
            r#"{"list":["a"],"event":"b"}"#,
            r#"{"list":["a"]}"#,
            r#"{"list":[1,2],"name":"b"}"#,
            r#"{"name":"b","list":[{"a":1}]}"#,
            r#"{"event":"x","list":["a"]}"#,
            r#"{"type":"bundle","objects":[]}"#,
            r#"["a"]"#,
        ] {
            assert!(!is_warninglist(other.as_bytes()), "{other}");
        }
        let (_, poisons) = read("{\"name\":\"x\",\n\"list\":1}");
        assert_eq!((poisons[0].position.as_str(), poisons[0].reason), ("line 2", "invalid-warninglist"));
        assert_eq!(read(r#"{"name":"x","type":"fuzzy","list":[]}"#).1[0].reason, "invalid-warninglist");
    }
}
