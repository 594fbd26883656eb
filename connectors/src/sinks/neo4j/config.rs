//! Options of the Neo4j sink.
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `options` of a connector of class `neo4j`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neo4jConfig {
    /// `bolt://host:port`, or `bolt+s://host:port` with TLS.
    pub url: String,
    /// User.
    #[serde(default = "neo4j")]
    pub user: String,
    /// Its password, as `${VAR}` or `${file:PATH}`.
    #[serde(default)]
    pub password: Option<String>,
    /// Database.
    #[serde(default = "neo4j")]
    pub database: String,
    /// Seconds for a batch, or for opening, before it counts as failed.
    #[serde(default = "five_minutes")]
    pub timeout_s: u64,
}

fn neo4j() -> String {
    "neo4j".into()
}
fn five_minutes() -> u64 {
    300
}

impl Neo4jConfig {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.max(1))
    }
}

impl fmt::Debug for Neo4jConfig {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Neo4jConfig").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}
