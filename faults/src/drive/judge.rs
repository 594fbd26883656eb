//! What a run is judged by: itself, an uninterrupted run, its stores, a replay of its journal.
use std::fs;
use std::time::Duration;

use anyhow::{Result, bail};
use sightline_failpoints::Control;

use super::{FIRST_WAIT, Run, SERVER_WAIT, TRIES};
use crate::fault::Fault;
use crate::findings::{self, Kind};
use crate::outputs::{self, Lines};
use crate::store;

impl Run<'_> {
    /// Compares everything with everything.
    pub(super) fn judge(&mut self, plain: Vec<(&'static str, String)>) -> Result<()> {
        let name = self.cell.name.clone();
        let (lines, journal) = {
            let log = self.cell.log()?;
            let (lines, journal) = (outputs::lines(&*log, &name, &Default::default())?, outputs::journal(&*log, &name)?);
            if !self.trims {
                let (lost, doubled) = outputs::tiling(&journal, &outputs::input_ends(&*log, &name)?, false);
                lost.into_iter().for_each(|what| self.findings.note("topics", Kind::Lost, || what));
                doubled.into_iter().for_each(|what| self.findings.note("topics", Kind::Doubled, || what));
            }
            (lines, journal)
        };
        findings::within(&lines, &mut self.findings);
        let poisoned = self.fault == Fault::Poison;
        let reference = self.harness.references.of(&self.workload, poisoned, self.harness)?;
        findings::against_reference(&lines, &reference, self.workload.ordered_events, &mut self.findings);
        self.stores(&lines)?;
        if !self.trims {
            let head = journal.last().map_or(0, |entry| entry.epoch);
            self.cell.environment = plain;
            let replayed = self.replay(head)?;
            findings::against_replay(&lines, &replayed, head, &mut self.findings);
        }
        let records: usize = lines.values().map(Vec::len).sum();
        let where_ = if self.cell.place().broker().is_some() { "servers" } else { "embedded" };
        self.note(format!("{records} records in {} epochs, {where_}", journal.len()));
        Ok(())
    }

    /// Counts what did not come out of a cell that does not go on, as far as its log can be read.
    pub(super) fn count_lost(&mut self) {
        let lines = self.cell.log().and_then(|log| outputs::lines(&*log, &self.cell.name, &Default::default()));
        let reference = self.harness.references.of(&self.workload, self.fault == Fault::Poison, self.harness);
        if let (Ok(lines), Ok(reference)) = (lines, reference) {
            findings::against_reference(&lines, &reference, self.workload.ordered_events, &mut self.findings);
        }
    }

    fn stores(&mut self, lines: &Lines) -> Result<()> {
        // On servers the stores catch up while they are compared.
        let service = if self.cell.place().broker().is_some() { Some(self.start(&[], "connect")?) } else { None };
        let (code, text) = self.cell.verify(120)?;
        if let Some(service) = service {
            self.terminated(service)?;
        }
        if self.cell.place().servers().is_none() {
            let rows = store::rows(&self.cell.database())?;
            for (topic, should) in outputs::counts(lines) {
                let is = rows.get(topic).copied().unwrap_or(0);
                self.findings.count("sqlite", Kind::Lost, should.saturating_sub(is));
                self.findings.count("sqlite", Kind::Doubled, is.saturating_sub(should));
            }
        }
        self.findings.verified(&text);
        match code {
            Some(0) => Ok(()),
            Some(5) if !self.findings.is_empty() => Ok(()),
            _ => bail!("verify ended with {code:?}: {text}"),
        }
    }

    /// Makes all outputs again from the journal, without state, with another number of workers, behind the ends of what is there.
    fn replay(&mut self, head: u64) -> Result<Lines> {
        if self.cell.place().broker().is_some() {
            return self.replay_ungated();
        }
        let name = self.cell.name.clone();
        let starts = {
            let log = self.cell.log()?;
            let starts = outputs::ends(&*log, &name, outputs::replayed_topics())?;
            for (partition, end) in &starts {
                if end.0 > 0 {
                    log.trim(partition, *end)?;
                }
            }
            starts
        };
        match &self.disk {
            Some(disk) => disk.empty()?,
            None => fs::remove_dir_all(self.cell.state())?,
        }
        let (mut wait, mut last) = (FIRST_WAIT, None);
        for _ in 0..TRIES {
            let mut service = self.start(&[], "topology")?;
            let ended = match service.wait(wait)? {
                Some(ended) => ended,
                None => service.terminate()?,
            };
            let log = self.cell.log()?;
            if outputs::progress(&*log, &name, self.knobs.lanes, &starts)?.is_some_and(|progress| progress >= head) {
                return outputs::lines(&*log, &name, &starts);
            }
            wait = (wait * 2).min(Duration::from_secs(8));
            last = Some(ended);
        }
        bail!("the journal could not be replayed: {last:?}")
    }

    /// The same on Kafka, which trims no compacted topic, so that progress stays: the lanes are told to write again what they have committed.
    fn replay_ungated(&mut self) -> Result<Lines> {
        let name = self.cell.name.clone();
        self.cell.environment.push(("SIGHTLINE_CONTROL", Control::GatesIgnored.name().into()));
        let mut wait = SERVER_WAIT * 2;
        for _ in 0..4 {
            if self.cell.state().exists() {
                fs::remove_dir_all(self.cell.state())?;
            }
            let starts = outputs::ends(&*self.cell.log()?, &name, outputs::replayed_topics())?;
            let mut service = self.start(&[], "topology")?;
            let ended = match service.wait(wait)? {
                Some(ended) => ended,
                None => service.terminate()?,
            };
            // The replay is not cut short by SIGTERM: a clean end comes after all of it.
            if ended.status.success() {
                return outputs::lines(&*self.cell.log()?, &name, &starts);
            }
            self.note(format!("a replay ended with {}: {}", ended.status, ended.tail));
            wait *= 2;
        }
        bail!("the journal could not be replayed")
    }
}
