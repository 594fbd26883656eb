//! A cell on the real servers that `scripts/services` starts: topics, schema, indices and state of its own.
#![allow(clippy::unwrap_used, missing_docs, dead_code, reason = "each test binary uses a part of it")]
pub mod certificate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// The compacted outputs whose content follows from the intelligence alone.
pub const INTEL: [&str; 5] = ["entities", "observables", "links", "relations", "packages"];
/// Servers and stores are awaited so long; a machine under load is slow, not wrong.
const PATIENCE: Duration = Duration::from_secs(240);

/// One cell at a time: two cores, and one graph.
static TURN: Mutex<()> = Mutex::new(());

pub struct Cell {
    pub folder: tempfile::TempDir,
    pub name: String,
    _turn: MutexGuard<'static, ()>,
}

/// A record as `tap` prints it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tapped {
    pub key: String,
    pub epoch: u64,
    pub origin: String,
    /// Null for a tombstone.
    pub value: Value,
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Cell {
    /// A cell with the given stores; nothing, and a word why, where the servers are not there.
    pub fn new(stores: &[&str]) -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let servers =
            ["KAFKA", "REGISTRY", "POSTGRES", "ELASTICSEARCH", "NEO4J", "ORACLE"].map(|name| variable(&format!("SIGHTLINE_{name}")));
        let [Some(kafka), Some(registry), Some(postgres), Some(elasticsearch), Some(neo4j), Some(_)] = servers else {
            eprintln!("skipped: no servers; `ci/test` starts them, and CONTRIBUTING.md says how to keep them running");
            return None;
        };
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("t{:x}", nanos & 0xffff_ffff_ffff);
        let folder = tempfile::tempdir().unwrap();
        let mut config = format!(
            "cell: {name}\nkafka: {{ bootstrap: \"{kafka}\" }}\nregistry: {{ url: \"{registry}\" }}\nstate_dir: {state}\npartitions: 2\n\
             topology: {{ snapshots: {{ interval_ms: 500 }}, intel: {{ reference_grace_ms: 1000 }} }}\nconnectors:\n",
            state = folder.path().join("state").display()
        );
        for store in stores {
            config.push_str(&match *store {
                "postgres" => format!("- {{ name: pg, class: postgres, options: {{ url: \"{postgres}\", schema: {name} }} }}\n"),
                "elasticsearch" => {
                    format!(
                        "- {{ name: es, class: elasticsearch, options: {{ url: \"{elasticsearch}\", prefix: {name}, replicas: 0 }} }}\n"
                    )
                }
                _ => {
                    let done = oracle(&["empty_graph.py".as_ref(), neo4j.as_ref()]);
                    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
                    format!(
                        "- {{ name: neo, class: neo4j, options: {{ url: \"{neo4j}\", password: \"${{SIGHTLINE_NEO4J_PASSWORD:-}}\" }} }}\n"
                    )
                }
            });
        }
        if stores.is_empty() {
            config = config.replace("connectors:\n", "");
        }
        std::fs::write(folder.path().join("cell.yaml"), config).unwrap();
        Some(Self { folder, name, _turn: turn })
    }

    /// Another cell beside this one, within the same turn, without stores.
    pub fn beside(&self, suffix: &str) -> Beside {
        let folder = tempfile::tempdir().unwrap();
        let config = std::fs::read_to_string(self.folder.path().join("cell.yaml")).unwrap();
        let mut config: String = config.lines().take_while(|line| *line != "connectors:").map(|line| format!("{line}\n")).collect();
        config = config.replace(&format!("cell: {}", self.name), &format!("cell: {}{suffix}", self.name));
        let state = folder.path().join("state").display().to_string();
        config = config
            .lines()
            .map(|line| if line.starts_with("state_dir:") { format!("state_dir: {state}\n") } else { format!("{line}\n") })
            .collect();
        std::fs::write(folder.path().join("cell.yaml"), config).unwrap();
        Beside { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn command(&self, verb: &str) -> Command {
        command(self.path(), verb)
    }

    pub fn run(&self, workers: usize) -> Service {
        run(self.path(), workers)
    }

    pub fn process(&self, paths: &[PathBuf], more: &[&str]) {
        process(self.path(), paths, more);
    }

    pub fn tap(&self, topic: &str) -> Vec<Tapped> {
        tap(self.path(), topic)
    }

    pub fn view(&self) -> BTreeMap<String, BTreeMap<String, Value>> {
        view(self.path())
    }

    pub fn await_packages(&self, count: usize) {
        await_packages(self.path(), count);
    }

    /// `verify`, of one sink or of all.
    pub fn verify(&self, sink: Option<&str>, more: &[&str]) -> Output {
        let mut command = self.command("verify");
        if let Some(sink) = sink {
            command.args(["--sink", sink]);
        }
        command.args(["--patience", "120"]).args(more).stderr(Stdio::inherit()).output().unwrap()
    }

    /// What a program of the oracle prints about a store of this cell.
    pub fn oracle_on(&self, program: &str, store: &str) -> String {
        let done = oracle(&[program.as_ref(), self.address(store).as_ref()]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn address(&self, store: &str) -> String {
        match store {
            "postgres" => format!("postgres={},{}", variable("SIGHTLINE_POSTGRES").unwrap(), self.name),
            "elasticsearch" => format!("elasticsearch={},{}", variable("SIGHTLINE_ELASTICSEARCH").unwrap(), self.name),
            _ => format!("neo4j={}", variable("SIGHTLINE_NEO4J").unwrap()),
        }
    }

    /// Compares stores with the oracle until all are equal; fails with what differs when they do not become so.
    pub fn assert_oracle(&self, packages: &Path, stores: &[&str], more: &[&str]) {
        // The graph holds all tenants; the oracle asks for one.
        let address = |store: &&str| self.address(store) + if *store == "neo4j" { ",default" } else { "" };
        let stores: Vec<String> = stores.iter().map(address).collect();
        let mut arguments: Vec<&std::ffi::OsStr> = vec!["compare.py".as_ref(), packages.as_ref()];
        arguments.extend(stores.iter().map(std::ffi::OsStr::new));
        arguments.extend(more.iter().map(std::ffi::OsStr::new));
        let compared = eventually(|| {
            let done = oracle(&arguments);
            let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
            if done.status.success() { Ok(text) } else { Err(text) }
        });
        println!("{compared}");
    }
}

/// A server takes a thousand shards: whoever makes indices removes them.
impl Drop for Cell {
    fn drop(&mut self) {
        let done = oracle(&["remove_indices.py".as_ref(), variable("SIGHTLINE_ELASTICSEARCH").unwrap().as_ref(), self.name.as_ref()]);
        assert!(done.status.success() || std::thread::panicking(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// A second cell without stores.
pub struct Beside {
    folder: tempfile::TempDir,
}

impl Beside {
    /// A cell with a configuration made for its folder.
    pub fn with(config: impl FnOnce(&Path) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cell.yaml"), config(folder.path())).unwrap();
        Self { folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
    pub fn tap(&self, topic: &str) -> Vec<Tapped> {
        tap(self.folder.path(), topic)
    }
    pub fn run(&self, workers: usize) -> Service {
        run(self.folder.path(), workers)
    }
    pub fn process(&self, paths: &[PathBuf], more: &[&str]) {
        process(self.folder.path(), paths, more);
    }
    pub fn command(&self, verb: &str) -> Command {
        command(self.folder.path(), verb)
    }
    pub fn view(&self) -> BTreeMap<String, BTreeMap<String, Value>> {
        view(self.folder.path())
    }
    pub fn await_packages(&self, count: usize) {
        await_packages(self.folder.path(), count);
    }
}

/// A running `sightline run`; killed if a test ends early.
pub struct Service(Option<Child>);

impl Service {
    pub fn kill(mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Asks for a drain.
    pub fn terminate(mut self) {
        let mut child = self.0.take().unwrap();
        Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(child.wait().unwrap().success(), "a clean drain ends with exit code 0");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn command(folder: &Path, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sightline"));
    command.arg(verb).arg(if verb == "process" { "--config" } else { "-c" }).arg(folder.join("cell.yaml"));
    command
}

fn run(folder: &Path, workers: usize) -> Service {
    Service(Some(command(folder, "run").args(["--workers", &workers.to_string()]).spawn().unwrap()))
}

fn process(folder: &Path, paths: &[PathBuf], more: &[&str]) {
    let done = command(folder, "process").args(paths).args(more).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn tap(folder: &Path, topic: &str) -> Vec<Tapped> {
    let mut command = command(folder, "tap");
    let done = command.arg(topic).arg("--from-beginning").stderr(Stdio::inherit()).output().unwrap();
    assert!(done.status.success(), "tap {topic}");
    let text = String::from_utf8(done.stdout).unwrap();
    text.lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let header = |name: &str| record["headers"][name].as_str().unwrap_or_default().to_owned();
            Tapped {
                key: record["key"].as_str().unwrap().to_owned(),
                epoch: header("epoch").parse().unwrap_or(0),
                origin: header("origin"),
                value: record["value"].clone(),
            }
        })
        .collect()
}

/// What compaction would leave of each output topic.
fn view(folder: &Path) -> BTreeMap<String, BTreeMap<String, Value>> {
    let of = |topic: &str| {
        let mut newest = BTreeMap::new();
        for record in tap(folder, topic) {
            if record.value.is_null() {
                newest.remove(&record.key)
            } else {
                newest.insert(record.key, record.value)
            };
        }
        newest
    };
    INTEL.iter().map(|topic| ((*topic).to_owned(), of(topic))).collect()
}

/// Waits until the dataflow has read `count` distinct packages.
fn await_packages(folder: &Path, count: usize) {
    eventually(|| {
        let read = view_of_packages(folder);
        if read >= count { Ok(()) } else { Err(format!("{read} of {count} packages")) }
    });
}

fn view_of_packages(folder: &Path) -> usize {
    tap(folder, "packages").into_iter().map(|record| record.key).collect::<std::collections::BTreeSet<_>>().len()
}

/// One record an epoch and key, epochs in order, and no record that says what the one before it said: a doubled output breaks one of them.
pub fn assert_nothing_doubled(topic: &str, records: &[Tapped]) {
    let mut last: BTreeMap<&str, &Tapped> = BTreeMap::new();
    for record in records {
        if let Some(before) = last.insert(&record.key, record) {
            assert!(before.epoch < record.epoch, "{topic} {}: epoch {} after {}", record.key, record.epoch, before.epoch);
            assert!(before.value != record.value, "{topic} {}: epochs {} and {} say the same", record.key, before.epoch, record.epoch);
        }
    }
}

/// Tries until it succeeds, or fails with the last word of it.
pub fn eventually<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let (started, mut pause) = (Instant::now(), Duration::from_millis(50));
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(why) if started.elapsed() > PATIENCE => panic!("after {} s still: {why}", PATIENCE.as_secs()),
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Runs one of the oracle's programs.
pub fn oracle(arguments: &[&std::ffi::OsStr]) -> Output {
    let (program, rest) = arguments.split_first().unwrap();
    let python = variable("SIGHTLINE_ORACLE").unwrap();
    Command::new(python).arg(root().join("tests/oracle").join(program)).args(rest).output().unwrap()
}

/// `scripts/services`.
pub fn services(verb: &str, name: &str) {
    assert!(Command::new(root().join("scripts/services")).args([verb, name]).status().unwrap().success(), "services {verb} {name}");
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn demo(name: &str) -> PathBuf {
    root().join("demo").join(name)
}

/// Real data from others, if this machine has it: `SIGHTLINE_DATA`, or a folder beside the repository.
pub fn data() -> Option<PathBuf> {
    let beside = || root().parent().map(|parent| parent.join("shared/data"));
    let found = variable("SIGHTLINE_DATA").map(PathBuf::from).or_else(beside)?;
    found.join("attack-stix").is_dir().then_some(found)
}

/// Every STIX package that this machine has, as files of a folder: of the shared data, else of the demo.
pub fn corpus() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = data().unwrap_or_else(|| root().join("demo"));
    let done = oracle(&["corpus.py".as_ref(), source.as_ref(), folder.path().as_ref()]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    folder
}

pub fn paths_in(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}
