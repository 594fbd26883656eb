//! Processes killed in mid-write.
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::{CleanUp, Log, LogError, NewRecord, Offset, Record, TopicPartition, TopicSpec};

use crate::bed::{open_embedded, record};

const DIRECTORY: &str = "SIGHTLINE_LOG_TEST_DIRECTORY";
const TOPICS: [&str; 2] = ["one", "two"];
/// Records of a transaction in each of the four places.
const EACH: usize = 25;

fn places() -> Vec<TopicPartition> {
    TOPICS.iter().flat_map(|topic| (0..2).map(|partition| TopicPartition::new(*topic, partition))).collect()
}

fn child(test: &str, variable: &str, value: impl AsRef<std::ffi::OsStr>) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(variable, value)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn read(log: &dyn Log, at: &TopicPartition) -> Vec<Record> {
    let mut reader = log.reader(&[(at.clone(), Offset(0))]).unwrap();
    let end = log.range(at).unwrap().end;
    let mut records = Vec::new();
    while reader.positions()[0].1 < end {
        reader.poll(&mut records, 100_000, Duration::from_secs(1)).unwrap();
    }
    records
}

fn number(record: &Record) -> usize {
    let value = record.value.as_ref().unwrap();
    std::str::from_utf8(value).unwrap().split(' ').next().unwrap().parse().unwrap()
}

/// How many transactions are in the log; each must be whole, and none missing between.
fn transactions(log: &dyn Log) -> usize {
    let counts: Vec<usize> = places()
        .iter()
        .map(|at| {
            let records = read(log, at);
            assert!(
                records.iter().enumerate().all(|(index, record)| number(record) == index / EACH && record.offset.0 == index as i64),
                "{at}"
            );
            assert_eq!(records.len() % EACH, 0, "half a transaction in {at}");
            records.len() / EACH
        })
        .collect();
    assert!(counts.iter().all(|count| *count == counts[0]), "a transaction is in some places only: {counts:?}");
    counts[0]
}

/// Not a claim: the process that is killed. Alone it does nothing.
#[test]
fn child_writes_until_killed() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let log = open_embedded(Path::new(&directory));
    let specs =
        TOPICS.map(|name| TopicSpec { name: name.into(), partitions: 2, replication: 1, clean_up: CleanUp::Keep, log_append_time: true });
    log.ensure_topics(&specs).unwrap();
    let mut writer = log.transactional("child").unwrap();
    for next in transactions(&*log).. {
        writer.begin().unwrap();
        for at in 0..EACH {
            for place in places() {
                let value = format!("{next} {}", "x".repeat((next * 7 + at) % 400));
                writer.send(NewRecord { partition: Some(place.partition), ..record(&place.topic, &value) }).unwrap();
            }
        }
        writer.commit().unwrap();
        println!("\ncommitted {next}");
    }
}

#[test]
fn a_hundred_kills_lose_nothing_committed_and_leave_nothing_half() {
    let directory = tempfile::tempdir().unwrap();
    let mut random = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos() | 1;
    let mut total = 0;
    for _ in 0..100 {
        // xorshift: moments need no better.
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        let mut child = child("crash::child_writes_until_killed", DIRECTORY, directory.path());
        let output = child.stdout.take().unwrap();
        let heard = std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.filter_map(|line| line.strip_prefix("committed ")?.parse::<usize>().ok()).last()
        });
        std::thread::sleep(Duration::from_micros(u64::from(random % 120_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let acknowledged = heard.join().unwrap();
        let log = open_embedded(directory.path());
        let found = if log.partitions("two").is_ok() { transactions(&*log) } else { 0 };
        assert!(found >= total.max(acknowledged.map_or(0, |number| number + 1)), "{found} of {total}, acknowledged {acknowledged:?}");
        total = found;
    }
    eprintln!("{total} transactions over 100 kills");
    assert!(total > 100, "the children came to write");
}

#[test]
fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = child("crash::child_writes_until_killed", DIRECTORY, directory.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("committed")));
    let refused = Embedded::open(directory.path(), EmbeddedOptions::default()).err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(&refused, Some(LogError::Fatal { message, .. }) if message.contains("in use by another process")), "{refused:?}");
    assert!(Embedded::open(directory.path(), EmbeddedOptions::default()).is_ok(), "the system gave the lock back");
}

#[cfg(feature = "kafka")]
mod on_kafka {
    use super::*;
    use crate::bed::{Bed, open_kafka};

    const NAME: &str = "SIGHTLINE_LOG_TEST_TOPIC";

    /// Not a claim: the process that is killed. Alone it does nothing.
    #[test]
    fn child_leaves_a_transaction_open() {
        let (Ok(name), Ok(bootstrap)) = (std::env::var(NAME), std::env::var("SIGHTLINE_KAFKA")) else { return };
        let log = open_kafka(&bootstrap);
        let mut writer = log.transactional(&name).unwrap();
        for value in ["committed", "open"] {
            writer.begin().unwrap();
            (0..100).for_each(|_| writer.send(record(&name, value)).unwrap());
            if value == "committed" {
                writer.commit().unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(300));
        println!("\nopen");
        std::thread::sleep(Duration::from_secs(60));
    }

    #[test]
    fn a_transaction_open_at_a_kill_is_gone() {
        let Some(bed) = Bed::kafka() else { return };
        let topic = bed.topic("killed", 1);
        let mut child = child("crash::on_kafka::child_leaves_a_transaction_open", NAME, &topic);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "open"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(bed.values(&topic, 0), vec!["committed"; 100]);
        let _holder = bed.log.transactional(&topic).unwrap();
        bed.write([record(&topic, "after")]);
        let values = bed.values(&topic, 0);
        assert_eq!((values.len(), values.last().map(String::as_str)), (101, Some("after")));
    }
}
