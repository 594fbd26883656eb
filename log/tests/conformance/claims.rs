//! The claims.
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sightline_log::{CleanUp, Headers, LogError, NewRecord, Offset, TopicPartition, TopicSpec};

use crate::bed::{Bed, LARGEST, record, texts};

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

pub fn a_partition_keeps_the_order_of_writing(bed: Bed) {
    let topic = bed.topic("order", 1);
    let at = TopicPartition::new(topic.as_str(), 0);
    bed.write(numbers(2_000).iter().map(|value| record(&topic, value)));
    let mut writer = bed.log.transactional(&bed.name("id")).unwrap();
    for part in 0..3 {
        writer.begin().unwrap();
        for number in 0..100 {
            writer.send(record(&topic, &(2_000 + part * 100 + number).to_string())).unwrap();
        }
        writer.commit().unwrap();
    }
    let expected = numbers(2_300);
    bed.assert_holds(&topic, 0, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    let records = bed.read_all(&[at]);
    assert!(records.is_sorted_by(|a, b| a.offset < b.offset), "offsets rise");
}

pub fn a_reader_that_reached_the_end_has_read_all(bed: Bed) {
    let topic = bed.topic("end", 2);
    let both = [TopicPartition::new(topic.as_str(), 0), TopicPartition::new(topic.as_str(), 1)];
    assert_eq!(bed.log.range(&both[0]).unwrap(), Offset(0)..Offset(0));
    assert!(bed.read_all(&both).is_empty(), "nothing is a beginning too");
    let mut writer = bed.log.transactional(&bed.name("id")).unwrap();
    let mut reader = bed.log.reader(&[(both[0].clone(), Offset(0)), (both[1].clone(), Offset(0))]).unwrap();
    for round in 0..5 {
        writer.begin().unwrap();
        writer.send(record(&topic, &round.to_string())).unwrap();
        if round % 2 == 1 {
            writer.abort().unwrap()
        } else {
            writer.commit().unwrap()
        }
        // Ends on the marker of a transaction, which the reader must get past to know.
        let expected = 1 - round % 2;
        let mut read = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(10);
        while read.len() < expected && Instant::now() < deadline {
            read.extend(bed.read_on(&mut *reader, &both));
        }
        assert_eq!(read.len(), expected);
    }
    bed.assert_holds(&topic, 0, &["0", "2", "4"]);
}

pub fn the_same_key_goes_to_the_same_partition_on_every_log(bed: Bed) {
    let topic = bed.topic("keys", 5);
    // The hashes are those that Apache Kafka's own test of its `murmur2` states.
    let expected = [
        ("21", -973_932_308_i32),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("abc", 479_470_107),
    ]
    .map(|(key, hash)| (key, (hash & 0x7fff_ffff) % 5));
    bed.write(expected.map(|(key, _)| NewRecord { key: Some(key.into()), partition: None, ..record(&topic, key) }));
    bed.write([NewRecord { partition: None, ..record(&topic, "no key") }]);
    for partition in 0..5 {
        let mut keys: Vec<String> = expected.iter().filter(|(_, at)| *at == partition).map(|(key, _)| (*key).to_owned()).collect();
        if partition == 0 {
            keys.push("no key".into());
        }
        assert_eq!(bed.values(&topic, partition), keys);
    }
}

pub fn a_time_finds_the_first_record_at_or_after_it(bed: Bed) {
    let topic = bed.topic_with("time", 1, true);
    let at = TopicPartition::new(topic.as_str(), 0);
    for value in numbers(5) {
        bed.write([record(&topic, &value)]);
        std::thread::sleep(Duration::from_millis(15));
    }
    for wanted in bed.read_all(std::slice::from_ref(&at)) {
        assert_eq!(bed.log.offset_at(&at, wanted.timestamp).unwrap(), wanted.offset);
        assert_eq!(bed.log.offset_at(&at, wanted.timestamp - 5).unwrap(), wanted.offset);
    }
    assert_eq!(bed.log.offset_at(&at, i64::MIN).unwrap(), Offset(0));
    assert_eq!(bed.log.offset_at(&at, now() + 60_000).unwrap(), bed.log.range(&at).unwrap().end);
}

pub fn a_transaction_is_seen_whole_or_not_at_all(bed: Bed) {
    let (first, second) = (bed.topic("first", 2), bed.topic("second", 1));
    let places =
        [(first.as_str(), 0), (first.as_str(), 1), (second.as_str(), 0)].map(|(topic, partition)| TopicPartition::new(topic, partition));
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut writer = bed.log.transactional(&bed.name("id")).unwrap();
            for number in 0..60 {
                writer.begin().unwrap();
                for place in &places {
                    for _ in 0..20 {
                        let value = record(&place.topic, &number.to_string());
                        writer.send(NewRecord { partition: Some(place.partition), ..value }).unwrap();
                    }
                }
                if number % 3 == 2 { writer.abort().unwrap() } else { writer.commit().unwrap() }
            }
        });
        // Looks while it is written: a transaction has as many records in each place, or none.
        while !writing.is_finished() {
            for place in &places {
                let values = bed.values(&place.topic, place.partition);
                for (number, group) in values.chunk_by(|a, b| a == b).enumerate() {
                    assert_eq!(group.len(), 20, "transaction {} in {place}", group[0]);
                    assert_eq!(group[0], (number / 2 * 3 + number % 2).to_string());
                }
            }
        }
    });
    for place in &places {
        assert_eq!(bed.values(&place.topic, place.partition).len(), 40 * 20);
    }
}

pub fn an_aborted_transaction_is_never_seen(bed: Bed) {
    let topic = bed.topic("aborted", 1);
    let mut writer = bed.log.transactional(&bed.name("id")).unwrap();
    writer.begin().unwrap();
    writer.send(record(&topic, "dropped")).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    writer.abort().unwrap();
    writer.abort().unwrap();
    writer.begin().unwrap();
    writer.send(record(&topic, "kept")).unwrap();
    writer.commit().unwrap();
    bed.assert_holds(&topic, 0, &["kept"]);
}

pub fn an_abort_of_much_that_is_under_way_leaves_the_next_transaction_whole(bed: Bed) {
    let topic = bed.topic("under-way", 1);
    let mut writer = bed.log.transactional(&bed.name("id")).unwrap();
    let large = "x".repeat(2_000);
    for number in 0..8 {
        writer.begin().unwrap();
        for _ in 0..10_000 {
            writer.send(record(&topic, &large)).unwrap();
        }
        writer.abort().unwrap();
        writer.begin().unwrap();
        writer.send(record(&topic, &number.to_string())).unwrap();
        writer.commit().unwrap();
    }
    bed.assert_holds(&topic, 0, &["0", "1", "2", "3", "4", "5", "6", "7"]);
}

pub fn an_open_transaction_is_not_seen_and_does_not_move_the_end(bed: Bed) {
    let topic = bed.topic("open", 1);
    let at = TopicPartition::new(topic.as_str(), 0);
    bed.write([record(&topic, "before")]);
    let mut writer = bed.log.transactional(&bed.name("id")).unwrap();
    writer.begin().unwrap();
    writer.send(record(&topic, "open")).unwrap();
    // Long enough for it to reach a broker.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(bed.log.range(&at).unwrap().end, Offset(1));
    bed.assert_holds(&topic, 0, &["before"]);
    writer.commit().unwrap();
    bed.assert_holds(&topic, 0, &["before", "open"]);
}

pub fn an_older_holder_of_an_id_is_fenced(bed: Bed) {
    let topic = bed.topic("fenced", 1);
    let id = bed.name("id");
    let mut old = bed.log.transactional(&id).unwrap();
    old.begin().unwrap();
    old.send(record(&topic, "old")).unwrap();
    let mut new = bed.log.transactional(&id).unwrap();
    let refused = old.commit();
    assert!(matches!(&refused, Err(LogError::Fenced { id: named }) if *named == id), "{refused:?}");
    let refused = old.begin().and_then(|()| old.send(record(&topic, "old again"))).and_then(|()| old.commit());
    assert!(matches!(refused, Err(LogError::Fenced { .. })), "{refused:?}");
    new.begin().unwrap();
    new.send(record(&topic, "new")).unwrap();
    new.commit().unwrap();
    bed.assert_holds(&topic, 0, &["new"]);
}

pub fn taking_over_an_id_ends_the_transaction_left_open(bed: Bed) {
    let topic = bed.topic("left", 1);
    let at = TopicPartition::new(topic.as_str(), 0);
    let id = bed.name("id");
    let mut old = bed.log.transactional(&id).unwrap();
    old.begin().unwrap();
    old.send(record(&topic, "left open")).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let _new = bed.log.transactional(&id).unwrap();
    bed.write([record(&topic, "after")]);
    // Nothing open holds the end back.
    assert_eq!(texts(&bed.read_all(&[at])), ["after"]);
}

pub fn what_was_committed_is_there_after_a_restart(bed: Bed) {
    let topic = bed.topic("restart", 2);
    let places = [TopicPartition::new(topic.as_str(), 0), TopicPartition::new(topic.as_str(), 1)];
    let mut writer = bed.log.transactional(&bed.name("id")).unwrap();
    writer.begin().unwrap();
    for number in 0..3_000 {
        let value = "x".repeat(number % 2_000);
        writer
            .send(NewRecord { partition: Some(number as i32 % 2), key: Some(number.to_string().into()), ..record(&topic, &value) })
            .unwrap();
    }
    writer.commit().unwrap();
    writer.begin().unwrap();
    writer.send(record(&topic, "open at the end")).unwrap();
    let before = places.clone().map(|place| bed.read_all(&[place]));
    drop(writer);
    let bed = bed.reopen();
    assert_eq!(bed.log.partitions(&topic).unwrap(), 2);
    let after = places.clone().map(|place| bed.read_all(&[place]));
    assert_eq!(before, after);
    bed.write([record(&topic, "more")]);
    assert_eq!(bed.values(&topic, 0).last().map(String::as_str), Some("more"));
}

pub fn trimmed_offsets_have_expired(bed: Bed) {
    let topic = bed.topic("trim", 1);
    let at = TopicPartition::new(topic.as_str(), 0);
    bed.write(numbers(100).iter().map(|value| record(&topic, value)));
    bed.log.trim(&at, Offset(40)).unwrap();
    bed.log.trim(&at, Offset(10)).unwrap();
    assert_eq!(bed.log.range(&at).unwrap(), Offset(40)..Offset(100));
    assert_eq!(bed.values(&topic, 0), numbers(100)[40..]);
    let expired = |result: Result<usize, LogError>| match result {
        Err(LogError::OffsetExpired { partition, asked, earliest }) => {
            assert_eq!((partition, asked, earliest), (at.clone(), Offset(39), Offset(40)))
        }
        other => panic!("{other:?}"),
    };
    match bed.log.reader(&[(at.clone(), Offset(39))]) {
        Err(error) => expired(Err(error)),
        Ok(mut reader) => expired(reader.poll(&mut Vec::new(), 1, Duration::from_secs(5))),
    }
    let bed = bed.reopen();
    assert_eq!(bed.log.range(&at).unwrap(), Offset(40)..Offset(100), "also after a restart");
}

pub fn a_tombstone_differs_from_an_empty_value(bed: Bed) {
    let topic = bed.topic("empty", 1);
    let all = [(None, None), (Some(Bytes::new()), Some(Bytes::new())), (Some("key".into()), None)];
    bed.write(all.clone().map(|(key, value)| NewRecord { key, value, ..record(&topic, "") }));
    let read = bed.read_all(&[TopicPartition::new(topic.as_str(), 0)]);
    assert_eq!(read.into_iter().map(|record| (record.key, record.value)).collect::<Vec<_>>(), all);
}

pub fn headers_come_back_in_order(bed: Bed) {
    let topic = bed.topic("headers", 1);
    let headers = Headers::default().with("a", "1").with("b", Bytes::from_static(&[0, 255])).with("a", "2").with("empty", "");
    bed.write([NewRecord { headers: headers.clone(), ..record(&topic, "value") }, record(&topic, "none")]);
    let read = bed.read_all(&[TopicPartition::new(topic.as_str(), 0)]);
    assert_eq!(read[0].headers, headers);
    assert_eq!(read[0].headers.text("a"), Some("2"));
    assert_eq!(read[1].headers, Headers::default());
}

pub fn ten_megabytes_fit_in_a_record(bed: Bed) {
    let topic = bed.topic("large", 1);
    let large: Bytes = (0..10_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>().into();
    let mut writer = bed.log.transactional(&bed.name("id")).unwrap();
    writer.begin().unwrap();
    for value in [Bytes::from_static(b"small"), large.clone(), Bytes::from_static(b"after")] {
        writer.send(NewRecord { value: Some(value), ..record(&topic, "") }).unwrap();
    }
    writer.commit().unwrap();
    let read = bed.read_all(&[TopicPartition::new(topic.as_str(), 0)]);
    assert_eq!(read.len(), 3);
    assert!(read[1].value.as_ref() == Some(&large), "all ten million bytes are as they were");
}

pub fn a_record_too_large_is_refused_by_name(bed: Bed) {
    let topic = bed.topic("too-large", 1);
    let too_large = NewRecord { value: Some(vec![7; LARGEST + 1].into()), ..record(&topic, "") };
    let refused = |result: Result<(), LogError>| match result {
        Err(LogError::TooLarge { topic: named, bytes }) => assert_eq!((named, bytes), (topic.clone(), LARGEST + 1)),
        other => panic!("{other:?}"),
    };
    let mut writer = bed.log.writer().unwrap();
    refused(writer.send(too_large.clone()).and_then(|()| writer.flush()));
    let mut writer = bed.log.transactional(&bed.name("id")).unwrap();
    writer.begin().unwrap();
    refused(writer.send(too_large).and_then(|()| writer.commit()));
    writer.abort().unwrap();
    // The writer is as good as before.
    writer.begin().unwrap();
    writer.send(record(&topic, "small")).unwrap();
    writer.commit().unwrap();
    bed.assert_holds(&topic, 0, &["small"]);
}

pub fn an_unknown_topic_is_named(bed: Bed) {
    let topic = bed.name("nowhere");
    let named = |error: LogError| assert!(matches!(&error, LogError::UnknownTopic(name) if name.starts_with(&topic)), "{error:?}");
    let at = TopicPartition::new(topic.as_str(), 0);
    named(bed.log.partitions(&topic).unwrap_err());
    named(bed.log.range(&at).unwrap_err());
    named(bed.log.offset_at(&at, 0).unwrap_err());
    named(bed.log.trim(&at, Offset(0)).unwrap_err());
    named(bed.log.reader(&[(at, Offset(0))]).err().unwrap());
    let mut writer = bed.log.writer().unwrap();
    named(writer.send(record(&topic, "")).and_then(|()| writer.flush()).unwrap_err());
    let there = bed.topic("there", 1);
    named_partition(bed.log.range(&TopicPartition::new(there.as_str(), 1)).unwrap_err(), &there);
    let beyond = NewRecord { partition: Some(1), ..record(&there, "") };
    let mut writer = bed.log.transactional(&bed.name("id")).unwrap();
    writer.begin().unwrap();
    named_partition(writer.send(beyond).and_then(|()| writer.commit()).unwrap_err(), &there);
}

fn named_partition(error: LogError, topic: &str) {
    assert!(matches!(&error, LogError::UnknownTopic(name) if *name == format!("{topic}:1")), "{error:?}");
}

pub fn a_topic_that_is_there_is_left_alone(bed: Bed) {
    let topic = bed.topic("there", 2);
    bed.write([record(&topic, "kept")]);
    let other = TopicSpec { name: topic.clone(), partitions: 7, replication: 1, clean_up: CleanUp::Compact, log_append_time: true };
    bed.log.ensure_topics(&[other]).unwrap();
    assert_eq!(bed.log.partitions(&topic).unwrap(), 2);
    bed.assert_holds(&topic, 0, &["kept"]);
}

pub fn the_log_stamps_records_of_inputs(bed: Bed) {
    let topic = bed.topic_with("stamped", 1, true);
    let before = now();
    bed.write([record(&topic, "one"), record(&topic, "two")]);
    let after = now();
    let read = bed.read_all(&[TopicPartition::new(topic.as_str(), 0)]);
    assert_eq!(read.len(), 2);
    assert!(read.iter().all(|record| (before..=after).contains(&record.timestamp)), "{before} {after} {read:?}");
}

pub fn a_reader_waits_no_longer_than_told(bed: Bed) {
    let topic = bed.topic("waits", 1);
    let mut reader = bed.log.reader(&[(TopicPartition::new(topic.as_str(), 0), Offset(0))]).unwrap();
    let mut into = Vec::new();
    let start = Instant::now();
    assert_eq!(reader.poll(&mut into, 10, Duration::from_millis(100)).unwrap(), 0);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(95) && waited < Duration::from_secs(2), "{waited:?}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(100));
            bed.write((0..5).map(|_| record(&topic, "woken")));
        });
        let start = Instant::now();
        assert!(reader.poll(&mut into, 2, Duration::from_secs(20)).unwrap() > 0);
        assert!(start.elapsed() < Duration::from_secs(10), "it was woken, not timed out");
    });
    assert!(into.len() <= 2, "no more than asked for");
}

pub fn positions_can_be_published(bed: Bed) {
    let topic = bed.topic("published", 2);
    let group = bed.name("group");
    let positions = [(TopicPartition::new(topic.as_str(), 0), Offset(3)), (TopicPartition::new(topic.as_str(), 1), Offset(0))];
    bed.log.publish_positions(&group, &positions).unwrap();
    bed.log.publish_positions(&group, &positions).unwrap();
    bed.log.publish_positions(&group, &[]).unwrap();
}
