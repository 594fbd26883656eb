//! Writes transactions.
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _};

use super::Cluster;
use super::context::Deliveries;
use super::failure::{failed, is_fencing};
use super::flush::{flush, step};
use super::writer::enqueue;
use crate::error::LogError;
use crate::record::NewRecord;
use crate::traits::TransactionalWriter;

/// How long one call of librdkafka may block; it is called again after it.
const CALL: Duration = Duration::from_secs(1);
/// How long an abort waits before it serves its queue again: librdkafka waits for reports that only we can take.
const SOON: Duration = Duration::from_millis(50);
/// What dropping a writer may cost.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) struct KafkaTransactions {
    cluster: Arc<Cluster>,
    producer: BaseProducer<Deliveries>,
    id: String,
    open: bool,
    /// Sent in the open transaction.
    bytes: usize,
}

impl KafkaTransactions {
    pub(super) fn take_over(cluster: Arc<Cluster>, id: &str) -> Result<Self, LogError> {
        let mut config = cluster.options.producer()?;
        config.set("transactional.id", id);
        config.set("transaction.timeout.ms", cluster.options.transaction_timeout.as_millis().to_string());
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::default()).map_err(|error| failed("set up the Kafka client", &error))?;
        let writer = Self { cluster, producer, id: id.to_owned(), open: false, bytes: 0 };
        // While the older holder's transaction is being wound up the coordinator says "concurrent transactions": a matter of moments.
        let deadline = Instant::now() + writer.cluster.timeout().max(CALL);
        loop {
            match writer.producer.init_transactions(CALL) {
                Ok(()) => return Ok(writer),
                Err(error) => match writer.told("take over a transactional id", &error) {
                    failure @ LogError::Retriable { .. } if Instant::now() >= deadline => return Err(failure),
                    LogError::Retriable { .. } => step(&writer.producer),
                    lasting => return Err(lasting),
                },
            }
        }
    }

    /// The error in the log's terms; whatever librdkafka calls it, a fenced producer is fenced.
    fn told(&self, what: &'static str, error: &KafkaError) -> LogError {
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        if [fatal, error.rdkafka_error_code()].into_iter().flatten().any(is_fencing) {
            return LogError::Fenced { id: self.id.clone() };
        }
        match error.rdkafka_error_code() {
            // A transaction that has failed refuses everything but its end.
            Some(RDKafkaErrorCode::State) if fatal.is_none() => LogError::Retriable { what, message: error.to_string() },
            _ => failed(what, error),
        }
    }

    fn drop_transaction(&mut self, deadline: Option<Instant>) -> Result<(), LogError> {
        if !self.open {
            return Ok(());
        }
        // librdkafka drops what is still queued and renews the producer's epoch after it; what can go out soon is cheaper sent. It must not be
        // purged from here: the hole in the sequence would stall the next transaction for ever.
        flush(&self.producer, self.bytes, Some(Instant::now() + SOON));
        loop {
            match self.producer.abort_transaction(SOON) {
                Ok(()) => break,
                Err(error) => match self.told("abort a transaction on Kafka", &error) {
                    LogError::Retriable { .. } if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                        step(&self.producer);
                    }
                    lasting => return Err(lasting),
                },
            }
        }
        self.open = false;
        self.producer.poll(Duration::ZERO);
        // Whatever was not delivered belonged to what has been dropped.
        let _ = self.producer.context().take();
        Ok(())
    }
}

impl TransactionalWriter for KafkaTransactions {
    fn begin(&mut self) -> Result<(), LogError> {
        self.producer.begin_transaction().map_err(|error| self.told("begin a transaction on Kafka", &error))?;
        self.producer.context().begin();
        self.open = true;
        self.bytes = 0;
        Ok(())
    }

    fn send(&mut self, record: NewRecord) -> Result<(), LogError> {
        let (sent, _) = enqueue(&self.cluster, &self.producer, &record).map_err(|failure| match self.producer.client().fatal_error() {
            Some((code, _)) if is_fencing(code) => LogError::Fenced { id: self.id.clone() },
            _ => failure,
        })?;
        self.bytes += sent;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        const COMMITTING: &str = "commit a transaction on Kafka";
        // `commit_transaction` looks at the queue every 100 ms: it is emptied first.
        flush(&self.producer, self.bytes, None);
        if let Some(failure) = self.producer.context().take() {
            if self.producer.client().fatal_error().is_some_and(|(code, _)| is_fencing(code)) {
                return Err(LogError::Fenced { id: self.id.clone() });
            }
            self.drop_transaction(None)?;
            return Err(failure);
        }
        loop {
            let Err(error) = self.producer.commit_transaction(rdkafka::util::Timeout::Never) else {
                self.open = false;
                return Ok(());
            };
            let failure = self.told(COMMITTING, &error);
            match &error {
                KafkaError::Transaction(cause) if cause.txn_requires_abort() && !cause.is_fatal() => {
                    self.drop_transaction(None)?;
                    return Err(if matches!(failure, LogError::Fenced { .. }) {
                        failure
                    } else {
                        LogError::Retriable { what: COMMITTING, message: error.to_string() }
                    });
                }
                // The outcome is open until the coordinator has answered: asked again, it tells.
                KafkaError::Transaction(cause) if cause.is_retriable() => step(&self.producer),
                _ => {
                    return Err(match failure {
                        LogError::Retriable { what, message } => LogError::Fatal { what, message },
                        lasting => lasting,
                    });
                }
            }
        }
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.drop_transaction(None)
    }
}

impl Drop for KafkaTransactions {
    /// An open transaction would hold up every reader until the broker drops it.
    fn drop(&mut self) {
        if self.open
            && let Err(error) = self.drop_transaction(Some(Instant::now() + FAREWELL))
        {
            tracing::warn!(%error, id = self.id, "a transaction is left to the broker's time-out");
        }
    }
}
