//! What librdkafka calls back.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::failure;
use crate::error::LogError;

fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            tracing::warn!(facility, message, "librdkafka")
        }
        _ => tracing::debug!(facility, message, "librdkafka"),
    }
}

/// Logs an error of a whole client, the same one at most once in ten seconds: librdkafka repeats it twenty times a second while the brokers are away.
fn complain(error: &KafkaError, reason: &str) {
    const QUIET: Duration = Duration::from_secs(10);
    static LAST: Mutex<Option<(KafkaError, Instant)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.as_ref().is_none_or(|(known, at)| known != error || at.elapsed() >= QUIET) {
        *last = Some((error.clone(), Instant::now()));
        tracing::warn!(%error, reason, "Kafka");
    }
}

/// Sends librdkafka's messages to this program's log. An error is a warning at most: what fails is reported where it was asked for.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        complain(&error, reason);
    }
}
impl ConsumerContext for Quiet {}

/// Keeps the first record of the present transaction that was not delivered. Reports of an older one may come late: they are of no matter.
#[derive(Default)]
pub(super) struct Deliveries {
    first: Mutex<Option<LogError>>,
    /// Transactions begun; goes along with each record.
    transaction: AtomicUsize,
}

impl Deliveries {
    pub(super) fn begin(&self) {
        self.transaction.fetch_add(1, Ordering::Relaxed);
        let _ = self.take();
    }

    pub(super) fn transaction(&self) -> usize {
        self.transaction.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self) -> Option<LogError> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
    fn error(&self, error: KafkaError, reason: &str) {
        complain(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, transaction: usize) {
        if let Err((error, record)) = result
            && transaction == self.transaction()
        {
            let bytes = record.key_len() + record.payload_len();
            let error = failure::of_record(record.topic(), bytes, error);
            self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}
