//! One shard of a table: rows, their index by key, and what changed since they were written.
use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::segment::{Entries, Segment, SegmentError};
use super::slab::Slab;

/// A shard. Its index holds numbers of rows: a slot is four bytes, so it may be half empty.
#[derive(Debug)]
pub(super) struct Vnode<K, V> {
    index: HashTable<u32>,
    rows: Slab<(K, V)>,
    changes: Changes<K>,
}

/// What segments do not say yet. A vnode is in at most two: all of it, and, while that is less, what changed since, which each snapshot writes anew.
#[derive(Debug)]
struct Changes<K> {
    /// Changed since it was last written.
    dirty: bool,
    /// The rows that changed since the vnode was written whole, a bit each.
    rows: Vec<u64>,
    /// The keys that went since then; some may have come again.
    gone: Vec<K>,
    /// How many entries the whole one has.
    whole: usize,
    /// How many entries were written since, over and over.
    again: usize,
}

impl<K, V> Default for Vnode<K, V> {
    fn default() -> Self {
        let changes = Changes { dirty: false, rows: Vec::new(), gone: Vec::new(), whole: 0, again: 0 };
        Self { index: HashTable::new(), rows: Slab::default(), changes }
    }
}

impl<K> Changes<K> {
    fn changed(&mut self, row: u32) {
        let (word, bit) = (row as usize / 64, row % 64);
        if self.rows.len() <= word {
            self.rows.resize(word + 1, 0);
        }
        self.rows[word] |= 1 << bit;
        self.dirty = true;
    }

    fn gone(&mut self, key: K) {
        self.dirty = true;
        if self.gone.len() < self.whole {
            self.gone.push(key);
        } else {
            // All of it will be written: a table that churns for long between snapshots must not remember every key that it had.
            (self.whole, self.gone) = (0, Vec::new());
        }
    }

    /// The numbers of the rows that changed; some may be gone. A snapshot of a few changes looks at those rows alone.
    fn rows(&self) -> impl Iterator<Item = u32> {
        let words = (0u32..).step_by(64).zip(&self.rows).filter(|(_, word)| **word != 0);
        words.flat_map(|(first, word)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| first + bit))
    }

    /// Whether a segment of so many changes is worth while: what was written since the vnode was written whole must stay below what that cost, so that
    /// over time neither a few changes nor many cost more than twice the better way.
    fn is_worth(&self, entries: usize) -> bool {
        self.again + entries < self.whole
    }
}

impl<K: Eq + Hash + Ord + Clone, V> Vnode<K, V> {
    pub(super) fn find(&self, key: &K, hasher: &DefaultHashBuilder) -> Option<u32> {
        self.index.find(hasher.hash_one(key), |at| self.rows[*at].0 == *key).copied()
    }

    pub(super) fn get(&self, key: &K, hasher: &DefaultHashBuilder) -> Option<&V> {
        Some(&self.rows[self.find(key, hasher)?].1)
    }

    /// The value of a key, which counts as changed.
    pub(super) fn get_mut(&mut self, key: &K, hasher: &DefaultHashBuilder) -> Option<&mut V> {
        let at = self.find(key, hasher)?;
        self.changes.changed(at);
        Some(&mut self.rows[at].1)
    }

    pub(super) fn get_or_default(&mut self, key: K, hasher: &DefaultHashBuilder) -> &mut V
    where
        V: Default,
    {
        let at = self.find(&key, hasher).unwrap_or_else(|| self.add(key, V::default(), hasher));
        self.changes.changed(at);
        &mut self.rows[at].1
    }

    /// Adds a key that is not there.
    pub(super) fn add(&mut self, key: K, value: V, hasher: &DefaultHashBuilder) -> u32 {
        let hash = hasher.hash_one(&key);
        let at = self.rows.insert((key, value));
        let rows = &self.rows;
        self.index.insert_unique(hash, at, |at| hasher.hash_one(&rows[*at].0));
        self.changes.changed(at);
        at
    }

    pub(super) fn remove(&mut self, key: &K, hasher: &DefaultHashBuilder) -> Option<V> {
        let rows = &self.rows;
        let found = self.index.find_entry(hasher.hash_one(key), |at| rows[*at].0 == *key);
        let (key, value) = self.rows.remove(found.ok()?.remove().0)?;
        self.changes.gone(key);
        Some(value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.rows.iter().map(|(_, row)| (&row.0, &row.1))
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn bytes(&self) -> usize {
        // hashbrown: a number and a control byte a slot, and a load of at most 7/8.
        let index = self.index.capacity() * 8 / 7 * (size_of::<u32>() + 1);
        index + self.rows.bytes() + self.changes.rows.capacity() * size_of::<u64>() + self.changes.gone.capacity() * size_of::<K>()
    }
}

impl<K, V> Vnode<K, V>
where
    K: Eq + Hash + Ord + Clone + Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    /// What is to be written, sorted by key, and whether it is all; nothing if nothing changed since the last time.
    pub(super) fn drain(&mut self, hasher: &DefaultHashBuilder) -> Result<Option<(Entries, bool)>, SegmentError> {
        if !self.changes.dirty {
            return Ok(None);
        }
        let mut gone = std::mem::take(&mut self.changes.gone);
        gone.sort_unstable();
        gone.dedup();
        gone.retain(|key| self.find(key, hasher).is_none());
        let changes: Vec<_> = self.changes.rows().filter_map(|at| self.rows.get(at)).map(|row| (&row.0, Some(&row.1))).collect();
        let changed = changes.len() + gone.len();
        let whole = !self.changes.is_worth(changed);
        let mut sorted: Vec<_> = match whole {
            true => self.rows.iter().map(|(_, row)| (&row.0, Some(&row.1))).collect(),
            false => changes.into_iter().chain(gone.iter().map(|key| (key, None))).collect(),
        };
        sorted.sort_unstable_by(|a, b| a.0.cmp(b.0));
        let mut entries = Entries::default();
        let pushed = sorted.into_iter().try_for_each(|(key, value)| entries.push(key, value));
        self.changes.gone = gone;
        pushed?;
        self.written(whole, changed);
        Ok(Some((entries, whole)))
    }

    fn written(&mut self, whole: bool, changed: usize) {
        let changes = &mut self.changes;
        changes.dirty = false;
        changes.again += changed;
        if whole {
            (changes.rows, changes.gone) = (Vec::new(), Vec::new());
            (changes.whole, changes.again) = (self.index.len(), 0);
        }
    }

    /// Takes what a segment says: the whole one first.
    pub(super) fn load(&mut self, segment: &Segment, whole: bool, hasher: &DefaultHashBuilder) -> Result<(), SegmentError> {
        let rows = &self.rows;
        self.index.reserve(segment.len(), |at| hasher.hash_one(&rows[*at].0));
        for entry in segment.iter() {
            let (key, value): (K, Option<V>) = entry.decode()?;
            // The keys of a segment differ from one another.
            if !whole {
                self.remove(&key, hasher);
            }
            match value {
                Some(value) => drop(self.add(key, value, hasher)),
                None => self.changes.gone(key),
            }
        }
        self.written(whole, segment.len());
        Ok(())
    }
}
