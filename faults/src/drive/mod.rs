//! One run: a workload, a fault, and the lives of a process between them.
//!
//! [`life`] a life with its fault · [`two`] the same of two processes · [`settle`] lives without one, until all is processed ·
//! [`judge`] what the run is compared with.
mod judge;
mod life;
mod settle;
mod two;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use sightline_failpoints::Control;

use crate::cell::{Cell, Knobs, Place};
use crate::child::Service;
use crate::controls;
use crate::copies::Copies;
use crate::disk::FullDisk;
use crate::fault::Fault;
use crate::findings::Findings;
use crate::proxy::Mode;
use crate::reference::References;
use crate::servers::STORES;
use crate::workload::{POISON, Workload};

/// What every run of an invocation has in common.
pub struct Harness {
    /// The binary under test, built with failpoints.
    pub binary: PathBuf,
    /// The folder of bundled data.
    pub demo: PathBuf,
    /// Where cells are made.
    pub folder: PathBuf,
    /// Where their logs and stores are.
    pub place: Place,
    /// Kinds of faults to draw from.
    pub faults: Vec<Fault>,
    /// A rule to switch off.
    pub control: Option<Control>,
    /// How many workloads there are.
    pub workloads: u64,
    /// How many steps of each are taken.
    pub steps: usize,
    /// Copies of snapshots go to S3.
    pub s3: bool,
    /// Keep the folders of runs that found nothing too.
    pub keep: bool,
    /// What uninterrupted runs gave.
    pub references: References,
}

/// What a run was, and found.
#[derive(Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// The kind of fault.
    pub fault: Fault,
    /// The workload's number.
    pub workload: u64,
    /// What was done, life by life.
    pub story: Vec<String>,
    /// What is wrong.
    pub findings: Findings,
    /// It did not come to an end: the process does not come up, or does not go on.
    pub stuck: Option<String>,
    /// Stores that were compared.
    pub stores: Vec<&'static str>,
    /// How long.
    pub seconds: f64,
    /// Where the cell is, if it is still there.
    pub folder: Option<PathBuf>,
}

impl Outcome {
    /// Whether nothing was lost, doubled or changed, and all went on.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty() && self.stuck.is_none()
    }
}

/// The first wait for a process to do its work; doubled until it has.
const FIRST_WAIT: Duration = Duration::from_millis(300);
/// The same with servers: a start alone takes seconds.
const SERVER_WAIT: Duration = Duration::from_secs(5);
/// Tries after which a cell that does not settle is stuck.
const TRIES: u32 = 14;

impl Harness {
    /// Runs one seed.
    pub fn run(&self, seed: u64) -> Result<Outcome> {
        let began = Instant::now();
        let mut rng = Rng::with_seed(seed);
        let fault = self.draw(&mut rng);
        let number = rng.u64(0..self.workloads);
        let mut workload = Workload::new(number, &self.demo)?;
        workload.steps.truncate(self.steps);
        let knobs = Knobs::of(&mut rng);
        // Half of the lost states can be fetched from a store: the journal is trimmed then, so that there is no other way back.
        let is_stored = fault.is_about_copies() || (fault == Fault::StateLost && seed % 2 == 1);
        // What a zombie does to snapshots is seen where they are the only way back.
        let quarters = if fault == Fault::Zombie { 2 } else { 1 };
        let is_trimmed = rng.u8(0..4) < quarters && !fault.needs_whole_journal() && self.control.is_none();
        let trims = is_trimmed || is_stored || self.control == Some(Control::NoOwner);
        let name = match &self.place {
            Place::Embedded => "soc".to_owned(),
            Place::Kafka(_) | Place::Servers(_) => format!("f{seed}x{:x}", std::process::id()),
        };
        let folder = self.folder.join(format!("seed-{seed}"));
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("failed to empty {}", folder.display()))?;
        }
        let mut cell = Cell::new(&name, &folder, &self.binary, self.place.clone(), &knobs)?;
        if !trims {
            // The journal stays whole, so that it can be replayed from its beginning in the end.
            cell.environment.push(("SIGHTLINE_FAILPOINTS", "journal.trim=error@*".into()));
        }
        let copies = match is_stored {
            true if self.s3 => Some(Copies::in_s3(&name, seed)?),
            true => Some(Copies::in_directory(&name, &folder)),
            false => None,
        };
        cell.environment.extend(copies.iter().flat_map(|copies| copies.environment.clone()));
        if fault == Fault::Poison {
            cell.environment.push(("SIGHTLINE_POISON", POISON.into()));
        }
        let plain = cell.environment.clone();
        if let Some(control) = self.control {
            cell.environment.push(("SIGHTLINE_CONTROL", control.name().into()));
        }
        let disk = if fault == Fault::DiskFull { Some(FullDisk::mount(&cell.state())?) } else { None };
        let (story, findings) = (Vec::new(), Findings::default());
        let mut run = Run { harness: self, cell, workload, fault, knobs, rng, story, findings, disk, copies, workers: 1, trims };
        let trimmed = if trims { ", journal trimmed" } else { "" };
        run.note(format!("workload {number}{trimmed}{}", if is_stored { ", snapshots copied" } else { "" }));
        let stuck = match run.all(plain) {
            Ok(()) => None,
            Err(error) => {
                run.count_lost();
                Some(format!("{error:#}"))
            }
        };
        let Run { cell, story, findings, disk, .. } = run;
        drop(disk);
        let stores = cell.place().sinks().to_vec();
        let mut outcome = Outcome {
            seed,
            fault,
            workload: number,
            story,
            findings,
            stuck,
            stores,
            seconds: began.elapsed().as_secs_f64(),
            folder: Some(folder.clone()),
        };
        if outcome.is_good() && !self.keep {
            fs::remove_dir_all(&folder).with_context(|| format!("failed to remove {}", folder.display()))?;
            outcome.folder = None;
        }
        Ok(outcome)
    }

    fn draw(&self, rng: &mut Rng) -> Fault {
        match self.control {
            Some(Control::NoFence | Control::NoOwner) => return Fault::Zombie,
            Some(Control::TrustChecksums) => return Fault::FlippedFile,
            Some(Control::TrimEarly) => return Fault::CopiesRefused,
            Some(Control::TrustPacks) => return Fault::CopiesDamaged,
            Some(_) => return Fault::KillAtPoint,
            None => {}
        }
        let total: u32 = self.faults.iter().map(|fault| fault.weight()).sum();
        let mut at = rng.u32(0..total.max(1));
        for fault in &self.faults {
            match at.checked_sub(fault.weight()) {
                Some(left) => at = left,
                None => return *fault,
            }
        }
        Fault::KillAtPoint
    }
}

struct Run<'a> {
    harness: &'a Harness,
    cell: Cell,
    workload: Workload,
    fault: Fault,
    knobs: Knobs,
    rng: Rng,
    story: Vec<String>,
    findings: Findings,
    disk: Option<FullDisk>,
    copies: Option<Copies>,
    workers: u32,
    /// The journal is trimmed behind snapshots.
    trims: bool,
}

impl Run<'_> {
    fn note(&mut self, what: String) {
        self.story.push(what);
    }

    fn all(&mut self, plain: Vec<(&'static str, String)>) -> Result<()> {
        let place = self.harness.place.clone();
        if let Some(servers) = place.servers() {
            servers.pass();
            servers.empty_graph()?;
            if self.fault == Fault::StoreDown {
                let store = STORES[self.rng.usize(0..STORES.len())];
                let mode = if self.rng.bool() { Mode::Refuse } else { Mode::Silent };
                servers.set(store, mode);
                self.note(format!("{store} is away: {mode:?}"));
            }
        }
        for (at, step) in self.workload.steps.clone().iter().enumerate() {
            let alone = self.workload.stands_alone(step);
            if alone {
                self.settle()?;
            }
            self.cell.take(step, at)?;
            let sinks = self.cell.place().sinks();
            let lives = match self.harness.control {
                Some(control) => controls::lives(control, &mut self.rng, self.knobs.lanes, sinks),
                None => self.fault.lives(&mut self.rng, self.knobs.lanes, sinks),
            };
            for life in lives {
                self.live(&life)?;
            }
            if alone {
                self.settle()?;
            }
        }
        if let Some(servers) = place.servers() {
            servers.pass();
        }
        self.settle()?;
        self.judge(plain)?;
        if let Some(servers) = place.servers() {
            servers.remove_indices(&self.cell.name)?;
        }
        Ok(())
    }

    /// Another number of workers than the life before.
    fn next_workers(&mut self) -> u32 {
        let others: Vec<u32> = [1, 2, 4].into_iter().filter(|workers| *workers != self.workers).collect();
        self.workers = others[self.rng.usize(0..others.len())];
        self.workers
    }

    fn start(&mut self, life: &[(&'static str, String)], role: &str) -> Result<Service> {
        let workers = self.next_workers();
        self.cell.run(workers, role, life, &self.stderr())
    }

    /// The file that a process writes its standard error to; of this step of the story.
    fn stderr(&self) -> String {
        format!("stderr-{}", self.story.len())
    }
}
