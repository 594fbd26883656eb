//! Replay on real servers: into live stores, into new ones, and into new indices beside the live ones, while the service ingests.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cell::{Cell, Service, demo, oracle, root};
use sightline_log::kafka::{Kafka, KafkaOptions};
use sightline_log::{Log, Record, TopicPartition};

fn text(done: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))
}

fn replay(cell: &Cell, arguments: &[&str]) -> Output {
    let done = cell.command("replay").args(arguments).output().unwrap();
    println!("replay {}: {}", arguments.join(" "), text(&done));
    done
}

/// Adds connectors to the cell's configuration.
fn add_connectors(cell: &Cell, lines: &str) {
    let path = cell.folder.path().join("cell.yaml");
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + lines).unwrap();
}

/// Every row of a store, by its own client.
fn rows(address: &str) -> String {
    rows_or(address, &[])
}

fn lose(address: &str) {
    rows_or(address, &["--lose"]);
}

fn rows_or(address: &str, more: &[&str]) -> String {
    let mut arguments: Vec<&std::ffi::OsStr> = vec!["rows.py".as_ref(), address.as_ref()];
    arguments.extend(more.iter().map(std::ffi::OsStr::new));
    let done = oracle(&arguments);
    assert!(done.status.success(), "{}", text(&done));
    String::from_utf8(done.stdout).unwrap()
}

/// Says where two stores differ, in few words.
fn assert_same(old: &str, new: &str, store: &str) {
    assert!(old.lines().count() > 300, "{store} holds something: {} rows", old.lines().count());
    let (left, right): (BTreeSet<&str>, BTreeSet<&str>) = (old.lines().collect(), new.lines().collect());
    let only = |a: &BTreeSet<&str>, b: &BTreeSet<&str>| a.difference(b).take(3).map(ToString::to_string).collect::<Vec<_>>();
    assert!(left == right, "{store}: only the old one holds {:?}, only the new one {:?}", only(&left, &right), only(&right, &left));
    assert_eq!(old.len(), new.len(), "{store}: a row is held twice");
}

fn verified(cell: &Cell, sink: Option<&str>) {
    // An index that is being made answers 503 for a moment.
    cell::eventually(|| {
        let done = cell.verify(sink, &[]);
        if done.status.success() { Ok(()) } else { Err(text(&done)) }
    });
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Packages, events that touch them, a feed that goes again, a new version of what is there.
fn ingest(cell: &Cell) {
    cell.process(&[demo("apt1.json"), demo("poisonivy.json"), demo("tweetfeed-today.csv")], &[]);
    cell.process(&[demo("poisonivy.json")], &["--feed", "another"]);
    cell.await_packages(4);
    cell.process(&[demo("staged.ndjson"), demo("cloudtrail.ndjson")], &[]);
    cell::eventually(|| match cell.tap("events").len() {
        43 => Ok(()),
        events => Err(format!("{events} of 43 events")),
    });
    for feed in ["poisonivy", "tweetfeed-today"] {
        assert!(cell.command("feed").args(["remove", feed]).status().unwrap().success());
    }
    // Its own effect shows when the feed's observables are gone from the topic.
    cell::eventually(|| {
        let links = &cell.view()["links"];
        if links.len() < 2_000 { Ok(()) } else { Err(format!("{} links", links.len())) }
    });
}

#[test]
fn a_sink_that_joins_late_equals_the_one_that_was_there_row_by_row() {
    let Some(cell) = Cell::new(&["postgres", "elasticsearch", "neo4j"]) else { return };
    let path = |name: &str| cell.folder.path().join(name).display().to_string();
    add_connectors(&cell, &format!("- {{ name: lite, class: sqlite, options: {{ path: {} }} }}\n", path("a.db")));
    let service = cell.run(2);
    ingest(&cell);
    verified(&cell, None);
    let graph = format!("neo4j={}", variable("SIGHTLINE_NEO4J"));
    let old_graph = rows(&graph);
    service.terminate();

    // The graph is one: the old one makes room, and a connector of another name joins.
    let config = cell.folder.path().join("cell.yaml");
    let mut without: String = std::fs::read_to_string(&config).unwrap();
    let neo = without.lines().find(|line| line.contains("name: neo")).unwrap().to_owned();
    without = without.replace(&neo, &neo.replace("name: neo", "name: neo-late"));
    let (postgres, elasticsearch) = (variable("SIGHTLINE_POSTGRES"), variable("SIGHTLINE_ELASTICSEARCH"));
    without.push_str(&format!(
        "- {{ name: pg-late, class: postgres, options: {{ url: \"{postgres}\", schema: {name}late }} }}\n\
         - {{ name: es-late, class: elasticsearch, options: {{ url: \"{elasticsearch}\", prefix: {name}late, replicas: 0 }} }}\n\
         - {{ name: lite-late, class: sqlite, options: {{ path: {lite} }} }}\n",
        name = cell.name,
        lite = path("b.db")
    ));
    std::fs::write(&config, without).unwrap();
    assert!(oracle(&["empty_graph.py".as_ref(), variable("SIGHTLINE_NEO4J").as_ref()]).status.success());
    let service = cell.run(2);
    verified(&cell, None);
    assert_same(&old_graph, &rows(&graph), "neo4j");
    let pairs = [
        ("postgres", format!("postgres={postgres},{}", cell.name), format!("postgres={postgres},{}late", cell.name)),
        (
            "elasticsearch",
            format!("elasticsearch={elasticsearch},{}", cell.name),
            format!("elasticsearch={elasticsearch},{}late", cell.name),
        ),
        ("sqlite", format!("sqlite={}", path("a.db")), format!("sqlite={}", path("b.db"))),
    ];
    for (store, old, new) in &pairs {
        assert_same(&rows(old), &rows(new), store);
    }
    // And follows.
    cell.process(&[demo("ics-attack-16.1.json.gz")], &[]);
    cell.await_packages(5);
    verified(&cell, None);
    for (store, old, new) in &pairs {
        assert_same(&rows(old), &rows(new), store);
    }
    service.terminate();
}

/// The client that searches.
struct Searching(Child);

impl Searching {
    fn start(cell: &Cell) -> Self {
        let mut child = Command::new(variable("SIGHTLINE_ORACLE"))
            .arg(root().join("tests/oracle/searching.py"))
            .arg(format!("elasticsearch={},{}", variable("SIGHTLINE_ELASTICSEARCH"), cell.name))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "searching\n");
        Self(child)
    }

    fn end(mut self) -> String {
        drop(self.0.stdin.take());
        let done = self.0.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", text(&done));
        text(&done)
    }
}

#[test]
fn a_rebuilt_index_swaps_in_while_a_client_searches_and_the_service_ingests() {
    let Some(cell) = Cell::new(&["elasticsearch"]) else { return };
    let service = cell.run(2);
    cell.process(&[demo("apt1.json"), demo("poisonivy.json"), demo("ics-attack-16.1.json.gz")], &[]);
    cell.await_packages(3);
    verified(&cell, None);
    let searching = Searching::start(&cell);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ingesting = scope.spawn(|| {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                cell.process(&[demo("poisonivy.json"), demo("apt1.json")], &["--feed", &format!("meanwhile-{round}")]);
                round += 1;
            }
            round
        });
        // The thread ends whatever this one finds.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rebuild_twice(&cell)));
        stop.store(true, Ordering::Relaxed);
        let rounds = ingesting.join().unwrap();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        println!("{rounds} times two packages were ingested meanwhile");
        cell.await_packages(3 + 2 * rounds);
    });
    verified(&cell, None);
    println!("{}", searching.end());
    service.terminate();
}

fn rebuild_twice(cell: &Cell) {
    // Killed at moments that differ by run; then to the end.
    for millis in [300, 1_500, 4_000] {
        let mut child = cell.command("replay").args(["--sink", "es", "--rebuild"]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(replay(cell, &["--sink", "es", "--rebuild"]).status.success());
    let first = indices(cell);
    assert!(replay(cell, &["--sink", "es", "--rebuild"]).status.success());
    let second = indices(cell);
    assert!(first.len() == 1 && second.len() == 1 && first != second, "{first:?} {second:?}");
}

/// The indices of entities, by the names that their client sees.
fn indices(cell: &Cell) -> Vec<String> {
    let program = "import sys; from elasticsearch import Elasticsearch; print(*Elasticsearch(sys.argv[1]).indices.get(index=sys.argv[2]))";
    let pattern = format!("{}-entities-*", cell.name);
    let done =
        Command::new(variable("SIGHTLINE_ORACLE")).args(["-c", program, &variable("SIGHTLINE_ELASTICSEARCH"), &pattern]).output().unwrap();
    assert!(done.status.success(), "{}", text(&done));
    String::from_utf8_lossy(&done.stdout).split_whitespace().map(str::to_owned).collect()
}

fn kafka() -> Kafka {
    Kafka::new(KafkaOptions { bootstrap: variable("SIGHTLINE_KAFKA"), ..KafkaOptions::default() }).unwrap()
}

fn records(log: &dyn Log, topic: &str) -> Vec<Record> {
    let mut records = Vec::new();
    for number in 0..log.partitions(topic).unwrap() {
        let partition = TopicPartition::new(topic, number);
        let range = log.range(&partition).unwrap();
        let mut reader = log.reader(&[(partition, range.start)]).unwrap();
        while reader.positions().iter().any(|(_, at)| *at < range.end) {
            reader.poll(&mut records, 10_000, Duration::from_millis(200)).unwrap();
        }
    }
    records
}

/// The keys that compaction would leave of some records.
fn keys<'a>(records: impl Iterator<Item = &'a Record>) -> BTreeSet<String> {
    let mut newest = BTreeMap::new();
    for record in records {
        newest.insert(String::from_utf8(record.key.clone().unwrap().to_vec()).unwrap(), record.value.is_some());
    }
    newest.into_iter().filter(|(_, held)| *held).map(|(key, _)| key).collect()
}

/// The keys of the entities in PostgreSQL.
fn entities(address: &str) -> BTreeSet<String> {
    keys_in(address, "entity")
}

fn keys_in(address: &str, table: &str) -> BTreeSet<String> {
    let parse = |line: &str| -> serde_json::Value { serde_json::from_str(line).unwrap() };
    let rows = rows(address);
    let rows = rows.lines().map(parse).filter(|row| row[0] == table);
    rows.map(|row| format!("{}:{}", row[1]["tenant"].as_str().unwrap(), row[1]["id"].as_str().unwrap())).collect()
}

#[test]
fn a_truncated_store_is_restored_by_time_by_offset_and_from_the_start_and_what_expired_is_refused() {
    let Some(cell) = Cell::new(&["postgres", "neo4j"]) else { return };
    let service: Service = cell.run(2);
    ingest(&cell);
    std::thread::sleep(Duration::from_secs(2));
    let between = now();
    std::thread::sleep(Duration::from_secs(2));
    cell.process(&[demo("ics-attack-16.1.json.gz")], &[]);
    cell.await_packages(5);
    verified(&cell, None);
    let stores = [
        ("pg", format!("postgres={},{}", variable("SIGHTLINE_POSTGRES"), cell.name)),
        ("neo", format!("neo4j={}", variable("SIGHTLINE_NEO4J"))),
    ];
    let (log, topic) = (kafka(), format!("{}.out.entities", cell.name));
    let all = records(&log, &topic);

    // From the start: each store that lost everything under its running connector has it again.
    for (sink, address) in &stores {
        let before = rows(address);
        lose(address);
        let done = cell.verify(Some(sink), &[]);
        assert_eq!(done.status.code(), Some(5), "{}", text(&done));
        assert!(replay(&cell, &["--sink", sink, "--earliest"]).status.success());
        verified(&cell, Some(sink));
        assert_same(&before, &rows(address), sink);
    }
    let address = &stores[0].1;

    // By time: what came after it, and nothing else.
    lose(address);
    assert!(replay(&cell, &["--sink", "pg", "--topic", "entities", "--from-time", &between.0]).status.success());
    let expected = keys(all.iter().filter(|record| record.timestamp >= between.1));
    assert!(expected.len() > 100 && expected.len() < keys(all.iter()).len(), "{} entities came after", expected.len());
    assert_eq!(entities(address), expected);
    lose(address);
    assert!(replay(&cell, &["--sink", "pg", "--topic", &topic, "--earliest", "--to-time", &between.0]).status.success());
    let newer: BTreeSet<_> = all.iter().filter(|record| record.timestamp >= between.1).map(|record| record.key.clone()).collect();
    let old = all.iter().filter(|record| record.timestamp < between.1 && !newer.contains(&record.key));
    assert_eq!(entities(address), keys(old), "but for what has a newer record behind it");

    // By offset, of one partition.
    lose(address);
    let mine: Vec<&Record> = all.iter().filter(|record| record.partition == 1).collect();
    let (from, to) = (mine[mine.len() / 4].offset, mine[mine.len() / 2].offset);
    let places = [format!("1:{}", from.0), format!("1:{}", to.0)];
    let arguments = ["--sink", "pg", "--topic", "entities", "--from-offset", &places[0], "--to-offset", &places[1]];
    assert!(replay(&cell, &arguments).status.success());
    let newer: BTreeSet<_> = mine.iter().filter(|record| record.offset >= to).map(|record| record.key.clone()).collect();
    let within = mine.iter().filter(|record| (from..to).contains(&record.offset) && !newer.contains(&record.key)).copied();
    assert_eq!(entities(address), keys(within));

    // What has expired is refused, with what to do. (Kafka trims no topic that is only compacted.)
    let topic = format!("{}.out.events", cell.name);
    let all = records(&log, &topic);
    let number = all[0].partition;
    let from = all.iter().filter(|record| record.partition == number).nth(2).unwrap().offset;
    let partition = TopicPartition::new(topic.as_str(), number);
    log.trim(&partition, from).unwrap();
    let refused = |arguments: &[&str], words: &[&str]| {
        let done = replay(&cell, &[&["--sink", "pg"], arguments].concat());
        assert_eq!(done.status.code(), Some(1), "{}", text(&done));
        let error = String::from_utf8_lossy(&done.stderr);
        assert!(words.iter().all(|word| error.contains(word)) && error.trim_end().lines().count() == 1, "{error}");
    };
    let expired = format!("offset {} of {partition} has expired: the earliest that the log still holds is {}", from.0 - 1, from.0);
    let before = format!("{number}:{}", from.0 - 1);
    refused(&["--topic", "events", "--from-offset", &before], &[&expired, &format!("--from-offset {number}:{}", from.0), "--earliest"]);
    let time = "2020-01-01T00:00:00Z";
    refused(&["--topic", "events", "--from-time", time], &[&format!("what {partition} held at {time} has expired"), "--earliest"]);
    refused(&["--topic", "alarms", "--earliest"], &["alarms is no topic of connector pg; it has: entities, "]);
    refused(&["--topic", "entities", "--from-offset", "9:0"], &["has no partition 9: its partitions are 0 to 1"]);
    let done = cell.command("replay").args(["--sink", "nobody", "--earliest"]).output().unwrap();
    assert!(text(&done).contains("there is no connector nobody; the configuration has: pg, neo"), "{}", text(&done));
    lose(address);
    assert!(replay(&cell, &["--sink", "pg", "--earliest"]).status.success());
    let left = records(&log, &topic);
    assert_eq!(left.len(), all.len() - 2);
    assert_eq!(keys_in(address, "event"), keys(left.iter()), "--earliest gives what there is");
    verified(&cell, Some("pg"));
    service.terminate();
}

/// Now, as a text and in milliseconds.
fn now() -> (String, i64) {
    let millis = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    (sightline_schemas::Micros(millis * 1_000).to_string(), millis)
}
