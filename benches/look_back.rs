//! How soon an indicator finds what was seen before it came, and what it costs to remember that.
//!
//! ```text
//! cargo run --release -p sightline-benches --bin look_back -- --observables 10000000
//! ```
//! Synthetic: events of ten addresses each that no other event has. Then indicators come one at a time, each naming a hundred of them, spread over all
//! that was seen; the time is from its append to the commit of its sightings by every lane. The limit in the same run: an indicator that names nothing seen.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Parser;
use sightline_benches::engine::Cell;
use sightline_benches::memory;
use sightline_log::{Headers, NewRecord};
use sightline_schemas::avro::RecordType;
use sightline_topology::runtime::InputMode;

/// The product's.
#[path = "../src/allocator.rs"]
mod allocator;

const ADDRESSES: u64 = 10;
const EVENTS: u64 = 2_000;
const NAMED: u64 = 100;

#[derive(Parser)]
struct Args {
    /// How many observables events have touched.
    #[arg(long, default_value_t = 10_000_000)]
    observables: u64,
    /// How many indicators come.
    #[arg(long, default_value_t = 50)]
    indicators: u64,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

fn address(number: u64) -> String {
    let number = number + (1 << 24);
    format!("{}.{}.{}.{}", number >> 24 & 255, number >> 16 & 255, number >> 8 & 255, number & 255)
}

fn events(first: u64) -> Bytes {
    let mut text = String::new();
    for event in first..first + EVENTS {
        let addresses: Vec<String> =
            (event * ADDRESSES..(event + 1) * ADDRESSES).map(|number| format!("\"{}\"", address(number))).collect();
        writeln!(text, "{{\"@timestamp\":\"2026-01-01T00:00:00Z\",\"n\":{event},\"ip\":[{}]}}", addresses.join(",")).unwrap();
    }
    text.into()
}

fn indicator(number: u64, named: impl Iterator<Item = u64>) -> Bytes {
    let terms: Vec<String> = named.map(|number| format!("ipv4-addr:value = '{}'", address(number))).collect();
    format!(
        "{{\"type\":\"bundle\",\"id\":\"bundle--5d0092c5-5f74-4287-9642-{number:012x}\",\"objects\":[{{\"type\":\"indicator\",\"spec_version\":\"2.1\",\
         \"id\":\"indicator--00000000-0000-4000-8000-{number:012x}\",\"created\":\"2026-01-01T00:00:00Z\",\"modified\":\"2026-01-01T00:00:00Z\",\
         \"valid_from\":\"2026-01-01T00:00:00Z\",\"pattern_type\":\"stix\",\"pattern\":\"[{}]\"}}]}}",
        terms.join(" OR ")
    )
    .into()
}

fn main() {
    allocator::return_memory_soon();
    let args = Args::parse();
    let mut cell = Cell::new(false);
    cell.settings.events.look_back.observables = usize::MAX;
    let engine = cell.start(args.workers, InputMode::Follow);
    let mut writer = cell.log.writer().unwrap();
    let (before, began) = (memory::resident(), Instant::now());
    let mut records = 0;
    for first in (0..args.observables / ADDRESSES).step_by(EVENTS as usize) {
        let headers = Headers::default().with("source", "bench").with("format", "json");
        let (topic, value) = (cell.topics.logs_in().into(), Some(events(first)));
        writer.send(NewRecord { topic, partition: None, key: Some(format!("default:{first}").into()), value, headers }).unwrap();
        records += 1;
        if records % 16 == 0 {
            writer.flush().unwrap();
            cell.settle(&engine, records);
        }
    }
    writer.flush().unwrap();
    cell.settle(&engine, records);
    let took = began.elapsed().as_secs_f64();
    println!(
        "{} observables in {} events, {:.0} events/s, {} workers",
        args.observables,
        args.observables / ADDRESSES,
        (args.observables / ADDRESSES) as f64 / took,
        args.workers
    );
    std::thread::sleep(Duration::from_secs(2));
    let state = memory::resident().saturating_sub(before);
    println!(
        "  {:.0} MB more resident, {:.0} bytes an observable; at most {:.0} MB",
        state as f64 / 1e6,
        state as f64 / args.observables as f64,
        memory::peak() as f64 / 1e6
    );
    let mut turn = |what: &str, offset: u64| {
        let mut times = Vec::new();
        let sightings = cell.count(&RecordType::Sighting.topic(&cell.topics));
        for number in 0..args.indicators {
            let step = args.observables / NAMED;
            let named = (0..NAMED).map(|at| at * step + number % step + offset);
            let bytes = indicator(number + offset, named);
            let began = Instant::now();
            records += cell.send(&mut *writer, "bench", &format!("{what}-{number}"), bytes);
            writer.flush().unwrap();
            cell.settle(&engine, records);
            times.push(began.elapsed());
        }
        times.sort();
        let found = cell.count(&RecordType::Sighting.topic(&cell.topics)) - sightings;
        let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
        println!(
            "  {what}: {} indicators, {found} sightings, median {:.0} ms, 99 % {:.0} ms, at most {:.0} ms",
            times.len(),
            at(50),
            at(99),
            at(100)
        );
        found
    };
    let nothing = turn("names nothing seen", 1 << 31);
    let all = turn("names a hundred seen", 0);
    assert_eq!((nothing, all), (0, (args.indicators * NAMED) as i64));
    engine.stop();
    engine.wait().unwrap();
}
