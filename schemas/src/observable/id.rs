//! Deterministic identifiers: UUIDv5 over the canonical JSON of the ID-contributing properties (STIX 2.1 §2.9).
use serde_json::json;
use uuid::Uuid;

use super::ObservableKind;

/// The namespace that STIX 2.1 §2.9 fixes for identifiers of cyber-observable objects.
const NAMESPACE: Uuid = Uuid::from_u128(0x00abedb4_aa42_466c_9c01_fed23315a9b7);

pub(super) fn uuid(kind: ObservableKind, value: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, contributing(kind, value).as_bytes())
}

/// Each object has one contributing property here, so that sorted keys without white space are RFC 8785's canonical form.
fn contributing(kind: ObservableKind, value: &str) -> String {
    let hash = |algorithm: &str| json!({ "hashes": { algorithm: value } });
    let properties = match kind {
        ObservableKind::FileMd5 => hash("MD5"),
        ObservableKind::FileSha1 => hash("SHA-1"),
        ObservableKind::FileSha256 => hash("SHA-256"),
        ObservableKind::FileSha512 => hash("SHA-512"),
        ObservableKind::FileSsdeep => hash("SSDEEP"),
        ObservableKind::FileTlsh => hash("TLSH"),
        ObservableKind::FileName | ObservableKind::Mutex => json!({ "name": value }),
        ObservableKind::WindowsRegistryKey => json!({ "key": value }),
        ObservableKind::AutonomousSystem => match value.parse::<u32>() {
            Ok(number) => json!({ "number": number }),
            Err(_) => json!({ "number": value }),
        },
        ObservableKind::UserAccount => json!({ "account_login": value }),
        ObservableKind::X509Fingerprint => hash(match value.len() {
            32 => "MD5",
            40 => "SHA-1",
            _ => "SHA-256",
        }),
        ObservableKind::Ipv4Addr
        | ObservableKind::Ipv6Addr
        | ObservableKind::DomainName
        | ObservableKind::Url
        | ObservableKind::EmailAddr
        | ObservableKind::MacAddr => {
            json!({ "value": value })
        }
        // The standard names no contributing properties for these: the same rule over the kind and the value.
        ObservableKind::Process
        | ObservableKind::UserAgent
        | ObservableKind::Ja3
        | ObservableKind::Vulnerability
        | ObservableKind::BankAccount
        | ObservableKind::CryptoWallet
        | ObservableKind::PhoneNumber => json!({ "type": kind.as_str(), "value": value }),
    };
    properties.to_string()
}
