//! A batch as bulk requests.
use std::time::Duration;

use bytes::Bytes;
use elasticsearch::http::Method;
use serde::{Deserialize, Serialize};
use sightline_schemas::avro::RecordType;

use super::client::{Client, Refusal, may_pass, parse};
use super::config::ElasticsearchConfig;
use super::conflict::{self, Trust};
use super::{TYPES, document, indices};
use crate::batch::{Batch, Op, SinkRecord};
use crate::sink::{Refused, SinkError};

const WHAT: &str = "write documents";
/// Items that the cluster is too busy for are sent again alone so many times before the runtime backs off.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// An action with its document, and where it stands in the batch.
pub(super) struct Item {
    pub at: usize,
    pub lines: Vec<u8>,
}

/// What became of items, by their places in the batch.
#[derive(Default)]
pub(super) struct Told {
    /// Those that the cluster will never take.
    pub refused: Vec<Refused>,
    /// Those whose version, or condition, did not hold.
    pub conflicts: Vec<usize>,
    /// How many went in.
    pub written: u64,
}

/// Writes the newest record of each key. `trust`: what of a document that is in the way tells that it is ours.
pub(super) async fn write(client: &Client, config: &ElasticsearchConfig, batch: &Batch, trust: Trust) -> Result<u64, SinkError> {
    let mut told = Told::default();
    put(client, config, batch, &|alias| alias, &mut told).await?;
    conflict::settle(client, config, batch, trust, &mut told).await?;
    if told.refused.is_empty() { Ok(told.written) } else { Err(SinkError::Refused(told.refused)) }
}

/// Sends the newest record of each key under its epoch; `through`: the alias to write through, made of that to read through.
pub(super) async fn put(
    client: &Client,
    config: &ElasticsearchConfig,
    batch: &Batch,
    through: &(dyn Fn(String) -> String + Sync),
    told: &mut Told,
) -> Result<(), SinkError> {
    let mut items = Vec::new();
    let mut bytes = 0;
    for ty in TYPES {
        let target = through(config.alias(*ty));
        for (at, record) in batch.newest(*ty) {
            if *ty == RecordType::Event && record.op == Op::Delete {
                continue;
            }
            match lines(&target, record) {
                Ok(lines) => {
                    if bytes + lines.len() > config.bulk_bytes() && !items.is_empty() {
                        send(client, config, std::mem::take(&mut items), told).await?;
                        bytes = 0;
                    }
                    bytes += lines.len();
                    items.push(Item { at, lines });
                }
                Err(error) => told.refused.push(Refused { at, reason: "invalid-document", message: error.to_string() }),
            }
        }
    }
    send(client, config, items, told).await
}

/// Sends items; those that the cluster was too busy for again.
pub(super) async fn send(client: &Client, config: &ElasticsearchConfig, mut items: Vec<Item>, told: &mut Told) -> Result<(), SinkError> {
    let mut busy = String::new();
    for attempt in 0..TRIES {
        if items.is_empty() {
            return Ok(());
        }
        if attempt > 0 {
            tokio::time::sleep(PAUSE * 4u32.pow(attempt - 1)).await;
        }
        let body: Vec<u8> = items.iter().flat_map(|item| &item.lines).copied().collect();
        let path =
            format!("/_bulk?refresh={}&filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason", config.refresh.as_str());
        let answer = match client.send(WHAT, Method::Post, &path, Some(Bytes::from(body))).await? {
            Ok(answer) => answer,
            // The request is larger than the cluster takes: one document is at fault, or the setting bulk_bytes.
            Err(Refusal { status: 413, .. }) if items.len() == 1 => {
                let message = "the document is larger than http.max_content_length of the cluster".into();
                told.refused.push(Refused { at: items[0].at, reason: "too-large", message });
                return Ok(());
            }
            Err(refusal) => return Err(refusal.fatal(WHAT)),
        };
        let answer: Answer = parse(WHAT, &answer)?;
        if !answer.errors {
            told.written += items.len() as u64;
            return Ok(());
        }
        if answer.items.len() != items.len() {
            return Err(SinkError::retriable(WHAT, "the answer has another number of items than the request"));
        }
        let mut again = Vec::new();
        for (item, outcome) in items.into_iter().zip(answer.items) {
            let Outcome { status, error } = outcome.into_inner();
            match status {
                200..=299 => told.written += 1,
                409 => told.conflicts.push(item.at),
                _ if may_pass(status) => {
                    busy = error.unwrap_or_default().to_string();
                    again.push(item);
                }
                // A document to be deleted is gone already: no error, but no index either.
                404 if error.is_none() => {}
                // A rebuild has swapped the aliases and dropped the index that this one led to: the next try goes to the new one.
                404 if aliases_lead_somewhere(client, config).await? => {
                    busy = error.unwrap_or_default().to_string();
                    again.push(item);
                }
                404 => {
                    return Err(SinkError::fatal(WHAT, format!("an index is gone; restart the connector: {}", error.unwrap_or_default())));
                }
                _ => {
                    let message = error.unwrap_or_default().to_string();
                    told.refused.push(Refused { at: item.at, reason: "refused-by-store", message });
                }
            }
        }
        items = again;
    }
    if items.is_empty() { Ok(()) } else { Err(SinkError::retriable(WHAT, format!("{} documents: {busy}", items.len()))) }
}

async fn aliases_lead_somewhere(client: &Client, config: &ElasticsearchConfig) -> Result<bool, SinkError> {
    for ty in indices::ALIASED {
        let path = format!("/_alias/{}", config.alias(*ty));
        if client.ask::<serde::de::IgnoredAny>(WHAT, Method::Get, &path, None).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn lines(target: &str, record: &SinkRecord) -> Result<Vec<u8>, serde_json::Error> {
    let id = document::id(record);
    match record.ty {
        RecordType::Event => Action::Create { index: target, id: &id, require_alias: false },
        _ => Action::Index { index: target, id: &id, version: record.epoch, version_type: "external", require_alias: true },
    }
    .lines(Some(record), None)
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action<'a> {
    /// Only if there is none of that id: all that a data stream takes.
    Create {
        #[serde(rename = "_index")]
        index: &'a str,
        #[serde(rename = "_id")]
        id: &'a str,
        require_alias: bool,
    },
    Index {
        #[serde(rename = "_index")]
        index: &'a str,
        #[serde(rename = "_id")]
        id: &'a str,
        version: u64,
        version_type: &'a str,
        /// An alias that is gone must not come back as an index of default mappings.
        require_alias: bool,
    },
    /// In place of the document as it was read.
    #[serde(rename = "index")]
    Replace {
        #[serde(rename = "_index")]
        index: &'a str,
        #[serde(rename = "_id")]
        id: &'a str,
        if_seq_no: u64,
        if_primary_term: u64,
    },
    /// The document as it was read.
    Delete {
        #[serde(rename = "_index")]
        index: &'a str,
        #[serde(rename = "_id")]
        id: &'a str,
        if_seq_no: u64,
        if_primary_term: u64,
    },
}

impl Action<'_> {
    /// The lines of a bulk request: the action, and its document if it has one.
    /// `version`: the one that the document gets, if that is not its epoch.
    pub(super) fn lines(&self, record: Option<&SinkRecord>, version: Option<u64>) -> Result<Vec<u8>, serde_json::Error> {
        let mut lines = serde_json::to_vec(self)?;
        lines.push(b'\n');
        if let Some(record) = record {
            lines.extend(document::document(record, version)?);
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

#[derive(Deserialize)]
struct Answer {
    errors: bool,
    #[serde(default)]
    items: Vec<Done>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Done {
    Create(Outcome),
    Index(Outcome),
    Delete(Outcome),
}

impl Done {
    fn into_inner(self) -> Outcome {
        match self {
            Self::Create(outcome) | Self::Index(outcome) | Self::Delete(outcome) => outcome,
        }
    }
}

#[derive(Deserialize)]
struct Outcome {
    status: u16,
    error: Option<Reason>,
}

#[derive(Deserialize, Default)]
struct Reason {
    #[serde(rename = "type", default)]
    ty: String,
    #[serde(default)]
    reason: String,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.ty, self.reason)
    }
}
