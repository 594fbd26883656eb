//! The sinks: one folder a store, each with its options (`config`), its schema, how it writes and how it is read back.
#[cfg(feature = "elasticsearch")]
pub mod elasticsearch;
#[cfg(feature = "neo4j")]
pub mod neo4j;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
