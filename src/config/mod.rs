//! The configuration: one YAML file, with overlays by environment. Unknown keys are errors; secrets come from `${VAR}` or `${file:PATH}`.
mod check;
mod layers;
mod secrets;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sightline_connectors::runtime::ConnectorConfig;
use sightline_topology::cluster::TlsFiles;
use sightline_topology::settings::TopologySettings;

use crate::http::HttpConfig;
use crate::sources;

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
    /// The processes of the cell, where there are several.
    #[serde(default)]
    pub cluster: ClusterConfig,
    /// Where snapshots and documents are; the same for all processes of the cell.
    #[serde(default = "default_state")]
    pub state_dir: PathBuf,
    /// Where snapshots are copied to.
    #[serde(default)]
    pub state: StateConfig,
    /// Feeds whose newest package is the whole feed.
    #[serde(default)]
    pub feeds: Vec<FeedConfig>,
    /// Files and folders of sources of events, before the bundled ones.
    #[serde(default)]
    pub sources: Vec<PathBuf>,
    /// The dataflow.
    #[serde(default)]
    pub topology: TopologySettings,
    /// The stores.
    #[serde(default)]
    pub connectors: Vec<ConnectorConfig>,
    /// What a running service answers over HTTP.
    #[serde(default)]
    pub http: HttpConfig,
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

/// What the processes of a cell have in common (`run --processes`).
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// What they know each other by: `${VAR}` or `${file:PATH}`. Not needed where all of them are on one machine.
    pub secret: String,
    /// What their connections are encrypted with. Not needed where all of them are on one machine.
    pub tls: Option<TlsFiles>,
    /// They may be on several machines without TLS: nobody else can read the network between them.
    pub insecure: bool,
}

/// Where snapshots are copied to, so that the loss of `state_dir` costs nothing.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StateConfig {
    /// `s3://bucket/prefix`, or a directory.
    #[serde(default)]
    pub store: Option<String>,
    /// Options of S3 (`aws_endpoint`, `aws_region`, `aws_access_key_id`, `aws_secret_access_key`, `allow_http`, …), over the variables `AWS_*`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
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

/// All that is wrong with a file, a line each: `file:line: path: what`.
#[derive(Debug)]
pub struct Faults(Vec<String>);

impl std::fmt::Display for Faults {
    /// The first, and how many more there are.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0[..] {
            [] => Ok(()),
            [only] => f.write_str(only),
            [first, rest @ ..] => write!(f, "{first} (and {} more; `sightline validate-config` names them all)", rest.len()),
        }
    }
}
impl std::error::Error for Faults {}

impl Config {
    /// Reads a file, with the overlay of an environment and the variables of this process over it.
    ///
    /// # Errors
    /// [`Faults`], or that the file cannot be read.
    pub fn read(path: &Path, environment: Option<&str>) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        Ok(layered(&path.display().to_string(), &text, environment, std::env::vars())?)
    }

    /// Reads a text as it is.
    ///
    /// # Errors
    /// [`Faults`].
    pub fn parse(text: &str) -> Result<Self> {
        Ok(layered("configuration", text, None, std::iter::empty())?)
    }

    /// Every fault of a file, in each of its environments.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn check(path: &Path, environment: Option<&str>) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        let name = path.display().to_string();
        let overlays = yaml::parse(&text).ok().and_then(|mut document| layers::environments(&mut document.value).ok()).unwrap_or_default();
        let environments: Vec<Option<&str>> = if environment.is_some() {
            vec![environment]
        } else {
            std::iter::once(None).chain(overlays.keys().map(|name| Some(name.as_str()))).collect()
        };
        let mut lines: Vec<String> = Vec::new();
        for environment in environments {
            if let Err(Faults(found)) = layered(&name, &text, environment, std::env::vars()) {
                lines.extend(found.into_iter().filter(|line| !lines.contains(line)).collect::<Vec<_>>());
            }
        }
        Ok(lines)
    }

    /// What no single key is to blame for.
    fn contradictions(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut blame = |path: &str, message: &str| found.push((path.to_owned(), message.to_owned()));
        match (&self.kafka, &self.log, &self.registry) {
            (Some(_), Some(_), _) => blame("log", "`kafka` and `log` exclude each other"),
            (None, None, _) => blame("", "one of `kafka` and `log` must be given"),
            (Some(_), None, None) => blame("kafka", "`kafka` needs `registry.url`"),
            _ => {}
        }
        if self.workers == 0 {
            blame("workers", "must be at least 1");
        }
        self.http.contradictions().into_iter().for_each(|(path, message)| blame(path, message));
        for (at, connector) in self.connectors.iter().enumerate() {
            if let Err(error) = sightline_connectors::runtime::registry::build(connector) {
                blame(&format!("connectors[{at}]"), &error.to_string());
            }
            if self.connectors[..at].iter().any(|other| other.name == connector.name) {
                blame(&format!("connectors[{at}].name"), "another connector has this name; give each its own");
            }
        }
        found
    }
}

/// Reads a file that is a part of a configuration by itself: no overlays, no variables, no secrets.
///
/// # Errors
/// [`Faults`].
pub fn part<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Faults> {
    let yaml::Document { value, lines } = yaml::parse(text).map_err(|error| Faults(vec![format!("{name}: {error:#}")]))?;
    let (read, faults) = check::read(value, Vec::new());
    match read {
        Some(read) if faults.is_empty() => Ok(read),
        _ => Err(Faults(faults.into_iter().map(|fault| told(name, &lines, &[], None, &fault.path, &fault.message)).collect())),
    }
}

/// Text, overlay, variables, secrets, in this order.
fn layered(name: &str, text: &str, environment: Option<&str>, variables: impl Iterator<Item = (String, String)>) -> Result<Config, Faults> {
    let whole = |error: anyhow::Error| Faults(vec![format!("{name}: {error:#}")]);
    let yaml::Document { mut value, lines } = yaml::parse(text).map_err(whole)?;
    layers::select(&mut value, environment).map_err(whole)?;
    let set = layers::variables(&mut value, variables);
    let (mut texts, mut failures) = (set.iter().map(|(path, _)| path.clone()).collect(), Vec::new());
    secrets::resolve(&mut value, "", &mut texts, &mut failures);
    let mut faults: Vec<(String, String)> = failures;
    let (mut config, found) = check::read::<Config>(value, texts);
    faults.extend(found.into_iter().map(|fault| (fault.path, fault.message)));
    if let Some(config) = &mut config {
        match sources::load(std::mem::take(&mut config.topology.sources), &config.sources) {
            Ok(mappings) => config.topology.sources = mappings,
            Err(error) => faults.push(("sources".into(), format!("{error:#}"))),
        }
    }
    faults.extend(config.iter().flat_map(Config::contradictions));
    match config {
        Some(config) if faults.is_empty() => Ok(config),
        _ => Err(Faults(faults.into_iter().map(|(path, message)| told(name, &lines, &set, environment, &path, &message)).collect())),
    }
}

/// A fault with its place: the variable that set it, the overlay's line, or the file's.
fn told(
    name: &str,
    lines: &BTreeMap<String, usize>,
    set: &[(String, String)],
    environment: Option<&str>,
    path: &str,
    message: &str,
) -> String {
    if let Some((_, variable)) =
        set.iter().find(|(at, _)| at == path || at.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '['])))
    {
        return format!("variable {variable}: {path}: {message}");
    }
    let overlaid = environment.map(|environment| format!("environments.{environment}.{path}")).filter(|path| lines.contains_key(path));
    let line = overlaid.as_ref().and_then(|path| lines.get(path)).or_else(|| {
        // The nearest key that stands in the file: what is missing has no line of its own.
        std::iter::successors(Some(path), |path| path.rfind(['.', '[']).map(|at| &path[..at])).find_map(|path| lines.get(path))
    });
    let line = line.copied().unwrap_or(1);
    let path = overlaid.as_deref().unwrap_or(path);
    if path.is_empty() { format!("{name}:{line}: {message}") } else { format!("{name}:{line}: {path}: {message}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn layered_with(text: &str, environment: Option<&str>, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        layered("f", text, environment, variables).map_err(|faults| faults.0)
    }

    #[test]
    fn every_fault_is_told_with_its_line_and_the_closest_key() {
        let text =
            "log: x\ncel: y\nworkers: many\ntopology:\n  snapshots:\n    intervall_ms: 5\nconnectors:\n- name: pg\n  class: postgress\n";
        let faults = layered_with(text, None, &[]).unwrap_err();
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert!(faults.contains(&"f:2: cel: unknown key; did you mean `cell`?".to_owned()), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.starts_with("f:3: workers: invalid type")), "{faults:?}");
        assert!(
            faults.contains(&"f:6: topology.snapshots.intervall_ms: unknown key; did you mean `interval_ms`?".to_owned()),
            "{faults:?}"
        );
        assert!(faults.iter().any(|fault| fault.starts_with("f:8: connectors[0]: ") && fault.contains("valid are")), "{faults:?}");
    }

    #[test]
    fn an_environment_lies_over_the_file_and_variables_over_both() {
        let text = "log: x\nworkers: 1\nfeeds: [{ name: a }]\nenvironments:\n  prod:\n    workers: 4\n    feeds: [{ name: a, snapshot: true }, { name: b }]\n";
        assert_eq!(layered_with(text, None, &[]).unwrap().workers, 1);
        let prod = layered_with(text, Some("prod"), &[]).unwrap();
        assert_eq!((prod.workers, prod.feeds.len(), prod.feeds[0].snapshot), (4, 2, true));
        let variables = [
            ("SIGHTLINE_WORKERS", "7"),
            ("SIGHTLINE_TOPOLOGY__SNAPSHOTS__INTERVAL_MS", "9"),
            ("SIGHTLINE_KAFKA", "a test's own"),
            ("SIGHTLINE_CELL", "12"),
        ];
        let over = layered_with(text, Some("prod"), &variables).unwrap();
        assert_eq!((over.workers, over.topology.snapshots.interval_ms, over.cell.as_str()), (7, 9, "12"));
        assert_eq!(layered_with(text, Some("test"), &[]).unwrap_err(), ["f: there is no environment test; there are: prod"]);
        let wrong = layered_with(text, None, &[("SIGHTLINE_TOPOLOGY__SNAPSHOTS__INTERVALL_MS", "9")]).unwrap_err();
        assert!(wrong[0].starts_with("variable SIGHTLINE_TOPOLOGY__SNAPSHOTS__INTERVALL_MS: "), "{wrong:?}");
        let overlaid = layered_with("log: x\nenvironments:\n  prod:\n    workerz: 4\n", Some("prod"), &[]).unwrap_err();
        assert_eq!(overlaid, ["f:4: environments.prod.workerz: unknown key; did you mean `workers`?"]);
    }

    #[test]
    fn a_secret_may_hold_any_character_and_never_shows() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "a: #b\n{c\n").unwrap();
        let text =
            format!("# ${{NOT_A_SECRET}}\nkafka: {{ bootstrap: h }}\nregistry: {{ url: u, password: \"${{file:{}}}\" }}\n", file.display());
        assert_eq!(layered_with(&text, None, &[]).unwrap().registry.unwrap().password.as_deref(), Some("a: #b\n{c"));
        let missing = layered_with("log: x\ncell: ${SIGHTLINE_SURELY_UNSET}\n", None, &[]).unwrap_err();
        let misplaced = layered_with(
            &text
                .replace("password", "user")
                .replace("{ bootstrap: h }", &format!("{{ bootstrap: h, properties: \"${{file:{}}}\" }}", file.display())),
            None,
            &[],
        );
        assert!(misplaced.as_ref().is_err_and(|faults| faults.len() == 1 && !faults[0].contains("#b")), "{misplaced:?}");
        assert!(missing[0].starts_with("f:2: cell: the environment has no SIGHTLINE_SURELY_UNSET"), "{missing:?}");
        assert_eq!(Config::parse("log: x\ncell: ${SIGHTLINE_SURELY_UNSET:-abc}\n").unwrap().cell, "abc");
    }
}
