//! Observables of cyber-observable objects: alone (STIX 2.1), or in the dictionary of observed data (STIX 2.0).
use serde_json::{Map, Value};
use sightline_schemas::{Observable, ObservableKind as Kind, Role};

use crate::intel::Held;

/// Adds what an object of `ty` holds by itself.
pub(super) fn of_object(ty: &str, object: &Map<String, Value>, holds: &mut Vec<Held>) {
    match ty {
        "observed-data" => {
            for item in object.get("objects").and_then(Value::as_object).into_iter().flat_map(Map::values).filter_map(Value::as_object) {
                if let Some(ty) = item.get("type").and_then(Value::as_str) {
                    of_observable(ty, item, Role::Observed, holds);
                }
            }
        }
        "vulnerability" => {
            hold(Kind::Vulnerability, object.get("name"), Role::Object, holds);
            for reference in object.get("external_references").and_then(Value::as_array).into_iter().flatten() {
                if reference.get("source_name").and_then(Value::as_str).is_some_and(|name| name.eq_ignore_ascii_case("cve")) {
                    hold(Kind::Vulnerability, reference.get("external_id"), Role::Object, holds);
                }
            }
        }
        other => of_observable(other, object, Role::Object, holds),
    }
}

fn of_observable(ty: &str, object: &Map<String, Value>, role: Role, holds: &mut Vec<Held>) {
    let kind = match ty {
        "ipv4-addr" => Kind::Ipv4Addr,
        "ipv6-addr" => Kind::Ipv6Addr,
        "domain-name" => Kind::DomainName,
        "url" => Kind::Url,
        "email-addr" => Kind::EmailAddr,
        "mac-addr" => Kind::MacAddr,
        "mutex" => return hold(Kind::Mutex, object.get("name"), role, holds),
        "windows-registry-key" => return hold(Kind::WindowsRegistryKey, object.get("key"), role, holds),
        "process" => return hold(Kind::Process, object.get("command_line"), role, holds),
        "autonomous-system" => {
            let number = object.get("number").and_then(Value::as_u64).map(|number| Value::String(number.to_string()));
            return hold(Kind::AutonomousSystem, number.as_ref(), role, holds);
        }
        "user-account" => return hold(Kind::UserAccount, object.get("account_login").or_else(|| object.get("user_id")), role, holds),
        "x509-certificate" => {
            for hash in object.get("hashes").and_then(Value::as_object).into_iter().flat_map(Map::values) {
                hold(Kind::X509Fingerprint, Some(hash), role, holds);
            }
            return;
        }
        "file" => {
            hold(Kind::FileName, object.get("name"), role, holds);
            return hashes(object, role, holds);
        }
        "artifact" => return hashes(object, role, holds),
        _ => return,
    };
    hold(kind, object.get("value"), role, holds);
}

fn hashes(object: &Map<String, Value>, role: Role, holds: &mut Vec<Held>) {
    for (algorithm, value) in object.get("hashes").and_then(Value::as_object).into_iter().flatten() {
        if let Some(kind) = hash_kind(algorithm) {
            hold(kind, Some(value), role, holds);
        }
    }
}

/// The kind of a hash by its algorithm, as written in any of the ways in use (`SHA-256`, `SHA256`, `sha_256`).
pub(crate) fn hash_kind(algorithm: &str) -> Option<Kind> {
    let plain: String = algorithm.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase();
    match plain.as_str() {
        "MD5" => Some(Kind::FileMd5),
        "SHA1" => Some(Kind::FileSha1),
        "SHA256" => Some(Kind::FileSha256),
        "SHA512" => Some(Kind::FileSha512),
        "SSDEEP" => Some(Kind::FileSsdeep),
        "TLSH" => Some(Kind::FileTlsh),
        _ => None,
    }
}

/// What is no value of its kind is not linked; the object keeps it all the same.
fn hold(kind: Kind, value: Option<&Value>, role: Role, holds: &mut Vec<Held>) {
    if let Some(observable) = value.and_then(Value::as_str).and_then(|value| Observable::new(kind, value).ok()) {
        holds.push(Held { observable, role });
    }
}
