//! The configuration: one YAML file. Unknown keys are errors; secrets come from `${VAR}` or `${file:PATH}`.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sightline_connectors::runtime::ConnectorConfig;
use sightline_topology::settings::TopologySettings;

/// Everything that a service is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The cell: the prefix of its topics.
    #[serde(default = "default_cell")]
    pub cell: String,
    /// Kafka; one of `kafka` and `log`.
    #[serde(default)]
    pub kafka: Option<KafkaConfig>,
    /// The embedded log, in this folder.
    #[serde(default)]
    pub log: Option<PathBuf>,
    /// The schema registry; with Kafka only.
    #[serde(default)]
    pub registry: Option<RegistryConfig>,
    /// Worker threads of the dataflow.
    #[serde(default = "one")]
    pub workers: usize,
    /// Where snapshots and documents are.
    #[serde(default = "default_state")]
    pub state_dir: PathBuf,
    /// Feeds whose newest package is the whole feed.
    #[serde(default)]
    pub feeds: Vec<FeedConfig>,
    /// The dataflow.
    #[serde(default)]
    pub topology: TopologySettings,
    /// The stores.
    #[serde(default)]
    pub connectors: Vec<ConnectorConfig>,
    /// Partitions of topics that do not exist yet.
    #[serde(default = "four")]
    pub partitions: i32,
    /// Replicas of topics that do not exist yet.
    #[serde(default = "one_replica")]
    pub replication: i32,
}

/// How to reach Kafka.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port,host:port`.
    pub bootstrap: String,
    /// Properties of librdkafka (`security.protocol`, `sasl.mechanism`, …).
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}

/// How to reach the schema registry.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// The Confluent-compatible API.
    pub url: String,
    /// User, for basic authentication.
    #[serde(default)]
    pub user: Option<String>,
    /// Password.
    #[serde(default)]
    pub password: Option<String>,
}

/// A feed.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    /// Name.
    pub name: String,
    /// Tenant.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// The newest package is the whole feed.
    #[serde(default)]
    pub snapshot: bool,
}

fn default_cell() -> String {
    "soc".into()
}
fn default_state() -> PathBuf {
    "sightline-state".into()
}
fn default_tenant() -> String {
    "default".into()
}
fn one() -> usize {
    1
}
fn one_replica() -> i32 {
    1
}
fn four() -> i32 {
    4
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong, with line and key.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        Self::parse(&text)
            .with_context(|| format!("{} is not valid; `sightline validate-config {}` names every error", path.display(), path.display()))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// What is wrong, with line and key.
    pub fn parse(text: &str) -> Result<Self> {
        let config: Self = serde_yaml_ng::from_str(&substitute(text)?)?;
        if config.kafka.is_some() == config.log.is_some() {
            bail!("one of `kafka` and `log` must be given, and only one");
        }
        if config.kafka.is_some() && config.registry.is_none() {
            bail!("`kafka` needs `registry.url`");
        }
        if config.workers == 0 {
            bail!("`workers` must be at least 1");
        }
        for connector in &config.connectors {
            connector.validate().with_context(|| format!("connectors: {}", connector.name))?;
        }
        Ok(config)
    }
}

/// Puts in `${VAR}`, `${VAR:-default}` and `${file:PATH}`.
pub fn substitute(text: &str) -> Result<String> {
    let mut result = String::with_capacity(text.len());
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').with_context(|| format!("line {number}: `${{` without `}}`"))?;
            let value = if let Some(path) = name.strip_prefix("file:") {
                std::fs::read_to_string(path).with_context(|| format!("line {number}: failed to read {path}"))?.trim_end().to_owned()
            } else {
                let (name, default) = name.split_once(":-").map_or((name, None), |(name, default)| (name, Some(default)));
                match (std::env::var(name), default) {
                    (Ok(value), _) => value,
                    (Err(_), Some(default)) => default.to_owned(),
                    (Err(_), None) => bail!("line {number}: the environment has no {name}; set it, or give a default: ${{{name}:-…}}"),
                }
            };
            result.push_str(before);
            result.push_str(&value);
            rest = after;
        }
        result.push_str(rest);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn unknown_keys_and_missing_secrets_are_errors_with_their_line() {
        assert!(Config::parse("log: x\ncel: y\n").unwrap_err().to_string().contains("cel"));
        assert!(Config::parse("log: x\ncell: ${SIGHTLINE_SURELY_UNSET}\n").unwrap_err().to_string().contains("line 2"));
        assert_eq!(Config::parse("log: x\ncell: ${SIGHTLINE_SURELY_UNSET:-abc}\n").unwrap().cell, "abc");
        assert!(Config::parse("cell: a\n").is_err());
    }
}
