//! Block lists in seven dialects, and the CSV that they were made of.
use std::collections::BTreeSet;

use sightline_formats::IntelFormat;

use super::data;

fn values(name: &str) -> Option<(BTreeSet<String>, usize)> {
    let path = data::path(name)?;
    let (digest, objects, poisons) = data::parse(&data::read(&path), IntelFormat::Auto);
    digest.unwrap();
    for poison in poisons.iter().take(5) {
        println!("{name} {} {} {:?}", poison.position, poison.reason, poison.bytes);
    }
    Some((objects.iter().map(|object| object.holds[0].observable.value().to_owned()).collect(), poisons.len()))
}

#[test]
fn the_dialects_of_one_block_list_hold_the_same_domains() {
    let Some((domains, refused)) = values("ioc/tweetfeed/blocklists/domains.txt") else { return };
    // Two entries are dozens of names run together, longer than a name can be.
    assert_eq!((domains.len(), refused), (4_873, 2));
    for dialect in ["adguard", "dnsmasq", "hosts", "rpz"] {
        let (values, refused) = values(&format!("ioc/tweetfeed/blocklists/{dialect}.txt")).unwrap();
        // A response policy zone names each twice, the second time with a wildcard.
        assert_eq!(refused, if dialect == "rpz" { 4 } else { 2 }, "{dialect}");
        assert_eq!(values.symmetric_difference(&domains).collect::<Vec<_>>(), Vec::<&String>::new(), "{dialect}");
    }
}

#[test]
fn lists_of_addresses_urls_and_counts_are_read_whole() {
    for (name, count) in [("ioc/tweetfeed/blocklists/ips.txt", 730), ("ioc/tweetfeed/blocklists/urls.txt", 5_495)] {
        let Some((values, refused)) = values(name) else { return };
        // Two spellings of one URL are one value.
        assert!(
            refused == 0 && values.len() <= count && values.len() > count * 99 / 100,
            "{name}: {} values, {refused} refused",
            values.len()
        );
    }
    let Some((values, refused)) = values("ioc/ipsum/levels/3.txt") else { return };
    assert!(refused == 0 && values.len() > 10_000, "{} values, {refused} refused", values.len());
}

#[test]
fn the_lists_of_signature_base_are_read_but_for_lines_that_hold_no_value() {
    for (name, most) in [("ioc/signature-base/c2-iocs.txt", 20), ("ioc/signature-base/hash-iocs.txt", 5)] {
        let Some((values, refused)) = values(name) else { return };
        println!("{name}: {} values, {refused} refused", values.len());
        assert!(values.len() > 500 && refused <= most, "{name}: {} values, {refused} refused", values.len());
    }
}

#[test]
fn csv_of_a_feed_is_read_whole() {
    for name in ["ioc/tweetfeed/today.csv", "ioc/tweetfeed/week.csv"] {
        let Some((values, refused)) = values(name) else { return };
        assert!(refused == 0 && values.len() > 50, "{name}: {} values, {refused} refused", values.len());
    }
}
