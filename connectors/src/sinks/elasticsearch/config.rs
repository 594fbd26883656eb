//! Options of the Elasticsearch sink.
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sightline_schemas::avro::RecordType;

/// `options` of a connector of class `elasticsearch`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// `http://host:port` or `https://host:port`; `user:password@` before the host is understood.
    pub url: String,
    /// User for basic authentication.
    #[serde(default)]
    pub user: Option<String>,
    /// Its password, as `${VAR}` or `${file:PATH}`.
    #[serde(default)]
    pub password: Option<String>,
    /// An encoded API key, instead of user and password.
    #[serde(default)]
    pub api_key: Option<String>,
    /// PEM file with the authority to trust for `https`; the system's when absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What the names of indices begin with: lower-case letters, digits, `-`.
    #[serde(default = "soc")]
    pub prefix: String,
    /// Primary shards of a new index.
    #[serde(default = "one")]
    pub shards: u32,
    /// Replicas of a new index.
    #[serde(default = "one")]
    pub replicas: u32,
    /// When a batch becomes visible to searches: `false` (within the index's refresh interval, a second), `wait_for`, `true` (at once, at a cost).
    #[serde(default)]
    pub refresh: Refresh,
    /// Bytes of one bulk request, 64 KiB to 64 MiB. A single larger document is a request of its own.
    #[serde(default = "eight_mebibytes")]
    pub bulk_bytes: usize,
    /// Seconds for one request.
    #[serde(default = "sixty")]
    pub timeout_s: u64,
}

/// When written documents become visible to searches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Refresh {
    /// With the index's own refresh.
    #[default]
    #[serde(rename = "false")]
    Later,
    /// A batch waits for the index's own refresh.
    #[serde(rename = "wait_for")]
    Wait,
    /// A batch forces a refresh.
    #[serde(rename = "true")]
    Now,
}

impl Refresh {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Later => "false",
            Self::Wait => "wait_for",
            Self::Now => "true",
        }
    }
}

fn soc() -> String {
    "soc".into()
}
fn one() -> u32 {
    1
}
fn eight_mebibytes() -> usize {
    8 << 20
}
fn sixty() -> u64 {
    60
}

impl ElasticsearchConfig {
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.max(1))
    }

    pub(super) fn bulk_bytes(&self) -> usize {
        self.bulk_bytes.clamp(64 << 10, 64 << 20)
    }

    /// Whether the prefix can begin the name of an index and stand in a path.
    pub(super) fn prefix_is_plain(&self) -> bool {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=64).contains(&self.prefix.len()) && self.prefix.bytes().all(plain) && !self.prefix.starts_with('-')
    }

    /// The alias, or for events the data stream, of a record type.
    pub(super) fn alias(&self, ty: RecordType) -> String {
        format!("{}-{}", self.prefix, ty.as_str())
    }

    pub(super) fn offsets(&self) -> String {
        format!("{}-sink-offsets", self.prefix)
    }
}

impl fmt::Debug for ElasticsearchConfig {
    /// Without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ElasticsearchConfig").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
