//! Things to do later, by the journalled clock.
use std::collections::BTreeSet;

use sightline_schemas::Micros;

/// Keys, by the instant to wake them. Who schedules one knows until when, so that a table of keys is not needed.
#[derive(Debug)]
pub struct Timers<K> {
    /// One set of pairs, not a set for each instant: a feed's instants are nearly all different, and the smallest set takes room for eleven keys.
    at: BTreeSet<(Micros, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { at: BTreeSet::new() }
    }
}

impl<K: Copy + Ord> Timers<K> {
    /// Wakes `key` at `at`.
    pub fn schedule(&mut self, key: K, at: Micros) {
        self.at.insert((at, key));
    }

    /// Lets `key` sleep that was to be woken at `at`.
    pub fn cancel(&mut self, key: K, at: Micros) {
        self.at.remove(&(at, key));
    }

    /// Removes and returns all that is due at `now`, by instant and key.
    pub fn due(&mut self, now: Micros) -> Vec<K> {
        let mut due = Vec::new();
        while let Some((at, key)) = self.at.first().copied()
            && at <= now
        {
            self.at.pop_first();
            due.push(key);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_keys_come_once_in_order_and_one_that_was_cancelled_sleeps() {
        let mut timers = Timers::default();
        timers.schedule(1, Micros(30));
        timers.schedule(2, Micros(10));
        timers.schedule(3, Micros(20));
        timers.cancel(1, Micros(30));
        timers.schedule(1, Micros(5));
        timers.cancel(3, Micros(20));
        assert_eq!(timers.due(Micros(4)), Vec::<i32>::new());
        assert_eq!(timers.due(Micros(30)), vec![1, 2]);
        assert_eq!(timers.due(Micros(100)), Vec::<i32>::new());
    }
}
