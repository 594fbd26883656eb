//! Records a second of each sink, beside the same rows written by the store's own bare client in the same run.
//!
//! ```text
//! eval "$(scripts/services env)"; export SIGHTLINE_ORACLE="$(scripts/oracle)"
//! cargo run --release -p sightline-benches --bin sinks -- postgres elasticsearch neo4j
//! ```
//! Synthetic: a third of the records are entities of about 1 KB, a third observables, a third links between the two, into an empty store. Ours writes
//! through the sink as the runtime calls it, with its lease and its offsets; the rivals in `peers/` write the same rows in the same transactions of 9,999
//! records: psql with `COPY` and an upsert, the official Python clients with `bulk` and `UNWIND`. Neither connecting nor preparing the rows is counted, of
//! either. What was written is removed at the end. Neo4j's community edition has one graph, and it is **emptied**: give it a server of its own.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use clap::Parser;
use serde_json::{Value, json};
use sightline_benches::{memory, rival, rounds};
use sightline_connectors::runtime::ConnectorConfig;
use sightline_connectors::runtime::registry::build;
use sightline_connectors::{Batch, Op, SinkRecord};
use sightline_log::{Headers, Offset, Record, TopicPartition};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::record::{EntityRecord, HeldObservable, Holder, LinkRecord, ObservableRecord};
use sightline_schemas::topic::Topics;
use sightline_schemas::{Micros, ObservableKind, Role};

/// Records of a transaction: about the runtime's own 10,000, and the same number of each sort.
const BATCH: usize = 9_999;

#[derive(Parser)]
struct Args {
    /// `postgres`, `elasticsearch`, `neo4j`.
    #[arg(required = true)]
    classes: Vec<String>,
    /// Records, of all three sorts together.
    #[arg(long, default_value_t = 150_000)]
    records: usize,
    /// Turns of each side.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

fn main() {
    let args = Args::parse();
    let values = values(args.records);
    let folder = tempfile::tempdir().unwrap();
    dump(&values, folder.path());
    for class in &args.classes {
        // Has the sink make its tables and mappings once, for the rival to copy.
        sink(class, &names("model"), &[]);
        let told = rounds::alternate(
            args.rounds,
            |round| sink(class, &names(&format!("ours{round}")), &values),
            |round| peer(class, &names(&format!("rival{round}")), folder.path()),
        );
        clean(class);
        println!(
            "{class}: {} records in transactions of {BATCH}; peak memory of this process {:.0} MB",
            values.len(),
            memory::peak() as f64 / 1e6
        );
        told.print("sightline sink", "bare client", if class == "postgres" { 0.50 } else { 0.80 });
    }
}

/// A name that no other run uses, in what every store allows.
fn names(of: &str) -> String {
    format!("{}{of}", names_begin())
}

fn names_begin() -> String {
    format!("bench{}x", std::process::id())
}

/// Removes what this run wrote.
fn clean(class: &str) {
    rival::python("clean.py", &[class, &variable(variable_of(class)), &names_begin()]);
}

fn variable_of(class: &str) -> &'static str {
    match class {
        "postgres" => "SIGHTLINE_POSTGRES",
        "elasticsearch" => "SIGHTLINE_ELASTICSEARCH",
        "neo4j" => "SIGHTLINE_NEO4J",
        other => panic!("{other} is none of postgres, elasticsearch, neo4j"),
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; eval \"$(scripts/services env)\""))
}

/// A store of its own for each round, so that every round begins with nothing.
fn options(class: &str, name: &str) -> Value {
    let url = variable(variable_of(class));
    match class {
        "postgres" => json!({ "url": url, "schema": name }),
        "elasticsearch" => json!({ "url": url, "prefix": name, "replicas": 0 }),
        _ => json!({ "url": url, "password": std::env::var("SIGHTLINE_NEO4J_PASSWORD").ok() }),
    }
}

/// Records a second of the sink.
fn sink(class: &str, name: &str, values: &[OutputRecord]) -> f64 {
    if class == "neo4j" {
        clean(class);
    }
    let config = ConnectorConfig::new(name, class, serde_json::from_value(options(class, name)).unwrap());
    let mut sink = build(&config).unwrap();
    let values: Vec<_> = values.iter().filter(|value| sink.supports().contains(&value.record_type())).cloned().collect();
    let batches = batches(&values);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sink.open().await.unwrap();
        let start = Instant::now();
        for batch in &batches {
            sink.put(batch).await.unwrap();
        }
        let seconds = start.elapsed().as_secs_f64();
        sink.close().await;
        values.len() as f64 / seconds
    })
}

/// Records a second of the bare client.
fn peer(class: &str, name: &str, folder: &Path) -> f64 {
    let (folder, url, batch) = (folder.to_str().unwrap(), variable(variable_of(class)), (BATCH / 3).to_string());
    let numbers = match class {
        "postgres" => rival::shell("copy.sh", &[folder, &url, name, &batch]),
        "elasticsearch" => rival::python("bulk.py", &[folder, &url, name, &names("model")]),
        _ => {
            clean(class);
            rival::python("unwind.py", &[folder, &url, &batch])
        }
    };
    numbers[0] / numbers[1]
}

fn values(count: usize) -> Vec<OutputRecord> {
    let tenant = || "acme".to_owned();
    let mut values = Vec::with_capacity(count);
    for n in 0..count / 3 {
        // Spread over the key space as real UUIDs are.
        let spread = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let uuid = format!("{:08x}-{:04x}-4000-8000-{n:012x}", spread >> 32, spread as u16);
        let (entity_id, observable_id) = (format!("indicator--{uuid}"), format!("ipv4-addr--{uuid}"));
        let value = format!("10.{}.{}.{}", (n >> 16) & 255, (n >> 8) & 255, n & 255);
        let description = "Seen in traffic of hosts that later showed signs of compromise. ".repeat(5);
        let doc = format!(
            r#"{{"created":"2026-01-01T00:00:00Z","description":"{description}","id":"{entity_id}","modified":"2026-01-01T00:00:00Z","pattern":"[ipv4-addr:value = '{value}']","spec_version":"2.1","type":"indicator"}}"#
        );
        values.push(OutputRecord::Entity(EntityRecord {
            tenant: tenant(),
            id: entity_id.clone(),
            ty: "indicator".into(),
            name: Some(format!("Indicator {n}")),
            description: Some(description),
            created: Some(Micros(1_767_225_600_000_000)),
            modified: Some(Micros(1_767_225_600_000_000)),
            revoked: false,
            confidence: Some(80),
            tlp: Some("green".into()),
            labels: vec!["malicious-activity".into()],
            sources: vec!["feed".into()],
            valid_from: Some(Micros(1_767_225_600_000_000)),
            valid_until: None,
            observables: vec![HeldObservable {
                id: observable_id.clone(),
                kind: ObservableKind::Ipv4Addr,
                value: value.clone(),
                role: Role::Pattern,
            }],
            doc,
        }));
        values.push(OutputRecord::Observable(ObservableRecord {
            tenant: tenant(),
            id: observable_id.clone(),
            kind: ObservableKind::Ipv4Addr,
            value,
            first_seen: Some(Micros(1_767_225_600_000_000)),
            last_seen: Some(Micros(1_767_225_600_000_000)),
            holders: 1,
            entities: vec![Holder { id: entity_id.clone(), role: Role::Pattern }],
        }));
        values.push(OutputRecord::Link(LinkRecord { tenant: tenant(), entity_id, observable_id, role: Role::Pattern }));
    }
    values
}

fn batches(values: &[OutputRecord]) -> Vec<Batch> {
    let topics = Topics::new("soc");
    let mut batches = Vec::new();
    for (at, chunk) in values.chunks(BATCH).enumerate() {
        let records: Vec<SinkRecord> = chunk.iter().map(|value| record(value, &topics, at as u64 + 1)).collect();
        let next = RecordType::ALL.iter().map(|ty| (TopicPartition::new(ty.topic(&topics), 0), Offset(at as i64 + 1))).collect();
        batches.push(Batch { records, next });
    }
    batches
}

fn record(value: &OutputRecord, topics: &Topics, epoch: u64) -> SinkRecord {
    let ty = value.record_type();
    let source = Record {
        topic: ty.topic(topics).into(),
        partition: 0,
        offset: Offset(0),
        timestamp: 0,
        key: None,
        value: None,
        headers: Headers::default(),
    };
    SinkRecord {
        ty,
        tenant: value.tenant().to_owned(),
        id: value.id(),
        op: Op::Upsert(value.clone()),
        epoch,
        origin: "soc.in.intel:0:1".into(),
        received: None,
        source,
    }
}

fn dump(values: &[OutputRecord], directory: &Path) {
    let file = |name: &str| std::io::BufWriter::new(std::fs::File::create(directory.join(name)).unwrap());
    let (mut entities, mut observables, mut links) = (file("entities.ndjson"), file("observables.ndjson"), file("links.ndjson"));
    for value in values {
        match value {
            OutputRecord::Entity(record) => writeln!(entities, "{}", serde_json::to_string(record).unwrap()).unwrap(),
            OutputRecord::Observable(record) => writeln!(observables, "{}", serde_json::to_string(record).unwrap()).unwrap(),
            OutputRecord::Link(record) => writeln!(links, "{}", serde_json::to_string(record).unwrap()).unwrap(),
            _ => {}
        }
    }
}
