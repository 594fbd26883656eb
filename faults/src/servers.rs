//! Real servers, as `scripts/services env` names them.
use anyhow::{Context, Result};

/// Where they are.
#[derive(Clone, Debug)]
pub struct Servers {
    /// Bootstrap address.
    pub kafka: String,
    /// Schema registry.
    pub registry: String,
    /// PostgreSQL.
    pub postgres: String,
    /// Elasticsearch.
    pub elasticsearch: String,
    /// Neo4j over Bolt.
    pub neo4j: String,
}

impl Servers {
    /// From the environment.
    pub fn of_environment() -> Result<Self> {
        let var = |name: &str| {
            std::env::var(name).with_context(|| format!("{name} is not set; say: scripts/services start; eval \"$(scripts/services env)\""))
        };
        Ok(Self {
            kafka: var("SIGHTLINE_KAFKA")?,
            registry: var("SIGHTLINE_REGISTRY")?,
            postgres: var("SIGHTLINE_POSTGRES")?,
            elasticsearch: var("SIGHTLINE_ELASTICSEARCH")?,
            neo4j: var("SIGHTLINE_NEO4J")?,
        })
    }

    /// The part of a configuration that says where the log is.
    pub fn log(&self) -> String {
        format!("kafka: {{ bootstrap: \"{}\" }}\nregistry: {{ url: \"{}\" }}\n", self.kafka, self.registry)
    }

    /// Connectors: name, class and options.
    pub fn connectors(&self, cell: &str) -> Vec<(&'static str, String)> {
        vec![
            ("postgres", format!("class: postgres, options: {{ url: \"{}\", schema: {cell} }}", self.postgres)),
            ("elasticsearch", format!("class: elasticsearch, options: {{ url: \"{}\", prefix: {cell}, replicas: 0 }}", self.elasticsearch)),
            ("neo4j", format!("class: neo4j, options: {{ url: \"{}\" }}", self.neo4j)),
        ]
    }
}
