//! What each lane has committed: for back-pressure, and for invariant I3.
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::epoch::Epoch;

/// Epochs committed, by lane. An epoch without output counts as committed once the one before does: a restart makes it again, and finds as little.
#[derive(Debug)]
pub struct Committed {
    lanes: Mutex<Lanes>,
    changed: Condvar,
}

#[derive(Debug)]
struct Lanes {
    epochs: Vec<Epoch>,
    failed: bool,
}

impl Committed {
    pub(super) fn new(gates: Vec<Epoch>) -> Self {
        Self { lanes: Mutex::new(Lanes { epochs: gates, failed: false }), changed: Condvar::new() }
    }

    pub(super) fn set(&self, lane: u32, epoch: Epoch) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lanes.epochs.get_mut(lane as usize) {
            *known = epoch.max(*known);
        }
        drop(lanes);
        self.changed.notify_all();
    }

    pub(super) fn fail(&self) {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).failed = true;
        self.changed.notify_all();
    }

    /// What every lane has committed.
    pub fn min(&self) -> Epoch {
        least(&self.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a lane has ended by failing.
    pub fn has_failed(&self) -> bool {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).failed
    }

    /// Waits until [`Committed::min`] is past `epoch`, a lane fails, or time is up; returns the minimum.
    pub fn wait_past(&self, epoch: Epoch, timeout: Duration) -> Epoch {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(lanes, timeout, |lanes| !lanes.failed && least(lanes) <= epoch);
        least(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    /// Waits until every lane has committed `epoch`. Says whether they have.
    pub fn wait_for(&self, epoch: Epoch, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        loop {
            if self.min() >= epoch {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.has_failed() {
                return false;
            }
            self.wait_past(Epoch(epoch.0.saturating_sub(1)), left);
        }
    }
}

fn least(lanes: &Lanes) -> Epoch {
    lanes.epochs.iter().copied().min().unwrap_or_default()
}
