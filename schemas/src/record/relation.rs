//! `out.relations`: a STIX relationship, or an embedded reference, whose both ends are held.
use serde::{Deserialize, Serialize};

/// A relation. Key `tenant:id`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RelationRecord {
    /// Tenant.
    pub tenant: String,
    /// `relationship--…` for a STIX relationship; `reference--…` (deterministic) for an embedded `*_ref`.
    pub id: String,
    /// `relationship_type`, or the property without `_ref(s)` in kebab case (`created-by`, `object-marking`).
    #[serde(rename = "type")]
    pub ty: String,
    /// STIX identifier.
    pub source_id: String,
    /// STIX identifier.
    pub target_id: String,
    /// The relationship as canonical JSON; nothing for an embedded reference.
    pub doc: Option<String>,
}
