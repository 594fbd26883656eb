//! Neo4j: entities and observables as nodes, links, relations and sightings as edges.
//!
//! A batch is one transaction, positions included, that first locks the connector's lease. Record types arrive independently, so an edge
//! may come before its ends: the missing end is made as a *stub*, a node with its key and `stub: true`, which the entity or observable
//! turns into itself when it comes; a deleted one that still has edges becomes a stub again, and a stub goes with its last edge.
//! [`known`] is why re-writing an edge is cheap, [`rows`] what the records look like, [`content`] what is read of them, [`cypher`] the statements.
mod config;
mod content;
mod cypher;
mod known;
mod mend;
mod rows;
mod scan;
mod schema;
mod session;
mod sums;
mod write;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use neo4rs::{ConfigBuilder, Graph, Neo4jClientErrorKind, Neo4jErrorKind};
use sightline_log::{Offset, TopicPartition};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{OutputRecord, RecordType};

pub use config::Neo4jConfig;

use crate::batch::Batch;
use crate::digest::{Slot, Sums};
use crate::sink::{Mended, SinkConnector, SinkError, Visit, Wrong};
use known::KnownEdges;

const TYPES: &[RecordType] = &[RecordType::Entity, RecordType::Observable, RecordType::Link, RecordType::Relation, RecordType::Sighting];

/// A Neo4j database as a sink.
pub struct Neo4jSink {
    connector: String,
    config: Neo4jConfig,
    graph: Option<Graph>,
    generation: Option<i64>,
    known: KnownEdges,
}

impl Neo4jSink {
    /// A sink for connector `connector`; connects to nothing yet.
    pub fn new(connector: &str, config: Neo4jConfig) -> Self {
        Self { connector: connector.to_owned(), config, graph: None, generation: None, known: KnownEdges::default() }
    }

    /// The connection pool, made anew after a failure: a connection may have been left within a transaction.
    async fn graph(&mut self) -> Result<Graph, SinkError> {
        if let Some(graph) = &self.graph {
            return Ok(graph.clone());
        }
        let options = ConfigBuilder::new()
            .uri(&self.config.url)
            .user(&self.config.user)
            .password(self.config.password.clone().unwrap_or_default())
            .db(self.config.database.as_str())
            .fetch_size(scan::PAGE)
            .max_connections(sums::PARTS)
            .build()
            .map_err(|error| SinkError::fatal("read the options", error))?;
        let graph = Graph::connect(options).await.map_err(failed("connect"))?;
        Ok(self.graph.insert(graph).clone())
    }

    async fn try_open(&mut self) -> Result<(), SinkError> {
        let graph = self.graph().await?;
        schema::ensure(&graph).await?;
        self.generation = Some(schema::take_over(&graph, &self.connector).await?);
        // After the take-over, so that no older holder adds edges that would not be known here.
        self.known = KnownEdges::load(&graph, &self.connector).await?;
        Ok(())
    }

    async fn try_put(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let generation = self.generation.ok_or_else(|| SinkError::fatal("write", "put was called before open"))?;
        let graph = self.graph().await?;
        write::put(&graph, &self.connector, generation, batch, &mut self.known).await
    }

    async fn try_mend(&mut self, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
        let graph = self.graph().await?;
        mend::mend(&graph, &self.connector, wrong, batch).await
    }

    fn keep_if<T>(&mut self, result: Result<T, SinkError>) -> Result<T, SinkError> {
        if result.is_err() {
            self.graph = None;
        }
        result
    }
}

#[async_trait]
impl SinkConnector for Neo4jSink {
    fn supports(&self) -> &'static [RecordType] {
        TYPES
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        let timeout = self.config.timeout();
        let opened = in_time("open the database", timeout, self.try_open()).await;
        self.keep_if(opened)
    }

    async fn positions(&mut self) -> Result<Vec<(TopicPartition, Offset)>, SinkError> {
        let (timeout, graph) = (self.config.timeout(), self.graph().await?);
        let positions = in_time("read the positions", timeout, schema::positions(&graph, &self.connector)).await;
        self.keep_if(positions)
    }

    async fn put(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let timeout = self.config.timeout();
        let written = in_time("write a batch", timeout, self.try_put(batch)).await;
        self.keep_if(written)
    }

    async fn scan(&mut self, ty: RecordType, visit: Visit<'_>) -> Result<(), SinkError> {
        let graph = self.graph().await?;
        let scanned = scan::scan(&graph, ty, None, visit).await;
        self.keep_if(scanned)
    }

    async fn scan_slots(&mut self, ty: RecordType, slots: &BTreeSet<Slot>, visit: Visit<'_>) -> Result<(), SinkError> {
        let graph = self.graph().await?;
        let scanned = scan::scan(&graph, ty, Some(slots), visit).await;
        self.keep_if(scanned)
    }

    async fn sums(&mut self, ty: RecordType) -> Result<Option<Sums>, SinkError> {
        let graph = self.graph().await?;
        let sums = sums::sums(&graph, ty).await;
        self.keep_if(sums)
    }

    async fn sealed_sums(&mut self, ty: RecordType) -> Result<Option<Sums>, SinkError> {
        let graph = self.graph().await?;
        let sums = sums::sealed(&graph, ty).await;
        self.keep_if(sums.map(Some))
    }

    fn digest(&self, record: &OutputRecord) -> ContentHash {
        content::digest_of(record)
    }

    async fn mend(&mut self, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
        let timeout = self.config.timeout();
        let mended = in_time("mend the graph", timeout, self.try_mend(wrong, batch)).await;
        self.keep_if(mended)
    }

    async fn close(&mut self) {
        self.graph = None;
    }
}

async fn in_time<T>(what: &'static str, timeout: Duration, work: impl Future<Output = Result<T, SinkError>>) -> Result<T, SinkError> {
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(SinkError::retriable(what, format!("no answer within {} s", timeout.as_secs()))),
    }
}

/// Sorts a failure by what should happen next (Neo4j manual, "Status codes").
fn failed(what: &'static str) -> impl Fn(neo4rs::Error) -> SinkError + Copy {
    use neo4rs::Error;
    move |error| match &error {
        Error::Neo4j(inner) => match (inner.kind(), inner.code()) {
            (_, "Neo.ClientError.Statement.SyntaxError" | "Neo.ClientError.Statement.NotSystemDatabaseError") => {
                SinkError::fatal(what, error)
            }
            (Neo4jErrorKind::Client(Neo4jClientErrorKind::Other), code) if is_data(code) => {
                SinkError::Data { reason: "refused-by-store", message: error.to_string() }
            }
            _ => SinkError::retriable(what, error),
        },
        Error::StringTooLong | Error::MapTooBig | Error::BytesTooBig | Error::ListTooLong => {
            SinkError::Data { reason: "too-large", message: error.to_string() }
        }
        Error::UrlParseError(_)
        | Error::UnsupportedScheme(_)
        | Error::InvalidDnsName(_)
        | Error::InvalidConfig
        | Error::UnsupportedVersion(_) => SinkError::fatal(what, error),
        _ => SinkError::retriable(what, error),
    }
}

fn is_data(code: &str) -> bool {
    ["Neo.ClientError.Statement.", "Neo.ClientError.Schema.ConstraintValidationFailed"].iter().any(|class| code.starts_with(class))
}
