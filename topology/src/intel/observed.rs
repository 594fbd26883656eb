//! Observed data ⋈ the objects it refers to.
//!
//! Observed data (STIX 2.1 §4.14) names its objects by reference, and they may come in another package, before or after. So its links
//! are a join: they appear when both ends are in force, and go when either goes.
use std::collections::{BTreeMap, BTreeSet};

use differential_dataflow::VecCollection;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use sightline_schemas::avro::OutputRecord;
use sightline_schemas::record::{EntityRecord, HeldObservable, LinkRecord};
use sightline_schemas::{EntityKey, Micros, ObservableKey, Role};

use crate::by_epoch::{ByEpoch, Flow, Time, Update};
use crate::epoch::Epoch;
use crate::output::{Emission, Emitter};
use crate::source::SourceRef;

/// An object in force is the observable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ObjectFact {
    /// The object (`ipv4-addr--…`).
    pub object: EntityKey,
    /// What it is.
    pub observable: ObservableKey,
    /// Its normalised value.
    pub value: Box<str>,
}

/// Observed data in force refers to an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ObservedFact {
    /// The object.
    pub object: EntityKey,
    /// The observed data.
    pub observed: EntityKey,
    /// When it was observed.
    pub seen: Option<(Micros, Micros)>,
}

/// Observed data holds an observable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ObservedLink {
    /// The observed data.
    pub observed: EntityKey,
    /// What it holds.
    pub observable: ObservableKey,
    /// The normalised value.
    pub value: Box<str>,
    /// When it was observed.
    pub seen: Option<(Micros, Micros)>,
}

/// The join. Two objects of one value give one link.
pub fn observed_links<'scope>(
    objects: VecCollection<'scope, Time, ObjectFact, isize>,
    observed: VecCollection<'scope, Time, ObservedFact, isize>,
) -> VecCollection<'scope, Time, ObservedLink, isize> {
    objects
        .map(|fact| (fact.object, (fact.observable, fact.value)))
        .join_map(observed.map(|fact| (fact.object, (fact.observed, fact.seen))), |_object, (observable, value), (observed, seen)| {
            ObservedLink { observed: *observed, observable: *observable, value: value.clone(), seen: *seen }
        })
        .distinct()
}

/// What the operator of observed-data rows hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ObservedMessage {
    /// The row without observed links, or nothing when the entity is gone.
    Row {
        /// The observed data.
        entity: EntityKey,
        /// Its row.
        row: Option<Box<EntityRecord>>,
        /// The input record.
        origin: SourceRef,
    },
    /// A change of the join.
    Link(ObservedLink, isize),
}

impl ObservedMessage {
    fn route(&self) -> u64 {
        match self {
            Self::Row { entity, .. } => entity.route(),
            Self::Link(link, _) => link.observed.route(),
        }
    }
}

struct Observed {
    row: Option<Box<EntityRecord>>,
    origin: SourceRef,
    links: BTreeSet<HeldObservable>,
}

/// Writes the rows of observed data, and their links, once both the entity and the join are complete for the epoch.
pub fn observed_rows<'scope>(messages: Flow<'scope, ObservedMessage>, resume: Epoch, emitter: Emitter) -> Flow<'scope, Emission> {
    let mut held: HashMap<EntityKey, Observed> = HashMap::new();
    messages.by_epoch(
        "ObservedRows",
        resume,
        ObservedMessage::route,
        |_| false,
        move |epoch, messages, out| {
            let mut touched: BTreeMap<EntityKey, Vec<(HeldObservable, isize)>> = BTreeMap::new();
            let mut rows: BTreeMap<EntityKey, Option<Box<EntityRecord>>> = BTreeMap::new();
            for message in messages {
                match message {
                    ObservedMessage::Row { entity, row, origin } => {
                        let entry = held.entry(entity).or_insert_with(|| Observed { row: None, origin, links: BTreeSet::new() });
                        rows.entry(entity).or_insert_with(|| entry.row.take());
                        (entry.row, entry.origin) = (row, origin);
                        touched.entry(entity).or_default();
                    }
                    ObservedMessage::Link(link, diff) => {
                        let held = HeldObservable {
                            id: link.observable.id(),
                            kind: link.observable.kind,
                            value: link.value.into(),
                            role: Role::Observed,
                        };
                        touched.entry(link.observed).or_default().push((held, diff));
                    }
                }
            }
            for (entity, mut changes) in touched {
                // A change of times takes a link back and gives it again: withdrawals first, so that it stays.
                changes.sort_by_key(|(_, diff)| *diff);
                let Some(entry) = held.get_mut(&entity) else { continue };
                let before = entry.links.clone();
                for (link, diff) in changes {
                    if diff > 0 {
                        entry.links.insert(link);
                    } else {
                        entry.links.remove(&link);
                    }
                }
                if epoch > resume {
                    for link in entry.links.difference(&before) {
                        out.push(emitter.upsert(&OutputRecord::Link(link_record(entity, link)), entry.origin));
                    }
                    for link in before.difference(&entry.links) {
                        let record = OutputRecord::Link(link_record(entity, link));
                        out.push(emitter.tombstone(record.record_type(), entity.tenant, &record.id(), entry.origin));
                    }
                    let row_before = rows.get(&entity).unwrap_or(&entry.row);
                    match &entry.row {
                        row if row == row_before && (before == entry.links || row.is_none()) => {}
                        Some(row) => {
                            let mut row = row.as_ref().clone();
                            row.observables.extend(entry.links.iter().cloned());
                            row.observables.sort();
                            out.push(emitter.upsert(&OutputRecord::Entity(row), entry.origin));
                        }
                        None => out.push(emitter.tombstone(
                            sightline_schemas::avro::RecordType::Entity,
                            entity.tenant,
                            &entity.id.to_string(),
                            entry.origin,
                        )),
                    }
                }
                if entry.row.is_none() && entry.links.is_empty() {
                    held.remove(&entity);
                }
            }
        },
    )
}

fn link_record(entity: EntityKey, link: &HeldObservable) -> LinkRecord {
    LinkRecord { tenant: entity.tenant.to_string(), entity_id: entity.id.to_string(), observable_id: link.id.clone(), role: link.role }
}

/// Turns an update of the join into a message.
pub fn link_message((link, _time, diff): Update<ObservedLink>) -> ObservedMessage {
    ObservedMessage::Link(link, diff)
}
