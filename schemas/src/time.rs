//! Instants.
use std::fmt;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
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
        let micros = match text.parse::<jiff::Timestamp>() {
            Ok(timestamp) => timestamp.as_microsecond(),
            // A time zone reaches 26 hours, and jiff's timestamps end that much before the year 9999 does; but feeds write
            // 9999-12-31T23:59:59Z for "for ever".
            Err(error) => civil(text).ok_or_else(|| failed(error.to_string()))?,
        };
        // Stores agree on years 1 to 9999 only; what lies outside would be refused by one of them.
        if (FIRST..=LAST).contains(&micros) { Ok(Self(micros)) } else { Err(failed("out of range".into())) }
    }
}

/// 0001-01-01T00:00:00Z.
const FIRST: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z.
const LAST: i64 = 253_402_300_799_999_999;
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The instant of a date and time with offset, by the calendar alone.
fn civil(text: &str) -> Option<i64> {
    let pieces = Pieces::parse(text).ok()?;
    let time = DateTime::from_parts(pieces.date(), pieces.time()?);
    let offset = pieces.to_numeric_offset()?;
    let micros = time.duration_since(EPOCH).as_nanos().div_euclid(1000);
    i64::try_from(micros).ok()?.checked_sub(i64::from(offset.seconds()) * 1_000_000)
}

impl fmt::Display for Micros {
    /// RFC 3339 in UTC, as many digits as are needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EPOCH.checked_add(SignedDuration::from_micros(self.0)) {
            Ok(time) => write!(f, "{time}Z"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_are_read_as_rfc_3339_has_them() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2023-11-14T22:13:20.123456Z", 1_700_000_000_123_456),
            ("2023-11-14T22:13:20.1234569Z", 1_700_000_000_123_456),
            ("2023-11-14T23:13:20.123+01:00", 1_700_000_000_123_000),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
            ("9999-12-31T23:59:59.999999Z", LAST),
            ("9999-12-31T23:59:59+00:00", 253_402_300_799_000_000),
            ("9999-12-31T23:59:59+02:00", 253_402_293_599_000_000),
        ] {
            assert_eq!(Micros::parse(text), Ok(Micros(micros)), "{text}");
        }
    }

    #[test]
    fn what_the_stores_cannot_hold_is_refused() {
        for text in [
            "",
            "yesterday",
            "2023-11-14",
            "2023-13-01T00:00:00Z",
            "2023-11-14T22:13:20",
            "10000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-01:00",
            "9999-12-31T23:59:59",
            "-000001-01-01T00:00:00Z",
        ] {
            assert!(Micros::parse(text).is_err(), "{text}");
        }
        let long = Micros::parse(&"9".repeat(100_000)).unwrap_err().to_string();
        assert!(long.len() < 1000, "a refusal quotes only the beginning: {} bytes", long.len());
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(micros in FIRST..=LAST) {
            prop_assert_eq!(Micros::parse(&Micros(micros).to_string()), Ok(Micros(micros)));
        }
    }
}
