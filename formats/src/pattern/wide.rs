//! Tests that many values meet: networks, `LIKE`, `MATCHES`. No look-up by value finds them, so they are asked about each value.
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use regex::{RegexBuilder, RegexSet, RegexSetBuilder};
use serde::{Deserialize, Serialize};
use sightline_schemas::{ObservableKind as Kind, Role};

use super::ast::{Literal, Observation, Operator, Test};
use super::kinds::kinds;
use super::walk::each_test;
use crate::intel::Held;
use crate::prefix::{bits, mask};

/// How large the automaton of one expression may become, in bytes.
const EXPRESSION_BYTES: usize = 256 << 10;
/// How large that of a set may become; what is more makes several sets.
const SET_BYTES: usize = 64 << 20;

/// A test that many values meet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum WideTest {
    /// An address within a network, or a network within it.
    Network {
        /// Its first address.
        address: IpAddr,
        /// How many bits of it count.
        length: u8,
    },
    /// A value that an expression finds something in.
    Expression {
        /// Of this kind.
        kind: Kind,
        /// The expression, in the dialect of the `regex` crate.
        expression: String,
    },
}

/// The wide tests of a pattern that suffice for it.
pub fn wide(pattern: &Observation) -> Vec<WideTest> {
    let mut found = BTreeSet::new();
    each_test(pattern, &mut |test, suffices| {
        if suffices && !test.negated {
            found.extend(of_test(test));
        }
    });
    found.into_iter().collect()
}

fn of_test(test: &Test) -> Vec<WideTest> {
    let [Literal::Text(text)] = &test.literals[..] else { return Vec::new() };
    let kinds = kinds(&test.path).into_iter();
    match test.operator {
        Operator::IsSubset => kinds.filter(|kind| is_address(*kind)).filter_map(|kind| network(kind, text)).collect(),
        Operator::Like => kinds.filter_map(|kind| expression(kind, &like(text))).collect(),
        Operator::Matches => kinds.filter_map(|kind| expression(kind, text)).collect(),
        _ => Vec::new(),
    }
}

/// The networks among what an object names by value: what is named is what lies within.
pub fn networks(holds: &[Held]) -> impl Iterator<Item = WideTest> {
    let named = holds.iter().filter(|held| held.role == Role::Pattern && is_address(held.observable.kind()));
    named.filter(|held| held.observable.value().contains('/')).filter_map(|held| network(held.observable.kind(), held.observable.value()))
}

/// Whether values of a kind are compared with anything but themselves. Digests are not.
pub fn is_compared(kind: Kind) -> bool {
    use Kind::{FileMd5, FileSha1, FileSha256, FileSha512, FileSsdeep, FileTlsh, Ja3, X509Fingerprint};
    !matches!(kind, FileMd5 | FileSha1 | FileSha256 | FileSha512 | FileSsdeep | FileTlsh | X509Fingerprint | Ja3)
}

fn is_address(kind: Kind) -> bool {
    matches!(kind, Kind::Ipv4Addr | Kind::Ipv6Addr)
}

fn network(kind: Kind, text: &str) -> Option<WideTest> {
    let network = parse_network(text.trim())?;
    let is_of_kind = network.addr().is_ipv4() == (kind == Kind::Ipv4Addr);
    is_of_kind.then(|| WideTest::Network { address: network.network(), length: network.prefix_len() })
}

/// A network, or that of one address.
fn parse_network(text: &str) -> Option<IpNet> {
    if text.contains('/') { text.parse().ok() } else { text.parse::<IpAddr>().ok().map(IpNet::from) }
}

fn expression(kind: Kind, expression: &str) -> Option<WideTest> {
    // What is normalised to one case is compared without regard to it.
    let caseless = matches!(kind, Kind::DomainName | Kind::EmailAddr | Kind::MacAddr | Kind::WindowsRegistryKey);
    let flags = if caseless { "(?is)" } else { "(?s)" };
    is_compared(kind).then(|| WideTest::Expression { kind, expression: format!("{flags}{expression}") })
}

/// `%` stands for any text, `_` for any character; the whole value is meant.
fn like(text: &str) -> String {
    let mut expression = String::from("^(?:");
    for character in text.chars() {
        match character {
            '%' => expression.push_str(".*"),
            '_' => expression.push('.'),
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression + ")$"
}

/// Many wide tests of many holders, asked at once.
#[derive(Debug)]
pub struct WideSet<T> {
    /// By whether they are of version 4, the length of their prefix, and its bits.
    networks: BTreeMap<(bool, u8), BTreeMap<u128, BTreeSet<T>>>,
    expressions: BTreeMap<Kind, Expressions<T>>,
}

#[derive(Debug)]
struct Expressions<T> {
    holders: BTreeMap<String, BTreeSet<T>>,
    /// Made when it is first asked for after a change.
    compiled: OnceCell<Vec<(RegexSet, Vec<Vec<T>>)>>,
}

impl<T> Default for WideSet<T> {
    fn default() -> Self {
        Self { networks: BTreeMap::new(), expressions: BTreeMap::new() }
    }
}

impl<T: Copy + Ord> WideSet<T> {
    /// Adds a test.
    ///
    /// # Errors
    /// When its expression is none of the dialect, or too large.
    pub fn insert(&mut self, holder: T, test: &WideTest) -> Result<(), regex::Error> {
        match test {
            WideTest::Network { address, length } => {
                let (four, bits) = bits(*address);
                self.networks.entry((four, *length)).or_default().entry(bits & mask(*length)).or_default().insert(holder);
            }
            WideTest::Expression { kind, expression } => {
                RegexBuilder::new(expression).size_limit(EXPRESSION_BYTES).build()?;
                let of_kind = self.expressions.entry(*kind).or_default();
                of_kind.holders.entry(expression.clone()).or_default().insert(holder);
                of_kind.compiled.take();
            }
        }
        Ok(())
    }

    /// Removes a test; what is not there is left so.
    pub fn remove(&mut self, holder: T, test: &WideTest) {
        match test {
            WideTest::Network { address, length } => {
                let (four, bits) = bits(*address);
                let Some(of_length) = self.networks.get_mut(&(four, *length)) else { return };
                remove_from(of_length, &(bits & mask(*length)), holder);
                if of_length.is_empty() {
                    self.networks.remove(&(four, *length));
                }
            }
            WideTest::Expression { kind, expression } => {
                let Some(of_kind) = self.expressions.get_mut(kind) else { return };
                remove_from(&mut of_kind.holders, expression, holder);
                of_kind.compiled.take();
                if of_kind.holders.is_empty() {
                    self.expressions.remove(kind);
                }
            }
        }
    }

    /// Whether any test speaks of values of a kind.
    pub fn concerns(&self, kind: Kind) -> bool {
        is_address(kind) && !self.networks.is_empty() || self.expressions.contains_key(&kind)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.expressions.is_empty()
    }

    /// Whose tests a normalised value meets.
    pub fn holders(&self, kind: Kind, value: &str) -> BTreeSet<T> {
        let mut found = BTreeSet::new();
        if is_address(kind)
            && !self.networks.is_empty()
            && let Some(network) = parse_network(value)
        {
            let (four, bits) = bits(network.addr());
            for ((_, length), of_length) in self.networks.range((four, 0)..=(four, network.prefix_len())) {
                found.extend(of_length.get(&(bits & mask(*length))).into_iter().flatten());
            }
        }
        for (set, holders) in self.expressions.get(&kind).into_iter().flat_map(Expressions::compiled) {
            found.extend(set.matches(value).into_iter().flat_map(|matched| &holders[matched]));
        }
        found
    }
}

fn remove_from<K: Ord, T: Ord>(map: &mut BTreeMap<K, BTreeSet<T>>, key: &K, holder: T) {
    if let Some(holders) = map.get_mut(key) {
        holders.remove(&holder);
        if holders.is_empty() {
            map.remove(key);
        }
    }
}

impl<T> Default for Expressions<T> {
    fn default() -> Self {
        Self { holders: BTreeMap::new(), compiled: OnceCell::new() }
    }
}

impl<T: Copy + Ord> Expressions<T> {
    fn compiled(&self) -> &[(RegexSet, Vec<Vec<T>>)] {
        self.compiled.get_or_init(|| {
            let all: Vec<(&str, Vec<T>)> =
                self.holders.iter().map(|(expression, holders)| (&**expression, holders.iter().copied().collect())).collect();
            let mut sets = Vec::new();
            compile(&all, &mut sets);
            sets
        })
    }
}

/// One automaton if it is not too large, else several. Each expression alone was compiled before.
fn compile<T: Copy>(all: &[(&str, Vec<T>)], sets: &mut Vec<(RegexSet, Vec<Vec<T>>)>) {
    match RegexSetBuilder::new(all.iter().map(|(expression, _)| expression)).size_limit(SET_BYTES).build() {
        Ok(set) => sets.push((set, all.iter().map(|(_, holders)| holders.clone()).collect())),
        Err(_) if all.len() > 1 => {
            let (one, other) = all.split_at(all.len() / 2);
            compile(one, sets);
            compile(other, sets);
        }
        Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::Limits;

    fn set(patterns: &[&str]) -> WideSet<usize> {
        let mut set = WideSet::default();
        for (number, pattern) in patterns.iter().enumerate() {
            let pattern = super::super::parse(pattern, &Limits::default()).unwrap();
            let holds = super::super::equalities(&pattern);
            for test in wide(&pattern).into_iter().chain(networks(&holds)) {
                set.insert(number, &test).unwrap();
            }
        }
        set
    }

    fn holders(set: &WideSet<usize>, kind: Kind, value: &str) -> Vec<usize> {
        set.holders(kind, value).into_iter().collect()
    }

    #[test]
    fn a_network_names_the_addresses_and_networks_within() {
        let set = set(&[
            "[ipv4-addr:value = '198.51.100.0/24']",
            "[ipv4-addr:value ISSUBSET '198.51.0.0/16' OR ipv6-addr:value ISSUBSET '2001:db8::/32']",
            "[ipv4-addr:value ISSUBSET '0.0.0.0/0']",
            "[ipv4-addr:value = '198.51.100.7']",
        ]);
        assert_eq!(holders(&set, Kind::Ipv4Addr, "198.51.100.7"), [0, 1, 2]);
        assert_eq!(holders(&set, Kind::Ipv4Addr, "198.51.100.0/25"), [0, 1, 2]);
        assert_eq!(holders(&set, Kind::Ipv4Addr, "198.51.0.0/23"), [1, 2]);
        assert_eq!(holders(&set, Kind::Ipv6Addr, "2001:db8:1::1"), [1]);
        assert_eq!(holders(&set, Kind::DomainName, "198.51.100.7"), Vec::<usize>::new());
    }

    #[test]
    fn like_means_the_whole_value_and_matches_a_part_of_it() {
        let set = set(&[
            "[domain-name:value LIKE '%.Evil.example']",
            "[url:value LIKE 'http://_.example/%']",
            "[url:value MATCHES '/gate[0-9]+\\\\.php$']",
            "[file:name LIKE 'a+b%']",
            "[file:hashes.MD5 LIKE 'd4%']",
        ]);
        assert_eq!(holders(&set, Kind::DomainName, "www.evil.example"), [0]);
        assert_eq!(holders(&set, Kind::DomainName, "www.evil.example.org"), Vec::<usize>::new());
        assert_eq!(holders(&set, Kind::Url, "http://a.example/x/gate12.php"), [1, 2]);
        assert_eq!(holders(&set, Kind::Url, "http://aa.example/x/gate12_php"), Vec::<usize>::new());
        assert_eq!(holders(&set, Kind::FileName, "a+b.exe"), [3]);
        assert_eq!(holders(&set, Kind::FileMd5, "d41d8cd98f00b204e9800998ecf8427e"), Vec::<usize>::new());
    }

    #[test]
    fn what_needs_more_beside_it_is_not_wide() {
        for pattern in ["[url:value LIKE 'a%' AND file:name = 'b']", "[url:value NOT LIKE 'a%']", "[url:value LIKE 'a%'] REPEATS 2 TIMES"] {
            assert_eq!(wide(&super::super::parse(pattern, &Limits::default()).unwrap()), [], "{pattern}");
        }
    }

    #[test]
    fn what_is_removed_names_nothing_and_a_bad_expression_is_refused() {
        let mut set = WideSet::default();
        let tests = [
            WideTest::Network { address: "192.0.2.0".parse().unwrap(), length: 24 },
            WideTest::Expression { kind: Kind::Url, expression: "a".into() },
        ];
        for test in &tests {
            set.insert(1, test).unwrap();
            set.insert(2, test).unwrap();
            set.remove(1, test);
        }
        assert_eq!((holders(&set, Kind::Ipv4Addr, "192.0.2.9"), holders(&set, Kind::Url, "http://a/")), (vec![2], vec![2]));
        tests.iter().for_each(|test| set.remove(2, test));
        assert!(set.is_empty());
        for expression in ["(?=a)", "a{1000}{1000}"] {
            assert!(set.insert(1, &WideTest::Expression { kind: Kind::Url, expression: expression.into() }).is_err());
        }
    }
}
