//! Of which observables a property speaks.
use sightline_schemas::ObservableKind as Kind;

use super::ast::{Path, Step};
use crate::stix::observables::hash_kind;

/// The kinds of observables that a property may be: of most that are any, one.
pub(super) fn kinds(path: &Path) -> Vec<Kind> {
    let names: Vec<&str> = path
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Property(name) => Some(name.as_str()),
            Step::Index(_) | Step::Any => None,
        })
        .collect();
    let kind = match (path.object.as_str(), &names[..]) {
        ("ipv4-addr", ["value"]) => Kind::Ipv4Addr,
        ("ipv6-addr", ["value"]) => Kind::Ipv6Addr,
        ("domain-name", ["value"]) => Kind::DomainName,
        ("url", ["value"]) => Kind::Url,
        ("email-addr", ["value"]) => Kind::EmailAddr,
        ("email-message", [.., reference, "value"]) if reference.ends_with("_ref") || reference.ends_with("_refs") => Kind::EmailAddr,
        ("mac-addr", ["value"]) => Kind::MacAddr,
        ("mutex", ["name"]) => Kind::Mutex,
        ("windows-registry-key", ["key"]) => Kind::WindowsRegistryKey,
        ("autonomous-system", ["number"]) => Kind::AutonomousSystem,
        ("user-account", ["account_login" | "user_id"]) => Kind::UserAccount,
        ("process", ["command_line"]) => Kind::Process,
        ("x509-certificate", ["hashes", _]) => Kind::X509Fingerprint,
        ("vulnerability", ["name"]) => Kind::Vulnerability,
        ("file" | "artifact" | "process", [.., "hashes", algorithm]) => return hash_kind(algorithm).into_iter().collect(),
        ("file", ["name"]) => Kind::FileName,
        ("network-traffic", ["extensions", "http-request-ext", "request_header", header]) if header.eq_ignore_ascii_case("user-agent") => {
            Kind::UserAgent
        }
        // An address or a name.
        ("network-traffic", ["dst_ref" | "src_ref", "value"]) | ("domain-name", ["resolves_to_refs", "value"]) => {
            return vec![Kind::Ipv4Addr, Kind::Ipv6Addr, Kind::MacAddr, Kind::DomainName];
        }
        _ => return Vec::new(),
    };
    vec![kind]
}
