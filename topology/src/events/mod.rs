//! The event lane: logs → events → probes → hits → events with their matches, and sightings.
//!
//! Events stay at the worker that read them; only 40-byte probes and hits travel.
pub mod enrich;
pub mod parse;

use serde::{Deserialize, Serialize};
use sightline_schemas::{EntityKey, ObservableKey, Role};

use crate::source::SourceRef;

/// An event under way: which worker holds it, and which it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct EventRef {
    /// The input record.
    pub at: SourceRef,
    /// Its number within that.
    pub index: u32,
    /// The worker that holds it.
    pub worker: u32,
}

/// An indicator names what an event touched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Hit {
    /// The event.
    pub event: EventRef,
    /// The indicator.
    pub entity: EntityKey,
    /// What both name.
    pub observable: ObservableKey,
    /// How the indicator holds it.
    pub role: Role,
}
