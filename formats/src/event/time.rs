//! Event time: the first of the usual fields that holds an instant.
use serde_json::Value;
use sightline_schemas::Micros;

use super::flatten::Flat;

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

pub(super) fn of(flat: &Flat<'_>) -> Option<Micros> {
    FIELDS.iter().find_map(|field| flat.get(*field).and_then(|value| instant(value)))
}

fn instant(value: &Value) -> Option<Micros> {
    match value {
        Value::String(text) => Micros::parse(text).ok().or_else(|| {
            let (date, time) = text.split_once([' ', 'T'])?;
            let zoned = time.ends_with('Z') || time.contains('+');
            Micros::parse(&format!("{date}T{time}{}", if zoned { "" } else { "Z" })).ok()
        }),
        // Seconds, milliseconds or microseconds since 1970, told apart by size: each is good from 2001 to 2286.
        Value::Number(number) => {
            let number = number.as_f64()?;
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
        _ => None,
    }
}
