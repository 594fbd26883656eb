//! Normalisation: equal things get equal values. `docs/identities.md` states the rules.
use std::net::{Ipv4Addr, Ipv6Addr};

use super::ObservableKind;

/// Longer values are not observables but payloads: they are refused.
pub const MAX_VALUE_BYTES: usize = 8 << 10;

/// A text that is no value of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {kind}: {message}")]
pub struct NormaliseError {
    kind: ObservableKind,
    value: String,
    message: &'static str,
}

type Normal = Result<String, &'static str>;

pub(super) fn normalise(kind: ObservableKind, value: &str) -> Result<String, NormaliseError> {
    let value = value.trim();
    let failed = |message| NormaliseError { kind, value: value.chars().take(80).collect(), message };
    if value.is_empty() {
        return Err(failed("empty"));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(failed("longer than 8 KiB"));
    }
    if value.contains('\0') {
        return Err(failed("holds a NUL, which PostgreSQL cannot store"));
    }
    let normal = match kind {
        ObservableKind::Ipv4Addr => ipv4(&refang(value)),
        ObservableKind::Ipv6Addr => ipv6(&refang(value)),
        ObservableKind::DomainName => domain(&refang(value)),
        ObservableKind::Url => url(&refang(value)),
        ObservableKind::EmailAddr => email(&refang(value)),
        ObservableKind::MacAddr => mac(value),
        ObservableKind::FileMd5 | ObservableKind::Ja3 => hexadecimal(value, &[32]),
        ObservableKind::FileSha1 => hexadecimal(value, &[40]),
        ObservableKind::FileSha256 => hexadecimal(value, &[64]),
        ObservableKind::FileSha512 => hexadecimal(value, &[128]),
        ObservableKind::X509Fingerprint => hexadecimal(&value.replace([':', ' '], ""), &[32, 40, 64]),
        ObservableKind::FileSsdeep => ssdeep(value),
        ObservableKind::FileTlsh => tlsh(value),
        ObservableKind::WindowsRegistryKey => Ok(registry_key(value)),
        ObservableKind::AutonomousSystem => autonomous_system(value),
        ObservableKind::UserAgent => Ok(value.split_whitespace().collect::<Vec<_>>().join(" ")),
        ObservableKind::Vulnerability => vulnerability(value),
        ObservableKind::BankAccount => iban(value),
        ObservableKind::PhoneNumber => phone(value),
        ObservableKind::CryptoWallet => wallet(value),
        // Case matters, or may: a file name on one system, a mutex, an account, a command line.
        ObservableKind::FileName | ObservableKind::Mutex | ObservableKind::UserAccount | ObservableKind::Process => Ok(value.to_owned()),
    };
    normal.map_err(failed)
}

/// Takes back what people do to keep a value from being clicked: `hxxp`, `[.]`, `(.)`, `{.}`, `[dot]`, `(dot)`, `[:]`, `[://]`, `[at]`, `[@]`.
pub fn refang(value: &str) -> String {
    let mut text = value.to_owned();
    for (fanged, plain) in [
        ("[.]", "."),
        ("(.)", "."),
        ("{.}", "."),
        ("[.", "."),
        (".]", "."),
        ("[dot]", "."),
        ("(dot)", "."),
        ("[://]", "://"),
        ("[:]", ":"),
        ("[/]", "/"),
        ("[at]", "@"),
        ("(at)", "@"),
        ("[@]", "@"),
        ("\\.", "."),
    ] {
        if text.contains(fanged) {
            text = text.replace(fanged, plain);
        }
    }
    let scheme = text.get(..4).map(str::to_ascii_lowercase);
    if matches!(scheme.as_deref(), Some("hxxp" | "htxp" | "hxtp")) {
        text.replace_range(..4, "http");
    }
    text
}

fn ipv4(value: &str) -> Normal {
    let (address, prefix) = cidr(value, 32)?;
    // The standard library refuses leading zeros, which some readers take for octal.
    let address: Ipv4Addr = address.parse().map_err(|_| "not an IPv4 address")?;
    Ok(match prefix {
        None | Some(32) => address.to_string(),
        Some(prefix) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            format!("{}/{prefix}", Ipv4Addr::from(u32::from(address) & mask))
        }
    })
}

fn ipv6(value: &str) -> Normal {
    let (address, prefix) = cidr(value, 128)?;
    let address: Ipv6Addr = address.parse().map_err(|_| "not an IPv6 address")?;
    Ok(match prefix {
        None | Some(128) => address.to_string(),
        Some(prefix) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            format!("{}/{prefix}", Ipv6Addr::from(u128::from(address) & mask))
        }
    })
}

fn cidr(value: &str, bits: u32) -> Result<(&str, Option<u32>), &'static str> {
    match value.split_once('/') {
        None => Ok((value, None)),
        Some((address, prefix)) => match prefix.parse() {
            Ok(prefix) if prefix <= bits && !prefix_is_padded(value) => Ok((address, Some(prefix))),
            _ => Err("the prefix length is out of range"),
        },
    }
}

fn prefix_is_padded(value: &str) -> bool {
    value.rsplit('/').next().is_some_and(|prefix| prefix.len() > 1 && prefix.starts_with('0') || prefix.starts_with('+'))
}

fn domain(value: &str) -> Normal {
    let value = value.strip_suffix('.').unwrap_or(value);
    let ascii = idna::domain_to_ascii(value).map_err(|_| "not a domain name")?;
    let labels_fit = ascii
        .split('.')
        .all(|label| (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    if ascii.len() > 253 || !labels_fit {
        return Err("not a domain name");
    }
    if ascii.parse::<Ipv4Addr>().is_ok() {
        return Err("an address, not a domain name");
    }
    Ok(ascii)
}

fn url(value: &str) -> Normal {
    let parsed = url::Url::parse(value).map_err(|_| "not an absolute URL")?;
    if parsed.cannot_be_a_base() || (parsed.host().is_none() && parsed.scheme() != "file") {
        return Err("a URL without a host");
    }
    Ok(parsed.into())
}

/// The local part too in lower case: no mail system in use tells them apart, and feeds do not agree on theirs.
fn email(value: &str) -> Normal {
    let (local, host) = value.rsplit_once('@').ok_or("no @")?;
    if local.is_empty() || local.chars().any(char::is_whitespace) {
        return Err("not an e-mail address");
    }
    Ok(format!("{}@{}", local.to_lowercase(), domain(host)?))
}

fn mac(value: &str) -> Normal {
    let digits: String = value.chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    let digits = hexadecimal(&digits, &[12])?;
    Ok(digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).into_owned()).collect::<Vec<_>>().join(":"))
}

fn hexadecimal(value: &str, lengths: &[usize]) -> Normal {
    if lengths.contains(&value.len()) && value.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(value.to_ascii_lowercase())
    } else {
        Err("not hexadecimal of the length that the algorithm gives")
    }
}

fn ssdeep(value: &str) -> Normal {
    let mut parts = value.splitn(3, ':');
    match (parts.next().map(str::parse::<u64>), parts.next(), parts.next()) {
        (Some(Ok(_)), Some(_), Some(_)) => Ok(value.to_owned()),
        _ => Err("not blocksize:hash:hash"),
    }
}

/// With the version prefix `T1`, as today's tool writes it.
fn tlsh(value: &str) -> Normal {
    let upper = value.to_ascii_uppercase();
    let digits = upper.strip_prefix("T1").unwrap_or(&upper);
    hexadecimal(digits, &[70]).map(|digits| format!("T1{}", digits.to_ascii_uppercase()))
}

/// Hives in full, lower case: the registry ignores case.
fn registry_key(value: &str) -> String {
    let lower = value.trim_end_matches('\\').to_lowercase();
    let (hive, rest) = lower.split_once('\\').map_or((lower.as_str(), None), |(hive, rest)| (hive, Some(rest)));
    let hive = match hive {
        "hklm" => "hkey_local_machine",
        "hkcu" => "hkey_current_user",
        "hkcr" => "hkey_classes_root",
        "hku" => "hkey_users",
        "hkcc" => "hkey_current_config",
        other => other,
    };
    rest.map_or_else(|| hive.to_owned(), |rest| format!("{hive}\\{rest}"))
}

fn autonomous_system(value: &str) -> Normal {
    let digits = value.get(..2).filter(|prefix| prefix.eq_ignore_ascii_case("as")).map_or(value, |_| &value[2..]);
    digits.trim().parse::<u32>().map(|number| number.to_string()).map_err(|_| "not an AS number")
}

fn vulnerability(value: &str) -> Normal {
    let upper = value.to_ascii_uppercase();
    let valid = upper.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).is_some_and(|(year, number)| {
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        year.len() == 4 && digits(year) && (4..=10).contains(&number.len()) && digits(number)
    });
    if valid { Ok(upper) } else { Err("not CVE-year-number") }
}

fn iban(value: &str) -> Normal {
    let plain: String = value.chars().filter(|c| !c.is_whitespace() && *c != '-').collect::<String>().to_ascii_uppercase();
    if (5..=34).contains(&plain.len()) && plain.bytes().all(|b| b.is_ascii_alphanumeric()) {
        Ok(plain)
    } else {
        Err("not an account number")
    }
}

fn phone(value: &str) -> Normal {
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    let plausible = value.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.' | '/'));
    if !plausible || !(4..=15).contains(&digits.len()) {
        return Err("not a phone number");
    }
    Ok(if value.starts_with('+') { format!("+{digits}") } else { digits })
}

/// Base58 addresses differ by case; Bech32 and hexadecimal ones do not.
fn wallet(value: &str) -> Normal {
    if value.chars().any(char::is_whitespace) {
        return Err("not a wallet address");
    }
    let lower = value.to_ascii_lowercase();
    let ignores_case = ["bc1", "tb1", "ltc1", "0x"].iter().any(|prefix| lower.starts_with(prefix));
    Ok(if ignores_case { lower } else { value.to_owned() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use ObservableKind as Kind;

    #[test]
    fn equal_things_get_equal_values() {
        for (kind, value, normal) in [
            (Kind::Ipv4Addr, "198[.]51.100(.)7", "198.51.100.7"),
            (Kind::Ipv4Addr, "10.1.2.3/8", "10.0.0.0/8"),
            (Kind::Ipv4Addr, "10.1.2.3/32", "10.1.2.3"),
            (Kind::Ipv4Addr, "10.1.2.3/0", "0.0.0.0/0"),
            (Kind::Ipv6Addr, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            (Kind::Ipv6Addr, "2001:db8::1/32", "2001:db8::/32"),
            (Kind::DomainName, "Evil[.]Example.", "evil.example"),
            (Kind::DomainName, "bücher.example", "xn--bcher-kva.example"),
            (Kind::Url, "hxxps://EVIL[.]example/a/../b", "https://evil.example/b"),
            (Kind::Url, "http://evil.example", "http://evil.example/"),
            (Kind::EmailAddr, "Bob[at]Evil.Example", "bob@evil.example"),
            (Kind::MacAddr, "00-1B-44-11-3A-B7", "00:1b:44:11:3a:b7"),
            (Kind::FileMd5, "D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e"),
            (Kind::WindowsRegistryKey, "HKLM\\Software\\Run\\", "hkey_local_machine\\software\\run"),
            (Kind::AutonomousSystem, "AS15169", "15169"),
            (Kind::Vulnerability, "cve-2021-44228", "CVE-2021-44228"),
            (Kind::UserAgent, "Mozilla/5.0  (X11) ", "Mozilla/5.0 (X11)"),
            (Kind::BankAccount, "de89 3704 0044 0532 0130 00", "DE89370400440532013000"),
            (Kind::PhoneNumber, "+31 (20) 123-4567", "+31201234567"),
        ] {
            assert_eq!(normalise(kind, value).unwrap(), normal, "{kind} {value}");
        }
    }

    #[test]
    fn what_is_no_value_of_its_kind_is_refused() {
        for (kind, value) in [
            (Kind::Ipv4Addr, "010.1.2.3"),
            (Kind::Ipv4Addr, "10.1.2.3/33"),
            (Kind::Ipv4Addr, "10.1.2"),
            (Kind::DomainName, "10.1.2.3"),
            (Kind::DomainName, "a..b"),
            (Kind::DomainName, "two words"),
            (Kind::Url, "evil.example/a"),
            (Kind::Url, "mailto:a@b.c"),
            (Kind::FileMd5, "abc"),
            (Kind::FileSha1, "z9993e364706816aba3e25717850c26c9cd0d89d"),
            (Kind::Vulnerability, "CVE-21-1"),
            (Kind::Mutex, "a\0b"),
            (Kind::EmailAddr, "@evil.example"),
        ] {
            assert!(normalise(kind, value).is_err(), "{kind} {value}");
        }
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(kind in proptest::sample::select(Kind::ALL), text in "\\PC{0,60}|[a-zA-Z0-9.:/@\\[\\]-]{1,60}") {
            if let Ok(once) = normalise(kind, &text) {
                prop_assert_eq!(normalise(kind, &once), Ok(once));
            }
        }
    }
}
