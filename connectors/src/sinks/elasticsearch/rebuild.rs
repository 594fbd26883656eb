//! New indices beside the live ones, swapped in when they are full.
//!
//! What a rebuild has made and not finished is told by aliases, which change together in one request:
//!
//! ```text
//!              soc-entities    soc-entities-next   soc-entities-old
//!  begun       …-1             …-2                                     …-2 is filled through soc-entities-next
//!  held        …-1 (blocked)   …-2                                     writes to …-1 are refused with 403, and tried again by the connector
//!  swapped     …-2                                 …-1                 one request
//!  finished    …-2                                                     …-1 is dropped when nobody searches it any more
//! ```
//! So whoever begins finds what was left under the second and third alias, drops it, and lifts the block. A swap that somebody has sent who
//! was then killed may still be on its way: the cluster takes changes of aliases one after the other, so whoever begins first moves the
//! second alias to the third. The other's swap, which asks for the second, was before it or is refused.
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use elasticsearch::http::Method;
use serde_json::{Map, Value, json};
use sightline_schemas::avro::RecordType;

use super::bulk::{self, Told};
use super::client::{Client, Refusal};
use super::{ElasticsearchSink, indices};
use crate::batch::Batch;
use crate::sink::{Rebuild, SinkError};

const WHAT: &str = "rebuild the indices";
/// A search may have found the old index a moment before the aliases changed.
const GRACE: Duration = Duration::from_secs(2);

/// An alias, and the indices that change places under it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    alias: String,
    live: String,
    next: String,
}

fn next_of(alias: &str) -> String {
    format!("{alias}-next")
}
fn old_of(alias: &str) -> String {
    format!("{alias}-old")
}

#[async_trait]
impl Rebuild for ElasticsearchSink {
    fn types(&self) -> &'static [RecordType] {
        indices::ALIASED
    }

    async fn begin(&mut self, types: &[RecordType]) -> Result<(), SinkError> {
        let client = self.client()?;
        let mut places = Vec::new();
        for ty in types {
            let alias = self.config.alias(*ty);
            fence(&client, &alias).await?;
            let live = match &leads_to(&client, &alias).await?[..] {
                [live] => live.clone(),
                others => {
                    let message = format!("alias {alias} leads to {} indices; it must lead to one: start the connector once", others.len());
                    return Err(SinkError::fatal(WHAT, message));
                }
            };
            // Of a name that is dropped now a request may be on its way: it is not used again.
            let next = format!("{alias}-{}", highest(&client, &alias).await? + 1);
            clear(&client, &alias, &live).await?;
            indices::create_beside(&client, &self.config, *ty, &next, &next_of(&alias)).await?;
            places.push(Place { alias, live, next });
        }
        self.places = places;
        Ok(())
    }

    async fn fill(&mut self, batch: &Batch) -> Result<u64, SinkError> {
        let (client, mut told) = (self.client()?, Told::default());
        bulk::put(&client, &self.config, batch, &|alias| next_of(&alias), &mut told).await?;
        if told.refused.is_empty() { Ok(told.written) } else { Err(SinkError::Refused(told.refused)) }
    }

    async fn hold(&mut self) -> Result<(), SinkError> {
        let client = self.client()?;
        for place in &self.places {
            // Returns when no write is under way any more.
            done(&client, Method::Put, &format!("/{}/_block/write", place.live), None).await?;
        }
        Ok(())
    }

    async fn release(&mut self) -> Result<(), SinkError> {
        let client = self.client()?;
        for place in &self.places {
            let next = leads_to(&client, &next_of(&place.alias)).await?;
            if next == [place.next.as_str()] {
                // A swap of ours whose answer was lost must not come after the connector writes again.
                fence(&client, &place.alias).await?;
            } else if !leads_to(&client, &old_of(&place.alias)).await?.contains(&place.next) {
                // It is swapped, or another rebuild has begun since, and the block is its own.
                continue;
            }
            // Fenced now, or by an earlier try that went no further.
            unblock(&client, &place.live).await?;
        }
        Ok(())
    }

    async fn swap(&mut self, keep_old: bool) -> Result<(), SinkError> {
        let client = self.client()?;
        let mut actions = Vec::new();
        for Place { alias, live, next } in &self.places {
            // An earlier try went through, and its answer was lost.
            if leads_to(&client, alias).await? == [next.as_str()] {
                return Ok(());
            }
            done(&client, Method::Put, &format!("/{next}/_settings"), Some(json!({ "index.refresh_interval": null }))).await?;
            done(&client, Method::Post, &format!("/{next}/_refresh"), None).await?;
            let mut shown = indices::shown();
            shown["index"] = next.as_str().into();
            shown["alias"] = alias.as_str().into();
            actions.push(json!({ "add": shown }));
            actions.push(json!({ "remove": { "index": next, "alias": next_of(alias), "must_exist": true } }));
            actions.push(json!({ "remove": { "index": live, "alias": alias, "must_exist": true } }));
            if !keep_old {
                actions.push(json!({ "add": { "index": live, "alias": old_of(alias) } }));
            }
        }
        match client.send(WHAT, Method::Post, "/_aliases", Some(Bytes::from(json!({ "actions": actions }).to_string()))).await? {
            Ok(_) => Ok(()),
            Err(Refusal { status: 404, .. }) if self.is_swapped(&client).await? => Ok(()),
            Err(Refusal { status: 404, .. }) => {
                Err(SinkError::fatal(WHAT, "another rebuild of these indices has begun since; this one ends"))
            }
            Err(refusal) => Err(refusal.fatal(WHAT)),
        }
    }

    async fn finish(&mut self, patience: Duration) -> Result<Vec<String>, SinkError> {
        let (client, began) = (self.client()?, Instant::now());
        let mut left = Vec::new();
        for place in &self.places {
            left.extend(leads_to(&client, &old_of(&place.alias)).await?);
        }
        loop {
            tokio::time::sleep(GRACE.min(patience)).await;
            let mut searched = Vec::new();
            for index in left {
                if is_searched(&client, &index).await? {
                    searched.push(index);
                } else {
                    drop_index(&client, &index).await?;
                }
            }
            left = searched;
            if left.is_empty() || began.elapsed() >= patience {
                break;
            }
        }
        Ok(left)
    }
}

impl ElasticsearchSink {
    /// Whether the new indices are the live ones.
    async fn is_swapped(&self, client: &Client) -> Result<bool, SinkError> {
        for place in &self.places {
            if leads_to(client, &place.alias).await? != [place.next.as_str()] {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The indices that an alias leads to.
async fn leads_to(client: &Client, alias: &str) -> Result<Vec<String>, SinkError> {
    let found: Option<Map<String, Value>> = client.ask(WHAT, Method::Get, &format!("/_alias/{alias}"), None).await?;
    Ok(found.map(|found| found.into_iter().map(|(index, _)| index).collect()).unwrap_or_default())
}

/// Takes what an unfinished rebuild fills out of its hands: no swap that it sent takes effect any more, or it has.
async fn fence(client: &Client, alias: &str) -> Result<(), SinkError> {
    let (next, old) = (next_of(alias), old_of(alias));
    loop {
        let filling = leads_to(client, &next).await?;
        if filling.is_empty() {
            return Ok(());
        }
        let actions: Vec<Value> = filling
            .iter()
            .flat_map(|index| {
                let out = json!({ "remove": { "index": index, "alias": next, "must_exist": true } });
                [out, json!({ "add": { "index": index, "alias": old } })]
            })
            .collect();
        let body = Bytes::from(json!({ "actions": actions }).to_string());
        match client.send(WHAT, Method::Post, "/_aliases", Some(body)).await? {
            // It has changed meanwhile: a swap came first, or somebody else cleared it.
            Ok(_) | Err(Refusal { status: 404, .. }) => {}
            Err(refusal) => return Err(refusal.fatal(WHAT)),
        }
    }
}

/// Removes what an unfinished rebuild has left; it was fenced.
async fn clear(client: &Client, alias: &str, live: &str) -> Result<(), SinkError> {
    let mut left = leads_to(client, &old_of(alias)).await?;
    left.retain(|index| index != live);
    unblock(client, live).await?;
    if !left.is_empty() {
        // One of them may have been the live one until now.
        tokio::time::sleep(GRACE).await;
    }
    for index in left {
        drop_index(client, &index).await?;
    }
    Ok(())
}

/// The highest number of an index of this alias.
async fn highest(client: &Client, alias: &str) -> Result<u64, SinkError> {
    let path = format!("/{alias}-*?expand_wildcards=all&filter_path=*.settings.index.uuid");
    let found: Option<Map<String, Value>> = client.ask(WHAT, Method::Get, &path, None).await?;
    let number = |index: &String| index.strip_prefix(alias)?.strip_prefix('-')?.parse().ok();
    Ok(found.iter().flat_map(Map::keys).filter_map(number).max().unwrap_or(0))
}

async fn unblock(client: &Client, index: &str) -> Result<(), SinkError> {
    done(client, Method::Put, &format!("/{index}/_settings"), Some(json!({ "index.blocks.write": null }))).await
}

/// Whether searches, or points in time that they come back to, are open.
async fn is_searched(client: &Client, index: &str) -> Result<bool, SinkError> {
    let stats: Option<Value> = client.ask(WHAT, Method::Get, &format!("/{index}/_stats/search"), None).await?;
    let search = stats.map(|mut stats| stats["_all"]["total"]["search"].take()).unwrap_or_default();
    Ok(["open_contexts", "query_current", "fetch_current", "scroll_current"].iter().any(|name| search[name].as_u64().unwrap_or(0) > 0))
}

async fn drop_index(client: &Client, index: &str) -> Result<(), SinkError> {
    match client.send(WHAT, Method::Delete, &format!("/{index}"), None).await? {
        Ok(_) | Err(Refusal { status: 404, .. }) => Ok(()),
        Err(refusal) => Err(refusal.fatal(WHAT)),
    }
}

async fn done(client: &Client, method: Method, path: &str, body: Option<Value>) -> Result<(), SinkError> {
    match client.send(WHAT, method, path, body.map(|body| Bytes::from(body.to_string()))).await? {
        Ok(_) => Ok(()),
        Err(refusal) => Err(refusal.fatal(WHAT)),
    }
}
