//! Event time: the first of the usual fields that holds an instant.
use sightline_schemas::Micros;

use super::fields::{FieldScalar, FieldValue, Fields};

/// In the order of trust: when it happened, as its source says, before when somebody wrote it down.
const FIELDS: &[&str] = &[
    "@timestamp",
    "timestamp",
    "eventTime",
    "UtcTime",
    "winlog.event_data.UtcTime",
    "EventTime",
    "TimeCreated",
    "Event.System.TimeCreated.SystemTime",
    "event.created",
    "published",
    "created_at",
    "time",
    "ts",
    "Timestamp",
    "EventReceivedTime",
];

pub(super) fn of(fields: &Fields) -> Option<Micros> {
    first(FIELDS.iter().copied(), fields)
}

/// The first of these fields that holds an instant.
pub(crate) fn first<'a>(mut names: impl Iterator<Item = &'a str>, fields: &Fields) -> Option<Micros> {
    names.find_map(|field| match fields.get(field)? {
        FieldValue::One(scalar) => instant(scalar),
        _ => None,
    })
}

fn instant(value: FieldScalar<'_>) -> Option<Micros> {
    let number = match value {
        FieldScalar::Text(text) => {
            return Micros::parse(text).ok().or_else(|| {
                let (date, time) = text.split_once([' ', 'T'])?;
                let zoned = time.ends_with('Z') || time.contains('+');
                Micros::parse(&format!("{date}T{time}{}", if zoned { "" } else { "Z" })).ok()
            });
        }
        FieldScalar::Int(number) => number as f64,
        FieldScalar::Uint(number) => number as f64,
        FieldScalar::Float(number) => number,
        FieldScalar::Bool(_) | FieldScalar::Null => return None,
    };
    // Seconds, milliseconds or microseconds since 1970, told apart by size: each is good from 2001 to 2286.
    let micros = if (1e9..1e10).contains(&number) {
        number * 1e6
    } else if (1e12..1e13).contains(&number) {
        number * 1e3
    } else if (1e15..1e16).contains(&number) {
        number
    } else {
        return None;
    };
    Some(Micros(micros as i64))
}
