//! Reads committed records from assigned partitions.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use super::context::Quiet;
use super::failure::failed;
use super::{Cluster, listed};
use crate::error::LogError;
use crate::record::{Headers, Offset, Record, TopicPartition};
use crate::traits::LogReader;

const READING: &str = "read from Kafka";

pub(super) struct KafkaReader {
    cluster: Arc<Cluster>,
    consumer: BaseConsumer<Quiet>,
    names: Names,
    /// The offset after the last record polled, or where reading began.
    next: HashMap<Arc<str>, HashMap<i32, i64>>,
    /// Came while records were at hand; those go first.
    failure: Option<LogError>,
}

impl KafkaReader {
    pub(super) fn new(cluster: Arc<Cluster>, from: &[(TopicPartition, Offset)]) -> Result<Self, LogError> {
        let mut next: HashMap<Arc<str>, HashMap<i32, i64>> = HashMap::new();
        for (partition, offset) in from {
            let earliest = cluster.range(partition)?.start;
            if *offset < earliest {
                return Err(LogError::OffsetExpired { partition: partition.clone(), asked: *offset, earliest });
            }
            next.entry(Arc::clone(&partition.topic)).or_default().insert(partition.partition, offset.0);
        }
        let consumer: BaseConsumer<Quiet> = cluster
            .options
            .reading("sightline", from.len())?
            .create_with_context(Quiet)
            .map_err(|error| failed("set up the Kafka client", &error))?;
        consumer.assign(&listed(from)?).map_err(|error| failed(READING, &error))?;
        Ok(Self { cluster, consumer, names: Names::default(), next, failure: None })
    }

    /// What an error means for the reader; none if librdkafka gets over it by itself.
    fn judge(&self, error: &KafkaError) -> Option<LogError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Some(self.expired(error)),
            _ => match failed(READING, error) {
                LogError::Retriable { message, .. } => {
                    tracing::debug!(message, "the Kafka client tries again");
                    None
                }
                lasting => Some(lasting),
            },
        }
    }

    /// Finds the partition whose position has gone: the error does not say.
    fn expired(&self, error: &KafkaError) -> LogError {
        for (partition, asked) in self.positions() {
            match self.cluster.range(&partition) {
                Ok(range) if asked < range.start => return LogError::OffsetExpired { partition, asked, earliest: range.start },
                Ok(_) => {}
                Err(error) => return error,
            }
        }
        LogError::Fatal { what: READING, message: format!("{error}: a position is past the end; was the topic made anew?") }
    }
}

impl LogReader for KafkaReader {
    fn poll(&mut self, into: &mut Vec<Record>, max: usize, timeout: Duration) -> Result<usize, LogError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let deadline = Instant::now() + timeout;
        let mut taken = 0;
        while taken < max {
            let wait = if taken == 0 { deadline.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let record = self.names.record(&message);
                    if let Some(next) = self.next.get_mut(&record.topic).and_then(|partitions| partitions.get_mut(&record.partition)) {
                        *next = record.offset.0 + 1;
                    }
                    into.push(record);
                    taken += 1;
                }
                Some(Err(error)) => {
                    if let Some(failure) = self.judge(&error) {
                        if taken == 0 {
                            return Err(failure);
                        }
                        self.failure = Some(failure);
                        break;
                    }
                }
                None if taken > 0 || Instant::now() >= deadline => break,
                None => {}
            }
        }
        Ok(taken)
    }

    fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        // librdkafka's own position moves over the markers of transactions; before the first record it has none.
        let known = self.consumer.position().map(|list| list.to_topic_map()).unwrap_or_default();
        let mut positions = Vec::new();
        for (topic, partitions) in &self.next {
            for (partition, next) in partitions {
                let moved = match known.get(&(topic.to_string(), *partition)) {
                    Some(rdkafka::Offset::Offset(moved)) => *moved,
                    _ => *next,
                };
                positions.push((TopicPartition::new(Arc::clone(topic), *partition), Offset(moved.max(*next))));
            }
        }
        positions.sort_unstable();
        positions
    }
}

/// Names of topics and headers: few, and in every record.
#[derive(Default)]
struct Names {
    known: Vec<Arc<str>>,
}

/// More names than this, and the sender makes them up: they are not kept.
const NAMES: usize = 64;

impl Names {
    fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.iter().find(|known| &***known == name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        if self.known.len() < NAMES {
            self.known.push(Arc::clone(&name));
        }
        name
    }

    /// Copies a message; its parts share one allocation.
    fn record(&mut self, message: &BorrowedMessage<'_>) -> Record {
        let (key, value, headers) = (message.key(), message.payload(), message.headers());
        let headers = || headers.into_iter().flat_map(|headers| headers.iter());
        let size = key.map_or(0, <[u8]>::len)
            + value.map_or(0, <[u8]>::len)
            + headers().map(|header| header.value.map_or(0, <[u8]>::len)).sum::<usize>();
        let mut buffer = BytesMut::with_capacity(size);
        let mut keep = |bytes: &[u8]| -> Bytes {
            buffer.extend_from_slice(bytes);
            buffer.split().freeze()
        };
        let (key, value) = (key.map(&mut keep), value.map(&mut keep));
        // A header without a value is an empty one here.
        let headers = headers().map(|header| (self.get(header.key), keep(header.value.unwrap_or_default()))).collect();
        Record {
            topic: self.get(message.topic()),
            partition: message.partition(),
            offset: Offset(message.offset()),
            timestamp: message.timestamp().to_millis().unwrap_or(0),
            key,
            value,
            headers: Headers(headers),
        }
    }
}
