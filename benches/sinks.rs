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
use sightline_benches::records::{Rows, values};
use sightline_benches::store::{clean, names, options, variable, variable_of};
use sightline_benches::{memory, rival, rounds};
use sightline_connectors::runtime::ConnectorConfig;
use sightline_connectors::runtime::registry::build;
use sightline_connectors::{Batch, SinkRecord};
use sightline_log::{Offset, TopicPartition};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::topic::Topics;

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
    let values: Vec<OutputRecord> = values().take(args.records / 3 * 3).collect();
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

fn batches(values: &[OutputRecord]) -> Vec<Batch> {
    let topics = Topics::new("soc");
    let rows = Rows::new(topics.clone());
    let mut batches = Vec::new();
    for (at, chunk) in values.chunks(BATCH).enumerate() {
        let records: Vec<SinkRecord> = chunk.iter().map(|value| rows.record(value.clone(), at as u64 + 1)).collect();
        let next = RecordType::ALL.iter().map(|ty| (TopicPartition::new(ty.topic(&topics), 0), Offset(at as i64 + 1))).collect();
        batches.push(Batch { records, next });
    }
    batches
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
