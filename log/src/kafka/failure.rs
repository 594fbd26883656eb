//! librdkafka's errors in the log's terms.
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::error::LogError;

/// The error of an operation; `what` follows "failed to".
pub(super) fn failed(what: &'static str, error: &KafkaError) -> LogError {
    match error {
        KafkaError::Transaction(cause) if cause.is_fatal() => LogError::Fatal { what, message: cause.string() },
        KafkaError::Transaction(cause) if cause.is_retriable() || cause.txn_requires_abort() => {
            LogError::Retriable { what, message: cause.string() }
        }
        KafkaError::AdminOp(code) => by_code(what, *code, error.to_string()),
        // The answer was lost with its client: the request may be asked again.
        KafkaError::Canceled | KafkaError::NoMessageReceived => LogError::Retriable { what, message: error.to_string() },
        _ => match error.rdkafka_error_code() {
            Some(code) => by_code(what, code, error.to_string()),
            None => LogError::Fatal { what, message: error.to_string() },
        },
    }
}

/// The error with this code.
pub(super) fn by_code(what: &'static str, code: Code, message: String) -> LogError {
    if passes(code) { LogError::Retriable { what, message } } else { LogError::Fatal { what, message } }
}

/// The error of one record.
pub(super) fn of_record(topic: &str, bytes: usize, error: &KafkaError) -> LogError {
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge) => {
            LogError::TooLarge { topic: topic.to_owned(), bytes }
        }
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => LogError::UnknownTopic(topic.to_owned()),
        // Dropped with its transaction: whatever broke that is what to report, and doing it again is the cure.
        Some(Code::PurgeQueue | Code::PurgeInflight) => {
            LogError::Retriable { what: "write to Kafka", message: "the transaction was dropped".into() }
        }
        // A transaction that has failed takes no more records; its end says why.
        Some(Code::State) => LogError::Retriable { what: "write to Kafka", message: "the transaction has failed".into() },
        _ => failed("write to Kafka", error),
    }
}

/// Whether the code says that another holder of the transactional id has come.
pub(super) fn is_fencing(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::InvalidProducerIdMapping)
}

/// What a broker that restarts, a leader that moves or a network that stutters answer. Refused credentials too: they are mended on the broker,
/// and until then the engine waits, visibly.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::Resolve
            | Code::SSL
            | Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::ReplicaNotAvailable
            | Code::BrokerNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotController
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ConcurrentTransactions
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::UnstableOffsetCommit
            | Code::QueueFull
            | Code::InvalidMessage
            | Code::BadMessage
    )
}
