//! What the embedded log makes of files that a crash or a disk has changed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::{CleanUp, Headers, Log as _, LogError, NewRecord, Offset, TopicPartition, TopicSpec};

fn write(log: &Embedded, transactions: usize) {
    let spec = TopicSpec { name: "t".into(), partitions: 1, replication: 1, clean_up: CleanUp::Keep, log_append_time: true };
    log.ensure_topics(&[spec]).unwrap();
    let mut writer = log.transactional("id").unwrap();
    for number in 0..transactions {
        writer.begin().unwrap();
        let value = Some(Bytes::from(number.to_string()));
        writer.send(NewRecord { topic: "t".into(), partition: Some(0), key: None, value, headers: Headers::default() }).unwrap();
        writer.commit().unwrap();
    }
}

fn open(directory: &Path) -> Result<Embedded, LogError> {
    Embedded::open(directory, EmbeddedOptions::default())
}

fn end(log: &Embedded) -> Offset {
    log.range(&TopicPartition::new("t", 0)).unwrap().end
}

#[test]
fn a_torn_tail_is_cut_off_at_every_length() {
    let directory = tempfile::tempdir().unwrap();
    write(&open(directory.path()).unwrap(), 3);
    let segment = directory.path().join("000000000000.log");
    let whole = fs::read(&segment).unwrap();
    let last = whole.windows(4).rposition(|four| four == b"SLFR").unwrap();
    for length in last..whole.len() {
        fs::write(&segment, &whole[..length]).unwrap();
        let log = open(directory.path()).unwrap();
        assert_eq!(end(&log), Offset(2));
        write(&log, 1);
        drop(log);
        assert_eq!(end(&open(directory.path()).unwrap()), Offset(3), "written again after the cut at {length}");
    }
}

#[test]
fn damage_before_the_tail_is_an_error_not_a_loss() {
    let directory = tempfile::tempdir().unwrap();
    write(&open(directory.path()).unwrap(), 3);
    let segment = directory.path().join("000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let frames: Vec<usize> = (0..bytes.len() - 3).filter(|at| &bytes[*at..*at + 4] == b"SLFR").collect();
    // In the second transaction of three.
    bytes[frames[2] + 30] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    let refused = open(directory.path()).err();
    assert!(matches!(&refused, Some(LogError::Fatal { message, .. }) if message.contains("damaged at byte")), "{refused:?}");
    assert_eq!(OpenOptions::new().read(true).open(&segment).unwrap().metadata().unwrap().len(), bytes.len() as u64, "nothing was cut");
}

#[test]
fn a_temporary_log_works_like_any_other() {
    let log = Embedded::temporary().unwrap();
    write(&log, 2);
    let mut reader = log.reader(&[(TopicPartition::new("t", 0), Offset(0))]).unwrap();
    assert_eq!(reader.poll(&mut Vec::new(), 10, Duration::ZERO).unwrap(), 1);
}

#[test]
fn a_reader_beside_the_writer_sees_what_is_committed_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).unwrap();
    write(&log, 3);
    let segment = directory.path().join("000000000000.log");
    let whole = fs::read(&segment).unwrap();
    let reader = Embedded::read_only(directory.path()).unwrap();
    write(&log, 2);
    assert_eq!((end(&reader), end(&Embedded::read_only(directory.path()).unwrap())), (Offset(3), Offset(5)));
    let refused = reader.trim(&TopicPartition::new("t", 0), Offset(1)).err();
    assert!(matches!(&refused, Some(LogError::Fatal { message, .. }) if message.contains("reading only")), "{refused:?}");
    drop(log);
    // A transaction of which half is written, by a writer that is at it or that was killed.
    fs::write(&segment, &whole[..whole.len() - 5]).unwrap();
    assert_eq!(end(&Embedded::read_only(directory.path()).unwrap()), Offset(2));
    assert_eq!(fs::metadata(&segment).unwrap().len(), whole.len() as u64 - 5, "nothing was cut");
    assert!(Embedded::read_only(&directory.path().join("none")).is_err());
}
