//! What crosses a topic.
//!
//! Read in this order: [`name`] (interned words), [`time`], [`entity_id`] and [`observable`] (identity),
//! [`record`] (one file a record type), [`topic`] (names and keys), [`header`] (of input records), [`avro`] and [`registry`] (bytes).
pub mod avro;
pub mod entity_id;
pub mod hash;
pub mod header;
pub mod name;
pub mod observable;
pub mod record;
pub mod registry;
pub mod time;
pub mod topic;

pub use entity_id::{EntityKey, StixId, StixIdError};
pub use hash::ContentHash;
pub use name::{FeedId, TenantId, TypeName};
pub use observable::{Observable, ObservableKey, ObservableKind, Role};
pub use time::Micros;
