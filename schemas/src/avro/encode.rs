//! Records to datums, written directly: the fields in the schema's order. A test holds it against `apache-avro`.
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{AvroError, OutputRecord, RecordType, SchemaId};
use crate::record::{
    EntityRecord, EventRecord, LinkRecord, ObservableRecord, PackageRecord, PackageStatus, RelationRecord, SightingRecord,
};
use crate::time::Micros;

/// Encodes records in the Confluent wire format. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Encoder {
    ids: Arc<[Option<SchemaId>]>,
}

impl Encoder {
    /// With the registered schema of each type.
    pub fn new(ids: impl IntoIterator<Item = (RecordType, SchemaId)>) -> Self {
        let mut by_type = vec![None; RecordType::ALL.len()];
        for (ty, id) in ids {
            by_type[ty as usize] = Some(id);
        }
        Self { ids: by_type.into() }
    }

    /// Encodes a record.
    ///
    /// # Errors
    /// [`AvroError::Unregistered`].
    pub fn encode(&self, record: &OutputRecord) -> Result<Bytes, AvroError> {
        let ty = record.record_type();
        let id = self.ids[ty as usize].ok_or(AvroError::Unregistered(ty))?;
        // About what it will take, so that a document is not copied while room is made for it.
        let room = 256
            + match record {
                OutputRecord::Entity(record) => record.doc.len() + record.description.as_ref().map_or(0, String::len),
                OutputRecord::Event(record) => record.fields.len() + 160 * record.observables.len(),
                _ => 0,
            };
        let mut datum = Datum(BytesMut::with_capacity(room));
        datum.0.put_u8(0);
        datum.0.put_u32(id.0);
        match record {
            OutputRecord::Entity(record) => datum.entity(record),
            OutputRecord::Observable(record) => datum.observable(record),
            OutputRecord::Link(record) => datum.link(record),
            OutputRecord::Relation(record) => datum.relation(record),
            OutputRecord::Event(record) => datum.event(record),
            OutputRecord::Sighting(record) => datum.sighting(record),
            OutputRecord::Package(record) => datum.package(record),
        }
        Ok(datum.0.freeze())
    }
}

/// The primitives of Avro's binary encoding (Avro 1.12, "Binary encoding").
struct Datum(BytesMut);

impl Datum {
    /// Zig-zag, seven bits a byte, lowest first.
    fn long(&mut self, value: i64) {
        let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
        while zigzag >= 0x80 {
            self.0.put_u8(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        self.0.put_u8(zigzag as u8);
    }

    fn string(&mut self, text: &str) {
        self.long(text.len() as i64);
        self.0.put_slice(text.as_bytes());
    }

    fn boolean(&mut self, value: bool) {
        self.0.put_u8(u8::from(value));
    }

    /// A union of null and something: the branch, then the value.
    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.long(i64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn text(&mut self, text: Option<&String>) {
        self.optional(text, |datum, text| datum.string(text));
    }

    fn instant(&mut self, at: Option<Micros>) {
        self.optional(at, |datum, at| datum.long(at.0));
    }

    /// One block of items, then the end.
    fn array<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        if !items.is_empty() {
            self.long(items.len() as i64);
            for item in items {
                write(self, item);
            }
        }
        self.long(0);
    }

    fn entity(&mut self, record: &EntityRecord) {
        self.string(&record.tenant);
        self.string(&record.id);
        self.string(&record.ty);
        self.text(record.name.as_ref());
        self.text(record.description.as_ref());
        self.instant(record.created);
        self.instant(record.modified);
        self.boolean(record.revoked);
        self.optional(record.confidence, |datum, confidence| datum.long(confidence.into()));
        self.text(record.tlp.as_ref());
        self.array(&record.labels, |datum, label| datum.string(label));
        self.array(&record.sources, |datum, source| datum.string(source));
        self.instant(record.valid_from);
        self.instant(record.valid_until);
        self.array(&record.observables, |datum, held| {
            datum.string(&held.id);
            datum.string(held.kind.as_str());
            datum.string(&held.value);
            datum.string(held.role.as_str());
        });
        self.string(&record.doc);
    }

    fn observable(&mut self, record: &ObservableRecord) {
        self.string(&record.tenant);
        self.string(&record.id);
        self.string(record.kind.as_str());
        self.string(&record.value);
        self.instant(record.first_seen);
        self.instant(record.last_seen);
        self.long(record.holders);
        self.array(&record.entities, |datum, holder| {
            datum.string(&holder.id);
            datum.string(holder.role.as_str());
        });
    }

    fn link(&mut self, record: &LinkRecord) {
        self.string(&record.tenant);
        self.string(&record.entity_id);
        self.string(&record.observable_id);
        self.string(record.role.as_str());
    }

    fn relation(&mut self, record: &RelationRecord) {
        self.string(&record.tenant);
        self.string(&record.id);
        self.string(&record.ty);
        self.string(&record.source_id);
        self.string(&record.target_id);
        self.text(record.doc.as_ref());
    }

    fn event(&mut self, record: &EventRecord) {
        self.string(&record.tenant);
        self.string(&record.id);
        self.string(&record.source);
        self.long(record.timestamp.0);
        self.string(&record.fields);
        self.array(&record.observables, |datum, found| {
            datum.string(&found.id);
            datum.string(found.kind.as_str());
            datum.string(&found.value);
            datum.string(&found.field);
        });
        self.array(&record.matches, |datum, found| {
            datum.string(&found.entity_id);
            datum.string(&found.observable_id);
            datum.string(found.role.as_str());
        });
    }

    fn sighting(&mut self, record: &SightingRecord) {
        self.string(&record.tenant);
        self.string(&record.id);
        self.string(&record.entity_id);
        self.string(&record.observable_id);
        self.string(&record.event_id);
        self.long(record.seen.0);
        self.boolean(record.retracted);
    }

    fn package(&mut self, record: &PackageRecord) {
        self.string(&record.tenant);
        self.string(&record.id);
        self.string(&record.feed);
        self.string(&record.format);
        self.string(&record.sha256);
        self.string(match record.status {
            PackageStatus::Accepted => "accepted",
            PackageStatus::Partial => "partial",
            PackageStatus::Rejected => "rejected",
        });
        self.long(record.entities);
        self.long(record.observables);
        self.long(record.rejected);
        self.text(record.error.as_ref());
    }
}
