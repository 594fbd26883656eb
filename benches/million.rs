//! A million indicators of two observables each: bytes of state a link, and memory while nothing happens.
//!
//! ```text
//! cargo run --release -p sightline-benches --bin million -- --idle-minutes 10
//! ```
//! Synthetic: each indicator's pattern names an IPv4 address and a domain name that no other indicator names, so that nothing is shared. Packages of
//! 10,000 come one after the other. State is what is resident after the ingest beyond what was before it, log and all.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::time::{Duration, Instant};

use clap::Parser;
use sightline_benches::engine::Cell;
use sightline_benches::memory;
use sightline_benches::synthetic::{PACKAGE, package};
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
