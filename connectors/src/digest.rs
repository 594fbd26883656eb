//! Digests of records that add up, so that a store and the topics can be compared by a few numbers.
//!
//! The keys of a type fall into 256 **slots** by their hash. A record's digest is 63 bits: the lowest eight are its slot, the others a hash of key, value
//! and epoch as they stand in the topic; nothing is decoded for it. A store that keeps the digest beside each row can sum it up by slot, with whatever it has for sums;
//! where the sums are those of the topics, the store holds the same records. That a row is still what was written with its digest is the store's own affair:
//! it tells the slots in which it is in doubt.
use std::collections::BTreeSet;

use sightline_schemas::ContentHash;
use sightline_schemas::avro::RecordType;

/// A part of the keys of a type.
pub type Slot = u8;
/// How many slots there are.
pub const SLOTS: usize = 256;

/// The slot of a key, `tenant:id`.
pub fn slot_of(key: &[u8]) -> Slot {
    slot(ContentHash::of(key))
}

fn slot(key: ContentHash) -> Slot {
    key.0[0] as u8
}

/// The digest of one record, with its epoch: that adds up beside it, so that a row whose epoch somebody raised, and which no newer record would replace, is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest {
    /// Hash and slot.
    pub bits: u64,
    /// Epoch; 0 of an event.
    pub epoch: u64,
}

impl Digest {
    /// The digest of a record whose key has the hash `key`. An event that comes again is the same event, whatever its epoch: a data stream keeps the first.
    pub fn of(ty: RecordType, key: ContentHash, value: &[u8], epoch: u64) -> Self {
        let epoch = if ty == RecordType::Event { 0 } else { epoch };
        let hash = ContentHash::of_parts([&key.0[0].to_le_bytes()[..], &key.0[1].to_le_bytes(), &epoch.to_le_bytes(), value]);
        // Never negative to a store whose numbers have a sign.
        Self { bits: (hash.0[0] << 8 | u64::from(slot(key))) & i64::MAX.cast_unsigned(), epoch }
    }

    /// The slot of its key.
    pub fn slot(self) -> Slot {
        self.bits as u8
    }

    /// As stores with 64 bits and a sign keep it.
    pub fn signed(self) -> i64 {
        self.bits.cast_signed()
    }
}

/// The records of a slot, together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum {
    /// How many.
    pub count: u64,
    /// Their digests added up, modulo 2⁶⁴.
    pub digests: u64,
    /// Their epochs added up, likewise.
    pub epochs: u64,
}

impl Sum {
    /// One record more.
    pub fn add(&mut self, digest: Digest) {
        self.count += 1;
        self.digests = self.digests.wrapping_add(digest.bits);
        self.epochs = self.epochs.wrapping_add(digest.epoch);
    }

    /// One record less.
    pub fn remove(&mut self, digest: Digest) {
        self.count = self.count.wrapping_sub(1);
        self.digests = self.digests.wrapping_sub(digest.bits);
        self.epochs = self.epochs.wrapping_sub(digest.epoch);
    }
}

/// The records of a type, by slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sums {
    /// What they add up to.
    pub slots: Box<[Sum; SLOTS]>,
    /// Slots in which rows may not be what was written with their digest: their sums say nothing.
    pub doubtful: BTreeSet<Slot>,
    /// The store cannot tell whether somebody changed a row and left its digest: the sums find what is missing, extra or of another epoch.
    pub unsealed: bool,
}

impl Default for Sums {
    fn default() -> Self {
        Self { slots: Box::new([Sum::default(); SLOTS]), doubtful: BTreeSet::new(), unsealed: false }
    }
}

impl Sums {
    /// The sum of a digest's slot.
    pub fn of(&mut self, digest: Digest) -> &mut Sum {
        &mut self.slots[usize::from(digest.slot())]
    }

    /// Adds what a part of the rows adds up to.
    pub fn merge(&mut self, part: &Self) {
        for (sum, more) in self.slots.iter_mut().zip(part.slots.iter()) {
            sum.count = sum.count.wrapping_add(more.count);
            sum.digests = sum.digests.wrapping_add(more.digests);
            sum.epochs = sum.epochs.wrapping_add(more.epochs);
        }
        self.doubtful.extend(&part.doubtful);
        self.unsealed |= part.unsealed;
    }

    /// How many records there are.
    pub fn count(&self) -> u64 {
        self.slots.iter().map(|sum| sum.count).sum()
    }

    /// The slots in which the two differ, or one is in doubt.
    pub fn differing(&self, other: &Self) -> BTreeSet<Slot> {
        let differ = (0..=Slot::MAX).filter(|slot| self.slots[usize::from(*slot)] != other.slots[usize::from(*slot)]);
        differ.chain(self.doubtful.iter().copied()).chain(other.doubtful.iter().copied()).collect()
    }

    /// Puts every slot in doubt.
    pub fn doubt_all(&mut self) {
        self.doubtful = all_slots();
    }
}

/// Every slot.
pub fn all_slots() -> BTreeSet<Slot> {
    (0..=Slot::MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: &str, value: &str, epoch: u64) -> Digest {
        Digest::of(RecordType::Entity, ContentHash::of(key.as_bytes()), value.as_bytes(), epoch)
    }

    #[test]
    fn a_digest_stays_in_the_slot_of_its_key_and_sees_value_and_epoch() {
        let held = digest("t:1", "a", 1);
        assert_eq!((held.slot(), digest("t:1", "b", 2).slot()), (slot_of(b"t:1"), slot_of(b"t:1")));
        assert!([digest("t:2", "a", 1), digest("t:1", "b", 1), digest("t:1", "a", 2)].iter().all(|other| *other != held));
    }

    #[test]
    fn sums_do_not_depend_on_order_and_a_removed_record_leaves_none_of_it() {
        let (a, b) = (digest("t:1", "a", 1), digest("t:1", "b", 2));
        let (mut one, mut other) = (Sums::default(), Sums::default());
        one.of(a).add(a);
        one.of(a).remove(a);
        one.of(b).add(b);
        other.of(b).add(b);
        assert_eq!((&one, one.count()), (&other, 1));
        other.of(b).remove(b);
        assert_eq!(one.differing(&other), BTreeSet::from([b.slot()]));
        other.of(b).add(b);
        other.doubtful.insert(9);
        assert_eq!(one.differing(&other), BTreeSet::from([9]));
    }
}
