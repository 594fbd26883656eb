//! What the standard requires of each type beyond the common properties: the part of its MUSTs that a consumer relies on.
//! STIX 2.1 §4 (domain objects), §5 (relationship objects), §6 (cyber-observable objects), §7.2 (marking definitions).

/// Properties that an object of the type must have.
pub(super) fn properties(ty: &str, version: Version) -> &'static [&'static str] {
    match (ty, version) {
        (
            "attack-pattern" | "campaign" | "course-of-action" | "identity" | "infrastructure" | "intrusion-set" | "threat-actor" | "tool"
            | "vulnerability",
            Version::V21,
        ) => &["name"],
        ("attack-pattern" | "campaign" | "course-of-action" | "intrusion-set" | "vulnerability", Version::V20) => &["name"],
        ("threat-actor" | "tool" | "malware", Version::V20) => &["name", "labels"],
        ("identity", Version::V20) => &["name", "identity_class"],
        ("report", Version::V20) => &["name", "labels", "published", "object_refs"],
        ("indicator", Version::V20) => &["labels", "pattern", "valid_from"],
        ("observed-data", Version::V20) => &["first_observed", "last_observed", "number_observed", "objects"],
        ("grouping", _) => &["context", "object_refs"],
        ("incident", Version::V21) => &["name"],
        ("indicator", Version::V21) => &["pattern", "pattern_type", "valid_from"],
        ("malware", Version::V21) => &["is_family"],
        ("malware-analysis", _) => &["product"],
        ("note", _) => &["content", "object_refs"],
        ("observed-data", Version::V21) => &["first_observed", "last_observed", "number_observed"],
        ("opinion", _) => &["opinion", "object_refs"],
        ("report", Version::V21) => &["name", "published", "object_refs"],
        ("relationship", _) => &["relationship_type", "source_ref", "target_ref"],
        ("sighting", _) => &["sighting_of_ref"],
        ("autonomous-system", Version::V21) => &["number"],
        ("directory", Version::V21) => &["path"],
        ("domain-name" | "email-addr" | "ipv4-addr" | "ipv6-addr" | "mac-addr" | "url", Version::V21) => &["value"],
        ("email-message", Version::V21) => &["is_multipart"],
        ("mutex" | "software", Version::V21) => &["name"],
        ("network-traffic", Version::V21) => &["protocols"],
        _ => &[],
    }
}

/// Allowed values where the standard closes the list.
pub(super) fn allowed(ty: &str, property: &str) -> Option<&'static [&'static str]> {
    match (ty, property) {
        ("opinion", "opinion") => Some(&["strongly-disagree", "disagree", "neutral", "agree", "strongly-agree"]),
        _ => None,
    }
}

/// Whether the type is a cyber-observable object of STIX 2.1, which needs neither `created` nor `modified`.
pub(super) fn is_observable(ty: &str) -> bool {
    matches!(
        ty,
        "artifact"
            | "autonomous-system"
            | "directory"
            | "domain-name"
            | "email-addr"
            | "email-message"
            | "file"
            | "ipv4-addr"
            | "ipv6-addr"
            | "mac-addr"
            | "mutex"
            | "network-traffic"
            | "process"
            | "software"
            | "url"
            | "user-account"
            | "windows-registry-key"
            | "x509-certificate"
    )
}

/// Whether the type is a domain or relationship object of the standard.
pub(super) fn is_standard(ty: &str) -> bool {
    matches!(
        ty,
        "attack-pattern"
            | "campaign"
            | "course-of-action"
            | "grouping"
            | "identity"
            | "incident"
            | "indicator"
            | "infrastructure"
            | "intrusion-set"
            | "location"
            | "malware"
            | "malware-analysis"
            | "note"
            | "observed-data"
            | "opinion"
            | "report"
            | "threat-actor"
            | "tool"
            | "vulnerability"
            | "relationship"
            | "sighting"
    )
}

/// A version of the standard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    /// 2.0: objects carry no `spec_version`.
    V20,
    /// 2.1.
    V21,
}
