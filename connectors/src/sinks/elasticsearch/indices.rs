//! Indices, aliases, and the template of the data stream.
use bytes::Bytes;
use elasticsearch::http::Method;
use serde_json::{Value, json};
use sightline_schemas::avro::RecordType;

use super::client::{Client, Refusal};
use super::config::ElasticsearchConfig;
use crate::sink::SinkError;

const WHAT: &str = "create the indices";

/// A term of a flattened field is its key and its value, together at most Lucene's 32,766 bytes: half is left to the key.
const FLAT: u32 = 4_096;

/// The number of the first index of an alias. A change of the mappings below reaches a cell by a rebuild ([`super::rebuild`]).
const FIRST: u32 = 1;

/// What has an alias over a numbered index; events have a data stream.
pub(super) const ALIASED: &[RecordType] = &[RecordType::Entity, RecordType::Observable, RecordType::Relation, RecordType::Sighting];

/// Creates what is missing; leaves an alias alone that already leads somewhere, whatever version it leads to.
pub(super) async fn ensure(client: &Client, config: &ElasticsearchConfig) -> Result<(), SinkError> {
    for ty in ALIASED {
        let alias = config.alias(*ty);
        if client.ask::<Value>(WHAT, Method::Get, &format!("/_alias/{alias}"), None).await?.is_none() {
            let body = index(config, *ty, &alias, shown());
            create(client, &format!("/{alias}-{FIRST}"), &body).await?;
        } else {
            widen(client, &alias).await?;
        }
    }
    let offsets = json!({ "settings": settings(config), "mappings": { "dynamic": "strict", "properties": {
        "connector": keyword(), "generation": { "type": "long" }, "epoch": { "type": "long" },
        "positions": { "properties": { "topic": keyword(), "part": { "type": "integer" }, "next_offset": { "type": "long" } } },
    } } });
    create(client, &format!("/{}", config.offsets()), &offsets).await?;
    let events = config.alias(RecordType::Event);
    let template = json!({
        "index_patterns": [events],
        "data_stream": {},
        // Above the built-in templates, which end at 100 or 200.
        "priority": 500,
        "template": {
            "settings": settings(config),
            "mappings": { "dynamic": "strict", "properties": properties(RecordType::Event) },
        },
    });
    match client.send(WHAT, Method::Put, &format!("/_index_template/{events}"), Some(bytes(&template))).await? {
        // The template is for new backing indices; those that are there already have to learn it too.
        Ok(_) => widen(client, &events).await,
        Err(refusal) => Err(refusal.fatal(WHAT)),
    }
}

/// How an alias shows its index.
pub(super) fn shown() -> Value {
    json!({ "filter": { "term": { "deleted": false } }, "is_write_index": true })
}

/// An empty index under an alias of its own, to be filled: nothing is to be seen in it yet, so it need not be refreshed.
pub(super) async fn create_beside(
    client: &Client,
    config: &ElasticsearchConfig,
    ty: RecordType,
    name: &str,
    alias: &str,
) -> Result<(), SinkError> {
    let mut body = index(config, ty, alias, json!({}));
    body["settings"]["refresh_interval"] = "-1".into();
    create(client, &format!("/{name}"), &body).await
}

fn index(config: &ElasticsearchConfig, ty: RecordType, alias: &str, shown: Value) -> Value {
    json!({
        "settings": settings(config),
        "mappings": { "dynamic": "strict", "properties": properties(ty) },
        "aliases": { alias: shown },
    })
}

/// Adds the fields that came after the first version, where they are missing.
async fn widen(client: &Client, target: &str) -> Result<(), SinkError> {
    let body = json!({ "properties": later() });
    match client.send(WHAT, Method::Put, &format!("/{target}/_mapping"), Some(bytes(&body))).await? {
        Ok(_) | Err(Refusal { status: 404, .. }) => Ok(()),
        Err(refusal) => Err(refusal.fatal(WHAT)),
    }
}

/// Fields that came after the first version. They are added up, and not searched for.
fn later() -> Value {
    let number = json!({ "type": "long", "index": false });
    json!({ "digest": { "properties": { "slot": { "type": "short" }, "high": number, "low": number } }, "raised": number })
}

async fn create(client: &Client, path: &str, body: &Value) -> Result<(), SinkError> {
    match client.send(WHAT, Method::Put, path, Some(bytes(body))).await? {
        Ok(_) => Ok(()),
        // Somebody else was quicker, or it was there all along.
        Err(Refusal { status: 400, message }) if message.contains("resource_already_exists_exception") => Ok(()),
        Err(refusal) => Err(refusal.fatal(WHAT)),
    }
}

fn bytes(body: &Value) -> Bytes {
    Bytes::from(body.to_string())
}

fn settings(config: &ElasticsearchConfig) -> Value {
    json!({ "number_of_shards": config.shards, "number_of_replicas": config.replicas })
}

fn keyword() -> Value {
    // Lucene takes terms up to 32,766 bytes, 8,191 characters of four bytes at worst; longer ones are kept but not searchable.
    json!({ "type": "keyword", "ignore_above": 8191 })
}

fn date() -> Value {
    json!({ "type": "date", "format": "strict_date_optional_time" })
}

fn properties(ty: RecordType) -> Value {
    let opaque = json!({ "type": "object", "enabled": false });
    let held = json!({ "properties": { "id": keyword(), "kind": keyword(), "value": keyword(), "role": keyword(), "field": keyword() } });
    let mut properties = match ty {
        RecordType::Entity => json!({
            "type": keyword(),
            "name": { "type": "text", "fields": { "keyword": keyword() } },
            "description": { "type": "text" },
            "created": date(), "modified": date(), "valid_from": date(), "valid_until": date(),
            "revoked": { "type": "boolean" }, "confidence": { "type": "integer" }, "tlp": keyword(),
            "labels": keyword(), "sources": keyword(), "observables": held, "doc": opaque,
        }),
        RecordType::Observable => json!({
            "kind": keyword(), "value": keyword(), "first_seen": date(), "last_seen": date(), "holders": { "type": "long" },
            "entities": { "properties": { "id": keyword(), "role": keyword() } },
        }),
        RecordType::Relation => json!({ "type": keyword(), "source_id": keyword(), "target_id": keyword(), "doc": opaque }),
        RecordType::Event => json!({
            "@timestamp": date(), "source": keyword(), "fields": { "type": "flattened", "ignore_above": FLAT }, "observables": held,
            "matches": { "properties": { "entity_id": keyword(), "observable_id": keyword(), "role": keyword() } },
        }),
        _ => json!({
            "entity_id": keyword(), "observable_id": keyword(), "event_id": keyword(), "seen": date(),
            "retracted": { "type": "boolean" },
        }),
    };
    if let Value::Object(properties) = &mut properties {
        properties.insert("tenant".into(), keyword());
        properties.insert("id".into(), keyword());
        properties.insert("epoch".into(), json!({ "type": "long" }));
        properties.insert("origin".into(), keyword());
        if let Value::Object(later) = later() {
            properties.extend(later);
        }
        if ty != RecordType::Event {
            properties.insert("deleted".into(), json!({ "type": "boolean" }));
        }
    }
    properties
}
