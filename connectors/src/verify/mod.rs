//! Compares a store with the output topics: what is missing, what is too much, what differs; and mends it.
//!
//! [`view`] reads the topics as compaction would leave them, once for all stores; [`compare`] holds a store against it: the [digests](crate::digest) of
//! slots first, records only where these differ; [`report`] is what that found; [`repair`] puts it right. [`held`] is what the topics come to in memory.
//! [`follow`] keeps the topics' side up to date in a process that is asked again and again.
pub mod compare;
pub mod follow;
mod held;
pub mod repair;
pub mod report;
pub mod view;

pub use compare::verify;
pub use follow::Follower;
pub use repair::{Repaired, repair};
pub use report::{Report, TypeReport, VerifyError};
pub use view::{Outputs, View};
