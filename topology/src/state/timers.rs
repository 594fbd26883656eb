//! Things to do later, by the journalled clock.
use std::collections::BTreeSet;
use std::hash::Hash;

use hashbrown::HashMap;
use sightline_schemas::Micros;

/// At most one instant a key.
#[derive(Debug)]
pub struct Timers<K> {
    /// One set of pairs, not a set for each instant: a feed's instants are nearly all different, and the smallest set takes room for eleven keys.
    at: BTreeSet<(Micros, K)>,
    of: HashMap<K, Micros>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { at: BTreeSet::new(), of: HashMap::new() }
    }
}

impl<K: Copy + Ord + Hash> Timers<K> {
    /// Wakes `key` at `at`, and no longer when it was to be woken before.
    pub fn schedule(&mut self, key: K, at: Micros) {
        self.cancel(&key);
        self.of.insert(key, at);
        self.at.insert((at, key));
    }

    /// Lets `key` sleep.
    pub fn cancel(&mut self, key: &K) {
        if let Some(at) = self.of.remove(key) {
            self.at.remove(&(at, *key));
        }
    }

    /// Removes and returns all that is due at `now`, by instant and key.
    pub fn due(&mut self, now: Micros) -> Vec<K> {
        let mut due = Vec::new();
        while let Some((at, key)) = self.at.first().copied()
            && at <= now
        {
            self.at.pop_first();
            self.of.remove(&key);
            due.push(key);
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
