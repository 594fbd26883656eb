//! The warninglists of MISP.
use sightline_formats::IntelFormat;
use sightline_formats::allow_list::AllowList;
use sightline_schemas::{Observable, ObservableKind as Kind};

use super::data;

/// A value that an entry allows, of whatever kind fits.
fn allowed(entry: &str, lists: &[AllowList]) -> bool {
    let address = entry.split('/').next().unwrap_or(entry);
    let kinds =
        [Kind::Ipv4Addr, Kind::Ipv6Addr, Kind::DomainName, Kind::Url, Kind::EmailAddr, Kind::FileSha256, Kind::FileSha1, Kind::FileMd5];
    let values = [entry.trim_start_matches('.').to_owned(), address.to_owned(), format!("a{entry}"), format!("http://{entry}/")];
    let candidates = kinds.into_iter().flat_map(|kind| values.iter().filter_map(move |value| Observable::new(kind, value).ok()));
    candidates.into_iter().any(|value| lists.iter().any(|list| list.has(value.kind(), value.value())))
}

#[test]
fn every_warninglist_is_read_whole_and_allows_what_it_lists() {
    let Some(folder) = data::path("misp/warninglists") else { return };
    let (mut entries, mut silent, mut refused) = (0, Vec::new(), Vec::new());
    for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.display().to_string();
        let bytes = data::read(&path);
        let plain: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let (digest, objects, poisons) = data::parse(&bytes, IntelFormat::Auto);
        assert_eq!(digest.unwrap().format, "warninglist", "{name}");
        refused.extend(poisons.into_iter().map(|poison| String::from_utf8_lossy(&poison.bytes).into_owned()));
        let lists: Vec<_> = objects.iter().map(|object| AllowList::of(&object.doc).unwrap()).collect();
        for entry in plain["list"].as_array().unwrap() {
            entries += 1;
            if !allowed(entry.as_str().unwrap(), &lists) {
                silent.push(format!("{name}: {entry}"));
            }
        }
    }
    // Among the hosts of a list about a pandemic.
    assert_eq!(refused, ["corona helden"]);
    println!("{entries} entries, of which {} allow nothing that was tried: {:?}", silent.len(), &silent[..silent.len().min(20)]);
    assert!(entries > 8_000 && silent.len() * 100 < entries, "{entries} entries, {} allow nothing", silent.len());
}
