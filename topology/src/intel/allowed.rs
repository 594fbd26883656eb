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
    lists: BTreeMap<EntityKey, (ContentHash, AllowList)>,
}

impl Allowed {
    /// Whether a change is one: another feed's support of the same list is none.
    pub fn changes(&self, change: &ListChange) -> bool {
        let now = change.document.as_deref().map(|document| ContentHash::of(document.as_bytes()));
        self.lists.get(&change.list).map(|(hash, _)| *hash) != now
    }

    /// Takes a change.
    pub fn apply(&mut self, change: &ListChange) {
        let Some(document) = &change.document else {
            self.lists.remove(&change.list);
            return;
        };
        match AllowList::of(document) {
            Ok(list) => drop(self.lists.insert(change.list, (ContentHash::of(document.as_bytes()), list))),
            Err(error) => {
                // Whoever writes such an object by hand hears of it here, and allows nothing.
                tracing::warn!(list = %change.list.id, %error, "an allow-list cannot be read and is not in force; see docs/allow-lists.md for its properties");
                self.lists.remove(&change.list);
            }
        }
    }

    /// Whether a value is on any list of its tenant.
    pub fn has(&self, key: &ObservableKey, value: &str) -> bool {
        self.lists.iter().any(|(list, (_, entries))| list.tenant == key.tenant && entries.has(key.kind, value))
    }
}
