//! Observables in the fields of an event. `docs/extraction.md` states the rules.
use std::net::IpAddr;

use sightline_schemas::{Observable, ObservableKind as Kind};

use super::FoundObservable;
use super::flatten::Flat;
use crate::stix::observables::hash_kind as hash_by_name;
use crate::text_iocs::hash_kind as hash_by_length;

/// Longer texts are payloads, not values.
const LONGEST: usize = 2_048;

pub(super) fn of(flat: &Flat<'_>) -> Vec<FoundObservable> {
    let mut found = Vec::new();
    for (field, value) in flat {
        let Some(text) = value.as_str().map(str::trim).filter(|text| (3..=LONGEST).contains(&text.len())) else { continue };
        find(field, text, &mut |observable| found.push(FoundObservable { observable, field: field.clone() }));
    }
    found.sort_unstable();
    found.dedup();
    found
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
    let last = field.rsplit(['.', '_']).find(|word| !word.bytes().all(|b| b.is_ascii_digit())).unwrap_or(field).to_ascii_lowercase();
    matches!(last.as_str(), "query" | "queryname" | "domain" | "host" | "hostname" | "fqdn" | "sni" | "server" | "name" | "destinationhostname")
}
