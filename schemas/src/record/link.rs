//! `out.links`: a live entity holds an observable.
use serde::{Deserialize, Serialize};

use crate::observable::Role;

/// A link. Key `tenant:entity_id|observable_id|role`, so that a tombstone says what it removes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkRecord {
    /// Tenant.
    pub tenant: String,
    /// STIX identifier of the holder.
    pub entity_id: String,
    /// Observable identifier.
    pub observable_id: String,
    /// How it is held.
    pub role: Role,
}

impl LinkRecord {
    /// The part of the key after the tenant.
    pub fn id(&self) -> String {
        format!("{}|{}|{}", self.entity_id, self.observable_id, self.role)
    }

    /// Reads what [`LinkRecord::id`] wrote.
    pub fn from_id(tenant: &str, id: &str) -> Option<Self> {
        let mut parts = id.split('|');
        let (entity, observable, role) = (parts.next()?, parts.next()?, parts.next()?);
        let record =
            Self { tenant: tenant.into(), entity_id: entity.into(), observable_id: observable.into(), role: Role::from_word(role)? };
        parts.next().is_none().then_some(record)
    }
}
