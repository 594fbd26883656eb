//! From the start of a process to the first new record committed, with the state of many indicators.
//!
//! ```text
//! cargo run --release -p sightline-benches --bin restart -- --indicators 1000000
//! ```
//! Synthetic, as `million`: two observables an indicator. One process fills a cell and ends it cleanly; a second opens the log, recovers, takes one new package and waits until
//! every lane has committed it. The embedded log reads its files when it is opened, which a cell on Kafka does not: told apart.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::path::{Path, PathBuf};
use std::process::Command;
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
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Only fills a cell in this folder.
    #[arg(long, hide = true)]
    fill: Option<PathBuf>,
    /// Only restarts the cell in this folder.
    #[arg(long, hide = true)]
    restart: Option<PathBuf>,
}

fn main() {
    allocator::return_memory_soon();
    let args = Args::parse();
    match (&args.fill, &args.restart) {
        (Some(folder), _) => fill(folder, &args),
        (_, Some(folder)) => restart(folder, &args),
        (None, None) => {
            let folder = tempfile::tempdir().unwrap();
            in_own_process("--fill", folder.path(), &args);
            in_own_process("--restart", folder.path(), &args);
        }
    }
}

fn in_own_process(what: &str, folder: &Path, args: &Args) {
    let numbers = [args.indicators.to_string(), args.workers.to_string()];
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--indicators", &numbers[0], "--workers", &numbers[1], what]).arg(folder);
    assert!(command.status().unwrap().success());
}

fn fill(folder: &Path, args: &Args) {
    let cell = Cell::at(folder, false);
    let engine = cell.start(args.workers, InputMode::Follow);
    let mut writer = cell.log.writer().unwrap();
    let mut records = 0;
    for first in (0..args.indicators).step_by(PACKAGE as usize) {
        let bytes = package(first, (first + PACKAGE).min(args.indicators)).into();
        records += cell.send(&mut *writer, "bench", &format!("package-{first}"), bytes);
        writer.flush().unwrap();
        cell.settle(&engine, records);
    }
    engine.stop();
    engine.wait().unwrap();
    println!("{} synthetic indicators, {} links, {} workers", args.indicators, cell.count(&cell.topics.links()), args.workers);
}

fn restart(folder: &Path, args: &Args) {
    let began = Instant::now();
    let cell = Cell::at(folder, false);
    let (opened, log) = (began.elapsed(), memory::resident());
    let links = cell.count(&cell.topics.links());
    let began = Instant::now();
    let engine = cell.start(args.workers, InputMode::Follow);
    let recovered = began.elapsed();
    let mut writer = cell.log.writer().unwrap();
    let records = cell.send(&mut *writer, "bench", "one-more", package(args.indicators, args.indicators + 1).into());
    writer.flush().unwrap();
    cell.settle(&engine, records);
    let committed = began.elapsed();
    assert_eq!(cell.count(&cell.topics.links()), links + 2);
    println!(
        "  log opened in {:.2} s; state recovered in {:.2} s, first new record committed after {:.2} s (aim below 10)",
        opened.as_secs_f64(),
        recovered.as_secs_f64(),
        committed.as_secs_f64()
    );
    // Differential merges its batches while nothing happens, and the allocator returns what is free.
    std::thread::sleep(Duration::from_secs(10));
    let state = memory::resident().saturating_sub(log);
    println!(
        "  resident {:.0} MB of log and program, {:.0} MB of state, {:.0} bytes a link (aim below 1,500 MB for ten million); at most {:.0} MB together",
        log as f64 / 1e6,
        state as f64 / 1e6,
        state as f64 / links as f64,
        memory::peak() as f64 / 1e6
    );
    engine.stop();
    engine.wait().unwrap();
}
