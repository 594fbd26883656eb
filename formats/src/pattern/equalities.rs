//! Which observables a pattern names by equality, and whether one alone suffices for the pattern.
use sightline_schemas::{Observable, Role};

use super::ast::{Literal, Observation, Operator, Test};
use super::kinds::kinds;
use super::walk::each_test;
use crate::intel::Held;

/// Every `=`, and every member of an `IN`, on an observable property, not negated.
///
/// [`Role::Pattern`]: nothing but `OR` lies between the equality and the whole, so it suffices. [`Role::PatternPart`]: it needs others beside it
/// (`AND`, `FOLLOWEDBY`), several times (`REPEATS`), or at a certain time (`START … STOP`).
pub fn equalities(pattern: &Observation) -> Vec<Held> {
    let mut held = Vec::new();
    each_test(pattern, &mut |test, suffices| equality(test, suffices, &mut held));
    // What suffices somewhere in the pattern suffices; `pattern` sorts before `pattern-part`.
    held.sort_unstable();
    held.dedup_by(|later, first| later.observable == first.observable);
    held
}

fn equality(test: &Test, suffices: bool, held: &mut Vec<Held>) {
    if test.negated || !matches!(test.operator, Operator::Equal | Operator::In) {
        return;
    }
    let role = if suffices { Role::Pattern } else { Role::PatternPart };
    for literal in &test.literals {
        let value = match literal {
            Literal::Text(text) => text.clone(),
            Literal::Integer(number) => number.to_string(),
            Literal::Hexadecimal(digits) => digits.clone(),
            _ => continue,
        };
        // Of several kinds it is the one that the value fits.
        let mut fitting = kinds(&test.path).into_iter().filter_map(|kind| Observable::new(kind, &value).ok());
        held.extend(fitting.next().map(|observable| Held { observable, role }));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::limits::Limits;

    fn held(pattern: &str) -> Vec<String> {
        let parsed = super::super::parse(pattern, &Limits::default()).unwrap();
        equalities(&parsed).iter().map(|held| format!("{} {} {}", held.observable.kind(), held.observable.value(), held.role)).collect()
    }

    #[test]
    fn an_equality_suffices_while_only_or_lies_above_it() {
        assert_eq!(
            held("[ipv4-addr:value = '198.51.100.1' OR domain-name:value = 'EVIL.example']"),
            ["ipv4-addr 198.51.100.1 pattern", "domain-name evil.example pattern"]
        );
        assert_eq!(
            held("[file:name = 'a.exe' AND file:hashes.MD5 = 'd41d8cd98f00b204e9800998ecf8427e']"),
            ["file-md5 d41d8cd98f00b204e9800998ecf8427e pattern-part", "file-name a.exe pattern-part"]
        );
        assert_eq!(
            held("([url:value = 'http://a.example/'] FOLLOWEDBY [mutex:name = 'm']) WITHIN 5 SECONDS OR [mutex:name = 'm']"),
            ["url http://a.example/ pattern-part", "mutex m pattern"]
        );
        assert_eq!(held("[mutex:name = 'm'] REPEATS 3 TIMES"), ["mutex m pattern-part"]);
    }

    #[test]
    fn a_chain_as_long_as_the_bound_allows_needs_no_deep_stack() {
        let chain = |operator: &str, part: &str| vec![part; 60_000 / (part.len() + operator.len())].join(operator);
        assert_eq!(held(&chain("OR", "[mutex:name='m']")), ["mutex m pattern"]);
        assert_eq!(held(&chain("FOLLOWEDBY", "[mutex:name='m']")), ["mutex m pattern-part"]);
        assert_eq!(held(&format!("[{}]", chain(" AND ", "mutex:name='m'"))), ["mutex m pattern-part"]);
        let deep =
            |depth: usize| super::super::parse(&format!("{}[mutex:name='m']{}", "(".repeat(depth), ")".repeat(depth)), &Limits::default());
        assert!(deep(32).is_ok() && deep(33).is_err() && deep(10_000).is_err());
    }

    #[test]
    fn negations_and_other_operators_name_nothing() {
        assert_eq!(
            held("[ipv4-addr:value != '198.51.100.1' OR domain-name:value LIKE '%.example' OR url:value NOT = 'http://a.example/']"),
            Vec::<String>::new()
        );
        assert_eq!(held("[domain-name:value IN ('a.example', 'b.example') AND EXISTS domain-name:resolves_to_refs]").len(), 2);
    }

    #[test]
    fn hashes_are_known_however_their_algorithm_is_written() {
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        for path in ["file:hashes.'SHA-256'", "file:hashes.SHA256", "file:hashes.sha_256", "file:content_ref.hashes.'SHA-256'"] {
            assert_eq!(held(&format!("[{path} = '{digest}']")), [format!("file-sha256 {digest} pattern")]);
        }
    }
}
