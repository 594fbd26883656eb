//! What a connector promises end to end: from topics, through the runtime, into a store. The log and the registry are the embedded ones.
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use sightline_connectors::runtime::registry::build;
use sightline_connectors::runtime::{ConnectorConfig, ConnectorState, ConnectorStatus, Connectors};
use sightline_connectors::verify::{Outputs, Repaired, Report, repair, verify};
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::{CleanUp, Headers, Log, NewRecord, Offset, Record, TopicPartition, TopicSpec};
use sightline_schemas::Role;
use sightline_schemas::avro::{Encoder, OutputRecord, RecordType, SchemaId};
use sightline_schemas::registry::EmbeddedRegistry;
use sightline_schemas::topic::Topics;
use tokio::net::{TcpListener, TcpStream};

use super::records::*;
use super::stores::{Store, sqlite, wrong};

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A log with the output topics of a cell.
pub struct Source {
    pub log: Arc<dyn Log>,
    pub topics: Topics,
    encoder: Encoder,
    _directory: tempfile::TempDir,
}

impl Source {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Arc::new(Embedded::open(directory.path(), EmbeddedOptions { sync: false, ..Default::default() }).unwrap());
        let topics = Topics::new("soc");
        let topic = |ty: &RecordType| TopicSpec {
            name: ty.topic(&topics),
            partitions: 2,
            replication: 1,
            clean_up: CleanUp::Compact,
            log_append_time: false,
        };
        log.ensure_topics(&RecordType::ALL.iter().map(topic).collect::<Vec<_>>()).unwrap();
        let ids = RecordType::ALL.iter().enumerate().map(|(at, ty)| (*ty, SchemaId(at as u32 + 1)));
        Self { log, topics, encoder: Encoder::new(ids), _directory: directory }
    }

    /// Writes upserts, or with `upsert` off tombstones, in one transaction.
    pub fn write(&self, values: &[OutputRecord], epoch: u64, upsert: bool) {
        let mut writer = self.log.transactional("soc-lane-0").unwrap();
        writer.begin().unwrap();
        for value in values {
            let bytes = upsert.then(|| self.encoder.encode(value).unwrap());
            writer.send(self.record(value.record_type(), &format!("{}:{}", value.tenant(), value.id()), bytes, epoch)).unwrap();
        }
        writer.commit().unwrap();
    }

    /// Writes bytes as they are.
    pub fn write_raw(&self, ty: RecordType, key: &str, value: Option<&'static [u8]>, epoch: u64) {
        let mut writer = self.log.writer().unwrap();
        writer.send(self.record(ty, key, value.map(Bytes::from_static), epoch)).unwrap();
        writer.flush().unwrap();
    }

    fn record(&self, ty: RecordType, key: &str, value: Option<Bytes>, epoch: u64) -> NewRecord {
        let op = if value.is_some() { "u" } else { "d" };
        let headers = Headers::default().with("epoch", epoch.to_string()).with("op", op).with("origin", "soc.in.intel:0:1");
        NewRecord { topic: ty.topic(&self.topics).into(), partition: None, key: Some(key.to_owned().into()), value, headers }
    }

    pub fn start(&self, configs: Vec<ConnectorConfig>) -> Connectors {
        Connectors::start(Arc::clone(&self.log), Arc::new(EmbeddedRegistry), self.topics.clone(), configs).unwrap()
    }

    fn outputs(&self, config: &ConnectorConfig) -> Outputs<'_> {
        let types = config.record_types(build(config).unwrap().supports()).unwrap();
        Outputs { log: &*self.log, registry: Arc::new(EmbeddedRegistry), topics: &self.topics, types }
    }

    pub async fn verify(&self, config: &ConnectorConfig) -> Report {
        let outputs = self.outputs(config);
        verify(&outputs, &outputs.view().unwrap(), &mut *build(config).unwrap(), PATIENCE).await.unwrap()
    }

    pub async fn repair(&self, config: &ConnectorConfig, report: &Report) -> Repaired {
        repair(&self.outputs(config), &mut *build(config).unwrap(), report, PATIENCE).await.unwrap()
    }

    fn dead_letters(&self, connector: &str) -> Vec<Record> {
        self.read(TopicPartition::new(self.topics.dlq_sink(connector), 0))
    }

    /// All records of a type that the log holds.
    pub fn records(&self, ty: RecordType) -> Vec<Record> {
        (0..2).flat_map(|number| self.read(TopicPartition::new(ty.topic(&self.topics), number))).collect()
    }

    /// Where the partitions of a type end.
    pub fn ends(&self, ty: RecordType) -> BTreeMap<i32, Offset> {
        let end = |number| self.log.range(&TopicPartition::new(ty.topic(&self.topics), number)).unwrap().end;
        (0..2).map(|number| (number, end(number))).collect()
    }

    fn read(&self, partition: TopicPartition) -> Vec<Record> {
        let range = self.log.range(&partition).unwrap();
        let mut reader = self.log.reader(&[(partition, range.start)]).unwrap();
        let mut records = Vec::new();
        while reader.positions().iter().any(|(_, at)| *at < range.end) {
            reader.poll(&mut records, 1_000, Duration::from_millis(100)).unwrap();
        }
        records
    }
}

pub fn quick(store: &Store) -> ConnectorConfig {
    let mut config = store.config.clone();
    config.batch.interval_ms = 20;
    (config.backoff.min_ms, config.backoff.max_ms) = (20, 200);
    config
}

pub fn entities(count: usize) -> Vec<OutputRecord> {
    (0..count).map(|n| entity(&format!("malware--{n:08x}-1111-4111-8111-111111111111"), &format!("m{n}"))).collect()
}

pub async fn stop(connectors: Connectors) -> ConnectorStatus {
    let mut last = connectors.stop().await;
    assert_eq!(last.len(), 1);
    let last = last.remove(0);
    assert_eq!((last.state, &last.error), (ConnectorState::Stopped, &None));
    last
}

pub async fn what_the_topics_say_is_what_the_store_holds(store: &Store) {
    let (source, config) = (Source::new(), quick(store));
    let connectors = source.start(vec![config.clone()]);
    source.write(&one_of_each(), 1, true);
    let many = entities(2_500);
    source.write(&many, 2, true);
    source.write(&many[..500], 3, false);
    connectors.caught_up(PATIENCE).await.unwrap();
    assert_eq!(connectors.status()[0].lag(), Some(0));
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "{report:?}");
    assert_eq!((report.epoch, report.types[&RecordType::Entity].equal), (3, 2_002));
    stop(connectors).await;
}

pub async fn a_restart_goes_on_where_the_store_is(store: &Store) {
    let (source, config) = (Source::new(), quick(store));
    source.write(&entities(100), 1, true);
    let connectors = source.start(vec![config.clone()]);
    connectors.caught_up(PATIENCE).await.unwrap();
    assert_eq!(stop(connectors).await.written, 100);
    source.write(&entities(10), 2, true);
    let connectors = source.start(vec![config.clone()]);
    connectors.caught_up(PATIENCE).await.unwrap();
    assert_eq!(stop(connectors).await.written, 10, "nothing is read twice");
    assert!(source.verify(&config).await.is_equal());
}

pub async fn a_position_that_has_expired_is_no_silent_gap(store: &Store) {
    let (source, mut config) = (Source::new(), quick(store));
    source.write(&entities(20), 1, true);
    let connectors = source.start(vec![config.clone()]);
    connectors.caught_up(PATIENCE).await.unwrap();
    stop(connectors).await;
    let more: Vec<_> = (20..60).map(|n| entity(&format!("malware--{n:08x}-1111-4111-8111-111111111111"), "late")).collect();
    source.write(&more, 2, true);
    for (number, end) in source.ends(RecordType::Entity) {
        source.log.trim(&TopicPartition::new(RecordType::Entity.topic(&source.topics), number), Offset(end.0 - 2)).unwrap();
    }
    let connectors = source.start(vec![config.clone()]);
    let refused = connectors.caught_up(PATIENCE).await.unwrap_err().to_string();
    assert!(refused.contains("holds nothing before") && refused.contains("give the connector another name"), "{refused}");
    drop(connectors);
    config.name = "another".into();
    let connectors = source.start(vec![config.clone()]);
    connectors.caught_up(PATIENCE).await.unwrap();
    let report = source.verify(&config).await;
    assert!(report.is_equal() && report.types[&RecordType::Entity].equal == 4, "{report:?}");
    stop(connectors).await;
}

pub async fn bad_records_are_dead_lettered_and_the_rest_is_stored(store: &Store) {
    let (source, config) = (Source::new(), quick(store));
    let good = entities(50);
    source.write(&good[..25], 1, true);
    source.write_raw(RecordType::Entity, "acme:malware--x", Some(b"not avro"), 1);
    source.write_raw(RecordType::Entity, "no colon", None, 1);
    // One that no table with keys can make sense of; Elasticsearch keeps no links of its own.
    source.write_raw(RecordType::Link, "acme:not-a-link", None, 1);
    source.write(&good[25..], 2, true);
    let connectors = source.start(vec![config.clone()]);
    connectors.caught_up(PATIENCE).await.unwrap();
    let expected = if build(&config).unwrap().supports().contains(&RecordType::Link) { 3 } else { 2 };
    let stopped = stop(connectors).await;
    let letters = source.dead_letters(&config.name);
    let reasons: Vec<_> = letters.iter().map(|letter| (letter.headers.text("reason"), letter.headers.text("message"))).collect();
    assert_eq!(stopped.dead_letters, expected, "{:?}", &reasons[..reasons.len().min(5)]);
    assert_eq!(letters.len() as u64, expected);
    let garbage = letters.iter().find(|letter| letter.value.as_deref() == Some(b"not avro")).unwrap();
    let header = |name| garbage.headers.text(name).unwrap();
    assert_eq!((header("stage"), header("reason"), header("origin.topic")), ("sink", "undecodable", "soc.out.entities"));
    assert_eq!(
        garbage.key.as_deref(),
        Some(format!("soc.out.entities:{}:{}", header("origin.partition"), header("origin.offset")).as_bytes())
    );
    let report = source.verify(&config).await;
    let entities = &report.types[&RecordType::Entity];
    assert_eq!((entities.equal, entities.missing.len(), entities.extra.len()), (50, 0, 0));
    assert_eq!((report.undecodable, report.is_equal()), (2, false), "what nobody can read is no agreement");
}

/// Passes bytes between the connector and the server, while `open`.
struct Gate {
    address: String,
    open: Arc<AtomicBool>,
}

impl Gate {
    async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let open = Arc::new(AtomicBool::new(false));
        let may_pass = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if may_pass.load(Ordering::Relaxed) {
                    tokio::spawn(pass(client, server.clone(), Arc::clone(&may_pass)));
                }
            }
        });
        Self { address, open }
    }
}

/// Copies both ways until one side ends, or the gate is shut.
async fn pass(mut client: TcpStream, server: String, open: Arc<AtomicBool>) -> io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let shut = async {
        while open.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut client, &mut server) => copied.map(drop),
        () = shut => Ok(()),
    }
}

pub async fn a_store_that_was_away_catches_up_alone(store: &Store) {
    let mut config = quick(store);
    // SQLite has no server that could be away.
    let Some(url) = config.options.get("url").and_then(Value::as_str) else { return };
    let host = url.split("://").nth(1).unwrap().rsplit('@').next().unwrap().split('/').next().unwrap().to_owned();
    let gate = Gate::before(host.clone()).await;
    let through = url.replace(&host, &gate.address);
    config.options.insert("url".into(), through.into());
    let other = sqlite("").await.unwrap();
    let mut beside = quick(&other);
    beside.name = "beside".into();

    let source = Source::new();
    source.write(&one_of_each(), 1, true);
    let connectors = source.start(vec![config.clone()]);
    let others = source.start(vec![beside.clone()]);
    others.caught_up(PATIENCE).await.unwrap();
    for _ in 0..200 {
        if connectors.status()[0].state == ConnectorState::Retrying {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = &connectors.status()[0];
    assert_eq!(status.state, ConnectorState::Retrying, "{status:?}");
    assert!(status.error.is_some() && status.written == 0);

    gate.open.store(true, Ordering::Relaxed);
    connectors.caught_up(PATIENCE).await.unwrap();
    gate.open.store(false, Ordering::Relaxed);
    source.write(&entities(300), 2, true);
    others.caught_up(PATIENCE).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(connectors.status()[0].lag().unwrap() > 0, "cut off in the midst of it");
    gate.open.store(true, Ordering::Relaxed);
    connectors.caught_up(PATIENCE).await.unwrap();
    assert_eq!(connectors.status()[0].state, ConnectorState::Running);
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "{report:?}");
    stop(connectors).await;
    assert!(source.verify(&beside).await.is_equal());
}

pub async fn verify_names_what_is_missing_extra_and_different(store: &Store) {
    let (source, config) = (Source::new(), quick(store));
    source.write(&entities(5), 1, true);
    let connectors = source.start(vec![config.clone()]);
    connectors.caught_up(PATIENCE).await.unwrap();
    stop(connectors).await;
    let mut sink = store.opened().await;
    let changed = entities(5);
    let (missing, different) = (&changed[0], entity(&changed[1].id(), "changed by hand"));
    let extra = entity(INDICATOR, "never in a topic");
    let meddling = vec![delete(missing, 9, 0), upsert(different.clone(), 9, 0), upsert(extra.clone(), 9, 0)];
    sink.put(&sightline_connectors::Batch { records: meddling, next: vec![] }).await.unwrap();
    let report = source.verify(&config).await;
    let entities = &report.types[&RecordType::Entity];
    let key = |value: &OutputRecord| format!("acme:{}", value.id());
    assert!(!report.is_equal());
    assert_eq!(entities.equal, 3);
    let differences: Vec<_> = entities.differences().map(|(word, key)| (word, key.to_owned())).collect();
    assert_eq!(differences, [("missing", key(missing)), ("extra", key(&extra)), ("different", key(&different))]);
}

/// What was done by hand through the sink itself has the highest epoch of all, so nothing but a comparison could tell that it is wrong.
pub async fn a_repair_mends_what_differs_while_the_connector_goes_on(store: &Store) {
    let (source, config) = (Source::new(), quick(store));
    source.write(&one_of_each(), 1, true);
    source.write(&entities(50), 2, true);
    let connectors = source.start(vec![config.clone()]);
    connectors.caught_up(PATIENCE).await.unwrap();
    let mut meddler = store.sink();
    let all = entities(50);
    let others = [relation("relationship--55555555-5555-4555-8555-555555555555", "indicates"), link(INDICATOR, ADDRESS, Role::Pattern)];
    let others = others.into_iter().filter(|value| meddler.supports().contains(&value.record_type())).collect::<Vec<_>>();
    let mut gone = Vec::new();
    for value in others.iter().chain(&all[..1]) {
        gone.push(wrong(&mut *meddler, value.record_type(), &format!("acme:{}", value.id())).await);
    }
    let meddling = vec![upsert(entity(&all[1].id(), "changed by hand"), 900, 0), upsert(entity("malware--x", "extra"), 900, 0)];
    meddler.mend(&gone, &sightline_connectors::Batch { records: meddling, next: vec![] }).await.unwrap();
    let report = source.verify(&config).await;
    let found: usize = report.types.values().map(|ty| ty.differences().count()).sum();
    assert_eq!(found, 3 + others.len(), "{report:?}");

    source.write(&entities(60)[50..], 3, true);
    let repaired = source.repair(&config, &report).await;
    assert_eq!((repaired.keys, repaired.left, repaired.refused), (found as u64, 0, 0));
    connectors.caught_up(PATIENCE).await.unwrap();
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "{report:?}");
    assert_eq!(report.types[&RecordType::Entity].equal, 62);

    // The connector was not fenced, and what it writes next to the mended keys is taken.
    source.write(&all.iter().map(|value| entity(&value.id(), "newer")).collect::<Vec<_>>(), 4, true);
    source.write(&others, 5, false);
    connectors.caught_up(PATIENCE).await.unwrap();
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "{report:?}");
    stop(connectors).await;
}
