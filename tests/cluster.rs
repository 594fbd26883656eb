//! A cell of two processes on real servers, with TLS between them: it does what one process does, and when either is killed both end, start again, and nothing is lost or doubled.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cell::certificate::{authority, write_certificate};
use cell::{Cell, INTEL, assert_nothing_doubled, demo};

const PROCESSES: usize = 2;

/// Both processes of a cell; killed if a test ends early.
struct Pair(Vec<Process>);

struct Process {
    child: Child,
    /// Whether it has found the others. One that has not waits for them, whatever becomes of them.
    joined: Arc<AtomicBool>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        let mut child = command.env("SIGHTLINE_LOG", "warn,sightline_topology::cluster=info").stderr(Stdio::piped()).spawn().unwrap();
        let (joined, errors) = (Arc::new(AtomicBool::new(false)), child.stderr.take().unwrap());
        let told = Arc::clone(&joined);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                told.fetch_or(line.contains("all processes of the cell are there"), Ordering::SeqCst);
                eprintln!("{line}");
            }
        });
        Self { child, joined }
    }
}

impl Pair {
    fn start(cell: &Cell, workers: usize) -> Self {
        let listeners = [(); PROCESSES].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let hosts: Vec<String> = listeners.iter().map(|listener| format!("{}\n", listener.local_addr().unwrap())).collect();
        let hostfile = cell.folder.path().join("hosts");
        std::fs::write(&hostfile, hosts.concat()).unwrap();
        drop(listeners);
        let start = |process: usize| {
            let mut command = cell.command("run");
            command.args(["--workers", &workers.to_string(), "--processes", &PROCESSES.to_string(), "--process", &process.to_string()]);
            command.arg("--hostfile").arg(&hostfile);
            Process::start(command)
        };
        Self((0..PROCESSES).map(start).collect())
    }

    /// Kills one; the others must end by themselves, and not as if all were well.
    fn kill(mut self, which: usize) {
        self.0[which].child.kill().unwrap();
        for (process, status) in self.ends().into_iter().enumerate() {
            assert!(!status.success(), "process {process} after process {which} was killed: {status}");
        }
    }

    /// Asks one for a drain: all drain.
    fn terminate(mut self, which: usize) {
        Command::new("kill").args(["-TERM", &self.0[which].child.id().to_string()]).status().unwrap();
        for (process, status) in self.ends().into_iter().enumerate() {
            assert!(status.success(), "process {process} after a clean drain: {status}");
        }
    }

    fn ends(&mut self) -> Vec<ExitStatus> {
        self.0
            .iter_mut()
            .map(|Process { child, joined }| {
                cell::eventually(|| {
                    if !joined.load(Ordering::SeqCst) {
                        child.kill().unwrap();
                    }
                    child.try_wait().unwrap().ok_or_else(|| format!("process {} goes on", child.id()))
                })
            })
            .collect()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for Process { child, .. } in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// TLS between the processes of a cell, which have the same certificate here.
fn encrypt(cell: &Cell) {
    let folder = cell.folder.path();
    write_certificate(folder, &authority("cell"), "127.0.0.1");
    let [cert, key, ca] = ["cert.pem", "key.pem", "ca.pem"].map(|name| folder.join(name).display().to_string());
    let path = folder.join("cell.yaml");
    let config = std::fs::read_to_string(&path).unwrap();
    let tls = format!("cluster: {{ secret: open sesame, tls: {{ cert_file: {cert}, key_file: {key}, ca_file: {ca} }} }}\n");
    std::fs::write(path, config + &tls).unwrap();
}

#[test]
fn two_processes_of_which_one_is_killed_end_together_and_lose_nothing() {
    let Some(cell) = Cell::new(&["postgres"]) else { return };
    encrypt(&cell);
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let rounds = number("SIGHTLINE_KILLS").unwrap_or(4).max(1);
    let mut seed = number("SIGHTLINE_SEED").unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    eprintln!("cell {} SIGHTLINE_SEED={seed} SIGHTLINE_KILLS={rounds}", cell.name);
    let files = ["ics-attack-16.1.json.gz", "poisonivy.json", "apt1.json", "tweetfeed-today.csv"];
    let packages: Vec<(PathBuf, String)> =
        (0..rounds).map(|round| (demo(files[round as usize % files.len()]), format!("feed-{round}"))).collect();
    for (round, (path, feed)) in packages.iter().enumerate() {
        // Rescaled at each start, and now and then on one process.
        let pair = Pair::start(&cell, 1 + round % 2);
        cell.process(std::slice::from_ref(path), &["--feed", feed]);
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        std::thread::sleep(Duration::from_millis(u64::from(seed >> 16) % 2_500));
        pair.kill((seed >> 8) as usize % PROCESSES);
        if round % 3 == 2 {
            let alone = cell.run(2);
            std::thread::sleep(Duration::from_millis(u64::from(seed >> 12) % 1_500));
            alone.kill();
        }
    }
    // The same input into a cell of one process that nothing disturbs.
    let undisturbed = cell.beside("u");
    let other = undisturbed.run(1);
    for (path, feed) in &packages {
        undisturbed.process(std::slice::from_ref(path), &["--feed", feed]);
    }
    undisturbed.await_packages(packages.len());
    let pair = Pair::start(&cell, 1);
    cell.await_packages(packages.len());
    cell::eventually(|| {
        let (expected, found) = (undisturbed.view(), cell.view());
        let counts: Vec<_> = INTEL.iter().map(|topic| (topic, found[*topic].len(), expected[*topic].len())).collect();
        if expected == found { Ok(()) } else { Err(format!("found and expected: {counts:?}")) }
    });
    other.terminate();
    for topic in INTEL {
        assert_nothing_doubled(topic, &cell.tap(topic));
    }
    let verified = cell.verify(None, &[]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    // Whichever is told to stop, both drain, and a process alone goes on from their snapshot.
    pair.terminate(1);
    let after = |feed: &str, packages: usize| {
        cell.process(&[demo("tweetfeed-today.csv")], &["--feed", feed]);
        cell.await_packages(packages);
    };
    let again = Pair::start(&cell, 2);
    after("after", packages.len() + 1);
    again.terminate(0);
    let alone = cell.run(1);
    after("alone", packages.len() + 2);
    let verified = cell.verify(None, &[]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    alone.terminate();
}

#[test]
fn a_process_that_does_not_belong_is_told_why() {
    let Some(cell) = Cell::new(&[]) else { return };
    let hostfile = cell.folder.path().join("hosts");
    let refused = |hosts: &str, arguments: &[&str]| {
        std::fs::write(&hostfile, hosts).unwrap();
        let done = cell.command("run").args(arguments).arg("--hostfile").arg(&hostfile).output().unwrap();
        assert!(!done.status.success());
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    let one_short = refused("127.0.0.1:1\n", &["--processes", "2", "--process", "0"]);
    assert!(one_short.contains("1 addresses, and --processes says 2"), "{one_short}");
    let far = refused("127.0.0.1:1\n192.0.2.1:1\n", &["--processes", "2", "--process", "0"]);
    assert!(far.contains("set `cluster.secret`, and give `cluster.tls`"), "{far}");
    let beyond = refused("127.0.0.1:1\n127.0.0.1:2\n", &["--processes", "2", "--process", "2"]);
    assert!(beyond.contains("counted from 0"), "{beyond}");
}
