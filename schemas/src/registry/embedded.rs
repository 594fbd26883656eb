//! The registry of the embedded log: the schemas that this build knows, numbered so that no build ever renumbers them.
use super::{RegistryError, SchemaRegistry};
use crate::avro::{RecordType, SchemaId};

/// Numbers of version n begin at `(n - 1) * STRIDE + 1`, in the order of [`RecordType::ALL`].
const STRIDE: usize = 1000;

/// Knows every released version of every record type, and nothing else. Version 1 has the numbers 1, 2, 3 …
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbeddedRegistry;

impl SchemaRegistry for EmbeddedRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        let known = RecordType::ALL.iter().enumerate().find_map(|(at, ty)| {
            let version = ty.versions().iter().position(|version| *version == schema)?;
            Some(SchemaId((version * STRIDE + at + 1) as u32))
        });
        known.ok_or_else(|| RegistryError::Refused {
            subject: subject.into(),
            message: "the embedded registry holds only the schemas of this build; write to Kafka with a schema registry instead".into(),
        })
    }

    fn schema(&self, id: SchemaId) -> Result<String, RegistryError> {
        let unknown = RegistryError::Unknown { id };
        let Some(number) = (id.0 as usize).checked_sub(1) else { return Err(unknown) };
        let ty = RecordType::ALL.get(number % STRIDE);
        ty.and_then(|ty| ty.versions().get(number / STRIDE)).map(|schema| (*schema).to_owned()).ok_or(unknown)
    }

    /// Nothing to do: a test of this crate proves every version compatible with the one before.
    fn set_compatibility_backward(&self, _subject: &str) -> Result<(), RegistryError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_schemas_of_this_build_have_the_numbers_1_to_7() {
        for (at, ty) in RecordType::ALL.iter().enumerate() {
            let id = EmbeddedRegistry.register("soc.out.any-value", ty.versions()[0]).unwrap();
            assert_eq!(id, SchemaId(at as u32 + 1));
            assert_eq!(EmbeddedRegistry.schema(id).unwrap(), ty.versions()[0]);
        }
    }

    #[test]
    fn a_schema_of_nobody_is_refused_and_a_number_of_nothing_is_unknown() {
        assert!(matches!(EmbeddedRegistry.register("soc.out.links-value", "\"string\""), Err(RegistryError::Refused { .. })));
        for id in [0, 8, 1000, 999_999, u32::MAX] {
            assert!(matches!(EmbeddedRegistry.schema(SchemaId(id)), Err(RegistryError::Unknown { .. })), "{id}");
        }
    }
}
