//! Rows in chunks: numbered by 32 bits, never moved, without an allocation of their own.
//!
//! A vector that doubles is half empty, and copied, just when a table is largest; a box for each row costs a pointer and the allocator's rounding.

/// How large a chunk is: small enough that 256 half-empty ones do not count, a size that the allocator does not round up.
const CHUNK: usize = 16 << 10;

/// A list of rows that keep their number until they are removed.
#[derive(Debug)]
pub struct Slab<T> {
    /// All full but the last.
    chunks: Vec<Vec<Option<T>>>,
    /// Numbers of rows that were removed: taken again first.
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Rows a chunk.
    const ROWS: usize = if size_of::<Option<T>>() < CHUNK { CHUNK / size_of::<Option<T>>() } else { 1 };

    /// Adds a row; returns its number.
    pub fn insert(&mut self, row: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.chunks[at as usize / Self::ROWS][at as usize % Self::ROWS] = Some(row);
            return at;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == Self::ROWS) {
            // Only the first grows: most vnodes of a small state have few rows.
            let room = if self.chunks.is_empty() { 0 } else { Self::ROWS };
            self.chunks.push(Vec::with_capacity(room));
        }
        let last = self.chunks.len() - 1;
        let chunk = &mut self.chunks[last];
        if chunk.len() == chunk.capacity() {
            chunk.reserve_exact((chunk.len().max(2)).min(Self::ROWS - chunk.len()));
        }
        chunk.push(Some(row));
        (last * Self::ROWS + chunk.len() - 1) as u32
    }

    /// The row of that number.
    pub fn get(&self, at: u32) -> Option<&T> {
        self.chunks.get(at as usize / Self::ROWS)?.get(at as usize % Self::ROWS)?.as_ref()
    }

    /// The row of that number, to be changed.
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.chunks.get_mut(at as usize / Self::ROWS)?.get_mut(at as usize % Self::ROWS)?.as_mut()
    }

    /// Removes the row of that number; returns it.
    pub fn remove(&mut self, at: u32) -> Option<T> {
        let row = self.chunks.get_mut(at as usize / Self::ROWS)?.get_mut(at as usize % Self::ROWS)?.take()?;
        self.free.push(at);
        Some(row)
    }

    /// All rows, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..).zip(self.chunks.iter().flatten()).filter_map(|(at, row)| Some((at, row.as_ref()?)))
    }

    /// About how many bytes it takes; what rows point to is not in it.
    pub fn bytes(&self) -> usize {
        let rows: usize = self.chunks.iter().map(Vec::capacity).sum();
        rows * size_of::<Option<T>>() + self.free.capacity() * size_of::<u32>()
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, at: u32) -> &T {
        self.get(at).unwrap_or_else(|| panic!("no row has the number {at}"))
    }
}
impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        self.get_mut(at).unwrap_or_else(|| panic!("no row has the number {at}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_keeps_its_number_until_it_is_removed(changes in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..400)) {
            // Three rows a chunk.
            let (mut slab, mut model, mut count) = (Slab::<[u64; 600]>::default(), BTreeMap::new(), 0);
            for (insert, which) in changes {
                if insert || model.is_empty() {
                    count += 1;
                    prop_assert_eq!(model.insert(slab.insert([count; 600]), count), None);
                } else {
                    let at = *model.keys().nth(which.index(model.len())).unwrap();
                    prop_assert_eq!(slab.remove(at).map(|row| row[0]), model.remove(&at));
                    prop_assert!(slab.get(at).is_none());
                }
            }
            prop_assert_eq!(slab.iter().map(|(at, row)| (at, row[0])).collect::<BTreeMap<_, _>>(), model);
        }
    }

    #[test]
    fn a_chunk_is_full_before_the_next_begins() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..10_000u64).map(|row| slab.insert(row)).collect();
        assert_eq!(numbers, (0..10_000).collect::<Vec<_>>());
        assert!(slab.bytes() <= 10_000 * size_of::<Option<u64>>() + CHUNK, "{}", slab.bytes());
    }
}
