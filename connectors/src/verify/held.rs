//! The records in force of one type, in few bytes each.
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use sightline_log::Record;
use sightline_schemas::ContentHash;
use sightline_schemas::avro::RecordType;
use sightline_schemas::topic::split_key;

use super::view::text_key;
use crate::digest::{Digest, SLOTS, Sums};

/// What each key holds: 24 bytes, and what a hash table needs beside, 29 to 57 in all. Of the key's hash 64 bits are kept. Of ten million keys two have
/// the same with a chance of 3 in a million; `verify` then reads a slot that it need not have read.
#[derive(Debug)]
pub(super) struct Held {
    /// A table a slot, so that no more than one is there twice while it grows.
    slots: Vec<HashMap<u64, Digest, BuildHasherDefault<AsItIs>>>,
    pub(super) sums: Sums,
}

impl Default for Held {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| HashMap::default()).collect(), sums: Sums::default() }
    }
}

impl Held {
    /// Puts a record in the place of the one that its key had, which is returned.
    pub(super) fn put(&mut self, key: ContentHash, digest: Option<Digest>) -> Option<Digest> {
        let key = key.0[0];
        let slot = &mut self.slots[usize::from(key as u8)];
        let before = match digest {
            Some(digest) => slot.insert(key, digest),
            None => slot.remove(&key),
        };
        if let Some(before) = before {
            self.sums.of(before).remove(before);
        }
        if let Some(digest) = digest {
            self.sums.of(digest).add(digest);
        }
        before
    }
}

/// Takes a number that is a hash already. The byte that all keys of a slot share goes to where a table, which looks at the highest seven bits and at the lowest,
/// does not look.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash.rotate_right(16);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A record of a topic as far as it is held.
pub(super) struct Line {
    pub key: ContentHash,
    pub epoch: u64,
    /// None of a deletion.
    pub digest: Option<Digest>,
}

impl Line {
    /// None when its key or headers are not what the contract says.
    pub(super) fn of(ty: RecordType, record: &Record) -> Option<Self> {
        let epoch = record.headers.text("epoch").and_then(|epoch| epoch.parse().ok())?;
        let key = text_key(record).filter(|key| split_key(key).is_some())?;
        let key = ContentHash::of(key.as_bytes());
        Some(Self { key, epoch, digest: record.value.as_ref().map(|value| Digest::of(ty, key, value, epoch)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the tables take: a bucket is an entry and a byte, and seven of eight may be used before there are twice as many.
    fn bytes(held: &Held) -> usize {
        let buckets = held.slots.iter().map(|slot| (slot.capacity() * 8 / 7).next_power_of_two());
        buckets.map(|buckets| buckets * (size_of::<(u64, Digest)>() + 1)).sum()
    }

    #[test]
    fn a_record_takes_no_more_than_sixty_bytes_however_many_there_are() {
        let mut held = Held::default();
        for n in 0..300_000_u64 {
            let key = ContentHash::of(&n.to_le_bytes());
            held.put(key, Some(Digest { bits: key.0[0], epoch: 1 }));
            // Slots double one by one.
            if n >= 50_000 && n % 997 == 0 {
                assert!(bytes(&held) as u64 <= 60 * (n + 1), "{} bytes for {n} records", bytes(&held));
            }
        }
        assert_eq!(held.sums.count(), 300_000);
    }

    #[test]
    fn what_is_put_in_the_place_of_a_record_gives_back_what_was_there() {
        let (mut held, key) = (Held::default(), ContentHash::of(b"t:1"));
        let digest = |epoch| Digest { bits: key.0[0] & 255, epoch };
        assert_eq!(held.put(key, Some(digest(1))), None);
        assert_eq!(held.put(key, Some(digest(2))), Some(digest(1)));
        assert_eq!(held.put(key, None), Some(digest(2)));
        assert_eq!((held.put(key, None), held.sums), (None, Sums::default()));
    }
}
