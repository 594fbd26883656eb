//! `out.entities`: a STIX domain, observable, marking or custom object, as its newest version has it.
use serde::{Deserialize, Serialize};

use crate::observable::{ObservableKind, Role};
use crate::time::Micros;

/// An entity. Key `tenant:id`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EntityRecord {
    /// Tenant.
    pub tenant: String,
    /// STIX identifier.
    pub id: String,
    /// STIX type.
    #[serde(rename = "type")]
    pub ty: String,
    /// `name`, or `value` for observable objects.
    pub name: Option<String>,
    /// `description`.
    pub description: Option<String>,
    /// `created`.
    pub created: Option<Micros>,
    /// `modified`.
    pub modified: Option<Micros>,
    /// Revoked: its links are withdrawn, the entity stays.
    pub revoked: bool,
    /// 0 to 100.
    pub confidence: Option<i32>,
    /// `clear`, `green`, `amber`, `amber+strict`, `red`: the strictest marking.
    pub tlp: Option<String>,
    /// `labels`, in the order of the document.
    pub labels: Vec<String>,
    /// The feeds that support it, sorted.
    pub sources: Vec<String>,
    /// Start of validity.
    pub valid_from: Option<Micros>,
    /// End of validity, exclusive.
    pub valid_until: Option<Micros>,
    /// What it holds now, sorted by id and role.
    pub observables: Vec<HeldObservable>,
    /// The object as canonical JSON.
    pub doc: String,
}

/// An observable within an entity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct HeldObservable {
    /// Observable identifier.
    pub id: String,
    /// Kind.
    pub kind: ObservableKind,
    /// Normalised value.
    pub value: String,
    /// How it is held.
    pub role: Role,
}
