//! Compares a store with the output topics: what is missing, what is too much, what differs; and mends it.
//!
//! [`view`] reads the topics as compaction would leave them; [`compare`] holds a store against it; [`report`] is what that found; [`repair`] puts it right.
pub mod compare;
pub mod repair;
pub mod report;
pub mod view;

pub use compare::verify;
pub use repair::{Repaired, repair};
pub use report::{Report, TypeReport, VerifyError};
pub use view::Outputs;
