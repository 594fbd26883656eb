//! Documents whose version is not lower than what was to be written: nearly always the same record, or a newer one, from an earlier try. But an
//! edit by hand raises the version too, and so does mending; there the epoch in the document tells who is newer, and a version that the document does not
//! account for (its epoch, and what `raised` adds) that somebody else has written it.
use bytes::Bytes;
use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sightline_schemas::avro::RecordType;

use super::bulk::{self, Action, Item, Told};
use super::client::Client;
use super::config::ElasticsearchConfig;
use super::document;
use crate::batch::{Batch, Op, SinkRecord};
use crate::sink::{Refused, SinkError};

const WHAT: &str = "read documents";
/// Documents that somebody changes between look and write are looked at again so many times before the runtime backs off.
const TRIES: usize = 5;

/// What of a document tells that a record is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trust {
    /// Its epoch.
    Epoch,
    /// Its epoch, and that it is as much marked as deleted as the record says: somebody may have hidden it by hand.
    EpochAndMark,
}

/// A document as `_mget` gives it.
#[derive(Deserialize)]
pub(super) struct Got {
    #[serde(rename = "_index")]
    pub index: String,
    #[serde(rename = "_id")]
    pub id: String,
    #[serde(rename = "_version", default)]
    pub version: u64,
    #[serde(rename = "_seq_no", default)]
    pub sequence: u64,
    #[serde(rename = "_primary_term", default)]
    pub term: u64,
    /// False too when the index itself is not there.
    #[serde(default)]
    pub found: bool,
    #[serde(rename = "_source", default)]
    pub source: Map<String, Value>,
}

#[derive(Deserialize)]
struct Answer {
    docs: Vec<Got>,
}

/// Reads documents by index and `_id`, in their order. `fields`: of the source; all of it when empty.
pub(super) async fn get(client: &Client, documents: &[(&str, &str)], fields: &str) -> Result<Vec<Got>, SinkError> {
    let filter = if fields.is_empty() { String::new() } else { format!("?_source_includes={fields}") };
    let listed: Vec<Value> = documents.iter().map(|(index, id)| json!({ "_index": index, "_id": id })).collect();
    let body = Bytes::from(json!({ "docs": listed }).to_string());
    let answer = client.ask::<Answer>(WHAT, Method::Post, &format!("/_mget{filter}"), Some(body)).await?;
    let got = answer.map(|answer| answer.docs).unwrap_or_default();
    if got.len() != documents.len() {
        return Err(SinkError::retriable(WHAT, "the answer has another number of documents than the request"));
    }
    Ok(got)
}

/// Writes those of `told.conflicts` that are newer than the document in their way, in its place.
pub(super) async fn settle(
    client: &Client,
    config: &ElasticsearchConfig,
    batch: &Batch,
    trust: Trust,
    told: &mut Told,
) -> Result<(), SinkError> {
    for _ in 0..TRIES {
        // What is in a data stream was created once, and holds.
        let mut conflicts = std::mem::take(&mut told.conflicts);
        conflicts.retain(|at| batch.records[*at].ty != RecordType::Event);
        conflicts.sort_unstable();
        conflicts.dedup();
        if conflicts.is_empty() {
            return Ok(());
        }
        let wanted: Vec<(String, String)> =
            conflicts.iter().map(|at| &batch.records[*at]).map(|record| (config.alias(record.ty), document::id(record))).collect();
        let listed: Vec<(&str, &str)> = wanted.iter().map(|(alias, id)| (alias.as_str(), id.as_str())).collect();
        let (mut items, mut created) = (Vec::new(), Vec::new());
        for ((at, got), (alias, id)) in conflicts.into_iter().zip(get(client, &listed, "epoch,deleted,raised").await?).zip(&listed) {
            let record = &batch.records[at];
            let action = match got.found {
                true if holds(&got, record, trust) => continue,
                true => Action::Replace { index: &got.index, id, if_seq_no: got.sequence, if_primary_term: got.term },
                // Deleted by hand a moment ago: its version is still remembered, and goes on. What it comes to is seen at the next look.
                false => {
                    created.push(at);
                    Action::Create { index: alias, id, require_alias: true }
                }
            };
            // Replacing counts one up.
            match action.lines(Some(record), got.found.then_some(got.version + 1)) {
                Ok(lines) => items.push(Item { at, lines }),
                Err(error) => told.refused.push(Refused { at, reason: "invalid-document", message: error.to_string() }),
            }
        }
        if items.is_empty() {
            return Ok(());
        }
        bulk::send(client, config, items, told).await?;
        told.conflicts.extend(created);
    }
    Err(SinkError::retriable("write documents", "somebody else keeps changing them"))
}

/// Whether the document holds the record and says of its version what is so, or holds a newer one.
fn holds(got: &Got, record: &SinkRecord, trust: Trust) -> bool {
    let Some(epoch) = got.source.get("epoch").and_then(Value::as_u64) else { return false };
    let raised = got.source.get("raised").and_then(Value::as_i64).unwrap_or_default();
    let marked = got.source.get("deleted").and_then(Value::as_bool);
    let same = epoch == record.epoch && got.version == epoch.wrapping_add_signed(raised);
    epoch > record.epoch || (same && (trust == Trust::Epoch || marked == Some(record.op == Op::Delete)))
}
