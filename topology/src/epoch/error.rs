//! Why an epoch cannot be formed.
use sightline_log::LogError;

use super::Epoch;

/// An epoch that cannot be formed.
#[derive(Debug, thiserror::Error)]
pub enum EpochError {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The inputs no longer hold what the journal says: records were deleted, or the topic was made anew.
    #[error(
        "epoch {} cannot be replayed: the journal says {expected} records, the inputs now give {found} or other ones; \
         restore the input topics, or remove the cell's journal, progress and state together and ingest again", epoch.0
    )]
    Changed {
        /// Which.
        epoch: Epoch,
        /// As journalled.
        expected: u64,
        /// As read.
        found: u64,
    },
    /// The inputs hold the records, but do not give them.
    #[error("epoch {} cannot be replayed now: {partition} gave nothing for {seconds} s; see that the brokers serve it, then start again", epoch.0)]
    Silent {
        /// Which.
        epoch: Epoch,
        /// The partition waited for, as `topic:partition`.
        partition: String,
        /// How long.
        seconds: u64,
    },
}
