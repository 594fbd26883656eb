//! `tap`: the decoded records of a topic, live.
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use sightline_log::TopicPartition;
use sightline_schemas::avro::{Decoder, RecordType};

use crate::config::Config;
use crate::dump;
use crate::service::Servers;

/// Arguments of `tap`.
#[derive(clap::Args)]
pub struct Args {
    /// Topic: its full name, or `entities`, `links`, `sightings`, …
    topic: String,
    /// Configuration.
    #[arg(short, long)]
    config: PathBuf,
    /// Only this key.
    #[arg(long)]
    key: Option<String>,
    /// Everything that is there, then stop; without it only what comes from now on.
    #[arg(long)]
    from_beginning: bool,
    /// How records look.
    #[arg(long, default_value = "json", value_parser = ["json"])]
    format: String,
}

/// Runs until interrupted, or to the end with `--from-beginning`.
pub fn tap(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let config = Config::read(&args.config, environment)?;
    let servers = Servers::reach(&config)?;
    let known = RecordType::ALL.iter().copied().find(|ty| ty.as_str() == args.topic || ty.topic(&servers.topics) == args.topic);
    let topic = known.map_or_else(|| args.topic.clone(), |ty| ty.topic(&servers.topics));
    let (mut from, mut ends) = (Vec::new(), Vec::new());
    for number in 0..servers.log.partitions(&topic)? {
        let partition = TopicPartition::new(topic.as_str(), number);
        let range = servers.log.range(&partition)?;
        from.push((partition.clone(), if args.from_beginning { range.start } else { range.end }));
        ends.push((partition, range.end));
    }
    let mut reader = servers.log.reader(&from)?;
    let mut decoder = Decoder::new(Arc::clone(&servers.registry));
    let mut out = std::io::stdout().lock();
    loop {
        let mut records = Vec::new();
        reader.poll(&mut records, 1_000, Duration::from_millis(200))?;
        for record in records {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            if args.key.as_ref().is_some_and(|wanted| *wanted != key) {
                continue;
            }
            let value = match (&record.value, known) {
                (None, _) => Value::Null,
                (Some(value), Some(ty)) => dump::to_json(&decoder.decode(ty, value)?)?,
                (Some(value), None) => String::from_utf8_lossy(value).into_owned().into(),
            };
            let headers: serde_json::Map<String, Value> = record
                .headers
                .0
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value).into_owned().into()))
                .collect();
            let line = json!({ "partition": record.partition, "offset": record.offset.0, "key": key, "headers": headers, "value": value });
            if writeln!(out, "{line}").is_err() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        let positions = reader.positions();
        let at_end = ends.iter().all(|(partition, end)| positions.iter().any(|(at, offset)| at == partition && offset >= end));
        if args.from_beginning && at_end {
            return Ok(ExitCode::SUCCESS);
        }
    }
}
