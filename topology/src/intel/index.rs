//! The index: every observable in force, and who holds it.
//!
//! Links are differential updates; this table is their arrangement by observable, kept by hand because it is a third of the size of a
//! generic one (a holder is stored once, without time and difference) and answers a probe with one look-up. It acts on whole epochs in
//! order, so a probe of epoch *e* sees exactly the links up to and including *e*.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::record::{Holder, ObservableRecord};
use sightline_schemas::{EntityKey, Micros, ObservableKey, Role};

use super::Tick;
use crate::by_epoch::{ByEpoch, Flow};
use crate::epoch::Epoch;
use crate::events::{EventRef, Hit};
use crate::output::{Emission, Emitter};
use crate::source::{PackedRef, SourceRef};
use crate::state::few::Few;
use crate::state::instant::MaybeSpan;
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

/// What the operator hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum IndexMessage {
    /// A link comes (`1`) or goes (`-1`).
    Link(IndexLink, isize),
    /// What the key stands for, with every link that comes.
    Value {
        /// The key.
        observable: ObservableKey,
        /// The normalised value.
        value: Box<str>,
        /// The input record.
        origin: SourceRef,
    },
    /// An event touched this; who names it?
    Probe(ObservableKey, EventRef),
    /// The clock, to every worker.
    Tick(u64, Tick),
}

impl IndexMessage {
    fn route(&self) -> u64 {
        match self {
            Self::Link(link, _) => u64::from(crate::state::table::vnode_of(link.observable.route())),
            Self::Value { observable, .. } | Self::Probe(observable, _) => u64::from(crate::state::table::vnode_of(observable.route())),
            Self::Tick(worker, _) => *worker,
        }
    }
}

/// What leaves the index.
#[derive(Clone, Debug)]
pub enum IndexOut {
    /// A row of an observable.
    Row(Box<Emission>),
    /// An indicator names what an event touched.
    Hit(Hit),
}

/// An observable in force.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Normalised value.
    pub value: Box<str>,
    /// The input record that last brought a link.
    pub origin: PackedRef,
    /// Sorted by entity and role; of most observables, one.
    pub holders: Few<HolderEntry>,
}

/// Who holds it, how, and when it was seen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct HolderEntry {
    /// Who.
    pub entity: EntityKey,
    /// How.
    pub role: Role,
    /// The times that the holder names.
    pub seen: MaybeSpan,
}

/// Builds the operator.
pub fn index<'scope>(
    messages: Flow<'scope, IndexMessage>,
    resume: Epoch,
    max_holders: usize,
    emitter: Emitter,
    tables: Rc<RefCell<Tables>>,
) -> Flow<'scope, IndexOut> {
    messages.by_epoch(
        "Index",
        resume,
        IndexMessage::route,
        |_| {},
        move |epoch, messages, out| {
            // What hydration tells again is in the restored table already.
            if epoch <= resume {
                return;
            }
            let tables = &mut *tables.borrow_mut();
            let mut links = Vec::new();
            let mut values: BTreeMap<ObservableKey, (Box<str>, SourceRef)> = BTreeMap::new();
            let mut probes = Vec::new();
            let mut snapshot = false;
            for message in messages {
                match message {
                    IndexMessage::Link(link, diff) => links.push((diff, link)),
                    IndexMessage::Value { observable, value, origin } => {
                        let known = values.entry(observable).or_insert((value, origin));
                        known.1 = known.1.max(origin);
                    }
                    IndexMessage::Probe(observable, event) => probes.push((observable, event)),
                    IndexMessage::Tick(_, tick) => snapshot = tick.snapshot,
                }
            }
            // Withdrawals first: a change of times takes a link back and gives it again.
            links.sort_unstable();
            let mut before: BTreeMap<ObservableKey, ObservableRecord> = BTreeMap::new();
            for (_, link) in &links {
                if let Some(entry) = tables.index.get(&link.observable) {
                    before.entry(link.observable).or_insert_with(|| record(link.observable, entry, max_holders));
                }
            }
            let touched = apply(&links, values, tables);
            for (key, origin) in touched {
                let now = tables.index.get(&key).map(|entry| record(key, entry, max_holders));
                let emission = match now {
                    // Another holder's times, or one beyond the listed ones, may leave the row as it was.
                    now if before.get(&key) == now.as_ref() => continue,
                    Some(now) => emitter.upsert(&OutputRecord::Observable(now), origin),
                    None => emitter.tombstone(RecordType::Observable, key.tenant, &key.id(), origin),
                };
                out.push(IndexOut::Row(Box::new(emission)));
            }
            for (observable, event) in probes {
                let Some(entry) = tables.index.get(&observable) else { continue };
                // Only an equality that suffices is a match; compound patterns need more than one look-up.
                for holder in entry.holders.iter().filter(|holder| holder.role == Role::Pattern) {
                    out.push(IndexOut::Hit(Hit { event, entity: holder.entity, observable, role: holder.role }));
                }
            }
            if snapshot {
                tables.write(TableId::Index, epoch);
            }
        },
    )
}

/// Applies an epoch's links; returns the observables that changed, with the record that last brought one of their links.
fn apply(
    links: &[(isize, IndexLink)],
    mut values: BTreeMap<ObservableKey, (Box<str>, SourceRef)>,
    tables: &mut Tables,
) -> BTreeMap<ObservableKey, SourceRef> {
    let mut touched = BTreeMap::new();
    for (diff, link) in links {
        let holder = HolderEntry { entity: link.entity, role: link.role, seen: link.seen.into() };
        if *diff < 0 {
            let Some(entry) = tables.index.get_mut(&link.observable) else {
                debug_assert!(false, "a link goes that never came: {link:?}");
                continue;
            };
            entry.holders.retain(|known| *known != holder);
            touched.entry(link.observable).or_insert(entry.origin.into());
        } else if tables.index.contains(&link.observable) || values.contains_key(&link.observable) {
            let news = values.remove(&link.observable);
            if !tables.index.contains(&link.observable)
                && let Some((value, origin)) = news.clone()
            {
                tables.index.insert(link.observable, Entry { value, origin: origin.into(), holders: Few::default() });
            }
            let Some(entry) = tables.index.get_mut(&link.observable) else { continue };
            entry.origin = news.map_or(entry.origin, |(_, origin)| origin.into());
            if let Err(at) = entry.holders.binary_search(&holder) {
                entry.holders.insert(at, holder);
            }
            touched.insert(link.observable, entry.origin.into());
        } else {
            debug_assert!(false, "a link comes without its value: {link:?}");
        }
    }
    for key in touched.keys() {
        if tables.index.get(key).is_some_and(|entry| entry.holders.is_empty()) {
            tables.index.remove(key);
        }
    }
    touched
}

fn record(key: ObservableKey, entry: &Entry, max_holders: usize) -> ObservableRecord {
    let times = entry.holders.iter().filter_map(|holder| holder.seen.get());
    ObservableRecord {
        tenant: key.tenant.to_string(),
        id: key.id(),
        kind: key.kind,
        value: entry.value.to_string(),
        first_seen: times.clone().map(|(first, _)| first).min(),
        last_seen: times.map(|(_, last)| last).max(),
        holders: entry.holders.len() as i64,
        entities: entry
            .holders
            .iter()
            .take(max_holders)
            .map(|holder| Holder { id: holder.entity.id.to_string(), role: holder.role })
            .collect(),
    }
}
