//! The index: every observable in force, who holds it, and which events touched it.
//!
//! Links are differential updates; this table is their arrangement by observable, kept by hand because it is a third of the size of a
//! generic one (a holder is stored once, without time and difference, and the value not at all) and answers a probe with one look-up. It acts on
//! whole epochs in order, so a probe of epoch *e* sees exactly the links up to and including *e*.
//!
//! Sightings are the join of the two tables, by observable: at the end of each epoch, one for each indicator in force and each event that is
//! remembered, unless the value is on an allow-list. So it is the same whether the event came first or the indicator, and a link that goes, or a list
//! that comes, takes its sightings back.
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::record::{Holder as ListedHolder, LinkRecord, ObservableRecord};
use sightline_schemas::{EntityKey, Micros, ObservableKey, Role, StixId};

use super::Tick;
use super::allowed::{Allowed, ListChange};
use super::holders::{Holder, Holders};
use super::sightings::{Before, Sightings, named_by};
use super::wide::{Wide, WideChange, forgotten};
use crate::by_epoch::{ByEpoch, Flow};
use crate::epoch::Epoch;
use crate::events::touches::forget;
use crate::events::{Hit, Probe};
use crate::output::{Emission, Emitter};
use crate::settings::LookBackSettings;
use crate::source::{PackedRef, SourceRef};
use crate::tables::{TableId, Tables};

/// An entity in force holds an observable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct IndexLink {
    /// What is held.
    pub observable: ObservableKey,
    /// Who holds it.
    pub entity: EntityKey,
    /// How.
    pub role: Role,
    /// The times that the holder names.
    pub seen: Option<(Micros, Micros)>,
}

/// A link comes or goes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct LinkChange {
    /// It comes (`1`) or goes (`-1`).
    pub diff: isize,
    /// Which.
    pub link: IndexLink,
    /// The normalised value that the key stands for. Whoever holds it knows it, so that the table need not: it would be a third of it.
    pub value: Box<str>,
    /// The input record that brings the link; nothing where a join does, after both its sides did.
    pub origin: Option<SourceRef>,
}

/// What the operator hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum IndexMessage {
    /// A link comes or goes.
    Link(LinkChange),
    /// An event touched this; who names it?
    Probe(Probe),
    /// An allow-list comes, changes or goes, to every worker.
    Allow(u64, Box<ListChange>),
    /// What an indicator names at large changes, to every worker.
    Wide(u64, Box<WideChange>),
    /// The clock, to every worker.
    Tick(u64, Tick),
}

impl IndexMessage {
    fn route(&self) -> u64 {
        match self {
            Self::Link(LinkChange { link: IndexLink { observable, .. }, .. }) | Self::Probe(Probe { observable, .. }) => {
                u64::from(crate::state::table::vnode_of(observable.route()))
            }
            Self::Allow(worker, _) | Self::Wide(worker, _) | Self::Tick(worker, _) => *worker,
        }
    }
}

/// What leaves the index.
#[derive(Clone, Debug)]
pub enum IndexOut {
    /// A row of an observable, of a link that an event made, or of a sighting.
    Row(Box<Emission>),
    /// An indicator names what an event touched.
    Hit(Hit),
}

/// An observable in force.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The input record that last brought a link.
    pub origin: PackedRef,
    /// Sorted by entity and role; of most observables, one.
    pub holders: Holders,
}

/// What the operator is told.
pub struct IndexSettings {
    /// How many holders a row names.
    pub max_holders: usize,
    /// What is remembered of events.
    pub look_back: LookBackSettings,
}

/// Builds the operator.
pub fn index<'scope>(
    messages: Flow<'scope, IndexMessage>,
    resume: Epoch,
    settings: IndexSettings,
    emitter: Emitter,
    tables: Rc<RefCell<Tables>>,
) -> Flow<'scope, IndexOut> {
    let mut sightings = Sightings { allowed: Allowed::default(), settings: settings.look_back, emitter: emitter.clone() };
    let mut wide_tests = Wide::default();
    messages.by_epoch(
        "Index",
        resume,
        IndexMessage::route,
        |_| false,
        move |epoch, messages, out| {
            let tables = &mut *tables.borrow_mut();
            let (mut links, mut probes, mut lists, mut wide, mut tick) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), None);
            for message in messages {
                match message {
                    IndexMessage::Link(change) => links.push(change),
                    IndexMessage::Probe(probe) => probes.push(probe),
                    IndexMessage::Allow(_, change) => lists.push(change),
                    IndexMessage::Wide(_, change) => wide.push(change),
                    IndexMessage::Tick(_, now) => tick = Some(now),
                }
            }
            // Of what hydration tells again, the tables know all but what every worker has.
            if epoch <= resume {
                sightings.allowed.apply(lists.iter().map(|change| &**change));
                wide_tests.apply(wide.iter().map(|change| &**change));
                return;
            }
            let Some(tick) = tick else { return };
            let mut before_epoch = Before::default();
            sightings.change_lists(lists, tables, &mut before_epoch);
            forgotten(forget(tables, epoch, tick.wall, &sightings.settings), tables, &mut links);
            wide_tests.change(&wide, tables, &mut links);
            wide_tests.met(&probes, tables, &mut links);
            // Withdrawals first: a change of times takes a link back and gives it again.
            links.sort_unstable_by(|a, b| (a.link.observable, a).cmp(&(b.link.observable, b)));
            for changes in links.chunk_by(|a, b| a.link.observable == b.link.observable) {
                let LinkChange { link: IndexLink { observable: key, .. }, value, .. } = &changes[0];
                let before = tables.index.get(key).map(|entry| record(*key, value, entry, settings.max_holders));
                // Only what events touched has a past.
                let named_before = tables.touches.contains(key).then(|| named_by(tables, key));
                let matched_before = changes.iter().any(|change| change.link.role == Role::Matched).then(|| matched_by(tables, key));
                let Some(origin) = apply(*key, changes, tables) else { continue };
                let now = tables.index.get(key).map(|entry| record(*key, value, entry, settings.max_holders));
                let emission = match now {
                    // Another holder's times, or one beyond the listed ones, may leave the row as it was.
                    now if before == now => None,
                    Some(now) => Some(emitter.upsert(&OutputRecord::Observable(now), origin)),
                    None => Some(emitter.tombstone(RecordType::Observable, key.tenant, &key.id(), origin)),
                };
                out.extend(emission.map(|emission| IndexOut::Row(Box::new(emission))));
                if let Some(before) = matched_before {
                    link_rows(*key, &before, &matched_by(tables, key), origin, &emitter, out);
                }
                if let Some(named_before) = named_before {
                    sightings.links_changed((*key, value), named_before, origin, tables, &mut before_epoch);
                }
            }
            sightings.settle(before_epoch, tables, out);
            probes.sort_unstable();
            for probes in probes.chunk_by(|a, b| a.observable == b.observable) {
                sightings.touched(probes, tick.wall, tables, out);
            }
            if tick.snapshot {
                tables.write(TableId::Index, epoch);
                tables.write(TableId::Touches, epoch);
                tables.write(TableId::Matched, epoch);
            }
        },
    )
}

/// Applies an epoch's changes of an observable's links; returns the record that last brought one of them.
fn apply(key: ObservableKey, changes: &[LinkChange], tables: &mut Tables) -> Option<SourceRef> {
    let news = changes.iter().filter(|change| change.diff > 0).filter_map(|change| change.origin).max();
    if !tables.index.contains(&key) {
        // A join's links come and go while the object that is the observable holds it.
        debug_assert!(news.is_some(), "a link of what nobody holds: {changes:?}");
        tables.index.insert(key, Entry { origin: news?.into(), holders: Holders::default() });
    }
    let entry = tables.index.get_mut(&key)?;
    entry.origin = news.map_or(entry.origin, PackedRef::from);
    for LinkChange { diff, link, .. } in changes {
        let holder = Holder { entity: link.entity.id, role: link.role, seen: link.seen.into() };
        if *diff > 0 { entry.holders.insert(holder) } else { entry.holders.remove(&holder) }
    }
    let origin = entry.origin.into();
    if entry.holders.is_empty() {
        tables.index.remove(&key);
    }
    Some(origin)
}

/// The indicators whose wide tests the observable meets.
fn matched_by(tables: &Tables, key: &ObservableKey) -> BTreeSet<StixId> {
    let holders = tables.index.get(key).into_iter().flat_map(|entry| entry.holders.iter());
    holders.filter(|(_, role, _)| *role == Role::Matched).map(|(entity, _, _)| entity).collect()
}

/// The rows of links that this operator makes; those that objects assert come with the objects.
fn link_rows(
    key: ObservableKey,
    before: &BTreeSet<StixId>,
    now: &BTreeSet<StixId>,
    origin: SourceRef,
    emitter: &Emitter,
    out: &mut Vec<IndexOut>,
) {
    for entity in before.symmetric_difference(now) {
        let (tenant, entity_id, observable_id) = (key.tenant.to_string(), entity.to_string(), key.id());
        let link = LinkRecord { tenant, entity_id, observable_id, role: Role::Matched };
        out.push(IndexOut::Row(Box::new(if now.contains(entity) {
            emitter.upsert(&OutputRecord::Link(link), origin)
        } else {
            emitter.tombstone(RecordType::Link, key.tenant, &link.id(), origin)
        })));
    }
}

fn record(key: ObservableKey, value: &str, entry: &Entry, max_holders: usize) -> ObservableRecord {
    let times = entry.holders.iter().filter_map(|(_, _, seen)| seen);
    ObservableRecord {
        tenant: key.tenant.to_string(),
        id: key.id(),
        kind: key.kind,
        value: value.to_owned(),
        first_seen: times.clone().map(|(first, _)| first).min(),
        last_seen: times.map(|(_, last)| last).max(),
        holders: entry.holders.len() as i64,
        entities: entry.holders.iter().take(max_holders).map(|(entity, role, _)| ListedHolder { id: entity.to_string(), role }).collect(),
    }
}
