//! What a cell's topics hold, as plain bytes: no code of the dataflow is used to judge it.
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sightline_log::{Log, LogError, Offset, Record, TopicPartition};

/// The topics that follow from content alone, then those that follow from when events came too.
pub const BY_CONTENT: [&str; 5] = ["out.entities", "out.observables", "out.relations", "out.links", "out.packages"];
/// Events with what they met when they came, and sightings, which come and go with the intelligence.
pub const BY_EVENT: [&str; 2] = ["out.events", SIGHTINGS];
/// Those in force follow from content alone.
pub const SIGHTINGS: &str = "out.sightings";
/// Dead letters: of one origin there may be many.
pub const DEAD: &str = "dlq.parse";
const INPUTS: [&str; 3] = ["in.control", "in.intel", "in.logs"];
/// How long a topic may give nothing before its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A record as the harness compares it: value and all headers, byte by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Line {
    /// Header `epoch`.
    pub epoch: u64,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

/// Topic (without the cell's prefix) and key → its records in order. A key is in one partition, so that order is the log's.
pub type Lines = BTreeMap<(&'static str, Vec<u8>), Vec<Line>>;

/// An entry of the journal, read anew from its documentation (`docs/journal.md`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Number.
    pub epoch: u64,
    /// Topic, partition, from, to.
    pub ranges: Vec<(String, i32, i64, i64)>,
}

/// The records of the output topics from `starts` on; from their beginnings where nothing is said.
pub fn lines(log: &dyn Log, cell: &str, starts: &BTreeMap<TopicPartition, Offset>) -> Result<Lines> {
    let mut lines = Lines::new();
    for topic in BY_CONTENT.into_iter().chain(BY_EVENT).chain([DEAD]) {
        for record in records(log, &format!("{cell}.{topic}"), starts)? {
            let epoch = record.headers.text("epoch").and_then(|epoch| epoch.parse().ok());
            let line = Line {
                epoch: epoch.with_context(|| format!("a record of {topic} has no header `epoch`"))?,
                value: record.value.map(|value| value.to_vec()),
                headers: record.headers.0.iter().map(|(name, value)| (name.to_string(), value.to_vec())).collect(),
            };
            lines.entry((topic, record.key.unwrap_or_default().to_vec())).or_default().push(line);
        }
    }
    Ok(lines)
}

/// Whether a sighting was taken back: the last field of its record (`schemas/avro/sighting.avsc`), a byte.
pub fn is_retracted(sighting: &[u8]) -> bool {
    sighting.last() == Some(&1)
}

/// The last value of each key, without tombstones and without the five bytes of the registry's envelope: what compaction would leave.
pub fn compacted(lines: &Lines) -> BTreeMap<(&'static str, Vec<u8>), Vec<u8>> {
    let last = lines.iter().filter(|((topic, _), _)| *topic != DEAD).filter_map(|(key, lines)| {
        let value = lines.last()?.value.as_ref()?;
        Some((key.clone(), value.get(5..)?.to_vec()))
    });
    last.collect()
}

/// The journal, as far as it is not trimmed.
pub fn journal(log: &dyn Log, cell: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for record in records(log, &format!("{cell}.sys.epochs"), &BTreeMap::new())? {
        let value: serde_json::Value =
            serde_json::from_slice(record.value.as_deref().unwrap_or_default()).context("a journal entry is no JSON")?;
        let ranges: Option<Vec<_>> = value["ranges"].as_array().map(|ranges| {
            let range = |range: &serde_json::Value| {
                let number = |at: usize| range[at].as_i64().unwrap_or(-1);
                (range[0].as_str().unwrap_or_default().to_owned(), number(1) as i32, number(2), number(3))
            };
            ranges.iter().map(range).collect()
        });
        entries.push(Entry {
            epoch: value["epoch"].as_u64().context("a journal entry has no number")?,
            ranges: ranges.context("a journal entry has no ranges")?,
        });
    }
    Ok(entries)
}

/// The least progress of the lanes; none while a lane has committed nothing.
pub fn progress(log: &dyn Log, cell: &str, lanes: u32, starts: &BTreeMap<TopicPartition, Offset>) -> Result<Option<u64>> {
    let mut newest = BTreeMap::new();
    for record in records(log, &format!("{cell}.sys.progress"), starts)? {
        let text = |bytes: Option<&bytes::Bytes>| String::from_utf8_lossy(bytes.map(|bytes| &bytes[..]).unwrap_or_default()).into_owned();
        newest.insert(text(record.key.as_ref()), text(record.value.as_ref()).parse::<u64>().context("progress is no number")?);
    }
    Ok(if newest.len() == lanes as usize { newest.values().copied().min() } else { None })
}

/// The ends of the partitions of some topics. A topic that is not there yet has none.
pub fn ends<'a>(log: &dyn Log, cell: &str, topics: impl Iterator<Item = &'a str>) -> Result<BTreeMap<TopicPartition, Offset>> {
    let mut ends = BTreeMap::new();
    for topic in topics {
        let topic = format!("{cell}.{topic}");
        for number in 0..log.partitions(&topic).unwrap_or(0) {
            let partition = TopicPartition::new(topic.as_str(), number);
            let end = log.range(&partition)?.end;
            ends.insert(partition, end);
        }
    }
    Ok(ends)
}

/// The ends of all inputs.
pub fn input_ends(log: &dyn Log, cell: &str) -> Result<BTreeMap<TopicPartition, Offset>> {
    ends(log, cell, INPUTS.into_iter())
}

/// The topics that a replay writes again, and the progress that would keep it from doing so.
pub fn replayed_topics() -> impl Iterator<Item = &'static str> {
    BY_CONTENT.into_iter().chain(BY_EVENT).chain([DEAD, "sys.progress"])
}

/// Inputs that are in no epoch, and that are in more than one, by the whole journal.
pub fn tiling(entries: &[Entry], inputs: &BTreeMap<TopicPartition, Offset>, markers: bool) -> (Vec<String>, Vec<String>) {
    let (mut lost, mut doubled) = (Vec::new(), Vec::new());
    let mut at: BTreeMap<(&str, i32), i64> = BTreeMap::new();
    for (before, entry) in entries.iter().zip(entries.iter().skip(1)) {
        if before.epoch + 1 != entry.epoch {
            lost.push(format!("the journal goes from epoch {} to {}", before.epoch, entry.epoch));
        }
    }
    for entry in entries {
        for (topic, partition, from, to) in &entry.ranges {
            let next = at.entry((topic, *partition)).or_default();
            if from < next {
                doubled.push(format!("epoch {}: {topic}:{partition} offsets {from}..{next} are in an earlier epoch too", entry.epoch));
            }
            // Kafka's transaction markers take offsets that hold no record.
            if from > next && !markers {
                lost.push(format!("epoch {}: {topic}:{partition} offsets {next}..{from} are in no epoch", entry.epoch));
            }
            *next = (*next).max(*to);
        }
    }
    for (partition, end) in inputs {
        let next = at.get(&(&*partition.topic, partition.partition)).copied().unwrap_or(0);
        if next < end.0 && !markers {
            lost.push(format!("{partition} offsets {next}..{} are in no epoch", end.0));
        }
    }
    (lost, doubled)
}

/// All records of a topic from `starts` on.
fn records(log: &dyn Log, topic: &str, starts: &BTreeMap<TopicPartition, Offset>) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for number in 0..log.partitions(topic).unwrap_or(0) {
        let partition = TopicPartition::new(topic, number);
        let range = log.range(&partition)?;
        let start = starts.get(&partition).copied().unwrap_or_default().max(range.start);
        if start >= range.end {
            continue;
        }
        let mut reader = log.reader(&[(partition.clone(), start)])?;
        let (mut heard, before) = (Instant::now(), records.len());
        while reader.positions().first().is_some_and(|(_, at)| *at < range.end) {
            match reader.poll(&mut records, 10_000, Duration::from_millis(100)) {
                Ok(0) if heard.elapsed() > PATIENCE => bail!("{partition} gives nothing"),
                Ok(0) => {}
                Ok(_) => heard = Instant::now(),
                // Trimmed meanwhile, by a process that runs.
                Err(LogError::OffsetExpired { .. }) => {
                    records.truncate(before);
                    reader = log.reader(&[(partition.clone(), log.range(&partition)?.start)])?;
                }
                Err(error) if error.is_retriable() && heard.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(100)),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(records)
}

/// How many records of each record type the compacted topics hold.
pub fn counts(lines: &Lines) -> BTreeMap<&'static str, u64> {
    let mut counts: BTreeMap<&'static str, u64> = BY_CONTENT.into_iter().chain(BY_EVENT).map(|topic| (topic, 0)).collect();
    for (topic, _) in compacted(lines).into_keys() {
        *counts.entry(topic).or_default() += 1;
    }
    counts
}

/// Keys of both, once each.
pub fn keys<'a, V>(
    a: &'a BTreeMap<(&'static str, Vec<u8>), V>,
    b: &'a BTreeMap<(&'static str, Vec<u8>), V>,
) -> BTreeSet<&'a (&'static str, Vec<u8>)> {
    a.keys().chain(b.keys()).collect()
}
