//! Puts right what a comparison found, while the store's own connector goes on writing.
//!
//! Each differing key is taken out as far as it is still as it was seen, and gets the record that the topic has now, under the epoch's order. One
//! thing could still go wrong: the topic deletes a key after we looked and the connector passes that on before we write; then the record that was
//! deleted would come back. So what was written is looked up in the topics once more *afterwards*, and what came for it meanwhile is written too, until nothing came.
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use super::report::{Report, VerifyError};
use super::view::{Key, Outputs};
use crate::batch::{Batch, SinkRecord};
use crate::sink::{SinkConnector, SinkError, Wrong};

/// Keys mended at once: the running connector waits for no more than that.
const KEYS: usize = 1_000;
/// Between tries, when the store is busy.
const PAUSE: Duration = Duration::from_millis(500);

/// What a repair did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Repaired {
    /// Keys that differed.
    pub keys: u64,
    /// Of what the store held, how much had changed before it could be mended, and was left.
    pub left: u64,
    /// Records that the store will not take.
    pub refused: u64,
}

/// Mends what `report` says of `sink`: its keys, and no other. Compare again to know that it holds. `patience`: for a store that is busy or away.
///
/// # Errors
/// [`VerifyError`].
pub async fn repair(
    outputs: &Outputs<'_>,
    sink: &mut dyn SinkConnector,
    report: &Report,
    patience: Duration,
) -> Result<Repaired, VerifyError> {
    let mut keys: Vec<Key> = Vec::new();
    let mut wrong: Vec<Wrong> = Vec::new();
    for (ty, compared) in &report.types {
        keys.extend(compared.differences().map(|(_, key)| (*ty, key.to_owned())));
        wrong.extend(compared.extra.iter().chain(&compared.different).map(|stored| Wrong { ty: *ty, stored: stored.clone() }));
    }
    keys.sort_unstable();
    keys.dedup();
    let mut mending =
        Mending { sink, deadline: Instant::now() + patience, done: Repaired { keys: keys.len() as u64, ..Repaired::default() } };
    let mut touched: HashSet<Key> = keys.into_iter().collect();
    let (mut records, mut seen_to) = outputs.newest(&touched, None)?;
    loop {
        mending.all(std::mem::take(&mut wrong), std::mem::take(&mut records)).await?;
        (records, seen_to) = outputs.newest(&touched, Some(&seen_to))?;
        if records.is_empty() {
            return Ok(mending.done);
        }
        touched = records.iter().map(|record| (record.ty, record.key())).collect();
    }
}

struct Mending<'a> {
    sink: &'a mut dyn SinkConnector,
    deadline: Instant,
    done: Repaired,
}

impl Mending<'_> {
    /// All of it, so many keys at a time; what belongs to one key stays together.
    async fn all(&mut self, wrong: Vec<Wrong>, records: Vec<SinkRecord>) -> Result<(), SinkError> {
        let mut by_key: BTreeMap<Key, (Vec<Wrong>, Option<SinkRecord>)> = BTreeMap::new();
        for wrong in wrong {
            by_key.entry((wrong.ty, wrong.stored.key.clone())).or_default().0.push(wrong);
        }
        for record in records {
            let key = (record.ty, record.key());
            by_key.entry(key).or_default().1 = Some(record);
        }
        let mut parts = by_key.into_values().peekable();
        while parts.peek().is_some() {
            let (wrong, records): (Vec<_>, Vec<_>) = parts.by_ref().take(KEYS).unzip();
            self.part(wrong.concat(), records.into_iter().flatten().collect()).await?;
        }
        Ok(())
    }

    /// One part into the store, whatever it takes: what the store will not take is left out and counted.
    async fn part(&mut self, mut wrong: Vec<Wrong>, records: Vec<SinkRecord>) -> Result<(), SinkError> {
        let mut pieces = vec![records];
        while let Some(piece) = pieces.pop() {
            let mut batch = Batch { records: piece, next: Vec::new() };
            match self.sink.mend(&wrong, &batch).await {
                Ok(mended) => {
                    self.done.left += mended.left;
                    // Taken out with the first piece that went in.
                    wrong.clear();
                }
                Err(SinkError::Refused(refused)) if !refused.is_empty() => {
                    let bad: HashSet<usize> = refused.iter().map(|refused| refused.at).collect();
                    self.done.refused += bad.len() as u64;
                    let good = batch.records.into_iter().enumerate().filter(|(at, _)| !bad.contains(at)).map(|(_, record)| record);
                    pieces.push(good.collect());
                }
                Err(SinkError::Data { .. }) if batch.records.len() > 1 => {
                    pieces.push(batch.records.split_off(batch.records.len() / 2));
                    pieces.push(batch.records);
                }
                Err(SinkError::Data { .. }) if batch.records.len() == 1 => {
                    self.done.refused += 1;
                    pieces.push(Vec::new());
                }
                Err(error) if error.is_retriable() && Instant::now() < self.deadline => {
                    tokio::time::sleep(PAUSE).await;
                    pieces.push(batch.records);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
