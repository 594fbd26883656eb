//! A sorted list that nearly always has one member, and then no allocation and no length.
use serde::{Deserialize, Serialize};

/// One member in place, or any number on the heap. The compiler tells the two apart by a spare value within `T`, if it has one (a `bool`, an enum).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<T>", into = "Vec<T>", bound = "T: Clone + Serialize + serde::de::DeserializeOwned")]
pub enum Few<T> {
    /// One.
    One(T),
    /// None, or more than one.
    Many(Vec<T>),
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> std::ops::Deref for Few<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            Self::One(member) => std::slice::from_ref(member),
            Self::Many(members) => members,
        }
    }
}

impl<T> std::ops::DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::One(member) => std::slice::from_mut(member),
            Self::Many(members) => members,
        }
    }
}

impl<T> Few<T> {
    /// Puts a member at a place.
    ///
    /// # Panics
    /// When the place is past the end.
    pub fn insert(&mut self, at: usize, member: T) {
        self.change(|members| members.insert(at, member));
    }

    /// Keeps the members that `keep` says.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.change(|members| members.retain(keep));
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<T>)) {
        let mut members = match std::mem::take(self) {
            // Room for what is likely next, not for the four that a push would make.
            Self::One(member) => {
                let mut members = Vec::with_capacity(2);
                members.push(member);
                members
            }
            Self::Many(members) => members,
        };
        change(&mut members);
        *self = members.into();
    }
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(mut members: Vec<T>) -> Self {
        match members.pop() {
            Some(member) if members.is_empty() => Self::One(member),
            Some(member) => {
                members.push(member);
                Self::Many(members)
            }
            None => Self::Many(members),
        }
    }
}

impl<T> From<Few<T>> for Vec<T> {
    fn from(few: Few<T>) -> Self {
        match few {
            Few::One(member) => vec![member],
            Few::Many(members) => members,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_is_a_list_whatever_is_done_to_it(changes in proptest::collection::vec((any::<bool>(), 0u8..4), 0..20)) {
            let (mut few, mut model) = (Few::default(), Vec::new());
            for (insert, number) in changes {
                if insert {
                    let at = usize::from(number).min(model.len());
                    few.insert(at, number);
                    model.insert(at, number);
                } else {
                    few.retain(|member| *member != number);
                    model.retain(|member| *member != number);
                }
                prop_assert_eq!(&*few, &model[..]);
                prop_assert_eq!(matches!(few, Few::One(_)), model.len() == 1);
            }
        }
    }
}
