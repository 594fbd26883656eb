//! The wall clock, read in one place and journalled.
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use sightline_schemas::Micros;

/// Where an epoch's wall time comes from. It may jump; the former never journals less than it did before.
pub trait Clock: Send {
    /// Now.
    fn now(&self) -> Micros;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Micros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX).saturating_add(sightline_failpoints::clock_offset_micros()))
    }
}

/// A clock that shows what it was last set to; clones share it.
#[derive(Clone, Debug, Default)]
pub struct SetClock(Arc<AtomicI64>);

impl SetClock {
    /// A clock that shows `at`.
    pub fn at(at: Micros) -> Self {
        Self(Arc::new(AtomicI64::new(at.0)))
    }

    /// Sets it.
    pub fn set(&self, to: Micros) {
        self.0.store(to.0, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}
