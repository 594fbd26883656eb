//! What the benches share: an engine on the embedded log, memory as the kernel counts it, rivals in Python, and turns taken with them, places in the stores.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
pub mod engine;
pub mod memory;
pub mod records;
pub mod rival;
pub mod rounds;
pub mod store;
pub mod synthetic;
