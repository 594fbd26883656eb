//! What each lane has committed: for back-pressure, and for invariant I3.
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::epoch::Epoch;

/// Two marks a lane, both only rising.
///
/// *Done*: every epoch up to it is out, or has no output for this lane. Back-pressure goes by it.
/// *Durable*: the newest progress record, which is what a restart finds. It is behind *done* while epochs bring a lane nothing, for a transaction
/// each heartbeat would be waste. A snapshot goes by *durable* (I3): one taken by *done* could be newer than the gate that a restart reads, and would
/// then be passed over, with the journal before it already trimmed. So a snapshot [demands](Committed::demand) its epoch and the lanes
/// write progress for it.
///
/// In a cell of several processes process 0 has the marks of all lanes, for the others tell it theirs; another process has those of its own lanes, and
/// takes the rest for done.
pub struct Committed {
    lanes: Mutex<Lanes>,
    changed: Condvar,
    /// Who else wants to know.
    told: Box<dyn Fn(Mark) + Send + Sync>,
}

/// What became of a lane, or is demanded of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// [`Committed`], *done*.
    Done(u32, Epoch),
    /// [`Committed`], *durable*.
    Durable(u32, Epoch),
    /// Every lane is to make its progress durable once it has done the epoch.
    Demanded(Epoch),
}

#[derive(Debug)]
struct Lanes {
    done: Vec<Epoch>,
    durable: Vec<Epoch>,
    demanded: Epoch,
    failed: bool,
}

impl Committed {
    #[cfg(test)]
    pub(crate) fn new(gates: Vec<Epoch>) -> Self {
        Self::telling(gates, |_| {})
    }

    /// What each lane has committed; whatever changes is told to `told`.
    pub(crate) fn telling(gates: Vec<Epoch>, told: impl Fn(Mark) + Send + Sync + 'static) -> Self {
        Self {
            lanes: Mutex::new(Lanes { done: gates.clone(), durable: gates, demanded: Epoch(0), failed: false }),
            changed: Condvar::new(),
            told: Box::new(told),
        }
    }

    /// A poisoned lock only says that another thread panicked, which ends the process; the marks are whole either way.
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lane has nothing left to write up to `epoch`.
    pub(crate) fn set_done(&self, lane: u32, epoch: Epoch) {
        raise(&mut self.lanes().done, lane, epoch);
        self.changed.notify_all();
        (self.told)(Mark::Done(lane, epoch));
    }

    /// The lane's progress record says `epoch`.
    pub(crate) fn set_durable(&self, lane: u32, epoch: Epoch) {
        raise(&mut self.lanes().durable, lane, epoch);
        self.changed.notify_all();
        (self.told)(Mark::Durable(lane, epoch));
    }

    pub(crate) fn fail(&self) {
        self.lanes().failed = true;
        self.changed.notify_all();
    }

    /// Asks the lanes to make their progress durable once they have done `epoch`.
    pub fn demand(&self, epoch: Epoch) {
        let mut lanes = self.lanes();
        lanes.demanded = lanes.demanded.max(epoch);
        drop(lanes);
        (self.told)(Mark::Demanded(epoch));
    }

    /// What was last demanded.
    pub(super) fn demanded(&self) -> Epoch {
        self.lanes().demanded
    }

    /// What a lane has done.
    pub(super) fn done(&self, lane: u32) -> Epoch {
        self.lanes().done.get(lane as usize).copied().unwrap_or_default()
    }

    /// What every lane has done.
    pub fn min(&self) -> Epoch {
        least(&self.lanes().done)
    }

    /// What every lane has a progress record for: no manifest may be newer.
    pub fn durable(&self) -> Epoch {
        least(&self.lanes().durable)
    }

    /// Whether a lane has ended by failing.
    pub fn has_failed(&self) -> bool {
        self.lanes().failed
    }

    /// Waits until [`Committed::min`] is past `epoch`, a lane fails, or time is up; returns the minimum.
    pub fn wait_past(&self, epoch: Epoch, timeout: Duration) -> Epoch {
        let waited = self.changed.wait_timeout_while(self.lanes(), timeout, |lanes| !lanes.failed && least(&lanes.done) <= epoch);
        least(&waited.unwrap_or_else(PoisonError::into_inner).0.done)
    }

    /// Waits until every lane has done `epoch`. Says whether they have.
    pub fn wait_for(&self, epoch: Epoch, timeout: Duration) -> bool {
        self.wait_until(timeout, |lanes| least(&lanes.done) >= epoch)
    }

    /// Demands `epoch`, and waits until it is durable in every lane. Says whether it is.
    pub fn wait_durable(&self, epoch: Epoch, timeout: Duration) -> bool {
        self.demand(epoch);
        self.wait_until(timeout, |lanes| least(&lanes.durable) >= epoch)
    }

    fn wait_until(&self, timeout: Duration, reached: impl Fn(&Lanes) -> bool) -> bool {
        let until = Instant::now() + timeout;
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.lanes(), left, |lanes| !lanes.failed && !reached(lanes));
        reached(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

fn raise(marks: &mut [Epoch], lane: u32, epoch: Epoch) {
    if let Some(mark) = marks.get_mut(lane as usize) {
        *mark = epoch.max(*mark);
    }
}

fn least(marks: &[Epoch]) -> Epoch {
    marks.iter().copied().min().unwrap_or_default()
}
