//! The fault harness: kills, fences, damages and starves a real `sightline`, and counts what is lost and doubled.
//!
//! ```text
//! cargo run -p sightline-faults -- --seed 1 --runs 30
//! ```
//! Read in this order: [`workload`] (what goes in), [`fault`] and [`lives`] (what is done), [`drive`] (one run), [`outputs`] and [`findings`] (how it is judged),
//! [`controls`] (that it can fail). `docs/guarantees.md` is for users.
mod broker;
mod cell;
mod child;
mod controls;
mod copies;
mod damage;
mod disk;
mod drive;
mod fault;
mod findings;
mod lives;
mod outputs;
mod pair;
mod proxy;
mod reference;
mod servers;
mod store;
mod table;
mod workload;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use clap::Parser;
use sightline_failpoints::{Control, Point};

use crate::broker::Broker;
use crate::cell::Place;
use crate::disk::FullDisk;
use crate::drive::{Harness, Outcome};
use crate::fault::Fault;
use crate::servers::Servers;
use crate::table::Table;

/// Kills, fences, damages and starves a real sightline, and counts what is lost and doubled.
#[derive(Parser)]
#[command(version, about, max_term_width = 120)]
struct Args {
    /// The first seed; the next runs have the next ones. The same seed does the same at the same places.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs.
    #[arg(long, default_value_t = 30)]
    runs: u64,
    /// Only these kinds of faults (repeatable).
    #[arg(long)]
    fault: Vec<String>,
    /// Switch a rule off: the harness then has to report loss, doubling or difference, and its exit code says whether it did.
    #[arg(long)]
    control: Option<String>,
    /// On the real servers of `scripts/services env` instead of the embedded log and SQLite.
    #[arg(long)]
    servers: bool,
    /// On the real Kafka of `scripts/services env`, with SQLite: what only a log for many processes allows, faster than on all servers.
    #[arg(long, conflicts_with = "servers")]
    kafka: bool,
    /// Copies of snapshots go to the S3 of `scripts/services env` instead of a directory.
    #[arg(long)]
    s3: bool,
    /// Runs at the same time; with servers always one.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// How many different workloads the seeds choose from.
    #[arg(long, default_value_t = 40)]
    workloads: u64,
    /// Only the first steps of each workload: shorter runs.
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    steps: usize,
    /// A `sightline` built with the feature `failpoints`; by default it is built now.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where cells are made; by default in memory where the system has /dev/shm, else the folder for temporary files.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Keep the folders of good runs too.
    #[arg(long)]
    keep: bool,
    /// Print what each run did.
    #[arg(short, long)]
    verbose: bool,
    /// List faults, failpoints and controls, and end.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("sightline-faults: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    if args.list {
        list();
        return Ok(ExitCode::SUCCESS);
    }
    let control = args.control.as_deref().map(control).transpose()?;
    if control.is_some_and(|control| !controls::is_embedded(control)) && !args.servers && !args.kafka {
        bail!("this control needs --kafka or --servers: on the embedded log there is never a second process");
    }
    let folder = match &args.folder {
        Some(folder) => folder.clone(),
        None if Path::new("/dev/shm").is_dir() => PathBuf::from("/dev/shm/sightline-faults"),
        None => std::env::temp_dir().join("sightline-faults"),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let place = match (args.servers, args.kafka) {
        (true, _) => Place::Servers(Arc::new(Servers::of_environment()?)),
        (false, true) => Place::Kafka(Arc::new(Broker::of_environment()?)),
        (false, false) => Place::Embedded,
    };
    let harness = Harness {
        binary: args.binary.clone().map_or_else(build, Ok)?,
        demo: Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo"),
        faults: faults(args, &place, &folder)?,
        folder,
        place,
        control,
        workloads: args.workloads.max(1),
        steps: args.steps.max(1),
        s3: args.s3,
        keep: args.keep,
        references: reference::References::default(),
    };
    let jobs = if args.servers { 1 } else { args.jobs.clamp(1, args.runs.max(1)) };
    let (table, failed) = (Mutex::new(Table::default()), AtomicU64::new(0));
    let next = AtomicU64::new(args.seed);
    let end = args.seed.saturating_add(args.runs);
    let work = || -> Result<()> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            // A control has shown what it can at its first finding.
            if seed >= end || (control.is_some() && failed.load(Ordering::Relaxed) > 0) {
                return Ok(());
            }
            let outcome = harness.run(seed).with_context(|| format!("seed {seed}"))?;
            failed.fetch_add(u64::from(!outcome.is_good()), Ordering::Relaxed);
            let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
            table.add(&outcome);
            tell(&outcome, args);
        }
    };
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        jobs.into_iter().try_for_each(|job| job.join().unwrap_or_else(|_| bail!("a run panicked")))
    })?;
    let failed = failed.into_inner();
    println!("\n{}", table.into_inner().unwrap_or_else(PoisonError::into_inner));
    if let Some(control) = control {
        let word = if failed > 0 { "NOTICED, as it must be" } else { "NOT NOTICED: the harness proves nothing about it" };
        println!("control {}: {word}", control.name());
        return Ok(if failed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    println!("{failed} of {} runs failed", args.runs);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list() {
    println!("faults:");
    Fault::ALL.iter().for_each(|fault| println!("  {:<20} {}", fault.name(), fault.what()));
    println!("controls:");
    Control::ALL.iter().for_each(|control| println!("  {:<20} {}", control.name(), control.what()));
    println!("failpoints:");
    Point::ALL.iter().for_each(|point| println!("  {:<20} {}", point.name(), point.what()));
}

fn control(name: &str) -> Result<Control> {
    let known: Vec<_> = Control::ALL.iter().map(|control| control.name()).collect();
    Control::named(name).with_context(|| format!("there is no control {name:?}; valid are {}", known.join(", ")))
}

/// The kinds to draw from.
fn faults(args: &Args, place: &Place, folder: &Path) -> Result<Vec<Fault>> {
    let here = |fault: &Fault| fault.is_possible(place);
    if args.fault.is_empty() {
        let mounts = FullDisk::is_possible(folder);
        return Ok(Fault::ALL.iter().copied().filter(here).filter(|fault| *fault != Fault::DiskFull || mounts).collect());
    }
    let known: Vec<_> = Fault::ALL.iter().filter(|fault| here(fault)).map(|fault| fault.name()).collect();
    args.fault
        .iter()
        .map(|name| {
            Fault::named(name).filter(here).with_context(|| format!("there is no fault {name:?} here; valid are {}", known.join(", ")))
        })
        .collect()
}

fn tell(outcome: &Outcome, args: &Args) {
    let Outcome { seed, fault, workload, story, findings, stuck, seconds, folder, .. } = outcome;
    let lives = story.len();
    let word = if outcome.is_good() { "ok" } else { "FAILED" };
    println!("seed {seed:<6} {:<18} workload {workload:<3} {lives:>3} steps {seconds:>6.1} s  {word}", fault.name());
    if args.verbose || !outcome.is_good() {
        story.iter().for_each(|line| println!("    {line}"));
    }
    if !outcome.is_good() {
        findings.examples.iter().for_each(|line| println!("  ! {line}"));
        stuck.iter().for_each(|line| println!("  ! {line}"));
        folder.iter().for_each(|folder| println!("  kept in {}", folder.display()));
        let place = if args.servers {
            " --servers"
        } else if args.kafka {
            " --kafka"
        } else {
            ""
        };
        println!("  again: cargo run -p sightline-faults --{place} --seed {seed} --runs 1 --fault {}", fault.name());
    }
}

/// Builds the binary with failpoints, beside this one.
fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["build", "--quiet", "-p", "sightline", "--features", "failpoints"]);
    let binary = std::env::current_exe()?.with_file_name("sightline");
    if binary.parent().is_some_and(|folder| folder.ends_with("release")) {
        command.arg("--release");
    }
    if !command.status().context("failed to run cargo")?.success() {
        bail!("sightline could not be built with the feature failpoints");
    }
    Ok(binary)
}
