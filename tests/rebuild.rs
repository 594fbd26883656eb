//! All snapshots are gone and the journal is trimmed: `topology rebuild` makes the state again, and the cell goes on as if nothing had been.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cell::{Beside, demo};
use serde_json::Value;
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::kafka::{Kafka, KafkaOptions};
use sightline_log::{Log, Offset, TopicPartition};

const STATE: [&str; 4] = ["entities", "observables", "links", "relations"];

/// One test at a time: each runs two cells, and two cores run all of them.
static TURN: Mutex<()> = Mutex::new(());

/// A cell, its name, and how its log is opened by a test.
struct Made {
    cell: Beside,
    name: String,
    kafka: Option<Arc<dyn Log>>,
}

impl Made {
    fn embedded() -> Self {
        Self::new(|folder| format!("log: {}\n", folder.join("log").display()), "soc".into(), None)
    }

    fn kafka(suffix: &str) -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let (Some(kafka), Some(registry)) = (variable("SIGHTLINE_KAFKA"), variable("SIGHTLINE_REGISTRY")) else {
            eprintln!("skipped: no servers; `ci/test` starts them, and CONTRIBUTING.md says how to keep them running");
            return None;
        };
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("b{:x}{suffix}", nanos & 0xffff_ffff_ffff);
        let log = format!("cell: {name}\nkafka: {{ bootstrap: \"{kafka}\" }}\nregistry: {{ url: \"{registry}\" }}\n");
        let kafka = Kafka::new(KafkaOptions { bootstrap: kafka, ..KafkaOptions::default() }).unwrap();
        Some(Self::new(|_| log, name, Some(Arc::new(kafka))))
    }

    fn new(log: impl FnOnce(&Path) -> String, name: String, kafka: Option<Arc<dyn Log>>) -> Self {
        let cell = Beside::with(|folder| {
            format!(
                "{log}state_dir: {state}\npartitions: 2\n\
                 topology: {{ epochs: {{ heartbeat_ms: 50 }}, snapshots: {{ interval_ms: 200 }}, intel: {{ reference_grace_ms: 200 }} }}\n\
                 connectors:\n- {{ name: lite, class: sqlite, options: {{ path: {sqlite} }} }}\n",
                log = log(folder),
                state = folder.join("state").display(),
                sqlite = folder.join("sightline.db").display()
            )
        });
        Self { cell, name, kafka }
    }

    /// The log, beside the cell.
    fn log(&self) -> Arc<dyn Log> {
        match &self.kafka {
            Some(kafka) => Arc::clone(kafka),
            None => Arc::new(Embedded::read_only(&self.cell.folder().join("log")).unwrap()),
        }
    }

    /// How many epochs were journalled, about.
    fn epochs(&self) -> i64 {
        let partition = TopicPartition::new(format!("{}.sys.epochs", self.name), 0);
        // On Kafka each takes two offsets, one for the end of its transaction.
        let offsets = if self.kafka.is_some() { 2 } else { 1 };
        self.log().range(&partition).map_or(0, |range| range.end.0) / offsets
    }

    /// How many packages were read.
    fn packages(&self) -> usize {
        let (log, mut keys) = (self.log(), BTreeSet::new());
        for number in 0..2 {
            let partition = TopicPartition::new(format!("{}.out.packages", self.name), number);
            let range = log.range(&partition).unwrap();
            let mut reader = log.reader(&[(partition, range.start)]).unwrap();
            let mut records = Vec::new();
            while reader.positions()[0].1 < range.end {
                reader.poll(&mut records, 100, Duration::from_millis(100)).unwrap();
            }
            keys.extend(records.into_iter().map(|record| record.key));
        }
        keys.len()
    }

    /// Takes in files under a feed, and runs until `packages` were read and some epochs longer; then ends as told.
    fn take_in(&self, files: &[&str], more: &[&str], packages: usize, kill: bool) {
        let paths: Vec<_> = files.iter().map(|name| demo(name)).collect();
        if !paths.is_empty() {
            self.cell.process(&paths, more);
        }
        let began = self.epochs();
        let service = self.cell.run(2);
        let reached =
            |what: &str, found: i64, wanted: i64| if found >= wanted { Ok(()) } else { Err(format!("{found} of {wanted} {what}")) };
        cell::eventually(|| reached("epochs", self.epochs(), began + 3));
        cell::eventually(|| reached("packages", self.packages() as i64, packages as i64));
        // The grace of references ends, and a snapshot is taken: twice the time of both.
        let began = self.epochs();
        cell::eventually(|| reached("epochs", self.epochs(), began + 16));
        if kill {
            service.kill()
        } else {
            service.terminate()
        }
        assert_eq!(self.packages(), packages);
    }

    /// The last value of each key.
    fn state(&self) -> BTreeMap<(String, String), Value> {
        let mut state = BTreeMap::new();
        for topic in STATE {
            for record in self.cell.tap(topic) {
                let key = (topic.to_owned(), record.key);
                if record.value.is_null() {
                    state.remove(&key)
                } else {
                    state.insert(key, record.value)
                };
            }
        }
        state
    }

    fn records(&self) -> usize {
        STATE.iter().map(|topic| self.cell.tap(topic).len()).sum()
    }

    fn lose_state(&self) {
        let first: u64 = self.cell.tap(&format!("{}.sys.epochs", self.name)).first().unwrap().key.parse().unwrap();
        assert!(first > 1, "the journal is trimmed");
        std::fs::remove_dir_all(self.cell.folder().join("state")).unwrap();
        let refused = self.cell.command("run").output().unwrap();
        let message = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(1) && message.contains("topology rebuild"), "{message}");
    }

    fn rebuild(&self, more: &[&str]) -> Output {
        let program = std::process::Command::new(env!("CARGO_BIN_EXE_sightline"))
            .args(["topology", "rebuild", "-c"])
            .arg(self.cell.folder().join("cell.yaml"))
            .args(more)
            .output();
        program.unwrap()
    }

    fn assert_rebuilds(&self) -> String {
        let done = self.rebuild(&[]);
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{text}");
        text
    }

    /// Lets all records of intelligence but those of the last packages expire.
    fn expire(&self) {
        let log: Arc<dyn Log> = match &self.kafka {
            Some(_) => self.log(),
            None => Arc::new(Embedded::open(&self.cell.folder().join("log"), EmbeddedOptions::default()).unwrap()),
        };
        for number in 0..2 {
            let partition = TopicPartition::new(format!("{}.in.intel", self.name), number);
            let range = log.range(&partition).unwrap();
            log.trim(&partition, Offset(range.end.0)).unwrap();
        }
    }

    fn remove(&self, feed: &str) {
        assert!(self.cell.command("feed").args(["remove", feed]).status().unwrap().success());
    }
}

fn assert_same(found: &BTreeMap<(String, String), Value>, expected: &BTreeMap<(String, String), Value>, what: &str) {
    let differs = expected.iter().find(|(key, value)| found.get(*key) != Some(*value));
    assert!(differs.is_none(), "{what}: {differs:?} instead of {:?}", differs.and_then(|(key, _)| found.get(key)));
    assert_eq!(found.keys().find(|key| !expected.contains_key(key)), None, "{what}");
}

fn assert_verified(made: &Made) {
    let verified = made.cell.command("verify").output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// All inputs are still there: the state is made again exactly, runner-ups and all.
fn assert_exact_from_inputs(made: &Made, undisturbed: &Made) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for (cell, dies) in [(made, true), (undisturbed, false)] {
        cell.take_in(&["apt1.json", "poisonivy.json"], &["--feed", "a"], 2, false);
        cell.take_in(&["poisonivy.json", "ics-attack-16.1.json.gz"], &["--feed", "b"], 4, false);
        cell.remove("a");
        cell.take_in(&["poisonivy.json"], &["--feed", "a"], 4, dies);
    }
    made.lose_state();
    let before = made.records();
    let text = made.assert_rebuilds();
    assert!(text.contains("         0 -         0 ~") && text.contains("installed in"), "{text}");
    assert_eq!(made.records(), before, "a rebuild writes nothing to the topics");
    // The same packages once more change nothing.
    made.take_in(&["poisonivy.json", "ics-attack-16.1.json.gz"], &["--feed", "b"], 4, false);
    assert_eq!(made.records(), before, "what was read is known to have been read");
    assert_same(&made.state(), &undisturbed.state(), "rebuilt");
    // What the other feed says comes to power where it did not have it.
    for cell in [made, undisturbed] {
        cell.remove("b");
        cell.take_in(&["tweetfeed-today.csv"], &["--feed", "c"], 5, false);
    }
    assert_same(&made.state(), &undisturbed.state(), "without b");
    assert_verified(made);
    let needless = made.rebuild(&[]);
    assert!(needless.status.code() == Some(1) && String::from_utf8_lossy(&needless.stderr).contains("nothing is to be rebuilt"));
}

/// Packages have expired: they are taken from the rows of the topics.
fn assert_from_rows(made: &Made, undisturbed: &Made) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for (cell, dies) in [(made, true), (undisturbed, false)] {
        cell.take_in(&["poisonivy.json", "tweetfeed-today.csv"], &["--feed", "a"], 2, false);
        cell.take_in(&["poisonivy.json", "ics-attack-16.1.json.gz"], &["--feed", "b"], 4, false);
        if dies {
            cell.expire();
        }
        cell.take_in(&["apt1.json"], &["--feed", "c"], 5, dies);
    }
    made.lose_state();
    let before = made.records();
    let text = made.assert_rebuilds();
    assert!(text.contains("rows are of packages that have expired"), "{text}");
    made.take_in(&[], &[], 5, false);
    assert_eq!(made.records(), before, "the state says what the topics say");
    for cell in [made, undisturbed] {
        cell.remove("a");
        cell.take_in(&[], &[], 5, false);
    }
    assert_same(&made.state(), &undisturbed.state(), "without a, what b says stays");
    for cell in [made, undisturbed] {
        cell.remove("b");
        cell.take_in(&[], &[], 5, false);
    }
    assert_same(&made.state(), &undisturbed.state(), "without a and b");
    assert!(made.state().len() > 100, "{}", made.state().len());
    assert_verified(made);
}

#[test]
fn on_an_embedded_log_the_state_is_made_again_exactly_from_the_inputs() {
    assert_exact_from_inputs(&Made::embedded(), &Made::embedded());
}

#[test]
fn on_an_embedded_log_what_has_expired_is_taken_from_the_topics() {
    assert_from_rows(&Made::embedded(), &Made::embedded());
}

#[test]
fn on_kafka_the_state_is_made_again_exactly_from_the_inputs() {
    if let (Some(made), Some(undisturbed)) = (Made::kafka("x"), Made::kafka("u")) {
        assert_exact_from_inputs(&made, &undisturbed);
    }
}

#[test]
fn on_kafka_what_has_expired_is_taken_from_the_topics() {
    if let (Some(made), Some(undisturbed)) = (Made::kafka("x"), Made::kafka("u")) {
        assert_from_rows(&made, &undisturbed);
    }
}
