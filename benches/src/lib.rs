//! What the benches share: an engine on the embedded log, memory as the kernel counts it, and rivals in Python.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
pub mod engine;
pub mod memory;
pub mod rival;
