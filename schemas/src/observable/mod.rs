//! Observables: what an event can touch. Identity is (tenant, kind, normalised value).
mod id;
mod kind;
mod normalise;
mod refang;

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use kind::{ObservableKind, Role};
pub use normalise::{MAX_VALUE_BYTES, NormaliseError};
pub use refang::refang;

use crate::name::TenantId;

/// A kind and its normalised value; only [`Observable::new`] builds one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Observable {
    kind: ObservableKind,
    value: Box<str>,
}

impl Observable {
    /// Normalises `value` as the kind's standard does (lower case, punycode, refanged, canonical address, WHATWG URL).
    ///
    /// # Errors
    /// [`NormaliseError`] when the text is no value of that kind.
    pub fn new(kind: ObservableKind, value: &str) -> Result<Self, NormaliseError> {
        Ok(Self { kind, value: normalise::normalise(kind, value)?.into_boxed_str() })
    }

    /// The kind.
    pub fn kind(&self) -> ObservableKind {
        self.kind
    }

    /// The normalised value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The deterministic identifier of STIX 2.1 §2.9 where the standard defines one, else a version-5 UUID made the same way.
    pub fn uuid(&self) -> Uuid {
        id::uuid(self.kind, &self.value)
    }

    /// The key under `tenant`.
    pub fn key(&self, tenant: TenantId) -> ObservableKey {
        let (hi, lo) = self.uuid().as_u64_pair();
        ObservableKey { uuid: [hi, lo], tenant, kind: self.kind }
    }
}

/// An observable of a tenant: 24 bytes, `Copy`. The public identifier can be written from it without the value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObservableKey {
    uuid: [u64; 2],
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub kind: ObservableKind,
}

impl ObservableKey {
    /// The UUID part of the identifier.
    pub fn uuid(&self) -> Uuid {
        Uuid::from_u64_pair(self.uuid[0], self.uuid[1])
    }

    /// The public identifier, `ipv4-addr--…`, `file--…`.
    pub fn id(&self) -> String {
        format!("{}--{}", self.kind.sco_type(), self.uuid().as_hyphenated())
    }

    /// A number spread evenly over keys, the same in every process and run: chooses the vnode.
    pub fn route(&self) -> u64 {
        crate::entity_id::route(self.uuid, self.tenant)
    }
}
impl fmt::Debug for ObservableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.tenant, self.id())
    }
}
