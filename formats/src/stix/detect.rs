//! Tells STIX from other JSON, by its beginning.
use std::sync::LazyLock;

use regex::bytes::Regex;

/// How far into it is looked: an object names its identifier early, however its keys are sorted.
const HEAD: usize = 8 << 10;

/// What only STIX says: a bundle, a version of the standard, an identifier of its form, a TAXII envelope.
static MARK: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let marks = [
        r#""type"\s*:\s*"bundle""#,
        r#""spec_version"\s*:\s*"2"#,
        r#""(id|created_by_ref)"\s*:\s*"[a-z][a-z0-9-]*--[0-9a-f]{8}-[0-9a-f]{4}-"#,
        r#""more"\s*:\s*(true|false)\s*,\s*("next"\s*:\s*"[^"]*"\s*,\s*)?"objects"\s*:"#,
        r#"^\{\s*"objects"\s*:\s*\[\s*\]"#,
    ];
    Regex::new(&format!("(?-u){}", marks.join("|"))).ok()
});

/// Whether JSON that begins with `head` is STIX.
pub(crate) fn is_stix(head: &[u8]) -> bool {
    MARK.as_ref().is_some_and(|mark| mark.is_match(&head[..head.len().min(HEAD)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stix_is_told_from_events_by_what_only_it_says() {
        for head in [
            r#"{"type": "bundle", "id": "bundle--x", "objects": ["#,
            r#"[{"created":"2020-01-01T00:00:00Z","id":"indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f""#,
            r#"{"spec_version":"2.1","type":"indicator"}"#,
            r#"{"more":false,"objects":[{}]}"#,
        ] {
            assert!(is_stix(head.as_bytes()), "{head}");
        }
        for head in [
            r#"{"objects":[{"kind":"Pod","created":"2020"}]}"#,
            r#"{"CommandLine":"git log -- a","created":"2020-01-01","id":"a--b"}"#,
            r#"{"Records":[{"eventVersion":"1.08"}]}"#,
        ] {
            assert!(!is_stix(head.as_bytes()), "{head}");
        }
    }
}
