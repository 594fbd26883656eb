//! What a sink refuses, kept in `dlq.sink.<connector>` with its bytes untouched.
use std::sync::Arc;

use bytes::Bytes;
use sightline_log::{CleanUp, Headers, Log, LogError, LogWriter, NewRecord, Record, TopicSpec};
use sightline_schemas::record::Stage;

/// The contract keeps dead letters 30 days.
const RETENTION_MS: i64 = 30 * 24 * 3_600 * 1_000;

/// Writes the dead letters of one connector.
pub(super) struct DeadLetters {
    topic: Arc<str>,
    log: Arc<dyn Log>,
    writer: Option<Box<dyn LogWriter>>,
}

impl DeadLetters {
    pub(super) fn new(log: Arc<dyn Log>, topic: &str) -> Self {
        Self { topic: topic.into(), log, writer: None }
    }

    /// Creates the topic, so that lag and dead-letter tools see it before the first letter.
    pub(super) fn ensure_topic(&self) -> Result<(), LogError> {
        self.log.ensure_topics(&[TopicSpec {
            name: self.topic.to_string(),
            partitions: 1,
            // -1: as many as the broker's default.
            replication: -1,
            clean_up: CleanUp::Delete { retention_ms: RETENTION_MS },
            log_append_time: true,
        }])
    }

    /// Returns once the letter is durable. A connector that dies before its positions pass the record writes the letter again.
    pub(super) fn write(&mut self, record: &Record, reason: &str, message: &str) -> Result<(), LogError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(self.log.writer()?),
        };
        let sent = writer.send(letter(&self.topic, record, reason, message)).and_then(|()| writer.flush());
        if sent.is_err() {
            self.writer = None;
        }
        sent
    }
}

fn letter(topic: &Arc<str>, record: &Record, reason: &str, message: &str) -> NewRecord {
    let origin = format!("{}:{}:{}", record.topic, record.partition, record.offset.0);
    let headers = Headers::default()
        .with("origin.topic", Bytes::copy_from_slice(record.topic.as_bytes()))
        .with("origin.partition", record.partition.to_string())
        .with("origin.offset", record.offset.0.to_string())
        .with("stage", Stage::Sink.as_str())
        .with("reason", reason.to_owned())
        .with("message", message.to_owned());
    // The headers of the record itself follow, so that a retry has all it needs.
    let headers = Headers(headers.0.into_iter().chain(record.headers.0.iter().cloned()).collect());
    NewRecord { topic: Arc::clone(topic), partition: Some(0), key: Some(origin.into()), value: record.value.clone(), headers }
}
