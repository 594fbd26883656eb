//! Who holds an observable, in 32 bytes where there is one holder: nearly always.
use serde::{Deserialize, Serialize};
use sightline_schemas::{Micros, Role, StixId, TypeName};
use uuid::Uuid;

use crate::state::instant::{MaybeSpan, ShortSpan};

/// Who holds it, how, and when it was seen, as far as the holder says. The tenant is the observable's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Who.
    pub entity: StixId,
    /// How.
    pub role: Role,
    /// The times that the holder names.
    pub seen: MaybeSpan,
}

/// The holders of an observable, sorted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<Holder>", into = "Vec<Holder>")]
pub struct Holders(Packed);

/// The compiler tells the two apart by a role that is none.
#[derive(Clone, PartialEq, Debug)]
enum Packed {
    One(One),
    /// Any other number, or with times that are not of whole milliseconds.
    #[expect(clippy::box_collection, reason = "a vector is three words, of which two would be in every row")]
    Any(Box<Vec<Holder>>),
}

/// One holder; its identifier in bytes, for the gaps between its words are all that is left for the times.
#[derive(Clone, Copy, PartialEq, Debug)]
struct One {
    uuid: [u8; 16],
    ty: TypeName,
    role: Role,
    seen: ShortSpan,
}

impl One {
    fn of(holder: &Holder) -> Option<Self> {
        let seen = ShortSpan::new(holder.seen)?;
        Some(Self { uuid: holder.entity.uuid().into_bytes(), ty: holder.entity.ty(), role: holder.role, seen })
    }

    fn holder(self) -> Holder {
        Holder { entity: StixId::new(self.ty, Uuid::from_bytes(self.uuid)), role: self.role, seen: self.seen.get() }
    }
}

impl Default for Holders {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl Holders {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (StixId, Role, Option<(Micros, Micros)>)> + Clone {
        let (one, any) = match &self.0 {
            Packed::One(one) => (Some(one.holder()), [].as_slice()),
            Packed::Any(holders) => (None, holders.as_slice()),
        };
        let plain = |holder: &Holder| (holder.entity, holder.role, holder.seen.get());
        one.as_ref().map(plain).into_iter().chain(any.iter().map(plain))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Packed::One(_) => 1,
            Packed::Any(holders) => holders.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds one that is not there.
    pub fn insert(&mut self, holder: Holder) {
        self.change(|holders| {
            if let Err(at) = holders.binary_search(&holder) {
                // Room for what is likely next, not for the four that a push would make.
                holders.reserve_exact(if holders.len() < 4 { 1 } else { holders.len() / 2 });
                holders.insert(at, holder);
            }
        });
    }

    /// Removes one.
    pub fn remove(&mut self, holder: &Holder) {
        self.change(|holders| {
            if let Ok(at) = holders.binary_search(holder) {
                holders.remove(at);
            }
        });
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<Holder>)) {
        let mut holders = Vec::from(std::mem::take(self));
        change(&mut holders);
        *self = holders.into();
    }
}

impl From<Vec<Holder>> for Holders {
    fn from(holders: Vec<Holder>) -> Self {
        let one = if let [holder] = &holders[..] { One::of(holder) } else { None };
        Self(one.map_or_else(|| Packed::Any(Box::new(holders)), Packed::One))
    }
}

impl From<Holders> for Vec<Holder> {
    fn from(holders: Holders) -> Self {
        match holders.0 {
            Packed::One(one) => vec![one.holder()],
            Packed::Any(holders) => *holders,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use sightline_schemas::TypeName;

    use super::*;

    fn holder(number: u8) -> Holder {
        let ty = TypeName::new("indicator").unwrap();
        // One without times, one of milliseconds, one of microseconds, one as far back as a time goes.
        let times = [None, Some((Micros(-5_000), Micros(7_000))), Some((Micros(0), Micros(7))), Some((Micros(i64::MIN + 1), Micros(0)))];
        let times = times[usize::from(number % 4)];
        Holder {
            entity: StixId::new(ty, uuid::Uuid::from_u128(u128::from(number / 8))),
            role: if number % 8 < 4 { Role::Pattern } else { Role::Observed },
            seen: times.into(),
        }
    }

    proptest! {
        #[test]
        fn holders_are_a_sorted_set_whatever_is_done_to_them(changes in proptest::collection::vec((any::<bool>(), 0u8..32), 0..40)) {
            let (mut holders, mut model) = (Holders::default(), BTreeSet::new());
            for (insert, number) in changes {
                if insert {
                    holders.insert(holder(number));
                    model.insert(holder(number));
                } else {
                    holders.remove(&holder(number));
                    model.remove(&holder(number));
                }
                let plain: Vec<_> = model.iter().map(|held| (held.entity, held.role, held.seen.get())).collect();
                prop_assert_eq!(holders.iter().collect::<Vec<_>>(), plain);
                prop_assert_eq!((holders.len(), holders.is_empty()), (model.len(), model.is_empty()));
                let bytes = postcard::to_stdvec(&holders).unwrap();
                prop_assert_eq!(&postcard::from_bytes::<Holders>(&bytes).unwrap(), &holders);
                prop_assert_eq!(Holders::from(Vec::from(holders.clone())), holders.clone());
            }
        }
    }

    #[test]
    fn holders_are_32_bytes() {
        assert_eq!(size_of::<Holders>(), 32);
        assert_eq!(size_of::<Option<Holders>>(), 32);
    }
}
