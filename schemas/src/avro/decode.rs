//! Datums to records, whatever version wrote them.
use std::collections::HashMap;
use std::sync::Arc;

use apache_avro::{Schema, from_avro_datum, from_value};

use super::{AvroError, OutputRecord, RecordType, SchemaId};
use crate::registry::SchemaRegistry;

/// Decodes records; the writers' schemas come from a registry, once each.
pub struct Decoder {
    registry: Arc<dyn SchemaRegistry>,
    writers: HashMap<SchemaId, Schema>,
    readers: HashMap<RecordType, Schema>,
}

impl Decoder {
    /// Looks schemas up in `registry`.
    pub fn new(registry: Arc<dyn SchemaRegistry>) -> Self {
        Self { registry, writers: HashMap::new(), readers: HashMap::new() }
    }

    /// Decodes a value of the type's topic.
    ///
    /// # Errors
    /// [`AvroError`]; of a registry that is away, [`AvroError::Registry`], which may pass.
    pub fn decode(&mut self, ty: RecordType, bytes: &[u8]) -> Result<OutputRecord, AvroError> {
        let (id, mut datum) = match bytes {
            [0, a, b, c, d, datum @ ..] => (SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), datum),
            _ => return Err(AvroError::Framing(bytes.len())),
        };
        let failed = |error: apache_avro::Error| AvroError::Datum { ty, schema: id, message: error.to_string() };
        if !self.writers.contains_key(&id) {
            let schema = Schema::parse_str(&self.registry.schema(id)?).map_err(failed)?;
            self.writers.insert(id, schema);
        }
        if !self.readers.contains_key(&ty) {
            self.readers.insert(ty, Schema::parse_str(ty.schema_json()).map_err(failed)?);
        }
        let (writer, reader) = (&self.writers[&id], &self.readers[&ty]);
        // Resolution walks the whole value again: only where the schemas differ.
        let reader = (writer != reader).then_some(reader);
        let value = from_avro_datum(writer, &mut datum, reader).map_err(failed)?;
        Ok(match ty {
            RecordType::Entity => OutputRecord::Entity(from_value(&value).map_err(failed)?),
            RecordType::Observable => OutputRecord::Observable(from_value(&value).map_err(failed)?),
            RecordType::Link => OutputRecord::Link(from_value(&value).map_err(failed)?),
            RecordType::Relation => OutputRecord::Relation(from_value(&value).map_err(failed)?),
            RecordType::Event => OutputRecord::Event(from_value(&value).map_err(failed)?),
            RecordType::Sighting => OutputRecord::Sighting(from_value(&value).map_err(failed)?),
            RecordType::Package => OutputRecord::Package(from_value(&value).map_err(failed)?),
        })
    }
}
