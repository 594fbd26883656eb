//! SQLite: the tables of the contract in one file, for `demo` and `process`.
//!
//! Records and positions are one transaction. Calls block: each connector has a thread of its own, so that harms nobody.
mod config;
mod mend;
mod scan;
mod schema;
mod sums;
mod write;

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode};
use sightline_log::{Offset, TopicPartition};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{OutputRecord, RecordType};

pub use config::SqliteConfig;

use crate::batch::Batch;
use crate::digest::{Slot, Sums};
use crate::relational;
use crate::sink::{Mended, SinkConnector, SinkError, Visit, Wrong};

/// A SQLite file as a sink.
pub struct SqliteSink {
    connector: String,
    config: SqliteConfig,
    connection: Option<Connection>,
    generation: Option<i64>,
}

impl SqliteSink {
    /// A sink for connector `connector`; opens nothing yet.
    pub fn new(connector: &str, config: SqliteConfig) -> Self {
        Self { connector: connector.to_owned(), config, connection: None, generation: None }
    }

    fn connection(&mut self) -> Result<&mut Connection, SinkError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => schema::connect(&self.config)?,
        };
        Ok(self.connection.insert(connection))
    }
}

#[async_trait]
impl SinkConnector for SqliteSink {
    fn supports(&self) -> &'static [RecordType] {
        RecordType::ALL
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        let name = self.connector.clone();
        let connection = self.connection()?;
        schema::migrate(connection)?;
        self.generation = Some(schema::take_over(connection, &name)?);
        Ok(())
    }

    async fn positions(&mut self) -> Result<Vec<(TopicPartition, Offset)>, SinkError> {
        let name = self.connector.clone();
        schema::positions(self.connection()?, &name)
    }

    async fn put(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let (name, generation) = (self.connector.clone(), self.generation);
        let generation = generation.ok_or_else(|| SinkError::fatal("write", "put was called before open"))?;
        write::put(self.connection()?, &name, generation, batch)
    }

    async fn scan(&mut self, ty: RecordType, visit: Visit<'_>) -> Result<(), SinkError> {
        scan::scan(self.connection()?, ty, None, visit)
    }

    async fn scan_slots(&mut self, ty: RecordType, slots: &BTreeSet<Slot>, visit: Visit<'_>) -> Result<(), SinkError> {
        scan::scan(self.connection()?, ty, Some(slots), visit)
    }

    async fn sums(&mut self, ty: RecordType) -> Result<Option<Sums>, SinkError> {
        let config = self.config.clone();
        sums::sums(self.connection()?, &config, ty)
    }

    fn digest(&self, record: &OutputRecord) -> ContentHash {
        relational::digest(&relational::content(record))
    }

    async fn mend(&mut self, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
        mend::mend(self.connection()?, wrong, batch)
    }

    async fn close(&mut self) {
        self.connection = None;
    }
}

/// Sorts a failure by what should happen next.
fn failed(what: &'static str) -> impl Fn(rusqlite::Error) -> SinkError {
    move |error| {
        let code = error.sqlite_error_code();
        match code {
            // Another process holds the lock, or the disk is full: both pass.
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => {
                SinkError::retriable(what, error)
            }
            Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
                SinkError::Data { reason: "refused-by-store", message: error.to_string() }
            }
            _ => SinkError::fatal(what, error),
        }
    }
}
