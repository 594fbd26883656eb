//! Two logs as one: some topics are read from a log that must not be touched, all else is in another.
//!
//! So a dataflow can run over the inputs of a live cell and leave no trace there: no topic, no transaction, no fence, no position of a group.
use std::ops::Range;
use std::sync::Arc;

use crate::error::LogError;
use crate::record::{Offset, TopicPartition};
use crate::traits::{Log, LogReader, LogWriter, TopicSpec, TransactionalWriter};

/// A log over another.
pub struct Overlay {
    below: Arc<dyn Log>,
    above: Arc<dyn Log>,
    borrowed: Vec<String>,
}

impl Overlay {
    /// Reads the topics `borrowed` from `below`, which is never written; everything else is `above`.
    pub fn new(below: Arc<dyn Log>, above: Arc<dyn Log>, borrowed: Vec<String>) -> Self {
        Self { below, above, borrowed }
    }

    fn is_borrowed(&self, topic: &str) -> bool {
        self.borrowed.iter().any(|borrowed| borrowed == topic)
    }

    fn of(&self, topic: &str) -> &dyn Log {
        if self.is_borrowed(topic) { &*self.below } else { &*self.above }
    }
}

impl Log for Overlay {
    fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        let own: Vec<TopicSpec> = topics.iter().filter(|topic| !self.is_borrowed(&topic.name)).cloned().collect();
        self.above.ensure_topics(&own)
    }

    fn partitions(&self, topic: &str) -> Result<i32, LogError> {
        self.of(topic).partitions(topic)
    }

    fn range(&self, partition: &TopicPartition) -> Result<Range<Offset>, LogError> {
        self.of(&partition.topic).range(partition)
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Offset, LogError> {
        self.of(&partition.topic).offset_at(partition, timestamp)
    }

    /// One reader reads from one of the two logs.
    fn reader(&self, from: &[(TopicPartition, Offset)]) -> Result<Box<dyn LogReader>, LogError> {
        let borrowed = from.iter().filter(|(partition, _)| self.is_borrowed(&partition.topic)).count();
        match borrowed {
            0 => self.above.reader(from),
            all if all == from.len() => self.below.reader(from),
            _ => Err(LogError::Fatal { what: "read two logs", message: "one reader cannot read topics of both".into() }),
        }
    }

    fn writer(&self) -> Result<Box<dyn LogWriter>, LogError> {
        self.above.writer()
    }

    fn transactional(&self, id: &str) -> Result<Box<dyn TransactionalWriter>, LogError> {
        self.above.transactional(id)
    }

    fn trim(&self, partition: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        self.above.trim(partition, offset)
    }

    fn publish_positions(&self, group: &str, positions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.above.publish_positions(group, positions)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::embedded::Embedded;
    use crate::record::{Headers, NewRecord};
    use crate::traits::CleanUp;

    fn spec(name: &str) -> TopicSpec {
        TopicSpec { name: name.into(), partitions: 1, replication: 1, clean_up: CleanUp::Keep, log_append_time: true }
    }

    fn send(log: &dyn Log, topic: &str, value: &'static str) {
        let record =
            NewRecord { topic: topic.into(), partition: Some(0), key: None, value: Some(value.into()), headers: Headers::default() };
        let mut writer = log.writer().unwrap();
        writer.send(record).unwrap();
        writer.flush().unwrap();
    }

    #[test]
    fn borrowed_topics_are_read_below_and_everything_is_written_above() {
        let (below, above) = (Arc::new(Embedded::temporary().unwrap()), Arc::new(Embedded::temporary().unwrap()));
        below.ensure_topics(&[spec("in"), spec("out")]).unwrap();
        send(&*below, "in", "input");
        send(&*below, "out", "live");
        let overlay = Overlay::new(Arc::clone(&below) as Arc<dyn Log>, Arc::clone(&above) as Arc<dyn Log>, vec!["in".into()]);
        overlay.ensure_topics(&[spec("in"), spec("out")]).unwrap();
        send(&overlay, "out", "shadow");
        let (input, output) = (TopicPartition::new("in", 0), TopicPartition::new("out", 0));
        let values = |partition: &TopicPartition| {
            let mut records = Vec::new();
            overlay.reader(&[(partition.clone(), Offset(0))]).unwrap().poll(&mut records, 9, Duration::ZERO).unwrap();
            records.into_iter().map(|record| record.value.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!((values(&input), values(&output)), (vec!["input".into()], vec!["shadow".into()]));
        assert_eq!(below.range(&output).unwrap().end, Offset(1), "the log below is as it was");
        assert!(above.partitions("in").is_err(), "a borrowed topic is not made above");
        assert!(overlay.reader(&[(input, Offset(0)), (output, Offset(0))]).is_err());
        // A write to a borrowed topic has nowhere to go.
        let stray = NewRecord { topic: "in".into(), partition: Some(0), key: None, value: None, headers: Headers::default() };
        assert!(overlay.writer().unwrap().send(stray).is_err());
    }
}
