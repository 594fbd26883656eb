//! How to reach the cluster, and what its clients may use.
use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;

use super::flush::{BATCH_BYTES, LINGER_MS};
use crate::error::LogError;

/// A cluster's address and the bounds of its clients.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaOptions {
    /// `host:port,host:port`.
    pub bootstrap: String,
    /// Any property of librdkafka (`security.protocol`, `sasl.mechanism`, `ssl.ca.location`, …), passed on as it is.
    pub properties: BTreeMap<String, String>,
    /// The largest record, with its key and headers. Topics that this program creates take as much.
    pub record_bytes: usize,
    /// What a reader may hold that was fetched and not polled yet, over all its partitions.
    pub read_ahead_bytes: usize,
    /// What a writer may hold that is not acknowledged yet.
    pub write_behind_bytes: usize,
    /// How long a question to the cluster may take.
    pub request_timeout: Duration,
    /// After this long without a commit the broker drops a transaction. Brokers refuse more than 15 minutes.
    pub transaction_timeout: Duration,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            bootstrap: "127.0.0.1:9092".into(),
            properties: BTreeMap::new(),
            record_bytes: 16 << 20,
            read_ahead_bytes: 64 << 20,
            write_behind_bytes: 256 << 20,
            request_timeout: Duration::from_secs(10),
            transaction_timeout: Duration::from_secs(60),
        }
    }
}

/// What exactly-once rests on; no file may change it.
const OURS: [&str; 12] = [
    "bootstrap.servers",
    "group.id",
    "isolation.level",
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "enable.idempotence",
    "transactional.id",
    "transaction.timeout.ms",
    "delivery.report.only.error",
    "message.max.bytes",
];

impl KafkaOptions {
    /// What every client has: `defaults`, over them the user's properties.
    fn client(&self, defaults: &[(&str, String)]) -> Result<ClientConfig, LogError> {
        if let Some(key) = self.properties.keys().find(|key| OURS.contains(&key.as_str())) {
            let message = format!("the property {key} is Sightline's own to set; remove it");
            return Err(LogError::Fatal { what: "set up the Kafka client", message });
        }
        let mut config = ClientConfig::new();
        config.set("client.id", "sightline");
        for (key, value) in defaults {
            config.set(*key, value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.bootstrap);
        config.set("message.max.bytes", self.record_bytes.clamp(1_000, 1_000_000_000).to_string());
        Ok(config)
    }

    pub(super) fn consumer(&self, group: &str) -> Result<ClientConfig, LogError> {
        self.reading(group, 1)
    }

    /// A consumer of so many partitions.
    pub(super) fn reading(&self, group: &str, partitions: usize) -> Result<ClientConfig, LogError> {
        // librdkafka counts the queue by partition, in KiB.
        let queue = (self.read_ahead_bytes / partitions.max(1) / 1024).clamp(64, 2_097_151);
        // A response holds at least one record however large, and the frame around it.
        let response = (self.record_bytes + (64 << 20)).clamp(1_000, 2_000_000_000);
        let mut config = self.client(&[
            ("fetch.wait.max.ms", "20".into()),
            ("fetch.error.backoff.ms", "50".into()),
            // The time until a full queue is looked at again: 1 s by default, which starves a quick reader.
            ("fetch.queue.backoff.ms", "5".into()),
            ("queued.max.messages.kbytes", queue.to_string()),
            ("queued.min.messages", "100000".into()),
            ("fetch.max.bytes", (32 << 20).max(self.record_bytes).to_string()),
            ("receive.message.max.bytes", response.to_string()),
        ])?;
        config
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        Ok(config)
    }

    /// An idempotent producer.
    pub(super) fn producer(&self) -> Result<ClientConfig, LogError> {
        let mut config = self.client(&[
            // Full batches go at once, the rest by `flush`.
            ("linger.ms", LINGER_MS.to_string()),
            ("batch.size", BATCH_BYTES.to_string()),
            // A batch ends by its bytes.
            ("batch.num.messages", "100000".into()),
            ("compression.type", "lz4".into()),
            ("queue.buffering.max.messages", "2000000".into()),
            ("queue.buffering.max.kbytes", (self.write_behind_bytes / 1024).clamp(1, 2_147_483_647).to_string()),
        ])?;
        // Reports of success would be one allocation a record; that nothing is in flight says the same.
        config.set("enable.idempotence", "true").set("delivery.report.only.error", "true");
        Ok(config)
    }
}
