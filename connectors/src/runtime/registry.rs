//! Classes of sinks by name. A new sink adds one line to [`CLASSES`].
use super::config::{ConfigError, ConnectorConfig};
use crate::sink::SinkConnector;
use crate::sinks;

type Factory = fn(&ConnectorConfig) -> Result<Box<dyn SinkConnector>, ConfigError>;

const CLASSES: &[(&str, Factory)] = &[
    #[cfg(feature = "elasticsearch")]
    ("elasticsearch", |config| Ok(Box::new(sinks::elasticsearch::ElasticsearchSink::new(&config.name, config.options()?)))),
    #[cfg(feature = "neo4j")]
    ("neo4j", |config| Ok(Box::new(sinks::neo4j::Neo4jSink::new(&config.name, config.options()?)))),
    #[cfg(feature = "postgres")]
    ("postgres", |config| Ok(Box::new(sinks::postgres::PostgresSink::new(&config.name, config.options()?)))),
    #[cfg(feature = "sqlite")]
    ("sqlite", |config| Ok(Box::new(sinks::sqlite::SqliteSink::new(&config.name, config.options()?)))),
];

/// The classes of this build.
pub fn classes() -> impl Iterator<Item = &'static str> {
    CLASSES.iter().map(|(name, _)| *name)
}

/// Makes the sink of a connector; connects to nothing.
///
/// # Errors
/// [`ConfigError`] naming the connector, what is wrong and what is valid.
pub fn build(config: &ConnectorConfig) -> Result<Box<dyn SinkConnector>, ConfigError> {
    config.validate()?;
    let (_, factory) = CLASSES.iter().find(|(name, _)| *name == config.class).ok_or_else(|| ConfigError::Class {
        name: config.name.clone(),
        class: config.class.clone(),
        valid: classes().collect::<Vec<_>>().join(", "),
    })?;
    let sink = factory(config)?;
    config.record_types(sink.supports())?;
    Ok(sink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_class_is_answered_with_the_valid_ones() {
        let error = build(&ConnectorConfig::new("x", "mysql", serde_json::Map::new())).err().map(|error| error.to_string());
        let error = error.unwrap_or_default();
        assert!(error.contains("\"mysql\"") && classes().all(|class| error.contains(class)), "{error}");
    }
}
