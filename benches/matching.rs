//! Events a second from Kafka through parsing and matching to committed outputs, and how long one takes at half that rate.
//!
//! ```text
//! eval "$(scripts/services env)"; cargo run --release -p sightline-benches --bin matching -- --indicators 1000000
//! ```
//! Synthetic events of the given size, one a record, each with two addresses and a host that no other has; one in a hundred touches an indicator. All are on
//! the topic before the engine starts, which holds the indicators (two observables each) from a snapshot: what counts is the time from its start to the commit
//! of the last epoch, its recovery included, on all cores that the broker leaves. The limit in the same run: one thread that reads the same topic, parses
//! with `simd-json`, looks the three values up in a hash table and writes the event with its hit to another topic, without transactions, flattening or state.
//! Then events come at half the rate found, and a reader of committed outputs tells how long each took since its append.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use clap::Parser;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use sightline_benches::engine::Cell;
use sightline_benches::{memory, store, synthetic};
use sightline_log::kafka::{Kafka, KafkaOptions};
use sightline_log::{Headers, Log, NewRecord, Record, TopicPartition};
use sightline_schemas::avro::RecordType;
use sightline_topology::runtime::{InputMode, topic_specs};
use simd_json::prelude::*;

/// The product's.
#[path = "../src/allocator.rs"]
mod allocator;

/// One event in so many touches an indicator.
const HIT: u64 = 100;

#[derive(Parser)]
struct Args {
    /// Events on the topic.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Bytes of an event.
    #[arg(long, default_value_t = 1_000)]
    bytes: usize,
    /// Indicators in force.
    #[arg(long, default_value_t = 1_000_000)]
    indicators: u64,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Records an epoch; the product's default without.
    #[arg(long)]
    epoch: Option<usize>,
    /// Epochs under way; the product's default without.
    #[arg(long)]
    window: Option<u64>,
    /// Seconds of the paced turn; none without.
    #[arg(long, default_value_t = 20)]
    paced: u64,
    /// The broker's process, whose processor time is told too.
    #[arg(long)]
    broker: Option<u32>,
}

fn event(number: u64, bytes: usize) -> Bytes {
    let address = |space: u64, number: u64| format!("{space}.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
    // As the package of indicators spells them.
    let destination = if number.is_multiple_of(HIT) { address(1, number / HIT) } else { address(100 + (number >> 24), number) };
    let mut text = format!(
        "{{\"@timestamp\":\"2026-01-01T00:00:00.{:03}Z\",\"event\":{{\"code\":{},\"action\":\"network-connection\",\"outcome\":\"success\"}},\
         \"host\":{{\"name\":\"ws-{}\",\"os\":{{\"family\":\"windows\",\"version\":\"10.0\"}}}},\"source\":{{\"ip\":\"{}\",\"port\":{}}},\
         \"destination\":{{\"ip\":\"{destination}\",\"port\":443}},\"dns\":{{\"question\":{{\"name\":\"a{number}.example.net\",\"type\":\"A\"}}}},\
         \"process\":{{\"pid\":{},\"executable\":\"C:\\\\Windows\\\\System32\\\\svchost.exe\",\"args\":[\"-k\",\"netsvcs\",\"-p\"]}},\"message\":\"",
        number % 1_000,
        number % 20,
        number % 5_000,
        address(10, number % 60_000),
        1_024 + number % 60_000,
        number % 30_000,
    );
    let mut state = number | 1;
    while text.len() + 2 < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        write!(text, "{:x} ", state >> 44).unwrap();
    }
    text.push_str("\"}");
    text.into()
}

fn main() {
    allocator::return_memory_soon();
    let args = Args::parse();
    let bootstrap = store::variable("SIGHTLINE_KAFKA");
    let log: Arc<dyn Log> = Arc::new(Kafka::new(KafkaOptions { bootstrap: bootstrap.clone(), ..KafkaOptions::default() }).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let prefix = store::names("matching");
    let mut cell = Cell::on(log, &prefix, folder.path());
    cell.settings.epochs.records = args.epoch.unwrap_or(cell.settings.epochs.records);
    cell.settings.flow.window_epochs = args.window.unwrap_or(cell.settings.flow.window_epochs);

    let engine = cell.start(args.workers, InputMode::Follow);
    let (mut writer, mut sent, began) = (cell.log.writer().unwrap(), 0, Instant::now());
    for first in (0..args.indicators).step_by(synthetic::PACKAGE as usize) {
        let package = synthetic::package(first, (first + synthetic::PACKAGE).min(args.indicators));
        sent += cell.send(&mut *writer, "bench", &format!("package-{first}"), package.into());
    }
    writer.flush().unwrap();
    cell.settle(&engine, sent);
    println!("{} indicators in {:.1} s; {} events of {} B", args.indicators, began.elapsed().as_secs_f64(), args.events, args.bytes);
    engine.stop();
    engine.wait().unwrap();
    for number in 0..args.events {
        write_event(&cell, &mut *writer, number, args.bytes);
    }
    writer.flush().unwrap();

    let limit = limit(&bootstrap, &cell, &args);
    let broker = || args.broker.map_or(0.0, memory::processor_seconds_of);
    let (began, ours, theirs) = (Instant::now(), memory::processor_seconds(), broker());
    let engine = cell.start(args.workers, InputMode::Follow);
    let recovered = began.elapsed().as_secs_f64();
    cell.settle(&engine, args.events);
    let took = began.elapsed().as_secs_f64();
    let (ours, theirs) = (memory::processor_seconds() - ours, broker() - theirs);
    let rate = args.events as f64 / took;
    let hits = cell.count(&RecordType::Sighting.topic(&cell.topics));
    println!(
        "  matched: {rate:.0} events/s ({took:.1} s, {recovered:.1} s of it recovery), {:.0} events a second of processor time ({ours:.1} s; the broker {theirs:.1} s), \
         {:.0} MB resident, {:.0} at most; about {hits} records of sightings",
        args.events as f64 / ours,
        memory::resident() as f64 / 1e6,
        memory::peak() as f64 / 1e6,
    );
    println!(
        "  limit: {:.0} events/s, {:.0} events a second of processor time; ours {:.2} of that",
        limit.0,
        limit.1,
        args.events as f64 / ours / limit.1
    );
    if args.paced > 0 {
        paced(&cell, &args, rate / 2.0);
    }
    engine.stop();
    engine.wait().unwrap();
    let mut topics: Vec<String> = topic_specs(&cell.topics, cell.partitions(), 1).into_iter().map(|spec| spec.name).collect();
    topics.push(format!("{prefix}-limit"));
    store::delete_topics(&bootstrap, topics);
}

fn write_event(cell: &Cell, writer: &mut dyn sightline_log::LogWriter, number: u64, bytes: usize) {
    let headers = Headers::default().with("source", "bench");
    let (topic, value) = (cell.topics.logs_in().into(), Some(event(number, bytes)));
    writer.send(NewRecord { topic, partition: None, key: Some(format!("default:{number}").into()), value, headers }).unwrap();
}

/// Events a second, and a second of processor time.
fn limit(bootstrap: &str, cell: &Cell, args: &Args) -> (f64, f64) {
    let mut known: HashMap<String, u64> = HashMap::new();
    for number in 0..args.indicators {
        known.insert(format!("{}.{}.{}.{}", 1 + (number >> 24), number >> 16 & 255, number >> 8 & 255, number & 255), number);
        known.insert(format!("host-{number}.example.org"), number);
    }
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "limit")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("linger.ms", "2")
        .set("batch.size", "1000000")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "2000000")
        .set("delivery.report.only.error", "true")
        .create()
        .unwrap();
    let topic = cell.topics.logs_in();
    let mut list = TopicPartitionList::new();
    (0..cell.partitions()).for_each(|number| list.add_partition_offset(&topic, number, Offset::Beginning).unwrap());
    consumer.assign(&list).unwrap();
    let (began, cpu, output) = (Instant::now(), memory::processor_seconds(), format!("{}-limit", cell.topics.prefix()));
    let (mut read, mut hits, mut buffer) = (0, 0, Vec::new());
    while read < args.events {
        let Some(message) = consumer.poll(Duration::from_secs(10)) else { panic!("nothing to read") };
        let message = message.unwrap();
        buffer.clear();
        buffer.extend_from_slice(message.payload().unwrap());
        let tape = simd_json::to_tape(&mut buffer).unwrap();
        let root = tape.as_value();
        let (source, destination) = (root.get("source").unwrap(), root.get("destination").unwrap());
        let question = root.get("dns").unwrap();
        let question = question.get("question").unwrap();
        let values = [source.get_str("ip"), destination.get_str("ip"), question.get_str("name")];
        let hit = values.into_iter().flatten().find_map(|value| known.get(value));
        hits += u64::from(hit.is_some());
        let key = hit.map_or(0, |hit| *hit).to_string();
        let mut sending = BaseRecord::<str, [u8]>::to(&output).key(&key).payload(message.payload().unwrap());
        while let Err((error, back)) = producer.send(sending) {
            assert!(matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)), "{error}");
            sending = back;
            producer.poll(Duration::from_millis(1));
        }
        read += 1;
    }
    producer.flush(Duration::from_secs(120)).unwrap();
    let (took, cpu) = (began.elapsed().as_secs_f64(), memory::processor_seconds() - cpu);
    assert_eq!(hits, args.events.div_ceil(HIT).min(args.indicators));
    (args.events as f64 / took, args.events as f64 / cpu)
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// Sends at a rate, and tells how long events took from their append to a reader of committed outputs.
fn paced(cell: &Cell, args: &Args, rate: f64) {
    let outputs = RecordType::Event.topic(&cell.topics);
    let ends = |topic: &str| -> Vec<_> {
        let partitions = (0..cell.partitions()).map(|number| TopicPartition::new(topic, number));
        partitions.map(|partition| (partition.clone(), cell.log.range(&partition).unwrap().end)).collect()
    };
    let (inputs_from, outputs_from, done) = (ends(&cell.topics.logs_in()), ends(&outputs), AtomicBool::new(false));
    let count = (rate * args.paced as f64) as u64;
    let mut arrived: HashMap<String, i64> = HashMap::new();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut reader, mut records, mut arrived) = (cell.log.reader(&outputs_from).unwrap(), Vec::<Record>::new(), HashMap::new());
            let mut last = Instant::now();
            while !done.load(Ordering::Relaxed) || last.elapsed() < Duration::from_secs(3) {
                reader.poll(&mut records, 10_000, Duration::from_millis(5)).unwrap();
                let now = now_ms();
                for record in records.drain(..) {
                    last = Instant::now();
                    arrived.insert(String::from_utf8(record.headers.get("origin").unwrap().to_vec()).unwrap(), now);
                }
            }
            arrived
        });
        let (mut writer, began) = (cell.log.writer().unwrap(), Instant::now());
        let mut number = 0;
        while number < count {
            let due = ((began.elapsed().as_secs_f64() * rate) as u64).min(count);
            (number..due).for_each(|number| write_event(cell, &mut *writer, args.events + number, args.bytes));
            number = due;
            std::thread::sleep(Duration::from_millis(2));
        }
        writer.flush().unwrap();
        done.store(true, Ordering::Relaxed);
        arrived = reading.join().unwrap();
    });
    let topic = cell.topics.logs_in();
    let (mut reader, mut records, mut times) = (cell.log.reader(&inputs_from).unwrap(), Vec::<Record>::new(), Vec::new());
    while (times.len() as u64) < count {
        reader.poll(&mut records, 10_000, Duration::from_millis(200)).unwrap();
        for record in records.drain(..) {
            let origin = format!("{topic}:{}:{}", record.partition, record.offset.0);
            times.push(arrived.get(&origin).unwrap_or_else(|| panic!("{origin} did not come out")) - record.timestamp);
        }
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 1_000).min(times.len() - 1)];
    println!(
        "  at {rate:.0} events/s for {} s, append to committed output: median {} ms, 99 % {} ms, 99.9 % {} ms, at most {} ms",
        args.paced,
        at(500),
        at(990),
        at(999),
        at(1_000)
    );
}
