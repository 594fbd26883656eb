//! The main job on real servers: Kafka, the schema registry, PostgreSQL, Elasticsearch and Neo4j as `scripts/services` starts them.
//! Without them (`eval "$(scripts/services env)"` not said) each test says so and ends.
#![allow(clippy::unwrap_used, missing_docs)]
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A cell of its own: topics, schema, indices and state that no other test has.
struct Cell {
    folder: tempfile::TempDir,
    name: String,
}

impl Cell {
    fn new() -> Option<Self> {
        let var = |name: &str| std::env::var(name).ok();
        let (Some(kafka), Some(registry), Some(postgres), Some(elasticsearch)) =
            (var("SIGHTLINE_KAFKA"), var("SIGHTLINE_REGISTRY"), var("SIGHTLINE_POSTGRES"), var("SIGHTLINE_ELASTICSEARCH"))
        else {
            eprintln!("skipped: no servers; run `scripts/services start` and `eval \"$(scripts/services env)\"`");
            return None;
        };
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let name = format!("t{:x}", nanos & 0xffff_ffff_ffff);
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "cell: {name}\nkafka: {{ bootstrap: \"{kafka}\" }}\nregistry: {{ url: \"{registry}\" }}\nstate_dir: {state}\npartitions: 2\n\
             topology: {{ snapshots: {{ interval_ms: 500 }} }}\nconnectors:\n\
             - {{ name: pg, class: postgres, options: {{ url: \"{postgres}\", schema: {name} }} }}\n\
             - {{ name: es, class: elasticsearch, options: {{ url: \"{elasticsearch}\", prefix: {name}, replicas: 0 }} }}\n",
            state = folder.path().join("state").display()
        );
        std::fs::write(folder.path().join("cell.yaml"), config).unwrap();
        Some(Self { folder, name })
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sightline"));
        command.arg(verb).arg(if verb == "process" { "--config" } else { "-c" }).arg(self.folder.path().join("cell.yaml"));
        command
    }

    fn run(&self, workers: u32) -> Child {
        self.command("run").args(["--workers", &workers.to_string()]).spawn().unwrap()
    }

    /// Verifies until the dataflow has taken in what was sent, two minutes at most: `verify` compares stores with topics, not with inputs.
    fn verify(&self) -> Output {
        let mut output = None;
        for _ in 0..24 {
            let verified = self.command("verify").args(["--patience", "90"]).output().unwrap();
            let complete = verified.status.success() && least_entities(&verified) > 400;
            output = Some(verified);
            if complete {
                break;
            }
            wait();
        }
        output.unwrap()
    }
}

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(name)
}

fn wait() {
    std::thread::sleep(Duration::from_secs(5));
}

fn terminate(mut child: Child) {
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(child.wait().unwrap().success(), "a clean drain ends with exit code 0");
}

fn least_entities(output: &Output) -> u64 {
    let text = String::from_utf8_lossy(&output.stdout);
    let counts = text.lines().filter(|line| line.trim_start().starts_with("entities"));
    counts.filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).min().unwrap_or(0)
}

fn assert_equal(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(least_entities(output) > 400, "nothing was stored: {text}");
}

#[test]
fn the_stores_equal_the_topics_after_ingest() {
    let Some(cell) = Cell::new() else { return };
    let service = cell.run(2);
    let paths = [demo("ics-attack-16.1.json.gz"), demo("poisonivy.json"), demo("apt1.json")];
    assert!(cell.command("process").args(&paths).status().unwrap().success());
    wait();
    let verified = cell.verify();
    terminate(service);
    assert_equal(&verified);
}

#[test]
fn kill_nine_in_mid_ingest_loses_nothing_and_doubles_nothing() {
    let Some(cell) = Cell::new() else { return };
    // Pseudo-random moments, another seed each run; printed, so that a failure can be repeated.
    let rounds: u32 = std::env::var("SIGHTLINE_KILLS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(3);
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    eprintln!("cell {} seed {seed} rounds {rounds}", cell.name);
    let files = ["ics-attack-16.1.json.gz", "poisonivy.json", "apt1.json", "tweetfeed-today.csv"];
    for round in 0..rounds {
        let mut service = cell.run(1 + round % 3);
        assert!(
            cell.command("process")
                .arg(demo(files[round as usize % files.len()]))
                .arg("--feed")
                .arg(format!("feed-{round}"))
                .status()
                .unwrap()
                .success()
        );
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(Duration::from_millis(u64::from(seed >> 16) % 2_500));
        service.kill().unwrap();
        service.wait().unwrap();
    }
    let service = cell.run(2);
    wait();
    let verified = cell.verify();
    terminate(service);
    assert_equal(&verified);
}
