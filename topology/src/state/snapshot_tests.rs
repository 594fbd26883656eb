#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use tempfile::TempDir;

use super::*;
use crate::state::documents::{DocRef, Documents};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
struct Key(u32);

impl Routed for Key {
    fn route(&self) -> u64 {
        u64::from(self.0) << 56
    }
}

const TABLE: u8 = 1;
const SOON: Duration = Duration::from_secs(10);

fn options(directory: &Path, restored: Option<Manifest>, committed: Arc<Committed>, owner: Owner) -> SnapshotOptions {
    let (directory, fingerprint) = (directory.to_owned(), "test".into());
    SnapshotOptions { directory, fingerprint, tables: 1, workers: 1, restored, committed, role: Role::Leads(0), owner, store: None }
}

/// One worker with one table, one lane.
struct Run {
    table: KeyedTable<Key, u64>,
    sender: SnapshotSender,
    committed: Arc<Committed>,
    thread: Snapshots,
    directory: PathBuf,
}

impl Run {
    fn start(directory: &Path, restored: Option<Manifest>) -> Self {
        let (sender, receiver) = snapshot_channel();
        let committed = Arc::new(Committed::new(vec![Epoch(0)]));
        let options = options(directory, restored, Arc::clone(&committed), Owner::take(directory).unwrap());
        let thread = Snapshots::start(receiver, options).unwrap();
        Self { table: KeyedTable::default(), sender, committed, thread, directory: directory.to_owned() }
    }

    fn snapshot(&mut self, epoch: u64) {
        self.sender.begin(Epoch(epoch), Micros(0), Vec::new());
        self.sender.write(Epoch(epoch), TABLE, &mut self.table);
        self.sender.documents(Epoch(epoch), Vec::new());
    }

    fn wait_for(&self, epoch: u64) {
        let until = Instant::now() + SOON;
        while newest(&self.directory) != Some(epoch) {
            assert!(Instant::now() < until, "no manifest of epoch {epoch}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn close(self) {
        drop(self.sender);
        self.thread.close();
    }
}

fn newest(directory: &Path) -> Option<u64> {
    manifest::list(directory).first().map(|manifest| manifest.epoch.0)
}

fn restore(directory: &Path) -> BTreeMap<u32, u64> {
    let manifest = manifest::list(directory).remove(0);
    let mut table = KeyedTable::<Key, u64>::default();
    manifest.segments.iter().for_each(|meta| table.load(meta, &segment::read(directory, meta).unwrap()).unwrap());
    table.iter().map(|(key, value)| (key.0, *value)).collect()
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn i3_no_manifest_is_written_before_every_lane_has_durable_progress() {
    let directory = directory();
    let mut run = Run::start(directory.path(), None);
    run.table.insert(Key(1), 1);
    run.committed.set_done(0, Epoch(5));
    run.snapshot(5);
    std::thread::sleep(LOOK * 5);
    assert_eq!(newest(directory.path()), None);
    run.committed.set_durable(0, Epoch(4));
    std::thread::sleep(LOOK * 5);
    assert_eq!(newest(directory.path()), None);
    run.committed.set_durable(0, Epoch(5));
    run.wait_for(5);
    run.close();
}

#[test]
fn a_process_that_was_replaced_writes_no_manifest_and_a_start_that_was_removes_none() {
    let directory = directory();
    let mut run = Run::start(directory.path(), None);
    run.table.insert(Key(1), 1);
    run.snapshot(1);
    run.committed.set_durable(0, Epoch(1));
    run.wait_for(1);
    let successor = Owner::take(directory.path()).unwrap();
    run.table.insert(Key(2), 2);
    run.snapshot(2);
    run.committed.set_durable(0, Epoch(2));
    run.close();
    assert_eq!(newest(directory.path()), Some(1));

    let replaced = Owner::of(directory.path(), [7; 16]);
    let started = |owner: Owner| {
        let (sender, receiver) = snapshot_channel();
        let committed = Arc::new(Committed::new(vec![Epoch(0)]));
        let thread = Snapshots::start(receiver, options(directory.path(), None, committed, owner));
        drop(sender);
        thread.map(Snapshots::close)
    };
    assert!(started(replaced).unwrap_err().to_string().contains("another process"));
    assert_eq!(newest(directory.path()), Some(1), "what the successor goes on from is still there");
    started(successor).unwrap();
    assert_eq!(newest(directory.path()), None, "the owner removes what it does not go on from");
}

#[test]
fn a_vnode_that_did_not_change_is_named_again_and_not_written_again() {
    let directory = directory();
    let mut run = Run::start(directory.path(), None);
    run.committed.set_durable(0, Epoch(100));
    run.table.insert(Key(1), 10);
    run.table.insert(Key(2), 20);
    run.snapshot(5);
    run.wait_for(5);
    run.table.insert(Key(2), 21);
    run.snapshot(9);
    run.wait_for(9);
    let metas: Vec<_> = manifest::list(directory.path())[0].segments.iter().map(|meta| (meta.vnode, meta.epoch.0)).collect();
    assert_eq!(metas, [(1, 5), (2, 9)]);
    assert_eq!(restore(directory.path()), BTreeMap::from([(1, 10), (2, 21)]));
    run.close();
}

#[test]
fn a_snapshot_that_not_all_workers_reported_is_no_snapshot() {
    let directory = directory();
    let run = Run::start(directory.path(), None);
    run.committed.set_durable(0, Epoch(100));
    run.sender.begin(Epoch(5), Micros(0), Vec::new());
    run.sender.documents(Epoch(5), Vec::new());
    run.close();
    assert_eq!(newest(directory.path()), None);
}

#[test]
fn what_the_disk_refused_is_in_the_next_snapshot() {
    let directory = directory();
    let mut run = Run::start(directory.path(), None);
    run.committed.set_durable(0, Epoch(100));
    // A directory in the way of the file stands for a disk that refuses; the run must know nothing of it beforehand.
    let in_the_way = directory.path().join(SegmentMeta { table: TABLE, vnode: 7, epoch: Epoch(5), whole: true }.file_name());
    fs::create_dir(&in_the_way).unwrap();
    run.table.insert(Key(7), 70);
    run.table.insert(Key(8), 80);
    run.snapshot(5);
    run.table.insert(Key(9), 90);
    std::thread::sleep(LOOK * 5);
    assert_eq!(newest(directory.path()), None);
    fs::remove_dir(&in_the_way).unwrap();
    run.snapshot(6);
    run.wait_for(6);
    assert_eq!(restore(directory.path()), BTreeMap::from([(7, 70), (8, 80), (9, 90)]));
    run.close();
}

#[test]
fn a_whole_vnode_that_the_disk_refused_is_there_before_what_changed_in_it_counts() {
    let directory = directory();
    let mut run = Run::start(directory.path(), None);
    run.committed.set_durable(0, Epoch(100));
    let in_the_way = directory.path().join(SegmentMeta { table: TABLE, vnode: 7, epoch: Epoch(5), whole: true }.file_name());
    fs::create_dir(&in_the_way).unwrap();
    for key in 0..100 {
        run.table.insert(Key(7 + 256 * key), 70);
    }
    run.snapshot(5);
    run.table.insert(Key(7), 71);
    // The changes alone can be written, what they change cannot.
    run.snapshot(6);
    std::thread::sleep(LOOK * 5);
    assert_eq!(newest(directory.path()), None);
    fs::remove_dir(&in_the_way).unwrap();
    run.table.remove(&Key(7 + 256));
    run.snapshot(7);
    run.wait_for(7);
    let metas: Vec<_> = manifest::list(directory.path())[0].segments.iter().map(|meta| (meta.epoch.0, meta.whole)).collect();
    assert_eq!(metas, [(5, true), (7, false)]);
    let restored = restore(directory.path());
    assert_eq!((restored.len(), restored[&7], restored.get(&263), restored[&519]), (99, 71, None, 70));
    run.close();
}

#[test]
fn a_worker_that_gives_up_costs_one_snapshot() {
    let directory = directory();
    let mut run = Run::start(directory.path(), None);
    run.committed.set_durable(0, Epoch(100));
    run.table.insert(Key(7), 70);
    run.sender.begin(Epoch(5), Micros(0), Vec::new());
    run.sender.write(Epoch(5), TABLE, &mut run.table);
    run.sender.give_up(Epoch(5));
    run.snapshot(6);
    run.wait_for(6);
    assert_eq!(manifest::list(directory.path()).len(), 1);
    assert_eq!(restore(directory.path()), BTreeMap::from([(7, 70)]));
    run.close();
}

#[test]
fn the_last_snapshot_of_a_run_waits_for_lanes_that_are_ending_too() {
    let directory = directory();
    let mut run = Run::start(directory.path(), None);
    run.table.insert(Key(1), 1);
    run.snapshot(5);
    let committed = Arc::clone(&run.committed);
    let lane = std::thread::spawn(move || {
        std::thread::sleep(LOOK * 5);
        committed.set_durable(0, Epoch(5));
    });
    run.close();
    lane.join().unwrap();
    assert_eq!(newest(directory.path()), Some(5));
}

// The crash test. A child process changes a table and appends documents by a rule that depends on the epoch alone, with a snapshot every few
// epochs, and is killed at a moment that nobody chose. What it leaves must be exactly the state of the epoch that its newest manifest names, at least
// the newest that it said was committed, and the next child goes on from there.

const CHILD: &str = "SIGHTLINE_TEST_SNAPSHOT_CHILD";
const KILLS: u32 = 50;

/// Which key an epoch changes: all vnodes, in no order.
fn key_of(epoch: u64) -> Key {
    Key((epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as u32)
}

fn document_of(epoch: u64) -> String {
    format!("document of epoch {epoch} ").repeat((epoch % 200) as usize)
}

/// The rule, without the mechanism under test.
fn state_at(epoch: u64) -> BTreeMap<u32, u64> {
    (1..=epoch).map(|epoch| (key_of(epoch).0, epoch)).collect()
}

type Stored = KeyedTable<Key, (u64, DocRef)>;

/// Checks the directory against the rule, and opens it.
fn reopen(directory: &Path, sender: SnapshotSender) -> (Option<Manifest>, Stored, Documents) {
    let manifest = manifest::list(directory).into_iter().next();
    let mut table = Stored::default();
    for meta in manifest.iter().flat_map(|manifest| &manifest.segments) {
        table.load(meta, &segment::read(directory, meta).unwrap()).unwrap();
    }
    let marks = manifest.as_ref().map(|manifest| manifest.documents.clone()).unwrap_or_default();
    let documents = Documents::open(directory, |_| true, &marks, sender).unwrap();
    let epoch = manifest.as_ref().map_or(0, |manifest| manifest.epoch.0);
    let found: BTreeMap<u32, u64> = table.iter().map(|(key, (epoch, _))| (key.0, *epoch)).collect();
    assert_eq!(found, state_at(epoch));
    for (_, (epoch, document)) in table.iter() {
        assert_eq!(documents.text(*document), document_of(*epoch));
    }
    (manifest, table, documents)
}

#[test]
fn a_process_killed_at_any_moment_leaves_the_state_of_one_epoch() {
    if let Ok(directory) = std::env::var(CHILD) {
        return child(Path::new(&directory));
    }
    let directory = directory();
    let test = "state::snapshot::tests::a_process_killed_at_any_moment_leaves_the_state_of_one_epoch";
    let mut promised = 0;
    for kill in 0..KILLS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(CHILD, directory.path()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut promise = |line: String| promised = line.strip_prefix("committed ").map_or(promised, |epoch| epoch.parse().unwrap());
        // Some are killed before their first commit, most in the middle of work.
        for line in lines.by_ref().take((kill % 7 * 3) as usize) {
            promise(line.unwrap());
        }
        std::thread::sleep(Duration::from_micros(u64::from(kill) * 613 % 9_000));
        child.kill().unwrap();
        child.wait().unwrap();
        lines.map_while(Result::ok).for_each(promise);

        let (sender, _receiver) = snapshot_channel();
        let (manifest, ..) = reopen(directory.path(), sender);
        let found = manifest.map_or(0, |manifest| manifest.epoch.0);
        assert!(found >= promised, "epoch {promised} was committed, {found} was found");
    }
    assert!(promised > u64::from(KILLS), "the children did some work: epoch {promised}");
}

/// Works until it is killed.
fn child(directory: &Path) {
    let (sender, receiver) = snapshot_channel();
    let (restored, mut table, mut documents) = reopen(directory, sender.clone());
    let mut epoch = restored.as_ref().map_or(0, |manifest| manifest.epoch.0);
    let committed = Arc::new(Committed::new(vec![Epoch(epoch)]));
    let options = options(directory, restored, Arc::clone(&committed), Owner::take(directory).unwrap());
    let _thread = Snapshots::start(receiver, options).unwrap();
    let mut said = epoch;
    let mut out = std::io::stdout();
    loop {
        epoch += 1;
        let key = key_of(epoch);
        let document = documents.append(key.route(), document_of(epoch).as_bytes());
        table.insert(key, (epoch, document));
        if epoch.is_multiple_of(5) {
            sender.begin(Epoch(epoch), Micros(0), Vec::new());
            sender.write(Epoch(epoch), TABLE, &mut table);
            documents.mark(Epoch(epoch));
        }
        committed.set_durable(0, Epoch(epoch));
        if let Some(newest) = manifest::list(directory).first().map(|manifest| manifest.epoch.0).filter(|newest| *newest > said) {
            said = newest;
            writeln!(out, "committed {newest}").unwrap();
            out.flush().unwrap();
        }
    }
}
