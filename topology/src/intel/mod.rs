//! The intel lane: packages → claims → heads → links and relations. Everything retracts.
//!
//! | file | does |
//! | --- | --- |
//! | [`packages`] | puts parts together, drops repeats, parses |
//! | [`head`] | which version of an entity is in force: the pure core |
//! | [`entities`] | keeps the heads, emits entities, links and facts |
//! | [`changes`] | parts what changed by where it goes |
//! | [`observed`] | observed data ⋈ the objects it refers to |
//! | [`relations`] | relations ⋈ their two ends; references to what never came |
//! | [`index`] | observables, who holds them, and which events touched them |
//! | [`sightings`] | the join of the two: a part of the index |
//! | [`allowed`] | the allow-lists in force |
//! | [`wide`] | the indicators in force that name more than single values |
//! | [`holders`], [`provenance`] | their rows, packed |
pub mod allowed;
pub mod changes;
pub mod entities;
pub mod head;
pub mod holders;
pub mod index;
pub mod observed;
pub mod packages;
pub mod provenance;
pub mod relations;
pub mod sightings;
pub mod wide;

use serde::{Deserialize, Serialize};
use sightline_formats::IntelObject;
use sightline_schemas::{ContentHash, EntityKey, FeedId, Micros, TenantId};

use crate::source::SourceRef;

/// Orders the packages of a feed: by the newest `modified` inside, then by content. Never by arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct PackageRank {
    /// The newest `modified` of the package's objects.
    pub newest: Option<Micros>,
    /// Hash of the package's bytes.
    pub hash: ContentHash,
}

/// A feed of a tenant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct FeedKey {
    /// Tenant.
    pub tenant: TenantId,
    /// Feed.
    pub feed: FeedId,
}

/// What a declaration on `in.control` says of a feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum FeedChange {
    /// Packages add to one another (`false`), or the newest one is the whole feed (`true`).
    Snapshot(bool),
    /// All that the feed said up to here is unlearnt.
    Removed,
}

/// What the entities operator hears, in the order of (`at`, `seq`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum IntelMessage {
    /// The clock of this epoch, to every worker.
    Tick(Tick),
    /// A declaration, to every worker.
    Feed {
        /// Which.
        feed: FeedKey,
        /// What.
        change: FeedChange,
    },
    /// A package begins, to every worker.
    Package {
        /// Whose.
        feed: FeedKey,
        /// Which.
        rank: PackageRank,
    },
    /// An object of the package that began last at this position, to the owner of the entity.
    Claim {
        /// Whose.
        feed: FeedKey,
        /// In which package.
        rank: PackageRank,
        /// What.
        object: Box<IntelObject>,
    },
}

/// An [`IntelMessage`] on its way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Routed {
    /// The worker's number, or the vnode of a key.
    pub route: u64,
    /// Position of the input record.
    pub at: SourceRef,
    /// Order within it.
    pub seq: u32,
    /// What.
    pub message: IntelMessage,
}

/// The journalled clock, as the operators see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tick {
    /// Wall time of the epoch.
    pub wall: Micros,
    /// No more input will come: what waits for more is due now.
    pub last: bool,
    /// Tables are to be written after this epoch.
    pub snapshot: bool,
}

/// The version of an entity that an emission speaks of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Assertion {
    /// The entity.
    pub entity: EntityKey,
    /// The input record that said so.
    pub origin: SourceRef,
}
