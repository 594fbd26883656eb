//! Records as cells.
use std::borrow::Cow;

use serde::Serialize;
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::record::{LinkRecord, PackageStatus};
use sightline_schemas::time::Micros;

use crate::batch::{Op, SinkRecord};
use crate::canonical;

/// A value of a column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// UTF-8.
    Text(Cow<'a, str>),
    /// Texts.
    TextList(Cow<'a, [String]>),
    /// A number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// An instant.
    Time(Micros),
    /// JSON, as text.
    Json(Cow<'a, str>),
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}
impl From<String> for Cell<'_> {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}
impl<'a> From<&'a String> for Cell<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}
impl<'a> From<&'a Vec<String>> for Cell<'a> {
    fn from(list: &'a Vec<String>) -> Self {
        Self::TextList(Cow::Borrowed(list))
    }
}
impl From<i64> for Cell<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
impl From<bool> for Cell<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}
impl From<Micros> for Cell<'_> {
    fn from(instant: Micros) -> Self {
        Self::Time(instant)
    }
}
impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A delete whose key does not say which row it removes.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} does not name a row: expected entity|observable|role")]
pub struct KeyError(String);

/// The cells of the record's value, in the order of [`super::Table::content_columns`].
pub fn content(record: &OutputRecord) -> Vec<Cell<'_>> {
    match record {
        OutputRecord::Package(r) => {
            let status = match r.status {
                PackageStatus::Accepted => "accepted",
                PackageStatus::Partial => "partial",
                PackageStatus::Rejected => "rejected",
            };
            vec![
                (&r.tenant).into(),
                (&r.id).into(),
                (&r.feed).into(),
                (&r.format).into(),
                (&r.sha256).into(),
                status.into(),
                r.entities.into(),
                r.observables.into(),
                r.rejected.into(),
                r.error.as_ref().into(),
            ]
        }
        OutputRecord::Entity(r) => vec![
            (&r.tenant).into(),
            (&r.id).into(),
            (&r.ty).into(),
            r.name.as_ref().into(),
            r.description.as_ref().into(),
            r.created.into(),
            r.modified.into(),
            r.revoked.into(),
            r.confidence.map(i64::from).into(),
            r.tlp.as_ref().into(),
            (&r.labels).into(),
            (&r.sources).into(),
            r.valid_from.into(),
            r.valid_until.into(),
            Cell::Json(Cow::Borrowed(&r.doc)),
        ],
        OutputRecord::Observable(r) => {
            vec![(&r.tenant).into(), (&r.id).into(), r.kind.as_str().into(), (&r.value).into(), r.first_seen.into(), r.last_seen.into()]
        }
        OutputRecord::Link(r) => {
            vec![(&r.tenant).into(), (&r.entity_id).into(), (&r.observable_id).into(), r.role.as_str().into()]
        }
        OutputRecord::Relation(r) => vec![
            (&r.tenant).into(),
            (&r.id).into(),
            (&r.ty).into(),
            (&r.source_id).into(),
            (&r.target_id).into(),
            r.doc.as_deref().map_or(Cell::Null, |doc| Cell::Json(Cow::Borrowed(doc))),
        ],
        OutputRecord::Event(r) => vec![
            (&r.tenant).into(),
            (&r.id).into(),
            (&r.source).into(),
            r.timestamp.into(),
            Cell::Json(Cow::Borrowed(&r.fields)),
            json(&r.observables),
            json(&r.matches),
        ],
        OutputRecord::Sighting(r) => vec![
            (&r.tenant).into(),
            (&r.id).into(),
            (&r.entity_id).into(),
            (&r.observable_id).into(),
            (&r.event_id).into(),
            r.seen.into(),
            r.retracted.into(),
        ],
    }
}

/// All cells of a record that holds `value`, its headers included, in the order of [`super::Table::columns`].
pub fn row<'a>(record: &'a SinkRecord, value: &'a OutputRecord) -> Vec<Cell<'a>> {
    let mut cells = content(value);
    if record.ty == RecordType::Package {
        cells.push(record.received.into());
    }
    // Epochs count up from 0 in steps of at least a millisecond: they stay below 2^63 for ever.
    cells.push(Cell::Int(i64::try_from(record.epoch).unwrap_or(i64::MAX)));
    cells.push((&record.origin).into());
    cells.push(Cell::Int(record.digest().signed()));
    cells
}

/// The primary key of the row that a delete removes.
///
/// # Errors
/// [`KeyError`] when the identifier of a link has not three parts.
pub fn deleted_key(record: &SinkRecord) -> Result<Vec<Cell<'_>>, KeyError> {
    debug_assert_eq!(record.op, Op::Delete);
    if record.ty != RecordType::Link {
        return Ok(vec![(&record.tenant).into(), (&record.id).into()]);
    }
    let link = LinkRecord::from_id(&record.tenant, &record.id).ok_or_else(|| KeyError(record.id.clone()))?;
    let text = |text: String| Cell::Text(Cow::Owned(text));
    Ok(vec![text(link.tenant), text(link.entity_id), text(link.observable_id), link.role.as_str().into()])
}

/// The key of the topic, `tenant:id`, from a row's primary key.
pub fn key_text(key: &[Cell<'_>]) -> String {
    let mut text = String::new();
    for (at, cell) in key.iter().enumerate() {
        if let Cell::Text(part) = cell {
            text.push_str(["", ":", "|", "|"][at.min(3)]);
            text.push_str(part);
        }
    }
    text
}

/// Where the row of a primary key stands: its texts, apart by a character that is in none of them.
pub fn place(key: &[Cell<'_>]) -> String {
    let texts = key.iter().map(|cell| if let Cell::Text(part) = cell { part.as_ref() } else { "" });
    texts.collect::<Vec<_>>().join("\0")
}

/// The primary key of a [`place`].
pub fn key_at(place: &str) -> impl Iterator<Item = &str> {
    place.split('\0')
}

/// A digest of cells that does not depend on how a store spells JSON.
pub fn digest(cells: &[Cell<'_>]) -> ContentHash {
    let mut bytes = Vec::with_capacity(256);
    let text = |tag: u8, text: &str, bytes: &mut Vec<u8>| {
        bytes.push(tag);
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    for cell in cells {
        match cell {
            Cell::Null => bytes.push(0),
            Cell::Text(value) => text(1, value, &mut bytes),
            Cell::TextList(values) => {
                bytes.push(2);
                bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
                values.iter().for_each(|value| text(1, value, &mut bytes));
            }
            Cell::Int(number) => {
                bytes.push(3);
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            Cell::Bool(truth) => bytes.extend_from_slice(&[4, u8::from(*truth)]),
            Cell::Time(instant) => {
                bytes.push(5);
                bytes.extend_from_slice(&instant.0.to_le_bytes());
            }
            Cell::Json(json) => match serde_json::from_str(json) {
                Ok(value) => {
                    bytes.push(6);
                    canonical::write(&value, &mut bytes);
                }
                // No store could hold it as JSON; two equal texts are still equal.
                Err(_) => text(7, json, &mut bytes),
            },
        }
    }
    ContentHash::of(&bytes)
}

fn json<T: Serialize>(values: &T) -> Cell<'static> {
    // Structs of strings and enums always serialise.
    Cell::Json(Cow::Owned(serde_json::to_string(values).unwrap_or_else(|_| "[]".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_sees_borders_types_and_json_content() {
        let text = |t: &'static str| Cell::from(t);
        assert_ne!(digest(&[text("ab"), text("c")]), digest(&[text("a"), text("bc")]));
        assert_ne!(digest(&[Cell::Int(1)]), digest(&[Cell::Bool(true)]));
        let json = |t: &'static str| Cell::Json(Cow::Borrowed(t));
        assert_eq!(digest(&[json(r#"{"a": 1, "b": 2.0}"#)]), digest(&[json(r#"{"b":2,"a":1}"#)]));
        assert_ne!(digest(&[json("{}")]), digest(&[Cell::Null]));
    }

    #[test]
    fn the_key_of_a_row_is_the_key_of_its_topic() {
        assert_eq!(key_text(&["t".into(), "malware--1".into()]), "t:malware--1");
        assert_eq!(key_text(&["t".into(), "e".into(), "o".into(), "pattern".into()]), "t:e|o|pattern");
        assert_eq!(key_at(&place(&["a:b".into(), "c".into()])).collect::<Vec<_>>(), ["a:b", "c"]);
    }
}
