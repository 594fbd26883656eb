//! Who calls the sinks: for each connector one thread that reads and decodes, and one that writes.
//!
//! ```text
//!  log ──► read-<name> ──(bounded channel of chunks)──► sink-<name> ──► store
//!          poll, decode                                 batch, put, back off, dead-letter
//! ```
//! Nothing is shared between connectors, so a store that is away costs the others nothing: its own channel fills, its reader waits, and
//! what is left shows as lag. [`config`] what a user says · [`registry`] class → sink · [`reader`] and [`task`] the two threads ·
//! [`write`] one batch into the store, whatever it takes · [`dead_letter`] · [`status`] what is seen from outside · [`agreement`] whether
//! the store is what the topics say · [`handle`] start and stop.
pub mod agreement;
pub mod backoff;
pub mod config;
pub mod dead_letter;
pub mod handle;
pub mod reader;
pub mod registry;
pub mod status;
pub mod task;
pub mod write;

pub use agreement::Agreement;
pub use config::{ConfigError, ConnectorConfig};
pub use handle::{Connectors, NotCaughtUp, StartError};
pub use status::{ConnectorState, ConnectorStatus, PartitionStatus};
pub(crate) use task::ranges;
