//! Which edges the graph may hold.
//!
//! A tombstone of a relation names neither its type nor its ends, and Neo4j finds an edge by property only within one type. So the sink
//! keeps, for each edge with a key, a hash of the key with the number of its type: 16 bytes an edge, read from the graph when the sink takes over.
//! What is not in here is surely not in the graph, and is created without looking; what is may be there, and is looked for. So nothing is
//! ever taken out: whether a deletion found its edge, only the graph knows. Whoever adds edges beside the connector (`mend`) counts that up in the
//! lease, and the connector reads the graph again.
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use neo4rs::{Graph, query};

use super::{cypher, session};
use crate::sink::SinkError;

/// Names of types beyond this many become [`OTHER`], the word itself staying in the property `type`: a feed must not fill the graph's
/// catalogue with inventions.
const MAX_TYPES: usize = 1_000;
/// The type of relations whose own could not be one.
pub(super) const OTHER: &str = "RELATED_TO";
/// The type of sightings.
pub(super) const SIGHTED: &str = "SIGHTED";

#[derive(Default)]
pub(super) struct KnownEdges {
    types: Vec<String>,
    numbers: HashMap<String, u16>,
    held: HashSet<(u64, u16)>,
    /// Types whose index on `key` exists.
    indexed: HashSet<u16>,
    /// How often the graph had been mended when it was read.
    pub(super) mended: i64,
}

impl KnownEdges {
    /// Reads the keys of all edges that have one.
    pub(super) async fn load(graph: &Graph, connector: &str) -> Result<Self, SinkError> {
        let mut known = Self::default();
        // First: an edge added while the edges are read then makes them be read once more.
        session::read(graph, "read the lease", query(cypher::MENDED).param("connector", connector), |row| {
            known.mended = row.get("mended")?;
            Ok(())
        })
        .await?;
        let all = query("MATCH (:IntelEntity)-[r]->() WHERE r.key IS NOT NULL RETURN r.key AS key, type(r) AS type");
        session::read(graph, "read the edges", all, |row| {
            let number = known.number(&row.get::<String>("type")?);
            known.add(&row.get::<String>("key")?, number);
            Ok(())
        })
        .await?;
        Ok(known)
    }

    /// The number of a type's name, a new one if need be.
    pub(super) fn number(&mut self, name: &str) -> u16 {
        let name = if self.numbers.contains_key(name) || self.types.len() < MAX_TYPES { name } else { OTHER };
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // At most MAX_TYPES + 1 names ever come here.
        let number = self.types.len() as u16;
        self.types.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    pub(super) fn name(&self, number: u16) -> &str {
        self.types.get(usize::from(number)).map_or(OTHER, String::as_str)
    }

    /// Notes that an edge is about to be written.
    pub(super) fn add(&mut self, key: &str, number: u16) {
        self.held.insert((hash(key), number));
    }

    /// The types under which an edge of that key may be in the graph.
    pub(super) fn may_hold(&self, key: &str) -> Vec<u16> {
        let key = hash(key);
        (0..self.types.len() as u16).filter(|number| self.held.contains(&(key, *number))).collect()
    }

    pub(super) fn is_indexed(&self, number: u16) -> bool {
        self.indexed.contains(&number)
    }

    /// Notes that the index of a type exists.
    pub(super) fn indexed(&mut self, number: u16) {
        self.indexed.insert(number);
    }
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// The type of an edge: the STIX word in upper snake case, of characters that need no escape.
pub(super) fn edge_type(word: &str) -> String {
    let name: String = word
        .chars()
        .take(100)
        .map(|c| match c.to_ascii_uppercase() {
            c @ ('A'..='Z' | '0'..='9') => c,
            _ => '_',
        })
        .collect();
    if name.bytes().any(|b| b != b'_') { name } else { OTHER.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_upper_snake_and_can_break_out_of_no_statement() {
        assert_eq!(edge_type("attributed-to"), "ATTRIBUTED_TO");
        assert_eq!(edge_type("x`]->(n) DETACH DELETE n //"), "X_____N__DETACH_DELETE_N___");
        assert_eq!(edge_type("--"), OTHER);
    }

    #[test]
    fn what_was_added_may_be_held_and_types_are_bounded() {
        let mut known = KnownEdges::default();
        let uses = known.number("USES");
        known.add("t:1", uses);
        assert_eq!((known.may_hold("t:1"), known.may_hold("t:2")), (vec![uses], vec![]));
        for n in 0..MAX_TYPES {
            known.number(&format!("T{n}"));
        }
        let other = known.number("ONE_MORE");
        assert_eq!(known.name(other), OTHER);
    }
}
