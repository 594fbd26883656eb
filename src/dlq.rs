//! `dlq`: dead letters.
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use sightline_log::{NewRecord, Offset, Record, TopicPartition};

use crate::config::Config;
use crate::dump;
use crate::service::Servers;

/// Arguments of `dlq`.
#[derive(clap::Args)]
pub struct Args {
    /// Configuration.
    #[arg(short, long)]
    config: PathBuf,
    /// The dead letters of this connector, instead of the parsers'.
    #[arg(long, global = true)]
    connector: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One line each.
    List,
    /// One, with its bytes: `partition:offset` of the dead letter.
    Show {
        /// Which.
        at: String,
    },
    /// Puts the input record of one back at the end of its topic.
    Retry {
        /// Which.
        at: String,
    },
    /// Forgets the dead letters of a partition up to and including one.
    Discard {
        /// Which.
        at: String,
    },
}

/// Runs the command.
pub fn dlq(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let config = Config::read(&args.config, environment)?;
    let servers = Servers::reach(&config)?;
    let topic = args.connector.as_ref().map_or_else(|| servers.topics.dlq_parse(), |connector| servers.topics.dlq_sink(connector));
    match &args.what {
        What::List => {
            for record in dump::read(&*servers.log, &topic)? {
                let mut line = dump::dead_letter(&record);
                line["at"] = format!("{}:{}", record.partition, record.offset.0).into();
                println!("{line}");
            }
        }
        What::Show { at } => {
            let record = find(&servers, &topic, at)?;
            println!("{:#}", dump::dead_letter(&record));
            println!("{}", String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()));
        }
        What::Retry { at } => retry(&servers, &find(&servers, &topic, at)?)?,
        What::Discard { at } => {
            let (partition, offset) = position(at)?;
            servers.log.trim(&TopicPartition::new(topic.as_str(), partition), Offset(offset + 1))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn position(at: &str) -> Result<(i32, i64)> {
    let (partition, offset) = at.split_once(':').with_context(|| format!("{at:?} is not partition:offset, as `dlq list` shows it"))?;
    Ok((partition.parse()?, offset.parse()?))
}

fn find(servers: &Servers, topic: &str, at: &str) -> Result<Record> {
    let (partition, offset) = position(at)?;
    let found =
        dump::read(&*servers.log, topic)?.into_iter().find(|record| record.partition == partition && record.offset == Offset(offset));
    found.with_context(|| format!("{topic} holds no dead letter at {at}"))
}

/// The whole input record, not the part that was refused: good objects of a package that came again change nothing.
fn retry(servers: &Servers, letter: &Record) -> Result<()> {
    let header = |name: &str| letter.headers.text(name).with_context(|| format!("the dead letter has no header {name}"));
    let topic = header("origin.topic")?;
    if ![servers.topics.intel_in(), servers.topics.logs_in(), servers.topics.control_in()].iter().any(|input| input == topic) {
        bail!("{topic} is no input; a sink's dead letter is retried by mending the store and restarting its connector");
    }
    let partition = TopicPartition::new(topic, header("origin.partition")?.parse()?);
    let offset = Offset(header("origin.offset")?.parse()?);
    let mut reader = servers.log.reader(&[(partition.clone(), offset)])?;
    let mut records = Vec::new();
    reader.poll(&mut records, 1, std::time::Duration::from_secs(5))?;
    let record = records
        .into_iter()
        .find(|record| record.offset == offset)
        .with_context(|| format!("{partition} no longer holds offset {}", offset.0))?;
    let mut writer = servers.log.writer()?;
    writer.send(NewRecord {
        topic: record.topic,
        partition: Some(record.partition),
        key: record.key,
        value: record.value,
        headers: record.headers,
    })?;
    Ok(writer.flush()?)
}
