//! From configuration to a log, a registry and an engine.
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use sightline_log::Log;
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_schemas::registry::{EmbeddedRegistry, SchemaRegistry};
use sightline_schemas::topic::Topics;
use sightline_topology::cluster::ClusterOptions;
use sightline_topology::runtime::{Engine, EngineOptions, InputMode};

use crate::config::Config;
use crate::state_store;

/// The servers of a configuration.
pub struct Servers {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The registry.
    pub registry: Arc<dyn SchemaRegistry>,
    /// Names of topics.
    pub topics: Topics,
}

impl Servers {
    /// Reaches the servers of a configuration.
    pub fn reach(config: &Config) -> Result<Self> {
        let topics = Topics::new(&config.cell);
        if let Some(directory) = &config.log {
            return Self::embedded(directory, EmbeddedOptions::default(), topics);
        }
        Self::kafka(config, topics)
    }

    /// The same, to read only: an embedded log may be open in another process.
    pub fn read_only(config: &Config) -> Result<Self> {
        match &config.log {
            Some(directory) => {
                let log = Arc::new(Embedded::read_only(directory)?);
                Ok(Self { log, registry: Arc::new(EmbeddedRegistry), topics: Topics::new(&config.cell) })
            }
            None => Self::reach(config),
        }
    }

    /// The embedded log in a folder.
    pub fn embedded(directory: &Path, options: EmbeddedOptions, topics: Topics) -> Result<Self> {
        let log = Embedded::open(directory, options)?;
        Ok(Self { log: Arc::new(log), registry: Arc::new(EmbeddedRegistry), topics })
    }

    #[cfg(feature = "kafka")]
    fn kafka(config: &Config, topics: Topics) -> Result<Self> {
        use sightline_log::kafka::{Kafka, KafkaOptions};
        use sightline_schemas::registry::{ConfluentRegistry, ConfluentSettings};
        let kafka = config.kafka.as_ref().context("`kafka` is not configured")?;
        let registry = config.registry.as_ref().context("`registry` is not configured")?;
        let log = Kafka::new(KafkaOptions {
            bootstrap: kafka.bootstrap.clone(),
            properties: kafka.properties.clone(),
            ..KafkaOptions::default()
        })?;
        let mut settings = ConfluentSettings::new(&registry.url);
        (settings.username, settings.password) = (registry.user.clone(), registry.password.clone());
        Ok(Self { log: Arc::new(log), registry: Arc::new(ConfluentRegistry::new(&settings)?), topics })
    }

    #[cfg(not(feature = "kafka"))]
    fn kafka(_config: &Config, _topics: Topics) -> Result<Self> {
        anyhow::bail!("this build has no Kafka; build it with the feature `kafka`, or use `log:`")
    }

    /// Starts the dataflow.
    pub fn start(&self, config: &Config, input: InputMode) -> Result<Engine> {
        self.start_in(config, None, input)
    }

    /// Starts this process's part of the dataflow.
    pub fn start_in(&self, config: &Config, cluster: Option<ClusterOptions>, input: InputMode) -> Result<Engine> {
        Engine::start(EngineOptions {
            log: Arc::clone(&self.log),
            registry: Arc::clone(&self.registry),
            topics: self.topics.clone(),
            settings: config.topology.clone(),
            workers: config.workers,
            cluster,
            state_dir: config.state_dir.clone(),
            store: state_store::open(config)?,
            input,
            partitions: config.partitions,
            replication: config.replication,
        })
        .context("failed to start the dataflow")
    }

    /// Creates the topics that are missing.
    pub fn ensure_topics(&self, config: &Config) -> Result<()> {
        let specs = sightline_topology::runtime::topic_specs(&self.topics, config.partitions, config.replication);
        Ok(self.log.ensure_topics(&specs)?)
    }
}
