//! Elasticsearch: one versioned index a record type behind an alias, a data stream for events.
//!
//! There are no transactions: documents are written first, each under an external version that is its epoch, so that an older one never
//! overwrites a newer and a repeated one is refused with 409, which means done, unless somebody else raised the version ([`conflict`]). The positions
//! follow, in one document a connector that also holds the generation. Deletes are documents too, marked `deleted` and hidden by the alias: a version must outlive its document.
mod bulk;
mod client;
mod config;
mod conflict;
mod document;
mod indices;
mod lease;
mod mend;
mod rebuild;
mod scan;
mod sums;

use std::collections::BTreeSet;

use async_trait::async_trait;
use sightline_failpoints::Point;
use sightline_log::{Offset, TopicPartition};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{OutputRecord, RecordType};

pub use config::{ElasticsearchConfig, Refresh};

use crate::batch::Batch;
use crate::canonical;
use crate::digest::{Slot, Sums};
use crate::sink::{Mended, Rebuild, SinkConnector, SinkError, Visit, Wrong, fail};
use client::Client;
use lease::Lease;

const TYPES: &[RecordType] = &[RecordType::Entity, RecordType::Observable, RecordType::Relation, RecordType::Event, RecordType::Sighting];

/// An Elasticsearch cluster as a sink.
pub struct ElasticsearchSink {
    connector: String,
    config: ElasticsearchConfig,
    client: Option<Client>,
    lease: Option<Lease>,
    /// What a rebuild has begun.
    places: Vec<rebuild::Place>,
}

impl ElasticsearchSink {
    /// A sink for connector `connector`; connects to nothing yet.
    pub fn new(connector: &str, config: ElasticsearchConfig) -> Self {
        Self { connector: connector.to_owned(), config, client: None, lease: None, places: Vec::new() }
    }

    /// The client; it keeps a pool of connections and mends it by itself.
    fn client(&mut self) -> Result<Client, SinkError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::new(&self.config)?,
        };
        Ok(self.client.insert(client).clone())
    }
}

#[async_trait]
impl SinkConnector for ElasticsearchSink {
    fn supports(&self) -> &'static [RecordType] {
        TYPES
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        let client = self.client()?;
        indices::ensure(&client, &self.config).await?;
        self.lease = Some(Lease::take_over(&client, &self.config, &self.connector).await?);
        Ok(())
    }

    async fn positions(&mut self) -> Result<Vec<(TopicPartition, Offset)>, SinkError> {
        let client = self.client()?;
        lease::positions(&client, &self.config, &self.connector).await
    }

    async fn put(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let client = self.client()?;
        let lease = self.lease.as_mut().ok_or_else(|| SinkError::fatal("write", "put was called before open"))?;
        // Not atomic with what follows, and need not be: what a zombie still writes is versioned, and its positions are refused.
        lease.check(&client).await?;
        fail(Point::SinkBeforeRows, &self.connector)?;
        bulk::write(&client, &self.config, batch, conflict::Trust::Epoch).await?;
        fail(Point::SinkBeforeOffset, &self.connector)?;
        if !batch.next.is_empty() {
            lease.store(&client, batch).await?;
        }
        fail(Point::SinkAfterCommit, &self.connector)
    }

    async fn scan(&mut self, ty: RecordType, visit: Visit<'_>) -> Result<(), SinkError> {
        let client = self.client()?;
        scan::scan(&client, &self.config, ty, None, visit).await
    }

    async fn scan_slots(&mut self, ty: RecordType, slots: &BTreeSet<Slot>, visit: Visit<'_>) -> Result<(), SinkError> {
        let client = self.client()?;
        scan::scan(&client, &self.config, ty, Some(slots), visit).await
    }

    async fn sums(&mut self, ty: RecordType) -> Result<Option<Sums>, SinkError> {
        let client = self.client()?;
        sums::sums(&client, &self.config, ty).await
    }

    fn digest(&self, record: &OutputRecord) -> ContentHash {
        // A document that cannot be made is in no store: any digest will do that is no other's.
        document::content(record)
            .ok()
            .and_then(|json| serde_json::from_slice(&json).ok())
            .map_or_else(|| ContentHash::of(record.id().as_bytes()), |value| canonical::digest(&value))
    }

    async fn mend(&mut self, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
        let client = self.client()?;
        let mut mended = mend::take_out(&client, &self.config, wrong, batch).await?;
        mended.written += bulk::write(&client, &self.config, batch, conflict::Trust::EpochAndMark).await?;
        Ok(mended)
    }

    fn rebuild(&mut self) -> Option<&mut dyn Rebuild> {
        Some(self)
    }

    async fn close(&mut self) {
        self.client = None;
    }
}
