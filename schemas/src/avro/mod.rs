//! Avro: the schemas of `schemas/avro`, and the Confluent wire format (byte 0, schema id in four bytes big-endian, datum).
mod decode;
mod encode;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;

pub use decode::Decoder;
pub use encode::Encoder;

use crate::record::{EntityRecord, EventRecord, LinkRecord, ObservableRecord, PackageRecord, RelationRecord, SightingRecord};
use crate::registry::RegistryError;
use crate::topic::Topics;

/// The number that a registry gave a schema.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SchemaId(pub u32);

/// A record type. The order is that of the embedded registry's ids: add at the end only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum RecordType {
    /// `out.entities`.
    Entity,
    /// `out.observables`.
    Observable,
    /// `out.links`.
    Link,
    /// `out.relations`.
    Relation,
    /// `out.events`.
    Event,
    /// `out.sightings`.
    Sighting,
    /// `out.packages`.
    Package,
}

impl RecordType {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::Entity, Self::Observable, Self::Link, Self::Relation, Self::Event, Self::Sighting, Self::Package];

    /// The word for people and configuration: the topic's name without prefix.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entity => "entities",
            Self::Observable => "observables",
            Self::Link => "links",
            Self::Relation => "relations",
            Self::Event => "events",
            Self::Sighting => "sightings",
            Self::Package => "packages",
        }
    }

    /// Reads [`RecordType::as_str`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|ty| ty.as_str() == word)
    }

    /// The topic in a cell.
    pub fn topic(self, topics: &Topics) -> String {
        match self {
            Self::Entity => topics.entities(),
            Self::Observable => topics.observables(),
            Self::Link => topics.links(),
            Self::Relation => topics.relations(),
            Self::Event => topics.events(),
            Self::Sighting => topics.sightings(),
            Self::Package => topics.packages(),
        }
    }

    /// The registry's subject: `<topic>-value`.
    pub fn subject(self, topics: &Topics) -> String {
        format!("{}-value", self.topic(topics))
    }

    /// The schema that this build writes and reads, as in `schemas/avro`.
    pub fn schema_json(self) -> &'static str {
        match self {
            Self::Entity => include_str!("../../avro/entity.avsc"),
            Self::Observable => include_str!("../../avro/observable.avsc"),
            Self::Link => include_str!("../../avro/link.avsc"),
            Self::Relation => include_str!("../../avro/relation.avsc"),
            Self::Event => include_str!("../../avro/event.avsc"),
            Self::Sighting => include_str!("../../avro/sighting.avsc"),
            Self::Package => include_str!("../../avro/package.avsc"),
        }
    }

    /// Every version of the schema that was released, oldest first; the last is [`RecordType::schema_json`]. They stay for
    /// ever: the embedded log keeps records of all of them. A change of a schema adds `schemas/avro/golden/<n>/<name>.avsc` here.
    pub fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Entity => &[include_str!("../../avro/golden/1/entity.avsc")],
            Self::Observable => &[include_str!("../../avro/golden/1/observable.avsc")],
            Self::Link => &[include_str!("../../avro/golden/1/link.avsc")],
            Self::Relation => &[include_str!("../../avro/golden/1/relation.avsc")],
            Self::Event => &[include_str!("../../avro/golden/1/event.avsc")],
            Self::Sighting => &[include_str!("../../avro/golden/1/sighting.avsc")],
            Self::Package => &[include_str!("../../avro/golden/1/package.avsc")],
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record of any type.
#[derive(Clone, PartialEq, Debug)]
pub enum OutputRecord {
    /// Of `out.entities`.
    Entity(EntityRecord),
    /// Of `out.observables`.
    Observable(ObservableRecord),
    /// Of `out.links`.
    Link(LinkRecord),
    /// Of `out.relations`.
    Relation(RelationRecord),
    /// Of `out.events`.
    Event(EventRecord),
    /// Of `out.sightings`.
    Sighting(SightingRecord),
    /// Of `out.packages`.
    Package(PackageRecord),
}

impl OutputRecord {
    /// Its type.
    pub fn record_type(&self) -> RecordType {
        match self {
            Self::Entity(_) => RecordType::Entity,
            Self::Observable(_) => RecordType::Observable,
            Self::Link(_) => RecordType::Link,
            Self::Relation(_) => RecordType::Relation,
            Self::Event(_) => RecordType::Event,
            Self::Sighting(_) => RecordType::Sighting,
            Self::Package(_) => RecordType::Package,
        }
    }

    /// Its tenant.
    pub fn tenant(&self) -> &str {
        match self {
            Self::Entity(record) => &record.tenant,
            Self::Observable(record) => &record.tenant,
            Self::Link(record) => &record.tenant,
            Self::Relation(record) => &record.tenant,
            Self::Event(record) => &record.tenant,
            Self::Sighting(record) => &record.tenant,
            Self::Package(record) => &record.tenant,
        }
    }

    /// The part of its key after the tenant.
    pub fn id(&self) -> String {
        match self {
            Self::Entity(record) => record.id.clone(),
            Self::Observable(record) => record.id.clone(),
            Self::Link(record) => record.id(),
            Self::Relation(record) => record.id.clone(),
            Self::Event(record) => record.id.clone(),
            Self::Sighting(record) => record.id.clone(),
            Self::Package(record) => record.id.clone(),
        }
    }
}

/// Bytes that are not a record, or a record that does not fit.
#[derive(Debug, thiserror::Error)]
pub enum AvroError {
    /// No schema id was given for this type.
    #[error("no schema is registered for {0}")]
    Unregistered(RecordType),
    /// Not the wire format.
    #[error("expected the Confluent wire format (byte 0, schema id, datum), found {0} bytes that are not")]
    Framing(usize),
    /// The datum does not fit the schema.
    #[error("{ty} with schema {}: {message}", schema.0)]
    Datum {
        /// Record type.
        ty: RecordType,
        /// Writer's schema.
        schema: SchemaId,
        /// Cause.
        message: String,
    },
    /// The writer's schema could not be had.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}
