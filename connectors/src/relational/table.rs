//! Tables and columns (the contract's section Stores).
use sightline_schemas::avro::RecordType;

use ColumnType::{Bool, Int, Json, Text, TextList, Time};

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColumnType {
    /// UTF-8.
    Text,
    /// A list of texts, never null.
    TextList,
    /// 64 bits, signed.
    Int,
    /// True or false.
    Bool,
    /// An instant, to the microsecond.
    Time,
    /// JSON.
    Json,
}

/// A column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    /// Name, not quoted.
    pub name: &'static str,
    /// Type.
    pub ty: ColumnType,
    /// May be absent.
    pub nullable: bool,
}

const fn must(name: &'static str, ty: ColumnType) -> Column {
    Column { name, ty, nullable: false }
}
const fn may(name: &'static str, ty: ColumnType) -> Column {
    Column { name, ty, nullable: true }
}

/// A table: one record type.
#[derive(Debug)]
pub struct Table {
    /// The records in it.
    pub ty: RecordType,
    /// Name, without schema.
    pub name: &'static str,
    /// So many of the first columns are the primary key; the first is the tenant.
    pub key: usize,
    /// So many of the columns hold the record's value; those after them hold its headers and take no part in comparisons.
    pub content: usize,
    /// All columns, in order.
    pub columns: &'static [Column],
}

impl Table {
    /// The columns of the primary key.
    pub fn key_columns(&self) -> &'static [Column] {
        &self.columns[..self.key]
    }

    /// The columns of the record's value, those of the key first.
    pub fn content_columns(&self) -> &'static [Column] {
        &self.columns[..self.content]
    }

    /// The columns outside the primary key.
    pub fn other_columns(&self) -> &'static [Column] {
        &self.columns[self.key..]
    }

    /// Their names, separated by commas.
    pub fn names(columns: &[Column]) -> String {
        columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }
}

const EPOCH: Column = must("epoch", Int);
const ORIGIN: Column = must("origin", Text);
/// What the row adds up with (see [`crate::digest`]); rows of older versions, and those that nobody of ours wrote, have none.
const DIGEST: Column = may("digest", Int);
/// Beside the columns of each table: a hash of them all, by which a row that somebody changed is known. How it is made is the store's affair.
pub const SEAL: &str = "seal";

/// The tables, in the order in which a batch is written.
pub const TABLES: &[Table] = &[
    Table {
        ty: RecordType::Package,
        name: "package",
        key: 2,
        content: 10,
        columns: &[
            must("tenant", Text),
            must("id", Text),
            must("feed", Text),
            must("format", Text),
            must("sha256", Text),
            must("status", Text),
            must("entities", Int),
            must("observables", Int),
            must("rejected", Int),
            may("error", Text),
            may("received", Time),
            EPOCH,
            ORIGIN,
            DIGEST,
        ],
    },
    Table {
        ty: RecordType::Entity,
        name: "entity",
        key: 2,
        content: 15,
        columns: &[
            must("tenant", Text),
            must("id", Text),
            must("type", Text),
            may("name", Text),
            may("description", Text),
            may("created", Time),
            may("modified", Time),
            must("revoked", Bool),
            may("confidence", Int),
            may("tlp", Text),
            must("labels", TextList),
            must("sources", TextList),
            may("valid_from", Time),
            may("valid_until", Time),
            must("doc", Json),
            EPOCH,
            ORIGIN,
            DIGEST,
        ],
    },
    Table {
        ty: RecordType::Observable,
        name: "observable",
        key: 2,
        content: 6,
        columns: &[
            must("tenant", Text),
            must("id", Text),
            must("kind", Text),
            must("value", Text),
            may("first_seen", Time),
            may("last_seen", Time),
            EPOCH,
            ORIGIN,
            DIGEST,
        ],
    },
    Table {
        ty: RecordType::Link,
        name: "entity_observable",
        key: 4,
        content: 4,
        columns: &[must("tenant", Text), must("entity_id", Text), must("observable_id", Text), must("role", Text), EPOCH, ORIGIN, DIGEST],
    },
    Table {
        ty: RecordType::Relation,
        name: "relation",
        key: 2,
        content: 6,
        columns: &[
            must("tenant", Text),
            must("id", Text),
            must("type", Text),
            must("source_id", Text),
            must("target_id", Text),
            may("doc", Json),
            EPOCH,
            ORIGIN,
            DIGEST,
        ],
    },
    Table {
        ty: RecordType::Event,
        name: "event",
        key: 2,
        content: 7,
        columns: &[
            must("tenant", Text),
            must("id", Text),
            must("source", Text),
            must("timestamp", Time),
            must("fields", Json),
            must("observables", Json),
            must("matches", Json),
            EPOCH,
            ORIGIN,
            DIGEST,
        ],
    },
    Table {
        ty: RecordType::Sighting,
        name: "sighting",
        key: 2,
        content: 7,
        columns: &[
            must("tenant", Text),
            must("id", Text),
            must("entity_id", Text),
            must("observable_id", Text),
            must("event_id", Text),
            must("seen", Time),
            must("retracted", Bool),
            EPOCH,
            ORIGIN,
            DIGEST,
        ],
    },
];

/// The table of a record type.
pub fn table(ty: RecordType) -> &'static Table {
    // A type without a table would be a fault of this file; a test holds the two lists together.
    TABLES.iter().find(|table| table.ty == ty).unwrap_or(&TABLES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_type_has_its_own_table() {
        for ty in RecordType::ALL {
            assert_eq!(table(*ty).ty, *ty);
        }
    }
}
