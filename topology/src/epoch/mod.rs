//! Time: epochs, their journal, and the one who forms them.
mod clock;
mod former;
mod journal;

use serde::{Deserialize, Serialize};

pub use clock::{Clock, SystemClock};
pub use former::{EpochError, EpochSettings, Formed, Former};
pub use journal::{EpochRange, Journal, JournalEntry};
pub(crate) use journal::read_all;

/// The number of an epoch: the only timestamp of the dataflow. Epoch 0 is before all input.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The one after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
