//! Records a second of the output lanes on Kafka, beside a plain producer of librdkafka that knows no transactions, in the same run.
//!
//! ```text
//! eval "$(scripts/services env)"; cargo run --release -p sightline-benches --bin lanes
//! ```
//! Synthetic records of the size of links' and entities' rows, keyed, with the three headers of every output; both sides send the same ones, each to a topic
//! of its own. Both have the batching of the product (linger, batch size, compression, bounds of the queue) and wait for `acks=all`, librdkafka's default; the
//! plain producer has neither transactions nor idempotence. Both take turns, in topics that are new each time and deleted at the end.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use sightline_benches::{memory, rounds, store};
use sightline_log::kafka::{Kafka, KafkaOptions};
use sightline_log::{Log, TopicPartition};
use sightline_schemas::avro::RecordType;
use sightline_schemas::topic::Topics;
use sightline_topology::epoch::Epoch;
use sightline_topology::lane::{LaneSettings, Lanes, Outputs};
use sightline_topology::output::{Emission, Target};
use sightline_topology::runtime::topic_specs;
use sightline_topology::source::{InputTopic, SourceRef};

const PARTITIONS: i32 = 4;

#[derive(Parser)]
struct Args {
    /// Records a turn.
    #[arg(long, default_value_t = 400_000)]
    records: usize,
    /// Bytes of a value.
    #[arg(long, default_value_t = 300)]
    bytes: usize,
    /// Records an epoch.
    #[arg(long, default_value_t = 20_000)]
    epoch: usize,
    /// Turns of each side.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

fn main() {
    let args = Args::parse();
    let bootstrap = std::env::var("SIGHTLINE_KAFKA").expect("eval \"$(scripts/services env)\" first");
    let log = Kafka::new(KafkaOptions { bootstrap: bootstrap.clone(), ..KafkaOptions::default() }).unwrap();
    let cell = |round: usize| Topics::new(&format!("bench-lanes-{}-{round}", std::process::id()));
    let specs = |round: usize| topic_specs(&cell(round), PARTITIONS, 1);
    // Before the clock runs: a new topic takes its first records late.
    (0..args.rounds).for_each(|round| log.ensure_topics(&specs(round)).unwrap());
    let told = rounds::alternate(
        args.rounds,
        |round| args.records as f64 / lanes(&log, &cell(round), &args),
        |round| args.records as f64 / plain(&bootstrap, &cell(round), &args),
    );
    for round in 0..args.rounds {
        // Nothing was lost on the way; a transaction adds its markers.
        let ends = |topic: &str| {
            (0..PARTITIONS).map(|number| log.range(&TopicPartition::new(topic, number)).unwrap().end.0 as usize).sum::<usize>()
        };
        assert_eq!(ends(&cell(round).observables()), args.records);
        assert!(ends(&cell(round).entities()) > args.records);
    }
    println!(
        "{} records of {} B, {} an epoch; two lanes, {PARTITIONS} partitions, one broker; peak memory of this process {:.0} MB",
        args.records,
        args.bytes,
        args.epoch,
        memory::peak() as f64 / 1e6
    );
    told.print("lanes, in transactions", "plain producer", 0.60);
    store::delete_topics(&bootstrap, (0..args.rounds).flat_map(specs).map(|spec| spec.name).collect());
}

/// Removes the topics, so that the broker is as it was.
fn output(number: usize, args: &Args) -> Box<Emission> {
    // Values that compress as JSON in Avro does: half of it repeats.
    let mut value = vec![b'x'; args.bytes];
    let mut state = number as u64 | 1;
    for byte in value.iter_mut().step_by(2) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
    Box::new(Emission {
        target: Target::of(RecordType::Entity),
        key: format!("default:indicator--{number:032x}").into(),
        value: Some(Bytes::from(value)),
        origin: SourceRef { topic: InputTopic::Intel, partition: 0, offset: number as i64 },
        headers: Vec::new(),
    })
}

/// Seconds until every lane has committed everything.
fn lanes(log: &dyn Log, topics: &Topics, args: &Args) -> f64 {
    let settings = LaneSettings::default();
    let epochs = args.records.div_ceil(args.epoch);
    let mut lanes = Lanes::open(log, topics, &settings, epochs as u64).unwrap();
    let senders = lanes.take_senders();
    let mut shares: Vec<Vec<Outputs>> = vec![Vec::new(); senders.len()];
    for epoch in 0..epochs {
        let mut of_epoch: Vec<Outputs> = vec![Vec::new(); senders.len()];
        for number in epoch * args.epoch..((epoch + 1) * args.epoch).min(args.records) {
            of_epoch[number % senders.len()].push(output(number, args));
        }
        shares.iter_mut().zip(of_epoch).for_each(|(share, outputs)| share.push(outputs));
    }
    let started = Instant::now();
    std::thread::scope(|scope| {
        for ((_, sender), share) in senders.into_iter().zip(shares) {
            scope.spawn(move || {
                for (epoch, outputs) in (1..).zip(share) {
                    sender.send(Epoch(epoch), outputs);
                }
            });
        }
    });
    lanes.close().unwrap();
    started.elapsed().as_secs_f64()
}

/// Seconds until the broker has acknowledged everything.
fn plain(bootstrap: &str, topics: &Topics, args: &Args) -> f64 {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("linger.ms", "2")
        .set("batch.size", "1000000")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "2000000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("delivery.report.only.error", "true")
        .create()
        .unwrap();
    let (topic, intel) = (topics.observables(), topics.intel_in());
    let records: Outputs = (0..args.records).map(|number| output(number, args)).collect();
    let started = Instant::now();
    for (number, record) in records.iter().enumerate() {
        let (epoch, origin) = ((number / args.epoch + 1).to_string(), format!("{intel}:0:{number}"));
        let headers = [("epoch", &epoch[..]), ("op", "u"), ("origin", &origin[..])]
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
        let mut sending =
            BaseRecord::<[u8], [u8]>::to(&topic).key(&record.key[..]).payload(record.value.as_deref().unwrap()).headers(headers);
        loop {
            match producer.send(sending) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    sending = back;
                    producer.poll(Duration::from_millis(1));
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }
    producer.flush(Duration::from_secs(120)).unwrap();
    started.elapsed().as_secs_f64()
}
