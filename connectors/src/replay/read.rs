//! Reads the records of a span, once.
use std::sync::Arc;
use std::time::Duration;

use sightline_log::{Log, LogError, Record, TopicPartition};

use super::span::Span;

/// Records a poll asks for.
const POLL: usize = 5_000;
/// How long one poll waits.
const WAIT: Duration = Duration::from_millis(200);

/// What reading brings.
pub(super) enum Step {
    /// A record of the span.
    Record(TopicPartition, Record),
    /// So many offsets of the span are behind.
    Passed(u64),
}

/// Calls `visit` for each step; ends early when it says false.
pub(super) fn each(log: &dyn Log, span: &Span, visit: &mut dyn FnMut(Step) -> bool) -> Result<(), LogError> {
    let from: Vec<_> = span.ranges.iter().filter(|(_, range)| !range.is_empty()).map(|(p, range)| (p.clone(), range.start)).collect();
    if from.is_empty() {
        return Ok(());
    }
    let mut reader = log.reader(&from)?;
    let mut polled = Vec::new();
    loop {
        reader.poll(&mut polled, POLL, WAIT)?;
        for record in polled.drain(..) {
            let partition = TopicPartition::new(Arc::clone(&record.topic), record.partition);
            let within = span.ranges.get(&partition).is_some_and(|range| record.offset < range.end);
            if within && !visit(Step::Record(partition, record)) {
                return Ok(());
            }
        }
        let (mut behind, mut whole) = (0, true);
        for (partition, at) in reader.positions() {
            let Some(range) = span.ranges.get(&partition) else { continue };
            behind += (at.min(range.end).0 - range.start.0).max(0).unsigned_abs();
            whole &= at >= range.end;
        }
        if !visit(Step::Passed(behind)) || whole {
            return Ok(());
        }
    }
}
