//! From a STIX file to `soc.out.*`: objects a second beside the parse alone of the Python `stix2` library, and peak memory beside the file.
//!
//! ```text
//! cargo run --release -p sightline-benches --bin file_to_topics -- enterprise-attack.json
//! ```
//! The embedded log, one worker. Ours reads the file, writes it to the input topic in parts, and is done when every lane has committed all outputs of it; each round in
//! a process of its own, so that its peak is its own.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use clap::Parser;
use sightline_benches::engine::Cell;
use sightline_benches::{memory, rival};
use sightline_topology::runtime::InputMode;

/// The product's.
#[path = "../src/allocator.rs"]
mod allocator;

#[derive(Parser)]
struct Args {
    /// A STIX bundle, plain JSON.
    file: PathBuf,
    /// How often; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// One round, in this process; prints seconds, records and peak.
    #[arg(long, hide = true)]
    round: bool,
}

fn main() {
    allocator::return_memory_soon();
    let args = Args::parse();
    if args.round {
        return round(&args);
    }
    let size = std::fs::metadata(&args.file).unwrap().len() as f64;
    let python = rival::python("stix2_parse.py", &[args.file.to_str().unwrap()]);
    let [objects, python_seconds, python_peak] = python[..] else { panic!("{python:?}") };
    let mut rounds: Vec<Vec<f64>> = (0..args.rounds).map(|_| in_own_process(&args)).collect();
    rounds.sort_by(|a, b| a[0].total_cmp(&b[0]));
    let median = &rounds[rounds.len() / 2];
    let peak = rounds.iter().map(|round| round[2]).fold(0.0, f64::max);
    let (ours, theirs) = (objects / median[0], objects / python_seconds);
    println!("{} ({:.1} MB, {objects} objects), {} worker(s), median of {}", args.file.display(), size / 1e6, args.workers, args.rounds);
    println!(
        "  sightline, file to soc.out.*   {:>8.2} s {ours:>9.0} objects/s {:>7.1} MB peak, {:.2} of the file; {} output records",
        median[0],
        peak / 1e6,
        peak / size,
        median[1]
    );
    println!("  python stix2, parse alone      {python_seconds:>8.2} s {theirs:>9.0} objects/s {:>7.1} MB peak", python_peak / 1e6);
    println!("  ratio                          {:>8.1} (aim 20); memory {:.2} of the file (aim below 5)", ours / theirs, peak / size);
}

fn in_own_process(args: &Args) -> Vec<f64> {
    let workers = args.workers.to_string();
    let done = Command::new(std::env::current_exe().unwrap()).arg(&args.file).args(["--round", "--workers", &workers]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().split_whitespace().map(|number| number.parse().unwrap()).collect()
}

fn round(args: &Args) {
    let started = Instant::now();
    let cell = Cell::new(false);
    let mut writer = cell.log.writer().unwrap();
    let bytes = std::fs::read(&args.file).unwrap().into();
    let records = cell.send(&mut *writer, "bench", "package", bytes);
    writer.flush().unwrap();
    let engine = cell.start(args.workers, InputMode::Follow);
    cell.settle(&engine, records);
    let seconds = started.elapsed().as_secs_f64();
    engine.stop();
    engine.wait().unwrap();
    let topics = [cell.topics.entities(), cell.topics.observables(), cell.topics.relations(), cell.topics.links()];
    let records: i64 = topics.iter().map(|topic| cell.count(topic)).sum();
    println!("{seconds} {records} {}", memory::peak());
}
