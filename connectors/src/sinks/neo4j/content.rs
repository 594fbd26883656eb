//! What the graph keeps of a record, and where: the columns of its table, but as properties, and identifiers of others as ends of an edge.
use std::borrow::Cow;

use sightline_schemas::ContentHash;
use sightline_schemas::avro::{OutputRecord, RecordType};

use crate::digest::Digest;
use crate::relational::{self, Cell, digest, table};

/// Where a column is.
#[derive(Clone, Copy)]
enum Place {
    /// A property of that name.
    Property(&'static str),
    /// The key of the node that the edge leaves.
    From,
    /// The key of the node that it reaches.
    To,
}

/// Where the graph has the columns of a type, in the order of its table; none for those that it does not keep.
fn places(ty: RecordType) -> impl Iterator<Item = Option<Place>> {
    let is_edge = !matches!(ty, RecordType::Entity | RecordType::Observable);
    table(ty).content_columns().iter().map(move |column| match column.name {
        "doc" => None,
        // The ends of a link name it.
        "tenant" if ty == RecordType::Link => None,
        "entity_id" | "source_id" if is_edge => Some(Place::From),
        "observable_id" | "target_id" if is_edge => Some(Place::To),
        name => Some(Place::Property(name)),
    })
}

/// The expressions that read them from `x`, and of an edge from its ends `a` and `b`.
pub(super) fn expressions(ty: RecordType) -> Vec<String> {
    let expression = |place| match place {
        Place::Property(name) => format!("x.{name}"),
        Place::From => "a.key".to_owned(),
        Place::To => "b.key".to_owned(),
    };
    places(ty).flatten().map(expression).collect()
}

/// The same of a record.
fn cells(record: &OutputRecord) -> Vec<Cell<'_>> {
    let cell = |(cell, place)| match (cell, place) {
        (_, None) => None,
        (Cell::Text(id), Some(Place::From | Place::To)) => Some(Cell::Text(Cow::Owned(format!("{}:{id}", record.tenant())))),
        (cell, Some(_)) => Some(cell),
    };
    relational::content(record).into_iter().zip(places(record.record_type())).filter_map(cell).collect()
}

/// What a scan gives for `record`.
pub(super) fn digest_of(record: &OutputRecord) -> ContentHash {
    digest(&cells(record))
}

/// The seal of a record: a hash of all that is read of it, with its digest. The server has no hash, so whoever checks it reads the graph.
pub(super) fn seal_of(record: &OutputRecord, added: Digest) -> i64 {
    // A link's key is in its ends.
    let key = if record.record_type() == RecordType::Link { Cell::Null } else { format!("{}:{}", record.tenant(), record.id()).into() };
    seal(key, cells(record), added)
}

/// The seal of what was read.
pub(super) fn seal<'a>(key: Cell<'a>, mut cells: Vec<Cell<'a>>, added: Digest) -> i64 {
    cells.extend([key, added.signed().into(), added.epoch.cast_signed().into()]);
    digest(&cells).0[0].cast_signed()
}
