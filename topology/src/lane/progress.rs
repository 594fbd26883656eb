//! Progress records: `sys.progress`, key `lane-<n>`, value the epoch's number in decimal.
use std::sync::Arc;

use sightline_log::{Headers, Log, LogError, NewRecord};
use sightline_schemas::topic::Topics;

use crate::epoch::{Epoch, read_all};

/// What each of `count` lanes has committed; epoch 0 if nothing.
pub(super) fn read(log: &dyn Log, topics: &Topics, count: u32) -> Result<Vec<Epoch>, LogError> {
    let mut gates = vec![Epoch(0); count as usize];
    let topic = topics.progress();
    read_all(log, &topic, |record| {
        let text =
            |bytes: Option<&bytes::Bytes>| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok().map(str::to_owned)).unwrap_or_default();
        let lane = text(record.key.as_ref()).strip_prefix("lane-").and_then(|lane| lane.parse::<usize>().ok());
        let epoch = text(record.value.as_ref()).parse().ok().map(Epoch);
        let (Some(lane), Some(epoch)) = (lane, epoch) else {
            return Err(LogError::Fatal {
                what: "read progress",
                message: format!("{topic} offset {} is not a progress record", record.offset.0),
            });
        };
        match gates.get_mut(lane) {
            Some(gate) => *gate = epoch.max(*gate),
            None => {
                let message = format!("lane {lane} has progress, but lanes.count is {count}; set it back, it belongs to the cell");
                return Err(LogError::Fatal { what: "read progress", message });
            }
        }
        Ok(())
    })?;
    Ok(gates)
}

/// A progress record.
pub(crate) fn record(topic: &Arc<str>, lane: u32, epoch: Epoch) -> NewRecord {
    NewRecord {
        topic: Arc::clone(topic),
        partition: Some(0),
        key: Some(format!("lane-{lane}").into()),
        value: Some(epoch.0.to_string().into()),
        headers: Headers::default(),
    }
}
