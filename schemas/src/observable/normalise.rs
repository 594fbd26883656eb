//! Normalisation: equal things get equal values. `docs/identities.md` states the rules.
use std::net::{Ipv4Addr, Ipv6Addr};

use super::ObservableKind;
use super::refang::refanged;

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
        ObservableKind::Ipv4Addr => ipv4(&refanged(value)),
        ObservableKind::Ipv6Addr => ipv6(&refanged(value)),
        ObservableKind::DomainName => domain(&refanged(value)),
        ObservableKind::Url => url(value),
        ObservableKind::EmailAddr => email(&refanged(value)),
        ObservableKind::MacAddr => mac(value),
        ObservableKind::FileMd5 | ObservableKind::Ja3 => hexadecimal(value, &[32]),
        ObservableKind::FileSha1 => hexadecimal(value, &[40]),
        ObservableKind::FileSha256 => hexadecimal(value, &[64]),
        ObservableKind::FileSha512 => hexadecimal(value, &[128]),
        ObservableKind::X509Fingerprint => hexadecimal(&value.replace([':', ' '], ""), &[32, 40, 64]),
        ObservableKind::FileSsdeep => ssdeep(value),
        ObservableKind::FileTlsh => tlsh(value),
        ObservableKind::WindowsRegistryKey => registry_key(value),
        ObservableKind::AutonomousSystem => autonomous_system(value),
        ObservableKind::UserAgent => Ok(value.split_whitespace().collect::<Vec<_>>().join(" ")),
        ObservableKind::Vulnerability => vulnerability(value),
        ObservableKind::BankAccount => iban(value),
        ObservableKind::PhoneNumber => phone(value),
        ObservableKind::CryptoWallet => wallet(value),
        // Case matters, or may: a file name on one system, a mutex, an account, a command line.
        ObservableKind::FileName | ObservableKind::Mutex | ObservableKind::UserAccount | ObservableKind::Process => Ok(value.to_owned()),
    };
    match normal.map_err(failed)? {
        // Percent-encoding, punycode and lower case can make a value longer.
        normal if normal.len() > MAX_VALUE_BYTES => Err(failed("longer than 8 KiB once normalised")),
        normal => Ok(normal),
    }
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
    // No top-level domain is a number; what ends in one is an address, whole or cut (WHATWG URL, "ends in a number").
    if ascii.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err("an address, not a domain name");
    }
    Ok(ascii)
}

/// The WHATWG parser drops tabs and line ends and turns backslashes, which can complete a defanged dot that was none before:
/// so both steps are repeated until nothing changes. One more round nearly always; a text that needs many is no URL of anybody.
fn url(value: &str) -> Normal {
    const ROUNDS: usize = 4;
    let mut url = whatwg(&refanged(value))?;
    for _ in 0..ROUNDS {
        // Without these characters nothing is left to refang, and the parser leaves its own output alone.
        if !url.contains(['[', '(', '{', '\\', ']']) {
            return Ok(url);
        }
        let again = whatwg(&refanged(&url))?;
        if again == url {
            return Ok(url);
        }
        url = again;
    }
    Err("a URL that changes whenever it is normalised")
}

fn whatwg(value: &str) -> Normal {
    let parsed = url::Url::parse(value).map_err(|_| "not an absolute URL")?;
    if parsed.cannot_be_a_base() || (parsed.host().is_none() && parsed.scheme() != "file") {
        return Err("a URL without a host");
    }
    Ok(parsed.into())
}

/// The local part too in lower case: no mail system in use tells them apart, and feeds do not agree on theirs.
fn email(value: &str) -> Normal {
    let (local, host) = value.rsplit_once('@').ok_or("no @")?;
    if local.is_empty() || local.contains(|c: char| c.is_whitespace() || matches!(c, '@' | '<' | '>' | ',' | ';')) {
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

/// `blocksize:hash:hash`; the file's name, which the tool puts behind a comma, goes.
fn ssdeep(value: &str) -> Normal {
    let value = value.split_once(',').map_or(value, |(hash, _)| hash);
    let mut parts = value.split(':');
    let hash = |part: Option<&str>| part.is_some_and(|text| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/')));
    let size = parts.next().is_some_and(|size| !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit()));
    if size && hash(parts.next()) && hash(parts.next()) && parts.next().is_none() {
        Ok(value.to_owned())
    } else {
        Err("not blocksize:hash:hash")
    }
}

/// With the version prefix `T1`, as today's tool writes it.
fn tlsh(value: &str) -> Normal {
    let upper = value.to_ascii_uppercase();
    let digits = upper.strip_prefix("T1").unwrap_or(&upper);
    hexadecimal(digits, &[70]).map(|digits| format!("T1{}", digits.to_ascii_uppercase()))
}

/// Hives in full, lower case, one backslash between keys: the registry ignores case, and a key's name is never empty.
fn registry_key(value: &str) -> Normal {
    let lower = value.to_lowercase();
    let mut keys = lower.split('\\').map(str::trim).filter(|key| !key.is_empty()).peekable();
    // The kernel's spelling, as Windows' own audit events have it.
    let native = lower.starts_with('\\') && keys.next_if_eq(&"registry").is_some();
    let hive = match keys.next().ok_or("empty")? {
        "hklm" | "hklm:" => "hkey_local_machine",
        "hkcu" | "hkcu:" => "hkey_current_user",
        "hkcr" | "hkcr:" => "hkey_classes_root",
        "hku" | "hku:" => "hkey_users",
        "hkcc" | "hkcc:" => "hkey_current_config",
        "machine" if native => "hkey_local_machine",
        "user" if native => "hkey_users",
        other => other,
    };
    Ok(keys.fold(hive.to_owned(), |path, key| path + "\\" + key))
}

fn autonomous_system(value: &str) -> Normal {
    let lower = value.to_ascii_lowercase();
    let digits = lower.strip_prefix("asn").or_else(|| lower.strip_prefix("as")).unwrap_or(&lower).trim();
    let number = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse::<u32>().ok() } else { None };
    number.map(|number| number.to_string()).ok_or("not an AS number")
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

/// E.164 with `+` where the text has it, or `00` in its place; a national number stays one, for nothing tells its country.
fn phone(value: &str) -> Normal {
    if !value.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')' | '.' | '/')) {
        return Err("not a phone number");
    }
    let digits: String = value.chars().filter(char::is_ascii_digit).collect();
    let (digits, international) = match digits.strip_prefix("00") {
        Some(digits) if !value.contains('+') => (digits, true),
        _ => (digits.as_str(), value.contains('+')),
    };
    // E.164: at most 15 digits. A number may be as short as an alarm line.
    if !(3..=15).contains(&digits.len()) || digits.starts_with("00") {
        return Err("not a phone number");
    }
    Ok(if international { format!("+{digits}") } else { digits.to_owned() })
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
    use proptest::sample::select;

    use super::*;
    use ObservableKind as Kind;

    const TLSH: &str = "A12BE6F41C1C65B3C45A03F1B6E7F3D0D2B5E1C68C9AF7A3E0B15D82F1C4D7E60A5C3F";

    #[test]
    fn equal_things_get_equal_values() {
        for (kind, value, normal) in [
            (Kind::Ipv4Addr, "198[.]51.100(.)7", "198.51.100.7"),
            (Kind::Ipv4Addr, "10.1.2.3/8", "10.0.0.0/8"),
            (Kind::Ipv4Addr, "10.1.2.3/32", "10.1.2.3"),
            (Kind::Ipv4Addr, "10.1.2.3/0", "0.0.0.0/0"),
            (Kind::Ipv6Addr, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            (Kind::Ipv6Addr, "2001:db8::1/32", "2001:db8::/32"),
            (Kind::Ipv6Addr, "2001:db8::1/128", "2001:db8::1"),
            (Kind::Ipv6Addr, "::ffff:198.51.100.7", "::ffff:198.51.100.7"),
            (Kind::DomainName, "Evil[.]Example.", "evil.example"),
            (Kind::DomainName, "bücher.example", "xn--bcher-kva.example"),
            (Kind::DomainName, "_dmarc.evil.example", "_dmarc.evil.example"),
            (Kind::Url, "hxxps://EVIL[.]example/a/../b", "https://evil.example/b"),
            (Kind::Url, "http://evil.example", "http://evil.example/"),
            (Kind::Url, "http://evil.example:80/a b?q=ü#F", "http://evil.example/a%20b?q=%C3%BC#F"),
            (Kind::Url, "http://0x7f.1/", "http://127.0.0.1/"),
            (Kind::Url, "http://[2001:DB8::1]:8080/x", "http://[2001:db8::1]:8080/x"),
            (Kind::Url, "http://evil.example/(\t.)x", "http://evil.example/.x"),
            (Kind::EmailAddr, "Bob[at]Bücher.Example", "bob@xn--bcher-kva.example"),
            (Kind::MacAddr, "00-1B-44-11-3A-B7", "00:1b:44:11:3a:b7"),
            (Kind::MacAddr, "001b.4411.3ab7", "00:1b:44:11:3a:b7"),
            (Kind::FileMd5, "D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e"),
            (Kind::Ja3, "E7D705A3286E19EA42F587B344EE6865", "e7d705a3286e19ea42f587b344ee6865"),
            (Kind::FileSsdeep, "3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C,\"a.txt\"", "3:AXGBicFlgVNhBGcL6wCrFQEv:AXGHsNhxLsr2C"),
            (Kind::FileTlsh, &TLSH.to_lowercase(), &format!("T1{TLSH}")),
            (Kind::FileTlsh, &format!("t1{TLSH}"), &format!("T1{TLSH}")),
            (
                Kind::X509Fingerprint,
                "DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF:95:60:18:90:AF:D8:07:09",
                "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            ),
            (Kind::FileName, " Setup.EXE ", "Setup.EXE"),
            (Kind::WindowsRegistryKey, "HKLM\\Software\\\\Run\\ ", "hkey_local_machine\\software\\run"),
            (Kind::WindowsRegistryKey, "hkcu:\\Software", "hkey_current_user\\software"),
            (Kind::WindowsRegistryKey, "\\REGISTRY\\MACHINE\\System", "hkey_local_machine\\system"),
            (Kind::AutonomousSystem, "AS15169", "15169"),
            (Kind::AutonomousSystem, "asn 015169", "15169"),
            (Kind::Vulnerability, "cve-2021-44228", "CVE-2021-44228"),
            (Kind::UserAgent, "Mozilla/5.0  (X11) ", "Mozilla/5.0 (X11)"),
            (Kind::BankAccount, "de89 3704 0044 0532 0130 00", "DE89370400440532013000"),
            (Kind::CryptoWallet, "BC1QAR0SRRR7XFKVY5L643LYDNW9RE59GTZZWF5MDQ", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
            (Kind::CryptoWallet, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
            (Kind::PhoneNumber, "+31 (20) 123-4567", "+31201234567"),
            (Kind::PhoneNumber, "(+31) 20 1234567", "+31201234567"),
            (Kind::PhoneNumber, "0031 20 1234567", "+31201234567"),
            (Kind::PhoneNumber, "020-1234567", "0201234567"),
        ] {
            assert_eq!(normalise(kind, value).unwrap(), normal, "{kind} {value}");
        }
    }

    #[test]
    fn what_is_no_value_of_its_kind_is_refused() {
        for (kind, value) in [
            (Kind::Ipv4Addr, "010.1.2.3"),
            (Kind::Ipv4Addr, "10.1.2.3/33"),
            (Kind::Ipv4Addr, "10.1.2.3/08"),
            (Kind::Ipv4Addr, "10.1.2.3/+8"),
            (Kind::Ipv4Addr, "10.1.2"),
            (Kind::Ipv6Addr, "fe80::1%eth0"),
            (Kind::Ipv6Addr, "10.1.2.3"),
            (Kind::DomainName, "10.1.2.3"),
            (Kind::DomainName, "10.1.2"),
            (Kind::DomainName, "a..b"),
            (Kind::DomainName, "."),
            (Kind::DomainName, "*.evil.example"),
            (Kind::DomainName, "two words"),
            (Kind::DomainName, "xn--a.example"),
            (Kind::Url, "evil.example/a"),
            (Kind::Url, "mailto:a@b.c"),
            (Kind::FileMd5, "abc"),
            (Kind::FileSha1, "z9993e364706816aba3e25717850c26c9cd0d89d"),
            (Kind::FileSsdeep, "x:a:b"),
            (Kind::FileSsdeep, "3:a"),
            (Kind::FileTlsh, "T1AB"),
            (Kind::MacAddr, "00:1b:44:11:3a"),
            (Kind::WindowsRegistryKey, "\\"),
            (Kind::AutonomousSystem, "+7"),
            (Kind::AutonomousSystem, "4294967296"),
            (Kind::Vulnerability, "CVE-21-1"),
            (Kind::Mutex, "a\0b"),
            (Kind::Mutex, "  "),
            (Kind::EmailAddr, "@evil.example"),
            (Kind::EmailAddr, "a@b@evil.example"),
            (Kind::PhoneNumber, "call me"),
        ] {
            assert!(normalise(kind, value).is_err(), "{kind} {value}");
        }
    }

    #[test]
    fn a_value_is_bounded_before_and_after() {
        assert!(normalise(Kind::Mutex, &"x".repeat(MAX_VALUE_BYTES)).is_ok());
        assert!(normalise(Kind::Mutex, &"x".repeat(MAX_VALUE_BYTES + 1)).is_err());
        assert!(normalise(Kind::Url, &format!("http://evil.example/{}", " a".repeat(MAX_VALUE_BYTES / 2 - 20))).is_err());
    }

    #[test]
    fn a_refusal_names_kind_value_and_cause_in_a_bounded_text() {
        let error = normalise(Kind::FileMd5, &"ü".repeat(1000)).unwrap_err().to_string();
        assert!(error.contains("file-md5") && error.contains("hexadecimal") && error.len() < 400, "{error}");
    }

    /// Texts near enough to values of the kind that many are.
    fn near(kind: Kind) -> BoxedStrategy<String> {
        match kind {
            Kind::Ipv4Addr => "[0-9]{1,3}(\\[?\\.\\]?[0-9]{1,3}){3}(/[0-9]{1,2})?".boxed(),
            Kind::Ipv6Addr => any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).to_string().to_uppercase()).boxed(),
            Kind::DomainName => "([a-zA-Z0-9_äßΣİ。-]{1,8}[.。]){1,4}[a-zA-Zé]{2,5}\\.?".boxed(),
            Kind::EmailAddr => "[a-zA-ZΣİ.+@]{1,8}(@|\\[at\\])[a-zA-Zü-]{1,8}(\\.|\\[dot\\])[a-z]{2,3}".boxed(),
            Kind::Url => {
                "(https?|hxxp|ftp|FILE|foo)(:|\\[:\\])//[a-zA-Z0-9%é:@.]{0,12}[/\\\\?#][a-z0-9A-Z./\\\\?#%&=\\[\\](){}\\t é\"'<>|^`-]{0,30}"
                    .boxed()
            }
            Kind::MacAddr => "([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}".boxed(),
            Kind::FileMd5 | Kind::Ja3 => "[0-9a-fA-F]{32}".boxed(),
            Kind::FileTlsh => "(T1|t1)?[0-9a-fA-F]{70}".boxed(),
            Kind::FileSsdeep => "[0-9]{1,4}:[a-zA-Z0-9+/]{0,9}:[a-zA-Z0-9+/]{0,9}(,.{0,5})?".boxed(),
            Kind::WindowsRegistryKey => "\\\\?(HKLM|hku:|REGISTRY|[A-Z]{1,4})(\\\\{1,2}[ A-ZaÄΣİ]{0,6}){0,4}".boxed(),
            Kind::AutonomousSystem => "(AS|asn|As )?[0-9]{1,10}".boxed(),
            Kind::Vulnerability => "[Cc][vV]e-[0-9]{4}-[0-9]{4,6}".boxed(),
            Kind::PhoneNumber => "[(+]{0,2}[0-9]{1,4}[) -]{0,2}[0-9 -]{2,9}".boxed(),
            Kind::BankAccount => "[a-zA-Z]{2}[0-9 -]{4,20}".boxed(),
            Kind::CryptoWallet => "(bc1|BC1|0X|1)[a-zA-Z0-9]{5,30}".boxed(),
            _ => "\\PC{0,40}".boxed(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn normalising_twice_changes_nothing((kind, text) in select(Kind::ALL).prop_flat_map(|kind| (Just(kind), prop_oneof![3 => near(kind), 1 => "\\PC{0,60}".boxed(), 1 => "[a-zA-Z0-9.:/@\\[\\]-]{1,60}".boxed()]))) {
            if let Ok(once) = normalise(kind, &text) {
                prop_assert_eq!(normalise(kind, &once), Ok(once));
            }
        }
    }
}
