//! Seconds that `verify` takes for a store in which nothing differs, beside a full read of the same rows by the store's own client.
//!
//! ```text
//! eval "$(scripts/services env)"; export SIGHTLINE_ORACLE="$(scripts/oracle)"
//! cargo run --release -p sightline-benches --bin verify -- postgres elasticsearch sqlite neo4j
//! ```
//! Synthetic: entities of about 1 KB, observables and links between the two, in equal parts (of what the store keeps), written by the sink itself from topics of an
//! embedded log, or with `--log kafka` of Kafka. Reading the topics is counted apart: `verify` reads them once for all stores. The rivals (`peers/full_read.py`) have the server touch every row
//! and add something up: what no comparison can be quicker than. What was written is removed at the end; **the graph of that Neo4j is emptied**.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::json;
use sightline_benches::records::{Rows, values};
use sightline_benches::store::{clean, delete_topics, names, options, variable, variable_of};
use sightline_benches::{memory, rival};
use sightline_connectors::runtime::ConnectorConfig;
use sightline_connectors::runtime::registry::build;
use sightline_connectors::verify::{Outputs, verify};
use sightline_connectors::{Batch, SinkConnector};
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::kafka::{Kafka, KafkaOptions};
use sightline_log::{CleanUp, Log, NewRecord, Record, TopicPartition, TopicSpec};
use sightline_schemas::avro::RecordType;
use sightline_schemas::registry::EmbeddedRegistry;
use sightline_schemas::topic::Topics;

/// Records of a batch.
const BATCH: usize = 9_999;

#[derive(Parser)]
struct Args {
    /// `postgres`, `elasticsearch`, `neo4j`, `sqlite`.
    #[arg(required = true)]
    classes: Vec<String>,
    /// Records in each store.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// Where the topics are.
    #[arg(long, value_enum, default_value = "embedded")]
    log: Topic,
    /// How often each side runs.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Where the topics are.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Topic {
    /// In files of this process.
    Embedded,
    /// On the Kafka of `SIGHTLINE_KAFKA`.
    Kafka,
}

fn main() {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for class in &args.classes {
        let folder = tempfile::tempdir().unwrap();
        let options = match class.as_str() {
            "sqlite" => json!({ "path": folder.path().join("store.db"), "durable": false }),
            _ => options(class, &names("verify")),
        };
        if class == "neo4j" {
            clean(class);
        }
        let config = ConnectorConfig::new("bench", class, serde_json::from_value(options).unwrap());
        let cell = Cell::new(args.log, folder.path(), class, build(&config).unwrap().supports());
        runtime.block_on(cell.fill(&mut *build(&config).unwrap(), args.records));
        let mut rounds: Vec<[f64; 5]> = Vec::new();
        for _ in 0..args.rounds {
            let start = Processor::now();
            let outputs = cell.outputs();
            let view = outputs.view().unwrap();
            let topics = start.passed();
            let start = Processor::now();
            let report = runtime.block_on(verify(&outputs, &view, &mut *build(&config).unwrap(), Duration::from_secs(60))).unwrap();
            let ours = start.passed();
            assert!(report.is_equal(), "{report:?}");
            assert_eq!(report.types.values().map(|ty| ty.equal).sum::<u64>(), args.records as u64);
            rounds.push([ours[0], ours[1], full_read(class, folder.path()), topics[0], topics[1]]);
        }
        let median = |at: usize| {
            let mut figures: Vec<f64> = rounds.iter().map(|round| round[at]).collect();
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        let [ours, busy, theirs, topics, reading] = std::array::from_fn(median);
        let verdict = if ours < 5.0 { "met" } else { "missed" };
        println!(
            "{class}: {} records, median of {} rounds; peak memory of this process {:.0} MB",
            args.records,
            args.rounds,
            memory::peak() as f64 / 1e6
        );
        println!("  verify of the store  {ours:>8.2} s   (below 5: {verdict}); {busy:.2} s of this process's processor time");
        println!("  a full read          {theirs:>8.2} s   ratio {:.2}", ours / theirs);
        println!("  the topics, once     {topics:>8.2} s   {reading:.2} s of processor time");
        if class != "sqlite" {
            clean(class);
        }
        cell.remove();
    }
}

/// A moment, by the clock and by the processor.
struct Processor(Instant, f64);

impl Processor {
    fn now() -> Self {
        Self(Instant::now(), memory::processor_seconds())
    }

    /// Seconds since then, by both.
    fn passed(&self) -> [f64; 2] {
        [self.0.elapsed().as_secs_f64(), memory::processor_seconds() - self.1]
    }
}

/// The store's own client reads every row.
fn full_read(class: &str, folder: &std::path::Path) -> f64 {
    let place = match class {
        "sqlite" => folder.join("store.db").display().to_string(),
        _ => variable(variable_of(class)),
    };
    rival::python("full_read.py", &[class, &place, &names("verify")])[0]
}

/// Output topics of a cell.
struct Cell {
    log: Box<dyn Log>,
    topics: Topics,
    types: Vec<RecordType>,
    rows: Rows,
    kafka: Option<String>,
}

impl Cell {
    fn new(log: Topic, folder: &std::path::Path, class: &str, supported: &[RecordType]) -> Self {
        let kafka = (log == Topic::Kafka).then(|| variable("SIGHTLINE_KAFKA"));
        let (log, topics): (Box<dyn Log>, _) = match &kafka {
            Some(bootstrap) => {
                let options = KafkaOptions { bootstrap: bootstrap.clone(), ..KafkaOptions::default() };
                (Box::new(Kafka::new(options).unwrap()), Topics::new(&names(class)))
            }
            None => {
                let options = EmbeddedOptions { sync: false, ..EmbeddedOptions::default() };
                (Box::new(Embedded::open(&folder.join("log"), options).unwrap()), Topics::new("soc"))
            }
        };
        let types: Vec<RecordType> =
            [RecordType::Entity, RecordType::Observable, RecordType::Link].into_iter().filter(|ty| supported.contains(ty)).collect();
        let spec = |ty: &RecordType| TopicSpec {
            name: ty.topic(&topics),
            partitions: 1,
            replication: 1,
            clean_up: CleanUp::Compact,
            log_append_time: false,
        };
        log.ensure_topics(&types.iter().map(spec).collect::<Vec<_>>()).unwrap();
        Self { log, rows: Rows::new(topics.clone()), topics, types, kafka }
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs { log: &*self.log, registry: Arc::new(EmbeddedRegistry), topics: &self.topics, types: self.types.clone() }
    }

    /// The same records into the topics and, through the sink, into the store.
    async fn fill(&self, sink: &mut dyn SinkConnector, records: usize) {
        sink.open().await.unwrap();
        let mut writer = self.log.transactional(&names("bench")).unwrap();
        let mut values = values().filter(|value| self.types.contains(&value.record_type())).take(records).peekable();
        for epoch in 1.. {
            if values.peek().is_none() {
                break;
            }
            writer.begin().unwrap();
            let mut batch = Batch::default();
            for value in values.by_ref().take(BATCH) {
                let record = self.rows.record(value, epoch);
                let Record { topic, key, value, headers, .. } = record.source.clone();
                writer.send(NewRecord { topic, partition: Some(0), key, value, headers }).unwrap();
                batch.records.push(record);
            }
            writer.commit().unwrap();
            for ty in &self.types {
                let partition = TopicPartition::new(ty.topic(&self.topics), 0);
                let end = self.log.range(&partition).unwrap().end;
                batch.next.push((partition, end));
            }
            sink.put(&batch).await.unwrap();
        }
        sink.close().await;
    }

    fn remove(self) {
        if let Some(bootstrap) = &self.kafka {
            delete_topics(bootstrap, self.types.iter().map(|ty| ty.topic(&self.topics)).collect());
        }
    }
}
