//! Bytes to values: no clock, no state beyond one call; no IO but that of a stream that is handed in, and of a temporary file for a ZIP within one.
//!
//! | module | reads |
//! | --- | --- |
//! | [`intel`] | a package of any format: the one door for intelligence |
//! | [`stix`] | STIX 2.0 and 2.1 |
//! | [`pattern`] | STIX patterns, by the grammar |
//! | [`list`] | lists of indicators, one a line, and CSV |
//! | [`allow_list`] | allow-lists, MISP's warninglists |
//! | [`text_iocs`] | observables written in prose, defanged or not |
//! | [`logs`] | logs of any format, to the fields of their events |
//! | [`sources`] | whose an event is, and what its fields are called in ECS |
//! | [`event`] | what is known of an event by its fields |
//! | [`unpack`] | archives and compression: a stream to its members |
//!
//! Whatever comes in, nothing panics: what cannot be read is a [`Poison`] with its position and a stable reason.
pub mod allow_list;
pub mod event;
pub mod intel;
mod limits;
pub mod list;
pub mod logs;
mod parts;
pub mod pattern;
mod poison;
mod prefix;
pub mod sources;
pub mod stix;
pub mod text_iocs;
pub mod unpack;

pub use event::{FlatEvent, FoundObservable};
pub use intel::{Held, IntelFormat, IntelItem, IntelObject, PackageDigest, Reference, Relationship, Tlp, detect_intel, parse_intel};
pub use limits::Limits;
pub use poison::Poison;
pub use stix::object_from_doc;
