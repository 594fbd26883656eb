//! One file a record type: the fields of the Avro schema of the same name in `schemas/avro`.
//!
//! A value holds only what follows from content. Where and when it was computed (`epoch`, `origin`) travels in headers,
//! so that the same intelligence gives the same bytes in whatever order it came.
mod dead_letter;
mod entity;
mod event;
mod link;
mod observable;
mod package;
mod relation;
mod sighting;

pub use dead_letter::{DeadLetter, Stage};
pub use entity::{EntityRecord, HeldObservable};
pub use event::{EventMatch, EventObservable, EventRecord};
pub use link::LinkRecord;
pub use observable::{Holder, ObservableRecord};
pub use package::{PackageRecord, PackageStatus};
pub use relation::RelationRecord;
pub use sighting::SightingRecord;
