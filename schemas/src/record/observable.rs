//! `out.observables`: an observable, while at least one live entity holds it.
use serde::{Deserialize, Serialize};

use crate::observable::{ObservableKind, Role};
use crate::time::Micros;

/// An observable. Key `tenant:id`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ObservableRecord {
    /// Tenant.
    pub tenant: String,
    /// Observable identifier.
    pub id: String,
    /// Kind.
    pub kind: ObservableKind,
    /// Normalised value.
    pub value: String,
    /// The earliest time that its holders name (observation, start of validity, creation).
    pub first_seen: Option<Micros>,
    /// The latest time that its holders name.
    pub last_seen: Option<Micros>,
    /// How many entities hold it.
    pub holders: i64,
    /// The first of them by identifier, up to the bound `intel.max_holders`.
    pub entities: Vec<Holder>,
}

/// An entity that holds an observable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// STIX identifier.
    pub id: String,
    /// How it is held.
    pub role: Role,
}
