//! `out.events`: a flattened event, with what it touched.
use serde::{Deserialize, Serialize};

use crate::observable::{ObservableKind, Role};
use crate::time::Micros;

/// An event. Key `tenant:id`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EventRecord {
    /// Tenant.
    pub tenant: String,
    /// Hash of (tenant, source, canonical content), 32 hexadecimal digits.
    pub id: String,
    /// Where it came from (the part of the input key after the tenant).
    pub source: String,
    /// Event time; the time of arrival where the event has none.
    pub timestamp: Micros,
    /// The event as one flat JSON object: dotted keys, values as strings, numbers, booleans or null.
    pub fields: String,
    /// What was found in the fields, sorted.
    pub observables: Vec<EventObservable>,
    /// What matched, sorted.
    pub matches: Vec<EventMatch>,
}

/// An observable within an event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct EventObservable {
    /// Observable identifier.
    pub id: String,
    /// Kind.
    pub kind: ObservableKind,
    /// Normalised value.
    pub value: String,
    /// The field it came from.
    pub field: String,
}

/// An indicator that an event matched.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct EventMatch {
    /// STIX identifier of the indicator.
    pub entity_id: String,
    /// Observable identifier.
    pub observable_id: String,
    /// How the indicator holds it.
    pub role: Role,
}
