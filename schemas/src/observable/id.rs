//! Deterministic identifiers: UUIDv5 over the canonical JSON of the ID-contributing properties (STIX 2.1 §2.9).
use uuid::Uuid;

use super::ObservableKind;

/// The namespace that STIX 2.1 §2.9 fixes for identifiers of cyber-observable objects.
const NAMESPACE: Uuid = Uuid::from_u128(0x00abedb4_aa42_466c_9c01_fed23315a9b7);

pub(super) fn uuid(kind: ObservableKind, value: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, &contributing(kind, value))
}

/// The contributing properties in the form of RFC 8785: keys in order, no white space, and of the escapes only those that
/// JSON demands, which is how `serde_json` writes a text.
fn contributing(kind: ObservableKind, value: &str) -> Vec<u8> {
    let of_its_kind;
    let (before, after) = match kind {
        ObservableKind::Ipv4Addr
        | ObservableKind::Ipv6Addr
        | ObservableKind::DomainName
        | ObservableKind::Url
        | ObservableKind::EmailAddr
        | ObservableKind::MacAddr => (r#"{"value":"#, "}"),
        ObservableKind::FileMd5 => (r#"{"hashes":{"MD5":"#, "}}"),
        ObservableKind::FileSha1 => (r#"{"hashes":{"SHA-1":"#, "}}"),
        ObservableKind::FileSha256 => (r#"{"hashes":{"SHA-256":"#, "}}"),
        ObservableKind::FileSha512 => (r#"{"hashes":{"SHA-512":"#, "}}"),
        ObservableKind::FileSsdeep => (r#"{"hashes":{"SSDEEP":"#, "}}"),
        ObservableKind::FileTlsh => (r#"{"hashes":{"TLSH":"#, "}}"),
        ObservableKind::X509Fingerprint => match value.len() {
            32 => (r#"{"hashes":{"MD5":"#, "}}"),
            40 => (r#"{"hashes":{"SHA-1":"#, "}}"),
            _ => (r#"{"hashes":{"SHA-256":"#, "}}"),
        },
        ObservableKind::FileName | ObservableKind::Mutex => (r#"{"name":"#, "}"),
        ObservableKind::WindowsRegistryKey => (r#"{"key":"#, "}"),
        ObservableKind::UserAccount => (r#"{"account_login":"#, "}"),
        // A number; the normalised value is its decimal digits.
        ObservableKind::AutonomousSystem => return format!(r#"{{"number":{value}}}"#).into_bytes(),
        // The standard gives `process` a random identifier and does not know the others. Their kind takes part, as the
        // standard's property names do above, so that equal texts of two kinds differ.
        ObservableKind::Process
        | ObservableKind::UserAgent
        | ObservableKind::Ja3
        | ObservableKind::Vulnerability
        | ObservableKind::BankAccount
        | ObservableKind::CryptoWallet
        | ObservableKind::PhoneNumber => {
            of_its_kind = format!(r#"{{"type":"{kind}","value":"#);
            (&*of_its_kind, "}")
        }
    };
    // With the quotes, and room for an escape or two.
    let mut json = Vec::with_capacity(before.len() + value.len() + after.len() + 8);
    json.extend_from_slice(before.as_bytes());
    // Neither a text nor a vector can fail.
    let _always = serde_json::to_writer(&mut json, value);
    json.extend_from_slice(after.as_bytes());
    json
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::Observable;
    use ObservableKind as Kind;

    /// What one line of the data says: the kind, the value as given, the identifier that python-stix2 made of it.
    fn read(line: &str) -> Option<(Kind, String, String)> {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| object[name].as_str().map(str::to_owned);
        let ty = object["type"].as_str().unwrap();
        let hashes = object["hashes"].as_object();
        // An object with two contributing properties is not one observable but several.
        if hashes.is_some_and(|hashes| hashes.len() > 1 || object.get("name").is_some()) {
            return None;
        }
        let hash = hashes.and_then(|hashes| hashes.iter().next());
        let (kind, value) = match (ty, hash) {
            ("file", None) => (Kind::FileName, text("name")?),
            ("file", Some((algorithm, value))) => {
                let word = format!("file-{}", algorithm.to_lowercase().replace('-', ""));
                (Kind::from_word(&word)?, value.as_str()?.to_owned())
            }
            ("mutex", _) => (Kind::Mutex, text("name")?),
            ("autonomous-system", _) => (Kind::AutonomousSystem, object["number"].to_string()),
            (ty, _) => (Kind::from_word(ty)?, text("value")?),
        };
        Some((kind, value, text("id")?))
    }

    /// The sample in this repository, and the whole where it can be found.
    fn files() -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let data = std::env::var_os("SIGHTLINE_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
        let whole = data.join("stix/sco-deterministic-ids.jsonl");
        let mut files = vec![root.join("testdata/schemas/sco-deterministic-ids.jsonl")];
        if whole.exists() {
            files.push(whole)
        } else {
            eprintln!("only the sample: {} is not there", whole.display())
        }
        files
    }

    #[test]
    fn identifiers_are_those_of_the_stix_2_library_wherever_normalisation_changes_nothing() {
        for file in files() {
            let (mut equal, mut normalised, mut refused, mut other) = (0, 0, 0, 0);
            for line in std::fs::read_to_string(&file).unwrap().lines() {
                let Some((kind, value, id)) = read(line) else {
                    other += 1;
                    continue;
                };
                // Over the text as given, the identifier is always theirs: what differs below differs by normalisation alone.
                assert_eq!(format!("{}--{}", kind.sco_type(), uuid(kind, &value)), id, "{line}");
                match Observable::new(kind, &value) {
                    Ok(observable) if observable.value() == value => equal += 1,
                    Ok(observable) => {
                        assert_ne!(observable.uuid(), uuid(kind, &value), "{line}");
                        normalised += 1;
                    }
                    // A file name in the place of a URL.
                    Err(error) => {
                        assert!(!value.contains("://"), "{error}");
                        refused += 1;
                    }
                }
            }
            println!("{}: {equal} equal, {normalised} normalised, {refused} refused, {other} other objects", file.display());
            assert!(equal > normalised + refused);
        }
    }

    #[test]
    fn identifiers_of_our_own_kinds_never_change() {
        // Computed with Python's uuid.uuid5 and json.dumps(sort_keys=True, separators=(",", ":"), ensure_ascii=False).
        for (kind, value, expected) in [
            (Kind::Process, "cmd.exe /c \"whoami\"\t>é", "b0a4ffa0-cbff-5a8e-ba1c-2abebe11046b"),
            (Kind::UserAgent, "Mozilla/5.0 (X11)", "2da41e91-a920-5961-89f5-65c39d725ece"),
            (Kind::Ja3, "e7d705a3286e19ea42f587b344ee6865", "68b15467-04dd-58bf-8156-0441450c6a4f"),
            (Kind::Vulnerability, "CVE-2021-44228", "e2272ead-02d4-5d67-b372-29fca6ed2a00"),
            (Kind::BankAccount, "DE89370400440532013000", "ae72b728-1e04-5c4f-bba6-fa332ba1bf15"),
            (Kind::CryptoWallet, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "a9c7615e-71f6-5e8a-95a9-3093598b1813"),
            (Kind::PhoneNumber, "+31201234567", "3e9d5685-0165-5026-9a1b-ac2431006e1c"),
            (Kind::WindowsRegistryKey, "hkey_local_machine\\software", "e12878a8-8235-5c2d-906a-d412a5fc6668"),
            (Kind::UserAccount, "root", "3d209579-8f71-5179-b6a3-49509efb52cc"),
            (Kind::FileSsdeep, "3:a:b", "7bf4d875-4548-5029-a26e-dbb5839022dd"),
            (Kind::X509Fingerprint, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "fa6e66a5-f019-51f9-8ab5-812023e58c6e"),
        ] {
            assert_eq!(uuid(kind, value).to_string(), expected, "{kind}");
        }
    }

    #[test]
    fn equal_texts_of_two_kinds_have_two_identifiers() {
        let mut ids: Vec<_> = Kind::ALL.iter().map(|kind| (kind.sco_type(), uuid(*kind, "1"))).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Kind::ALL.len());
    }
}
