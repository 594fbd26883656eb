//! Bounds on input.
use serde::{Deserialize, Serialize};

/// What a parser takes before it refuses. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// The largest object of a package.
    pub object_bytes: usize,
    /// The deepest nesting of an object or event.
    pub depth: usize,
    /// The most objects of a package.
    pub package_objects: u64,
    /// The longest STIX pattern.
    pub pattern_bytes: usize,
    /// The deepest nesting of parentheses in a STIX pattern.
    pub pattern_depth: usize,
    /// The most observables of one object; those after it are not linked.
    pub extracts_per_object: usize,
    /// The longest line of a list.
    pub line_bytes: usize,
    /// The largest event.
    pub event_bytes: usize,
    /// The most fields of a flattened event.
    pub event_fields: usize,
    /// How much of a refused input a dead letter carries.
    pub dead_letter_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            object_bytes: 16 << 20,
            depth: 64,
            package_objects: 2_000_000,
            pattern_bytes: 64 << 10,
            pattern_depth: 32,
            extracts_per_object: 10_000,
            line_bytes: 1 << 20,
            event_bytes: 1 << 20,
            event_fields: 4_096,
            dead_letter_bytes: 64 << 10,
        }
    }
}
