//! A life of two processes, of which one dies, or is stopped until others have replaced both.
use std::time::Duration;

use anyhow::{Result, bail};

use super::Run;
use crate::child::Ended;
use crate::findings::Kind;
use crate::lives::Dies;
use crate::pair::Pair;

/// How long the replaced may take to notice.
const FENCED: Duration = Duration::from_secs(20);

impl Run<'_> {
    /// Process `which` meets `life` and dies; the other must end too, and not as if all were well.
    pub(super) fn one_of_two(&mut self, life: &[(&'static str, String)], which: usize, dies: Dies) -> Result<String> {
        let mut pair = self.cell.run_pair(self.workers, which, life, &self.stderr())?;
        let (Dies::AtPoint(after) | Dies::Killed(after) | Dies::Replaced(after)) = dies;
        let early = pair.process(which).wait(self.scaled(after))?;
        let told = match (&early, dies) {
            (Some(ended), Dies::AtPoint(_)) if ended.was_killed() => format!("process {which} reached it"),
            (Some(ended), _) => format!("process {which} ended with {}: {}", ended.status, ended.tail),
            (None, Dies::Replaced(_)) => return self.two_replaced(pair, which),
            (None, _) => {
                pair.process(which).kill()?;
                format!("process {which} killed after {after} ms")
            }
        };
        both_ended(pair.ends()?)?;
        Ok(told)
    }

    /// One is stopped, two others take over, it is continued: the first two must do no harm, and end.
    fn two_replaced(&mut self, mut old: Pair, which: usize) -> Result<String> {
        old.process(which).stop()?;
        let workers = self.next_workers();
        let mut new = self.cell.run_pair(workers, 0, &[], &format!("{}-second", self.stderr()))?;
        if !self.takes_over(Duration::from_secs(60))? {
            return Ok(format!("process {which} stopped; two others did not take over within a minute"));
        }
        // They get on, and take snapshots that the others know nothing of.
        std::thread::sleep(Duration::from_millis(self.rng.u64(0..4_000)));
        old.process(which).resume()?;
        let told = match old.wait_any(FENCED)? {
            Some(ended) => format!("process {which} stopped, both replaced, continued, ended with {}: {}", ended.status, ended.tail),
            // Those that were stopped before they had taken over are themselves the newer.
            None if new.wait_any(Duration::ZERO)?.is_some_and(|ended| ended.tail.contains("fenced")) => {
                old.process(which).kill()?;
                both_ended(new.ends()?)?;
                format!("process {which} stopped before it had taken over; continued, the two fenced the others")
            }
            None => {
                self.findings.note("topics", Kind::Doubled, || format!("two processes still ran {FENCED:?} after they were replaced"));
                old.process(which).kill()?;
                "replaced and continued; they still ran".to_owned()
            }
        };
        both_ended(old.ends()?)?;
        new.process(which).kill()?;
        both_ended(new.ends()?)?;
        Ok(told)
    }
}

/// Nobody asked for a drain.
fn both_ended(ends: Vec<Ended>) -> Result<()> {
    match ends.iter().position(|ended| ended.status.success()) {
        Some(process) => bail!("process {process} ended as if all were well, and the other had died"),
        None => Ok(()),
    }
}
