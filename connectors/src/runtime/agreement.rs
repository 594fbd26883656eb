//! Whether the stores agree with the topics, asked while everything runs.
//!
//! A store's own task adds the store up, between two batches: what it holds is then exactly what its positions say. A [`Follower`] knows what that should be.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::Serialize;
use sightline_log::{Offset, TopicPartition};
use sightline_schemas::avro::RecordType;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::handle::{Connectors, Running};
use crate::digest::{Slot, Sums};
use crate::sink::{SinkConnector, SinkError};
use crate::verify::Follower;
use crate::verify::follow::NotYet;

/// Between looks at a follower that is not there yet.
const LOOK: Duration = Duration::from_millis(50);

/// A question to a connector's task.
pub(super) struct Ask(oneshot::Sender<Result<Added, SinkError>>);

/// A store added up.
struct Added {
    positions: HashMap<TopicPartition, Offset>,
    sums: BTreeMap<RecordType, Sums>,
}

/// A connector's store and the topics.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Agreement {
    /// Connector.
    pub name: String,
    /// Its class.
    pub class: String,
    /// What it is doing.
    pub state: String,
    /// The epoch at which the store was compared: all outputs up to it had been given to the store.
    pub epoch: Option<u64>,
    /// Whether the store equals the outputs at that epoch; none when that could not be told.
    pub agrees: Option<bool>,
    /// Records that the log holds and the store does not yet.
    pub lag: Option<i64>,
    /// Types with the slots that differ.
    pub differing: BTreeMap<String, BTreeSet<Slot>>,
    /// Types of which only the number of records and their epochs were compared, not every field: the store has no hash of its own. `verify` compares all.
    pub unsealed: BTreeSet<String>,
    /// Types that were not compared: the log has dropped records by age, or the store keeps no digests. `verify` compares them.
    pub not_compared: BTreeSet<String>,
    /// Why it could not be told, or what the connector fails at.
    pub error: Option<String>,
}

impl Ask {
    /// Adds the store up. A failure is the asker's: the next batch will meet it too, and deal with it.
    pub(super) async fn answer(self, sink: &mut dyn SinkConnector, types: &[RecordType]) {
        // Whoever asked may have gone away.
        let _ = self.0.send(add(sink, types).await);
    }
}

async fn add(sink: &mut dyn SinkConnector, types: &[RecordType]) -> Result<Added, SinkError> {
    let positions = sink.positions().await?.into_iter().collect();
    let mut sums = BTreeMap::new();
    for ty in types {
        if let Some(added) = sink.sums(*ty).await? {
            sums.insert(*ty, added);
        }
    }
    Ok(Added { positions, sums })
}

impl Connectors {
    /// The types that any connector stores.
    pub fn types(&self) -> Vec<RecordType> {
        let types: BTreeSet<RecordType> = self.running.iter().flat_map(|running| running.types.iter().copied()).collect();
        types.into_iter().collect()
    }

    /// Compares every store with the topics, all at once. One that does not answer within `patience` is not told of.
    pub async fn agreement(&self, follower: &Follower, patience: Duration) -> Vec<Agreement> {
        let deadline = Instant::now() + patience;
        let mut waiting = Vec::new();
        for running in &self.running {
            let (ask, answer) = oneshot::channel();
            // A task that has ended, or has not come round to the last question, does not answer.
            waiting.push((running, running.asks.try_send(Ask(ask)).is_ok().then_some(answer)));
        }
        let mut told = Vec::new();
        for (running, answer) in waiting {
            let status = running.status(&*self.log);
            let mut agreement = Agreement {
                name: status.name.clone(),
                class: status.class.clone(),
                state: status.state.to_string(),
                epoch: None,
                agrees: None,
                lag: status.lag(),
                differing: BTreeMap::new(),
                unsealed: BTreeSet::new(),
                not_compared: BTreeSet::new(),
                error: status.error.clone(),
            };
            if let Err(why) = compare(running, answer, follower, deadline, &mut agreement).await {
                agreement.error = agreement.error.or(Some(why));
            }
            told.push(agreement);
        }
        told
    }
}

async fn compare(
    running: &Running,
    answer: Option<oneshot::Receiver<Result<Added, SinkError>>>,
    follower: &Follower,
    deadline: Instant,
    agreement: &mut Agreement,
) -> Result<(), String> {
    let none = || "the connector did not answer; it has ended, or is busy with a batch".to_owned();
    let added = match tokio::time::timeout_at(deadline, answer.ok_or_else(none)?).await {
        Ok(Ok(added)) => added.map_err(|error| error.to_string())?,
        _ => return Err(none()),
    };
    let due = loop {
        match follower.due(&running.types, &added.positions) {
            Ok(due) => break due,
            Err(NotYet::Behind(partition)) => return Err(NotYet::Behind(partition).to_string()),
            Err(why) if Instant::now() >= deadline => return Err(why.to_string()),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    };
    for (ty, due) in &due.sums {
        let word = ty.as_str().to_owned();
        let Some(held) = added.sums.get(ty).filter(|_| !follower.is_trimmed(*ty)) else {
            agreement.not_compared.insert(word);
            continue;
        };
        if held.unsealed {
            agreement.unsealed.insert(word.clone());
        }
        let slots = held.differing(due);
        if !slots.is_empty() {
            agreement.differing.insert(word, slots);
        }
    }
    agreement.epoch = Some(due.epoch);
    agreement.agrees = Some(agreement.differing.is_empty());
    Ok(())
}
