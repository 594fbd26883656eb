//! Sinks: each store holds what the output topics say, effectively once, at its own pace.
//!
//! Read in this order: [`sink`] (the contract of a sink), [`batch`] (what a sink is given), [`digest`] (records that add up), [`runtime`] (who calls it: tasks,
//! back-off, dead letters, lag), [`sinks`] (one folder a store), [`verify`] (compares a store with the topics), [`replay`] (gives what the topics hold to a
//! store again).
//! A new sink is one folder under `sinks`, one line in [`runtime::registry`] and a page in `docs/connectors`; `tests/conformance.rs`
//! then holds it to the same claims as the others.
pub mod batch;
pub mod canonical;
pub mod digest;
pub mod relational;
pub mod replay;
pub mod runtime;
pub mod sink;
pub mod sinks;
pub mod verify;

pub use batch::{Batch, Op, SinkRecord};
pub use runtime::{ConnectorConfig, ConnectorState, ConnectorStatus, Connectors};
pub use sink::{Mended, Rebuild, Refused, SinkConnector, SinkError, Stored, Visit, Wrong};
