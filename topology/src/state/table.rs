//! Keyed state in memory, in 256 vnodes.
use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::segment::{Entries, Entry, SegmentError};

/// How many shards the keys of a table fall into, for every number of workers.
pub const VNODES: usize = 256;

/// The vnode of a key's route: its top byte, so that the low bits stay for hashing inside.
pub fn vnode_of(route: u64) -> u8 {
    (route >> 56) as u8
}

/// A key that knows where it belongs: the same in every process and run.
pub trait Routed {
    /// A number spread evenly over keys.
    fn route(&self) -> u64;
}

/// A table. A worker's table holds the vnodes that the worker owns; the others stay empty.
///
/// Key and value share an allocation, and a slot is a pointer to it: a table that has just doubled is half empty, and all 256 of them double
/// at about the same time.
#[derive(Debug)]
pub struct KeyedTable<K, V> {
    vnodes: Vec<Vnode<K, V>>,
    /// Keyed anew in each process, for identifiers come from outside.
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Vnode<K, V> {
    entries: HashTable<Box<(K, V)>>,
    /// Changed since it was last written.
    dirty: bool,
}

impl<K, V> Default for KeyedTable<K, V> {
    fn default() -> Self {
        let vnodes = (0..VNODES).map(|_| Vnode { entries: HashTable::new(), dirty: false }).collect();
        Self { vnodes, hasher: DefaultHashBuilder::default() }
    }
}

impl<K: Routed + Eq + Hash + Ord, V> KeyedTable<K, V> {
    /// The entry of a key, in a vnode that counts as changed.
    fn entry(&mut self, key: &K) -> hash_table::Entry<'_, Box<(K, V)>> {
        let vnode = &mut self.vnodes[usize::from(vnode_of(key.route()))];
        vnode.dirty = true;
        let hasher = &self.hasher;
        vnode.entries.entry(hasher.hash_one(key), |entry| entry.0 == *key, |entry| hasher.hash_one(&entry.0))
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let vnode = &self.vnodes[usize::from(vnode_of(key.route()))];
        vnode.entries.find(self.hasher.hash_one(key), |entry| entry.0 == *key).map(|entry| &entry.1)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self.entry(key) {
            hash_table::Entry::Occupied(entry) => Some(&mut entry.into_mut().1),
            hash_table::Entry::Vacant(_) => None,
        }
    }

    /// The value of a key, made if it is not there.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        match self.entry(&key) {
            hash_table::Entry::Occupied(entry) => &mut entry.into_mut().1,
            hash_table::Entry::Vacant(entry) => &mut entry.insert(Box::new((key, V::default()))).into_mut().1,
        }
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key; returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.entry(&key) {
            hash_table::Entry::Occupied(mut entry) => Some(std::mem::replace(&mut entry.get_mut().1, value)),
            hash_table::Entry::Vacant(entry) => {
                entry.insert(Box::new((key, value)));
                None
            }
        }
    }

    /// Removes a key; returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        match self.entry(key) {
            hash_table::Entry::Occupied(entry) => Some(entry.remove().0.1),
            hash_table::Entry::Vacant(_) => None,
        }
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.vnodes.iter().flat_map(|vnode| vnode.entries.iter()).map(|entry| (&entry.0, &entry.1))
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for vnode in &mut self.vnodes {
            let before = vnode.entries.len();
            vnode.entries.retain(|entry| {
                let (key, value) = &mut **entry;
                keep(key, value)
            });
            vnode.dirty |= vnode.entries.len() < before;
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.vnodes.iter().map(|vnode| vnode.entries.len()).sum()
    }

    /// About how many bytes the table's own allocations take; what keys and values point to is not in it.
    pub fn bytes(&self) -> usize {
        // hashbrown: a pointer and a control byte a slot, and a load of at most 7/8.
        let slot = std::mem::size_of::<Box<(K, V)>>() + 1;
        let entry = std::mem::size_of::<(K, V)>();
        self.vnodes.iter().map(|vnode| vnode.entries.capacity() * 8 / 7 * slot + vnode.entries.len() * entry).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.vnodes.iter().all(|vnode| vnode.entries.is_empty())
    }
}

impl<K, V> KeyedTable<K, V>
where
    K: Routed + Eq + Hash + Ord + Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    /// Hands over the vnodes that changed since the last call, one after the other, each as entries sorted by key.
    ///
    /// # Errors
    /// [`SegmentError::Entry`]; the vnode that failed and those after it still count as changed.
    pub fn drain_dirty(&mut self, mut each: impl FnMut(u8, Entries)) -> Result<(), SegmentError> {
        for (number, vnode) in (0u8..=u8::MAX).zip(&mut self.vnodes).filter(|(_, vnode)| vnode.dirty) {
            let mut sorted: Vec<_> = vnode.entries.iter().collect();
            sorted.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            let mut entries = Entries::default();
            for entry in sorted {
                entries.push(&entry.0, &entry.1)?;
            }
            vnode.dirty = false;
            each(number, entries);
        }
        Ok(())
    }

    /// Adds the entries of a segment.
    ///
    /// # Errors
    /// [`SegmentError::Entry`] when an entry is not what this table holds.
    pub fn load(&mut self, entries: &[Entry]) -> Result<(), SegmentError> {
        for (at, entry) in entries.iter().enumerate() {
            let (key, value): (K, V) = entry.decode()?;
            let (hasher, number) = (&self.hasher, usize::from(vnode_of(key.route())));
            if at == 0 {
                self.vnodes[number].entries.reserve(entries.len(), |entry| hasher.hash_one(&entry.0));
            }
            let was_dirty = self.vnodes[number].dirty;
            self.insert(key, value);
            self.vnodes[number].dirty = was_dirty;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Deserialize;
    use sightline_schemas::FeedId;

    use super::*;
    use crate::epoch::Epoch;
    use crate::state::segment::{self, SegmentMeta};

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
    struct Key(u32);

    impl Routed for Key {
        fn route(&self) -> u64 {
            u64::from(self.0) << 56
        }
    }

    /// Through files and back.
    fn store<V: Serialize + DeserializeOwned>(table: &mut KeyedTable<Key, V>, into: &mut KeyedTable<Key, V>) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let mut vnodes = Vec::new();
        table
            .drain_dirty(|vnode, entries| {
                let meta = SegmentMeta { table: 1, vnode, epoch: Epoch(1) };
                segment::write(directory.path(), &meta, &entries).unwrap();
                into.load(&segment::read(directory.path(), &meta).unwrap()).unwrap();
                vnodes.push(vnode);
            })
            .unwrap();
        vnodes
    }

    proptest! {
        #[test]
        fn a_table_is_a_map_and_survives_its_segments(changes in proptest::collection::vec((0u32..600, any::<Option<u16>>()), 0..300)) {
            let (mut table, mut model) = (KeyedTable::default(), BTreeMap::new());
            for (key, value) in changes {
                match value {
                    Some(value) => prop_assert_eq!(table.insert(Key(key), value), model.insert(Key(key), value)),
                    None => prop_assert_eq!(table.remove(&Key(key)), model.remove(&Key(key))),
                }
            }
            prop_assert_eq!(table.len(), model.len());
            let mut restored = KeyedTable::default();
            store(&mut table, &mut restored);
            prop_assert_eq!(restored.iter().map(|(key, value)| (*key, *value)).collect::<BTreeMap<_, _>>(), model);
        }
    }

    #[test]
    fn only_vnodes_that_changed_are_written_again() {
        let mut table: KeyedTable<Key, u8> = KeyedTable::default();
        let mut restored = KeyedTable::default();
        for key in 0..256 {
            table.insert(Key(key), 0);
        }
        assert_eq!(store(&mut table, &mut restored).len(), 256);
        assert_eq!(store(&mut table, &mut restored), [0u8; 0]);
        table.remove(&Key(9));
        table.insert(Key(300), 1);
        assert_eq!(store(&mut table, &mut KeyedTable::<Key, u8>::default()), [9, 44]);
        assert_eq!(store(&mut restored, &mut KeyedTable::<Key, u8>::default()), [0u8; 0], "what was loaded is already stored");
    }

    #[test]
    fn names_are_stored_as_words_not_as_numbers_of_this_process() {
        let mut entries = Entries::default();
        entries.push(&Key(1), &FeedId::new("a-feed-with-a-name").unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let meta = SegmentMeta { table: 1, vnode: 1, epoch: Epoch(1) };
        segment::write(directory.path(), &meta, &entries).unwrap();
        let bytes = std::fs::read(directory.path().join(meta.file_name())).unwrap();
        assert!(bytes.windows(18).any(|word| word == b"a-feed-with-a-name"));
    }
}
