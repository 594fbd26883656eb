//! A cell of its own: a folder, a configuration, and the commands that a user would give.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fastrand::Rng;
use sightline_log::Log;
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::kafka::{Kafka, KafkaOptions};

use crate::broker::Broker;
use crate::child::{Service, output, starting};
use crate::pair::Pair;
use crate::servers::{STORES, Servers};
use crate::workload::{SNAPSHOT_FEED, Step};

/// Settings that the seed varies. What decides about content is the same in every run, so that runs can be compared.
#[derive(Clone, Debug)]
pub struct Knobs {
    epoch_records: u32,
    epoch_ms: u32,
    heartbeat_ms: u32,
    snapshot_ms: u32,
    /// Output lanes.
    pub lanes: u32,
    partitions: u32,
    window: u32,
    batch_records: u32,
    batch_ms: u32,
}

impl Knobs {
    /// Small epochs and frequent snapshots, so that a short run passes every place often.
    pub fn of(rng: &mut Rng) -> Self {
        Self {
            epoch_records: rng.u32(1..12),
            epoch_ms: rng.u32(2..30),
            heartbeat_ms: rng.u32(30..200),
            snapshot_ms: rng.u32(10..300),
            lanes: rng.u32(1..=4),
            partitions: rng.u32(1..=4),
            window: rng.u32(4..64),
            batch_records: rng.u32(1..200),
            batch_ms: rng.u32(2..50),
        }
    }

    /// Nothing special, for the reference.
    pub fn plain() -> Self {
        Self {
            epoch_records: 20_000,
            epoch_ms: 50,
            heartbeat_ms: 200,
            snapshot_ms: 30_000,
            lanes: 2,
            partitions: 2,
            window: 64,
            batch_records: 10_000,
            batch_ms: 50,
        }
    }
}

/// Where a cell's log and stores are.
#[derive(Clone)]
pub enum Place {
    /// The embedded log and SQLite, in the cell's folder.
    Embedded,
    /// A real Kafka, and SQLite in the cell's folder.
    Kafka(Arc<Broker>),
    /// Real servers.
    Servers(Arc<Servers>),
}

impl Place {
    /// Kafka, if the log is there.
    pub fn broker(&self) -> Option<&Broker> {
        match self {
            Self::Embedded => None,
            Self::Kafka(broker) => Some(broker),
            Self::Servers(servers) => Some(&servers.broker),
        }
    }

    /// The servers, if the stores are there.
    pub fn servers(&self) -> Option<&Servers> {
        match self {
            Self::Embedded | Self::Kafka(_) => None,
            Self::Servers(servers) => Some(servers),
        }
    }

    /// The names of the connectors.
    pub fn sinks(&self) -> &'static [&'static str] {
        if self.servers().is_some() { &STORES } else { &["sqlite"] }
    }
}

/// A cell.
pub struct Cell {
    /// Prefix of its topics.
    pub name: String,
    /// Everything that it has on disk.
    pub folder: PathBuf,
    binary: PathBuf,
    place: Place,
    /// Environment of every process: rules that are switched off, failpoints for the whole run.
    pub environment: Vec<(&'static str, String)>,
}

impl Cell {
    /// Writes the configuration of a new cell into `folder`.
    pub fn new(name: &str, folder: &Path, binary: &Path, place: Place, knobs: &Knobs) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let cell = Self { name: name.to_owned(), folder: folder.to_owned(), binary: binary.to_owned(), place, environment: Vec::new() };
        let Knobs { epoch_records, epoch_ms, heartbeat_ms, snapshot_ms, lanes, partitions, window, batch_records, batch_ms } = knobs;
        let log = cell.place.broker().map_or_else(|| format!("log: {}\n", cell.folder.join("log").display()), Broker::log);
        let sqlite = || vec![("sqlite", format!("class: sqlite, options: {{ path: {} }}", cell.database().display()))];
        let connectors = cell.place.servers().map_or_else(sqlite, |servers| servers.connectors(name));
        let common = format!(
            "batch: {{ records: {batch_records}, bytes: 1000000, interval_ms: {batch_ms} }}, backoff: {{ min_ms: 20, max_ms: 500 }}"
        );
        let connectors: String =
            connectors.into_iter().map(|(name, options)| format!("- {{ name: {name}, {options}, {common} }}\n")).collect();
        let config = format!(
            "cell: {name}\n{log}state_dir: {state}\npartitions: {partitions}\nfeeds:\n- {{ name: {SNAPSHOT_FEED}, snapshot: true }}\ntopology:\n  \
             epochs: {{ records: {epoch_records}, interval_ms: {epoch_ms}, heartbeat_ms: {heartbeat_ms} }}\n  lanes: {{ count: {lanes} }}\n  \
             snapshots: {{ interval_ms: {snapshot_ms} }}\n  flow: {{ window_epochs: {window} }}\nconnectors:\n{connectors}",
            state = cell.state().display(),
        );
        std::fs::write(cell.config(), config)?;
        Ok(cell)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("cell.yaml")
    }

    /// Where snapshots are.
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// The SQLite file.
    pub fn database(&self) -> PathBuf {
        self.folder.join("store.sqlite")
    }

    /// Where its log and stores are.
    pub fn place(&self) -> &Place {
        &self.place
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.binary);
        for name in ["SIGHTLINE_FAILPOINTS", "SIGHTLINE_CONTROL", "SIGHTLINE_CLOCK_OFFSET_MS", "SIGHTLINE_POISON"] {
            command.env_remove(name);
        }
        // A panic's own line is wanted at the end of standard error, not its frames.
        command.env("RUST_BACKTRACE", "0");
        command.arg(verb).arg(if verb == "process" { "--config" } else { "-c" }).arg(self.config());
        command
    }

    /// Starts the service. The environment `life` is for this life alone.
    pub fn run(&self, workers: u32, role: &str, life: &[(&'static str, String)], log_name: &str) -> Result<Service> {
        Service::start(self.service(workers, role, life), &self.folder.join(log_name))
    }

    /// Starts the service as two processes. The environment `life` is for process `which` alone.
    pub fn run_pair(&self, workers: u32, which: usize, life: &[(&'static str, String)], log_name: &str) -> Result<Pair> {
        let life = |process| if process == which { life } else { &[] };
        Pair::start(|process| self.service(workers, "topology,connect", life(process)), &self.folder, log_name)
    }

    fn service(&self, workers: u32, role: &str, life: &[(&'static str, String)]) -> Command {
        let mut command = self.command("run");
        command.args(["--workers", &workers.to_string(), "--role", role]);
        // A name that both speak of joins its rules: those of the whole run come first.
        for (name, value) in &self.environment {
            let more = life.iter().find(|(other, _)| other == name).map(|(_, value)| format!(";{value}")).unwrap_or_default();
            command.env(name, format!("{value}{more}"));
        }
        for (name, value) in life.iter().filter(|(name, _)| self.environment.iter().all(|(other, _)| other != name)) {
            command.env(name, value);
        }
        command
    }

    /// Takes in a step: `process` or `feed remove`.
    pub fn take(&self, step: &Step, at: usize) -> Result<()> {
        let command = match step {
            Step::Take { feed, .. } => {
                let mut command = self.command("process");
                command.args(step.write(&self.folder.join(format!("input-{at}")))?);
                if let Some(feed) = feed {
                    command.args(["--feed", feed]);
                }
                command
            }
            Step::Remove(feed) => {
                let mut command = self.command("feed");
                command.args(["remove", feed]);
                command
            }
        };
        let (code, text) = output(command)?;
        // 3: what the workload breaks on purpose was refused; the harness counts its dead letters.
        if matches!(code, Some(0 | 3)) { Ok(()) } else { bail!("taking a step in ended with {code:?}: {text}") }
    }

    /// `verify`: its exit code and what it says.
    pub fn verify(&self, patience: u32) -> Result<(Option<i32>, String)> {
        let mut command = self.command("verify");
        command.args(["--patience", &patience.to_string(), "--show", "3"]);
        output(command)
    }

    /// The log. Of the embedded one only while no process of the cell runs.
    pub fn log(&self) -> Result<Box<dyn Log>> {
        Ok(match self.place.broker() {
            None => Box::new(self.embedded()?),
            Some(broker) => Box::new(Kafka::new(KafkaOptions { bootstrap: broker.kafka.clone(), ..KafkaOptions::default() })?),
        })
    }

    /// A process that was killed a moment ago may still be giving its lock back.
    fn embedded(&self) -> Result<Embedded> {
        let until = Instant::now() + Duration::from_secs(5);
        loop {
            let opened = {
                let _alone = starting();
                Embedded::open(&self.folder.join("log"), EmbeddedOptions { sync: false, ..EmbeddedOptions::default() })
            };
            match opened {
                Err(error) if error.to_string().contains("in use") && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(20))
                }
                opened => return Ok(opened?),
            }
        }
    }
}
