//! What a running service answers over HTTP.
//!
//! `/healthz` (the process is alive) and `/readyz` (it works) are for whoever watches processes, and need no token; everything else does where one is set.
mod config;
mod consistency;
mod health;
mod server;

pub use config::HttpConfig;
pub use server::{State, serve};
