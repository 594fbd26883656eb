//! Records a second of each sink, beside the same rows written by the store's own bare client in the same run.
//!
//! ```text
//! eval "$(scripts/services env)"; export SIGHTLINE_ORACLE="$(scripts/oracle)"
//! cargo run --release -p sightline-benches --bin sinks -- postgres elasticsearch neo4j
//! ```
//! Synthetic: a third of the records are entities of about 1 KB, a third observables, a third links between the two, into an empty store. Ours writes
//! through the sink as the runtime calls it, in batches of 10,000 with its offsets; the rivals in `peers/` write the same rows: psql with `COPY` and an upsert, the
//! official Python clients with `bulk` and `UNWIND`. Both take turns; medians count.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use clap::Parser;
use serde_json::{Value, json};
use sightline_benches::rival;
use sightline_connectors::runtime::ConnectorConfig;
use sightline_connectors::runtime::registry::build;
use sightline_connectors::{Batch, Op, SinkRecord};
use sightline_log::{Headers, Offset, Record, TopicPartition};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::record::{EntityRecord, HeldObservable, Holder, LinkRecord, ObservableRecord};
use sightline_schemas::topic::Topics;
use sightline_schemas::{Micros, ObservableKind, Role};

const BATCH: usize = 10_000;

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
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..args.rounds {
            ours.push(sink(class, round, &values));
            theirs.push(peer(class, round, folder.path()));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let aim = if class == "postgres" { 50 } else { 80 };
        println!("{class}: {} records, median of {}", args.records, args.rounds);
        println!(
            "  sightline sink {ours:>9.0} records/s\n  bare client    {theirs:>9.0} records/s\n  ratio          {:>9.2} (aim {aim} %)",
            ours / theirs
        );
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; eval \"$(scripts/services env)\""))
}

/// A store of its own for each round, so that every round begins with nothing.
fn options(class: &str, round: usize) -> Value {
    match class {
        "postgres" => json!({ "url": variable("SIGHTLINE_POSTGRES"), "schema": format!("rate{}_{round}", std::process::id()) }),
        "elasticsearch" => {
            json!({ "url": variable("SIGHTLINE_ELASTICSEARCH"), "prefix": format!("rate{}-{round}", std::process::id()), "replicas": 0 })
        }
        "neo4j" => json!({ "url": variable("SIGHTLINE_NEO4J"), "password": std::env::var("SIGHTLINE_NEO4J_PASSWORD").ok() }),
        other => panic!("{other} is none of postgres, elasticsearch, neo4j"),
    }
}

/// Records a second of the sink.
fn sink(class: &str, round: usize, values: &[OutputRecord]) -> f64 {
    if class == "neo4j" {
        rival::python("../../tests/oracle/empty_graph.py", &[&variable("SIGHTLINE_NEO4J")]);
    }
    let config = ConnectorConfig::new("rate", class, serde_json::from_value(options(class, round)).unwrap());
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
fn peer(class: &str, round: usize, folder: &Path) -> f64 {
    let folder = folder.to_str().unwrap();
    let numbers = match class {
        "postgres" => rival::shell("copy.sh", &[folder, &variable("SIGHTLINE_POSTGRES")]),
        "elasticsearch" => {
            let prefix = format!("rate{}-{round}", std::process::id());
            rival::python("bulk.py", &[folder, &variable("SIGHTLINE_ELASTICSEARCH"), &prefix])
        }
        _ => {
            let (user, password) = ("neo4j".to_owned(), std::env::var("SIGHTLINE_NEO4J_PASSWORD").unwrap_or_default());
            rival::python("unwind.py", &[folder, &variable("SIGHTLINE_NEO4J"), &user, &password])
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
