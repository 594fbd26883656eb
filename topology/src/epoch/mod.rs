//! Time: epochs, their journal, and the one who forms them.
//!
//! [`Former`] closes an epoch, [`Journal`] commits what went into it, and only then do the workers see it; a replay asks the former for the same
//! epoch again. `docs/journal.md` draws the record.
mod clock;
mod entry;
mod error;
mod former;
mod journal;
mod settings;
pub(crate) mod transaction;
pub(crate) mod waiting;

use serde::{Deserialize, Serialize};

pub use clock::{Clock, SetClock, SystemClock};
pub use entry::{EpochRange, JournalEntry};
pub use error::EpochError;
pub use former::{Formed, Former};
pub use journal::{Journal, read, trim};
pub(crate) use journal::{read_all, writer_id};
pub use settings::EpochSettings;

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
