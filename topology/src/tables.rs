//! The tables of one worker: everything that a snapshot holds, each used by one operator.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sightline_formats::pattern::WideTest;
use sightline_schemas::{EntityKey, Micros, ObservableKey};

use crate::epoch::Epoch;
use crate::events::touches::Touches;
use crate::intel::head::Head;
use crate::intel::index::Entry;
use crate::intel::packages::{PackageKey, Parts};
use crate::intel::relations::Waiting;
use crate::intel::{FeedKey, PackageRank};
use crate::state::snapshot::SnapshotSender;
use crate::state::table::{KeyedTable, Routed};

/// The tables, as snapshots number them: add at the end only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub enum TableId {
    /// Heads of entities.
    Heads = 1,
    /// Feeds.
    Feeds = 2,
    /// Packages read.
    Packages = 3,
    /// Parts of packages that wait for others.
    Parts = 4,
    /// Relationships that wait for an end.
    Waiting = 5,
    /// Observables and their holders.
    Index = 6,
    /// Observables and the events that touched them.
    Touches = 7,
    /// Observables that indicators name and events touched, with their values.
    Matched = 8,
    /// Indicators in force that name more than single values.
    Wide = 9,
}

impl TableId {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::Heads, Self::Feeds, Self::Packages, Self::Parts, Self::Waiting, Self::Index, Self::Touches, Self::Matched, Self::Wide];
}

/// What is known of a feed.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Feed {
    /// The newest package is the whole feed.
    pub snapshot: bool,
    /// The newest package.
    pub newest: Option<PackageRank>,
}

/// The tables of one worker.
pub struct Tables {
    /// Heads of entities.
    pub heads: KeyedTable<EntityKey, Head>,
    /// Packages read.
    pub packages: KeyedTable<PackageKey, ()>,
    /// Parts of packages that wait for others.
    pub parts: KeyedTable<PackageKey, Parts>,
    /// Relationships that wait for an end.
    pub waiting: KeyedTable<EntityKey, Waiting>,
    /// Observables and their holders.
    pub index: KeyedTable<ObservableKey, Entry>,
    /// Observables and the events that touched them.
    pub touches: KeyedTable<ObservableKey, Touches>,
    /// Of observables that an indicator names and an event touched, the values: what allow-lists are asked about.
    pub matched: KeyedTable<ObservableKey, Box<str>>,
    /// What indicators in force name beside single values: at the owner of the indicator, which tells all.
    pub wide: KeyedTable<EntityKey, Vec<WideTest>>,
    /// Feeds. Every worker hears every declaration, so every worker has them all; worker 0 writes them.
    pub feeds: BTreeMap<FeedKey, Feed>,
    /// The journalled clock of the last epoch that the entities completed.
    pub wall: Micros,
    /// Which worker this is.
    pub worker: usize,
    /// Where snapshots go.
    pub snapshots: SnapshotSender,
}

impl Tables {
    /// Empty ones, as of `wall`.
    pub fn new(worker: usize, wall: Micros, snapshots: SnapshotSender) -> Self {
        Self {
            heads: KeyedTable::default(),
            packages: KeyedTable::default(),
            parts: KeyedTable::default(),
            waiting: KeyedTable::default(),
            index: KeyedTable::default(),
            touches: KeyedTable::default(),
            matched: KeyedTable::default(),
            wide: KeyedTable::default(),
            feeds: BTreeMap::new(),
            wall,
            worker,
            snapshots,
        }
    }

    /// The feed, made on first mention.
    pub fn feed(&mut self, feed: FeedKey) -> &mut Feed {
        self.feeds.entry(feed).or_default()
    }

    /// Writes what changed in a table since it was last written, as of `epoch`.
    pub fn write(&mut self, table: TableId, epoch: Epoch) {
        let id = table as u8;
        match table {
            TableId::Heads => self.snapshots.write(epoch, id, &mut self.heads),
            TableId::Packages => self.snapshots.write(epoch, id, &mut self.packages),
            TableId::Parts => self.snapshots.write(epoch, id, &mut self.parts),
            TableId::Waiting => self.snapshots.write(epoch, id, &mut self.waiting),
            TableId::Index => self.snapshots.write(epoch, id, &mut self.index),
            TableId::Touches => self.snapshots.write(epoch, id, &mut self.touches),
            TableId::Matched => self.snapshots.write(epoch, id, &mut self.matched),
            TableId::Wide => self.snapshots.write(epoch, id, &mut self.wide),
            TableId::Feeds => self.snapshots.write_shared(epoch, id, &self.feeds, self.worker == 0),
        }
    }
}

impl Routed for EntityKey {
    fn route(&self) -> u64 {
        EntityKey::route(self)
    }
}
impl Routed for ObservableKey {
    fn route(&self) -> u64 {
        ObservableKey::route(self)
    }
}
impl Routed for PackageKey {
    fn route(&self) -> u64 {
        PackageKey::route(self)
    }
}
