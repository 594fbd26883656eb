//! PostgreSQL: the tables of the contract, in one schema.
//!
//! A batch is one transaction: the lease is checked and locked, rows go by binary `COPY` into temporary tables and from there by upsert
//! into theirs, deletes go by list of keys, then the positions. [`copy`] is the binary format, [`session`] a connection with its statements.
mod config;
mod copy;
mod mend;
mod partitions;
mod scan;
mod schema;
mod session;
mod sums;
mod write;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use sightline_log::{Offset, TopicPartition};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{OutputRecord, RecordType};
use tokio_postgres::error::SqlState;

pub use config::{PostgresConfig, Tls};

use crate::batch::Batch;
use crate::digest::{Slot, Sums};
use crate::relational;
use crate::sink::{Mended, SinkConnector, SinkError, Visit, Wrong};
use session::Session;

const ALL: &[RecordType] = RecordType::ALL;
const WITHOUT_EVENTS: &[RecordType] =
    &[RecordType::Entity, RecordType::Observable, RecordType::Link, RecordType::Relation, RecordType::Sighting, RecordType::Package];

/// A PostgreSQL schema as a sink.
pub struct PostgresSink {
    connector: String,
    config: PostgresConfig,
    session: Option<Session>,
    generation: Option<i64>,
    /// Days since 1970 whose partition of `event` exists, or never will.
    days: BTreeSet<i64>,
}

impl PostgresSink {
    /// A sink for connector `connector`; connects to nothing yet.
    pub fn new(connector: &str, config: PostgresConfig) -> Self {
        Self { connector: connector.to_owned(), config, session: None, generation: None, days: BTreeSet::new() }
    }

    /// The session, connected anew when it was lost.
    async fn session(&mut self) -> Result<&mut Session, SinkError> {
        let session = match self.session.take().filter(Session::is_alive) {
            Some(session) => session,
            None => session::connect(&self.config, &self.connector).await?,
        };
        Ok(self.session.insert(session))
    }

    async fn try_open(&mut self) -> Result<(), SinkError> {
        let (schema, events, connector) = (self.config.schema.clone(), self.config.events, self.connector.clone());
        let session = self.session().await?;
        schema::migrate(&mut session.client, &schema, events).await?;
        self.generation = Some(schema::take_over(&self.session().await?.client, &schema, &connector).await?);
        Ok(())
    }

    async fn try_put(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let generation = self.generation.ok_or_else(|| SinkError::fatal("write", "put was called before open"))?;
        let (schema, connector) = (self.config.schema.clone(), self.connector.clone());
        self.ensure_partitions(batch).await?;
        write::put(self.session().await?, &schema, &connector, generation, batch).await
    }

    async fn try_mend(&mut self, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
        let (schema, connector) = (self.config.schema.clone(), self.connector.clone());
        self.ensure_partitions(batch).await?;
        mend::mend(self.session().await?, &schema, &connector, wrong, batch).await
    }

    async fn ensure_partitions(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let (schema, mut days) = (self.config.schema.clone(), std::mem::take(&mut self.days));
        let session = self.session().await?;
        let ensured = partitions::ensure(&session.client, &schema, batch, &mut days).await;
        self.days = days;
        ensured
    }
}

#[async_trait]
impl SinkConnector for PostgresSink {
    fn supports(&self) -> &'static [RecordType] {
        if self.config.events { ALL } else { WITHOUT_EVENTS }
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        let timeout = self.config.timeout();
        let opened = in_time("open the database", timeout, self.try_open()).await;
        self.keep_if(opened)
    }

    async fn positions(&mut self) -> Result<Vec<(TopicPartition, Offset)>, SinkError> {
        let (schema, connector) = (self.config.schema.clone(), self.connector.clone());
        schema::positions(&self.session().await?.client, &schema, &connector).await
    }

    async fn put(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let timeout = self.config.timeout();
        let written = in_time("write a batch", timeout, self.try_put(batch)).await;
        self.keep_if(written)
    }

    async fn scan(&mut self, ty: RecordType, visit: Visit<'_>) -> Result<(), SinkError> {
        let schema = self.config.schema.clone();
        scan::scan(&self.session().await?.client, &schema, ty, None, visit).await
    }

    async fn scan_slots(&mut self, ty: RecordType, slots: &BTreeSet<Slot>, visit: Visit<'_>) -> Result<(), SinkError> {
        let schema = self.config.schema.clone();
        scan::scan(&self.session().await?.client, &schema, ty, Some(slots), visit).await
    }

    async fn sums(&mut self, ty: RecordType) -> Result<Option<Sums>, SinkError> {
        let schema = self.config.schema.clone();
        sums::sums(&mut self.session().await?.client, &schema, ty).await
    }

    fn digest(&self, record: &OutputRecord) -> ContentHash {
        relational::digest(&relational::content(record))
    }

    async fn mend(&mut self, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
        let timeout = self.config.timeout();
        let mended = in_time("mend rows", timeout, self.try_mend(wrong, batch)).await;
        self.keep_if(mended)
    }

    async fn close(&mut self) {
        self.session = None;
    }
}

impl PostgresSink {
    /// A session that failed in a way that may pass is not used again: its transaction's state is unknown.
    fn keep_if<T>(&mut self, result: Result<T, SinkError>) -> Result<T, SinkError> {
        if result.as_ref().is_err_and(SinkError::is_retriable) {
            self.session = None;
        }
        result
    }
}

async fn in_time<T>(what: &'static str, timeout: Duration, work: impl Future<Output = Result<T, SinkError>>) -> Result<T, SinkError> {
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(SinkError::retriable(what, format!("no answer within {} s", timeout.as_secs()))),
    }
}

/// Sorts a failure by what should happen next (PostgreSQL manual, appendix A: the first two characters are the class).
fn failed(what: &'static str) -> impl Fn(tokio_postgres::Error) -> SinkError + Copy {
    move |error| {
        let Some(db) = error.as_db_error() else {
            // The connection: refused, reset, closed.
            return SinkError::retriable(what, source_text(&error));
        };
        let message = format!("{} ({})", db.message(), db.code().code());
        if *db.code() == SqlState::INSUFFICIENT_PRIVILEGE {
            return SinkError::retriable(what, message);
        }
        match &db.code().code()[..2] {
            // Data exception, constraint, limit exceeded (an index entry too long).
            "22" | "23" | "54" => SinkError::Data { reason: "refused-by-store", message },
            // Syntax, a missing table or column, a feature this server lacks: waiting does not help.
            "0A" | "42" => SinkError::fatal(what, message),
            _ => SinkError::retriable(what, message),
        }
    }
}

/// The error with its cause: the outer one says only "error connecting to server".
fn source_text(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
