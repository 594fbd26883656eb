//! Records as maps of properties.
use neo4rs::{BoltList, BoltMap, BoltNull, BoltType};
use sightline_schemas::Micros;
use sightline_schemas::record::{EntityRecord, LinkRecord, ObservableRecord};

use super::content;
use crate::batch::{Op, SinkRecord};

/// A map under construction.
pub(super) struct Properties(BoltMap);

impl Properties {
    pub(super) fn new() -> Self {
        Self(BoltMap::with_capacity(20))
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<BoltType>) -> Self {
        self.0.put(name.into(), value.into());
        self
    }

    pub(super) fn with_time(self, name: &str, micros: Option<Micros>) -> Self {
        let instant = micros.and_then(|micros| chrono::DateTime::from_timestamp_micros(micros.0));
        match instant {
            Some(instant) => self.with(name, instant.fixed_offset()),
            None => self.with(name, BoltType::Null(BoltNull)),
        }
    }

    pub(super) fn with_texts(self, name: &str, texts: &[String]) -> Self {
        let mut list = BoltList::with_capacity(texts.len());
        texts.iter().for_each(|text| list.push(text.as_str().into()));
        self.with(name, BoltType::List(list))
    }

    /// Epoch, origin, digest and seal.
    pub(super) fn with_headers(self, record: &SinkRecord) -> Self {
        let headed = self.with("epoch", epoch(record)).with("origin", record.origin.as_str());
        // A deletion leaves nothing to be added up.
        let Op::Upsert(value) = &record.op else { return headed };
        let digest = record.digest();
        headed.with("digest", digest.signed()).with("seal", content::seal_of(value, digest))
    }

    pub(super) fn build(self) -> BoltType {
        BoltType::Map(self.0)
    }
}

pub(super) fn epoch(record: &SinkRecord) -> i64 {
    i64::try_from(record.epoch).unwrap_or(i64::MAX)
}

pub(super) fn entity(record: &SinkRecord, value: &EntityRecord) -> BoltType {
    Properties::new()
        .with("key", record.key())
        .with("tenant", value.tenant.as_str())
        .with("id", value.id.as_str())
        .with("type", value.ty.as_str())
        .with("name", value.name.as_deref())
        .with("description", value.description.as_deref())
        .with_time("created", value.created)
        .with_time("modified", value.modified)
        .with("revoked", value.revoked)
        .with("confidence", value.confidence)
        .with("tlp", value.tlp.as_deref())
        .with_texts("labels", &value.labels)
        .with_texts("sources", &value.sources)
        .with_time("valid_from", value.valid_from)
        .with_time("valid_until", value.valid_until)
        .with_headers(record)
        .build()
}

pub(super) fn observable(record: &SinkRecord, value: &ObservableRecord) -> BoltType {
    Properties::new()
        .with("key", record.key())
        .with("tenant", value.tenant.as_str())
        .with("id", value.id.as_str())
        .with("kind", value.kind.as_str())
        .with("value", value.value.as_str())
        .with_time("first_seen", value.first_seen)
        .with_time("last_seen", value.last_seen)
        .with_headers(record)
        .build()
}

pub(super) fn link(record: &SinkRecord, value: &LinkRecord) -> BoltType {
    Properties::new()
        .with("a", format!("{}:{}", value.tenant, value.entity_id))
        .with("a_id", value.entity_id.as_str())
        .with("b", format!("{}:{}", value.tenant, value.observable_id))
        .with("b_id", value.observable_id.as_str())
        .with("tenant", value.tenant.as_str())
        .with("role", value.role.as_str())
        .with_headers(record)
        .build()
}
