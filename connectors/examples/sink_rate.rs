//! How many records a second a sink takes, and the same rows for its rivals.
//!
//! ```text
//! cargo run --release -p sightline-connectors --example sink_rate -- 100000 dump DIR
//! cargo run --release -p sightline-connectors --example sink_rate -- 100000 postgres '{"url":"postgresql://…"}'
//! ```
//! A third of the records are entities of about 1 KB, a third observables, a third links between the two. `dump` writes them as
//! `entities.ndjson`, `observables.ndjson`, `links.ndjson`; `rivals/` gives those to psql and to the official Python clients.
#![allow(clippy::unwrap_used, missing_docs)]
use std::io::Write;
use std::time::Instant;

use sightline_connectors::runtime::ConnectorConfig;
use sightline_connectors::runtime::registry::build;
use sightline_connectors::{Batch, Op, SinkRecord};
use sightline_log::{Headers, Offset, Record, TopicPartition};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::record::{EntityRecord, HeldObservable, Holder, LinkRecord, ObservableRecord};
use sightline_schemas::topic::Topics;
use sightline_schemas::{Micros, ObservableKind, Role};

const BATCH: usize = 10_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, class, options] = arguments.as_slice() else { panic!("expected: COUNT dump DIR, or: COUNT CLASS OPTIONS") };
    let values = values(count.parse().unwrap());
    if class == "dump" {
        return dump(&values, options);
    }
    let config = ConnectorConfig::new("rate", class, serde_json::from_str(options).unwrap());
    let mut sink = build(&config).unwrap();
    let values = values.into_iter().filter(|value| sink.supports().contains(&value.record_type()));
    let batches = batches(values.collect());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        sink.open().await.unwrap();
        for round in ["new", "replayed"] {
            let (start, mut records) = (Instant::now(), 0);
            for batch in &batches {
                sink.put(batch).await.unwrap();
                records += batch.records.len();
            }
            let seconds = start.elapsed().as_secs_f64();
            println!("{class} {round}: {records} records in {seconds:.2} s, {:.0}/s", records as f64 / seconds);
        }
        sink.close().await;
    });
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

fn batches(values: Vec<OutputRecord>) -> Vec<Batch> {
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

fn dump(values: &[OutputRecord], directory: &str) {
    let file = |name: &str| std::io::BufWriter::new(std::fs::File::create(format!("{directory}/{name}")).unwrap());
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
