//! The event lane: logs → events → probes → hits → events with their matches, and sightings.
//!
//! Events stay at the worker that read them; only probes (96 bytes and the value) and hits travel.
pub mod enrich;
pub mod parse;
pub mod touches;

use serde::{Deserialize, Serialize};
use sightline_schemas::{ContentHash, EntityKey, Micros, ObservableKey, Role};

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

/// An event touched an observable: who names it?
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// What it touched.
    pub observable: ObservableKey,
    /// The event.
    pub event: EventRef,
    /// The event's identifier.
    pub id: ContentHash,
    /// The event's own time.
    pub seen: Micros,
    /// The normalised value that was touched.
    pub value: Box<str>,
    /// The event has the value itself, not one below it.
    pub direct: bool,
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_probe_is_96_bytes_and_the_value() {
        assert_eq!(size_of::<super::Probe>(), 96);
    }
}
