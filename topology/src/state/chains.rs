//! Which segments hold a vnode of a table: the newest that is all of it, and the newest of what changed since.
use std::collections::BTreeMap;

use super::segment::SegmentMeta;

/// Table and vnode.
type Place = (u8, u8);

/// The newest segments of every place. It does not matter in which order they are told.
#[derive(Debug, Default)]
pub(super) struct Chains {
    whole: BTreeMap<Place, SegmentMeta>,
    since: BTreeMap<Place, SegmentMeta>,
}

impl Chains {
    /// Takes a segment, unless a newer one overtook it.
    pub(super) fn take(&mut self, meta: SegmentMeta) {
        let place = (meta.table, meta.vnode);
        let known = if meta.whole { &mut self.whole } else { &mut self.since };
        if known.get(&place).is_none_or(|known| known.epoch < meta.epoch) {
            known.insert(place, meta);
        }
        // What changed before a vnode was written whole is in that.
        if let (Some(whole), Some(since)) = (self.whole.get(&place), self.since.get(&place))
            && since.epoch < whole.epoch
        {
            self.since.remove(&place);
        }
    }

    /// All of them, sorted.
    pub(super) fn all(&self) -> Vec<SegmentMeta> {
        let mut all: Vec<_> = self.whole.values().chain(self.since.values()).cloned().collect();
        all.sort_unstable();
        all
    }

    /// Whether a manifest would name it.
    pub(super) fn has(&self, meta: &SegmentMeta) -> bool {
        let known = if meta.whole { &self.whole } else { &self.since };
        known.get(&(meta.table, meta.vnode)) == Some(meta)
    }
}

impl Extend<SegmentMeta> for Chains {
    fn extend<I: IntoIterator<Item = SegmentMeta>>(&mut self, metas: I) {
        metas.into_iter().for_each(|meta| self.take(meta));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::Epoch;

    #[test]
    fn a_place_has_its_last_whole_segment_and_the_last_changes_after_it_whatever_the_order() {
        let meta = |epoch, whole| SegmentMeta { table: 1, vnode: 7, epoch: Epoch(epoch), whole };
        let metas = [meta(1, true), meta(2, false), meta(3, true), meta(4, false), meta(5, false)];
        for turn in 0..metas.len() {
            let mut turned = metas.clone();
            turned.rotate_left(turn);
            let mut chains = Chains::default();
            chains.extend(turned);
            assert_eq!(chains.all(), [meta(3, true), meta(5, false)]);
            assert!(chains.has(&meta(5, false)) && !chains.has(&meta(4, false)) && !chains.has(&meta(1, true)));
        }
    }
}
