//! Packages made of output rows, in place of those that have expired.
//!
//! A row of an entity names the feeds that support it, but holds the version in force only: that one is taken for each feed that the rebuilt state lacks.
//! A row of a relationship names no feed: it is the one whose package is the row's origin, and those that lack packages and support both of its ends. So a
//! relationship may outlive the feed that said it, until another that names both ends sends its next package, and none is lost with a feed that others repeat.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result};
use serde_json::Value;
use sightline_schemas::avro::{Decoder, OutputRecord, RecordType};
use sightline_topology::rebuild::Package;

use crate::difference::{Change, Output};
use crate::dump;
use crate::service::Servers;

type Feed = (String, String);

/// Packages that say what the rows say of which the rebuilt state knows less.
pub fn packages(servers: &Servers, changes: &[(Output, String, Change)]) -> Result<Vec<Package>> {
    let mut wanted: HashMap<&str, BTreeSet<String>> = HashMap::new();
    for (_, key, change) in changes.iter().filter(|(output, _, _)| *output == Output::Rows(RecordType::Entity)) {
        let feeds = match change {
            Change::Removed(row) => sources(&row["sources"]),
            // A feed that is not known there, or, where all are, one that said something newer.
            Change::Changed(fields) => match fields.get("sources") {
                Some((topics, state)) => sources(topics).difference(&sources(state)).cloned().collect(),
                None => BTreeSet::new(),
            },
            Change::Added(_) => continue,
        };
        wanted.insert(key, feeds);
    }
    let lacking: BTreeSet<String> = wanted.values().flatten().cloned().collect();
    let relations: BTreeSet<&str> = changes
        .iter()
        .filter(|(output, _, change)| *output == Output::Rows(RecordType::Relation) && !matches!(change, Change::Added(_)))
        .map(|(_, key, _)| key.as_str())
        .collect();

    let mut decoder = Decoder::new(std::sync::Arc::clone(&servers.registry));
    let (mut held, mut supporters) = (BTreeMap::new(), HashMap::new());
    dump::each(&*servers.log, &servers.topics.entities(), |record| {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        let Some(OutputRecord::Entity(entity)) = record.value.map(|value| decoder.decode(RecordType::Entity, &value)).transpose()? else {
            held.remove(&key);
            supporters.remove(&key);
            return Ok(());
        };
        if !relations.is_empty() {
            supporters.insert(key.clone(), entity.sources.clone());
        }
        if wanted.contains_key(key.as_str()) {
            held.insert(key, entity);
        }
        Ok(())
    })?;
    let mut documents: BTreeMap<Feed, BTreeMap<String, String>> = BTreeMap::new();
    for (key, entity) in held {
        let feeds = wanted.get(key.as_str()).filter(|feeds| !feeds.is_empty()).cloned();
        for feed in feeds.unwrap_or_else(|| entity.sources.iter().cloned().collect()) {
            documents.entry((entity.tenant.clone(), feed)).or_default().insert(entity.id.clone(), entity.doc.clone());
        }
    }
    if !relations.is_empty() {
        let feeds = feeds_by_origin(servers, &mut decoder)?;
        let mut newest = HashMap::new();
        dump::each(&*servers.log, &servers.topics.relations(), |record| {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            if relations.contains(key.as_str()) {
                newest.insert(key, record);
            }
            Ok(())
        })?;
        for record in newest.into_values() {
            let Some(value) = &record.value else { continue };
            let OutputRecord::Relation(relation) = decoder.decode(RecordType::Relation, value)? else { continue };
            // An embedded reference comes with its entity.
            let Some(doc) = relation.doc else { continue };
            let supports =
                |id: &str, feed: &String| supporters.get(&format!("{}:{id}", relation.tenant)).is_some_and(|feeds| feeds.contains(feed));
            let of_ends = lacking.iter().filter(|feed| supports(&relation.source_id, feed) && supports(&relation.target_id, feed));
            let of_origin = feeds.get(record.headers.text("origin").unwrap_or_default());
            for feed in of_ends.chain(of_origin).cloned() {
                documents.entry((relation.tenant.clone(), feed)).or_default().insert(relation.id.clone(), doc.clone());
            }
        }
    }
    documents.into_iter().map(|((tenant, feed), documents)| package(tenant, feed, documents)).collect()
}

fn sources(value: &Value) -> BTreeSet<String> {
    value.as_array().into_iter().flatten().filter_map(|source| source.as_str().map(str::to_owned)).collect()
}

/// Feeds by the input record that completed a package of theirs.
fn feeds_by_origin(servers: &Servers, decoder: &mut Decoder) -> Result<HashMap<String, String>> {
    let mut feeds = HashMap::new();
    dump::each(&*servers.log, &servers.topics.packages(), |record| {
        if let (Some(origin), Some(value)) = (record.headers.text("origin"), &record.value)
            && let OutputRecord::Package(package) = decoder.decode(RecordType::Package, value)?
        {
            feeds.insert(origin.to_owned(), package.feed);
        }
        Ok(())
    })?;
    Ok(feeds)
}

fn package(tenant: String, feed: String, documents: BTreeMap<String, String>) -> Result<Package> {
    let objects: Result<Vec<Value>, _> = documents.values().map(|document| serde_json::from_str(document)).collect();
    let objects = objects.with_context(|| format!("failed to read a document of feed {feed} from the topics"))?;
    let bundle = serde_json::json!({ "type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000000", "objects": objects });
    Ok(Package { tenant, feed, bytes: bundle.to_string().into() })
}
