//! Where claims come from: of thousands of claims the same feed, package and record, so they share it.
use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::HashSet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sightline_schemas::{ContentHash, FeedId};

use super::PackageRank;
use crate::source::PackedRef;
use crate::state::instant::MaybeMicros;

/// A feed, a package of its and an input record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Provenance {
    /// Feed.
    pub feed: FeedId,
    /// The newest `modified` of the package.
    pub newest: MaybeMicros,
    /// Hash of the package's bytes.
    pub package: ContentHash,
    /// The input record.
    pub origin: PackedRef,
}

/// A [`Provenance`] that others share. It compares by content and is stored in full, so that nothing depends on who shares with whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shared(Arc<Provenance>);

/// What this thread has shared.
struct Known {
    provenances: HashSet<Arc<Provenance>>,
    /// Once there are so many, those that nobody holds any more are forgotten.
    sweep_at: usize,
}

const SWEEP_AT: usize = 1 << 10;

thread_local! {
    static KNOWN: RefCell<Known> = RefCell::new(Known { provenances: HashSet::new(), sweep_at: SWEEP_AT });
}

impl Known {
    fn share(&mut self, provenance: Provenance) -> Arc<Provenance> {
        if let Some(known) = self.provenances.get(&provenance) {
            return Arc::clone(known);
        }
        if self.provenances.len() >= self.sweep_at {
            self.provenances.retain(|known| Arc::strong_count(known) > 1);
            self.sweep_at = SWEEP_AT.max(2 * self.provenances.len());
        }
        let new = Arc::new(provenance);
        self.provenances.insert(Arc::clone(&new));
        new
    }
}

impl From<Provenance> for Shared {
    fn from(provenance: Provenance) -> Self {
        Self(KNOWN.with_borrow_mut(|known| known.share(provenance)))
    }
}

impl std::ops::Deref for Shared {
    type Target = Provenance;
    fn deref(&self) -> &Provenance {
        &self.0
    }
}

impl Serialize for Shared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Provenance::deserialize(deserializer).map(Self::from)
    }
}

impl Provenance {
    /// Whether it is that package.
    pub fn is_of(&self, package: PackageRank) -> bool {
        self.package == package.hash
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::source::{InputTopic, SourceRef};

    fn provenance(offset: i64) -> Provenance {
        Provenance {
            feed: FeedId::new("feed").unwrap(),
            newest: None.into(),
            package: ContentHash::of(b"package"),
            origin: SourceRef { topic: InputTopic::Intel, partition: 0, offset }.into(),
        }
    }

    #[test]
    fn what_is_equal_is_held_once_also_when_it_is_read_again() {
        let (first, second) = (Shared::from(provenance(1)), Shared::from(provenance(1)));
        let read: Shared = postcard::from_bytes(&postcard::to_stdvec(&first).unwrap()).unwrap();
        assert!(Arc::ptr_eq(&first.0, &second.0) && Arc::ptr_eq(&first.0, &read.0));
        assert_ne!(first, Shared::from(provenance(2)));
    }

    #[test]
    fn what_nobody_holds_is_forgotten() {
        let held = Shared::from(provenance(0));
        for offset in 1..10 * SWEEP_AT as i64 {
            let _ = Shared::from(provenance(offset));
        }
        KNOWN.with_borrow(|known| assert!(known.provenances.len() <= SWEEP_AT, "{}", known.provenances.len()));
        assert_eq!(*held, provenance(0));
        assert!(Arc::ptr_eq(&held.0, &Shared::from(provenance(0)).0));
    }
}
