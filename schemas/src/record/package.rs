//! `out.packages`: a package of intelligence and what became of it.
use serde::{Deserialize, Serialize};

/// A package under one feed. Key `tenant:id`. The time of arrival is in the header `received`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PackageRecord {
    /// Tenant.
    pub tenant: String,
    /// Hash of (tenant, feed, sha256), 32 hexadecimal digits: the same bytes under another feed are another source.
    pub id: String,
    /// Feed.
    pub feed: String,
    /// `stix`, `csv`, `list`.
    pub format: String,
    /// SHA-256 of the bytes, hexadecimal.
    pub sha256: String,
    /// What became of it.
    pub status: PackageStatus,
    /// Objects taken as entities or relations.
    pub entities: i64,
    /// Distinct observables in them.
    pub observables: i64,
    /// How many objects were dead-lettered.
    pub rejected: i64,
    /// Why the whole package was refused.
    pub error: Option<String>,
}

/// What became of a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageStatus {
    /// Every object was taken.
    Accepted,
    /// Some objects are in the dead letters.
    Partial,
    /// Nothing was taken.
    Rejected,
}
