//! Topics made and trimmed.
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::context::Quiet;
use super::failure::{by_code, failed};
use super::{Cluster, listed};
use crate::error::LogError;
use crate::record::{Offset, TopicPartition};
use crate::traits::{CleanUp, TopicSpec};

const CREATING: &str = "create topics on Kafka";

fn client(cluster: &Cluster) -> Result<AdminClient<Quiet>, LogError> {
    cluster.options.consumer("sightline")?.create_with_context(Quiet).map_err(|error| failed("set up the Kafka client", &error))
}

fn options(cluster: &Cluster) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(cluster.timeout())).operation_timeout(Some(cluster.timeout()))
}

/// The configuration of a new topic.
fn properties(spec: &TopicSpec, record_bytes: usize) -> Vec<(&'static str, String)> {
    let (policy, retention_ms) = match spec.clean_up {
        CleanUp::Delete { retention_ms } => ("delete", retention_ms),
        CleanUp::Compact => ("compact", -1),
        CleanUp::CompactDelete { retention_ms } => ("compact,delete", retention_ms),
        CleanUp::Keep => ("delete", -1),
    };
    vec![
        ("cleanup.policy", policy.into()),
        ("retention.ms", retention_ms.to_string()),
        ("message.timestamp.type", if spec.log_append_time { "LogAppendTime" } else { "CreateTime" }.into()),
        // The batch around a record costs a little too.
        ("max.message.bytes", (record_bytes + 4096).to_string()),
    ]
}

pub(super) fn ensure_topics(cluster: &Cluster, topics: &[TopicSpec]) -> Result<(), LogError> {
    let mut missing = Vec::new();
    for topic in topics {
        match cluster.partitions(&topic.name) {
            Ok(_) => {}
            Err(LogError::UnknownTopic(_)) => missing.push((topic, properties(topic, cluster.options.record_bytes))),
            Err(error) => return Err(error),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let new: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|(topic, properties)| {
            let new = NewTopic::new(&topic.name, topic.partitions.max(1), TopicReplication::Fixed(topic.replication.max(1)));
            properties.iter().fold(new, |new, (key, value)| new.set(key, value))
        })
        .collect();
    let client = client(cluster)?;
    for created in wait(client.create_topics(&new, &options(cluster))).map_err(|error| failed(CREATING, &error))? {
        match created {
            // Another process was quicker.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(by_code(CREATING, code, format!("{topic}: {code}"))),
        }
    }
    // The controller has them; the brokers learn of it a little later.
    let deadline = Instant::now() + cluster.timeout();
    for (topic, _) in missing {
        loop {
            match cluster.partitions(&topic.name) {
                Ok(_) => break,
                Err(LogError::UnknownTopic(_) | LogError::Retriable { .. }) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

pub(super) fn trim(cluster: &Cluster, partition: &TopicPartition, offset: Offset) -> Result<(), LogError> {
    const TRIMMING: &str = "trim a topic on Kafka";
    let range = cluster.range(partition)?;
    if offset <= range.start {
        return Ok(());
    }
    let list = listed(&[(partition.clone(), offset.min(range.end))])?;
    let client = client(cluster)?;
    let trimmed = wait(client.delete_records(&list, &options(cluster))).map_err(|error| failed(TRIMMING, &error))?;
    trimmed.elements().iter().try_for_each(|element| element.error().map_err(|error| failed(TRIMMING, &error)))
}

/// Waits for a future that librdkafka's own thread completes.
fn wait<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
