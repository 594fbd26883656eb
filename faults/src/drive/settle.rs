//! Lives without a fault, until all that was taken in is everywhere.
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{FIRST_WAIT, Run, SERVER_WAIT, TRIES};
use crate::child::Ended;
use crate::fault::Fault;
use crate::pair::PROCESSES;
use crate::{outputs, store};

/// Ends of a process without a fault after which a cell is stuck.
const DEATHS: u32 = 4;

impl Run<'_> {
    /// Runs without faults until all that is in the inputs is in the topics and in the stores.
    pub(super) fn settle(&mut self) -> Result<()> {
        let (mut wait, mut deaths) = (FIRST_WAIT, 0);
        if self.cell.place().broker().is_some() {
            wait = SERVER_WAIT;
        }
        for _ in 0..TRIES {
            let ended = self.quiet_life(wait)?;
            if ended.was_starting() {
                wait *= 2;
                continue;
            }
            if !ended.status.success() {
                deaths += 1;
                self.advised(&ended)?;
                if deaths >= DEATHS {
                    bail!("the process ends {deaths} times without a fault: {}: {}", ended.status, ended.tail);
                }
                continue;
            }
            if self.is_settled()? {
                return Ok(());
            }
            wait = (wait * 2).min(Duration::from_secs(8));
        }
        bail!("what is in the inputs is not processed after {TRIES} tries")
    }

    /// A life without a fault: of two processes at random, where the fault is about those.
    fn quiet_life(&mut self, wait: Duration) -> Result<Ended> {
        if self.fault == Fault::ProcessDies && self.rng.bool() {
            let (workers, which) = (self.next_workers(), self.rng.usize(0..PROCESSES));
            let mut pair = self.cell.run_pair(workers, 0, &[], &self.stderr())?;
            pair.wait_any(wait)?;
            return pair.terminate(which);
        }
        let mut service = self.start(&[], "topology,connect")?;
        match service.wait(wait)? {
            Some(ended) => Ok(ended),
            None => service.terminate(),
        }
    }

    /// Does what the process asks of its operator: some damage is beyond it, and it says so.
    fn advised(&mut self, ended: &Ended) -> Result<()> {
        self.note(format!("without a fault it ended with {}: {}", ended.status, ended.tail));
        if self.fault == Fault::DamagedDocuments && ended.tail.contains("remove the state directory") {
            fs::remove_dir_all(self.cell.state())?;
            self.note("removed the state directory, as it asked".into());
        }
        Ok(())
    }

    fn is_settled(&self) -> Result<bool> {
        let log = self.cell.log()?;
        let journal = outputs::journal(&*log, &self.cell.name)?;
        let manifest = manifest_positions(&self.cell.state());
        for (partition, end) in outputs::input_ends(&*log, &self.cell.name)? {
            let at = |(topic, number, ..): &&(String, i32, i64, i64)| **topic == *partition.topic && *number == partition.partition;
            let journalled = journal.iter().flat_map(|entry| &entry.ranges).filter(at).map(|(.., to)| *to).max().unwrap_or(0);
            let known = manifest.iter().filter(|(topic, number, _)| **topic == *partition.topic && *number == partition.partition);
            if journalled.max(known.map(|(.., to)| *to).max().unwrap_or(0)) < end.0 {
                return Ok(false);
            }
        }
        let head = journal.last().map_or(0, |entry| entry.epoch);
        let progress = outputs::progress(&*log, &self.cell.name, self.knobs.lanes, &Default::default())?;
        if progress.is_none_or(|progress| progress < head) {
            return Ok(false);
        }
        if self.cell.place().broker().is_some() {
            return Ok(true);
        }
        let stored = store::positions(&self.cell.database())?;
        let topics = store::TABLES.iter().map(|(topic, _)| *topic);
        let ends = outputs::ends(&*log, &self.cell.name, topics)?;
        Ok(ends.iter().all(|(partition, end)| end.0 == 0 || stored.get(partition).is_some_and(|at| at >= end)))
    }
}

/// Positions of the newest manifest: what the journal no longer tells when it was trimmed.
fn manifest_positions(state: &Path) -> Vec<(String, i32, i64)> {
    let files = fs::read_dir(state).into_iter().flatten().flatten().map(|file| file.path());
    let manifests = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let values = manifests.filter_map(|path| serde_json::from_slice::<serde_json::Value>(&fs::read(path).ok()?).ok());
    values
        .filter_map(|value| serde_json::from_value::<Vec<(String, i32, i64)>>(value["manifest"]["positions"].clone()).ok())
        .flatten()
        .collect()
}
