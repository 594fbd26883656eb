//! The allow-lists in force: every worker has them all, for a value may be on any of them.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sightline_formats::allow_list::AllowList;
use sightline_schemas::{ContentHash, EntityKey, ObservableKey};

use crate::source::SourceRef;

/// A list comes into force, changes, or goes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ListChange {
    /// Which.
    pub list: EntityKey,
    /// Its document; none when it goes.
    pub document: Option<Box<str>>,
    /// The input record.
    pub origin: SourceRef,
}

/// Whether an entity is an allow-list.
pub fn is_allow_list(key: EntityKey) -> bool {
    key.id.ty().as_str() == sightline_formats::allow_list::TYPE
}

/// The lists in force.
#[derive(Default)]
pub struct Allowed {
    lists: BTreeMap<EntityKey, List>,
}

struct List {
    hash: ContentHash,
    entries: AllowList,
}

/// What lists were before they changed; none where there was none.
pub struct Replaced(BTreeMap<EntityKey, Option<List>>);

impl Allowed {
    /// Whether a change is one: another feed's support of the same list is none.
    pub fn changes(&self, change: &ListChange) -> bool {
        let now = change.document.as_deref().map(|document| ContentHash::of(document.as_bytes()));
        self.lists.get(&change.list).map(|list| list.hash) != now
    }

    /// Takes changes.
    pub fn apply<'a>(&mut self, changes: impl IntoIterator<Item = &'a ListChange>) -> Replaced {
        let mut replaced = BTreeMap::new();
        for ListChange { list, document, .. } in changes {
            let now = document.as_deref().and_then(|document| match AllowList::of(document) {
                Ok(entries) => Some(List { hash: ContentHash::of(document.as_bytes()), entries }),
                Err(error) => {
                    // Whoever writes such an object by hand hears of it here, and allows nothing.
                    tracing::warn!(list = %list.id, %error, "an allow-list cannot be read and is not in force; see docs/allow-lists.md for its properties");
                    None
                }
            });
            let before = match now {
                Some(now) => self.lists.insert(*list, now),
                None => self.lists.remove(list),
            };
            replaced.entry(*list).or_insert(before);
        }
        Replaced(replaced)
    }

    /// Whether a value is on any list of its tenant.
    pub fn has(&self, key: &ObservableKey, value: &str) -> bool {
        self.lists.iter().any(|(list, entries)| on(list, entries, key, value))
    }

    /// Whether the changes decide about a value, and then whether it was allowed before them. The other lists are asked only where those that changed
    /// say something else than before: they are many, and so are the values.
    pub fn decides(&self, replaced: &Replaced, key: &ObservableKey, value: &str) -> Option<bool> {
        let was = replaced.0.iter().any(|(list, entries)| entries.as_ref().is_some_and(|entries| on(list, entries, key, value)));
        let is = replaced.0.keys().any(|list| self.lists.get(list).is_some_and(|entries| on(list, entries, key, value)));
        let others = || self.lists.iter().any(|(list, entries)| !replaced.0.contains_key(list) && on(list, entries, key, value));
        (was != is && !others()).then_some(was)
    }
}

fn on(list: &EntityKey, entries: &List, key: &ObservableKey, value: &str) -> bool {
    list.tenant == key.tenant && entries.entries.has(key.kind, value)
}
