//! What a user says about a connector.
use serde::{Deserialize, Serialize};
use sightline_schemas::avro::RecordType;

/// One connector. `options` belong to the class and are read by it, unknown keys being errors there too.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorConfig {
    /// Name: letters, digits, `.`, `_`, `-`, up to 100. The store's positions and the dead letters' topic go by it.
    pub name: String,
    /// Class of the sink: `postgres`, `elasticsearch`, `neo4j`, `sqlite`.
    pub class: String,
    /// What to store: `entities`, `observables`, `links`, `relations`, `events`, `sightings`, `packages`. Empty: all that the class can hold.
    #[serde(default)]
    pub topics: Vec<String>,
    /// When a batch is written.
    #[serde(default)]
    pub batch: BatchConfig,
    /// How long to wait when the store is away.
    #[serde(default)]
    pub backoff: BackoffConfig,
    /// What to do with records that cannot be stored.
    #[serde(default)]
    pub errors: ErrorsConfig,
    /// Options of the class; see its page in `docs/connectors`.
    #[serde(default)]
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// A batch is written on the first of the three.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchConfig {
    /// Records, 1 to 1,000,000.
    pub records: usize,
    /// Bytes of keys and values, 1 to 1 GiB. A single larger record is a batch of its own.
    pub bytes: usize,
    /// Milliseconds since the first record of the batch, up to 600,000.
    pub interval_ms: u64,
}

impl Default for BatchConfig {
    /// 10,000 records or 16 MiB amortise a transaction in every store tried; 200 ms is what a person does not notice.
    fn default() -> Self {
        Self { records: 10_000, bytes: 16 << 20, interval_ms: 200 }
    }
}

/// Delays between tries.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackoffConfig {
    /// The first, in milliseconds.
    pub min_ms: u64,
    /// The longest, in milliseconds, up to 3,600,000.
    pub max_ms: u64,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self { min_ms: 200, max_ms: 30_000 }
    }
}

/// Bad records.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorsConfig {
    /// Go on after dead-lettering them, or stop at the first.
    pub tolerance: Tolerance,
}

/// Whether a connector outlives a bad record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tolerance {
    /// Bad records go to the dead letters, the rest is stored.
    #[default]
    All,
    /// The connector fails at the first bad record.
    None,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The name.
    #[error("connector name {0:?} is not 1 to 100 letters, digits, `.`, `_` or `-`")]
    Name(String),
    /// Two connectors would share positions and dead letters.
    #[error("two connectors are named {0:?}; give each its own name")]
    Twice(String),
    /// No such class in this build.
    #[error("connector {name}: unknown class {class:?}; valid are {valid}")]
    Class {
        /// Connector.
        name: String,
        /// What was asked for.
        class: String,
        /// What there is.
        valid: String,
    },
    /// A topic that does not exist, or that the class cannot hold.
    #[error("connector {name}: class {class} cannot store {topic:?}; valid topics are {valid}")]
    Topic {
        /// Connector.
        name: String,
        /// Class.
        class: String,
        /// What was asked for.
        topic: String,
        /// What there is.
        valid: String,
    },
    /// A number out of range.
    #[error("connector {name}: {key} = {value} is out of range; it must be between {min} and {max}")]
    Range {
        /// Connector.
        name: String,
        /// Key.
        key: &'static str,
        /// What was given.
        value: u64,
        /// Least.
        min: u64,
        /// Greatest.
        max: u64,
    },
    /// Options that the class does not understand.
    #[error("connector {name}: options of class {class}: {message}")]
    Options {
        /// Connector.
        name: String,
        /// Class.
        class: String,
        /// What is wrong.
        message: String,
    },
}

impl ConnectorConfig {
    /// A connector with defaults for all but these.
    pub fn new(name: &str, class: &str, options: serde_json::Map<String, serde_json::Value>) -> Self {
        Self {
            name: name.to_owned(),
            class: class.to_owned(),
            topics: Vec::new(),
            batch: BatchConfig::default(),
            backoff: BackoffConfig::default(),
            errors: ErrorsConfig::default(),
            options,
        }
    }

    /// Checks what does not depend on the class.
    ///
    /// # Errors
    /// [`ConfigError::Name`] or [`ConfigError::Range`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !(1..=100).contains(&self.name.len()) || !self.name.bytes().all(good) {
            return Err(ConfigError::Name(self.name.chars().take(120).collect()));
        }
        let ranges: [(&'static str, u64, u64, u64); 5] = [
            ("batch.records", self.batch.records as u64, 1, 1_000_000),
            ("batch.bytes", self.batch.bytes as u64, 1, 1 << 30),
            ("batch.interval_ms", self.batch.interval_ms, 0, 600_000),
            ("backoff.min_ms", self.backoff.min_ms, 1, 3_600_000),
            ("backoff.max_ms", self.backoff.max_ms, 1, 3_600_000),
        ];
        match ranges.into_iter().find(|(_, value, min, max)| !(min..=max).contains(&value)) {
            Some((key, value, min, max)) => Err(ConfigError::Range { name: self.name.clone(), key, value, min, max }),
            None => Ok(()),
        }
    }

    /// The record types to read, of those that the class supports.
    ///
    /// # Errors
    /// [`ConfigError::Topic`] for a word that is none of them.
    pub fn record_types(&self, supported: &[RecordType]) -> Result<Vec<RecordType>, ConfigError> {
        if self.topics.is_empty() {
            return Ok(supported.to_vec());
        }
        let mut types = Vec::new();
        for topic in &self.topics {
            let ty = RecordType::from_word(topic).filter(|ty| supported.contains(ty)).ok_or_else(|| ConfigError::Topic {
                name: self.name.clone(),
                class: self.class.clone(),
                topic: topic.clone(),
                valid: supported.iter().map(|ty| ty.as_str()).collect::<Vec<_>>().join(", "),
            })?;
            if !types.contains(&ty) {
                types.push(ty);
            }
        }
        Ok(types)
    }

    /// The options as the struct of a class.
    ///
    /// # Errors
    /// [`ConfigError::Options`] for unknown keys, missing ones and wrong types.
    pub fn options<T: serde::de::DeserializeOwned>(&self) -> Result<T, ConfigError> {
        serde_json::from_value(serde_json::Value::Object(self.options.clone())).map_err(|error| ConfigError::Options {
            name: self.name.clone(),
            class: self.class.clone(),
            message: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(json: &str) -> Result<ConnectorConfig, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn defaults_fill_what_is_not_said_and_unknown_keys_are_errors() {
        let config = parse(r#"{"name":"pg","class":"postgres","batch":{"records":7}}"#).unwrap();
        assert_eq!((config.batch.records, config.batch.bytes, config.errors.tolerance), (7, 16 << 20, Tolerance::All));
        assert!(parse(r#"{"name":"pg","class":"postgres","batch":{"record":7}}"#).is_err());
        assert!(parse(r#"{"name":"pg","class":"postgres","klass":1}"#).is_err());
    }

    #[test]
    fn names_ranges_and_topics_are_checked_with_advice() {
        let mut config = ConnectorConfig::new("a/b", "x", serde_json::Map::new());
        assert!(matches!(config.validate(), Err(ConfigError::Name(_))));
        config.name = "a".into();
        config.batch.records = 0;
        assert!(config.validate().unwrap_err().to_string().contains("batch.records = 0"));
        config.topics = vec!["links".into(), "event".into()];
        let message = config.record_types(&[RecordType::Link]).unwrap_err().to_string();
        assert!(message.contains("\"event\"") && message.ends_with("valid topics are links"), "{message}");
    }
}
