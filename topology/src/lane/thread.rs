//! The thread of one lane.
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use sightline_failpoints::{Control, without};
use sightline_log::{LogError, TransactionalWriter};

use super::record::Records;
use super::{Committed, LaneEpoch, LaneSettings, progress};
use crate::epoch::Epoch;
use crate::epoch::transaction::transact;

/// How often a lane without epochs looks whether a snapshot demands its progress.
const LOOK: Duration = Duration::from_millis(50);

pub(super) struct LaneThread {
    pub(super) lane: u32,
    pub(super) writer: Box<dyn TransactionalWriter>,
    /// What was committed before this process: dropped when the replay makes it again.
    pub(super) gate: Epoch,
    pub(super) records: Records,
    pub(super) progress_topic: Arc<str>,
    pub(super) settings: LaneSettings,
    pub(super) committed: Arc<Committed>,
}

/// How far a lane is.
struct Marks {
    done: Epoch,
    durable: Epoch,
}

impl LaneThread {
    pub(super) fn run(mut self, epochs: &Receiver<LaneEpoch>) -> Result<(), LogError> {
        let result = self.write_all(epochs);
        if let Err(error) = &result {
            tracing::error!(%error, lane = self.lane, "the lane stops");
            self.committed.fail();
        }
        result
    }

    fn write_all(&mut self, epochs: &Receiver<LaneEpoch>) -> Result<(), LogError> {
        let mut marks = Marks { done: self.gate, durable: self.gate };
        loop {
            match epochs.recv_timeout(LOOK) {
                Ok(first) => self.write(&mut marks, self.gather(first, epochs))?,
                Err(RecvTimeoutError::Timeout) => {}
                // What was done without a record is recorded before the end, so that a restart begins here.
                Err(RecvTimeoutError::Disconnected) => {
                    return if marks.done > marks.durable { self.commit(&mut marks, &[]) } else { Ok(()) };
                }
            }
            let demanded = self.committed.demanded();
            if marks.durable < demanded && demanded <= marks.done {
                self.commit(&mut marks, &[])?;
            }
        }
    }

    /// The epochs that share a transaction: more than one when the lane is behind.
    fn gather(&self, first: LaneEpoch, epochs: &Receiver<LaneEpoch>) -> Vec<LaneEpoch> {
        let mut records = first.outputs.len();
        let mut batch = vec![first];
        while records < self.settings.transaction_records
            && let Ok(next) = epochs.try_recv()
        {
            records += next.outputs.len();
            batch.push(next);
        }
        batch.retain(|epoch| epoch.epoch > self.gate || without(Control::GatesIgnored));
        batch
    }

    fn write(&mut self, marks: &mut Marks, batch: Vec<LaneEpoch>) -> Result<(), LogError> {
        for epoch in &batch {
            debug_assert!(marks.done < epoch.epoch || without(Control::GatesIgnored), "I2: a lane commits in epoch order");
            marks.done = epoch.epoch.max(marks.done);
        }
        let has_output = batch.iter().any(|epoch| !epoch.outputs.is_empty());
        if has_output || marks.done.0 - marks.durable.0 >= self.settings.progress_epochs {
            self.commit(marks, &batch)?;
        } else {
            self.committed.set_done(self.lane, marks.done);
        }
        Ok(())
    }

    /// Commits `batch` and the progress up to what is done, in one transaction.
    fn commit(&mut self, marks: &mut Marks, batch: &[LaneEpoch]) -> Result<(), LogError> {
        let progress = progress::record(&self.progress_topic, self.lane, marks.done);
        let who = format!("lane-{}", self.lane);
        let (first, after) = (without(Control::ProgressFirst), without(Control::ProgressOutside));
        if first {
            transact(&mut *self.writer, &who, |writer| writer.send(progress.clone()))?;
        }
        transact(&mut *self.writer, &who, |writer| {
            for LaneEpoch { epoch, outputs } in batch {
                let mut records = self.records.of_epoch(*epoch);
                for record in outputs.iter().filter_map(|output| records.record(output)) {
                    writer.send(record)?;
                }
            }
            if first || after { Ok(()) } else { writer.send(progress.clone()) }
        })?;
        if after {
            transact(&mut *self.writer, &who, |writer| writer.send(progress.clone()))?;
        }
        marks.durable = marks.done;
        self.committed.set_durable(self.lane, marks.done);
        self.committed.set_done(self.lane, marks.done);
        Ok(())
    }
}
