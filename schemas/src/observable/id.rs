//! Deterministic identifiers (STIX 2.1 §2.9).
use uuid::Uuid;

use super::ObservableKind;

/// The namespace that STIX 2.1 §2.9 fixes for identifiers of cyber-observable objects.
const NAMESPACE: Uuid = Uuid::from_u128(0x00abedb4_aa42_466c_9c01_fed23315a9b7);

pub(super) fn uuid(kind: ObservableKind, value: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{kind}{value}").as_bytes())
}
