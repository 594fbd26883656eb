//! The log: topics of partitions of records, read by offset, written in transactions.
//!
//! Two back-ends behind one set of traits: Kafka ([`kafka`]) and an append-only log in this process ([`embedded`]). The engine and
//! the connectors know only the traits; `tests/conformance.rs` runs the same claims on both.
pub mod embedded;
mod error;
#[cfg(feature = "kafka")]
pub mod kafka;
mod overlay;
mod partitioner;
mod record;
mod traits;

pub use error::LogError;
pub use overlay::Overlay;
pub use record::{Headers, NewRecord, Offset, Record, TopicPartition};
pub use traits::{CleanUp, Log, LogReader, LogWriter, TopicSpec, TransactionalWriter};
