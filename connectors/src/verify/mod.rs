//! Compares a store with the output topics: what is missing, what is too much, what differs.
//!
//! [`view`] reads the topics as compaction would leave them; [`compare`] holds a store against it.
pub mod compare;
pub mod view;

pub use compare::{Report, TypeReport, VerifyError, verify};
