//! What leaves the dataflow: rows, tombstones and dead letters, routed to lanes and ordered within an epoch.
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sightline_failpoints::{self as failpoints, Point};
use sightline_schemas::avro::{Encoder, OutputRecord, RecordType};
use sightline_schemas::record::Stage;
use sightline_schemas::topic::{self, Topics};
use sightline_schemas::{ContentHash, TenantId};

use crate::by_epoch::{ByEpoch, Flow};
use crate::cluster::Place;
use crate::epoch::Epoch;
use crate::lane::{LaneSender, Outputs};
use crate::source::{Origin, SourceRef};
use crate::state::table::vnode_of;

/// Where an emission goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Target {
    /// The topic of a record type; the number is its place in [`RecordType::ALL`].
    Record(u8),
    /// `dlq.parse`.
    DeadLetters,
}

impl Target {
    /// The topic of a record type.
    pub fn of(ty: RecordType) -> Self {
        Self::Record(ty as u8)
    }
}

/// A record on its way to a lane.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Emission {
    /// Topic.
    pub target: Target,
    /// Key.
    pub key: Bytes,
    /// Value; none is a tombstone.
    pub value: Option<Bytes>,
    /// The input record that caused it.
    pub origin: SourceRef,
    /// Headers beside `epoch`, `op` and `origin`.
    pub headers: Vec<(Box<str>, Bytes)>,
}

/// Why an input, or an object in it, was refused.
#[derive(Clone, PartialEq, Debug)]
pub struct Rejection {
    /// Where in the input.
    pub position: String,
    /// Which step.
    pub stage: Stage,
    /// Stable code.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The original bytes, or as many as the bound allows.
    pub bytes: Bytes,
}

/// Turns records into emissions.
#[derive(Clone)]
pub struct Emitter {
    encoder: Encoder,
    topics: Arc<Topics>,
}

impl Emitter {
    /// Writes with `encoder`'s schemas, for the topics of one cell.
    pub fn new(encoder: Encoder, topics: Arc<Topics>) -> Self {
        Self { encoder, topics }
    }

    /// A row, new or changed.
    pub fn upsert(&self, record: &OutputRecord, origin: SourceRef) -> Emission {
        let key = format!("{}:{}", record.tenant(), record.id()).into();
        match self.encoder.encode(record) {
            Ok(value) => Emission { target: Target::of(record.record_type()), key, value: Some(value), origin, headers: Vec::new() },
            // The schemas hold every value of the record types; should one ever not fit, it must still not be lost.
            Err(error) => self.dead_letter(
                origin,
                Rejection {
                    position: "$".into(),
                    stage: Stage::Parse,
                    reason: "not-encodable".into(),
                    message: error.to_string(),
                    bytes: Bytes::from(format!("{record:?}")),
                },
            ),
        }
    }

    /// A row that is gone.
    pub fn tombstone(&self, ty: RecordType, tenant: TenantId, id: &str, origin: SourceRef) -> Emission {
        Emission { target: Target::of(ty), key: topic::key(tenant, id).into(), value: None, origin, headers: Vec::new() }
    }

    /// A dead letter.
    pub fn dead_letter(&self, origin: SourceRef, rejection: Rejection) -> Emission {
        let text = |text: String| Bytes::from(text);
        Emission {
            target: Target::DeadLetters,
            key: Origin { topics: &self.topics, at: origin }.to_string().into(),
            value: Some(rejection.bytes),
            origin,
            headers: vec![
                ("origin.topic".into(), text(origin.topic.name(&self.topics))),
                ("origin.partition".into(), text(origin.partition.to_string())),
                ("origin.offset".into(), text(origin.offset.to_string())),
                ("stage".into(), text(rejection.stage.as_str().to_owned())),
                ("reason".into(), text(rejection.reason)),
                ("message".into(), text(rejection.message)),
                ("position".into(), text(rejection.position)),
            ],
        }
    }
}

/// What the last operator hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum LaneMessage {
    /// A record.
    Emission(Box<Emission>),
    /// The epoch exists, to every worker: a lane hears of each epoch, empty or not.
    Tick(u64),
}

impl LaneMessage {
    fn route(&self) -> u64 {
        match self {
            Self::Emission(emission) => u64::from(vnode_of(route_of(&emission.key))),
            Self::Tick(worker) => *worker,
        }
    }
}

fn route_of(key: &[u8]) -> u64 {
    ContentHash::of(key).0[0]
}

/// Hands each complete epoch to the lanes of this worker: a lane is `vnode mod lanes`, so that a key always takes the same lane, whatever the number
/// of workers and processes.
pub fn to_lanes<'scope>(
    messages: Flow<'scope, LaneMessage>,
    resume: Epoch,
    lanes: Vec<(u32, LaneSender)>,
    lane_count: u32,
    place: Place,
) -> Flow<'scope, ()> {
    let lane_of = move |message: &LaneMessage| (message.route() % u64::from(lane_count)) as u32;
    messages.by_epoch(
        "Lanes",
        resume,
        worker_of(lane_of, place),
        |_| false,
        move |epoch, messages, _out| {
            if epoch <= resume {
                return;
            }
            let mut by_lane: HashMap<u32, Outputs> = HashMap::new();
            for message in messages {
                let lane = lane_of(&message);
                if let LaneMessage::Emission(emission) = message {
                    by_lane.entry(lane).or_default().push(emission);
                }
            }
            if let Some((lane, _)) = lanes.first() {
                failpoints::hit(Point::EpochComputed, format_args!("lane-{lane}"));
            }
            for (lane, sender) in &lanes {
                let emissions = by_lane.remove(lane).unwrap_or_default();
                sender.send(epoch, ordered(emissions));
            }
        },
    )
}

fn worker_of(lane_of: impl Fn(&LaneMessage) -> u32 + 'static, place: Place) -> impl Fn(&LaneMessage) -> u64 + 'static {
    move |message| match message {
        LaneMessage::Emission(_) => place.worker_of_lane(lane_of(message)) as u64,
        LaneMessage::Tick(worker) => *worker,
    }
}

/// By topic, key and origin; of the rows of one key in one epoch only the last counts, of dead letters each.
fn ordered(mut emissions: Outputs) -> Outputs {
    emissions.sort_by(|a, b| (a.target, &a.key, a.origin, &a.headers, &a.value).cmp(&(b.target, &b.key, b.origin, &b.headers, &b.value)));
    let is_same_row = |a: &Emission, b: &Emission| a.target != Target::DeadLetters && (a.target, &a.key) == (b.target, &b.key);
    // `dedup_by` keeps the first of a run: the later one takes its place.
    emissions.dedup_by(|later, kept| {
        let same = is_same_row(later, kept);
        if same {
            std::mem::swap(later, kept);
        }
        same
    });
    emissions
}
