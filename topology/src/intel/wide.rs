//! The indicators in force that name more than single values (networks, `LIKE`, `MATCHES`): every worker has them all, for a value may meet any of them.
//!
//! A value that an event has and that meets one becomes an observable that the indicator holds, as [`Role::Matched`]: from there on it is a link like any
//! other, which goes with the indicator, or when the last event that has it is forgotten.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sightline_formats::pattern::{WideSet, WideTest};
use sightline_schemas::{EntityKey, ObservableKey, Role, StixId, TenantId};

use super::index::{IndexLink, LinkChange};
use crate::events::Probe;
use crate::source::SourceRef;
use crate::tables::Tables;

/// What an indicator in force names at large changes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct WideChange {
    /// Which.
    pub indicator: EntityKey,
    /// Its tests now; none when it goes.
    pub tests: Vec<WideTest>,
    /// The input record.
    pub origin: SourceRef,
}

/// The wide tests in force.
#[derive(Default)]
pub struct Wide {
    tests: BTreeMap<EntityKey, Vec<WideTest>>,
    sets: BTreeMap<TenantId, WideSet<StixId>>,
}

/// What a change of wide tests took away and brought.
#[derive(Default)]
pub struct Widened {
    /// The input records that changed the indicators.
    origins: BTreeMap<EntityKey, SourceRef>,
    was: BTreeMap<TenantId, WideSet<StixId>>,
    is: BTreeMap<TenantId, WideSet<StixId>>,
}

impl Wide {
    /// Takes changes.
    pub fn apply<'a>(&mut self, changes: impl IntoIterator<Item = &'a WideChange>) -> Widened {
        let mut widened = Widened::default();
        for WideChange { indicator, tests, origin } in changes {
            let before = if tests.is_empty() { self.tests.remove(indicator) } else { self.tests.insert(*indicator, tests.clone()) };
            let before = before.unwrap_or_default();
            if before == *tests {
                continue;
            }
            let EntityKey { id, tenant } = *indicator;
            widened.origins.insert(*indicator, *origin);
            let set = self.sets.entry(tenant).or_default();
            for test in &before {
                set.remove(id, test);
                add(widened.was.entry(tenant).or_default(), id, test, false);
            }
            for test in tests {
                add(set, id, test, true);
                add(widened.is.entry(tenant).or_default(), id, test, false);
            }
        }
        self.sets.retain(|_, set| !set.is_empty());
        widened
    }

    /// The links of remembered values that changes make and take back. All that is remembered is asked.
    pub fn change(&mut self, changes: &[Box<WideChange>], tables: &Tables, links: &mut Vec<LinkChange>) {
        let widened = self.apply(changes.iter().map(|change| &**change));
        if widened.origins.is_empty() {
            return;
        }
        for (key, touches) in tables.touches.iter() {
            if widened.concerns(key)
                && let Some(value) = touches.value()
            {
                let (gone, come) = widened.changes(key, value);
                links.extend(gone.into_iter().map(|indicator| link(*key, value, indicator, None)));
                let origin = |indicator| widened.origins.get(&EntityKey { id: indicator, tenant: key.tenant }).copied();
                links.extend(come.into_iter().map(|indicator| link(*key, value, indicator, origin(indicator))));
            }
        }
    }

    /// The links of values that an event has for the first time.
    pub fn met(&self, probes: &[Probe], tables: &Tables, links: &mut Vec<LinkChange>) {
        let mut direct: Vec<&Probe> =
            probes.iter().filter(|probe| probe.direct && self.sets.contains_key(&probe.observable.tenant)).collect();
        direct.sort_unstable();
        for Probe { observable: key, value, event, .. } in direct.chunk_by(|a, b| a.observable == b.observable).filter_map(<[_]>::first) {
            if tables.touches.get(key).is_none_or(|touches| touches.value().is_none()) {
                let indicators = naming(&self.sets, key, value);
                links.extend(indicators.into_iter().map(|indicator| link(*key, value, indicator, Some(event.at))));
            }
        }
    }
}

/// Takes back the links of values that no remembered event has any more.
pub fn forgotten(values: Vec<(ObservableKey, Box<str>)>, tables: &Tables, links: &mut Vec<LinkChange>) {
    for (key, value) in values {
        let holders = tables.index.get(&key).into_iter().flat_map(|entry| entry.holders.iter());
        let matched = holders.filter(|(_, role, _)| *role == Role::Matched);
        links.extend(matched.map(|(indicator, _, _)| link(key, &value, indicator, None)));
    }
}

/// A link that comes from a record, or goes.
fn link(observable: ObservableKey, value: &str, indicator: StixId, origin: Option<SourceRef>) -> LinkChange {
    let entity = EntityKey { id: indicator, tenant: observable.tenant };
    let link = IndexLink { observable, entity, role: Role::Matched, seen: None };
    LinkChange { diff: if origin.is_some() { 1 } else { -1 }, link, value: value.into(), origin }
}

impl Widened {
    /// Whether a change may speak of an observable.
    fn concerns(&self, key: &ObservableKey) -> bool {
        [&self.was, &self.is].into_iter().any(|sets| sets.get(&key.tenant).is_some_and(|set| set.concerns(key.kind)))
    }

    /// Who names a value no more, and who does from now on.
    fn changes(&self, key: &ObservableKey, value: &str) -> (Vec<StixId>, Vec<StixId>) {
        let (was, is) = (naming(&self.was, key, value), naming(&self.is, key, value));
        (was.difference(&is).copied().collect(), is.difference(&was).copied().collect())
    }
}

fn naming(sets: &BTreeMap<TenantId, WideSet<StixId>>, key: &ObservableKey, value: &str) -> BTreeSet<StixId> {
    sets.get(&key.tenant).map(|set| set.holders(key.kind, value)).unwrap_or_default()
}

fn add(set: &mut WideSet<StixId>, indicator: StixId, test: &WideTest, speaks: bool) {
    if let Err(error) = set.insert(indicator, test)
        && speaks
    {
        // The indicator is kept, and what else it names is looked for.
        tracing::warn!(%indicator, %error, "an expression of a pattern cannot be used and matches nothing; see docs/sightings.md for what can");
    }
}
