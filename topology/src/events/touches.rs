//! Looking back: which events touched an observable, kept for a while, so that an indicator that comes later finds them, and one that goes takes
//! back what it found.
//!
//! Observables that an indicator names keep many touches, for each is a sighting that may have to be taken back; the others keep the newest few.
//! Time is that of the journal, so that all workers and every replay forget the same.
use serde::{Deserialize, Serialize};
use sightline_formats::pattern::is_compared;
use sightline_schemas::{ContentHash, Micros, ObservableKey, ObservableKind, Role};

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
    /// It has the value itself, not one below it.
    pub direct: bool,
}

impl Touch {
    /// An event that is taken in at `now`.
    pub fn new(event: ContentHash, seen: Micros, direct: bool, now: Micros) -> Self {
        Self { event, seen, arrived: minutes(now), direct }
    }
}

fn minutes(at: Micros) -> i32 {
    const MINUTE: i64 = 60_000_000;
    // Four thousand years.
    at.0.div_euclid(MINUTE).clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// The touches of an observable.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Touches {
    /// Sorted by event.
    touches: Few<Touch>,
    /// The normalised value, once an event had it itself and if values of its kind are compared with anything but themselves; else empty.
    value: Box<str>,
}

impl Touches {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Touch> {
        self.touches.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.touches.is_empty()
    }

    /// The value, where wide tests may ask for it.
    pub fn value(&self) -> Option<&str> {
        (!self.value.is_empty()).then_some(&*self.value)
    }

    /// Whether a value was kept that no remembered event has itself any more.
    fn is_below_only(&self) -> bool {
        !self.value.is_empty() && self.touches.iter().all(|touch| !touch.direct)
    }

    /// Notes the value of an observable that an event has itself.
    pub fn keep_value(&mut self, kind: ObservableKind, value: &str) {
        if self.value.is_empty() && is_compared(kind) {
            self.value = value.into();
        }
    }

    /// Whether the event is among them.
    pub fn has(&self, event: ContentHash) -> bool {
        self.place(event).is_ok()
    }

    /// Adds touches, but those of events that are there already.
    pub fn extend(&mut self, new: Vec<Touch>) {
        if let [touch] = new[..] {
            if let Err(at) = self.place(touch.event) {
                self.touches.insert(at, touch);
            }
            return;
        }
        // One by one, each would move those behind it.
        let mut all = Vec::from(std::mem::take(&mut self.touches));
        all.extend(new);
        all.sort_by_key(|touch| touch.event);
        all.dedup_by_key(|touch| touch.event);
        self.touches = all.into();
    }

    /// Keeps the newest `most`, once there are an eighth more: to find them takes a look at all.
    pub fn keep_newest(&mut self, most: usize) {
        let over = self.touches.len().saturating_sub(most);
        if most == 0 {
            self.touches = Few::default();
        } else if over > most / 8 {
            let mut by_age: Vec<_> = self.touches.iter().map(|touch| (touch.arrived, touch.seen, touch.event)).collect();
            let (_, oldest_kept, _) = by_age.select_nth_unstable(over);
            let oldest_kept = *oldest_kept;
            let mut kept = Vec::from(std::mem::take(&mut self.touches));
            kept.retain(|touch| (touch.arrived, touch.seen, touch.event) >= oldest_kept);
            // What many events touch at once needs no room for as many later on.
            kept.shrink_to(most + most / 8 + 1);
            self.touches = kept.into();
        }
    }

    fn place(&self, event: ContentHash) -> Result<usize, usize> {
        self.touches.binary_search_by_key(&event, |touch| touch.event)
    }

    fn newest(&self) -> i32 {
        self.touches.iter().map(|touch| touch.arrived).max().unwrap_or(i32::MIN)
    }
}

/// Forgets what is too old or too much, in one vnode every few epochs: which one follows from the epoch, so that the number of workers takes no part.
/// Returns the values that no remembered event has any more, where they were kept.
pub fn forget(tables: &mut Tables, epoch: Epoch, now: Micros, settings: &LookBackSettings) -> Vec<(ObservableKey, Box<str>)> {
    const EVERY: u64 = 8;
    let mut forgotten = Vec::new();
    if !epoch.0.is_multiple_of(EVERY) {
        return forgotten;
    }
    let vnode = (epoch.0 / EVERY) as u8;
    let first_kept = minutes(Micros(now.0.saturating_sub(settings.keep_ms.max(0).saturating_mul(1_000))));
    let is_old = |touches: &Touches| touches.iter().any(|touch| touch.arrived < first_kept) || touches.is_below_only();
    let old: Vec<ObservableKey> = tables.touches.iter_vnode(vnode).filter(|(_, touches)| is_old(touches)).map(|(key, _)| *key).collect();
    for key in old {
        let Some(touches) = tables.touches.get_mut(&key) else { continue };
        touches.touches.retain(|touch| touch.arrived >= first_kept);
        if touches.touches.is_empty() {
            forget_one(tables, key, &mut forgotten);
        } else if touches.is_below_only() {
            forgotten.push((key, std::mem::take(&mut touches.value)));
        }
    }
    let over = tables.touches.len_of(vnode).saturating_sub(settings.observables / VNODES);
    if over > 0 {
        // Those that no indicator names by value; first those that none names at all.
        let is_named = |key: &ObservableKey| tables.matched.contains(key);
        let keys = tables.touches.iter_vnode(vnode).filter(|(key, _)| !is_named(key) || !is_named_by_value(tables, key));
        let mut by_age: Vec<_> = keys.map(|(key, touches)| (is_named(key), touches.newest(), *key)).collect();
        by_age.sort_unstable();
        for (_, _, key) in by_age.into_iter().take(over) {
            forget_one(tables, key, &mut forgotten);
        }
    }
    forgotten
}

fn is_named_by_value(tables: &Tables, key: &ObservableKey) -> bool {
    tables.index.get(key).is_some_and(|entry| entry.holders.iter().any(|(_, role, _)| role == Role::Pattern))
}

fn forget_one(tables: &mut Tables, key: ObservableKey, forgotten: &mut Vec<(ObservableKey, Box<str>)>) {
    let value = tables.touches.remove(&key).map(|touches| touches.value).filter(|value| !value.is_empty());
    let was_named = tables.matched.remove(&key).is_some();
    forgotten.extend(value.filter(|_| was_named).map(|value| (key, value)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(event: u64, minute: i64) -> Touch {
        Touch::new(ContentHash([event, 0]), Micros(0), true, Micros(minute * 60_000_000))
    }

    #[test]
    fn the_newest_are_kept_and_an_event_counts_once() {
        let mut touches = Touches::default();
        touches.extend(vec![touch(7, 1)]);
        touches.extend(vec![touch(3, 5), touch(7, 9), touch(1, 2)]);
        touches.extend(vec![touch(9, 3)]);
        touches.extend(vec![touch(9, 4)]);
        assert_eq!(touches.iter().map(|touch| touch.event.0[0]).collect::<Vec<_>>(), [1, 3, 7, 9]);
        touches.keep_newest(2);
        assert_eq!(touches.iter().map(|touch| touch.event.0[0]).collect::<Vec<_>>(), [3, 9], "7 came at minute 1");
        touches.keep_newest(2);
        assert!(touches.has(ContentHash([9, 0])) && !touches.has(ContentHash([7, 0])));
    }

    #[test]
    fn a_row_of_one_touch_is_72_bytes_and_the_value() {
        assert_eq!((size_of::<Touch>(), size_of::<(ObservableKey, Touches)>()), (32, 72));
    }
}
