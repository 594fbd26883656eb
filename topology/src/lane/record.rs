//! From an emission to the record that is written. What all outputs have, topic and headers, is put together here, record by record, so that an epoch
//! under way holds none of it.
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use sightline_log::{Headers, NewRecord};
use sightline_schemas::avro::RecordType;
use sightline_schemas::topic::Topics;

use crate::epoch::Epoch;
use crate::output::{Emission, Target};
use crate::source::{Origin, SourceRef};

/// Makes the records of a cell.
#[derive(Clone)]
pub(super) struct Records {
    topics: Topics,
    names: HashMap<Target, Arc<str>>,
    epoch: Arc<str>,
    op: Arc<str>,
    origin: Arc<str>,
}

/// Makes the records of one epoch.
pub(super) struct EpochRecords<'a> {
    records: &'a Records,
    epoch: Bytes,
    /// Spelt out last: many outputs in a row have the same.
    origin: Option<(SourceRef, Bytes)>,
}

impl Records {
    pub(super) fn new(topics: &Topics) -> Self {
        let rows = RecordType::ALL.iter().map(|ty| (Target::of(*ty), Arc::from(ty.topic(topics))));
        let names = rows.chain([(Target::DeadLetters, Arc::from(topics.dlq_parse()))]).collect();
        Self { topics: topics.clone(), names, epoch: "epoch".into(), op: "op".into(), origin: "origin".into() }
    }

    pub(super) fn of_epoch(&self, epoch: Epoch) -> EpochRecords<'_> {
        EpochRecords { records: self, epoch: epoch.0.to_string().into(), origin: None }
    }
}

impl EpochRecords<'_> {
    /// The record; none for a target that the cell does not have.
    pub(super) fn record(&mut self, emission: &Emission) -> Option<NewRecord> {
        let topic = Arc::clone(self.records.names.get(&emission.target)?);
        let op = Bytes::from_static(if emission.value.is_some() { b"u" } else { b"d" });
        let Records { epoch, op: op_name, origin, .. } = self.records;
        let mut headers = Vec::with_capacity(3 + emission.headers.len());
        headers.push((Arc::clone(epoch), self.epoch.clone()));
        headers.push((Arc::clone(op_name), op));
        headers.push((Arc::clone(origin), self.origin(emission.origin)));
        headers.extend(emission.headers.iter().map(|(name, value)| (Arc::from(&**name), value.clone())));
        let (key, value) = (Some(emission.key.clone()), emission.value.clone());
        Some(NewRecord { topic, partition: None, key, value, headers: Headers(headers) })
    }

    fn origin(&mut self, at: SourceRef) -> Bytes {
        if let Some((known, spelt)) = &self.origin
            && *known == at
        {
            return spelt.clone();
        }
        let spelt = Bytes::from(Origin { topics: &self.records.topics, at }.to_string());
        self.origin = Some((at, spelt.clone()));
        spelt
    }
}
