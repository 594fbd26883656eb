//! The log on Kafka, through librdkafka.
//!
//! Readers are assigned partitions and offsets, never subscribed: which offsets belong to which epoch is the engine's to say. One transactional
//! producer carries one transactional id; whoever opens the id last holds it.
mod admin;
mod context;
mod failure;
mod flush;
mod options;
mod reader;
mod transactions;
mod writer;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;

pub use options::KafkaOptions;

use crate::error::LogError;
use crate::record::{Offset, TopicPartition};
use crate::traits::{Log, LogReader, LogWriter, TopicSpec, TransactionalWriter};
use context::Quiet;
use failure::failed;

/// A Kafka cluster. Cheap to clone.
#[derive(Clone)]
pub struct Kafka {
    cluster: Arc<Cluster>,
}

/// What readers and writers share.
struct Cluster {
    options: KafkaOptions,
    /// Asks for metadata and offsets; reads nothing.
    asking: BaseConsumer<Quiet>,
    /// Partitions by topic. A topic that grows is seen after a restart: keys must not change partition under a running engine.
    partitions: Mutex<HashMap<Arc<str>, i32>>,
    /// One client a group, for [`Log::publish_positions`].
    groups: Mutex<HashMap<String, Arc<BaseConsumer<Quiet>>>>,
}

impl Kafka {
    /// Describes a cluster; no broker is asked yet.
    ///
    /// # Errors
    /// [`LogError::Fatal`] for a property that librdkafka does not know, or that Sightline must set itself.
    pub fn new(options: KafkaOptions) -> Result<Self, LogError> {
        let asking =
            options.consumer("sightline")?.create_with_context(Quiet).map_err(|error| failed("set up the Kafka client", &error))?;
        Ok(Self { cluster: Arc::new(Cluster { options, asking, partitions: Mutex::default(), groups: Mutex::default() }) })
    }
}

impl Cluster {
    fn timeout(&self) -> Duration {
        self.options.request_timeout
    }

    fn partitions(&self, topic: &str) -> Result<i32, LogError> {
        if let Some(count) = self.partitions.lock().unwrap_or_else(PoisonError::into_inner).get(topic) {
            return Ok(*count);
        }
        let metadata =
            self.asking.fetch_metadata(Some(topic), self.timeout()).map_err(|error| failed("ask Kafka for its topics", &error))?;
        let Some(found) = metadata.topics().iter().find(|known| known.name() == topic) else {
            return Err(LogError::UnknownTopic(topic.to_owned()));
        };
        let error = found.error().map(RDKafkaErrorCode::from);
        let leaderless = found.partitions().iter().any(|partition| partition.leader() < 0);
        match error {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Err(LogError::UnknownTopic(topic.to_owned()));
            }
            Some(error) => return Err(failure::by_code("ask Kafka for a topic", error, error.to_string())),
            None if found.partitions().is_empty() || leaderless => {
                return Err(LogError::Retriable {
                    what: "ask Kafka for a topic",
                    message: format!("{topic} has a partition without a leader"),
                });
            }
            None => {}
        }
        let count = found.partitions().len() as i32;
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.into(), count);
        Ok(count)
    }

    fn check(&self, partition: &TopicPartition) -> Result<(), LogError> {
        let count = self.partitions(&partition.topic)?;
        if (0..count).contains(&partition.partition) { Ok(()) } else { Err(LogError::UnknownTopic(partition.to_string())) }
    }

    /// From the earliest offset to the last stable one: the client asks as a reader of committed records does.
    fn range(&self, partition: &TopicPartition) -> Result<Range<Offset>, LogError> {
        self.check(partition)?;
        let deadline = Instant::now() + self.timeout();
        loop {
            let asked = self.asking.fetch_watermarks(&partition.topic, partition.partition, self.timeout());
            match asked.map_err(|error| failed("ask Kafka for the range of a partition", &error)) {
                Ok((low, high)) => return Ok(Offset(low)..Offset(high.max(low))),
                // A topic made a moment ago, or a broker that just came back: its partitions find their leader presently.
                Err(LogError::Retriable { .. }) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
                Err(error) => return Err(error),
            }
        }
    }
}

/// The list that librdkafka takes.
fn listed(positions: &[(TopicPartition, Offset)]) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (partition, offset) in positions {
        list.add_partition_offset(&partition.topic, partition.partition, rdkafka::Offset::Offset(offset.0))
            .map_err(|_| LogError::Fatal { what: "name a position", message: format!("{partition} has no offset {}", offset.0) })?;
    }
    Ok(list)
}

impl Log for Kafka {
    fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        admin::ensure_topics(&self.cluster, topics)
    }

    fn partitions(&self, topic: &str) -> Result<i32, LogError> {
        self.cluster.partitions(topic)
    }

    fn range(&self, partition: &TopicPartition) -> Result<Range<Offset>, LogError> {
        self.cluster.range(partition)
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Offset, LogError> {
        self.cluster.check(partition)?;
        // Before 1970 nothing was written; librdkafka reads negative numbers as commands.
        let asked = listed(&[(partition.clone(), Offset(timestamp.max(0)))])?;
        let found = self.cluster.asking.offsets_for_times(asked, self.cluster.timeout());
        let found = found.map_err(|error| failed("look up an offset by time", &error))?;
        match found.elements().first().map(|element| (element.error(), element.offset())) {
            Some((Ok(()), rdkafka::Offset::Offset(offset))) => Ok(Offset(offset)),
            Some((Err(error), _)) => Err(failed("look up an offset by time", &error)),
            _ => Ok(self.cluster.range(partition)?.end),
        }
    }

    fn reader(&self, from: &[(TopicPartition, Offset)]) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(reader::KafkaReader::new(Arc::clone(&self.cluster), from)?))
    }

    fn writer(&self) -> Result<Box<dyn LogWriter>, LogError> {
        Ok(Box::new(writer::KafkaWriter::new(Arc::clone(&self.cluster))?))
    }

    fn transactional(&self, id: &str) -> Result<Box<dyn TransactionalWriter>, LogError> {
        Ok(Box::new(transactions::KafkaTransactions::take_over(Arc::clone(&self.cluster), id)?))
    }

    fn trim(&self, partition: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        self.cluster.check(partition)?;
        admin::trim(&self.cluster, partition, offset)
    }

    fn publish_positions(&self, group: &str, positions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        if positions.is_empty() {
            return Ok(());
        }
        let client = {
            let mut groups = self.cluster.groups.lock().unwrap_or_else(PoisonError::into_inner);
            match groups.get(group) {
                Some(client) => Arc::clone(client),
                None => {
                    let client = self.cluster.options.consumer(group)?.create_with_context(Quiet);
                    let client = Arc::new(client.map_err(|error| failed("set up the Kafka client", &error))?);
                    groups.insert(group.to_owned(), Arc::clone(&client));
                    client
                }
            }
        };
        // Outside the lock: the coordinator of one group may be away, and the others' are not.
        client.commit(&listed(positions)?, CommitMode::Sync).map_err(|error| failed("publish positions", &error))
    }
}
