//! One batch into the store, whatever it takes: tries again while the store is away, finds and dead-letters what it will not take.
use std::time::Duration;

use sightline_log::{Offset, Record, TopicPartition};
use tokio::sync::watch;

use super::backoff::Backoff;
use super::config::Tolerance;
use super::dead_letter::DeadLetters;
use super::status::Progress;
use crate::batch::{Batch, SinkRecord};
use crate::sink::{Refused, SinkConnector, SinkError};

/// Why a connector's thread ends.
#[derive(Debug)]
pub(super) enum End {
    /// It was told to, or its handle is gone.
    Stopped,
    /// It cannot go on.
    Failed(String),
}

/// Writes batches of one connector.
pub(super) struct BatchWriter {
    pub name: String,
    pub sink: Box<dyn SinkConnector>,
    pub dead_letters: DeadLetters,
    pub tolerance: Tolerance,
    pub backoff: Backoff,
    pub progress: watch::Sender<Progress>,
    pub stop: watch::Receiver<bool>,
}

impl BatchWriter {
    /// Stores `batch`: returns when all of its records are stored or dead-lettered, and its positions are stored.
    pub(super) async fn write(&mut self, batch: Batch) -> Result<(), End> {
        let Batch { records, next } = batch;
        // The parts still to be written, the first on top; the last one to be written brings the positions of the whole.
        let mut parts = vec![records];
        while let Some(part) = parts.pop() {
            let part = Batch { records: part, next: if parts.is_empty() { next.clone() } else { Vec::new() } };
            match self.sink.put(&part).await {
                Ok(()) => self.stored(&part),
                Err(SinkError::Refused(refused)) => self.without(part.records, refused, &mut parts).await?,
                Err(SinkError::Data { reason, message }) => self.bisect(part.records, reason, message, &mut parts).await?,
                Err(error) => {
                    self.wait_after(error).await?;
                    parts.push(part.records);
                }
            }
        }
        self.reached(&next);
        Ok(())
    }

    /// Notes positions that need no `put`: nothing but markers lay between.
    pub(super) fn reached(&self, next: &[(TopicPartition, Offset)]) {
        self.progress.send_modify(|progress| progress.next.get_or_insert_default().extend(next.iter().cloned()));
    }

    /// Dead-letters a record, waiting while the log is away.
    pub(super) async fn dead_letter(&mut self, record: &Record, reason: &str, message: &str) -> Result<(), End> {
        let at = format!("{}:{}:{}", record.topic, record.partition, record.offset.0);
        if self.tolerance == Tolerance::None {
            return Err(End::Failed(format!("record {at} cannot be stored ({reason}): {message}; errors.tolerance is none")));
        }
        tracing::warn!(connector = self.name, origin = at, reason, message, "dead letter");
        while let Err(error) = self.dead_letters.write(record, reason, message) {
            if !error.is_retriable() {
                return Err(End::Failed(error.to_string()));
            }
            self.pause(error.to_string()).await?;
        }
        self.progress.send_modify(|progress| progress.dead_letters += 1);
        Ok(())
    }

    /// After a failure that may pass: makes it visible and waits. Any other ends the connector.
    pub(super) async fn wait_after(&mut self, error: SinkError) -> Result<(), End> {
        match error {
            SinkError::Retriable { .. } => self.pause(error.to_string()).await,
            other => Err(End::Failed(other.to_string())),
        }
    }

    /// Waits for the next delay, or until told to stop.
    pub(super) async fn pause(&mut self, error: String) -> Result<(), End> {
        let delay = self.backoff.delay();
        tracing::warn!(connector = self.name, error, delay_ms = delay.as_millis() as u64, "will try again");
        self.progress.send_modify(|progress| progress.retrying(error));
        if sleep_unless(&mut self.stop, delay).await { Err(End::Stopped) } else { Ok(()) }
    }

    fn stored(&mut self, part: &Batch) {
        self.backoff.reset();
        self.progress.send_modify(|progress| {
            progress.running();
            progress.written += part.records.len() as u64;
            progress.batches += 1;
        });
    }

    async fn without(&mut self, records: Vec<SinkRecord>, refused: Vec<Refused>, parts: &mut Vec<Vec<SinkRecord>>) -> Result<(), End> {
        if refused.iter().all(|refused| refused.at >= records.len()) {
            return Err(End::Failed("the sink refused records that are not in the batch; report this".into()));
        }
        let mut bad = vec![false; records.len()];
        for Refused { at, reason, message } in refused {
            if let Some(record) = records.get(at).filter(|_| !bad[at]) {
                self.dead_letter(&record.source, reason, &message).await?;
                bad[at] = true;
            }
        }
        parts.push(records.into_iter().zip(bad).filter(|(_, bad)| !bad).map(|(record, _)| record).collect());
        Ok(())
    }

    async fn bisect(
        &mut self,
        mut records: Vec<SinkRecord>,
        reason: &'static str,
        message: String,
        parts: &mut Vec<Vec<SinkRecord>>,
    ) -> Result<(), End> {
        match records.len() {
            0 => return Err(End::Failed(format!("the store refused an empty batch ({reason}): {message}"))),
            1 => {
                self.dead_letter(&records[0].source, reason, &message).await?;
                // The positions still have to be stored when this was the last part.
                parts.extend(parts.is_empty().then(Vec::new));
            }
            count => {
                let tail = records.split_off(count / 2);
                parts.push(tail);
                parts.push(records);
            }
        }
        Ok(())
    }
}

/// Sleeps; true when told to stop meanwhile.
pub(super) async fn sleep_unless(stop: &mut watch::Receiver<bool>, delay: Duration) -> bool {
    // A closed channel means that the handle is gone: stop too.
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => true,
        () = tokio::time::sleep(delay) => false,
    }
}
