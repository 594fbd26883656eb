//! `process`: files into a cell, or through the embedded topology into a folder.
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::json;
use sightline_log::LogError;
use sightline_log::embedded::EmbeddedOptions;
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::topic::Topics;
use sightline_topology::runtime::InputMode;

use crate::config::{Config, FeedConfig};
use crate::dump;
use crate::feed;
use crate::intake::{Format, Intake, Progress, Taken, files};
use crate::service::Servers;

/// Exit code: all was read, and some of it is in the dead letters.
const SOME_REJECTED: u8 = 3;

/// Arguments of `process`.
#[derive(clap::Args)]
pub struct Args {
    /// Files and folders; archives and compressed files are unpacked, by content.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Whose.
    #[arg(long, default_value = "default")]
    tenant: String,
    /// Feed of the intelligence; by default each file's name without its endings.
    #[arg(long)]
    feed: Option<String>,
    /// Source of the logs; by default each file's name without its endings.
    #[arg(long)]
    source: Option<String>,
    /// The feed's newest package is the whole feed.
    #[arg(long, requires = "feed")]
    snapshot: bool,
    /// The most events to read.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    max_events: u64,
    /// What the files hold.
    #[arg(long, value_enum, default_value = "auto")]
    format: Format,
    /// Into the input topics of this configuration's cell, instead of the embedded topology.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Where to write NDJSON files.
    #[arg(long, default_value = "sightline-out")]
    out: PathBuf,
    /// Worker threads of the embedded topology.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Unlearn this feed after everything is read (repeatable).
    #[arg(long)]
    remove_feed: Vec<String>,
}

/// Runs the command.
pub fn process(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let started = Instant::now();
    let paths = files(&args.paths)?;
    if paths.is_empty() {
        bail!("there are no files in {}", args.paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "));
    }
    let directory = tempfile::tempdir().context("failed to make a temporary folder")?;
    let (config, servers) = match &args.config {
        Some(path) => {
            let config = Config::read(path, environment)?;
            let servers = Servers::reach(&config)?;
            (config, servers)
        }
        None => {
            let mut config = Config::parse(&format!("log: {}\n", directory.path().join("log").display()))?;
            config.workers = args.workers.max(1);
            config.state_dir = directory.path().join("state");
            let options = EmbeddedOptions { sync: false, ..EmbeddedOptions::default() };
            let servers = Servers::embedded(&directory.path().join("log"), options, Topics::new(&config.cell))?;
            (config, servers)
        }
    };
    servers.ensure_topics(&config)?;
    if let Some(name) = args.feed.as_ref().filter(|_| args.snapshot) {
        feed::declare(&servers, &[FeedConfig { name: name.clone(), tenant: args.tenant.clone(), snapshot: true }])?;
    }
    let sizes = paths.iter().filter_map(|file| std::fs::metadata(&file.path).ok()).map(|metadata| metadata.len()).sum();
    let mut intake = Intake {
        writer: servers.log.writer()?,
        topics: &servers.topics,
        tenant: args.tenant.clone(),
        feed: args.feed.clone(),
        source: args.source.clone(),
        format: args.format,
        limits: config.topology.limits.clone(),
        max_events: args.max_events,
        progress: Progress::of(sizes),
        taken: Taken::default(),
    };
    let mut unreadable = 0;
    for path in &paths {
        if intake.has_enough() {
            break;
        }
        if let Err(error) = intake.file(path) {
            // What the log does not take now it will not take of the next file.
            if error.is::<LogError>() {
                return Err(error);
            }
            intake.progress.complain(&format!("{error:#}"));
            unreadable += 1;
        }
    }
    intake.writer.flush()?;
    intake.progress.finish();
    let taken = intake.taken;
    if taken.files == 0 {
        bail!("nothing could be read");
    }
    println!("{taken}");
    let is_nothing = taken.is_nothing();
    if args.config.is_some() {
        for name in &args.remove_feed {
            feed::remove(&servers, &args.tenant, name)?;
        }
        return Ok(exit_code(is_nothing, unreadable > 0 || taken.refused > 0));
    }
    servers.start(&config, InputMode::Drain)?.wait()?;
    if !args.remove_feed.is_empty() {
        for name in &args.remove_feed {
            feed::remove(&servers, &args.tenant, name)?;
        }
        servers.start(&config, InputMode::Drain)?.wait()?;
    }
    let counts = dump::write(&servers, &args.out)?;
    let rejected = summary(&servers, args, &counts, taken, started)?;
    for (name, count) in &counts {
        println!("{count:>9}  {name}");
    }
    println!("written to {}", args.out.display());
    Ok(exit_code(is_nothing, rejected > 0 || unreadable > 0))
}

/// The contract's: nothing could be read; some was rejected; all was read.
pub fn exit_code(is_nothing: bool, is_some_rejected: bool) -> ExitCode {
    if is_nothing {
        ExitCode::FAILURE
    } else if is_some_rejected {
        ExitCode::from(SOME_REJECTED)
    } else {
        ExitCode::SUCCESS
    }
}

fn summary(
    servers: &Servers,
    args: &Args,
    counts: &std::collections::BTreeMap<&str, u64>,
    taken: Taken,
    started: Instant,
) -> Result<usize> {
    let entities = dump::view(servers, RecordType::Entity)?;
    let types = dump::count(
        entities.values().filter_map(|record| if let OutputRecord::Entity(entity) = record { Some(entity.ty.as_str()) } else { None }),
    );
    let observables = dump::view(servers, RecordType::Observable)?;
    let kinds = dump::count(
        observables.values().filter_map(|record| if let OutputRecord::Observable(held) = record { Some(held.kind.as_str()) } else { None }),
    );
    let letters = dump::read(&*servers.log, &servers.topics.dlq_parse())?;
    let reasons = dump::count(letters.iter().map(|record| record.headers.text("reason").unwrap_or_default()));
    let summary = json!({
        "counts": counts, "entities_by_type": types, "observables_by_kind": kinds, "dead_letters_by_reason": reasons,
        "bytes": taken.bytes, "seconds": started.elapsed().as_secs_f64(),
    });
    std::fs::write(args.out.join("summary.json"), format!("{summary:#}\n")).context("failed to write summary.json")?;
    Ok(letters.len())
}
