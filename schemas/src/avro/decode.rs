//! Datums to records, whatever version wrote them.
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::{Schema, from_value};

use super::read::read;
use super::{AvroError, OutputRecord, RecordType, SchemaId};
use crate::registry::SchemaRegistry;

/// How many writers' schemas a decoder keeps. A topic sees a handful; past this many it begins anew.
const MAX_WRITERS: usize = 1024;

/// How to read what a schema wrote.
enum Writer {
    /// The schema is this build's: directly.
    Current,
    /// The schema is another version, the first of these: resolved to this build's, the second.
    Other(Box<(Schema, Schema)>),
}

/// Decodes records; the writers' schemas come from a registry, once each.
pub struct Decoder {
    registry: Arc<dyn SchemaRegistry>,
    writers: HashMap<(RecordType, SchemaId), Writer>,
}

impl Decoder {
    /// Looks schemas up in `registry`.
    pub fn new(registry: Arc<dyn SchemaRegistry>) -> Self {
        Self { registry, writers: HashMap::new() }
    }

    /// Decodes a value of the type's topic.
    ///
    /// # Errors
    /// [`AvroError`]; of a registry that is away, [`AvroError::Registry`], which may pass.
    pub fn decode(&mut self, ty: RecordType, bytes: &[u8]) -> Result<OutputRecord, AvroError> {
        let (id, datum) = match bytes {
            [0, a, b, c, d, datum @ ..] => (SchemaId(u32::from_be_bytes([*a, *b, *c, *d])), datum),
            _ => return Err(AvroError::Framing(bytes.len())),
        };
        let failed = |message: String| AvroError::Datum { ty, schema: id, message };
        if self.writers.len() >= MAX_WRITERS && !self.writers.contains_key(&(ty, id)) {
            self.writers.clear();
        }
        let writer = match self.writers.entry((ty, id)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let writer = parse(&self.registry.schema(id)?).map_err(failed)?;
                let reader = parse(ty.schema_json()).map_err(failed)?;
                entry.insert(if writer == reader { Writer::Current } else { Writer::Other(Box::new((writer, reader))) })
            }
        };
        match writer {
            Writer::Current => read(ty, datum).map_err(|e| failed(e.to_string())),
            Writer::Other(versions) => resolve(ty, &versions.0, &versions.1, datum).map_err(failed),
        }
    }
}

fn parse(schema: &str) -> Result<Schema, String> {
    Schema::parse_str(schema).map_err(|e| e.to_string())
}

/// Reads a datum of another version: by way of a tree of values, which is some ten times slower.
pub(super) fn resolve(ty: RecordType, writer: &Schema, reader: &Schema, mut datum: &[u8]) -> Result<OutputRecord, String> {
    let value =
        GenericDatumReader::builder(writer).reader_schema(reader).build().and_then(|avro| avro.read_value(&mut datum)).and_then(|value| {
            match ty {
                RecordType::Entity => from_value(&value).map(OutputRecord::Entity),
                RecordType::Observable => from_value(&value).map(OutputRecord::Observable),
                RecordType::Link => from_value(&value).map(OutputRecord::Link),
                RecordType::Relation => from_value(&value).map(OutputRecord::Relation),
                RecordType::Event => from_value(&value).map(OutputRecord::Event),
                RecordType::Sighting => from_value(&value).map(OutputRecord::Sighting),
                RecordType::Package => from_value(&value).map(OutputRecord::Package),
            }
        });
    match (value, datum.len()) {
        (Err(error), _) => Err(error.to_string()),
        (Ok(_), left @ 1..) => Err(format!("{left} bytes are left over after the record")),
        (Ok(record), 0) => Ok(record),
    }
}
