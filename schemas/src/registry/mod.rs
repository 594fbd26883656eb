//! Schema registries: where the number in front of a datum leads to its schema.
#[cfg(feature = "confluent")]
mod confluent;
mod embedded;

#[cfg(feature = "confluent")]
pub use confluent::{ConfluentRegistry, ConfluentSettings};
pub use embedded::EmbeddedRegistry;

use crate::avro::SchemaId;

/// A registry that failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It does not know the schema.
    #[error("the schema registry knows no schema {}", id.0)]
    Unknown {
        /// Which.
        id: SchemaId,
    },
    /// It refused the schema.
    #[error("the schema registry refused the schema of {subject}: {message}")]
    Refused {
        /// Subject.
        subject: String,
        /// Its words.
        message: String,
    },
    /// It is away; may pass.
    #[error("failed to reach the schema registry: {0}; check registry.url, will try again")]
    Unreachable(String),
    /// The settings can't be used; no call was made.
    #[error("{message}")]
    Settings {
        /// Which, and why.
        message: String,
    },
}

/// A registry.
pub trait SchemaRegistry: Send + Sync {
    /// Registers a schema; the same one again gets the same number.
    ///
    /// # Errors
    /// [`RegistryError`].
    fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError>;

    /// The schema of a number.
    ///
    /// # Errors
    /// [`RegistryError`].
    fn schema(&self, id: SchemaId) -> Result<String, RegistryError>;

    /// From now on only backward-compatible versions of the subject are taken.
    ///
    /// # Errors
    /// [`RegistryError`].
    fn set_compatibility_backward(&self, subject: &str) -> Result<(), RegistryError>;
}
