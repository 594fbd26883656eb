//! Things to do later, by the journalled clock.
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use hashbrown::HashMap;
use sightline_schemas::Micros;

/// At most one instant a key.
#[derive(Debug)]
pub struct Timers<K> {
    at: BTreeMap<Micros, BTreeSet<K>>,
    of: HashMap<K, Micros>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { at: BTreeMap::new(), of: HashMap::new() }
    }
}

impl<K: Copy + Ord + Hash> Timers<K> {
    /// Wakes `key` at `at`, and no longer when it was to be woken before.
    pub fn schedule(&mut self, key: K, at: Micros) {
        self.cancel(&key);
        self.of.insert(key, at);
        self.at.entry(at).or_default().insert(key);
    }

    /// Lets `key` sleep.
    pub fn cancel(&mut self, key: &K) {
        if let Some(at) = self.of.remove(key)
            && let Some(keys) = self.at.get_mut(&at)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.at.remove(&at);
            }
        }
    }

    /// Removes and returns all that is due at `now`, by instant and key.
    pub fn due(&mut self, now: Micros) -> Vec<K> {
        let mut due = Vec::new();
        while let Some(entry) = self.at.first_entry() {
            if *entry.key() > now {
                break;
            }
            for key in entry.remove() {
                self.of.remove(&key);
                due.push(key);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_keys_come_once_in_order_and_a_later_schedule_replaces_an_earlier() {
        let mut timers = Timers::default();
        timers.schedule(1, Micros(30));
        timers.schedule(2, Micros(10));
        timers.schedule(3, Micros(20));
        timers.schedule(1, Micros(5));
        timers.cancel(&3);
        assert_eq!(timers.due(Micros(4)), Vec::<i32>::new());
        assert_eq!(timers.due(Micros(30)), vec![1, 2]);
        assert_eq!(timers.due(Micros(100)), Vec::<i32>::new());
    }
}
