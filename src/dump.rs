//! The final state of a cell as NDJSON: one object a line, keys sorted, lines sorted by key.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sightline_log::{Log, Record, TopicPartition};
use sightline_schemas::avro::{Decoder, OutputRecord, RecordType};

use crate::service::Servers;

/// The newest record of each key, decoded, in the order of keys.
pub fn view(servers: &Servers, ty: RecordType) -> Result<BTreeMap<String, OutputRecord>> {
    let mut decoder = Decoder::new(Arc::clone(&servers.registry));
    let mut newest: BTreeMap<String, OutputRecord> = BTreeMap::new();
    for record in read(&*servers.log, &ty.topic(&servers.topics))? {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        match &record.value {
            Some(value) => newest.insert(key, decoder.decode(ty, value)?),
            None => newest.remove(&key),
        };
    }
    Ok(newest)
}

/// All records of a topic, partition by partition.
pub fn read(log: &dyn Log, topic: &str) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    each(log, topic, |record| {
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}

/// The same, one at a time.
pub fn each(log: &dyn Log, topic: &str, mut visit: impl FnMut(Record) -> Result<()>) -> Result<()> {
    for number in 0..log.partitions(topic)? {
        let partition = TopicPartition::new(topic, number);
        let range = log.range(&partition)?;
        if range.start >= range.end {
            continue;
        }
        let mut reader = log.reader(&[(partition, range.start)])?;
        while reader.positions().first().is_some_and(|(_, at)| *at < range.end) {
            let mut records = Vec::new();
            reader.poll(&mut records, 10_000, Duration::from_millis(100))?;
            records.into_iter().try_for_each(&mut visit)?;
        }
    }
    Ok(())
}

/// A dead letter as a JSON object.
pub fn dead_letter(record: &Record) -> Value {
    let header = |name: &str| record.headers.text(name).unwrap_or_default().to_owned();
    json!({
        "origin": format!("{}:{}:{}", header("origin.topic"), header("origin.partition"), header("origin.offset")),
        "position": header("position"),
        "stage": header("stage"),
        "reason": header("reason"),
        "message": header("message"),
    })
}

/// A record as a JSON object with the columns of the stores.
pub fn to_json(record: &OutputRecord) -> Result<Value> {
    let mut value = match record {
        OutputRecord::Entity(record) => serde_json::to_value(record)?,
        OutputRecord::Observable(record) => serde_json::to_value(record)?,
        OutputRecord::Link(record) => serde_json::to_value(record)?,
        OutputRecord::Relation(record) => serde_json::to_value(record)?,
        OutputRecord::Event(record) => serde_json::to_value(record)?,
        OutputRecord::Sighting(record) => serde_json::to_value(record)?,
        OutputRecord::Package(record) => serde_json::to_value(record)?,
    };
    // Instants as people write them; documents as JSON, not as text.
    for name in ["created", "modified", "valid_from", "valid_until", "first_seen", "last_seen", "timestamp", "seen"] {
        if let Some(micros) = value.get(name).and_then(Value::as_i64) {
            value[name] = sightline_schemas::Micros(micros).to_string().into();
        }
    }
    for name in ["doc", "fields"] {
        if let Some(parsed) = value.get(name).and_then(Value::as_str).and_then(|text| serde_json::from_str(text).ok()) {
            value[name] = parsed;
        }
    }
    Ok(value)
}

/// Writes the contract's files into `directory`; returns counts by file.
pub fn write(servers: &Servers, directory: &Path) -> Result<BTreeMap<&'static str, u64>> {
    std::fs::create_dir_all(directory).with_context(|| format!("failed to make {}", directory.display()))?;
    let mut counts = BTreeMap::new();
    for (name, ty) in [
        ("entities", RecordType::Entity),
        ("observables", RecordType::Observable),
        ("links", RecordType::Link),
        ("relations", RecordType::Relation),
        ("events", RecordType::Event),
        ("sightings", RecordType::Sighting),
    ] {
        let lines: Result<Vec<Value>> = view(servers, ty)?.values().map(to_json).collect();
        counts.insert(name, lines_to(directory, name, lines?)?);
    }
    let mut letters: Vec<Value> = read(&*servers.log, &servers.topics.dlq_parse())?.iter().map(dead_letter).collect();
    letters.sort_by_key(Value::to_string);
    counts.insert("dead-letters", lines_to(directory, "dead-letters", letters)?);
    counts.insert("alarms", lines_to(directory, "alarms", Vec::new())?);
    Ok(counts)
}

fn lines_to(directory: &Path, name: &str, lines: Vec<Value>) -> Result<u64> {
    let path = directory.join(format!("{name}.ndjson"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).with_context(|| format!("failed to write {}", path.display()))?);
    for line in &lines {
        writeln!(file, "{line}")?;
    }
    file.flush()?;
    Ok(lines.len() as u64)
}

/// Counts of something, by a word.
pub fn count<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}
