//! A million indicators of two observables each: bytes of state a link, and memory while nothing happens.
//!
//! ```text
//! cargo run --release -p sightline-benches --bin million -- --idle-minutes 10
//! ```
//! Synthetic: each indicator's pattern names an IPv4 address and a domain name that no other indicator names, so that nothing is shared. Packages of
//! 10,000 come one after the other. State is what is resident after the ingest beyond what was before it, log and all.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use clap::Parser;
use sightline_benches::engine::Cell;
use sightline_benches::memory;
use sightline_topology::runtime::InputMode;

/// The product's.
#[path = "../src/allocator.rs"]
mod allocator;

#[derive(Parser)]
struct Args {
    /// How many indicators.
    #[arg(long, default_value_t = 1_000_000)]
    indicators: u64,
    /// How long to watch memory afterwards.
    #[arg(long, default_value_t = 10)]
    idle_minutes: u64,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

const PACKAGE: u64 = 10_000;

fn main() {
    allocator::return_memory_soon();
    let args = Args::parse();
    let cell = Cell::new(false);
    let engine = cell.start(args.workers, InputMode::Follow);
    std::thread::sleep(Duration::from_secs(2));
    let before = memory::resident();
    let started = Instant::now();
    let mut writer = cell.log.writer().unwrap();
    let mut records = 0;
    for first in (0..args.indicators).step_by(PACKAGE as usize) {
        let bytes = package(first, (first + PACKAGE).min(args.indicators)).into();
        records += cell.send(&mut *writer, "bench", &format!("package-{first}"), bytes);
        writer.flush().unwrap();
        // The input waits for the engine, as a feed's does, so that no backlog is measured.
        cell.settle(&engine, records);
    }
    let seconds = started.elapsed().as_secs_f64();
    let links = cell.count(&cell.topics.links());
    println!(
        "{} synthetic indicators, {links} links, {} workers: {seconds:.1} s, {:.0} indicators/s",
        args.indicators,
        args.workers,
        args.indicators as f64 / seconds
    );
    println!(
        "  resident before {:.1} MB, at the end of the ingest {:.1} MB, at most {:.1} MB",
        before as f64 / 1e6,
        memory::resident() as f64 / 1e6,
        memory::peak() as f64 / 1e6
    );
    std::thread::sleep(Duration::from_secs(30));
    let settled = memory::resident();
    println!("  state: {:.0} bytes a link (aim below 300)", (settled - before) as f64 / links as f64);
    for minute in 1..=args.idle_minutes {
        std::thread::sleep(Duration::from_secs(60));
        let now = memory::resident();
        println!("  idle {minute:>2} min: {:.1} MB ({:+.2} %)", now as f64 / 1e6, 100.0 * (now as f64 / settled as f64 - 1.0));
    }
    engine.stop();
    engine.wait().unwrap();
}

/// A bundle of the indicators `from..to`.
fn package(from: u64, to: u64) -> Vec<u8> {
    let mut text = String::from("{\"type\":\"bundle\",\"id\":\"bundle--5d0092c5-5f74-4287-9642-33f4c354e56d\",\"objects\":[");
    for number in from..to {
        // Spread over the key space as drawn UUIDs are.
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if number > from {
            text.push(',');
        }
        write!(
            text,
            "{{\"type\":\"indicator\",\"spec_version\":\"2.1\",\"id\":\"indicator--{:08x}-{:04x}-4000-8000-{number:012x}\",\
             \"created\":\"2026-01-01T00:00:00.000Z\",\"modified\":\"2026-01-01T00:00:00.000Z\",\"name\":\"Indicator {number}\",\
             \"indicator_types\":[\"malicious-activity\"],\"pattern_type\":\"stix\",\"valid_from\":\"2026-01-01T00:00:00Z\",\
             \"pattern\":\"[ipv4-addr:value = '{}.{}.{}.{}' OR domain-name:value = 'host-{number}.example.org']\"}}",
            spread >> 32,
            spread & 0xffff,
            1 + (number >> 24),
            (number >> 16) & 255,
            (number >> 8) & 255,
            number & 255,
        )
        .unwrap();
    }
    text.push_str("]}");
    text.into_bytes()
}
