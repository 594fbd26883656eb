//! What lies above an observable: an indicator that names it names what is below.
use sightline_schemas::{Observable, ObservableKind as Kind};

/// How many there are at most; of more, those that are nearest the top.
const MOST: usize = 16;

/// The parents of a domain down to two labels; a URL without its query, and the folders that it lies in. Nothing of any other kind.
pub fn above(observable: &Observable) -> Vec<Observable> {
    let value = observable.value();
    let above: Vec<&str> = match observable.kind() {
        Kind::DomainName => value.match_indices('.').map(|(dot, _)| &value[dot + 1..]).filter(|parent| parent.contains('.')).collect(),
        Kind::Url => prefixes(value),
        _ => return Vec::new(),
    };
    let first = above.len().saturating_sub(MOST);
    above[first..].iter().filter_map(|value| Observable::new(observable.kind(), value).ok()).filter(|other| other != observable).collect()
}

/// `http://a/b/c?d`: `http://a/b/c`, `http://a/b/`, `http://a/`.
fn prefixes(url: &str) -> Vec<&str> {
    let bare = url.split(['?', '#']).next().unwrap_or(url);
    let Some(path) = url.find("://").and_then(|scheme| Some(scheme + 3 + bare.get(scheme + 3..)?.find('/')?)) else { return Vec::new() };
    let folders = bare[path..].rmatch_indices('/').map(|(slash, _)| &bare[..path + slash + 1]);
    std::iter::once(bare).chain(folders.filter(|folder| *folder != bare)).collect()
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
        assert_eq!(values(Kind::DomainName, "a.b.evil.example"), ["b.evil.example", "evil.example"]);
        assert_eq!(values(Kind::DomainName, "evil.example"), Vec::<String>::new());
        assert_eq!(values(Kind::DomainName, &["a"; 100].join(".")).len(), MOST);
    }

    #[test]
    fn a_url_lies_in_its_folders() {
        assert_eq!(
            values(Kind::Url, "https://u@a.example:8443/b/c.php?d=/e/#f"),
            ["https://u@a.example:8443/b/c.php", "https://u@a.example:8443/b/", "https://u@a.example:8443/"]
        );
        assert_eq!(values(Kind::Url, "http://a.example"), Vec::<String>::new());
        assert_eq!(values(Kind::Url, "http://a.example/?x"), ["http://a.example/"]);
        let deep = values(Kind::Url, &format!("http://a.example/{}", "b/".repeat(100)));
        assert_eq!((deep.len(), deep.last().map(String::as_str)), (MOST, Some("http://a.example/")));
        assert_eq!(values(Kind::Ipv4Addr, "192.0.2.1"), Vec::<String>::new());
    }
}
