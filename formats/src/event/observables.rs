//! Observables in the fields of an event. `docs/extraction.md` states the rules.
use std::net::IpAddr;

use sightline_schemas::{Observable, ObservableKind as Kind};

use super::FoundObservable;
use super::fields::{FieldScalar, Fields};
use crate::stix::observables::hash_kind as hash_by_name;
use crate::text_iocs::hash_kind as hash_by_length;

/// Last words of fields that hold a host.
const HOST_WORDS: &[&str] = &["query", "queryname", "domain", "host", "hostname", "fqdn", "sni", "server", "destinationhostname"];
/// What a last word `name` may follow.
const NAMED_HOSTS: &[&str] = &["question", "answer", "answers", "host", "server", "domain", "client", "source", "destination"];

/// Longer texts are payloads, not values.
const LONGEST: usize = 2_048;

pub(super) fn find_in(fields: &Fields, found: &mut Vec<FoundObservable>) {
    for (field, value) in fields.iter() {
        for scalar in value.scalars() {
            let FieldScalar::Text(text) = scalar else { continue };
            let text = text.trim();
            if (3..=LONGEST).contains(&text.len()) {
                find(field, text, &mut |observable| found.push(FoundObservable { observable, field: field.to_owned() }));
            }
        }
    }
}

fn find(field: &str, text: &str, found: &mut dyn FnMut(Observable)) {
    let mut give = |kind, value: &str| {
        if let Ok(observable) = Observable::new(kind, value) {
            found(observable);
        }
    };
    let first = text.as_bytes()[0];
    if (first.is_ascii_hexdigit() || first == b':')
        && let Ok(address) = text.parse::<IpAddr>()
    {
        return give(if address.is_ipv4() { Kind::Ipv4Addr } else { Kind::Ipv6Addr }, text);
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        if matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https" | "ftp") && !text.contains(char::is_whitespace) {
            give(Kind::Url, text);
            let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            let host = authority.rsplit('@').next().unwrap_or(authority);
            if let Some((address, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
                return give(Kind::Ipv6Addr, address);
            }
            let host = host.split_once(':').map_or(host, |(host, _port)| host);
            give(Kind::Ipv4Addr, host);
            if host.contains('.') {
                give(Kind::DomainName, host);
            }
        }
        return;
    }
    if let Some(kind) = hash_by_length(text.len()).filter(|_| text.bytes().all(|b| b.is_ascii_hexdigit())) {
        return give(kind, text);
    }
    if text.contains('=') {
        // Sysmon: `SHA1=…,MD5=…,SHA256=…,IMPHASH=…`.
        for (name, digits) in text.split(',').filter_map(|pair| pair.split_once('=')) {
            if let Some(kind) = hash_by_name(name.trim()) {
                give(kind, digits.trim());
            }
        }
        return;
    }
    if text.contains('@') && !text.contains(char::is_whitespace) && text.rsplit('@').next().is_some_and(|host| host.contains('.')) {
        return give(Kind::EmailAddr, text);
    }
    if names_a_host(field) && text.contains('.') && !text.contains(char::is_whitespace) {
        give(Kind::DomainName, text);
    }
}

fn names_a_host(field: &str) -> bool {
    let mut words = field.rsplit(['.', '_']).filter(|word| !word.bytes().all(|b| b.is_ascii_digit()));
    let Some(last) = words.next() else { return false };
    let is_one_of = |word: &str, known: &[&str]| known.iter().any(|known| known.eq_ignore_ascii_case(word));
    // `name` alone may be that of a process or a file.
    is_one_of(last, HOST_WORDS) || last.eq_ignore_ascii_case("name") && words.next().is_some_and(|word| is_one_of(word, NAMED_HOSTS))
}
