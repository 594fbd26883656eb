//! Events meet their hits again, at the worker that held them, and leave.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sightline_schemas::avro::OutputRecord;
use sightline_schemas::record::EventMatch;

use super::parse::OpenEvent;
use super::{EventRef, Hit};
use crate::by_epoch::{ByEpoch, Flow};
use crate::epoch::Epoch;
use crate::output::{Emission, Emitter};

/// What the operator hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum EnrichMessage {
    /// An event of this worker.
    Event(Box<OpenEvent>),
    /// A hit on one.
    Hit(Hit),
}

impl EnrichMessage {
    fn route(&self) -> u64 {
        match self {
            Self::Event(event) => u64::from(event.event.worker),
            Self::Hit(hit) => u64::from(hit.event.worker),
        }
    }
}

/// Writes events with what matched them when they came. What matches them later, or no more, the sightings tell.
pub fn enrich<'scope>(messages: Flow<'scope, EnrichMessage>, resume: Epoch, emitter: Emitter) -> Flow<'scope, Emission> {
    messages.by_epoch(
        "Enrich",
        resume,
        EnrichMessage::route,
        |_| false,
        move |_epoch, messages, out| {
            let mut events = Vec::new();
            let mut hits: BTreeMap<EventRef, Vec<Hit>> = BTreeMap::new();
            for message in messages {
                match message {
                    EnrichMessage::Event(event) => events.push(event),
                    EnrichMessage::Hit(hit) => hits.entry(hit.event).or_default().push(hit),
                }
            }
            for event in events {
                let OpenEvent { event, mut record } = *event;
                let mut matches: Vec<_> = hits
                    .remove(&event)
                    .unwrap_or_default()
                    .into_iter()
                    .map(|hit| EventMatch { entity_id: hit.entity.id.to_string(), observable_id: hit.observable.id(), role: hit.role })
                    .collect();
                matches.sort();
                record.matches = matches;
                out.push(emitter.upsert(&OutputRecord::Event(record), event.at));
            }
        },
    )
}
