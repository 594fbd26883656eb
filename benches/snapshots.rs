//! What snapshots cost: the same ingest with snapshots at the default interval, and with none.
//!
//! ```text
//! cargo run --release -p sightline-benches --bin snapshots -- --indicators 1000000 --more 1200000
//! ```
//! Synthetic, as `million`. A cell is filled first, for a snapshot costs by what there is as well as by what comes. Then turns alternate on that cell, each with
//! a start of its own: so many more indicators, in packages of 10,000, one after the other. A pause is the longest time that no epoch was committed while
//! a package was under way.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::cell::RefCell;
use std::time::{Duration, Instant};

use clap::Parser;
use sightline_benches::engine::Cell;
use sightline_benches::memory;
use sightline_benches::rounds::alternate;
use sightline_benches::synthetic::{PACKAGE, package};
use sightline_topology::runtime::{Engine, InputMode};
use sightline_topology::settings::SnapshotSettings;

/// The product's.
#[path = "../src/allocator.rs"]
mod allocator;

#[derive(Parser)]
struct Args {
    /// How many indicators are there before.
    #[arg(long, default_value_t = 1_000_000)]
    indicators: u64,
    /// How many come in a turn.
    #[arg(long, default_value_t = 1_200_000)]
    more: u64,
    /// Turns of each kind.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Worker threads.
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

/// Longer than any turn.
const NEVER: u64 = 7 * 24 * 3_600_000;

/// A cell that grows.
struct Growing {
    cell: Cell,
    workers: usize,
    /// The number of the next indicator.
    next: u64,
}

fn main() {
    allocator::return_memory_soon();
    let args = Args::parse();
    let mut growing = Growing { cell: Cell::new(false), workers: args.workers, next: 0 };
    growing.turn("to begin", NEVER, args.indicators);
    let interval = SnapshotSettings::default().interval_ms;
    println!(
        "{} synthetic indicators before, {} a turn, {} workers; snapshots each {} s",
        args.indicators,
        args.more,
        args.workers,
        interval / 1_000
    );
    let growing = RefCell::new(growing);
    alternate(
        args.rounds,
        |_| growing.borrow_mut().turn("with snapshots", interval, args.more),
        |_| growing.borrow_mut().turn("without", NEVER, args.more),
    )
    .print("with snapshots", "without", 0.90);
}

impl Growing {
    /// Takes in so many more indicators; returns how many a second. The last snapshot, which every end takes, is not measured.
    fn turn(&mut self, name: &str, interval_ms: u64, more: u64) -> f64 {
        self.cell.settings.snapshots.interval_ms = interval_ms;
        let engine = self.cell.start(self.workers, InputMode::Follow);
        let mut writer = self.cell.log.writer().unwrap();
        let (mut records, mut pause) = (0, Duration::ZERO);
        let (began, until) = (Instant::now(), self.next + more);
        while self.next < until {
            let to = (self.next + PACKAGE).min(until);
            records += self.cell.send(&mut *writer, "bench", &format!("package-{}", self.next), package(self.next, to).into());
            writer.flush().unwrap();
            pause = pause.max(settle(&engine, records));
            self.next = to;
        }
        let seconds = began.elapsed().as_secs_f64();
        println!("    {name}: {seconds:.1} s, longest pause {} ms, {:.0} MB resident", pause.as_millis(), memory::resident() as f64 / 1e6);
        drop(writer);
        engine.stop();
        engine.wait().unwrap();
        let held_one = interval_ms == NEVER || seconds * 1_000.0 > interval_ms as f64;
        assert!(held_one, "a turn of {seconds:.1} s holds no snapshot, for they are {interval_ms} ms apart: give it --more");
        more as f64 / seconds
    }
}

/// Waits as [`Cell::settle`] does; returns the longest time in which nothing was committed.
fn settle(engine: &Engine, records: u64) -> Duration {
    let (mut head, mut moved, mut longest) = (None, (engine.status().committed, Instant::now()), Duration::ZERO);
    loop {
        let status = engine.status();
        if status.committed != moved.0 {
            moved = (status.committed, Instant::now());
        }
        longest = longest.max(moved.1.elapsed());
        if status.records >= records && status.committed >= *head.get_or_insert(status.head) {
            return longest;
        }
        assert!(!engine.is_finished(), "the engine ended early");
        std::thread::sleep(Duration::from_millis(2));
    }
}
