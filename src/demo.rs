//! `demo`: the main job with no server installed.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sightline_connectors::runtime::{ConnectorConfig, Connectors};
use sightline_formats::Limits;
use sightline_log::embedded::EmbeddedOptions;
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::topic::Topics;
use sightline_topology::runtime::InputMode;

use crate::config::Config;
use crate::dump;
use crate::intake::{Format, Intake, Progress, Taken};
use crate::service::Servers;

/// Arguments of `demo`.
#[derive(clap::Args)]
pub struct Args {
    /// Where the demo keeps its log, state and database; one left by an earlier demo is emptied first.
    #[arg(long, default_value = "sightline-demo")]
    dir: PathBuf,
}

/// In each folder that a demo made.
const MARK: &str = ".sightline-demo";

/// `demo/README.md` says where each is from.
const BUNDLED: &[(&str, &[u8])] = &[
    ("attack-ics.json", include_bytes!("../demo/ics-attack-16.1.json.gz")),
    ("poisonivy.json", include_bytes!("../demo/poisonivy.json")),
    ("apt1.json", include_bytes!("../demo/apt1.json")),
    ("tweetfeed.csv", include_bytes!("../demo/tweetfeed-today.csv")),
    // The same bytes under another feed: another source, nothing new.
    ("partner-copy.json", include_bytes!("../demo/poisonivy.json")),
    ("cloudtrail.ndjson", include_bytes!("../demo/cloudtrail.ndjson")),
    ("staged.ndjson", include_bytes!("../demo/staged.ndjson")),
];

/// Runs the command.
pub fn demo(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    // Only what an earlier demo made is ever deleted: `--dir` may name any folder.
    if args.dir.join(MARK).exists() {
        std::fs::remove_dir_all(&args.dir).with_context(|| format!("failed to empty {}", args.dir.display()))?;
    } else if std::fs::read_dir(&args.dir).is_ok_and(|mut entries| entries.next().is_some()) {
        anyhow::bail!("{} is not empty and not a demo's folder; name another with --dir", args.dir.display());
    }
    std::fs::create_dir_all(&args.dir).with_context(|| format!("failed to make {}", args.dir.display()))?;
    std::fs::write(args.dir.join(MARK), "").with_context(|| format!("failed to write into {}", args.dir.display()))?;
    let mut config = Config::parse(&format!("log: {}\n", args.dir.join("log").display()))?;
    config.state_dir = args.dir.join("state");
    let servers =
        Servers::embedded(&args.dir.join("log"), EmbeddedOptions { sync: false, ..EmbeddedOptions::default() }, Topics::new("soc"))?;
    servers.ensure_topics(&config)?;

    println!("Sightline demo: real intelligence meets events, on an embedded log and SQLite.\n");
    let taken = ingest(&servers)?;
    println!(
        "In     {} files, {:.1} MB: ATT&CK for ICS, two APT reports (STIX), a day of TweetFeed (CSV), AWS CloudTrail events,",
        taken.files,
        taken.bytes as f64 / 1e6
    );
    println!("       and three staged events; one report comes a second time from another feed.");
    servers.start(&config, InputMode::Drain)?.wait()?;
    let database = args.dir.join("sightline.db");
    store(&servers, &database)?;
    report(&servers)?;
    println!("\nLook   sqlite3 {} \"select kind, count(*) from observable group by kind\"", database.display());
    println!("       sightline process YOUR_FILES --out out      your own intelligence and events, no server needed");
    println!("       README.md                                  the same with Kafka, PostgreSQL, Elasticsearch and Neo4j");
    println!("\n{:.1} seconds in all.", started.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

fn ingest(servers: &Servers) -> Result<Taken> {
    let mut intake = Intake {
        writer: servers.log.writer()?,
        topics: &servers.topics,
        tenant: "default".into(),
        feed: None,
        source: None,
        format: Format::Auto,
        limits: Limits::default(),
        max_events: u64::MAX,
        progress: Progress::hidden(),
        taken: Taken::default(),
    };
    for (name, bytes) in BUNDLED {
        intake.bytes(name, bytes)?;
    }
    intake.writer.flush()?;
    Ok(intake.taken)
}

/// Through the same connector runtime as any other store.
fn store(servers: &Servers, database: &std::path::Path) -> Result<()> {
    let mut options = serde_json::Map::new();
    options.insert("path".into(), database.display().to_string().into());
    options.insert("durable".into(), false.into());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("failed to start the async runtime")?;
    runtime.block_on(async {
        let config = ConnectorConfig::new("demo", "sqlite", options);
        let connectors = Connectors::start(Arc::clone(&servers.log), Arc::clone(&servers.registry), servers.topics.clone(), vec![config])?;
        connectors.caught_up(Duration::from_secs(120)).await?;
        connectors.stop().await;
        anyhow::Ok(())
    })
}

fn report(servers: &Servers) -> Result<()> {
    let mut entities = BTreeMap::new();
    for record in dump::view(servers, RecordType::Entity)?.into_values() {
        if let OutputRecord::Entity(entity) = record {
            entities.insert(entity.id.clone(), entity);
        }
    }
    let relations: Vec<_> = dump::view(servers, RecordType::Relation)?
        .into_values()
        .filter_map(|record| if let OutputRecord::Relation(relation) = record { Some(relation) } else { None })
        .collect();
    let observables = dump::view(servers, RecordType::Observable)?;
    let links = dump::view(servers, RecordType::Link)?;
    let events = dump::view(servers, RecordType::Event)?;
    let letters = dump::read(&*servers.log, &servers.topics.dlq_parse())?;

    let types = dump::count(entities.values().map(|entity| entity.ty.as_str()));
    let mut top: Vec<_> = types.iter().collect();
    top.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let top: Vec<String> = top.iter().take(6).map(|(ty, count)| format!("{count} {ty}")).collect();
    let shared = entities.values().filter(|entity| entity.sources.len() > 1).count();
    println!("Parsed {} entities ({}, …), {} events; {} dead letters.", entities.len(), top.join(", "), events.len(), letters.len());
    println!("Same   {shared} entities were told by more than one feed: kept once, with all their sources.");
    println!(
        "Joined {} observables, {} links to entities, {} relations between entities.",
        observables.len(),
        links.len(),
        relations.len()
    );

    let mut sightings: Vec<_> = dump::view(servers, RecordType::Sighting)?
        .into_values()
        .filter_map(|record| if let OutputRecord::Sighting(sighting) = record { Some(sighting) } else { None })
        .collect();
    sightings.sort_by(|a, b| (a.seen, &a.entity_id).cmp(&(b.seen, &b.entity_id)));
    println!("Seen   {} sightings: an event touched what an indicator names.\n", sightings.len());
    let name = |id: &str| {
        entities.get(id).map_or_else(|| id.to_owned(), |entity| format!("{} \"{}\"", entity.ty, entity.name.as_deref().unwrap_or(id)))
    };
    // The example: one that leads to an actor, and of those the one from which most can be followed.
    let best = sightings.iter().max_by_key(|sighting| {
        let indicated = || relations.iter().filter(|relation| relation.source_id == sighting.entity_id && relation.ty == "indicates");
        let is_actor = |id: &str| id.starts_with("threat-actor--") || id.starts_with("intrusion-set--");
        (indicated().any(|relation| is_actor(&relation.target_id)), indicated().count(), &sighting.id)
    });
    let Some(sighting) = best else { return Ok(()) };
    let value = observables
        .get(&format!("default:{}", sighting.observable_id))
        .and_then(|record| if let OutputRecord::Observable(held) = record { Some(held.value.clone()) } else { None });
    println!("Follow one, from event to actor:");
    println!(
        "  event {} at {} touched {}",
        &sighting.event_id[..12.min(sighting.event_id.len())],
        sighting.seen,
        value.unwrap_or_default()
    );
    println!("  └─ named by {}", name(&sighting.entity_id));
    let from = |id: &str, ty: &str| -> Vec<String> {
        let mut targets: Vec<_> = relations
            .iter()
            .filter(|relation| relation.source_id == id && relation.ty == ty)
            .map(|relation| relation.target_id.clone())
            .collect();
        targets.sort();
        targets
    };
    for indicated in from(&sighting.entity_id, "indicates") {
        println!("     └─ indicates {}", name(&indicated));
        for relation in relations
            .iter()
            .filter(|relation| relation.source_id == indicated && matches!(relation.ty.as_str(), "uses" | "attributed-to" | "variant-of"))
            .take(4)
        {
            println!("        └─ {} {}", relation.ty, name(&relation.target_id));
        }
    }
    Ok(())
}
