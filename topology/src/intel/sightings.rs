//! Sightings: the indicators in force ⋈ the events that touched what they name, without what allow-lists allow.
//!
//! A part of the index, which owns both sides of the join. Of a key there must be one record an epoch, whatever changed in it: so what was sighted before
//! is noted with each kind of change ([`Before`]), and compared when all of them are in the tables.
use std::collections::BTreeMap;

use sightline_schemas::avro::OutputRecord;
use sightline_schemas::record::SightingRecord;
use sightline_schemas::{EntityKey, Micros, ObservableKey, Role, StixId, TenantId};

use super::allowed::{Allowed, ListChange};
use super::index::IndexOut;
use crate::events::touches::Touch;
use crate::events::{Hit, Probe};
use crate::output::Emitter;
use crate::settings::LookBackSettings;
use crate::source::SourceRef;
use crate::tables::Tables;

/// What the join needs beside the tables.
pub struct Sightings {
    /// The lists in force.
    pub allowed: Allowed,
    /// What is remembered of events.
    pub settings: LookBackSettings,
    /// Writes records.
    pub emitter: Emitter,
}

/// The indicators for which this observable suffices, sorted. Compound patterns need more than one look-up.
pub fn named_by(tables: &Tables, key: &ObservableKey) -> Vec<StixId> {
    let holders = tables.index.get(key).map(|entry| entry.holders.iter());
    holders.into_iter().flatten().filter(|(_, role, _)| *role == Role::Pattern).map(|(entity, _, _)| entity).collect()
}

/// What was sighted of the observables that an epoch changes, before it: the indicators, and the input record that changes it.
#[derive(Default)]
pub struct Before(BTreeMap<ObservableKey, (Vec<StixId>, SourceRef)>);

impl Sightings {
    /// Allow-lists change: first of all in an epoch, for the tables are still those of the one before.
    pub fn change_lists(&mut self, mut changes: Vec<Box<ListChange>>, tables: &Tables, before: &mut Before) {
        changes.sort_unstable();
        changes.retain(|change| self.allowed.changes(change));
        let origins: BTreeMap<TenantId, SourceRef> = changes.iter().map(|change| (change.list.tenant, change.origin)).collect();
        if origins.is_empty() {
            return;
        }
        let replaced = self.allowed.apply(changes.iter().map(|change| &**change));
        for (key, value) in tables.matched.iter() {
            if let Some(origin) = origins.get(&key.tenant)
                && let Some(was) = self.allowed.decides(&replaced, key, value)
            {
                let sighted = if was { Vec::new() } else { named_by(tables, key) };
                before.0.insert(*key, (sighted, *origin));
            }
        }
    }

    /// Links of an observable that events touched changed; `named`: by whom it was named before.
    pub fn links_changed(
        &self,
        (key, value): (ObservableKey, &str),
        named: Vec<StixId>,
        origin: SourceRef,
        tables: &mut Tables,
        before: &mut Before,
    ) {
        match (named.is_empty(), named_by(tables, &key).is_empty()) {
            (true, false) => drop(tables.matched.insert(key, value.into())),
            (false, true) => drop(tables.matched.remove(&key)),
            _ => {}
        }
        // Unless lists changed about it, which was noted, it was allowed before if it is now.
        let sighted = if named.is_empty() || self.allowed.has(&key, value) { Vec::new() } else { named };
        let noted = before.0.entry(key).or_insert((sighted, origin));
        noted.1 = noted.1.max(origin);
    }

    /// Gives the sightings of past events that the epoch's changes bring, and takes back those that they end.
    pub fn settle(&self, before: Before, tables: &Tables, out: &mut Vec<IndexOut>) {
        for (key, (before, origin)) in before.0 {
            let is_allowed = tables.matched.get(&key).is_some_and(|value| self.allowed.has(&key, value));
            let now = if is_allowed { Vec::new() } else { named_by(tables, &key) };
            let Some(touches) = tables.touches.get(&key) else { continue };
            let gone = before.iter().filter(|entity| now.binary_search(entity).is_err()).map(|entity| (*entity, true));
            let come = now.iter().filter(|entity| before.binary_search(entity).is_err()).map(|entity| (*entity, false));
            for (entity, retracted) in gone.chain(come) {
                out.extend(touches.iter().map(|touch| self.sighting(key, entity, touch, retracted, origin)));
            }
        }
    }

    /// Events touched an observable: answers them, gives the sightings of those that are new, and remembers them.
    pub fn touched(&self, probes: &[Probe], now: Micros, tables: &mut Tables, out: &mut Vec<IndexOut>) {
        let Some(Probe { observable: key, value, .. }) = probes.first() else { return };
        let named = named_by(tables, key);
        if !named.is_empty() && !tables.matched.contains(key) {
            tables.matched.insert(*key, value.clone());
        }
        // Lists are asked about what is named alone: that is little.
        let sighted: &[StixId] = if named.is_empty() || self.allowed.has(key, value) { &[] } else { &named };
        let touches = tables.touches.get_or_default(*key);
        for Probe { event, id, seen, .. } in probes {
            for entity in sighted {
                let entity = EntityKey { id: *entity, tenant: key.tenant };
                out.push(IndexOut::Hit(Hit { event: *event, entity, observable: *key, role: Role::Pattern }));
            }
            if touches.has(*id) {
                continue;
            }
            let touch = Touch::new(*id, *seen, now);
            touches.insert(touch);
            out.extend(sighted.iter().map(|entity| self.sighting(*key, *entity, &touch, false, event.at)));
        }
        touches.keep_newest(if named.is_empty() { self.settings.events } else { self.settings.named_events });
        if touches.is_empty() {
            tables.touches.remove(key);
            tables.matched.remove(key);
        }
    }

    fn sighting(&self, key: ObservableKey, entity: StixId, touch: &Touch, retracted: bool, origin: SourceRef) -> IndexOut {
        let (tenant, entity_id, observable_id, event_id) = (key.tenant.to_string(), entity.to_string(), key.id(), touch.event.to_string());
        let id = SightingRecord::id_of(&tenant, &entity_id, &observable_id, &event_id);
        let record = SightingRecord { tenant, id, entity_id, observable_id, event_id, seen: touch.seen, retracted };
        IndexOut::Row(Box::new(self.emitter.upsert(&OutputRecord::Sighting(record), origin)))
    }
}
