//! When a snapshot is due.
use std::time::{Duration, Instant};

use crate::epoch::JournalEntry;

/// Epochs without records change nothing but the clock, so they need no snapshot for the state; but each must be replayed. After this many, ten
/// minutes of heartbeats, one is taken for their sake: it writes no segment, and lets the journal be trimmed.
const IDLE_EPOCHS: u64 = 600;

/// Says after which epochs a snapshot is taken: in replays too, for a process that is killed again and again before the end of its replay would
/// otherwise begin at the same place for ever.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    last: Instant,
    changed: bool,
    epochs: u64,
}

impl Pace {
    /// At most one snapshot in `interval`, from now on.
    pub fn new(interval: Duration) -> Self {
        Self { interval, last: Instant::now(), changed: false, epochs: 0 }
    }

    /// Whether to take one after this epoch; the caller then does.
    pub fn is_due(&mut self, entry: &JournalEntry) -> bool {
        self.changed |= entry.records > 0;
        self.epochs += 1;
        let is_due = (self.changed || self.epochs >= IDLE_EPOCHS) && self.last.elapsed() >= self.interval;
        if is_due {
            *self = Self::new(self.interval);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use sightline_schemas::Micros;

    use super::*;
    use crate::epoch::Epoch;

    fn entry(records: u64) -> JournalEntry {
        JournalEntry { records, ..JournalEntry::of(Epoch(1), Micros(0), Vec::new(), &[], false) }
    }

    #[test]
    fn a_snapshot_is_due_after_a_change_but_not_more_often_than_the_interval() {
        let mut pace = Pace::new(Duration::ZERO);
        assert_eq!([0, 3, 0, 0].map(|records| pace.is_due(&entry(records))), [false, true, false, false]);
        let mut pace = Pace::new(Duration::from_secs(3_600));
        assert!(!pace.is_due(&entry(3)));
    }

    #[test]
    fn heartbeats_alone_make_one_due_in_the_end() {
        let mut pace = Pace::new(Duration::ZERO);
        assert_eq!((1..=IDLE_EPOCHS).find(|_| pace.is_due(&entry(0))), Some(IDLE_EPOCHS));
        assert!(!pace.is_due(&entry(0)));
    }
}
