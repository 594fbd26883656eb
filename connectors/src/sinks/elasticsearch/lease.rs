//! The document that holds a connector's positions and generation.
//!
//! Every write of it names the sequence number that it replaces, so of two holders only one can go on: whoever takes over changes the
//! number, and the other's next write conflicts.
use std::collections::BTreeMap;

use bytes::Bytes;
use elasticsearch::http::Method;
use serde::{Deserialize, Serialize};
use sightline_log::{Offset, TopicPartition};

use super::client::{Client, Refusal};
use super::config::ElasticsearchConfig;
use crate::batch::Batch;
use crate::sink::SinkError;

/// Others that take over at the same moment are waited out so many times before the runtime backs off.
const TRIES: usize = 5;

pub(super) struct Lease {
    path: String,
    connector: String,
    generation: u64,
    epoch: u64,
    positions: BTreeMap<TopicPartition, Offset>,
    sequence: Sequence,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Sequence {
    #[serde(rename = "_seq_no")]
    number: u64,
    #[serde(rename = "_primary_term")]
    term: u64,
}

#[derive(Debug, Deserialize)]
struct Held {
    #[serde(flatten)]
    sequence: Sequence,
    #[serde(rename = "_source")]
    source: Source,
}

#[derive(Debug, Serialize, Deserialize)]
struct Source {
    connector: String,
    generation: u64,
    epoch: u64,
    positions: Vec<Position>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Position {
    topic: String,
    part: i32,
    next_offset: i64,
}

impl Source {
    fn positions(self) -> BTreeMap<TopicPartition, Offset> {
        self.positions.into_iter().map(|p| (TopicPartition::new(p.topic, p.part), Offset(p.next_offset))).collect()
    }
}

fn path(config: &ElasticsearchConfig, connector: &str) -> String {
    // Names of connectors hold nothing that a path would have to escape.
    format!("/{}/_doc/{connector}", config.offsets())
}

pub(super) async fn positions(
    client: &Client,
    config: &ElasticsearchConfig,
    connector: &str,
) -> Result<Vec<(TopicPartition, Offset)>, SinkError> {
    let held: Option<Held> = client.ask("read the positions", Method::Get, &path(config, connector), None).await?;
    Ok(held.map(|held| held.source.positions().into_iter().collect()).unwrap_or_default())
}

impl Lease {
    pub(super) async fn take_over(client: &Client, config: &ElasticsearchConfig, connector: &str) -> Result<Self, SinkError> {
        const WHAT: &str = "take the connector over";
        let path = path(config, connector);
        for _ in 0..TRIES {
            let held: Option<Held> = client.ask(WHAT, Method::Get, &path, None).await?;
            let (condition, sequence) = match &held {
                None => ("op_type=create".to_owned(), Sequence { number: 0, term: 0 }),
                Some(Held { sequence, .. }) => (format!("if_seq_no={}&if_primary_term={}", sequence.number, sequence.term), *sequence),
            };
            let (generation, epoch, positions) = match held {
                None => (1, 0, BTreeMap::new()),
                Some(Held { source, .. }) => (source.generation + 1, source.epoch, source.positions()),
            };
            let mut lease = Self { path: path.clone(), connector: connector.to_owned(), generation, epoch, positions, sequence };
            if lease.write(WHAT, client, &condition).await? {
                return Ok(lease);
            }
        }
        Err(SinkError::retriable(WHAT, "others are taking it over at the same time"))
    }

    /// Fails when somebody else has taken over.
    pub(super) async fn check(&mut self, client: &Client) -> Result<(), SinkError> {
        let held: Option<Held> = client.ask("read the lease", Method::Get, &self.path, None).await?;
        match held {
            Some(held) if held.source.generation == self.generation => {
                self.sequence = held.sequence;
                Ok(())
            }
            _ => Err(SinkError::Fenced { connector: self.connector.clone() }),
        }
    }

    /// Stores the positions of a batch.
    pub(super) async fn store(&mut self, client: &Client, batch: &Batch) -> Result<(), SinkError> {
        self.positions.extend(batch.next.iter().cloned());
        self.epoch = self.epoch.max(batch.epoch());
        for _ in 0..TRIES {
            let condition = format!("if_seq_no={}&if_primary_term={}", self.sequence.number, self.sequence.term);
            if self.write("write the positions", client, &condition).await? {
                return Ok(());
            }
            // Either fenced, or an earlier write of ours went through and its answer was lost.
            self.check(client).await?;
        }
        Err(SinkError::retriable("write the positions", "the document keeps changing"))
    }

    /// False when the condition does not hold.
    async fn write(&mut self, what: &'static str, client: &Client, condition: &str) -> Result<bool, SinkError> {
        let source = Source {
            connector: self.connector.clone(),
            generation: self.generation,
            epoch: self.epoch,
            positions: self
                .positions
                .iter()
                .map(|(partition, next)| Position { topic: partition.topic.to_string(), part: partition.partition, next_offset: next.0 })
                .collect(),
        };
        let body = serde_json::to_vec(&source).map_err(|error| SinkError::fatal(what, error))?;
        match client.send(what, Method::Put, &format!("{}?{condition}", self.path), Some(Bytes::from(body))).await? {
            Ok(answer) => {
                self.sequence = super::client::parse(what, &answer)?;
                Ok(true)
            }
            Err(Refusal { status: 409, .. }) => Ok(false),
            Err(refusal) => Err(refusal.fatal(what)),
        }
    }
}
