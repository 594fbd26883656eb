//! Puts the parts of packages together, drops repeats, parses what is new.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sightline_formats::{IntelFormat, IntelItem, IntelObject, Limits, Poison, parse_intel};
use sightline_schemas::avro::OutputRecord;
use sightline_schemas::record::{PackageRecord, PackageStatus, Stage};
use sightline_schemas::{ContentHash, FeedId, Micros, ObservableKey, StixId, TenantId};

use super::{FeedChange, FeedKey, IntelMessage, PackageRank, Routed, Tick};
use crate::by_epoch::{ByEpoch, Flow};
use crate::epoch::Epoch;
use crate::guard::guarded;
use crate::output::{Emission, Emitter, Rejection};
use crate::settings::IntelSettings;
use crate::source::{InputTopic, Raw, SourceRef};
use crate::tables::{TableId, Tables};

/// What the operator hears: records, and the clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PackageMessage {
    /// A record of `in.intel`.
    Part(Box<Raw>),
    /// A record of `in.control`, to every worker.
    Control(u64, Box<Raw>),
    /// The clock, to every worker.
    Tick(u64, Tick),
}

impl PackageMessage {
    fn route(&self) -> u64 {
        match self {
            // The parts of one package meet at one worker.
            Self::Part(raw) => {
                let package = raw.header("package").map_or_else(Vec::new, |package| package.as_bytes().to_vec());
                ContentHash::of_parts([&raw.key[..], raw.header("tenant").unwrap_or("").as_bytes(), &package]).0[0]
            }
            Self::Control(worker, _) | Self::Tick(worker, _) => *worker,
        }
    }
}

/// What leaves: messages for the entities operator, and rows.
#[derive(Clone, Debug)]
pub enum PackageOut {
    /// To the entities.
    Message(Box<Routed>),
    /// A row or a dead letter.
    Row(Box<Emission>),
}

/// A package that waits for parts, or one that was read. Key of both tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PackageKey {
    /// Whose.
    pub feed: FeedKey,
    /// Hash of the package's name (parts), or of its bytes (read).
    pub hash: ContentHash,
}

impl PackageKey {
    /// Chooses the vnode.
    pub fn route(&self) -> u64 {
        self.hash.0[0]
    }
}

/// The parts that have come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Parts {
    /// By number.
    pub parts: BTreeMap<u32, Bytes>,
    /// Their sizes together.
    pub bytes: u64,
    /// How many there are to be.
    pub of: u32,
    /// When the first came, by the journalled clock; unset within the epoch of its arrival.
    pub since: Option<Micros>,
    /// The record of the first.
    pub first: Option<SourceRef>,
}

/// The operator's state and what it writes with.
pub struct Packages {
    /// Nothing up to here is emitted.
    pub resume: Epoch,
    /// Parts and packages read.
    pub tables: Rc<RefCell<Tables>>,
    /// Writes rows.
    pub emitter: Emitter,
    /// Bounds of the parsers.
    pub limits: Limits,
    /// Bounds of the lane.
    pub settings: IntelSettings,
    /// How many workers there are.
    pub workers: u64,
    /// Which of them this is.
    pub worker: u64,
}

/// Builds the operator.
pub fn packages<'scope>(messages: Flow<'scope, PackageMessage>, mut state: Packages) -> Flow<'scope, PackageOut> {
    let resume = state.resume;
    messages.by_epoch(
        "Packages",
        resume,
        PackageMessage::route,
        |_| false,
        move |epoch, messages, out| state.complete(epoch, messages, out),
    )
}

/// What the headers of a record say.
struct Heading {
    feed: FeedKey,
    format: IntelFormat,
    name: ContentHash,
    part: u32,
    parts: u32,
    received: Micros,
}

impl Packages {
    fn complete(&mut self, epoch: Epoch, messages: Vec<PackageMessage>, out: &mut Vec<PackageOut>) {
        let mut records = Vec::new();
        let mut tick = None;
        for message in messages {
            match message {
                PackageMessage::Part(raw) | PackageMessage::Control(_, raw) => records.push(raw),
                PackageMessage::Tick(_, now) => tick = Some(now),
            }
        }
        records.sort_by_key(|raw| raw.at);
        for raw in records {
            match raw.at.topic {
                InputTopic::Control => self.control(&raw, out),
                _ => self.part(*raw, tick, out),
            }
        }
        let Some(tick) = tick else { return };
        self.give_up_waiting(tick, out);
        if tick.snapshot {
            let mut tables = self.tables.borrow_mut();
            tables.write(TableId::Packages, epoch);
            tables.write(TableId::Parts, epoch);
        }
    }

    fn control(&mut self, raw: &Raw, out: &mut Vec<PackageOut>) {
        match read_declaration(&raw.value) {
            Ok(Some((feed, change))) => {
                if change == FeedChange::Removed {
                    // What was unlearnt may be learnt again.
                    self.tables.borrow_mut().packages.retain(|key, _| key.feed != feed);
                }
                out.push(self.message(self.worker, raw.at, 0, IntelMessage::Feed { feed, change }));
            }
            Ok(None) => {}
            // Every worker hears the record; one reports it.
            Err(message) if self.worker == 0 => {
                let rejection = Rejection {
                    position: "$".into(),
                    stage: Stage::Parse,
                    reason: "invalid-declaration".into(),
                    message,
                    bytes: raw.value.slice(..raw.value.len().min(self.limits.dead_letter_bytes)),
                };
                out.push(PackageOut::Row(Box::new(self.emitter.dead_letter(raw.at, rejection))));
            }
            Err(_) => {}
        }
    }

    fn part(&mut self, raw: Raw, tick: Option<Tick>, out: &mut Vec<PackageOut>) {
        let heading = match Heading::read(&raw) {
            Ok(heading) => heading,
            Err(message) => return self.reject(raw.at, Stage::Assemble, "invalid-header", message, raw.value, out),
        };
        if heading.parts <= 1 {
            return self.package(&heading, raw.at, vec![raw.value], out);
        }
        if heading.parts > self.settings.package_parts {
            let message = format!("{} parts are more than intel.package_parts ({}) allows", heading.parts, self.settings.package_parts);
            return self.reject(raw.at, Stage::Assemble, "too-many-parts", message, raw.value, out);
        }
        let key = PackageKey { feed: heading.feed, hash: heading.name };
        let complete = {
            let mut tables = self.tables.borrow_mut();
            let waiting = tables.parts.get_or_default(key);
            waiting.of = heading.parts;
            waiting.first.get_or_insert(raw.at);
            waiting.since = waiting.since.or(tick.map(|tick| tick.wall));
            if let Some(replaced) = waiting.parts.insert(heading.part, raw.value) {
                waiting.bytes -= replaced.len() as u64;
            }
            waiting.bytes += waiting.parts.get(&heading.part).map_or(0, |part| part.len() as u64);
            if waiting.bytes > self.settings.package_bytes {
                let bytes = waiting.bytes;
                let first = waiting.parts.values().next().cloned().unwrap_or_default();
                tables.parts.remove(&key);
                drop(tables);
                let message = format!("{bytes} bytes are more than intel.package_bytes ({}) allows", self.settings.package_bytes);
                return self.reject(raw.at, Stage::Assemble, "package-too-large", message, first, out);
            }
            // Numbers from 0 or from 1, as the producer counts: all are there when as many are there as there are to be.
            (waiting.parts.len() as u32 >= waiting.of).then(|| tables.parts.remove(&key)).flatten()
        };
        if let Some(parts) = complete {
            let parts: Vec<Bytes> = parts.parts.into_values().collect();
            self.package(&heading, raw.at, parts, out);
        }
    }

    fn package(&mut self, heading: &Heading, at: SourceRef, parts: Vec<Bytes>, out: &mut Vec<PackageOut>) {
        let mut sha256 = Sha256::new();
        for part in &parts {
            sha256.update(part);
        }
        let sha256 = format!("{:x}", sha256.finalize());
        let hash = ContentHash::of(sha256.as_bytes());
        let key = PackageKey { feed: heading.feed, hash };
        if self.tables.borrow().packages.contains(&key) {
            return;
        }
        let mut reading = Reading { limits: &self.limits, ..Reading::new(&self.limits) };
        let parsed = guarded(&parts, &self.limits, || parse_intel(heading.format, &parts, &self.limits, &mut |item| reading.take(item)));
        // The objects hold all that is needed of them.
        drop(parts);
        let id = ContentHash::of_parts([heading.feed.tenant.as_str().as_bytes(), heading.feed.feed.as_str().as_bytes(), sha256.as_bytes()]);
        let mut record = PackageRecord {
            tenant: heading.feed.tenant.to_string(),
            id: id.to_string(),
            feed: heading.feed.feed.to_string(),
            format: format!("{:?}", heading.format).to_lowercase(),
            sha256,
            status: PackageStatus::Rejected,
            entities: 0,
            observables: 0,
            rejected: 0,
            error: None,
        };
        match parsed.flatten() {
            Ok(digest) => {
                let Reading { objects, poisons, observables, .. } = reading;
                record.format = digest.format.to_owned();
                (record.entities, record.rejected) = (objects.len() as i64, poisons.len() as i64);
                record.observables = observables.of(heading.feed.tenant, objects.values()) as i64;
                record.status = if poisons.is_empty() { PackageStatus::Accepted } else { PackageStatus::Partial };
                for poison in poisons {
                    out.push(PackageOut::Row(Box::new(self.emitter.dead_letter(at, poison.into()))));
                }
                let rank = PackageRank { newest: digest.newest, hash };
                for worker in 0..self.workers {
                    out.push(self.message(worker, at, 0, IntelMessage::Package { feed: heading.feed, rank }));
                }
                for (seq, object) in (1..).zip(objects.into_values().map(|(_, object)| object)) {
                    let route = sightline_schemas::EntityKey { id: object.id, tenant: heading.feed.tenant }.route();
                    let route = u64::from(crate::state::table::vnode_of(route));
                    out.push(self.message(route, at, seq, IntelMessage::Claim { feed: heading.feed, rank, object }));
                }
            }
            Err(poison) => {
                record.error = Some(poison.message.clone());
                record.rejected = 1;
                out.push(PackageOut::Row(Box::new(self.emitter.dead_letter(at, poison.into()))));
            }
        }
        self.tables.borrow_mut().packages.insert(key, ());
        let mut row = self.emitter.upsert(&OutputRecord::Package(record), at);
        row.headers.push(("received".into(), heading.received.0.to_string().into()));
        out.push(PackageOut::Row(Box::new(row)));
    }

    /// Packages whose other parts do not come become dead letters.
    fn give_up_waiting(&mut self, tick: Tick, out: &mut Vec<PackageOut>) {
        let patience = self.settings.parts_timeout_ms.saturating_mul(1000);
        let overdue = |parts: &Parts| tick.last || parts.since.is_some_and(|since| since.0.saturating_add(patience) <= tick.wall.0);
        let mut given_up: Vec<_> = {
            let tables = self.tables.borrow();
            tables.parts.iter().filter(|(_, parts)| overdue(parts)).map(|(key, parts)| (parts.first, *key)).collect()
        };
        given_up.sort_unstable();
        for (first, key) in given_up {
            let (Some(parts), Some(first)) = (self.tables.borrow_mut().parts.remove(&key), first) else { continue };
            let message = format!("{} of {} parts came; send all parts of the package again", parts.parts.len(), parts.of);
            let bytes = parts.parts.into_values().next().unwrap_or_default();
            self.reject(first, Stage::Assemble, "incomplete-package", message, bytes, out);
        }
    }

    fn reject(&self, at: SourceRef, stage: Stage, reason: &'static str, message: String, bytes: Bytes, out: &mut Vec<PackageOut>) {
        let bytes = bytes.slice(..bytes.len().min(self.limits.dead_letter_bytes));
        let rejection = Rejection { position: "$".into(), stage, reason: reason.into(), message, bytes };
        out.push(PackageOut::Row(Box::new(self.emitter.dead_letter(at, rejection))));
    }

    fn message(&self, route: u64, at: SourceRef, seq: u32, message: IntelMessage) -> PackageOut {
        PackageOut::Message(Box::new(Routed { route, at, seq, message }))
    }
}

/// What one package holds, as the parser hands it out.
struct Reading<'a> {
    limits: &'a Limits,
    objects: BTreeMap<StixId, (u64, Box<IntelObject>)>,
    poisons: Vec<Poison>,
    observables: Distinct,
}

impl<'a> Reading<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, objects: BTreeMap::new(), poisons: Vec::new(), observables: Distinct }
    }

    fn take(&mut self, item: IntelItem) {
        match item {
            IntelItem::Poison(poison) => self.poisons.push(poison),
            IntelItem::Object { index, object } => match self.objects.remove(&object.id) {
                None => {
                    self.objects.insert(object.id, (index, object));
                }
                Some((other_index, other)) => self.choose((other_index, other), (index, object)),
            },
        }
    }

    /// Several versions of an object may share a package (STIX 2.1 §3.6): the latest counts. Two contents of one version contradict each
    /// other: the higher hash stays, as everywhere, and the other is a dead letter.
    fn choose(&mut self, a: (u64, Box<IntelObject>), b: (u64, Box<IntelObject>)) {
        let rank = |object: &IntelObject| (object.modified, object.hash);
        let (kept, other) = if rank(&a.1) >= rank(&b.1) { (a, b) } else { (b, a) };
        if kept.1.modified == other.1.modified && kept.1.hash != other.1.hash {
            let bytes = other.1.doc.as_bytes();
            self.poisons.push(Poison {
                position: format!("$.objects[{}].id", other.0),
                stage: Stage::Validate,
                reason: "duplicate-id",
                message: format!(
                    "{} stands in this package again with the same `modified` and other content (objects[{}])",
                    other.1.id, kept.0
                ),
                bytes: Bytes::copy_from_slice(&bytes[..bytes.len().min(self.limits.dead_letter_bytes)]),
            });
        }
        self.objects.insert(kept.1.id, kept);
    }
}

/// Counts distinct observables.
struct Distinct;

impl Distinct {
    fn of<'a>(&self, tenant: TenantId, objects: impl Iterator<Item = &'a (u64, Box<IntelObject>)>) -> usize {
        let keys: hashbrown::HashSet<ObservableKey> =
            objects.flat_map(|(_, object)| object.holds.iter().map(|held| held.observable.key(tenant))).collect();
        keys.len()
    }
}

impl Heading {
    fn read(raw: &Raw) -> Result<Self, String> {
        let named = |header: &str, default: &str| raw.header(header).unwrap_or(default).to_owned();
        let feed = raw.header("feed").or_else(|| raw.key_text().filter(|key| !key.is_empty())).unwrap_or("default").to_owned();
        let tenant = TenantId::new(&named("tenant", "default")).map_err(|error| format!("header tenant: {error}"))?;
        let feed = FeedId::new(&feed).map_err(|error| format!("header feed: {error}"))?;
        let number = |header: &str, default: u32| match raw.header(header) {
            None => Ok(default),
            Some(text) => text.parse::<u32>().map_err(|_| format!("header {header}: {text:?} is not a number")),
        };
        let own_name = format!("{}:{}", raw.at.partition, raw.at.offset);
        let received = match raw.header("received") {
            None => raw.received,
            Some(text) => text
                .parse::<i64>()
                .map(|millis| Micros(millis.saturating_mul(1000)))
                .or_else(|_| Micros::parse(text))
                .unwrap_or(raw.received),
        };
        Ok(Self {
            feed: FeedKey { tenant, feed },
            format: match raw.header("format") {
                None | Some("" | "auto") => IntelFormat::Auto,
                Some("stix" | "json") => IntelFormat::Stix,
                Some("list" | "text") => IntelFormat::List,
                Some("csv") => IntelFormat::Csv,
                Some("warninglist") => IntelFormat::Warninglist,
                Some(other) => return Err(format!("header format: {other:?} is none of auto, stix, list, csv, warninglist")),
            },
            name: ContentHash::of_parts([tenant.as_str().as_bytes(), feed.as_str().as_bytes(), named("package", &own_name).as_bytes()]),
            part: number("part", 0)?,
            parts: number("parts", 1)?,
            received,
        })
    }
}

/// A declaration on `in.control`: `{"kind":"feed","tenant":"t","feed":"f","snapshot":true}` or `"removed":true`. Other kinds are for others.
fn read_declaration(bytes: &[u8]) -> Result<Option<(FeedKey, FeedChange)>, String> {
    #[derive(Deserialize)]
    struct Declaration {
        kind: String,
        #[serde(default)]
        tenant: Option<TenantId>,
        #[serde(default)]
        feed: Option<FeedId>,
        #[serde(default)]
        snapshot: Option<bool>,
        #[serde(default)]
        removed: bool,
    }
    let declaration: Declaration =
        serde_json::from_slice(bytes).map_err(|error| format!("a declaration must be a JSON object with `kind`: {error}"))?;
    if declaration.kind != "feed" {
        return Ok(None);
    }
    let feed = declaration.feed.ok_or("a declaration of kind feed needs `feed`")?;
    let tenant = match declaration.tenant {
        Some(tenant) => tenant,
        None => TenantId::new("default").map_err(|error| error.to_string())?,
    };
    let change = if declaration.removed { FeedChange::Removed } else { FeedChange::Snapshot(declaration.snapshot.unwrap_or(false)) };
    Ok(Some((FeedKey { tenant, feed }, change)))
}

/// The feed of which a record of `in.control` declares the kind; removals and all else declare nothing.
pub(crate) fn declared(bytes: &[u8]) -> Option<FeedKey> {
    match read_declaration(bytes) {
        Ok(Some((feed, FeedChange::Snapshot(_)))) => Some(feed),
        _ => None,
    }
}

/// A declaration, as `in.control` holds it.
pub(crate) fn declaration(of: FeedKey, snapshot: bool) -> Bytes {
    let value = serde_json::json!({ "kind": "feed", "tenant": of.tenant.as_str(), "feed": of.feed.as_str(), "snapshot": snapshot });
    value.to_string().into()
}

impl From<Poison> for Rejection {
    fn from(poison: Poison) -> Self {
        Self { position: poison.position, stage: poison.stage, reason: poison.reason.into(), message: poison.message, bytes: poison.bytes }
    }
}
