//! Options of the PostgreSQL sink.
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `options` of a connector of class `postgres`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// `postgresql://user@host:port/database`; write the password as `${VAR}` or `${file:PATH}`, here or in `password`.
    pub url: String,
    /// Overrides the password of `url`.
    #[serde(default)]
    pub password: Option<String>,
    /// Schema; created when missing. Lower-case letters, digits and `_`.
    #[serde(default = "sightline")]
    pub schema: String,
    /// Encryption: `off`, or `verify` (certificate and host name are checked).
    #[serde(default)]
    pub tls: Tls,
    /// PEM file with the authorities to trust under `tls: verify`; the system's when absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Keep the table `event`, partitioned by day.
    #[serde(default = "yes")]
    pub events: bool,
    /// Seconds for a batch, or for opening, before it counts as failed.
    #[serde(default = "two_minutes")]
    pub timeout_s: u64,
}

/// Encryption of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// None: for a loopback address or a network you trust.
    #[default]
    Off,
    /// TLS 1.2 or 1.3, certificate and host name checked.
    Verify,
}

fn sightline() -> String {
    "sightline".into()
}
fn yes() -> bool {
    true
}
fn two_minutes() -> u64 {
    120
}

impl PostgresConfig {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.max(1))
    }

    /// Whether the schema's name needs no quotes: it is written into statements.
    pub(super) fn schema_is_plain(&self) -> bool {
        let mut bytes = self.schema.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && self.schema.len() <= 63
    }
}

impl fmt::Debug for PostgresConfig {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig").field("schema", &self.schema).field("tls", &self.tls).finish_non_exhaustive()
    }
}
