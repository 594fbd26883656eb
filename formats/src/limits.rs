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
    /// The most tests of an indicator that many values meet (networks, `LIKE`, `MATCHES`); those after it match nothing.
    pub wide_per_object: usize,
    /// The longest line of a list.
    pub line_bytes: usize,
    /// The largest event.
    pub event_bytes: usize,
    /// The most fields of a flattened event.
    pub event_fields: usize,
    /// What a packed stream may unpack to, as a multiple of its size; the first 8 MiB are free.
    pub archive_ratio: u64,
    /// What one file may unpack to, all its layers together.
    pub archive_bytes: u64,
    /// The most members of one file, those of archives within it included.
    pub archive_members: u64,
    /// How deep archives may lie within an archive.
    pub archive_depth: u32,
    /// The largest ZIP that is not a file of its own: it is kept in a temporary one.
    pub archive_spool_bytes: u64,
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
            wide_per_object: 1_000,
            line_bytes: 1 << 20,
            event_bytes: 1 << 20,
            event_fields: 4_096,
            archive_ratio: 200,
            archive_bytes: 64 << 30,
            archive_members: 100_000,
            archive_depth: 2,
            archive_spool_bytes: 4 << 30,
            dead_letter_bytes: 64 << 10,
        }
    }
}
