//! Seconds that `verify` takes for a store in which nothing differs, beside a full read of the same rows by the store's own client.
//!
//! ```text
//! eval "$(scripts/services env)"; export SIGHTLINE_ORACLE="$(scripts/oracle)"
//! cargo run --release -p sightline-benches --bin verify -- postgres elasticsearch sqlite neo4j
//! ```
//! Synthetic: entities of about 1 KB, observables and links between the two, in equal parts (of what the store keeps), written by the sink itself from topics of an
//! embedded log. Reading the topics is counted apart: `verify` reads them once for all stores. The rivals (`peers/full_read.py`) have the server touch every row
//! and add something up: what no comparison can be quicker than. What was written is removed at the end; **the graph of that Neo4j is emptied**.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use serde_json::json;
use sightline_benches::records::values;
use sightline_benches::store::{clean, names, options, variable, variable_of};
use sightline_benches::{memory, rival};
use sightline_connectors::runtime::ConnectorConfig;
use sightline_connectors::runtime::registry::build;
use sightline_connectors::verify::{Outputs, verify};
use sightline_connectors::{Batch, Op, SinkConnector, SinkRecord};
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::{CleanUp, Headers, Log, NewRecord, Offset, Record, TopicPartition, TopicSpec};
use sightline_schemas::avro::{Encoder, OutputRecord, RecordType, SchemaId};
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
    /// How often each side runs.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
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
        let cell = Cell::new(folder.path(), build(&config).unwrap().supports());
        runtime.block_on(cell.fill(&mut *build(&config).unwrap(), args.records));
        let mut rounds: Vec<[f64; 3]> = Vec::new();
        for _ in 0..args.rounds {
            let start = Instant::now();
            let outputs = cell.outputs();
            let view = outputs.view().unwrap();
            let topics = start.elapsed().as_secs_f64();
            let start = Instant::now();
            let report = runtime.block_on(verify(&outputs, &view, &mut *build(&config).unwrap(), Duration::from_secs(60))).unwrap();
            let ours = start.elapsed().as_secs_f64();
            assert!(report.is_equal(), "{report:?}");
            assert_eq!(report.types.values().map(|ty| ty.equal).sum::<u64>(), args.records as u64);
            rounds.push([topics, ours, full_read(class, folder.path())]);
        }
        let median = |at: usize| {
            let mut seconds: Vec<f64> = rounds.iter().map(|round| round[at]).collect();
            seconds.sort_by(f64::total_cmp);
            seconds[seconds.len() / 2]
        };
        let (topics, ours, theirs) = (median(0), median(1), median(2));
        let verdict = if ours < 5.0 { "met" } else { "missed" };
        println!(
            "{class}: {} records, median of {} rounds; peak memory of this process {:.0} MB",
            args.records,
            args.rounds,
            memory::peak() as f64 / 1e6
        );
        println!("  verify of the store  {ours:>8.2} s   (below 5: {verdict})");
        println!("  a full read          {theirs:>8.2} s   ratio {:.2}", ours / theirs);
        println!("  the topics, once     {topics:>8.2} s");
        if class != "sqlite" {
            clean(class);
        }
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
    log: Embedded,
    topics: Topics,
    types: Vec<RecordType>,
    encoder: Encoder,
}

impl Cell {
    fn new(folder: &std::path::Path, supported: &[RecordType]) -> Self {
        let log = Embedded::open(&folder.join("log"), EmbeddedOptions { sync: false, ..EmbeddedOptions::default() }).unwrap();
        let topics = Topics::new("soc");
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
        let ids = RecordType::ALL.iter().enumerate().map(|(at, ty)| (*ty, SchemaId(at as u32 + 1)));
        Self { log, topics, types, encoder: Encoder::new(ids) }
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs { log: &self.log, registry: Arc::new(EmbeddedRegistry), topics: &self.topics, types: self.types.clone() }
    }

    /// The same records into the topics and, through the sink, into the store.
    async fn fill(&self, sink: &mut dyn SinkConnector, records: usize) {
        sink.open().await.unwrap();
        let mut writer = self.log.transactional("bench").unwrap();
        let mut values = values(records.div_ceil(self.types.len()) * 3);
        values.retain(|value| self.types.contains(&value.record_type()));
        values.truncate(records);
        for (at, chunk) in values.chunks(BATCH).enumerate() {
            let epoch = at as u64 + 1;
            writer.begin().unwrap();
            let mut batch = Batch::default();
            for value in chunk {
                let record = self.record(value, epoch);
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

    fn record(&self, value: &OutputRecord, epoch: u64) -> SinkRecord {
        let ty = value.record_type();
        let (tenant, id) = (value.tenant().to_owned(), value.id());
        let source = Record {
            topic: ty.topic(&self.topics).into(),
            partition: 0,
            offset: Offset(0),
            timestamp: 0,
            key: Some(Bytes::from(format!("{tenant}:{id}"))),
            value: Some(self.encoder.encode(value).unwrap()),
            headers: Headers::default().with("epoch", epoch.to_string()).with("op", "u").with("origin", "soc.in.intel:0:1"),
        };
        SinkRecord { ty, tenant, id, op: Op::Upsert(value.clone()), epoch, origin: "soc.in.intel:0:1".into(), received: None, source }
    }
}
