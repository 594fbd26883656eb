//! `out.sightings`: an event touched what an indicator names.
use serde::{Deserialize, Serialize};

use crate::hash::ContentHash;
use crate::time::Micros;

/// A sighting. Key `tenant:id`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SightingRecord {
    /// Tenant.
    pub tenant: String,
    /// Hash of (tenant, entity, observable, event): a replay finds the same one.
    pub id: String,
    /// STIX identifier of the indicator.
    pub entity_id: String,
    /// Observable identifier.
    pub observable_id: String,
    /// Event identifier.
    pub event_id: String,
    /// Event time.
    pub seen: Micros,
    /// Taken back: the indicator was revoked, expired, or its feed unlearnt.
    pub retracted: bool,
}

impl SightingRecord {
    /// The identifier of a sighting.
    pub fn id_of(tenant: &str, entity_id: &str, observable_id: &str, event_id: &str) -> String {
        ContentHash::of_parts([tenant.as_bytes(), entity_id.as_bytes(), observable_id.as_bytes(), event_id.as_bytes()]).to_string()
    }
}
