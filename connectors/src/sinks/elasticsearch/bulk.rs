//! A batch as bulk requests.
use std::time::Duration;

use bytes::Bytes;
use elasticsearch::http::Method;
use serde::{Deserialize, Serialize};
use sightline_schemas::avro::RecordType;

use super::client::{Client, Refusal, may_pass, parse};
use super::config::ElasticsearchConfig;
use super::{TYPES, document};
use crate::batch::{Batch, Op, SinkRecord};
use crate::sink::{Refused, SinkError};

const WHAT: &str = "write documents";
/// Items that the cluster is too busy for are sent again alone so many times before the runtime backs off.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// An action with its document, and where it stands in the batch.
struct Item {
    at: usize,
    lines: Vec<u8>,
}

pub(super) async fn write(client: &Client, config: &ElasticsearchConfig, batch: &Batch) -> Result<(), SinkError> {
    let mut refused = Vec::new();
    let mut items = Vec::new();
    let mut bytes = 0;
    for ty in TYPES {
        let target = config.alias(*ty);
        for (at, record) in batch.newest(*ty) {
            if *ty == RecordType::Event && record.op == Op::Delete {
                continue;
            }
            match lines(&target, record) {
                Ok(lines) => {
                    if bytes + lines.len() > config.bulk_bytes() && !items.is_empty() {
                        send(client, config, std::mem::take(&mut items), &mut refused).await?;
                        bytes = 0;
                    }
                    bytes += lines.len();
                    items.push(Item { at, lines });
                }
                Err(error) => refused.push(Refused { at, reason: "invalid-document", message: error.to_string() }),
            }
        }
    }
    send(client, config, items, &mut refused).await?;
    if refused.is_empty() { Ok(()) } else { Err(SinkError::Refused(refused)) }
}

/// Sends items; those that the cluster was too busy for again, those that it will never take into `refused`.
async fn send(client: &Client, config: &ElasticsearchConfig, mut items: Vec<Item>, refused: &mut Vec<Refused>) -> Result<(), SinkError> {
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
                refused.push(Refused { at: items[0].at, reason: "too-large", message });
                return Ok(());
            }
            Err(refusal) => return Err(refusal.fatal(WHAT)),
        };
        let answer: Answer = parse(WHAT, &answer)?;
        if !answer.errors {
            return Ok(());
        }
        if answer.items.len() != items.len() {
            return Err(SinkError::retriable(WHAT, "the answer has another number of items than the request"));
        }
        let mut again = Vec::new();
        for (item, outcome) in items.into_iter().zip(answer.items) {
            let Outcome { status, error } = outcome.into_inner();
            match status {
                // 409: this version, or a newer one, is there already.
                200..=299 | 409 => {}
                _ if may_pass(status) => {
                    busy = error.unwrap_or_default().to_string();
                    again.push(item);
                }
                404 => {
                    return Err(SinkError::fatal(WHAT, format!("an index is gone; restart the connector: {}", error.unwrap_or_default())));
                }
                _ => {
                    let message = error.unwrap_or_default().to_string();
                    refused.push(Refused { at: item.at, reason: "refused-by-store", message });
                }
            }
        }
        items = again;
    }
    if items.is_empty() { Ok(()) } else { Err(SinkError::retriable(WHAT, format!("{} documents: {busy}", items.len()))) }
}

fn lines(target: &str, record: &SinkRecord) -> Result<Vec<u8>, serde_json::Error> {
    let id = document::id(record);
    let action = match record.ty {
        RecordType::Event => Action::Create { index: target, id: &id },
        _ => Action::Index { index: target, id: &id, version: record.epoch, version_type: "external", require_alias: true },
    };
    let mut lines = serde_json::to_vec(&action)?;
    lines.push(b'\n');
    lines.extend(document::document(record)?);
    lines.push(b'\n');
    Ok(lines)
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Action<'a> {
    /// Only if there is none of that id: all that a data stream takes.
    Create {
        #[serde(rename = "_index")]
        index: &'a str,
        #[serde(rename = "_id")]
        id: &'a str,
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
}

impl Done {
    fn into_inner(self) -> Outcome {
        match self {
            Self::Create(outcome) | Self::Index(outcome) => outcome,
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
