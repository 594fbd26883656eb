//! Who an entity is: tenant and STIX identifier.
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::name::{NameError, TenantId, TypeName};

/// A STIX identifier, `type--UUID` (STIX 2.1 §2.9). Upper-case digits of the UUID are read and written in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StixId {
    // Words of 32 bits, highest first: with 64 they would align an entity's key to 32 bytes.
    uuid: [u32; 4],
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
        let bits = uuid.as_u128();
        Self { uuid: [96, 64, 32, 0].map(|shift| (bits >> shift) as u32), ty }
    }

    /// The object type.
    pub fn ty(self) -> TypeName {
        self.ty
    }

    /// The UUID.
    pub fn uuid(self) -> Uuid {
        Uuid::from_u128(self.uuid.into_iter().fold(0, |bits, word| bits << 32 | u128::from(word)))
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
        let (hi, lo) = self.id.uuid().as_u64_pair();
        route([hi, lo], self.tenant)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ID: &str = "attack-pattern--0c7b5b88-8ff7-4a4d-aa9d-feb398cd0061";

    #[test]
    fn an_identifier_reads_and_writes_the_same_text_in_lower_case() {
        assert_eq!(StixId::parse(ID).unwrap().to_string(), ID);
        let upper = ID.replace("feb398cd0061", "FEB398CD0061");
        assert_eq!(StixId::parse(&upper).unwrap().to_string(), ID);
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in [
            "",
            "malware",
            "malware--",
            "--0c7b5b88-8ff7-4a4d-aa9d-feb398cd0061",
            "malware--0c7b5b888ff74a4daa9dfeb398cd0061",
            "malware--{0c7b5b88-8ff7-4a4d-aa9d-feb398cd006}",
            "Malware--0c7b5b88-8ff7-4a4d-aa9d-feb398cd0061",
            "mal ware--0c7b5b88-8ff7-4a4d-aa9d-feb398cd0061",
            "malware--0c7b5b88-8ff7-4a4d-aa9d-feb398cd0061x",
            "malware--zc7b5b88-8ff7-4a4d-aa9d-feb398cd0061",
        ] {
            assert!(StixId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_is_24_bytes() {
        assert_eq!(size_of::<EntityKey>(), 24);
        assert_eq!(size_of::<crate::ObservableKey>(), 24);
    }

    #[test]
    fn routes_spread_even_ids_that_differ_in_one_place_and_never_follow_interning() {
        let key = |tenant: &str, n: u128| {
            let id = StixId::new(TypeName::new("malware").unwrap(), Uuid::from_u128(n));
            EntityKey { id, tenant: TenantId::new(tenant).unwrap() }
        };
        let mut vnodes = [0u32; 256];
        for n in 0..25_600 {
            vnodes[(key("acme", n).route() % 256) as usize] += 1;
        }
        assert!(vnodes.iter().all(|count| (50..200).contains(count)), "{vnodes:?}");
        assert_ne!(key("acme", 1).route(), key("other", 1).route());
        // Written once: another number would send state to another vnode than the snapshot's.
        assert_eq!(key("acme", 0x0c7b5b88_8ff7_4a4d_aa9d_feb398cd0061).route(), 0x70b7_9e07_af5a_2c09);
    }
}
