//! Keyed state in memory, in 256 vnodes.
use std::hash::Hash;

use hashbrown::DefaultHashBuilder;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::segment::{Entries, Segment, SegmentError, SegmentMeta};
use super::vnode::Vnode;

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
#[derive(Debug)]
pub struct KeyedTable<K, V> {
    vnodes: Vec<Vnode<K, V>>,
    /// Keyed anew in each process, for identifiers come from outside.
    hasher: DefaultHashBuilder,
}

impl<K, V> Default for KeyedTable<K, V> {
    fn default() -> Self {
        Self { vnodes: (0..VNODES).map(|_| Vnode::default()).collect(), hasher: DefaultHashBuilder::default() }
    }
}

impl<K: Routed + Eq + Hash + Ord + Clone, V> KeyedTable<K, V> {
    fn vnode(&mut self, key: &K) -> (&mut Vnode<K, V>, &DefaultHashBuilder) {
        (&mut self.vnodes[usize::from(vnode_of(key.route()))], &self.hasher)
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.vnodes[usize::from(vnode_of(key.route()))].get(key, &self.hasher)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let (vnode, hasher) = self.vnode(key);
        vnode.get_mut(key, hasher)
    }

    /// The value of a key, made if it is not there.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let (vnode, hasher) = self.vnode(&key);
        vnode.get_or_default(key, hasher)
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Sets the value of a key; returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (vnode, hasher) = self.vnode(&key);
        if let Some(known) = vnode.get_mut(&key, hasher) {
            return Some(std::mem::replace(known, value));
        }
        vnode.add(key, value, hasher);
        None
    }

    /// Removes a key; returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let (vnode, hasher) = self.vnode(key);
        vnode.remove(key, hasher)
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, keep: impl Fn(&K, &V) -> bool) {
        let gone: Vec<K> = self.iter().filter(|(key, value)| !keep(key, value)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.vnodes.iter().flat_map(Vnode::iter)
    }

    /// The entries of a vnode, in no order.
    pub fn iter_vnode(&self, vnode: u8) -> impl Iterator<Item = (&K, &V)> {
        self.vnodes[usize::from(vnode)].iter()
    }

    /// How many entries a vnode has.
    pub fn len_of(&self, vnode: u8) -> usize {
        self.vnodes[usize::from(vnode)].len()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.vnodes.iter().map(Vnode::len).sum()
    }

    /// About how many bytes the table's own allocations take; what keys and values point to is not in it.
    pub fn bytes(&self) -> usize {
        self.vnodes.iter().map(Vnode::bytes).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, V> KeyedTable<K, V>
where
    K: Routed + Eq + Hash + Ord + Clone + Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
{
    /// Hands over what changed since the last call, a vnode after the other: its entries sorted by key, and whether they are all of it or what
    /// changed since that was handed over.
    ///
    /// # Errors
    /// [`SegmentError::Entry`]; the vnode that failed and those after it still count as changed.
    pub fn drain_dirty(&mut self, mut each: impl FnMut(u8, Entries, bool)) -> Result<(), SegmentError> {
        for (number, vnode) in (0u8..=u8::MAX).zip(&mut self.vnodes) {
            if let Some((entries, whole)) = vnode.drain(&self.hasher)? {
                each(number, entries, whole);
            }
        }
        Ok(())
    }

    /// Takes what a segment says; of a vnode's two, the whole one first.
    ///
    /// # Errors
    /// [`SegmentError::Entry`] when an entry is not what this table holds.
    pub fn load(&mut self, meta: &SegmentMeta, segment: &Segment) -> Result<(), SegmentError> {
        self.vnodes[usize::from(meta.vnode)].load(segment, meta.whole, &self.hasher)
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
    use crate::state::chains::Chains;
    use crate::state::segment::{self, SegmentMeta};

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
    struct Key(u32);

    impl Routed for Key {
        fn route(&self) -> u64 {
            u64::from(self.0) << 56
        }
    }

    /// Through files and back, into a table that has what was stored before; returns what was written, and whether it was all of the vnode.
    fn store<V: Serialize + DeserializeOwned>(table: &mut KeyedTable<Key, V>, into: &mut KeyedTable<Key, V>) -> Vec<(u8, bool)> {
        let directory = tempfile::tempdir().unwrap();
        let mut vnodes = Vec::new();
        table
            .drain_dirty(|vnode, entries, whole| {
                let meta = SegmentMeta { table: 1, vnode, epoch: Epoch(1), whole };
                segment::write(directory.path(), &meta, &entries).unwrap();
                into.load(&meta, &segment::read(directory.path(), &meta).unwrap()).unwrap();
                vnodes.push((vnode, whole));
            })
            .unwrap();
        vnodes
    }

    fn content(table: &KeyedTable<Key, u16>) -> BTreeMap<Key, u16> {
        table.iter().map(|(key, value)| (*key, *value)).collect()
    }

    proptest! {
        #[test]
        fn a_table_is_a_map_and_its_last_whole_segment_and_the_changes_after_it_are_the_table(
            snapshots in proptest::collection::vec(proptest::collection::vec((0u32..40, any::<Option<u16>>()), 0..30), 1..8),
            restarts in any::<u8>(),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let (mut table, mut model, mut chains) = (KeyedTable::default(), BTreeMap::new(), Chains::default());
            for (at, changes) in snapshots.into_iter().enumerate() {
                for (key, value) in changes {
                    // All in one vnode, so that it holds enough for changes to be worth a segment.
                    let key = Key(key << 8);
                    match value {
                        Some(value) => prop_assert_eq!(table.insert(key, value), model.insert(key, value)),
                        None => prop_assert_eq!(table.remove(&key), model.remove(&key)),
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                table.drain_dirty(|vnode, entries, whole| {
                    let meta = SegmentMeta { table: 1, vnode, epoch: Epoch(at as u64), whole };
                    segment::write(directory.path(), &meta, &entries).unwrap();
                    chains.take(meta);
                }).unwrap();
                let mut restored = KeyedTable::default();
                for meta in chains.all() {
                    restored.load(&meta, &segment::read(directory.path(), &meta).unwrap()).unwrap();
                }
                prop_assert_eq!(&content(&restored), &model);
                if restarts >> at & 1 == 1 {
                    table = restored;
                }
            }
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
        assert_eq!(store(&mut table, &mut restored), []);
        table.remove(&Key(9));
        table.insert(Key(300), 1);
        assert_eq!(store(&mut table, &mut KeyedTable::<Key, u8>::default()), [(9, true), (44, true)]);
        assert_eq!(store(&mut restored, &mut KeyedTable::<Key, u8>::default()), [], "what was loaded is already stored");
    }

    #[test]
    fn a_few_changes_in_a_large_vnode_are_written_alone_and_now_and_then_all_of_it() {
        let (mut table, mut restored) = (KeyedTable::default(), KeyedTable::default());
        let mut written = 0;
        for key in 0..1_000 {
            table.insert(Key(key << 8), 0);
        }
        let wholes = (0u16..200).filter(|turn| {
            table.insert(Key(u32::from(*turn) << 8), *turn);
            let mut whole = false;
            table.drain_dirty(|_, entries, all| (written, whole) = (written + entries.len(), all)).unwrap();
            whole
        });
        assert_eq!(wholes.collect::<Vec<_>>(), [0, 45, 90, 135, 180], "45 times 46 halves is a thousand");
        assert_eq!(written, 5 * 1_000 + 4 * 44 * 45 / 2 + 19 * 20 / 2);
        assert_eq!(store(&mut table, &mut restored), []);
    }

    #[test]
    fn a_table_that_churns_between_two_snapshots_does_not_grow() {
        let mut table = KeyedTable::default();
        for key in 0..100 {
            table.insert(Key(key << 8), 0u16);
        }
        store(&mut table, &mut KeyedTable::default());
        let before = table.bytes();
        for key in 100..100_000 {
            table.insert(Key(key << 8), 0);
            table.remove(&Key((key - 100) << 8));
        }
        assert!(table.bytes() < 4 * before, "{before} bytes became {}", table.bytes());
    }

    #[test]
    fn names_are_stored_as_words_not_as_numbers_of_this_process() {
        let mut entries = Entries::default();
        entries.push(&Key(1), Some(&FeedId::new("a-feed-with-a-name").unwrap())).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let meta = SegmentMeta { table: 1, vnode: 1, epoch: Epoch(1), whole: true };
        segment::write(directory.path(), &meta, &entries).unwrap();
        let bytes = std::fs::read(directory.path().join(meta.file_name())).unwrap();
        assert!(bytes.windows(18).any(|word| word == b"a-feed-with-a-name"));
    }
}
