//! Writes acknowledged records.
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::Cluster;
use super::context::Deliveries;
use super::failure::{failed, of_record};
use super::flush::{flush, step};
use crate::error::LogError;
use crate::partitioner::partition_of;
use crate::record::{NewRecord, TopicPartition};
use crate::traits::LogWriter;

/// Hands a record to librdkafka; waits while its queue is full. Returns the record's size, and its partition.
pub(super) fn enqueue(cluster: &Cluster, producer: &BaseProducer<Deliveries>, record: &NewRecord) -> Result<(usize, i32), LogError> {
    let count = cluster.partitions(&record.topic)?;
    let partition = record.partition.unwrap_or_else(|| record.key.as_ref().map_or(0, |key| partition_of(key, count)));
    if !(0..count).contains(&partition) {
        return Err(LogError::UnknownTopic(format!("{}:{partition}", record.topic)));
    }
    let bytes = record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len);
    if bytes > cluster.options.record_bytes {
        return Err(LogError::TooLarge { topic: record.topic.to_string(), bytes });
    }
    let mut sending = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&record.topic, producer.context().transaction()).partition(partition);
    sending.key = record.key.as_deref();
    sending.payload = record.value.as_deref();
    if !record.headers.0.is_empty() {
        let headers = OwnedHeaders::new_with_capacity(record.headers.0.len());
        let put = |headers: OwnedHeaders, (name, value): &(Arc<str>, Bytes)| headers.insert(Header { key: name, value: Some(&value[..]) });
        sending = sending.headers(record.headers.0.iter().fold(headers, put));
    }
    loop {
        match producer.send(sending) {
            Ok(()) => return Ok((bytes, partition)),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                sending = back;
                step(producer);
            }
            Err((error, _)) => return Err(of_record(&record.topic, bytes, &error)),
        }
    }
}

pub(super) struct KafkaWriter {
    cluster: Arc<Cluster>,
    producer: BaseProducer<Deliveries>,
    /// Sent since the last flush.
    bytes: usize,
    /// Partitions of which the broker has acknowledged a record.
    known: HashSet<TopicPartition>,
}

impl KafkaWriter {
    pub(super) fn new(cluster: Arc<Cluster>) -> Result<Self, LogError> {
        let producer = cluster.options.producer()?.create_with_context(Deliveries::default());
        Ok(Self {
            producer: producer.map_err(|error| failed("set up the Kafka client", &error))?,
            cluster,
            bytes: 0,
            known: HashSet::new(),
        })
    }
}

impl LogWriter for KafkaWriter {
    fn send(&mut self, record: NewRecord) -> Result<(), LogError> {
        let (bytes, partition) = enqueue(&self.cluster, &self.producer, &record)?;
        self.bytes += bytes;
        // The first record goes alone. A broker that knows nothing of a producer takes any number for its first: when the first request fails (a topic made a
        // moment ago) and the one behind it does not, the first is refused as an old one ever after, and librdkafka takes it for delivered.
        if self.known.insert(TopicPartition::new(record.topic, partition)) { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        // Ends: librdkafka gives every record up after `message.timeout.ms` (5 minutes).
        flush(&self.producer, std::mem::take(&mut self.bytes), None);
        match self.producer.context().take() {
            None => Ok(()),
            Some(failure) => Err(failure),
        }
    }
}
