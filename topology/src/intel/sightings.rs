//! Sightings: the indicators in force ⋈ the events that touched what they name, without what allow-lists allow.
//!
//! A part of the index, which owns both sides of the join. Of a key there must be one record an epoch, whatever changed in it: so what was sighted before
//! is noted with each kind of change ([`Before`]), and compared when all of them are in the tables.
use std::collections::{BTreeMap, BTreeSet};

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

/// Which touches of an observable an indicator sights.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Sights {
    /// Those of events that have the value itself: a value above it meets a wide test, or not, by itself.
    Direct,
    /// Those of events that have a value below it, too.
    All,
}

impl Sights {
    fn of(role: Role) -> Option<Self> {
        match role {
            Role::Pattern => Some(Self::All),
            Role::Matched => Some(Self::Direct),
            _ => None,
        }
    }

    fn role(self) -> Role {
        match self {
            Self::All => Role::Pattern,
            Self::Direct => Role::Matched,
        }
    }

    fn has(self, touch: &Touch) -> bool {
        self == Self::All || touch.direct
    }
}

/// The indicators that name an observable.
pub type Named = BTreeMap<StixId, Sights>;

/// The indicators for which this observable suffices. Compound patterns need more than one look-up.
pub fn named_by(tables: &Tables, key: &ObservableKey) -> Named {
    let mut named = Named::new();
    for (entity, role, _) in tables.index.get(key).into_iter().flat_map(|entry| entry.holders.iter()) {
        let Some(sights) = Sights::of(role) else { continue };
        named.entry(entity).and_modify(|known| *known = sights.max(*known)).or_insert(sights);
    }
    named
}

/// What was sighted of the observables that an epoch changes, before it: the indicators, and the input record that changes it.
#[derive(Default)]
pub struct Before(BTreeMap<ObservableKey, (Named, SourceRef)>);

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
                let sighted = if was { Named::new() } else { named_by(tables, key) };
                before.0.insert(*key, (sighted, *origin));
            }
        }
    }

    /// Links of an observable that events touched changed; `named`: by whom it was named before.
    pub fn links_changed(
        &self,
        (key, value): (ObservableKey, &str),
        named: Named,
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
        let sighted = if named.is_empty() || self.allowed.has(&key, value) { Named::new() } else { named };
        let noted = before.0.entry(key).or_insert((sighted, origin));
        noted.1 = noted.1.max(origin);
    }

    /// Gives the sightings of past events that the epoch's changes bring, and takes back those that they end.
    pub fn settle(&self, before: Before, tables: &Tables, out: &mut Vec<IndexOut>) {
        for (key, (before, origin)) in before.0 {
            let now = match tables.matched.get(&key) {
                Some(value) if !self.allowed.has(&key, value) => named_by(tables, &key),
                _ => Named::new(),
            };
            let Some(touches) = tables.touches.get(&key) else { continue };
            let entities: BTreeSet<StixId> = before.keys().chain(now.keys()).copied().collect();
            for entity in entities {
                let (before, now) = (before.get(&entity), now.get(&entity));
                for touch in touches.iter().filter(|_| before != now) {
                    let has = |sights: Option<&Sights>| sights.is_some_and(|sights| sights.has(touch));
                    if has(before) != has(now) {
                        out.push(self.sighting(key, entity, touch, has(before), origin));
                    }
                }
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
        let sighted = if named.is_empty() || self.allowed.has(key, value) { &Named::new() } else { &named };
        let touches = tables.touches.get_or_default(*key);
        let (mut new, mut given) = (Vec::with_capacity(probes.len()), BTreeSet::new());
        for Probe { event, id, seen, direct, .. } in probes {
            let touch = Touch::new(*id, *seen, *direct, now);
            let is_new = !sighted.is_empty() && !touches.has(*id) && given.insert(*id);
            for (entity, sights) in sighted.iter().filter(|(_, sights)| sights.has(&touch)) {
                let entity = EntityKey { id: *entity, tenant: key.tenant };
                out.push(IndexOut::Hit(Hit { event: *event, entity, observable: *key, role: sights.role() }));
                if is_new {
                    out.push(self.sighting(*key, entity.id, &touch, false, event.at));
                }
            }
            if *direct {
                touches.keep_value(key.kind, value);
            }
            new.push(touch);
        }
        touches.extend(new);
        // What is named is remembered: a link that an event made goes with the last event.
        touches.keep_newest(if named.is_empty() { self.settings.events } else { self.settings.named_events.max(1) });
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
