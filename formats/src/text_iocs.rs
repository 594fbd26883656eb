//! Observables written in prose, defanged or not. `docs/extraction.md` states the rules, so that others can check them.
use std::sync::LazyLock;

use regex::Regex;
use sightline_schemas::{Observable, ObservableKind as Kind};

/// Top-level domains by which a plain name in prose counts: common ones that are neither English words in lower case nor file extensions.
const PLAIN_TLDS: &str = "com|net|org|info|biz|edu|gov|mil|int|ru|cn|su|ir|kp|ua|de|uk|fr|nl|br|jp|kr|tw|hk|vn|top|xyz|online|club|shop|icu|cc|tk|ga|cf|gq|eu|io";

/// Borders, digits and letters are those of ASCII: any program's regular expressions agree on them, and the search is several times faster.
fn regex(pattern: &str) -> Regex {
    // The patterns are constants, and a test compiles them all.
    Regex::new(&format!("(?-u){pattern}")).unwrap_or_else(|error| panic!("{error}"))
}

/// A dot, defanged or not.
const DOT: &str = r"(?:\.|\[\.\]|\(\.\)|\[dot\]|\(dot\))";
/// A defanged dot.
const FANGED: &str = r"(?:\[\.\]|\(\.\)|\[dot\]|\(dot\))";

static URL: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"(?i)\b(?:h(?:tt|xx)ps?|ftp)(?::|\[:\])(?://|\[/\]\[/\]|/\[/\])(?u:[^\t\n\x0B\f\r <>"'`|\\^{}])+"#));
static EMAIL: LazyLock<Regex> =
    LazyLock::new(|| regex(&format!(r"(?i)[a-z0-9._%+-]+(?:@|\[at\]|\(at\)|\[@\])(?:[a-z0-9-]+{DOT})+[a-z]{{2,24}}\b")));
static IPV4: LazyLock<Regex> = LazyLock::new(|| regex(&format!(r"(?i)\b\d{{1,3}}(?:{DOT}\d{{1,3}}){{3}}\b")));
static FANGED_DOMAIN: LazyLock<Regex> =
    LazyLock::new(|| regex(&format!(r"(?i)\b[a-z0-9-]+(?:{DOT}[a-z0-9-]+)*{FANGED}[a-z][a-z0-9-]+(?:{DOT}[a-z0-9-]+)*")));
static PLAIN_DOMAIN: LazyLock<Regex> = LazyLock::new(|| regex(&format!(r"\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:{PLAIN_TLDS})\b")));
static HASH: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(?:[A-Fa-f0-9]{128}|[A-Fa-f0-9]{64}|[A-Fa-f0-9]{40}|[A-Fa-f0-9]{32})\b"));
static CVE: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i)\bCVE-\d{4}-\d{4,10}\b"));

/// Finds what a text names: sorted, distinct.
pub fn find(text: &str) -> Vec<Observable> {
    let mut found = Vec::new();
    // What one rule has taken is blanked, so that the host of a URL is not a domain as well.
    let mut rest = text.to_owned();
    take(&mut rest, &URL, &mut found, |matched| Observable::new(Kind::Url, trim_url(matched)).ok());
    take(&mut rest, &EMAIL, &mut found, |matched| Observable::new(Kind::EmailAddr, matched).ok());
    take(&mut rest, &IPV4, &mut found, |matched| Observable::new(Kind::Ipv4Addr, matched).ok());
    take(&mut rest, &FANGED_DOMAIN, &mut found, |matched| Observable::new(Kind::DomainName, matched).ok());
    take(&mut rest, &PLAIN_DOMAIN, &mut found, |matched| Observable::new(Kind::DomainName, matched).ok());
    take(&mut rest, &HASH, &mut found, |matched| Observable::new(hash_kind(matched.len())?, matched).ok());
    take(&mut rest, &CVE, &mut found, |matched| Observable::new(Kind::Vulnerability, matched).ok());
    found.sort_unstable();
    found.dedup();
    found
}

fn take(rest: &mut String, rule: &Regex, found: &mut Vec<Observable>, read: impl Fn(&str) -> Option<Observable>) {
    let mut spans = Vec::new();
    for matched in rule.find_iter(rest) {
        if let Some(observable) = read(matched.as_str()) {
            found.push(observable);
            spans.push(matched.range());
        }
    }
    if !spans.is_empty() {
        let mut bytes = std::mem::take(rest).into_bytes();
        spans.into_iter().for_each(|span| bytes[span].fill(b' '));
        // Whole characters were replaced: it is UTF-8 still.
        *rest = String::from_utf8(bytes).unwrap_or_default();
    }
}

/// Prose and Markdown around a URL: closing punctuation, and a closing bracket without its opening one.
fn trim_url(mut url: &str) -> &str {
    loop {
        let trimmed = url.trim_end_matches(['.', ',', ';', ':', '!', '?', '*']);
        let unopened = |close: char, open: char| trimmed.ends_with(close) && trimmed.matches(close).count() > trimmed.matches(open).count();
        let next = if unopened(')', '(') || unopened(']', '[') { &trimmed[..trimmed.len() - 1] } else { trimmed };
        if next.len() == url.len() {
            return url;
        }
        url = next;
    }
}

/// The file hash of a number of hexadecimal digits.
pub(crate) fn hash_kind(digits: usize) -> Option<Kind> {
    match digits {
        32 => Some(Kind::FileMd5),
        40 => Some(Kind::FileSha1),
        64 => Some(Kind::FileSha256),
        128 => Some(Kind::FileSha512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        find(text).iter().map(|observable| format!("{} {}", observable.kind(), observable.value())).collect()
    }

    #[test]
    fn values_are_found_defanged_or_not() {
        assert_eq!(
            found("It calls hxxps://evil[.]example/a(1), then 198[.]51[.]100.7."),
            ["ipv4-addr 198.51.100.7", "url https://evil.example/a(1)"]
        );
        assert_eq!(found("see [site](http://a.example/x) and bad[.]example"), ["domain-name bad.example", "url http://a.example/x"]);
        assert_eq!(found("mail bob[at]evil.com, CVE-2021-44228"), ["email-addr bob@evil.com", "vulnerability CVE-2021-44228"]);
        assert_eq!(found("c2 at update.evil.com"), ["domain-name update.evil.com"]);
        assert_eq!(found("d41d8cd98f00b204e9800998ecf8427e"), ["file-md5 d41d8cd98f00b204e9800998ecf8427e"]);
    }

    #[test]
    fn file_names_versions_and_class_names_are_not_domains() {
        assert_eq!(found("cmd.exe, readme.txt, System.Net, version 1.2.3, ASP.NET and e.g. this."), Vec::<String>::new());
        assert_eq!(found("999.1.1.1 and 1.2.3.4.5 abcdef"), found("1.2.3.4.5"));
    }
}
