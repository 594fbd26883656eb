//! Two logs as one: some topics are read from a log that must not be touched, all else is in another.
//!
//! So a dataflow can run over the inputs of a live cell and leave no trace there: no topic, no transaction, no fence, no position of a group.
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::error::LogError;
use crate::record::{Offset, Record, TopicPartition};
use crate::traits::{Log, LogReader, LogWriter, TopicSpec, TransactionalWriter};

/// A log over another.
pub struct Overlay {
    below: Arc<dyn Log>,
    above: Arc<dyn Log>,
    borrowed: Vec<String>,
}

impl Overlay {
    /// Reads the topics `borrowed` from `below`, which is never written; everything else is `above`, and so are partitions of borrowed topics that it has
    /// beyond those below.
    pub fn new(below: Arc<dyn Log>, above: Arc<dyn Log>, borrowed: Vec<String>) -> Self {
        Self { below, above, borrowed }
    }

    fn is_borrowed(&self, topic: &str) -> bool {
        self.borrowed.iter().any(|borrowed| borrowed == topic)
    }

    fn of(&self, partition: &TopicPartition) -> Result<&dyn Log, LogError> {
        let is_below = self.is_borrowed(&partition.topic) && partition.partition < self.below.partitions(&partition.topic)?;
        Ok(if is_below { &*self.below } else { &*self.above })
    }
}

impl Log for Overlay {
    fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        let own: Vec<TopicSpec> = topics.iter().filter(|topic| !self.is_borrowed(&topic.name)).cloned().collect();
        self.above.ensure_topics(&own)
    }

    fn partitions(&self, topic: &str) -> Result<i32, LogError> {
        if !self.is_borrowed(topic) {
            return self.above.partitions(topic);
        }
        let more = match self.above.partitions(topic) {
            Err(LogError::UnknownTopic(_)) => 0,
            counted => counted?,
        };
        Ok(self.below.partitions(topic)?.max(more))
    }

    fn range(&self, partition: &TopicPartition) -> Result<Range<Offset>, LogError> {
        self.of(partition)?.range(partition)
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Offset, LogError> {
        self.of(partition)?.offset_at(partition, timestamp)
    }

    fn reader(&self, from: &[(TopicPartition, Offset)]) -> Result<Box<dyn LogReader>, LogError> {
        let (mut below, mut above) = (Vec::new(), Vec::new());
        for (partition, offset) in from {
            let is_below = std::ptr::addr_eq(self.of(partition)?, &*self.below);
            if is_below { &mut below } else { &mut above }.push((partition.clone(), *offset));
        }
        match (below.is_empty(), above.is_empty()) {
            (true, _) => self.above.reader(&above),
            (_, true) => self.below.reader(&below),
            _ => Ok(Box::new(Both { below: self.below.reader(&below)?, above: self.above.reader(&above)? })),
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

/// Reads from both.
struct Both {
    below: Box<dyn LogReader>,
    above: Box<dyn LogReader>,
}

impl LogReader for Both {
    fn poll(&mut self, into: &mut Vec<Record>, max: usize, timeout: Duration) -> Result<usize, LogError> {
        let above = self.above.poll(into, max, Duration::ZERO)?;
        let timeout = if above > 0 { Duration::ZERO } else { timeout };
        Ok(above + if above < max { self.below.poll(into, max - above, timeout)? } else { 0 })
    }

    fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        let mut positions = self.below.positions();
        positions.extend(self.above.positions());
        positions
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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
        let (mut reader, mut both) = (overlay.reader(&[(input.clone(), Offset(0)), (output, Offset(0))]).unwrap(), Vec::new());
        assert_eq!((reader.poll(&mut both, 9, Duration::ZERO).unwrap(), reader.positions().len()), (2, 2));
        // A write to a borrowed topic has nowhere to go.
        let stray = NewRecord { topic: "in".into(), partition: Some(0), key: None, value: None, headers: Headers::default() };
        assert!(overlay.writer().unwrap().send(stray).is_err());
        // Further partitions of it are above.
        above.ensure_topics(&[TopicSpec { partitions: 2, ..spec("in") }]).unwrap();
        assert_eq!(overlay.partitions("in").unwrap(), 2);
        let more = NewRecord { topic: "in".into(), partition: Some(1), key: None, value: Some("more".into()), headers: Headers::default() };
        let mut writer = overlay.writer().unwrap();
        writer.send(more).unwrap();
        writer.flush().unwrap();
        assert_eq!((values(&input), values(&TopicPartition::new("in", 1))), (vec!["input".into()], vec!["more".into()]));
    }
}
