//! What lies above an observable: an indicator that names it names what is below.
use sightline_schemas::{Observable, ObservableKind as Kind};

/// How many parents or folders there are at most; of more, those that are nearest the top.
const MOST: usize = 16;

/// The parents of a domain down to two labels; the folders that a URL lies in, and it without its query. Nothing of any other kind.
pub fn above(observable: &Observable) -> Vec<Observable> {
    let value = observable.value();
    let above: Vec<&str> = match observable.kind() {
        Kind::DomainName => value.rmatch_indices('.').skip(1).take(MOST).map(|(dot, _)| &value[dot + 1..]).collect(),
        Kind::Url => prefixes(value),
        _ => return Vec::new(),
    };
    above.into_iter().filter_map(|value| Observable::new(observable.kind(), value).ok()).filter(|other| other != observable).collect()
}

/// `http://a/b/c?d`: `http://a/`, `http://a/b/`, `http://a/b/c`.
fn prefixes(url: &str) -> Vec<&str> {
    let bare = url.split(['?', '#']).next().unwrap_or(url);
    let Some(path) = url.find("://").and_then(|scheme| Some(scheme + 3 + bare.get(scheme + 3..)?.find('/')?)) else { return Vec::new() };
    let folders = bare[path..].match_indices('/').map(|(slash, _)| &bare[..path + slash + 1]).take(MOST);
    folders.filter(|folder| *folder != bare).chain([bare]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn values(kind: Kind, value: &str) -> Vec<String> {
        above(&Observable::new(kind, value).unwrap()).iter().map(|above| above.value().to_owned()).collect()
    }

    #[test]
    fn a_domain_lies_below_its_parents() {
        assert_eq!(values(Kind::DomainName, "a.b.evil.example"), ["evil.example", "b.evil.example"]);
        assert_eq!(values(Kind::DomainName, "evil.example"), Vec::<String>::new());
        assert_eq!(values(Kind::DomainName, &["a"; 100].join(".")).len(), MOST);
    }

    #[test]
    fn a_url_lies_in_its_folders() {
        assert_eq!(
            values(Kind::Url, "https://u@a.example:8443/b/c.php?d=/e/#f"),
            ["https://u@a.example:8443/", "https://u@a.example:8443/b/", "https://u@a.example:8443/b/c.php"]
        );
        assert_eq!(values(Kind::Url, "http://a.example"), Vec::<String>::new());
        assert_eq!(values(Kind::Url, "http://a.example/?x"), ["http://a.example/"]);
        let path = format!("http://a.example/{}c", "b/".repeat(100));
        let deep = values(Kind::Url, &format!("{path}?d"));
        assert_eq!((deep.len(), &*deep[0], &deep[MOST]), (MOST + 1, "http://a.example/", &path));
        assert_eq!(values(Kind::Ipv4Addr, "192.0.2.1"), Vec::<String>::new());
    }
}
