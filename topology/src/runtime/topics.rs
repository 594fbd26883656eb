//! The topics of a cell.
use sightline_log::{CleanUp, TopicSpec};
use sightline_schemas::topic::Topics;

/// The topics of a cell.
pub fn topic_specs(topics: &Topics, partitions: i32, replication: i32) -> Vec<TopicSpec> {
    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    let spec = |name: String, partitions: i32, clean_up: CleanUp, log_append_time: bool| TopicSpec {
        name,
        partitions,
        replication,
        clean_up,
        log_append_time,
    };
    let delete = |retention_ms: i64| CleanUp::Delete { retention_ms };
    vec![
        spec(topics.intel_in(), partitions, delete(14 * DAY), true),
        spec(topics.logs_in(), partitions, delete(72 * HOUR), true),
        spec(topics.control_in(), 1, delete(365 * DAY), true),
        spec(topics.entities(), partitions, CleanUp::Compact, false),
        spec(topics.observables(), partitions, CleanUp::Compact, false),
        spec(topics.relations(), partitions, CleanUp::Compact, false),
        spec(topics.links(), partitions, CleanUp::Compact, false),
        spec(topics.packages(), partitions, CleanUp::Compact, false),
        spec(topics.events(), partitions, delete(72 * HOUR), true),
        spec(topics.sightings(), partitions, CleanUp::CompactDelete { retention_ms: 90 * DAY }, false),
        spec(topics.dlq_parse(), partitions, delete(30 * DAY), true),
        spec(topics.epochs(), 1, CleanUp::Keep, false),
        spec(topics.progress(), 1, CleanUp::Compact, false),
    ]
}
