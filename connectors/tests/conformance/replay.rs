//! What a replay promises, whatever the store: it restores, it never goes back in time, and the running connector goes on unharmed.
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sightline_connectors::replay::{self, Begin, End, ReplayError, Request, Summary};
use sightline_connectors::runtime::registry::build;
use sightline_connectors::runtime::{ConnectorConfig, Connectors};
use sightline_connectors::{Batch, Mended, SinkConnector, SinkError, Visit, Wrong};
use sightline_log::{Offset, TopicPartition};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::registry::EmbeddedRegistry;
use sightline_schemas::{ContentHash, Micros, Role};

use super::pipeline::{PATIENCE, Source, entities, quick, stop};
use super::records::*;
use super::stores::{Store, held, sqlite};

pub fn source_of(source: &Source) -> replay::Source {
    replay::Source {
        log: Arc::clone(&source.log),
        registry: Arc::new(EmbeddedRegistry),
        topics: source.topics.clone(),
        patience: Duration::from_secs(10),
    }
}

async fn give(source: &Source, config: &ConnectorConfig, request: Request) -> Result<Summary, ReplayError> {
    let mut sink = build(config).unwrap();
    replay::replay(&source_of(source), config, &request, &mut *sink, &mut |_, _| {}).await
}

fn everything(config: &ConnectorConfig) -> Request {
    Request { types: config.record_types(build(config).unwrap().supports()).unwrap(), begin: Begin::Earliest, end: End::Positions }
}

fn of_entities(begin: Begin, end: End) -> Request {
    Request { types: vec![RecordType::Entity], begin, end }
}

/// Some of every type, edges that share nodes, and deletes.
fn write_much(source: &Source) {
    source.write(&one_of_each(), 1, true);
    source.write(&[link(INDICATOR, DOMAIN, Role::Pattern), relation("relationship--9", "uses")], 2, true);
    let many = entities(300);
    source.write(&many, 3, true);
    source.write(&many[..100], 4, false);
}

pub async fn what_was_lost_is_restored_beside_the_running_connector(store: &Store) {
    let (source, config) = (Source::new(), quick(store));
    let connectors = source.start(vec![config.clone()]);
    write_much(&source);
    connectors.caught_up(PATIENCE).await.unwrap();
    let positions = positions(&config).await;
    store.lose_everything().await;
    assert!(!source.verify(&config).await.is_equal(), "it is lost indeed");
    let summary = give(&source, &config, everything(&config)).await.unwrap();
    assert!(summary.written >= 203 && summary.superseded == 100 && summary.refused == 0, "{summary:?}");
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "{report:?}");
    assert_eq!(positions, self::positions(&config).await, "positions stay");
    // The very next epoch of the same keys: nothing that was written beside the connector may keep it out, or come twice.
    source.write(&one_of_each(), 5, true);
    let many = entities(300);
    source.write(&many[100..200].iter().map(|value| entity(&value.id(), "changed")).collect::<Vec<_>>(), 5, true);
    source.write(&many[200..250], 5, false);
    source.write(&[relation("relationship--9", "targets")], 5, true);
    connectors.caught_up(PATIENCE).await.unwrap();
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "{report:?}");
    stop(connectors).await;
}

pub async fn a_store_that_was_whole_stays_as_it_is(store: &Store) {
    let (source, config) = (Source::new(), quick(store));
    let connectors = source.start(vec![config.clone()]);
    write_much(&source);
    connectors.caught_up(PATIENCE).await.unwrap();
    let mut sink = store.sink();
    let before = held(&mut *sink, RecordType::Entity).await;
    for _ in 0..2 {
        give(&source, &config, everything(&config)).await.unwrap();
        assert_eq!(held(&mut *sink, RecordType::Entity).await, before);
        assert!(source.verify(&config).await.is_equal());
    }
    stop(connectors).await;
}

pub async fn an_old_span_does_not_go_back_in_time(store: &Store) {
    let (source, config) = (Source::new(), quick(store));
    let connectors = source.start(vec![config.clone()]);
    let values = entities(30);
    source.write(&values, 1, true);
    let ends = source.ends(RecordType::Entity);
    source.write(&values[..10], 2, false);
    source.write(&values[10..20].iter().map(|value| entity(&value.id(), "newer")).collect::<Vec<_>>(), 3, true);
    connectors.caught_up(PATIENCE).await.unwrap();
    let summary = give(&source, &config, of_entities(Begin::Earliest, End::Before(ends))).await.unwrap();
    assert_eq!((summary.read, summary.superseded), (30, 20), "what is deleted or newer behind the span is not given");
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "{report:?}");
    stop(connectors).await;
}

/// A sink before whose first write the topics delete keys, and their connector does so in the store.
struct Interrupted<'a> {
    sink: Box<dyn SinkConnector>,
    source: &'a Source,
    connectors: &'a Connectors,
    deleted: Vec<OutputRecord>,
}

#[async_trait]
impl SinkConnector for Interrupted<'_> {
    fn supports(&self) -> &'static [RecordType] {
        self.sink.supports()
    }
    async fn open(&mut self) -> Result<(), SinkError> {
        self.sink.open().await
    }
    async fn positions(&mut self) -> Result<Vec<(TopicPartition, Offset)>, SinkError> {
        self.sink.positions().await
    }
    async fn put(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.sink.put(batch).await
    }
    async fn scan(&mut self, ty: RecordType, visit: Visit<'_>) -> Result<(), SinkError> {
        self.sink.scan(ty, visit).await
    }
    fn digest(&self, record: &OutputRecord) -> ContentHash {
        self.sink.digest(record)
    }
    async fn mend(&mut self, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
        if !self.deleted.is_empty() {
            self.source.write(&std::mem::take(&mut self.deleted), 9, false);
            self.connectors.caught_up(PATIENCE).await.unwrap();
        }
        self.sink.mend(wrong, batch).await
    }
    async fn close(&mut self) {
        self.sink.close().await;
    }
}

pub async fn what_is_deleted_while_it_is_given_stays_deleted(store: &Store) {
    let (source, config) = (Source::new(), quick(store));
    let connectors = source.start(vec![config.clone()]);
    let values: Vec<_> = entities(20).into_iter().chain([relation("relationship--1", "uses")]).collect();
    source.write(&values, 1, true);
    connectors.caught_up(PATIENCE).await.unwrap();
    let deleted = values.iter().skip(15).cloned().collect();
    let mut sink = Interrupted { sink: store.sink(), source: &source, connectors: &connectors, deleted };
    let summary = replay::replay(&source_of(&source), &config, &everything(&config), &mut sink, &mut |_, _| {}).await.unwrap();
    assert_eq!(summary.read, 21, "they were read before they were deleted");
    assert_eq!(held(&mut *sink.sink, RecordType::Entity).await.len(), 15);
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "{report:?}");
    stop(connectors).await;
}

pub async fn ingestion_with_deletes_goes_on_meanwhile(store: &Store) {
    let (source, config) = (Arc::new(Source::new()), quick(store));
    let connectors = source.start(vec![config.clone()]);
    source.write(&entities(50), 1, true);
    connectors.caught_up(PATIENCE).await.unwrap();
    let writing = {
        let source = Arc::clone(&source);
        std::thread::spawn(move || {
            let values = entities(50);
            for epoch in 2..60 {
                let (at, upsert) = (epoch as usize % 40, epoch % 3 != 0);
                let value = |value: &OutputRecord| entity(&value.id(), &format!("at {epoch}"));
                source.write(&values[at..at + 10].iter().map(value).collect::<Vec<_>>(), epoch, upsert);
                let relations: Vec<_> = (0..5).map(|n| relation(&format!("relationship--{n}"), ["uses", "targets"][at % 2])).collect();
                source.write(&relations, epoch, epoch % 4 != 0);
                std::thread::sleep(Duration::from_millis(20));
            }
        })
    };
    let mut replays = 0;
    while !writing.is_finished() {
        give(&source, &config, everything(&config)).await.unwrap();
        replays += 1;
    }
    writing.join().unwrap();
    give(&source, &config, everything(&config)).await.unwrap();
    connectors.caught_up(PATIENCE).await.unwrap();
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "after {replays} replays: {report:?}");
    stop(connectors).await;
}

async fn positions(config: &ConnectorConfig) -> Vec<(TopicPartition, Offset)> {
    let mut positions = build(config).unwrap().positions().await.unwrap();
    positions.sort();
    positions
}

/// A cell whose SQLite store has all of `count` entities, one a transaction.
async fn filled(count: usize) -> (Source, ConnectorConfig, Store) {
    let store = sqlite("").await.unwrap();
    let (source, config) = (Source::new(), quick(&store));
    for (at, value) in entities(count).iter().enumerate() {
        source.write(std::slice::from_ref(value), at as u64 + 1, true);
        // Times of their own.
        std::thread::sleep(Duration::from_millis(3));
    }
    let connectors = source.start(vec![config.clone()]);
    connectors.caught_up(PATIENCE).await.unwrap();
    stop(connectors).await;
    (source, config, store)
}

#[tokio::test]
async fn offsets_give_the_records_between_them() {
    let (source, config, store) = filled(20).await;
    store.lose_everything().await;
    let end = source.ends(RecordType::Entity)[&0];
    let (begin, before) = ([(0, Offset(1))].into(), [(0, Offset(end.0 - 1))].into());
    let summary = give(&source, &config, of_entities(Begin::At(begin), End::Before(before))).await.unwrap();
    assert_eq!((summary.read, summary.written), (end.0 as u64 - 2, end.0 as u64 - 2), "of the named partition alone");
    let expected =
        source.records(RecordType::Entity).into_iter().filter(|r| r.partition == 0 && r.offset > Offset(0) && r.offset.0 < end.0 - 1);
    let expected: Vec<String> = expected.map(|record| String::from_utf8(record.key.unwrap().to_vec()).unwrap()).collect();
    let mut found: Vec<String> = held(&mut *store.sink(), RecordType::Entity).await.into_keys().collect();
    found.sort();
    assert_eq!(found, {
        let mut expected = expected;
        expected.sort();
        expected
    });
}

#[tokio::test]
async fn times_give_the_records_that_the_log_took_between_them() {
    let (source, config, store) = filled(20).await;
    store.lose_everything().await;
    let mut records = source.records(RecordType::Entity);
    records.sort_by_key(|record| record.timestamp);
    let (from, to) = (records[5].timestamp, records[12].timestamp);
    let expected = records.iter().filter(|record| (from..to).contains(&record.timestamp)).count() as u64;
    let (begin, end) = (Begin::Time(Micros(from * 1000)), End::Time(Micros(to * 1000)));
    let summary = give(&source, &config, of_entities(begin, end)).await.unwrap();
    assert_eq!((summary.read, summary.written), (expected, expected));
    assert_eq!(held(&mut *store.sink(), RecordType::Entity).await.len() as u64, expected);
}

#[tokio::test]
async fn what_has_expired_is_refused_with_what_to_do() {
    let (source, config, _store) = filled(20).await;
    let partition = TopicPartition::new(RecordType::Entity.topic(&source.topics), 0);
    let first = source.records(RecordType::Entity).into_iter().find(|record| record.partition == 0).unwrap().timestamp;
    source.log.trim(&partition, Offset(3)).unwrap();
    let refused = async |begin| give(&source, &config, of_entities(begin, End::Positions)).await.unwrap_err().to_string();
    let message = refused(Begin::At([(0, Offset(1))].into())).await;
    assert_eq!(
        message,
        "offset 1 of soc.out.entities:0 has expired: the earliest that the log still holds is 3; begin there (--from-offset 0:3), or with --earliest"
    );
    let message = refused(Begin::Time(Micros(first * 1000))).await;
    assert!(message.starts_with("what soc.out.entities:0 held at ") && message.contains("is offset 3, of 20"), "{message}");
    assert!(refused(Begin::At([(0, Offset(1_000))].into())).await.contains("offset 1000 of soc.out.entities:0 lies beyond its end"));
    assert!(refused(Begin::At([(7, Offset(0))].into())).await.contains("has no partition 7: its partitions are 0 to 1"));
    let summary = give(&source, &config, of_entities(Begin::Earliest, End::Positions)).await.unwrap();
    assert_eq!(summary.read, source.records(RecordType::Entity).len() as u64, "--earliest begins with what there is");
}

#[tokio::test]
async fn a_store_that_its_connector_never_filled_is_refused() {
    let store = sqlite("").await.unwrap();
    let (source, config) = (Source::new(), quick(&store));
    source.write(&entities(1), 1, true);
    let refused = give(&source, &config, everything(&config)).await.unwrap_err();
    assert!(matches!(refused, ReplayError::NeverRan { .. }), "{refused}");
}
