//! Who holds an observable, in 24 bytes where there is one holder without times: nearly always.
use serde::{Deserialize, Serialize};
use sightline_schemas::{Micros, Role, StixId};

/// Who holds it, how, and when it was seen. The tenant is the observable's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Who.
    pub entity: StixId,
    /// How.
    pub role: Role,
    /// The times that the holder names. Few do.
    pub seen: Option<Box<(Micros, Micros)>>,
}

/// The holders of an observable, sorted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<Holder>", into = "Vec<Holder>")]
pub struct Holders(Packed);

/// The compiler tells the two apart by a role that is none.
#[derive(Clone, PartialEq, Debug)]
enum Packed {
    /// One, without times.
    One(StixId, Role),
    /// Any other number, or with times.
    #[expect(clippy::box_collection, reason = "a vector is three words, of which two would be in every row")]
    Any(Box<Vec<Holder>>),
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
            Packed::One(entity, role) => (Some((*entity, *role, None)), [].as_slice()),
            Packed::Any(holders) => (None, holders.as_slice()),
        };
        one.into_iter().chain(any.iter().map(|holder| (holder.entity, holder.role, holder.seen.as_deref().copied())))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Packed::One(..) => 1,
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
        if let Packed::One(entity, role) = self.0 {
            self.0 = Packed::Any(Box::new(vec![Holder { entity, role, seen: None }]));
        }
        if let Packed::Any(holders) = &mut self.0 {
            change(holders);
            if let [Holder { entity, role, seen: None }] = holders[..] {
                self.0 = Packed::One(entity, role);
            }
        }
    }
}

impl From<Vec<Holder>> for Holders {
    fn from(holders: Vec<Holder>) -> Self {
        match holders[..] {
            [Holder { entity, role, seen: None }] => Self(Packed::One(entity, role)),
            _ => Self(Packed::Any(Box::new(holders))),
        }
    }
}

impl From<Holders> for Vec<Holder> {
    fn from(holders: Holders) -> Self {
        match holders.0 {
            Packed::One(entity, role) => vec![Holder { entity, role, seen: None }],
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
        let times = [None, None, Some((Micros(1), Micros(2))), Some((Micros(0), Micros(7)))][usize::from(number % 4)];
        Holder {
            entity: StixId::new(ty, uuid::Uuid::from_u128(u128::from(number / 8))),
            role: if number % 8 < 4 { Role::Pattern } else { Role::Observed },
            seen: times.map(Box::new),
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
                let plain: Vec<_> = model.iter().map(|held| (held.entity, held.role, held.seen.as_deref().copied())).collect();
                prop_assert_eq!(holders.iter().collect::<Vec<_>>(), plain);
                prop_assert_eq!((holders.len(), holders.is_empty()), (model.len(), model.is_empty()));
                let bytes = postcard::to_stdvec(&holders).unwrap();
                prop_assert_eq!(&postcard::from_bytes::<Holders>(&bytes).unwrap(), &holders);
                prop_assert_eq!(Holders::from(Vec::from(holders.clone())), holders.clone());
            }
        }
    }

    #[test]
    fn holders_are_24_bytes() {
        assert_eq!(size_of::<Holders>(), 24);
        assert_eq!(size_of::<Option<Holders>>(), 24);
    }
}
