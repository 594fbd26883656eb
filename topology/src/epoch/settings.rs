//! When an epoch closes.
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When an epoch closes: on the first bound it meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EpochSettings {
    /// How long an epoch with records stays open, in milliseconds.
    pub interval_ms: u64,
    /// How many records it takes. Each input topic is sure of its equal share, whatever waits in the others.
    pub records: usize,
    /// How many bytes of keys, values and headers it takes, shared in the same way; a larger single record is an epoch's whole share.
    pub bytes: usize,
    /// How often an epoch without records is formed, in milliseconds, to drive the clock.
    pub heartbeat_ms: u64,
}

impl Default for EpochSettings {
    fn default() -> Self {
        Self { interval_ms: 50, records: 20_000, bytes: 16 << 20, heartbeat_ms: 1_000 }
    }
}

impl EpochSettings {
    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }

    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }
}
