//! Whether a value is on a list.
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use regex::{RegexSet, RegexSetBuilder};
use serde::Deserialize;
use sightline_schemas::{Observable, ObservableKind as Kind};

use crate::prefix::{bits, mask};

/// How large the automaton of a list's expressions may become.
const REGEX_BYTES: usize = 10 << 20;

/// A list, ready to be asked.
#[derive(Debug)]
pub struct AllowList {
    /// Of which kinds; of all if nothing is said.
    kinds: Option<BTreeSet<Kind>>,
    entries: Entries,
}

#[derive(Debug)]
enum Entries {
    /// The values themselves; and hosts that are written with a dot before them, as some such lists do, and would else name nothing.
    Values(HashSet<Box<str>>, Hosts),
    /// Hosts.
    Hosts(Hosts),
    /// Networks, by whether they are of version 4 and the length of their prefix.
    Networks(BTreeMap<(bool, u8), HashSet<u128>>),
    /// Texts within the value.
    Parts(Vec<Box<str>>),
    /// Expressions.
    Expressions(Box<RegexSet>),
}

/// Hosts, with all below them.
#[derive(Debug)]
struct Hosts(HashSet<Box<str>>);

/// What an object of a list says.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    list_type: String,
    #[serde(default)]
    matching_attributes: Vec<String>,
    #[serde(default)]
    list: Vec<String>,
}

impl AllowList {
    /// The list that a document holds. Entries that do not fit its type are on no list: whoever read the file has refused them with a reason.
    ///
    /// # Errors
    /// When the document is none.
    pub fn of(document: &str) -> Result<Self, serde_json::Error> {
        let Document { list_type, matching_attributes, list } = serde_json::from_str(document)?;
        let kinds: BTreeSet<Kind> = matching_attributes.iter().flat_map(|attribute| kinds_of(attribute)).copied().collect();
        let entries = match list_type.as_str() {
            "hostname" => Entries::Hosts(Hosts::of(list.iter())),
            "cidr" => Entries::Networks(networks(&list)),
            "substring" => Entries::Parts(list.iter().map(|part| lower(part)).filter(|part| !part.is_empty()).collect()),
            "regex" => Entries::Expressions(Box::new(expressions(&list).unwrap_or_else(RegexSet::empty))),
            _ => {
                let (hosts, values): (Vec<&String>, Vec<&String>) = list.iter().partition(|entry| entry.starts_with('.'));
                Entries::Values(values.into_iter().flat_map(|value| spellings(value)).collect(), Hosts::of(hosts.into_iter()))
            }
        };
        Ok(Self { kinds: (!matching_attributes.is_empty()).then_some(kinds), entries })
    }

    /// Whether a normalised value is on it.
    pub fn has(&self, kind: Kind, value: &str) -> bool {
        if self.kinds.as_ref().is_some_and(|kinds| !kinds.contains(&kind)) {
            return false;
        }
        match &self.entries {
            Entries::Values(values, hosts) => values.contains(value) || values.contains(&*lower(value)) || hosts.has(kind, value),
            Entries::Hosts(hosts) => hosts.has(kind, value),
            Entries::Networks(networks) => value.parse::<IpAddr>().is_ok_and(|address| {
                let (of_four, bits) = bits(address);
                networks.iter().any(|((four, length), networks)| *four == of_four && networks.contains(&(bits & mask(*length))))
            }),
            Entries::Parts(parts) => {
                let value = lower(value);
                parts.iter().any(|part| value.contains(&**part))
            }
            Entries::Expressions(expressions) => expressions.is_match(value),
        }
    }
}

impl Hosts {
    fn of<'a>(list: impl Iterator<Item = &'a String>) -> Self {
        Self(list.filter_map(|entry| host(entry)).collect())
    }

    fn has(&self, kind: Kind, value: &str) -> bool {
        !self.0.is_empty() && host_of(kind, value).is_some_and(|host| with_parents(&lower(host)).any(|host| self.0.contains(host)))
    }
}

fn lower(text: &str) -> Box<str> {
    text.trim().to_lowercase().into()
}

/// A value as it is written, and as each kind would normalise it.
fn spellings(value: &str) -> impl Iterator<Item = Box<str>> {
    let normalised = [Kind::DomainName, Kind::Url, Kind::EmailAddr, Kind::Ipv4Addr, Kind::Ipv6Addr]
        .into_iter()
        .filter_map(|kind| Observable::new(kind, value).ok())
        .map(|observable| observable.value().into());
    [lower(value), value.trim().into()].into_iter().chain(normalised)
}

/// The host that a value names.
fn host_of(kind: Kind, value: &str) -> Option<&str> {
    match kind {
        Kind::Url => {
            let authority = value.split_once("://")?.1.split(['/', '?', '#']).next()?;
            let host = authority.rsplit('@').next()?;
            Some(host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(host, _)| host))
        }
        Kind::EmailAddr => value.rsplit_once('@').map(|(_, host)| host),
        Kind::DomainName | Kind::Ipv4Addr | Kind::Ipv6Addr => Some(value),
        _ => None,
    }
}

/// `a.b.c`, `b.c`, `c`.
fn with_parents(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |host| host.split_once('.').map(|(_, parent)| parent))
}

fn networks(list: &[String]) -> BTreeMap<(bool, u8), HashSet<u128>> {
    let mut networks: BTreeMap<(bool, u8), HashSet<u128>> = BTreeMap::new();
    for network in list.iter().filter_map(|entry| network(entry)) {
        let ((four, bits), length) = (bits(network.addr()), network.prefix_len());
        networks.entry((four, length)).or_default().insert(bits & mask(length));
    }
    networks
}

/// A network, or the network of one address.
pub(super) fn network(entry: &str) -> Option<IpNet> {
    let entry = entry.trim();
    entry.parse().ok().or_else(|| entry.parse::<IpAddr>().ok().map(IpNet::from))
}

/// All expressions as one automaton, unless that is too large.
pub(super) fn expressions(list: &[String]) -> Option<RegexSet> {
    let patterns: Vec<String> = list.iter().filter_map(|entry| expression(entry)).collect();
    RegexSetBuilder::new(patterns).size_limit(REGEX_BYTES).build().ok()
}

/// `/…/i`, or the expression alone; none if it is not one, or is empty.
pub(super) fn expression(entry: &str) -> Option<String> {
    const FLAGS: &str = "imsx";
    let bare = entry.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
    let (pattern, flags) = bare.filter(|(_, flags)| flags.chars().all(|flag| FLAGS.contains(flag))).unwrap_or((entry, ""));
    // The expressions are PHP's, where any character may be escaped.
    let pattern = pattern.replace("\\@", "@").replace("\\/", "/");
    if pattern.trim().is_empty() {
        return None;
    }
    let pattern = if flags.is_empty() { pattern } else { format!("(?{flags}){pattern}") };
    regex::RegexBuilder::new(&pattern).size_limit(REGEX_BYTES).build().is_ok().then_some(pattern)
}

/// A host as values are normalised, without what stands before it for "and all below"; none if it is no host.
pub(super) fn host(entry: &str) -> Option<Box<str>> {
    let bare = entry.trim().trim_start_matches("*.").trim_start_matches('.');
    let is_written_so = |byte: u8| byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if !bare.bytes().all(is_written_so) || !bare.chars().any(char::is_alphanumeric) {
        return None;
    }
    let kinds = [Kind::Ipv4Addr, Kind::Ipv6Addr, Kind::DomainName];
    let known = kinds.into_iter().find_map(|kind| Observable::new(kind, bare).ok()).map(|host| host.value().into());
    // A name of one label is a host too: a top-level domain, or one's own.
    let is_label = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) || text.starts_with("xn--");
    known.or_else(|| is_label(bare).then(|| lower(bare)))
}

/// What an attribute of MISP is called here.
fn kinds_of(attribute: &str) -> &'static [Kind] {
    match attribute {
        "ip-src" | "ip-dst" | "ip-src|port" | "ip-dst|port" | "ip" => &[Kind::Ipv4Addr, Kind::Ipv6Addr],
        "domain|ip" => &[Kind::DomainName, Kind::Ipv4Addr, Kind::Ipv6Addr],
        "domain" | "hostname" | "hostname|port" => &[Kind::DomainName],
        "url" | "uri" | "link" => &[Kind::Url],
        "email" | "email-src" | "email-dst" | "target-email" | "email-reply-to" | "whois-registrant-email" => &[Kind::EmailAddr],
        "md5" | "filename|md5" => &[Kind::FileMd5],
        "sha1" | "filename|sha1" => &[Kind::FileSha1],
        "sha256" | "filename|sha256" => &[Kind::FileSha256],
        "sha512" | "filename|sha512" => &[Kind::FileSha512],
        "filename" => &[Kind::FileName],
        "mutex" => &[Kind::Mutex],
        "regkey" => &[Kind::WindowsRegistryKey],
        "user-agent" => &[Kind::UserAgent],
        "AS" => &[Kind::AutonomousSystem],
        "x509-fingerprint-md5" | "x509-fingerprint-sha1" | "x509-fingerprint-sha256" => &[Kind::X509Fingerprint],
        "ja3-fingerprint-md5" => &[Kind::Ja3],
        "btc" | "xmr" | "dash" => &[Kind::CryptoWallet],
        "iban" | "bank-account-nr" | "cc-number" => &[Kind::BankAccount],
        "mac-address" | "mac-eui-64" => &[Kind::MacAddr],
        "phone-number" => &[Kind::PhoneNumber],
        "vulnerability" => &[Kind::Vulnerability],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn list(ty: &str, attributes: &[&str], entries: &[&str]) -> AllowList {
        AllowList::of(&json!({ "list_type": ty, "matching_attributes": attributes, "list": entries }).to_string()).unwrap()
    }

    #[test]
    fn each_type_of_list_means_what_misp_means_by_it() {
        let hosts = list("hostname", &["domain", "url"], &["Example.org", ".cdn.example", "bücher.example", "*.shop.example"]);
        assert!(hosts.has(Kind::DomainName, "xn--bcher-kva.example") && hosts.has(Kind::DomainName, "a.shop.example"));
        assert!(
            hosts.has(Kind::DomainName, "example.org")
                && hosts.has(Kind::DomainName, "a.b.example.org")
                && hosts.has(Kind::DomainName, "x.cdn.example")
        );
        assert!(hosts.has(Kind::Url, "https://user@www.example.org:8443/a?b"));
        assert!(!hosts.has(Kind::DomainName, "notexample.org") && !hosts.has(Kind::Url, "https://evil.example/example.org"));
        assert!(!hosts.has(Kind::EmailAddr, "a@example.org"), "a kind that it does not speak of");
        let networks = list("cidr", &[], &["198.51.100.0/24", "203.0.113.7", "2001:db8::/32", "10.0.0.0/33"]);
        for (address, expected) in [
            ("198.51.100.255", true),
            ("198.51.101.0", false),
            ("203.0.113.7", true),
            ("203.0.113.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(networks.has(Kind::Ipv4Addr, address), expected, "{address}");
        }
        let everything = list("cidr", &["ip-dst"], &["::/0"]);
        assert!(
            everything.has(Kind::Ipv6Addr, "2001:db8::1") && !everything.has(Kind::Ipv4Addr, "198.51.100.1"),
            "each version for itself"
        );
        assert!(list("cidr", &[], &["0.0.0.0/0"]).has(Kind::Ipv4Addr, "198.51.100.1") && !everything.has(Kind::DomainName, "example.org"));
        let values = list("string", &["sha256", "domain"], &["EXAMPLE.org", "00FF"]);
        assert!(
            values.has(Kind::DomainName, "example.org")
                && !values.has(Kind::DomainName, "a.example.org")
                && values.has(Kind::FileSha256, "00ff")
        );
        let parts = list("substring", &["domain"], &["sandbox"]);
        assert!(parts.has(Kind::DomainName, "my.Sandbox.example") && !parts.has(Kind::DomainName, "sand.box"));
        let expressions = list("regex", &["email-src"], &[r"/^(security|noc|soc|abuse)\@.*\..*$/i", "/(/", "//", "/wp-admin/setup"]);
        assert!(expressions.has(Kind::EmailAddr, "SOC@example.org") && !expressions.has(Kind::EmailAddr, "evil@example.org"));
    }
}
