//! The thread of one lane.
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use sightline_log::{LogError, NewRecord, TransactionalWriter};

use super::{Committed, LaneEpoch, LaneSettings, progress};
use crate::epoch::Epoch;

pub(super) struct LaneThread {
    pub(super) lane: u32,
    pub(super) writer: Box<dyn TransactionalWriter>,
    /// What was committed before this process: dropped when the replay makes it again.
    pub(super) gate: Epoch,
    pub(super) progress_topic: Arc<str>,
    pub(super) settings: LaneSettings,
    pub(super) committed: Arc<Committed>,
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
        let mut written = self.gate;
        let mut last = self.gate;
        while let Ok(first) = epochs.recv() {
            let mut batch = vec![first];
            let mut records = batch[0].outputs.len();
            // Behind: what waits already shares the transaction.
            while records < self.settings.transaction_records
                && let Ok(next) = epochs.try_recv()
            {
                records += next.outputs.len();
                batch.push(next);
            }
            batch.retain(|epoch| epoch.epoch > self.gate);
            let Some(newest) = batch.last().map(|epoch| epoch.epoch) else { continue };
            debug_assert!(last < newest, "I2: a lane commits in epoch order");
            last = newest;
            let outputs = batch.iter().map(|epoch| epoch.outputs.len()).sum::<usize>();
            if outputs > 0 || newest.0 - written.0 >= self.settings.progress_epochs {
                self.commit(newest, &batch)?;
                written = newest;
            }
            self.committed.set(self.lane, newest);
        }
        // What was counted as committed without a record is written before the end, so that a restart begins here.
        if last > written {
            self.commit(last, &[])?;
        }
        Ok(())
    }

    /// One transaction, tried until it is in or the lane is fenced.
    fn commit(&mut self, epoch: Epoch, batch: &[LaneEpoch]) -> Result<(), LogError> {
        let mut pause = Duration::from_millis(50);
        loop {
            match self.transaction(epoch, batch) {
                Err(error) if error.is_retriable() => {
                    tracing::warn!(%error, lane = self.lane, epoch = epoch.0, "the lane waits");
                    // An abort that fails leaves nothing visible: the next `begin` settles it.
                    let _ = self.writer.abort();
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                done => return done,
            }
        }
    }

    fn transaction(&mut self, epoch: Epoch, batch: &[LaneEpoch]) -> Result<(), LogError> {
        self.writer.begin()?;
        for output in batch.iter().flat_map(|epoch| &epoch.outputs) {
            self.writer.send(NewRecord {
                topic: Arc::clone(&output.topic),
                partition: None,
                key: Some(output.key.clone()),
                value: output.value.clone(),
                headers: output.headers.clone(),
            })?;
        }
        self.writer.send(progress::record(&self.progress_topic, self.lane, epoch))?;
        self.writer.commit()
    }
}
