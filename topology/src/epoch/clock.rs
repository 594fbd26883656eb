//! The wall clock, read in one place and journalled.
use std::time::{SystemTime, UNIX_EPOCH};

use sightline_schemas::Micros;

/// Where an epoch's wall time comes from.
pub trait Clock: Send {
    /// Now.
    fn now(&mut self) -> Micros;
}

/// The system's clock, held back when it jumps backwards: journalled time never decreases.
#[derive(Debug, Default)]
pub struct SystemClock {
    last: Micros,
}

impl SystemClock {
    /// A clock that does not show less than `last`.
    pub fn after(last: Micros) -> Self {
        Self { last }
    }
}

impl Clock for SystemClock {
    fn now(&mut self) -> Micros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last = self.last.max(Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)));
        self.last
    }
}
