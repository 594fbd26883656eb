//! Options of the SQLite sink.
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `options` of a connector of class `sqlite`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqliteConfig {
    /// The database file; created when missing.
    pub path: PathBuf,
    /// Survive a power cut (an fsync a batch). Without it the file survives a crash of the process only.
    #[serde(default = "yes")]
    pub durable: bool,
}

fn yes() -> bool {
    true
}
