//! How much faster history is replayed into the dataflow than it was ingested, with three sinks on.
//!
//! ```text
//! eval "$(scripts/services env)"
//! cargo run --release -p sightline-benches --bin replay -- --indicators 50000
//! ```
//! Synthetic, as `million`: an indicator is an entity, two observables and two links. Live: on Kafka, from the first package sent until
//! PostgreSQL, Elasticsearch and Neo4j hold all that the topics hold. The process then ends without a snapshot, its state is removed, and a
//! second one replays the journal from its beginning, what the lanes had committed being dropped, takes one new package and waits until
//! that is committed. What was written is removed at the end. Neo4j's community edition has one graph, and it is **emptied**: give it a
//! server of its own.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use sightline_benches::engine::Cell;
use sightline_benches::synthetic::{PACKAGE, package};
use sightline_benches::{memory, rival};
use sightline_connectors::runtime::{ConnectorConfig, Connectors};
use sightline_log::kafka::{Kafka, KafkaOptions};
use sightline_log::{Log, TopicPartition};
use sightline_schemas::registry::EmbeddedRegistry;
use sightline_topology::runtime::InputMode;

/// The product's.
#[path = "../src/allocator.rs"]
mod allocator;

/// At least so many times faster.
const AIM: f64 = 5.0;

#[derive(Parser)]
struct Args {
    /// How many indicators.
    #[arg(long, default_value_t = 50_000)]
    indicators: u64,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Only ingests: prefix and folder.
    #[arg(long, num_args = 2, hide = true)]
    live: Vec<String>,
    /// Only replays: prefix and folder.
    #[arg(long, num_args = 2, hide = true)]
    replay: Vec<String>,
}

fn main() {
    allocator::return_memory_soon();
    let args = Args::parse();
    if let [prefix, folder] = &args.live[..] {
        return live(&args, prefix, Path::new(folder));
    }
    if let [prefix, folder] = &args.replay[..] {
        return replay(&args, prefix, Path::new(folder));
    }
    let (folder, prefix) = (tempfile::tempdir().unwrap(), format!("bench{}x", std::process::id()));
    clean(&prefix);
    let mut seconds = Vec::new();
    for what in ["--live", "--replay"] {
        let done = Command::new(std::env::current_exe().unwrap())
            .args(["--indicators", &args.indicators.to_string(), "--workers", &args.workers.to_string(), what, &prefix])
            .arg(folder.path())
            .stderr(std::process::Stdio::inherit())
            .output()
            .unwrap();
        assert!(done.status.success(), "{what}");
        let line = String::from_utf8(done.stdout).unwrap();
        let numbers: Vec<f64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        seconds.push(numbers[0]);
        println!(
            "{what:9} {:>8.1} s {:>9.0} objects/s {:>9.0} output records/s; peak memory {:.0} MB",
            numbers[0],
            args.indicators as f64 / numbers[0],
            5.0 * args.indicators as f64 / numbers[0],
            numbers[1] / 1e6
        );
    }
    clean(&prefix);
    let ratio = seconds[0] / seconds[1];
    println!(
        "{} indicators, {} workers: ratio {ratio:.1} (at least {AIM:.0}: {})",
        args.indicators,
        args.workers,
        if ratio >= AIM { "met" } else { "missed" }
    );
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; eval \"$(scripts/services env)\""))
}

fn stores(prefix: &str) -> Vec<ConnectorConfig> {
    let of = |class: &str, options: Value| ConnectorConfig::new(class, class, serde_json::from_value(options).unwrap());
    let password = std::env::var("SIGHTLINE_NEO4J_PASSWORD").ok();
    vec![
        of("postgres", json!({ "url": variable("SIGHTLINE_POSTGRES"), "schema": prefix })),
        of("elasticsearch", json!({ "url": variable("SIGHTLINE_ELASTICSEARCH"), "prefix": prefix, "replicas": 0 })),
        of("neo4j", json!({ "url": variable("SIGHTLINE_NEO4J"), "password": password })),
    ]
}

/// Removes what was written, and empties the graph.
fn clean(prefix: &str) {
    for (class, variable) in
        [("postgres", "SIGHTLINE_POSTGRES"), ("elasticsearch", "SIGHTLINE_ELASTICSEARCH"), ("neo4j", "SIGHTLINE_NEO4J")]
    {
        rival::python("clean.py", &[class, &self::variable(variable), prefix]);
    }
}

fn cell(prefix: &str, folder: &Path) -> Cell {
    let log = Kafka::new(KafkaOptions { bootstrap: variable("SIGHTLINE_KAFKA"), ..KafkaOptions::default() }).unwrap();
    let mut cell = Cell::on(Arc::new(log), prefix, folder);
    // A snapshot would be gone on from, and the journal trimmed.
    cell.settings.snapshots.interval_ms = 24 * 3_600_000;
    cell
}

fn live(args: &Args, prefix: &str, folder: &Path) {
    let cell = cell(prefix, folder);
    let engine = cell.start(args.workers, InputMode::Follow);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let entered = runtime.enter();
    let connectors = Connectors::start(Arc::clone(&cell.log), Arc::new(EmbeddedRegistry), cell.topics.clone(), stores(prefix)).unwrap();
    drop(entered);
    let mut writer = cell.log.writer().unwrap();
    let mut send = |first: u64, last: u64| {
        let records = cell.send(&mut *writer, "bench", &format!("package-{first}"), package(first, last).into());
        writer.flush().unwrap();
        records
    };
    // Not counted: connections, tables, indices, constraints.
    let mut records = send(args.indicators + 1, args.indicators + 2);
    cell.settle(&engine, records);
    runtime.block_on(connectors.caught_up(Duration::from_secs(300))).unwrap();
    let began = Instant::now();
    for first in (0..args.indicators).step_by(PACKAGE as usize) {
        records += send(first, (first + PACKAGE).min(args.indicators));
    }
    cell.settle(&engine, records);
    runtime.block_on(connectors.caught_up(Duration::from_secs(3_600))).unwrap();
    println!("{} {}", began.elapsed().as_secs_f64(), memory::peak());
    runtime.block_on(connectors.stop());
    for (class, batch) in [("postgres", 10_000), ("postgres", 50_000), ("elasticsearch", 10_000), ("elasticsearch", 50_000)] {
        join(&cell, &runtime, prefix, class, batch);
    }
    // As a kill: no snapshot is written.
    std::process::exit(0);
}

/// A sink that joins late, with batches of that many records.
fn join(cell: &Cell, runtime: &tokio::runtime::Runtime, prefix: &str, class: &str, batch: usize) {
    let mut config = stores(&format!("{prefix}j{batch}")).into_iter().find(|config| config.class == class).unwrap();
    config.name = format!("{class}{batch}");
    (config.batch.records, config.batch.bytes, config.batch.interval_ms) = (batch, 256 << 20, 1_000);
    let began = Instant::now();
    let _entered = runtime.enter();
    let connectors = Connectors::start(Arc::clone(&cell.log), Arc::new(EmbeddedRegistry), cell.topics.clone(), vec![config]).unwrap();
    runtime.block_on(connectors.caught_up(Duration::from_secs(3_600))).unwrap();
    let seconds = began.elapsed().as_secs_f64();
    let written = runtime.block_on(connectors.stop())[0].written;
    eprintln!("  {class} joins late: {written} records in {seconds:.1} s, {:.0}/s, in batches of {batch}", written as f64 / seconds);
}

fn replay(args: &Args, prefix: &str, folder: &Path) {
    let state: PathBuf = folder.join("state");
    std::fs::remove_dir_all(state).unwrap();
    let cell = cell(prefix, folder);
    let ends = || (0..cell.partitions()).map(|number| end(&*cell.log, &cell.topics.links(), number)).sum::<i64>();
    let before = ends();
    let began = Instant::now();
    let engine = cell.start(args.workers, InputMode::Follow);
    let mut writer = cell.log.writer().unwrap();
    cell.send(&mut *writer, "bench", "one-more", package(args.indicators, args.indicators + 1).into());
    writer.flush().unwrap();
    while ends() == before {
        assert!(!engine.is_finished(), "the engine ended early");
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("{} {}", began.elapsed().as_secs_f64(), memory::peak());
    // Links, and the markers of a transaction in each partition that has one.
    let grown = ends() - before;
    assert!((2..=8).contains(&grown), "{grown} offsets were added by two new links: what was committed came again");
    std::process::exit(0);
}

fn end(log: &dyn Log, topic: &str, number: i32) -> i64 {
    log.range(&TopicPartition::new(topic, number)).unwrap().end.0
}
