//! `replay`: records of the output topics to a store again; `--shadow` is in `shadow.rs`.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sightline_connectors::replay::{self, Begin, End, Request, Source};
use sightline_connectors::runtime::{ConnectorConfig, registry};
use sightline_log::Offset;
use sightline_schemas::Micros;
use sightline_schemas::avro::RecordType;

use crate::config::Config;
use crate::service::Servers;
use crate::shadow;

/// What `--help` says below the options.
const HELP: &str = "\
The connector may be running: it is not stopped, its positions stay where they are, and an older record never overwrites a newer one. Of each \
key the last record of the range is given, unless a newer one stands behind the range. The range ends where the store is, at the latest: what comes after that the \
connector writes by itself. The same replay can be run again at any time.

Examples:
  sightline replay -c cell.yaml --sink pg --earliest                              all that the topics hold
  sightline replay -c cell.yaml --sink pg --topic entities --from-offset 0:1200 --from-offset 1:900
  sightline replay -c cell.yaml --sink es --from-time 2026-11-20T00:00:00Z --to-time 2026-11-21T00:00:00Z
  sightline replay -c cell.yaml --sink es --rebuild
  sightline replay -c cell.yaml --shadow other.yaml

With --rebuild new indices are filled beside the live ones (Elasticsearch), which go on being searched and written; when they are full the aliases are \
swapped at once, and the old indices dropped when nobody searches them any more. When it is cut off, run it again: what was left is removed.

Exit code 0 when it is done; 1 when it is refused (offsets that have expired, an unknown sink or topic) or fails, 2 for a wrong command line.";

/// Gives records of the output topics to a store again, beside its running connector; or shows what another configuration would change.
#[derive(clap::Args)]
#[command(after_help = HELP)]
#[command(group = clap::ArgGroup::new("begin").args(["earliest", "from_offset", "from_time", "rebuild", "shadow"]).required(true))]
pub struct Args {
    /// Configuration.
    #[arg(short, long)]
    config: PathBuf,
    /// The connector whose store is to have them.
    #[arg(long, value_name = "NAME", required_unless_present = "shadow", conflicts_with = "shadow")]
    sink: Option<String>,
    /// Topic: its full name, or `entities`, `links`, `sightings`, … (repeatable); all of the connector's by default.
    #[arg(long, value_name = "T")]
    topic: Vec<String>,
    /// Begin with the earliest record that the log holds.
    #[arg(long)]
    earliest: bool,
    /// Begin at offset O of partition P (repeatable); partitions that are not named are left out. Needs one --topic.
    #[arg(long, value_name = "P:O", value_parser = place)]
    from_offset: Vec<(i32, Offset)>,
    /// Begin with the first record that the log took at this time or later (RFC 3339).
    #[arg(long, value_name = "TS", value_parser = Micros::parse)]
    from_time: Option<Micros>,
    /// End before offset O of partition P (repeatable). Needs one --topic.
    #[arg(long, value_name = "P:O", value_parser = place, conflicts_with = "to_time")]
    to_offset: Vec<(i32, Offset)>,
    /// End before the first record that the log took at this time or later (RFC 3339).
    #[arg(long, value_name = "TS", value_parser = Micros::parse)]
    to_time: Option<Micros>,
    /// Fill new indices beside the live ones, then swap them in (Elasticsearch).
    #[arg(long, conflicts_with_all = ["topic", "to_offset", "to_time"])]
    rebuild: bool,
    /// Keep the old indices after a rebuild, read-only.
    #[arg(long, requires = "rebuild")]
    keep_old: bool,
    /// How long to wait for a store that is away, in seconds.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// Another configuration: its `topology` and `feeds` are tried on the cell's past, and what they would change is listed. The cell is only read.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to_offset", "to_time"])]
    shadow: Option<PathBuf>,
    /// Up to this epoch; by default to the end that the journal has now.
    #[arg(long, value_name = "E", requires = "shadow")]
    to_epoch: Option<u64>,
    /// One JSON object a line, with whole rows.
    #[arg(long, requires = "shadow")]
    json: bool,
}

/// Reads `P:O`.
fn place(text: &str) -> Result<(i32, Offset), String> {
    let read = text.split_once(':').and_then(|(partition, offset)| {
        let (partition, offset) = (partition.parse::<i32>().ok()?, offset.parse::<i64>().ok()?);
        (partition >= 0 && offset >= 0).then_some((partition, Offset(offset)))
    });
    read.ok_or_else(|| "expected PARTITION:OFFSET, two numbers from 0".into())
}

/// Exit code 0 when it is done.
pub fn replay(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let config = Config::read(&args.config, environment)?;
    if let Some(other) = &args.shadow {
        let asked = shadow::Asked { to_epoch: args.to_epoch, topics: &args.topic, as_json: args.json };
        return shadow::shadow(&config, &Config::read(other, environment)?, &asked);
    }
    let Some(connector) = config.connectors.iter().find(|connector| Some(&connector.name) == args.sink.as_ref()) else {
        let names: Vec<_> = config.connectors.iter().map(|connector| connector.name.as_str()).collect();
        bail!("there is no connector {}; the configuration has: {}", args.sink.as_deref().unwrap_or_default(), names.join(", "));
    };
    let servers = Servers::reach(&config)?;
    let mut sink = registry::build(connector)?;
    let request = request(args, &servers, connector, sink.supports())?;
    let source = Source {
        log: Arc::clone(&servers.log),
        registry: Arc::clone(&servers.registry),
        topics: servers.topics.clone(),
        patience: Duration::from_secs(args.patience),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start the async runtime")?;
    let bar = bar();
    let mut watch = |passed, total| {
        bar.set_length(total);
        bar.set_position(passed);
    };
    let summary = runtime.block_on(async {
        let done = if args.rebuild {
            replay::rebuild(&source, connector, args.keep_old, &mut *sink, &mut watch).await
        } else {
            replay::replay(&source, connector, &request, &mut *sink, &mut watch).await.map(|summary| (summary, Vec::new()))
        };
        sink.close().await;
        done
    });
    bar.finish_and_clear();
    let (summary, left) = summary.with_context(|| format!("replay to {}", connector.name))?;
    for index in left {
        eprintln!("{}: {index} is still being searched, and was left; the next rebuild drops it, or drop it by hand", connector.name);
    }
    println!(
        "{}: {} records read, {} of them superseded by later ones; {} written, {} held already or newer, {} refused; {:.1} s",
        connector.name,
        summary.read,
        summary.superseded,
        summary.written,
        summary.held,
        summary.refused,
        summary.took.as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}

fn request(args: &Args, servers: &Servers, connector: &ConnectorConfig, supported: &[RecordType]) -> Result<Request> {
    let mine = connector.record_types(supported)?;
    let mut types = Vec::new();
    for topic in &args.topic {
        let Some(ty) = mine.iter().find(|ty| ty.as_str() == topic || ty.topic(&servers.topics) == *topic) else {
            let names: Vec<_> = mine.iter().map(|ty| ty.as_str()).collect();
            bail!("{topic} is no topic of connector {}; it has: {}", connector.name, names.join(", "));
        };
        if !types.contains(ty) {
            types.push(*ty);
        }
    }
    if types.len() != 1 && !(args.from_offset.is_empty() && args.to_offset.is_empty()) {
        bail!("offsets are those of one topic: name it with --topic, and run the command once for each");
    }
    let begin = match args.from_time {
        Some(time) => Begin::Time(time),
        None if args.from_offset.is_empty() => Begin::Earliest,
        None => Begin::At(by_partition("--from-offset", &args.from_offset)?),
    };
    let end = match args.to_time {
        Some(time) => End::Time(time),
        None if args.to_offset.is_empty() => End::Positions,
        None => End::Before(by_partition("--to-offset", &args.to_offset)?),
    };
    Ok(Request { types: if types.is_empty() { mine } else { types }, begin, end })
}

fn by_partition(option: &str, places: &[(i32, Offset)]) -> Result<BTreeMap<i32, Offset>> {
    let mut offsets = BTreeMap::new();
    for (partition, offset) in places {
        if offsets.insert(*partition, *offset).is_some() {
            bail!("{option} names partition {partition} twice");
        }
    }
    Ok(offsets)
}

/// Drawn where standard error is a terminal.
fn bar() -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(0);
    // The template is a constant: should it ever not be understood, the default is drawn.
    if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:40} {percent}% {human_pos}/{human_len} {elapsed} (left {eta})") {
        bar.set_style(style);
    }
    bar
}
