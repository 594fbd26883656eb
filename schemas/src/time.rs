//! Instants.
use std::fmt;

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z: the resolution of Avro's `timestamp-micros` and of PostgreSQL.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

/// A text that is not an instant Sightline can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an RFC 3339 timestamp between years 1 and 9999: {message}")]
pub struct TimeError {
    text: String,
    message: String,
}

impl Micros {
    /// Parses an RFC 3339 timestamp (STIX 2.1 §2.16), cutting what is finer than a microsecond.
    ///
    /// # Errors
    /// [`TimeError`] when the text is something else, or out of range.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let failed = |message: String| TimeError { text: text.chars().take(64).collect(), message };
        let timestamp: jiff::Timestamp = text.parse().map_err(|e: jiff::Error| failed(e.to_string()))?;
        let micros = timestamp.as_microsecond();
        // Stores agree on years 1 to 9999 only; what lies outside would be refused by one of them.
        if (-62_135_596_800_000_000..=253_402_300_799_999_999).contains(&micros) {
            Ok(Self(micros))
        } else {
            Err(failed("out of range".into()))
        }
    }
}

impl fmt::Display for Micros {
    /// RFC 3339 in UTC, as many digits as are needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}
