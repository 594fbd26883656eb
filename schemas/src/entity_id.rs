//! Who an entity is: tenant and STIX identifier.
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{NameError, TenantId, TypeName};

/// A STIX identifier, `type--UUID` (STIX 2.1 §2.9). Upper-case digits of the UUID are read and written in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StixId {
    uuid: [u64; 2],
    ty: TypeName,
}

/// A text that is not a STIX identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StixIdError {
    /// No `--`, or what follows it is not a UUID.
    #[error("{0:?} is not a STIX identifier: expected type--UUID")]
    Form(String),
    /// The part before `--` is not a type name.
    #[error(transparent)]
    Type(#[from] NameError),
}

impl StixId {
    /// Reads `type--UUID`.
    ///
    /// # Errors
    /// [`StixIdError`] when it is something else.
    pub fn parse(text: &str) -> Result<Self, StixIdError> {
        let form = || StixIdError::Form(text.chars().take(80).collect());
        let (ty, uuid) = text.split_once("--").ok_or_else(form)?;
        // Only the hyphenated form: `Uuid::parse_str` alone would take braces and plain hexadecimal too.
        let uuid = if uuid.len() == 36 { Uuid::try_parse(uuid).map_err(|_| form())? } else { return Err(form()) };
        if !ty.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(form());
        }
        Ok(Self::new(TypeName::new(ty)?, uuid))
    }

    /// Puts an identifier together.
    pub fn new(ty: TypeName, uuid: Uuid) -> Self {
        let (hi, lo) = uuid.as_u64_pair();
        Self { uuid: [hi, lo], ty }
    }

    /// The object type.
    pub fn ty(self) -> TypeName {
        self.ty
    }

    /// The UUID.
    pub fn uuid(self) -> Uuid {
        Uuid::from_u64_pair(self.uuid[0], self.uuid[1])
    }
}

impl fmt::Display for StixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}--{}", self.ty, self.uuid().as_hyphenated())
    }
}
impl fmt::Debug for StixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An entity of a tenant: the key of every table and collection of the intel lane. 24 bytes, `Copy`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntityKey {
    /// The STIX identifier.
    pub id: StixId,
    /// Whose it is.
    pub tenant: TenantId,
}

impl EntityKey {
    /// A number spread evenly over keys, the same in every process and run: chooses the vnode.
    pub fn route(&self) -> u64 {
        route(self.id.uuid, self.tenant)
    }
}
impl fmt::Debug for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.tenant, self.id)
    }
}

/// Mixes a UUID and a tenant. Version-5 UUIDs are hashes already; versions 1 and 4 need the mixing, and interned numbers must not take part.
pub(crate) fn route(uuid: [u64; 2], tenant: TenantId) -> u64 {
    let mut z = uuid[0] ^ uuid[1].rotate_left(32);
    for byte in tenant.as_str().bytes() {
        z = (z ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
