//! Both directions of time: at every epoch the sightings are those that a recomputation from scratch finds in all that came up to it, whatever came
//! first, on any number of workers and across restarts.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cell::demo;
use serde_json::{Value, json};
use sightline_log::embedded::{Embedded, EmbeddedOptions};
use sightline_log::{Headers, Log, NewRecord, Record, TopicPartition};
use sightline_schemas::avro::{Decoder, OutputRecord, RecordType};
use sightline_schemas::registry::EmbeddedRegistry;
use sightline_schemas::topic::Topics;
use sightline_schemas::{Micros, Observable, ObservableKind, TenantId};
use sightline_topology::epoch::{self, Epoch};
use sightline_topology::runtime::{Engine, EngineOptions, InputMode, topic_specs};
use sightline_topology::settings::TopologySettings;

const PARTITIONS: i32 = 3;
const VALUES: u64 = 8;
const DOMAINS: [&str; 5] = ["evil.example", "a.evil.example", "b.evil.example", "x.a.evil.example", "good.example"];
const URLS: [&str; 4] = ["http://evil.example/a/b?c=1", "http://evil.example/a/", "http://evil.example/a/b", "http://evil.example/"];
const INDICATORS: u64 = 6;
const FEEDS: u64 = 3;

/// Numbers that a seed fixes (xorshift).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Some of the numbers below a bound, at least one.
    fn some(&mut self, bound: u64, most: u64) -> BTreeSet<u64> {
        (0..=self.below(most)).map(|_| self.below(bound)).collect()
    }
}

fn value(number: u64) -> String {
    format!("203.0.113.{number}")
}

fn indicator(number: u64) -> String {
    format!("indicator--00000000-0000-4000-8000-{number:012}")
}

fn observable(kind: ObservableKind, value: &str) -> String {
    Observable::new(kind, value).unwrap().key(TenantId::new("default").unwrap()).id()
}

/// A test of a pattern.
fn term(draw: &mut Draw) -> String {
    let number = draw.below(VALUES);
    let four = format!("{}/30", value(number / 4 * 4));
    match draw.below(12) {
        0 => format!("ipv4-addr:value = '{four}'"),
        1 => format!("ipv4-addr:value ISSUBSET '{}/31'", value(number / 2 * 2)),
        2 => "domain-name:value LIKE '%.Evil.example'".to_owned(),
        3 => "domain-name:value LIKE '_.evil.example'".to_owned(),
        4 => r"url:value MATCHES '/a/b(\\?|$)'".to_owned(),
        5 | 6 => format!("domain-name:value = '{}'", DOMAINS[draw.below(5) as usize]),
        7 => format!("url:value = '{}'", URLS[draw.below(4) as usize]),
        _ => format!("ipv4-addr:value = '{}'", value(number)),
    }
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

struct OwnCell {
    folder: tempfile::TempDir,
    log: Arc<dyn Log>,
    topics: Topics,
    sent: u64,
}

impl OwnCell {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Arc::new(Embedded::open(&folder.path().join("log"), EmbeddedOptions::default()).unwrap());
        let topics = Topics::new("soc");
        log.ensure_topics(&topic_specs(&topics, PARTITIONS, 1)).unwrap();
        Self { folder, log, topics, sent: 0 }
    }

    fn start(&self, workers: usize) -> Engine {
        self.start_with(workers, TopologySettings::default())
    }

    fn start_with(&self, workers: usize, mut settings: TopologySettings) -> Engine {
        settings.snapshots.interval_ms = 40;
        settings.snapshots.keep_journal = true;
        settings.epochs.heartbeat_ms = settings.epochs.heartbeat_ms.min(100);
        (settings.epochs.interval_ms, settings.epochs.records) = (3, 4);
        Engine::start(EngineOptions {
            log: Arc::clone(&self.log),
            registry: Arc::new(EmbeddedRegistry),
            topics: self.topics.clone(),
            settings,
            cluster: None,
            workers,
            state_dir: self.folder.path().join("state"),
            store: None,
            input: InputMode::Follow,
            partitions: PARTITIONS,
            replication: 1,
        })
        .unwrap()
    }

    fn send(&mut self, topic: String, partition: Option<i32>, key: String, value: &Value, headers: &[(&'static str, String)]) {
        let headers = headers.iter().fold(Headers::default(), |all, (name, value)| all.with(name, value.clone()));
        let mut writer = self.log.writer().unwrap();
        let value = Some(value.to_string().into());
        writer.send(NewRecord { topic: topic.into(), partition, key: Some(key.into()), value, headers }).unwrap();
        writer.flush().unwrap();
        self.sent += 1;
    }

    /// One step of a script.
    fn step(&mut self, draw: &mut Draw, number: u64) {
        let feed = format!("feed-{}", draw.below(FEEDS));
        match draw.below(11) {
            // An event, some of them a second time.
            0..=4 => {
                let number = if draw.below(6) == 0 { number / 2 } else { number };
                let mut of_number = Draw(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                let touched: Vec<_> = of_number.some(VALUES, 3).into_iter().map(value).collect();
                let mut event = json!({ "@timestamp": "2026-01-02T03:04:05Z", "number": number, "addresses": touched });
                match of_number.below(4) {
                    0 => event["domain"] = of_number.some(5, 2).into_iter().map(|at| DOMAINS[at as usize]).collect(),
                    1 => event["url"] = of_number.some(4, 2).into_iter().map(|at| URLS[at as usize]).collect(),
                    _ => {}
                }
                let key = format!("default:source-{}", number % 5);
                self.send(self.topics.logs_in(), None, key, &event, &[("source", "test".into())]);
            }
            9 => {
                let value = json!({ "kind": "feed", "tenant": "default", "feed": feed, "removed": true });
                self.send(self.topics.control_in(), Some(0), format!("feed:default:{feed}"), &value, &[]);
            }
            // An allow-list, or its next version: values, networks of two, or nothing any more.
            10 => {
                let (ty, entries) = match draw.below(4) {
                    0 => ("string", draw.some(VALUES, 3).into_iter().map(value).collect()),
                    3 => ("string", draw.some(5, 2).into_iter().map(|at| DOMAINS[at as usize].to_owned()).collect()),
                    1 => ("cidr", draw.some(VALUES / 2, 1).into_iter().map(|half| format!("{}/31", value(2 * half))).collect()),
                    _ => ("string", Vec::new()),
                };
                let list = json!({
                    "name": format!("list {}", draw.below(2)), "type": ty, "version": number, "matching_attributes": ["ip-dst", "domain"], "list": entries,
                });
                let headers = [
                    ("tenant", "default".into()),
                    ("feed", feed.clone()),
                    ("format", "warninglist".into()),
                    ("package", format!("list-{number}")),
                ];
                self.send(self.topics.intel_in(), None, format!("{feed}:{number}"), &list, &headers);
            }
            // An indicator begins, says something else, is revoked, or ends: at once, soon, or in days.
            what => {
                let modified = Micros((1_700_000_000_000 + i64::try_from(number).unwrap()) * 1_000).to_string();
                let ends = match draw.below(4) {
                    0 => Some(now() - 1_000),
                    1 => Some(now() + i64::try_from(draw.below(400)).unwrap()),
                    2 => Some(now() + 86_400_000),
                    _ => None,
                };
                let named: Vec<_> = (0..=draw.below(2)).map(|_| term(draw)).collect();
                let mut object = json!({
                    "type": "indicator", "spec_version": "2.1", "id": indicator(draw.below(INDICATORS)), "created": "2020-01-01T00:00:00Z", "modified": modified,
                    "valid_from": "2020-01-01T00:00:00Z", "pattern_type": "stix", "pattern": format!("[{}]", named.join(" OR ")), "revoked": what == 8,
                });
                if let Some(ends) = ends {
                    object["valid_until"] = Micros(ends * 1_000).to_string().into();
                }
                let id = format!("bundle--00000000-0000-4000-8000-{number:012}");
                let bundle = json!({ "type": "bundle", "id": id, "objects": [object] });
                let headers = [("tenant", "default".into()), ("feed", feed.clone()), ("format", "stix".into()), ("package", id.clone())];
                self.send(self.topics.intel_in(), None, format!("{feed}:{number}"), &bundle, &headers);
            }
        }
    }

    fn settle(&self, engine: &Engine, records: u64) {
        let mut head = None;
        loop {
            let status = engine.status();
            assert!(!engine.is_finished(), "the engine ended early");
            if status.records >= records && status.committed >= *head.get_or_insert(status.head) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn records(&self, topic: &str) -> Vec<Record> {
        let mut records = Vec::new();
        for number in 0..self.log.partitions(topic).unwrap() {
            let partition = TopicPartition::new(topic, number);
            let range = self.log.range(&partition).unwrap();
            let mut reader = self.log.reader(&[(partition, range.start)]).unwrap();
            while reader.positions().iter().any(|(_, at)| *at < range.end) {
                reader.poll(&mut records, 10_000, Duration::from_millis(100)).unwrap();
            }
        }
        records
    }
}

/// (indicator, observable, event), as they are written.
type Sightings = BTreeSet<(String, String, String)>;

#[derive(Clone)]
struct Said {
    modified: Micros,
    revoked: bool,
    until: Option<Micros>,
    /// Path, operator, literal.
    terms: Vec<[String; 3]>,
}

/// What an event touched: a kind, a value, and whether the event has it itself.
type Touched = BTreeSet<(ObservableKind, String, bool)>;

fn touched(event: &Value) -> Touched {
    let texts = |field: &str| -> Vec<String> {
        event[field].as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut touched = Touched::new();
    let mut domains = texts("domain");
    touched.extend(texts("addresses").into_iter().map(|address| (ObservableKind::Ipv4Addr, address, true)));
    for url in texts("url") {
        domains.push("evil.example".to_owned());
        let (path, _) = url.split_once('?').unwrap_or((&url, ""));
        let above = URLS.into_iter().chain(["http://evil.example/a/b"]);
        touched.extend(
            above
                .filter(|above| *above == path || above.ends_with('/') && path.starts_with(above))
                .map(|above| (ObservableKind::Url, above.to_owned(), false)),
        );
        touched.insert((ObservableKind::Url, url, true));
    }
    for domain in domains {
        let above = DOMAINS.into_iter().filter(|above| domain.ends_with(&format!(".{above}")));
        touched.extend(above.map(|above| (ObservableKind::DomainName, above.to_owned(), false)));
        touched.insert((ObservableKind::DomainName, domain, true));
    }
    touched
}

/// Whether a test of a pattern names what was touched.
fn names([path, operator, literal]: &[String; 3], (kind, value, direct): &(ObservableKind, String, bool)) -> bool {
    let number = |text: &str| text.rsplit('.').next().unwrap().parse::<u64>().unwrap();
    path.starts_with(kind.as_str())
        && match (&**operator, literal.split_once('/').filter(|_| path.starts_with("ipv4"))) {
            ("=" | "ISSUBSET", Some((first, bits))) => {
                let size = 1 << (32 - bits.parse::<u32>().unwrap());
                *direct && number(value) / size == number(first) / size
            }
            ("=", None) => value == literal,
            ("LIKE", _) if literal.starts_with('%') => *direct && value.ends_with(".evil.example"),
            ("LIKE", _) => *direct && value.len() == "_.evil.example".len() && value.ends_with(".evil.example"),
            ("MATCHES", _) => *direct && (value.contains("/a/b?") || value.ends_with("/a/b")),
            other => panic!("{other:?}"),
        }
}

/// Whether it names more than one value.
fn is_wide([path, operator, literal]: &[String; 3]) -> bool {
    operator != "=" || path.starts_with("ipv4") && literal.contains('/')
}

/// All that came, and what follows from it by the plainest of means.
#[derive(Default)]
struct Recomputed {
    /// What each feed says of each indicator.
    said: BTreeMap<(String, String), Said>,
    /// What each feed allows by each list, and the list's version.
    lists: BTreeMap<(String, String), (u64, BTreeSet<String>)>,
    /// What each event touched.
    events: BTreeMap<String, Touched>,
}

impl Recomputed {
    fn take(&mut self, record: &Record, topics: &Topics, ids: &BTreeMap<u64, String>) {
        let value: Value = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        if *record.topic == topics.control_in() {
            let feed = value["feed"].as_str().unwrap();
            self.said.retain(|(by, _), _| by != feed);
            self.lists.retain(|(by, _), _| by != feed);
        } else if *record.topic == topics.logs_in() {
            self.events.insert(ids[&value["number"].as_u64().unwrap()].clone(), touched(&value));
        } else if let Some(list) = value["list"].as_array() {
            let entries = list.iter().map(|entry| entry.as_str().unwrap());
            let allows = entries.flat_map(|entry| match entry.split_once("/31") {
                Some((first, _)) => {
                    let next = |number: &str| (number.parse::<u64>().unwrap() + 1).to_string();
                    let (network, number) = first.rsplit_once('.').unwrap();
                    vec![first.to_owned(), format!("{network}.{}", next(number))]
                }
                None => vec![entry.to_owned()],
            });
            let feed = String::from_utf8(record.headers.get("feed").unwrap().to_vec()).unwrap();
            let version = value["version"].as_u64().unwrap();
            let known = self.lists.entry((feed, value["name"].as_str().unwrap().to_owned())).or_default();
            if known.0 < version {
                *known = (version, allows.collect());
            }
        } else {
            let object = &value["objects"][0];
            let pattern = object["pattern"].as_str().unwrap();
            let terms = pattern.trim_matches(['[', ']']).split(" OR ").map(|term| {
                let mut words = term.splitn(3, ' ').map(|word| word.trim_matches('\'').to_owned());
                std::array::from_fn(|_| words.next().unwrap())
            });
            let feed = String::from_utf8(record.headers.get("feed").unwrap().to_vec()).unwrap();
            let said = Said {
                modified: Micros::parse(object["modified"].as_str().unwrap()).unwrap(),
                revoked: object["revoked"] == true,
                until: object["valid_until"].as_str().map(|text| Micros::parse(text).unwrap()),
                terms: terms.collect(),
            };
            let key = (feed, object["id"].as_str().unwrap().to_owned());
            if self.said.get(&key).is_none_or(|known| known.modified < said.modified) {
                self.said.insert(key, said);
            }
        }
    }

    fn in_force(&self, wall: Micros) -> BTreeMap<&String, &Said> {
        let mut in_force: BTreeMap<&String, &Said> = BTreeMap::new();
        for ((_, id), said) in &self.said {
            let best = in_force.entry(id).or_insert(said);
            if best.modified < said.modified {
                *best = said;
            }
        }
        in_force.retain(|_, said| !said.revoked && said.until.is_none_or(|until| wall < until));
        in_force
    }

    /// The links that events make: (indicator, observable).
    fn matched(&self, wall: Micros) -> BTreeSet<(String, String)> {
        let has = |said: &Said, touch| said.terms.iter().any(|term| is_wide(term) && names(term, touch));
        let mut links = BTreeSet::new();
        for (id, said) in self.in_force(wall) {
            let touches = self.events.values().flatten().filter(|touch| has(said, touch));
            links.extend(touches.map(|(kind, value, _)| (id.clone(), observable(*kind, value))));
        }
        links
    }

    fn sightings(&self, wall: Micros) -> Sightings {
        let mut lists: BTreeMap<&String, &(u64, BTreeSet<String>)> = BTreeMap::new();
        for ((_, name), list) in &self.lists {
            let best = lists.entry(name).or_insert(list);
            if best.0 < list.0 {
                *best = list;
            }
        }
        let is_allowed = |value: &String| lists.values().any(|(_, allows)| allows.contains(value));
        let mut found = Sightings::new();
        for (id, said) in self.in_force(wall) {
            for (event, touched) in &self.events {
                let named = touched.iter().filter(|touch| said.terms.iter().any(|term| names(term, touch)));
                found.extend(
                    named
                        .filter(|(_, value, _)| !is_allowed(value))
                        .map(|(kind, value, _)| (id.clone(), observable(*kind, value), event.clone())),
                );
            }
        }
        found
    }
}

/// Compares the outputs with a recomputation at each epoch of the journal; returns how many sightings came, and how many went.
fn check(cell: &OwnCell, seed: u64) -> (usize, usize) {
    let mut decoder = Decoder::new(Arc::new(EmbeddedRegistry));
    let mut decode = |ty, record: &Record| decoder.decode(ty, record.value.as_deref().unwrap()).unwrap();
    let mut ids = BTreeMap::new();
    for record in cell.records(&RecordType::Event.topic(&cell.topics)) {
        let OutputRecord::Event(event) = decode(RecordType::Event, &record) else { unreachable!() };
        let fields: Value = serde_json::from_str(&event.fields).unwrap();
        ids.insert(fields["number"].as_u64().unwrap(), event.id);
    }
    let epoch_of = |record: &Record| -> u64 { std::str::from_utf8(record.headers.get("epoch").unwrap()).unwrap().parse().unwrap() };
    let mut outputs: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for record in cell.records(&RecordType::Sighting.topic(&cell.topics)) {
        let OutputRecord::Sighting(sighting) = decode(RecordType::Sighting, &record) else { unreachable!() };
        outputs.entry(epoch_of(&record)).or_default().push(sighting);
    }
    let mut links: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for record in cell.records(&RecordType::Link.topic(&cell.topics)) {
        let key = std::str::from_utf8(record.key.as_deref().unwrap()).unwrap().strip_prefix("default:").unwrap();
        if let [indicator, observable, "matched"] = key.split('|').collect::<Vec<_>>()[..] {
            let link = (indicator.to_owned(), observable.to_owned());
            links.entry(epoch_of(&record)).or_default().push((link, record.value.is_some()));
        }
    }
    let mut linked = BTreeSet::new();
    let mut inputs: BTreeMap<(String, i32, i64), Record> = BTreeMap::new();
    for topic in [cell.topics.control_in(), cell.topics.intel_in(), cell.topics.logs_in()] {
        inputs.extend(cell.records(&topic).into_iter().map(|record| ((topic.clone(), record.partition, record.offset.0), record)));
    }
    let (mut model, mut held, mut came, mut went, mut taken) = (Recomputed::default(), Sightings::new(), 0, 0, 0);
    for entry in epoch::read(&*cell.log, &cell.topics).unwrap() {
        // Declarations before packages, as the operators take them.
        for range in &entry.ranges {
            for (_, record) in
                inputs.range((range.topic.clone(), range.partition, range.from)..(range.topic.clone(), range.partition, range.to))
            {
                model.take(record, &cell.topics, &ids);
                taken += 1;
            }
        }
        let Epoch(number) = entry.epoch;
        for sighting in outputs.remove(&number).unwrap_or_default() {
            let key = (sighting.entity_id, sighting.observable_id, sighting.event_id);
            if sighting.retracted {
                assert!(held.remove(&key), "seed {seed}, epoch {number}: {key:?} was taken back and not there");
                went += 1;
            } else {
                assert!(held.insert(key.clone()), "seed {seed}, epoch {number}: {key:?} came twice");
                came += 1;
            }
        }
        let expected = model.sightings(entry.wall);
        let differs = (expected.difference(&held).next(), held.difference(&expected).next());
        assert_eq!(differs, (None, None), "seed {seed}, epoch {number}: missing, and too much");
        for (link, comes) in links.remove(&number).unwrap_or_default() {
            assert!(if comes { linked.insert(link) } else { linked.remove(&link) }, "seed {seed}, epoch {number}: a link twice");
        }
        assert_eq!(linked, model.matched(entry.wall), "seed {seed}, epoch {number}: links that events made");
    }
    assert!(outputs.is_empty() && taken == cell.sent, "seed {seed}: {taken} of {} records are in the journal", cell.sent);
    (came, went)
}

#[test]
fn at_every_epoch_the_sightings_are_those_of_a_recomputation_from_scratch() {
    let (mut came, mut went) = (0, 0);
    for seed in 1..=8 {
        let mut draw = Draw(seed);
        let mut cell = OwnCell::new();
        let mut number = 0;
        for _ in 0..3 {
            let before = cell.sent;
            let engine = cell.start([1, 2, 4][draw.below(3) as usize]);
            for _ in 0..60 {
                number += 1;
                cell.step(&mut draw, number);
                if draw.below(4) == 0 {
                    std::thread::sleep(Duration::from_millis(draw.below(15)));
                }
            }
            // What ends soon ends while nothing comes.
            cell.settle(&engine, cell.sent - before);
            std::thread::sleep(Duration::from_millis(600));
            engine.stop();
            engine.wait().unwrap();
        }
        let counts = check(&cell, seed);
        (came, went) = (came + counts.0, went + counts.1);
    }
    println!("{came} sightings came and {went} went");
    assert!(came > 400 && went > 200, "{came} came and {went} went: the scripts say too little");
}

/// What is named at large is bounded as what nobody names is; its link goes with it, and comes again with the next event.
#[test]
fn a_value_that_is_forgotten_is_no_observable_of_a_network_any_more() {
    let mut cell = OwnCell::new();
    let mut settings = TopologySettings::default();
    // All that may be forgotten is; a pass over all vnodes takes some two thousand epochs.
    (settings.events.look_back.observables, settings.epochs.heartbeat_ms) = (0, 1);
    let engine = cell.start_with(2, settings);
    let mut draw = Draw(1);
    for (number, term) in [(1, format!("{}/30", value(0))), (2, value(5))] {
        let object = json!({
            "type": "indicator", "spec_version": "2.1", "id": indicator(number), "created": "2020-01-01T00:00:00Z", "modified": "2020-01-01T00:00:00Z",
            "valid_from": "2020-01-01T00:00:00Z", "pattern_type": "stix", "pattern": format!("[ipv4-addr:value = '{term}']"),
        });
        let bundle = json!({ "type": "bundle", "id": format!("bundle--00000000-0000-4000-8000-{number:012}"), "objects": [object] });
        let headers = [("tenant", "default".into()), ("feed", "a".into()), ("format", "stix".into()), ("package", number.to_string())];
        cell.send(cell.topics.intel_in(), None, number.to_string(), &bundle, &headers);
    }
    let mut event = |cell: &mut OwnCell| {
        let event = json!({ "@timestamp": "2026-01-02T03:04:05Z", "number": draw.below(1 << 40), "addresses": [value(1), value(5)] });
        cell.send(cell.topics.logs_in(), None, "default:test".into(), &event, &[("source", "test".into())]);
        cell.settle(&engine, cell.sent);
    };
    let count = |cell: &OwnCell, ty: RecordType, is: &dyn Fn(&Record) -> bool| {
        cell.records(&ty.topic(&cell.topics)).iter().filter(|record| is(record)).count()
    };
    let is_link = |record: &Record, comes| record.key.as_deref().unwrap().ends_with(b"|matched") && record.value.is_some() == comes;
    event(&mut cell);
    assert_eq!(count(&cell, RecordType::Sighting, &|_| true), 2);
    assert_eq!(count(&cell, RecordType::Link, &|record| is_link(record, true)), 1);
    cell::eventually(|| match count(&cell, RecordType::Link, &|record| is_link(record, false)) {
        1 => Ok(()),
        other => Err(format!("{other} links gone at epoch {:?}", engine.status().head)),
    });
    event(&mut cell);
    assert_eq!(count(&cell, RecordType::Link, &|record| is_link(record, true)), 2);
    // The new event's, and nothing taken back.
    assert_eq!(count(&cell, RecordType::Sighting, &|_| true), 4);
    engine.stop();
    engine.wait().unwrap();
}

/// The sightings of a cell on the servers that are in force, by their identifiers; how many were taken back.
fn in_force(records: Vec<cell::Tapped>) -> (BTreeMap<String, Value>, usize) {
    let newest: BTreeMap<String, Value> = records.into_iter().map(|record| (record.key, record.value)).collect();
    let (gone, there): (BTreeMap<_, _>, BTreeMap<_, _>) = newest.into_iter().partition(|(_, value)| value["retracted"] == true);
    (there, gone.len())
}

#[test]
fn events_first_or_intelligence_first_every_store_ends_alike_and_takes_back_what_a_feed_brought() {
    let Some(cell) = cell::Cell::new(&["postgres", "elasticsearch", "neo4j"]) else { return };
    let (events, intelligence) = ([demo("staged.ndjson"), demo("cloudtrail.ndjson")], [demo("apt1.json"), demo("poisonivy.json")]);
    let service = cell.run(2);
    cell.process(&events, &[]);
    // A line is an event.
    let lines: usize = events.iter().map(|path| std::fs::read_to_string(path).unwrap().lines().count()).sum();
    let all_taken = |records: Vec<cell::Tapped>| {
        let taken = records.into_iter().map(|record| record.key).collect::<BTreeSet<_>>().len();
        if taken == lines { Ok(()) } else { Err(format!("{taken} of {lines} events")) }
    };
    cell::eventually(|| all_taken(cell.tap("events")));
    cell.process(&intelligence, &["--feed", "a"]);
    cell.await_packages(2);

    let other = cell.beside("b");
    let beside = other.run(1);
    other.process(&intelligence, &["--feed", "a"]);
    other.await_packages(2);
    other.process(&events, &[]);
    // An event and its sightings are in one epoch, but not in one transaction: the drain completes it.
    cell::eventually(|| all_taken(other.tap("events")));
    beside.terminate();
    let (last, gone) = in_force(other.tap("sightings"));
    assert!(last.len() > 1 && gone == 0, "{} sightings, {gone} taken back", last.len());
    let equal = |wanted: &BTreeMap<String, Value>| {
        cell::eventually(|| {
            let (found, gone) = in_force(cell.tap("sightings"));
            if found == *wanted { Ok(gone) } else { Err(format!("{} sightings, expected {}", found.len(), wanted.len())) }
        })
    };
    assert_eq!(equal(&last), 0);
    let verified = |cell: &cell::Cell| {
        let done = cell.verify(None, &[]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    };
    verified(&cell);
    assert!(cell.command("feed").args(["remove", "a"]).status().unwrap().success());
    assert_eq!(equal(&BTreeMap::new()), last.len());
    verified(&cell);
    service.terminate();
}
