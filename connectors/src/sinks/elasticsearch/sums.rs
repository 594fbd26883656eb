//! Adds an index up, on the server.
//!
//! Every write raises a document's version: the connector's to the epoch (a mended one to what its field `raised` adds to that, a created event's to 1), anybody
//! else's past it. So a slot whose versions do not add up to that holds a document that somebody else has written.
use std::collections::BTreeSet;

use bytes::Bytes;
use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use sightline_schemas::avro::RecordType;

use super::client::Client;
use super::config::ElasticsearchConfig;
use super::scan::{self, Hits};
use crate::digest::{SLOTS, Slot, Sums, slot_of};
use crate::sink::SinkError;

const WHAT: &str = "add an index up";
/// Documents without a digest that are looked at one by one; where there are more, the index was written by an older version.
const STRANGERS: usize = 1_000;
/// Their bucket: no slot has this number.
const NONE: i64 = -1;

#[derive(Deserialize)]
struct Answer {
    aggregations: Aggregations,
}

#[derive(Deserialize)]
struct Aggregations {
    slots: Buckets,
}

#[derive(Deserialize)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    key: i64,
    doc_count: u64,
    high: Number,
    low: Number,
    version: Number,
    epoch: Number,
    raised: Number,
}

#[derive(Deserialize)]
struct Number {
    value: f64,
}

pub(super) async fn sums(client: &Client, config: &ElasticsearchConfig, ty: RecordType) -> Result<Option<Sums>, SinkError> {
    let target = config.alias(ty);
    // What is stored but not yet visible would be missing.
    if client.ask::<Value>(WHAT, Method::Post, &format!("/{target}/_refresh"), None).await?.is_none() {
        return Ok(Some(Sums::default()));
    }
    let sum = |field: &str| json!({ "sum": { "field": field } });
    let body = json!({
        "size": 0, "track_total_hits": false, "query": scan::wanted(ty, None),
        "aggs": { "slots": {
            "terms": { "field": "digest.slot", "missing": NONE, "size": SLOTS + 1 },
            "aggs": {
                "high": sum("digest.high"), "low": sum("digest.low"),
                "version": sum("_version"), "epoch": sum("epoch"), "raised": sum("raised"),
            },
        } },
    });
    let path = format!("/{target}/_search?request_cache=false");
    let Some(answer) = client.ask::<Answer>(WHAT, Method::Post, &path, Some(Bytes::from(body.to_string()))).await? else {
        return Ok(Some(Sums::default()));
    };
    let mut sums = Sums::default();
    for bucket in answer.aggregations.slots.buckets {
        let Ok(slot) = Slot::try_from(bucket.key) else {
            strangers(client, &target, ty, &mut sums).await?;
            continue;
        };
        let sum = &mut sums.slots[usize::from(slot)];
        sum.count = bucket.doc_count;
        sum.digests = ((bucket.high.value as u64) << 32).wrapping_add(bucket.low.value as u64);
        sum.epochs = if ty == RecordType::Event { 0 } else { bucket.epoch.value as u64 };
        let own = if ty == RecordType::Event { bucket.doc_count as f64 } else { bucket.epoch.value };
        if bucket.version.value != own + bucket.raised.value {
            sums.doubtful.insert(slot);
        }
    }
    Ok(Some(sums))
}

#[derive(Deserialize)]
struct Found {
    hits: Hits,
}

/// Doubts the slots of documents that have no digest.
async fn strangers(client: &Client, target: &str, ty: RecordType, sums: &mut Sums) -> Result<(), SinkError> {
    let query = scan::wanted(ty, Some(&BTreeSet::new()));
    let body = json!({ "size": STRANGERS + 1, "query": query, "_source": ["tenant", "id"] });
    let found = client.ask::<Found>(WHAT, Method::Post, &format!("/{target}/_search"), Some(Bytes::from(body.to_string()))).await?;
    let hits = found.map(|found| found.hits.hits).unwrap_or_default();
    if hits.len() > STRANGERS {
        sums.doubt_all();
    }
    sums.doubtful.extend(hits.into_iter().map(|hit| slot_of(hit.stored().key.as_bytes())));
    Ok(())
}
