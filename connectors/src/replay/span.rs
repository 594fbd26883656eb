//! From what a user asks for to offsets.
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use sightline_log::{Log, LogError, Offset, Record, TopicPartition};
use sightline_schemas::Micros;
use sightline_schemas::avro::RecordType;
use sightline_schemas::topic::Topics;

use super::{ReplayError, Request};

/// How long one poll waits.
const WAIT: Duration = Duration::from_millis(200);

/// Where to begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begin {
    /// With the earliest record that the log holds.
    Earliest,
    /// At these offsets, by partition; partitions that are not named are left out.
    At(BTreeMap<i32, Offset>),
    /// With the first record that the log took at this time or later.
    Time(Micros),
}

/// Where to end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// Where the store is.
    Positions,
    /// Before these offsets, by partition; partitions that are not named are read as far as the store is.
    Before(BTreeMap<i32, Offset>),
    /// Before the first record that the log took at this time or later.
    Time(Micros),
}

/// Offsets by partition.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    pub types: BTreeMap<Arc<str>, RecordType>,
    pub ranges: BTreeMap<TopicPartition, Range<Offset>>,
}

impl Span {
    /// How many offsets lie in it; markers of transactions count.
    pub(super) fn offsets(&self) -> u64 {
        self.ranges.values().map(|range| (range.end.0 - range.start.0).max(0).unsigned_abs()).sum()
    }

    /// All that the log holds of some types now.
    pub(super) fn all(log: &dyn Log, topics: &Topics, types: &[RecordType]) -> Result<Self, LogError> {
        Ok(Self { types: topic_types(topics, types), ranges: crate::runtime::ranges(log, types, topics)? })
    }

    /// From the end of this one to where the log ends now.
    pub(super) fn after(&self, log: &dyn Log) -> Result<Self, LogError> {
        let mut after = Self { types: self.types.clone(), ranges: BTreeMap::new() };
        for (partition, range) in &self.ranges {
            after.ranges.insert(partition.clone(), range.end..log.range(partition)?.end);
        }
        Ok(after)
    }
}

fn topic_types(topics: &Topics, types: &[RecordType]) -> BTreeMap<Arc<str>, RecordType> {
    types.iter().map(|ty| (ty.topic(topics).into(), *ty)).collect()
}

/// The offsets that `request` means, as far as the store's `positions` reach.
pub(super) fn find(
    log: &dyn Log,
    topics: &Topics,
    request: &Request,
    positions: &BTreeMap<TopicPartition, Offset>,
) -> Result<Span, ReplayError> {
    let mut span = Span { types: topic_types(topics, &request.types), ranges: BTreeMap::new() };
    for topic in span.types.keys() {
        let count = log.partitions(topic)?;
        check_partitions(topic, count, request)?;
        for number in 0..count {
            let partition = TopicPartition::new(Arc::clone(topic), number);
            let held = log.range(&partition)?;
            let Some(begin) = begin(log, &partition, &held, &request.begin)? else { continue };
            let end = end(log, &partition, &held, &request.end)?;
            if end < begin && request.end != End::Positions {
                return Err(ReplayError::Backwards { partition, begin, end });
            }
            // What the connector has not read yet it will read by itself.
            let reached = positions.get(&partition).copied().unwrap_or(held.start);
            span.ranges.insert(partition, begin..end.min(reached).max(begin));
        }
    }
    Ok(span)
}

fn check_partitions(topic: &str, count: i32, request: &Request) -> Result<(), ReplayError> {
    let begin = if let Begin::At(offsets) = &request.begin { Some(offsets) } else { None };
    let end = if let End::Before(offsets) = &request.end { Some(offsets) } else { None };
    let mut named = begin.into_iter().chain(end).flat_map(BTreeMap::keys);
    if let Some(asked) = named.find(|number| !(0..count).contains(number)) {
        return Err(ReplayError::NoPartition { topic: topic.to_owned(), asked: *asked, count });
    }
    match (begin, end) {
        (Some(begin), Some(end)) => match end.keys().find(|number| !begin.contains_key(number)) {
            Some(number) => Err(ReplayError::NoBeginning { partition: *number }),
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// None for a partition that is left out.
fn begin(log: &dyn Log, partition: &TopicPartition, held: &Range<Offset>, begin: &Begin) -> Result<Option<Offset>, ReplayError> {
    match begin {
        Begin::Earliest => Ok(Some(held.start)),
        Begin::At(offsets) => match offsets.get(&partition.partition) {
            Some(asked) if *asked < held.start => {
                Err(ReplayError::Expired { partition: partition.clone(), asked: *asked, earliest: held.start })
            }
            Some(asked) if *asked > held.end => Err(ReplayError::Beyond { partition: partition.clone(), asked: *asked, end: held.end }),
            asked => Ok(asked.copied()),
        },
        Begin::Time(asked) => {
            if held.start > Offset(0)
                && let Some(first) = first(log, partition, held)?
                && millis(*asked) < first.timestamp
            {
                let at = Micros(first.timestamp.saturating_mul(1_000));
                return Err(ReplayError::ExpiredTime { partition: partition.clone(), asked: *asked, earliest: first.offset, at });
            }
            Ok(Some(log.offset_at(partition, millis(*asked))?.max(held.start)))
        }
    }
}

fn end(log: &dyn Log, partition: &TopicPartition, held: &Range<Offset>, end: &End) -> Result<Offset, ReplayError> {
    match end {
        End::Positions => Ok(held.end),
        End::Before(offsets) => match offsets.get(&partition.partition) {
            Some(asked) if *asked > held.end => Err(ReplayError::Beyond { partition: partition.clone(), asked: *asked, end: held.end }),
            Some(asked) => Ok(*asked),
            None => Ok(held.end),
        },
        End::Time(asked) => Ok(log.offset_at(partition, millis(*asked))?),
    }
}

/// Milliseconds, upwards: what came within the millisecond before is not "at this time or later".
fn millis(instant: Micros) -> i64 {
    instant.0.div_euclid(1_000) + i64::from(instant.0.rem_euclid(1_000) > 0)
}

/// The earliest record; none in a partition that holds none.
fn first(log: &dyn Log, partition: &TopicPartition, held: &Range<Offset>) -> Result<Option<Record>, LogError> {
    if held.is_empty() {
        return Ok(None);
    }
    let mut reader = log.reader(&[(partition.clone(), held.start)])?;
    let mut polled = Vec::new();
    while polled.is_empty() && reader.positions().iter().all(|(_, at)| *at < held.end) {
        reader.poll(&mut polled, 1, WAIT)?;
    }
    Ok(polled.into_iter().next())
}
