//! Reads nodes and edges back.
use std::borrow::Cow;
use std::collections::BTreeSet;

use neo4rs::{BoltList, BoltType, Graph, Row, query};
use sightline_schemas::Micros;
use sightline_schemas::avro::RecordType;

use super::{content, session};
use crate::digest::{Digest, Slot};
use crate::relational::{Cell, digest};
use crate::sink::{SinkError, Stored, Visit};

/// Rows that the server sends at a time.
pub(super) const PAGE: usize = 2_000;

/// Reads records: all of a type, or those whose digest is in `slots` and those that have none.
pub(super) async fn scan(graph: &Graph, ty: RecordType, slots: Option<&BTreeSet<Slot>>, visit: Visit<'_>) -> Result<(), SinkError> {
    let Some((pattern, held)) = pattern(ty) else { return Ok(()) };
    let within = if slots.is_some() { "AND (x.digest IS NULL OR x.digest % 256 IN $slots)" } else { "" };
    let slots: Vec<i64> = slots.into_iter().flatten().map(|slot| i64::from(*slot)).collect();
    let statement = query(&format!("MATCH {pattern} WHERE {held} {within} {}", columns(ty))).param("slots", slots);
    session::read(graph, "read the graph", statement, |row| {
        visit(Held::of(&row)?.stored(ty));
        Ok(())
    })
    .await
}

/// Where records of a type are in the graph, as `x`, and which of what is there they are.
pub(super) fn pattern(ty: RecordType) -> Option<(&'static str, &'static str)> {
    match ty {
        RecordType::Entity => Some(("(x:IntelEntity)", "x.stub IS NULL")),
        RecordType::Observable => Some(("(x:Observable)", "x.stub IS NULL")),
        RecordType::Link => Some(("(a:IntelEntity)-[x:HAS_OBSERVABLE]->(b:Observable)", "true")),
        RecordType::Relation => Some(("(a:IntelEntity)-[x]->(b:IntelEntity)", "x.key IS NOT NULL")),
        RecordType::Sighting => Some(("(a:IntelEntity)-[x:SIGHTED]->(b:Observable)", "true")),
        RecordType::Event | RecordType::Package => None,
    }
}

/// What [`Held`] is read from: one list, for the client makes a map of each row. (`elementId` came with version 5; `id` is known to all.)
pub(super) fn columns(ty: RecordType) -> String {
    format!("RETURN [id(x), x.digest, x.epoch, x.seal, x.key, {}] AS held", content::expressions(ty).join(", "))
}

/// A node or an edge: its place, digest, epoch, seal and key, then what it keeps of the record.
pub(super) struct Held(Vec<BoltType>);

/// So many are before the content.
const OWN: usize = 5;

impl Held {
    pub(super) fn of(row: &Row) -> Result<Self, neo4rs::DeError> {
        match row.get("held")? {
            BoltType::List(held) if held.value.len() > OWN => Ok(Self(held.value)),
            _ => Err(neo4rs::DeError::Other("the server did not answer with a list".into())),
        }
    }

    fn number(&self, at: usize) -> Option<i64> {
        if let BoltType::Integer(number) = &self.0[at] { Some(number.value) } else { None }
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        self.0[OWN..].iter().map(cell).collect()
    }

    /// What it adds up with; none when nobody of ours wrote it, or a version that kept no digests.
    pub(super) fn digest(&self) -> Option<Digest> {
        let (bits, epoch) = (self.number(1)?, self.number(2)?);
        Some(Digest { bits: u64::try_from(bits).ok()?, epoch: epoch.cast_unsigned() })
    }

    /// Whether it is what was written with `added`.
    pub(super) fn is_sealed(&self, added: Digest) -> bool {
        self.number(3) == Some(content::seal(cell(&self.0[4]), self.cells(), added))
    }

    pub(super) fn key(&self, ty: RecordType) -> String {
        let text = |at| text(&self.0[at]);
        if ty != RecordType::Link {
            return text(OWN - 1);
        }
        let (a, b, role) = (text(OWN), text(OWN + 1), text(OWN + 2));
        // The key of the topic, if the ends are of one tenant, as they should be.
        let tenant = a.split_once(':').map_or("", |(tenant, _)| tenant);
        let b = b.strip_prefix(tenant).and_then(|b| b.strip_prefix(':')).unwrap_or(&b);
        format!("{a}|{b}|{role}")
    }

    pub(super) fn stored(&self, ty: RecordType) -> Stored {
        let place = self.number(0).map(|place| place.to_string()).unwrap_or_default();
        Stored { key: self.key(ty), digest: digest(&self.cells()), place }
    }
}

/// What is no text was not written by a connector; it has to look different from any text only as a whole.
fn text(value: &BoltType) -> String {
    match value {
        BoltType::String(text) => text.value.clone(),
        BoltType::Null(_) => String::new(),
        other => format!("{other:?}"),
    }
}

/// A value that somebody else changed into something we never write becomes a text, and so differs.
fn cell(value: &BoltType) -> Cell<'_> {
    match value {
        BoltType::Null(_) => Cell::Null,
        BoltType::String(text) => text.value.as_str().into(),
        BoltType::Integer(number) => number.value.into(),
        BoltType::Boolean(truth) => truth.value.into(),
        BoltType::List(list) => texts(list).unwrap_or_else(|| Cell::Text(text(value).into())),
        BoltType::DateTime(instant) => match chrono::DateTime::<chrono::FixedOffset>::try_from(instant) {
            Ok(instant) => Cell::Time(Micros(instant.timestamp_micros())),
            Err(_) => Cell::Text(text(value).into()),
        },
        other => Cell::Text(text(other).into()),
    }
}

fn texts(list: &BoltList) -> Option<Cell<'static>> {
    let text = |value: &BoltType| if let BoltType::String(text) = value { Some(text.value.clone()) } else { None };
    list.value.iter().map(text).collect::<Option<Vec<_>>>().map(|texts| Cell::TextList(Cow::Owned(texts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_is_another_value() {
        assert_ne!(digest(&[cell(&"1".into())]), digest(&[cell(&1.into())]));
        assert_eq!(cell(&vec!["a".to_owned()].into()), Cell::TextList(Cow::Owned(vec!["a".to_owned()])));
        assert!(matches!(cell(&vec![1].into()), Cell::Text(_)));
    }
}
