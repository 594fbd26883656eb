//! One run: a workload, a fault, and the lives of a process between them.
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use sightline_failpoints::Control;

use crate::cell::{Cell, Knobs, Place};
use crate::child::{Ended, Service};
use crate::controls;
use crate::disk::FullDisk;
use crate::fault::{Ending, Fault, Life};
use crate::findings::{self, Findings, Kind};
use crate::outputs::{self, Lines};
use crate::proxy::Mode;
use crate::reference::References;
use crate::servers::STORES;
use crate::store;
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
/// With servers everything takes so many times as long.
const SLOWER: u64 = 6;
/// Tries after which a cell that does not settle is stuck.
const TRIES: u32 = 14;
/// Ends of a process without a fault after which a cell is stuck.
const DEATHS: u32 = 4;

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
        let is_stored = fault == Fault::StateLost && seed % 2 == 1 && self.control.is_none();
        let trims = (rng.u8(0..4) == 0 && !fault.needs_whole_journal() && self.control.is_none()) || is_stored;
        let name = match &self.place {
            Place::Embedded => "soc".to_owned(),
            Place::Servers(_) => format!("f{seed}x{:x}", std::process::id()),
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
        if is_stored {
            cell.environment.push(("SIGHTLINE_STATE__STORE", cell.folder.join("store").display().to_string()));
        }
        if fault == Fault::Poison {
            cell.environment.push(("SIGHTLINE_POISON", POISON.into()));
        }
        let plain = cell.environment.clone();
        if let Some(control) = self.control {
            cell.environment.push(("SIGHTLINE_CONTROL", control.name().into()));
        }
        let disk = if fault == Fault::DiskFull { Some(FullDisk::mount(&cell.state())?) } else { None };
        let mut run =
            Run { harness: self, cell, workload, fault, knobs, rng, story: vec![], findings: Findings::default(), disk, workers: 1, trims };
        let trimmed = if trims { ", journal trimmed" } else { "" };
        run.note(format!("workload {number}{trimmed}{}", if is_stored { ", snapshots copied" } else { "" }));
        let stuck = match run.all(plain) {
            Ok(()) => None,
            Err(error) => Some(format!("{error:#}")),
        };
        let Run { cell, story, findings, disk, .. } = run;
        drop(disk);
        let stores = cell.servers().map_or_else(|| vec!["sqlite"], |_| STORES.to_vec());
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
            Some(Control::NoFence) => return Fault::Zombie,
            Some(Control::TrustChecksums) => return Fault::FlippedFile,
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
        if let Place::Servers(servers) = &place {
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
            let sinks: &[&str] = if self.cell.servers().is_some() { &STORES } else { &["sqlite"] };
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
        if let Place::Servers(servers) = &place {
            servers.pass();
        }
        self.settle()?;
        self.judge(plain)?;
        if let Place::Servers(servers) = &place {
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
        self.cell.run(workers, role, life, &format!("stderr-{}", self.story.len()))
    }

    fn live(&mut self, life: &Life) -> Result<()> {
        let mut environment = Vec::new();
        if !life.failpoints.is_empty() {
            environment.push(("SIGHTLINE_FAILPOINTS", life.failpoints.clone()));
        }
        if let Some(offset) = life.clock_offset_ms {
            environment.push(("SIGHTLINE_CLOCK_OFFSET_MS", offset.to_string()));
        }
        if let (Ending::OnFullDisk(_), Some(disk)) = (life.ending, &self.disk) {
            disk.fill(self.rng.u64(0..200_000))?;
        }
        let mut service = self.start(&environment, "topology,connect")?;
        let workers = self.workers;
        let ended = match life.ending {
            Ending::ByItself(within) => {
                let ended = service.wait(self.scaled(within))?;
                if ended.is_none() {
                    service.kill()?;
                }
                match &ended {
                    Some(ended) if ended.status.signal().is_some() => "reached".to_owned(),
                    Some(ended) => format!("ended with {:?}: {}", ended.status.code(), ended.tail),
                    None => "not reached, killed".to_owned(),
                }
            }
            Ending::Killed(after) => match service.wait(self.scaled(after))? {
                Some(ended) => format!("ended with {}: {}", ended.status, ended.tail),
                None => {
                    service.kill()?;
                    format!("killed after {after} ms")
                }
            },
            Ending::Terminated => self.terminated(service)?,
            Ending::TerminatedAfter(after) | Ending::OnFullDisk(after) => match service.wait(self.scaled(after))? {
                Some(ended) => format!("ended with {}: {}", ended.status, ended.tail),
                None => self.terminated(service)?,
            },
            Ending::Replaced(after) => self.replaced(service, after)?,
            Ending::Beside { after, kill } => self.beside(service, self.scaled(after), kill)?,
        };
        let mut told = format!("{workers} workers {} {ended}", life.failpoints);
        if let Some(damage) = life.damage {
            let done = damage.cause(&self.cell.state(), self.trims, &mut self.rng)?;
            told.push_str(&format!("; damage: {}", done.unwrap_or_else(|| "no file yet".into())));
        }
        if let Some(disk) = &self.disk {
            disk.free()?;
        }
        self.note(told);
        Ok(())
    }

    fn scaled(&self, millis: u64) -> Duration {
        Duration::from_millis(if self.cell.servers().is_some() { millis * SLOWER } else { millis })
    }

    fn terminated(&mut self, mut service: Service) -> Result<String> {
        let ended = service.terminate()?;
        Ok(if ended.status.success() { "terminated".into() } else { format!("terminated with {}: {}", ended.status, ended.tail) })
    }

    /// What happens to servers while the process runs.
    fn beside(&mut self, mut service: Service, pause: Duration, kill: bool) -> Result<String> {
        let place = self.harness.place.clone();
        let Place::Servers(servers) = &place else { bail!("{} needs servers", self.fault.name()) };
        let mut told = String::new();
        let early = match self.fault {
            Fault::StoreRefuses => {
                let status = [Some(401), Some(403), Some(429), Some(500), Some(503), None][self.rng.usize(0..6)];
                let mode = Mode::Bad { every: self.rng.u64(2..5), status, after: self.rng.bool() };
                told = format!("{mode:?}, ");
                servers.set("elasticsearch", mode);
                service.wait(pause)?
            }
            Fault::StoreBlocks => {
                let index = ["entities", "observables", "relations"][self.rng.usize(0..3)];
                let (until, mut blocked) = (Instant::now() + pause, false);
                while Instant::now() < until {
                    blocked = blocked || servers.block(&self.cell.name, index, true)?;
                    std::thread::sleep(Duration::from_millis(50));
                }
                let early = service.wait(Duration::ZERO)?;
                told = format!("{index} {}, ", if blocked { "blocked" } else { "never there" });
                servers.block(&self.cell.name, index, false)?;
                early
            }
            Fault::StoreDeadlocks => {
                let before = servers.deadlocks()?;
                let mut other = servers.lock_crosswise(&self.cell.name, 20)?;
                let early = service.wait(pause + Duration::from_secs(4))?;
                other.kill()?;
                other.wait()?;
                // The server counts when a session ends its transaction, a second later at most.
                std::thread::sleep(Duration::from_secs(1));
                told = format!("{} deadlocks, ", servers.deadlocks()?.saturating_sub(before));
                early
            }
            // Set for the whole ingest.
            Fault::StoreDown => service.wait(pause)?,
            _ => {
                let before = service.wait(pause)?;
                if self.fault == Fault::BrokerRestart {
                    servers.restart_broker()?;
                    told = "broker killed and started, ".into();
                } else {
                    // Longer than a transaction may be open, now and then.
                    let millis = if self.rng.u8(0..4) == 0 { 62_000..75_000 } else { 1_000..20_000 };
                    let time = Duration::from_millis(self.rng.u64(millis));
                    servers.freeze_broker(time)?;
                    told = format!("broker frozen for {} ms, ", time.as_millis());
                }
                if before.is_some() { before } else { service.wait(pause)? }
            }
        };
        told.push_str(&match early {
            Some(ended) => format!("ended with {}: {}", ended.status, ended.tail),
            None if kill => {
                service.kill()?;
                "killed".into()
            }
            None => self.terminated(service)?,
        });
        if self.fault == Fault::StoreRefuses {
            servers.pass();
        }
        Ok(told)
    }

    /// A zombie: stopped, replaced, continued. It must do no harm, and it must end or be unable to write.
    fn replaced(&mut self, mut zombie: Service, after: u64) -> Result<String> {
        if let Some(ended) = zombie.wait(self.scaled(after))? {
            return Ok(format!("ended with {}: {}", ended.status, ended.tail));
        }
        zombie.stop()?;
        let workers = self.next_workers();
        let mut second = self.cell.run(workers, "topology,connect", &[], &format!("stderr-{}-second", self.story.len()))?;
        if self.cell.servers().is_none() {
            // One process at a time: the second is refused, and the first goes on.
            let refused = second.wait(Duration::from_secs(5))?;
            zombie.resume()?;
            // One that was stopped before it had the lock is itself the second.
            let late =
                zombie.wait(if refused.is_none() { Duration::from_secs(10) } else { Duration::from_millis(self.rng.u64(50..300)) })?;
            zombie.kill()?;
            let late = refused.is_none() && late.is_some_and(|ended| ended.tail.contains("in use by another process"));
            return match refused {
                None if late => {
                    second.kill()?;
                    Ok("stopped before it had the lock; it was refused when it was continued".into())
                }
                Some(ended) if ended.tail.contains("in use by another process") => Ok("stopped; a second process was refused".into()),
                Some(ended) => Ok(format!("stopped; a second process ended otherwise: {}", ended.tail)),
                None => {
                    second.kill()?;
                    self.findings.note("topics", Kind::Doubled, || "two processes have the embedded log open".into());
                    Ok("stopped; a second process was NOT refused".into())
                }
            };
        }
        if !self.takes_over(Duration::from_secs(60))? {
            zombie.kill()?;
            second.kill()?;
            return Ok("a second process did not take over within a minute".into());
        }
        zombie.resume()?;
        let fenced = zombie.wait(Duration::from_secs(20))?;
        let told = match &fenced {
            Some(ended) if ended.tail.contains("fenced") => "replaced, continued, and fenced".into(),
            Some(ended) => format!("replaced, continued, ended with {}: {}", ended.status, ended.tail),
            // One that was stopped before it had taken over is itself the newer.
            None if second.wait(Duration::ZERO)?.is_some_and(|ended| ended.tail.contains("fenced")) => {
                "stopped before it had taken over; continued, it fenced the other".into()
            }
            None => {
                self.findings.note("topics", Kind::Doubled, || "a zombie still ran 20 s after it was replaced and continued".into());
                "replaced and continued; it still ran after 20 s".to_owned()
            }
        };
        if fenced.is_none() {
            zombie.kill()?;
        }
        second.kill()?;
        Ok(told)
    }

    /// Runs without faults until all that is in the inputs is in the topics and in the stores.
    fn settle(&mut self) -> Result<()> {
        let (mut wait, mut deaths) = (FIRST_WAIT, 0);
        if self.cell.servers().is_some() {
            wait = SERVER_WAIT;
        }
        for _ in 0..TRIES {
            let mut service = self.start(&[], "topology,connect")?;
            let ended = match service.wait(wait)? {
                Some(ended) => ended,
                None => service.terminate()?,
            };
            // Before it listens for SIGTERM, that ends it as it ends any process.
            let was_starting = ended.status.signal() == Some(rustix::process::Signal::TERM.as_raw());
            if was_starting {
                wait *= 2;
                continue;
            }
            if !ended.status.success() {
                deaths += 1;
                self.advised(&ended)?;
                if deaths >= DEATHS {
                    bail!("the process ends {deaths} times without a fault: {}: {}", ended.status, ended.tail);
                }
                continue;
            }
            if self.is_settled()? {
                return Ok(());
            }
            wait = (wait * 2).min(Duration::from_secs(8));
        }
        bail!("what is in the inputs is not processed after {TRIES} tries")
    }

    /// Does what the process asks of its operator: some damage is beyond it, and it says so.
    fn advised(&mut self, ended: &Ended) -> Result<()> {
        self.note(format!("without a fault it ended with {}: {}", ended.status, ended.tail));
        if self.fault == Fault::DamagedDocuments && ended.tail.contains("remove the state directory") {
            fs::remove_dir_all(self.cell.state())?;
            self.note("removed the state directory, as it asked".into());
        }
        Ok(())
    }

    fn is_settled(&self) -> Result<bool> {
        let log = self.cell.log()?;
        let journal = outputs::journal(&*log, &self.cell.name)?;
        let manifest = manifest_positions(&self.cell.state());
        for (partition, end) in outputs::input_ends(&*log, &self.cell.name)? {
            let at = |(topic, number, ..): &&(String, i32, i64, i64)| **topic == *partition.topic && *number == partition.partition;
            let journalled = journal.iter().flat_map(|entry| &entry.ranges).filter(at).map(|(.., to)| *to).max().unwrap_or(0);
            let known = manifest.iter().filter(|(topic, number, _)| **topic == *partition.topic && *number == partition.partition);
            if journalled.max(known.map(|(.., to)| *to).max().unwrap_or(0)) < end.0 {
                return Ok(false);
            }
        }
        let head = journal.last().map_or(0, |entry| entry.epoch);
        let progress = outputs::progress(&*log, &self.cell.name, self.knobs.lanes, &Default::default())?;
        if progress.is_none_or(|progress| progress < head) {
            return Ok(false);
        }
        if self.cell.servers().is_some() {
            return Ok(true);
        }
        let stored = store::positions(&self.cell.database())?;
        let topics = store::TABLES.iter().map(|(topic, _)| *topic);
        let ends = outputs::ends(&*log, &self.cell.name, topics)?;
        Ok(ends.iter().all(|(partition, end)| end.0 == 0 || stored.get(partition).is_some_and(|at| at >= end)))
    }

    /// Compares everything with everything.
    fn judge(&mut self, plain: Vec<(&'static str, String)>) -> Result<()> {
        let name = self.cell.name.clone();
        let on_servers = self.cell.servers().is_some();
        let (lines, journal) = {
            let log = self.cell.log()?;
            let (lines, journal) = (outputs::lines(&*log, &name, &Default::default())?, outputs::journal(&*log, &name)?);
            if !self.trims {
                let (lost, doubled) = outputs::tiling(&journal, &outputs::input_ends(&*log, &name)?, false);
                lost.into_iter().for_each(|what| self.findings.note("topics", Kind::Lost, || what));
                doubled.into_iter().for_each(|what| self.findings.note("topics", Kind::Doubled, || what));
            }
            (lines, journal)
        };
        findings::within(&lines, &mut self.findings);
        let poisoned = self.fault == Fault::Poison;
        let reference = self.harness.references.of(&self.workload, poisoned, self.harness)?;
        findings::against_reference(&lines, &reference, self.workload.ordered_events, &mut self.findings);
        self.stores(&lines)?;
        if !self.trims {
            let head = journal.last().map_or(0, |entry| entry.epoch);
            self.cell.environment = plain;
            let replayed = self.replay(head)?;
            findings::against_replay(&lines, &replayed, head, &mut self.findings);
        }
        let records: usize = lines.values().map(Vec::len).sum();
        let where_ = if on_servers { "servers" } else { "embedded" };
        self.note(format!("{records} records in {} epochs, {where_}", journal.len()));
        Ok(())
    }

    fn stores(&mut self, lines: &Lines) -> Result<()> {
        let counts = outputs::counts(lines);
        if self.cell.servers().is_none() {
            let rows = store::rows(&self.cell.database())?;
            for (topic, should) in &counts {
                let is = rows.get(topic).copied().unwrap_or(0);
                self.findings.count("sqlite", Kind::Lost, should.saturating_sub(is));
                self.findings.count("sqlite", Kind::Doubled, is.saturating_sub(*should));
            }
        }
        // On servers the stores catch up while they are compared.
        let service = if self.cell.servers().is_some() { Some(self.start(&[], "connect")?) } else { None };
        let (code, text) = self.cell.verify(120)?;
        if let Some(service) = service {
            self.terminated(service)?;
        }
        self.findings.verified(&text);
        match code {
            Some(0) => Ok(()),
            Some(5) if !self.findings.is_empty() => Ok(()),
            _ => bail!("verify ended with {code:?}: {text}"),
        }
    }

    /// Makes all outputs again from the journal, without state, with another number of workers, behind the ends of what is there.
    fn replay(&mut self, head: u64) -> Result<Lines> {
        if self.cell.servers().is_some() {
            return self.replay_ungated();
        }
        let name = self.cell.name.clone();
        let starts = {
            let log = self.cell.log()?;
            let starts = outputs::ends(&*log, &name, outputs::replayed_topics())?;
            for (partition, end) in &starts {
                if end.0 > 0 {
                    log.trim(partition, *end)?;
                }
            }
            starts
        };
        match &self.disk {
            Some(disk) => disk.empty()?,
            None => fs::remove_dir_all(self.cell.state())?,
        }
        let (mut wait, mut last) = (FIRST_WAIT, None);
        for _ in 0..TRIES {
            let mut service = self.start(&[], "topology")?;
            let ended = match service.wait(wait)? {
                Some(ended) => ended,
                None => service.terminate()?,
            };
            let log = self.cell.log()?;
            if outputs::progress(&*log, &name, self.knobs.lanes, &starts)?.is_some_and(|progress| progress >= head) {
                return outputs::lines(&*log, &name, &starts);
            }
            wait = (wait * 2).min(Duration::from_secs(8));
            last = Some(ended);
        }
        bail!("the journal could not be replayed: {last:?}")
    }

    /// The same on Kafka, which trims no compacted topic, so that progress stays: the lanes are told to write again what they have committed.
    fn replay_ungated(&mut self) -> Result<Lines> {
        let name = self.cell.name.clone();
        self.cell.environment.push(("SIGHTLINE_CONTROL", Control::GatesIgnored.name().into()));
        let mut wait = SERVER_WAIT * 2;
        for _ in 0..4 {
            if self.cell.state().exists() {
                fs::remove_dir_all(self.cell.state())?;
            }
            let starts = outputs::ends(&*self.cell.log()?, &name, outputs::replayed_topics())?;
            let mut service = self.start(&[], "topology")?;
            let ended = match service.wait(wait)? {
                Some(ended) => ended,
                None => service.terminate()?,
            };
            // The replay is not cut short by SIGTERM: a clean end comes after all of it.
            if ended.status.success() {
                return outputs::lines(&*self.cell.log()?, &name, &starts);
            }
            self.note(format!("a replay ended with {}: {}", ended.status, ended.tail));
            wait *= 2;
        }
        bail!("the journal could not be replayed")
    }

    /// Waits until the journal grows: a process has taken the cell over.
    fn takes_over(&self, within: Duration) -> Result<bool> {
        let head = || -> Result<u64> { Ok(outputs::journal(&*self.cell.log()?, &self.cell.name)?.last().map_or(0, |entry| entry.epoch)) };
        let (before, until) = (head()?, Instant::now() + within);
        while Instant::now() < until {
            if head()? > before {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(false)
    }
}

/// Positions of the newest manifest: what the journal no longer tells when it was trimmed.
fn manifest_positions(state: &Path) -> Vec<(String, i32, i64)> {
    let files = fs::read_dir(state).into_iter().flatten().flatten().map(|file| file.path());
    let manifests = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let values = manifests.filter_map(|path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).ok()?).ok());
    values
        .filter_map(|value| serde_json::from_value::<Vec<(String, i32, i64)>>(value["manifest"]["positions"].clone()).ok())
        .flatten()
        .collect()
}
