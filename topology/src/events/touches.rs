//! Looking back: which events touched an observable, kept for a while, so that an indicator that comes later finds them, and one that goes takes
//! back what it found.
//!
//! Observables that an indicator names keep many touches, for each is a sighting that may have to be taken back; the others keep the newest few.
//! Time is that of the journal, so that all workers and every replay forget the same.
use serde::{Deserialize, Serialize};
use sightline_schemas::{ContentHash, Micros, ObservableKey};

use crate::epoch::Epoch;
use crate::settings::LookBackSettings;
use crate::state::few::Few;
use crate::state::table::VNODES;
use crate::tables::Tables;

/// An event touched an observable. 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Touch {
    /// The event's identifier.
    pub event: ContentHash,
    /// The event's own time.
    pub seen: Micros,
    /// When it was taken in, in minutes of journalled time.
    arrived: i32,
}

impl Touch {
    /// An event that is taken in at `now`.
    pub fn new(event: ContentHash, seen: Micros, now: Micros) -> Self {
        Self { event, seen, arrived: minutes(now) }
    }
}

fn minutes(at: Micros) -> i32 {
    const MINUTE: i64 = 60_000_000;
    // Four thousand years.
    at.0.div_euclid(MINUTE).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// The touches of an observable, sorted by event.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Touches(Few<Touch>);

impl Touches {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Touch> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the event is among them.
    pub fn has(&self, event: ContentHash) -> bool {
        self.place(event).is_ok()
    }

    /// Adds a touch, unless it is of an event that is there already.
    pub fn insert(&mut self, touch: Touch) {
        if let Err(at) = self.place(touch.event) {
            self.0.insert(at, touch);
        }
    }

    /// Keeps the newest `most`, once there are an eighth more: to find them takes a look at all.
    pub fn keep_newest(&mut self, most: usize) {
        let over = self.0.len().saturating_sub(most);
        if most == 0 {
            self.0 = Few::default();
        } else if over > most / 8 {
            let mut by_age: Vec<_> = self.0.iter().map(|touch| (touch.arrived, touch.seen, touch.event)).collect();
            let (_, oldest_kept, _) = by_age.select_nth_unstable(over);
            let oldest_kept = *oldest_kept;
            self.0.retain(|touch| (touch.arrived, touch.seen, touch.event) >= oldest_kept);
        }
    }

    fn place(&self, event: ContentHash) -> Result<usize, usize> {
        self.0.binary_search_by_key(&event, |touch| touch.event)
    }

    fn newest(&self) -> i32 {
        self.0.iter().map(|touch| touch.arrived).max().unwrap_or(i32::MIN)
    }
}

/// Forgets what is too old or too much, in one vnode every few epochs: which one follows from the epoch, so that the number of workers takes no part.
pub fn forget(tables: &mut Tables, epoch: Epoch, now: Micros, settings: &LookBackSettings) {
    const EVERY: u64 = 8;
    if !epoch.0.is_multiple_of(EVERY) {
        return;
    }
    let vnode = (epoch.0 / EVERY) as u8;
    let first_kept = minutes(Micros(now.0.saturating_sub(settings.keep_ms.max(0).saturating_mul(1_000))));
    let is_old = |touches: &Touches| touches.iter().any(|touch| touch.arrived < first_kept);
    let old: Vec<ObservableKey> = tables.touches.iter_vnode(vnode).filter(|(_, touches)| is_old(touches)).map(|(key, _)| *key).collect();
    for key in old {
        let Some(touches) = tables.touches.get_mut(&key) else { continue };
        touches.0.retain(|touch| touch.arrived >= first_kept);
        if touches.0.is_empty() {
            tables.touches.remove(&key);
            tables.matched.remove(&key);
        }
    }
    let over = tables.touches.len_of(vnode).saturating_sub(settings.observables / VNODES);
    if over > 0 {
        let unnamed = tables.touches.iter_vnode(vnode).filter(|(key, _)| !tables.matched.contains(key));
        let mut by_age: Vec<_> = unnamed.map(|(key, touches)| (touches.newest(), *key)).collect();
        by_age.sort_unstable();
        for (_, key) in by_age.into_iter().take(over) {
            tables.touches.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(event: u64, minute: i64) -> Touch {
        Touch::new(ContentHash([event, 0]), Micros(0), Micros(minute * 60_000_000))
    }

    #[test]
    fn the_newest_are_kept_and_an_event_counts_once() {
        let mut touches = Touches::default();
        for (event, minute) in [(7, 1), (3, 5), (7, 9), (1, 2), (9, 3)] {
            touches.insert(touch(event, minute));
        }
        assert_eq!(touches.iter().map(|touch| touch.event.0[0]).collect::<Vec<_>>(), [1, 3, 7, 9]);
        touches.keep_newest(2);
        assert_eq!(touches.iter().map(|touch| touch.event.0[0]).collect::<Vec<_>>(), [3, 9], "7 came at minute 1");
        touches.keep_newest(2);
        assert!(touches.has(ContentHash([9, 0])) && !touches.has(ContentHash([7, 0])));
    }

    #[test]
    fn a_row_of_one_touch_is_64_bytes() {
        assert_eq!((size_of::<Touch>(), size_of::<(ObservableKey, Touches)>()), (32, 64));
    }
}
