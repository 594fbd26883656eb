//! Which observables a pattern names by equality, and whether one alone suffices for the pattern.
use sightline_schemas::{Observable, ObservableKind as Kind, Role};

use super::ast::{Comparison, Literal, Observation, Operator, Path, Qualifier, Step, Test};
use crate::intel::Held;
use crate::stix::observables::hash_kind;

/// Every `=`, and every member of an `IN`, on an observable property, not negated.
///
/// [`Role::Pattern`]: nothing but `OR` lies between the equality and the whole, so it suffices. [`Role::PatternPart`]: it needs others beside it
/// (`AND`, `FOLLOWEDBY`), several times (`REPEATS`), or at a certain time (`START … STOP`).
pub fn equalities(pattern: &Observation) -> Vec<Held> {
    let mut held = Vec::new();
    observation(pattern, true, &mut held);
    // What suffices somewhere in the pattern suffices; `pattern` sorts before `pattern-part`.
    held.sort_unstable();
    held.dedup_by(|later, first| later.observable == first.observable);
    held
}

fn observation(pattern: &Observation, suffices: bool, held: &mut Vec<Held>) {
    match pattern {
        Observation::Test(test) => comparison(test, suffices, held),
        Observation::Or(parts) => parts.iter().for_each(|part| observation(part, suffices, held)),
        Observation::And(parts) | Observation::FollowedBy(parts) => parts.iter().for_each(|part| observation(part, false, held)),
        Observation::Qualified(inner, qualifier) => {
            let alone = match qualifier {
                Qualifier::Within(_) => true,
                Qualifier::Repeats(times) => *times == 1,
                Qualifier::StartStop(..) => false,
            };
            observation(inner, suffices && alone, held);
        }
    }
}

fn comparison(test: &Comparison, suffices: bool, held: &mut Vec<Held>) {
    match test {
        Comparison::Test(test) => equality(test, suffices, held),
        Comparison::Or(parts) => parts.iter().for_each(|part| comparison(part, suffices, held)),
        Comparison::And(parts) => parts.iter().for_each(|part| comparison(part, false, held)),
        Comparison::Exists { .. } => {}
    }
}

fn equality(test: &Test, suffices: bool, held: &mut Vec<Held>) {
    if test.negated || !matches!(test.operator, Operator::Equal | Operator::In) {
        return;
    }
    let role = if suffices { Role::Pattern } else { Role::PatternPart };
    for literal in &test.literals {
        let value = match literal {
            Literal::Text(text) => text.clone(),
            Literal::Integer(number) => number.to_string(),
            Literal::Hexadecimal(digits) => digits.clone(),
            _ => continue,
        };
        if let Some(observable) = observable(&test.path, &value) {
            held.push(Held { observable, role });
        }
    }
}

/// The observable that `path = value` names; nothing where the property is none, or the value does not fit.
fn observable(path: &Path, value: &str) -> Option<Observable> {
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
        ("file" | "artifact", [.., "hashes", algorithm]) => hash_kind(algorithm)?,
        ("file", ["name"]) => Kind::FileName,
        ("network-traffic", ["extensions", "http-request-ext", "request_header", header]) if header.eq_ignore_ascii_case("user-agent") => {
            Kind::UserAgent
        }
        ("network-traffic", ["dst_ref" | "src_ref", "value"]) | ("domain-name", ["resolves_to_refs", "value"]) => return by_value(value),
        (_, [.., "hashes", algorithm]) if path.object == "process" => hash_kind(algorithm)?,
        _ => return None,
    };
    Observable::new(kind, value).ok()
}

/// An address or a name, whichever the value is.
fn by_value(value: &str) -> Option<Observable> {
    [Kind::Ipv4Addr, Kind::Ipv6Addr, Kind::MacAddr, Kind::DomainName].into_iter().find_map(|kind| Observable::new(kind, value).ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::Limits;

    fn held(pattern: &str) -> Vec<String> {
        let parsed = super::super::parse(pattern, &Limits::default()).unwrap();
        equalities(&parsed).iter().map(|held| format!("{} {} {}", held.observable.kind(), held.observable.value(), held.role)).collect()
    }

    #[test]
    fn an_equality_suffices_while_only_or_lies_above_it() {
        assert_eq!(
            held("[ipv4-addr:value = '198.51.100.1' OR domain-name:value = 'EVIL.example']"),
            ["ipv4-addr 198.51.100.1 pattern", "domain-name evil.example pattern"]
        );
        assert_eq!(
            held("[file:name = 'a.exe' AND file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e']"),
            ["file-md5 d41d8cd98f00b204e9800998ecf8427e pattern-part", "file-name a.exe pattern-part"]
        );
        assert_eq!(
            held("([url:value = 'http://a.example/'] FOLLOWEDBY [mutex:name = 'm']) WITHIN 5 SECONDS OR [mutex:name = 'm']"),
            ["url http://a.example/ pattern-part", "mutex m pattern"]
        );
        assert_eq!(held("[mutex:name = 'm'] REPEATS 3 TIMES"), ["mutex m pattern-part"]);
    }

    #[test]
    fn a_chain_as_long_as_the_bound_allows_needs_no_deep_stack() {
        let chain = |operator: &str, part: &str| vec![part; 60_000 / (part.len() + operator.len())].join(operator);
        assert_eq!(held(&chain("OR", "[mutex:name='m']")), ["mutex m pattern"]);
        assert_eq!(held(&chain("FOLLOWEDBY", "[mutex:name='m']")), ["mutex m pattern-part"]);
        assert_eq!(held(&format!("[{}]", chain(" AND ", "mutex:name='m'"))), ["mutex m pattern-part"]);
        let deep =
            |depth: usize| super::super::parse(&format!("{}[mutex:name='m']{}", "(".repeat(depth), ")".repeat(depth)), &Limits::default());
        assert!(deep(32).is_ok() && deep(33).is_err() && deep(10_000).is_err());
    }

    #[test]
    fn negations_and_other_operators_name_nothing() {
        assert_eq!(
            held("[ipv4-addr:value != '198.51.100.1' OR domain-name:value LIKE '%.example' OR url:value NOT = 'http://a.example/']"),
            Vec::<String>::new()
        );
        assert_eq!(held("[domain-name:value IN ('a.example', 'b.example') AND EXISTS domain-name:resolves_to_refs]").len(), 2);
    }

    #[test]
    fn hashes_are_known_however_their_algorithm_is_written() {
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for path in ["file:hashes.'SHA-256'", "file:hashes.SHA256", "file:hashes.sha_256", "file:content_ref.hashes.'SHA-256'"] {
            assert_eq!(held(&format!("[{path} = '{digest}']")), [format!("file-sha256 {digest} pattern")]);
        }
    }
}
