//! Reads an index back, page by page, as it was at one point in time.
use std::collections::BTreeSet;

use bytes::Bytes;
use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sightline_schemas::avro::RecordType;

use super::client::Client;
use super::config::ElasticsearchConfig;
use crate::canonical;
use crate::digest::Slot;
use crate::sink::{SinkError, Stored, Visit};

const WHAT: &str = "read an index";
const PAGE: usize = 2_000;

#[derive(Deserialize)]
struct Opened {
    id: String,
}

#[derive(Deserialize)]
struct Answer {
    pit_id: String,
    hits: Hits,
}

#[derive(Deserialize)]
pub(super) struct Hits {
    pub hits: Vec<Hit>,
}

/// A document.
#[derive(Deserialize)]
pub(super) struct Hit {
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_source")]
    source: Map<String, Value>,
    /// Where it is among the others, if they are asked for in an order.
    #[serde(default)]
    sort: Vec<Value>,
}

impl Hit {
    pub(super) fn stored(self) -> Stored {
        stored(&self.index, &self.id, self.source)
    }
}

/// Reads documents: all of the index, or those whose digest is in `slots` and those that have none.
pub(super) async fn scan(
    client: &Client,
    config: &ElasticsearchConfig,
    ty: RecordType,
    slots: Option<&BTreeSet<Slot>>,
    visit: Visit<'_>,
) -> Result<(), SinkError> {
    let target = config.alias(ty);
    // What is stored but not yet visible would be missing.
    if client.ask::<Value>(WHAT, Method::Post, &format!("/{target}/_refresh"), None).await?.is_none() {
        return Ok(());
    }
    let Some(Opened { mut id }) = client.ask(WHAT, Method::Post, &format!("/{target}/_pit?keep_alive=5m"), None).await? else {
        return Ok(());
    };
    let mut after: Option<Vec<Value>> = None;
    let read = loop {
        let mut body = json!({
            "size": PAGE, "track_total_hits": false, "sort": [{ "_shard_doc": "asc" }], "pit": { "id": id, "keep_alive": "5m" },
        });
        body["query"] = wanted(ty, slots);
        if let Some(after) = after.take() {
            body["search_after"] = Value::Array(after);
        }
        let answer = client.ask::<Answer>(WHAT, Method::Post, "/_search", Some(Bytes::from(body.to_string()))).await;
        let Answer { pit_id, hits: Hits { hits } } = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => break Err(SinkError::retriable(WHAT, "the point in time has expired")),
            Err(error) => break Err(error),
        };
        id = pit_id;
        let Some(last) = hits.last() else { break Ok(()) };
        after = Some(last.sort.clone());
        hits.into_iter().for_each(|hit| visit(hit.stored()));
    };
    // It expires by itself when this fails.
    let _ = client.send(WHAT, Method::Delete, "/_pit", Some(Bytes::from(json!({ "id": id }).to_string()))).await;
    read
}

/// A document, wherever somebody may have put it: an alias or a data stream may lead to several indices, and an `_id` may be anything.
pub(super) fn stored(index: &str, id: &str, mut source: Map<String, Value>) -> Stored {
    for beside in ["epoch", "origin", "digest", "raised", "deleted"] {
        source.remove(beside);
    }
    let text = |name| source.get(name).and_then(Value::as_str).unwrap_or_default();
    let key = format!("{}:{}", text("tenant"), text("id"));
    Stored { key, digest: canonical::digest(&Value::Object(source)), place: format!("{index}/{id}") }
}

/// The documents of a type that are held, in all slots or some.
pub(super) fn wanted(ty: RecordType, slots: Option<&BTreeSet<Slot>>) -> Value {
    let mut filter = Vec::new();
    if ty != RecordType::Event {
        filter.push(json!({ "term": { "deleted": false } }));
    }
    if let Some(slots) = slots {
        let without = json!({ "bool": { "must_not": { "exists": { "field": "digest.slot" } } } });
        filter.push(json!({ "bool": { "should": [{ "terms": { "digest.slot": slots } }, without] } }));
    }
    json!({ "bool": { "filter": filter } })
}
