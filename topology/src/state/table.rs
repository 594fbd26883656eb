//! Keyed state in memory, in 256 vnodes.
use std::hash::Hash;

use hashbrown::HashMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::segment::{Entry, SegmentError};

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
}

#[derive(Debug)]
struct Vnode<K, V> {
    entries: HashMap<K, V>,
    /// Changed since it was last written.
    dirty: bool,
}

impl<K, V> Default for KeyedTable<K, V> {
    fn default() -> Self {
        Self { vnodes: (0..VNODES).map(|_| Vnode { entries: HashMap::new(), dirty: false }).collect() }
    }
}

impl<K: Routed + Eq + Hash + Ord, V> KeyedTable<K, V> {
    fn vnode(&self, key: &K) -> &Vnode<K, V> {
        &self.vnodes[usize::from(vnode_of(key.route()))]
    }

    fn vnode_mut(&mut self, key: &K) -> &mut Vnode<K, V> {
        let vnode = &mut self.vnodes[usize::from(vnode_of(key.route()))];
        vnode.dirty = true;
        vnode
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.vnode(key).entries.get(key)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.vnode_mut(key).entries.get_mut(key)
    }

    /// The value of a key, made if it is not there.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.vnode_mut(&key).entries.entry(key).or_default()
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &K) -> bool {
        self.vnode(key).entries.contains_key(key)
    }

    /// Sets the value of a key; returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.vnode_mut(&key).entries.insert(key, value)
    }

    /// Removes a key; returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.vnode_mut(key).entries.remove(key)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.vnodes.iter().flat_map(|vnode| vnode.entries.iter())
    }

    /// Keeps what `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        for vnode in &mut self.vnodes {
            let before = vnode.entries.len();
            vnode.entries.retain(&mut keep);
            vnode.dirty |= vnode.entries.len() < before;
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.vnodes.iter().map(|vnode| vnode.entries.len()).sum()
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
    /// The vnodes that changed since the last call, each as entries sorted by key.
    pub fn take_dirty(&mut self) -> Vec<(u8, Vec<Entry>)> {
        let mut changed = Vec::new();
        for (number, vnode) in (0u8..=u8::MAX).zip(&mut self.vnodes) {
            if std::mem::take(&mut vnode.dirty) {
                let mut entries: Vec<_> = vnode.entries.iter().collect();
                entries.sort_unstable_by(|a, b| a.0.cmp(b.0));
                changed.push((number, entries.into_iter().filter_map(|(key, value)| Entry::encode(key, value)).collect()));
            }
        }
        changed
    }

    /// Adds the entries of a segment.
    ///
    /// # Errors
    /// [`SegmentError::Entry`] when an entry is not what this table holds.
    pub fn load(&mut self, entries: &[Entry]) -> Result<(), SegmentError> {
        for entry in entries {
            let (key, value): (K, V) = entry.decode()?;
            let vnode = usize::from(vnode_of(key.route()));
            self.vnodes[vnode].entries.insert(key, value);
        }
        Ok(())
    }
}
