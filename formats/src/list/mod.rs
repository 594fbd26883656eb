//! Lists of indicators: each distinct value becomes an indicator whose identifier follows from its pattern, so that the same value in two feeds is
//! one indicator with two sources.
mod csv_list;
mod detect;
mod plain;

use std::collections::BTreeMap;

use serde_json::json;
use sightline_schemas::{ContentHash, Micros, Observable, ObservableKind as Kind, Role, StixId, TypeName};
use uuid::Uuid;

pub(crate) use csv_list::parse as parse_csv;
pub(crate) use detect::detect;
pub(crate) use plain::parse as parse_plain;

use crate::intel::{Counted, Held, IntelObject};
use crate::pattern::networks;
use crate::text_iocs::hash_kind;

/// The namespace of indicators made from lists; drawn once at random.
const NAMESPACE: Uuid = Uuid::from_u128(0x4c1d_96ab_52e7_4f0e_b0a3_8a1e_6f2d_7b55);

/// What the lines of a list say of a value: merged, so that the order of lines takes no part.
#[derive(Default)]
struct Said {
    first: Option<Micros>,
    last: Option<Micros>,
    labels: std::collections::BTreeSet<String>,
}

impl Said {
    fn add(&mut self, at: Option<Micros>, labels: impl IntoIterator<Item = String>) {
        self.first = [self.first, at].into_iter().flatten().min();
        self.last = self.last.max(at);
        self.labels.extend(labels);
    }
}

/// Hands out one indicator a value, in the order of values.
fn emit(said: BTreeMap<Observable, Said>, counted: &mut Counted<'_>) {
    let Ok(ty) = TypeName::new("indicator") else { return };
    for ((observable, said), index) in said.into_iter().zip(0..) {
        counted.object(index, Box::new(indicator(ty, observable, said)));
    }
}

fn indicator(ty: TypeName, observable: Observable, said: Said) -> IntelObject {
    let pattern = pattern(&observable);
    let id = StixId::new(ty, Uuid::new_v5(&NAMESPACE, pattern.as_bytes()));
    let mut document = json!({ "type": "indicator", "spec_version": "2.1", "id": id.to_string(), "name": observable.value(), "pattern": pattern, "pattern_type": "stix" });
    if let (Some(first), Some(last)) = (said.first, said.last) {
        document["created"] = first.to_string().into();
        document["modified"] = last.to_string().into();
        document["valid_from"] = first.to_string().into();
    }
    let labels: Vec<String> = said.labels.into_iter().collect();
    if !labels.is_empty() {
        document["labels"] = labels.clone().into();
    }
    let doc = document.to_string();
    let holds = vec![Held { observable, role: Role::Pattern }];
    IntelObject {
        id,
        created: said.first,
        modified: said.last,
        revoked: false,
        name: holds.first().map(|held| held.observable.value().to_owned()),
        description: None,
        confidence: None,
        tlp: None,
        labels,
        valid_from: said.first,
        valid_until: None,
        seen: said.first.zip(said.last),
        wide: networks(&holds).collect(),
        holds,
        references: Vec::new(),
        relationship: None,
        hash: ContentHash::of(doc.as_bytes()),
        doc,
    }
}

/// The STIX pattern of one value.
fn pattern(observable: &Observable) -> String {
    let value = observable.value().replace('\\', "\\\\").replace('\'', "\\'");
    let path = match observable.kind() {
        Kind::FileMd5 => "file:hashes.MD5",
        Kind::FileSha1 => "file:hashes.'SHA-1'",
        Kind::FileSha256 => "file:hashes.'SHA-256'",
        Kind::FileSha512 => "file:hashes.'SHA-512'",
        Kind::EmailAddr => "email-addr:value",
        Kind::Ipv4Addr => "ipv4-addr:value",
        Kind::Ipv6Addr => "ipv6-addr:value",
        Kind::Url => "url:value",
        Kind::FileName => "file:name",
        _ => "domain-name:value",
    };
    format!("[{path} = '{value}']")
}

/// The observable that a text is: address, URL, hash, e-mail address, domain; in this order.
fn recognise(text: &str) -> Option<Observable> {
    let text = text.trim().trim_matches(['"', '\'']);
    let kind = if let Some(kind) = hash_kind(text.len()).filter(|_| text.bytes().all(|b| b.is_ascii_hexdigit())) {
        kind
    } else if text.contains("://") || text.contains("[:]") || text.contains("[://]") {
        Kind::Url
    } else if text.contains('@') || text.contains("[at]") || text.contains("(at)") {
        Kind::EmailAddr
    } else if let Ok(address) = Observable::new(Kind::Ipv4Addr, text) {
        return Some(address);
    } else if text.contains(':') {
        Kind::Ipv6Addr
    } else if text.contains('.') && !text.contains('/') && !text.contains('\\') {
        Kind::DomainName
    } else {
        return None;
    };
    Observable::new(kind, text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;

    use crate::{IntelFormat, IntelItem, Limits, object_from_doc, parse_intel};

    #[test]
    fn an_indicator_of_a_list_is_the_same_when_it_is_read_again_from_its_document() {
        let texts =
            ["198.51.100.7\nevil.example\n", "value,type,seen,tags\nevil.example,domain,2026-01-01T00:00:00Z,bad\n198.51.100.7,ip,,\n"];
        for (text, format) in texts.into_iter().zip([IntelFormat::List, IntelFormat::Csv]) {
            let (parts, limits, mut objects) = ([Bytes::from_static(text.as_bytes())], Limits::default(), Vec::new());
            let mut take = |item| match item {
                IntelItem::Object { object, .. } => objects.push(*object),
                IntelItem::Poison(poison) => panic!("{poison:?}"),
            };
            parse_intel(format, &parts, &limits, &mut take).unwrap();
            assert_eq!(objects.len(), 2, "{text}");
            for object in objects {
                assert_eq!(object_from_doc(&object.doc, &limits).unwrap(), object, "{text}");
            }
        }
    }
}
