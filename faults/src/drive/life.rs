//! A life of the process: how it is started, what it meets, how it ends.
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Run;
use crate::child::Service;
use crate::damage::Damage;
use crate::fault::Fault;
use crate::findings::Kind;
use crate::lives::{Ending, Life};
use crate::outputs;
use crate::proxy::Mode;

/// With servers everything takes so many times as long.
const SLOWER: u64 = 6;

impl Run<'_> {
    pub(super) fn live(&mut self, life: &Life) -> Result<()> {
        let mut environment = Vec::new();
        if !life.failpoints.is_empty() {
            environment.push(("SIGHTLINE_FAILPOINTS", life.failpoints.clone()));
        }
        if let Some(offset) = life.clock_offset_ms {
            environment.push(("SIGHTLINE_CLOCK_OFFSET_MS", offset.to_string()));
        }
        if let (Ending::OnFullDisk(_), Some(disk)) = (life.ending, &self.disk) {
            disk.fill(self.rng.u64(0..200_000))?;
        }
        let copies = self.copies.clone().filter(|_| life.store_away);
        copies.iter().try_for_each(|copies| copies.set_away(true))?;
        let workers = self.next_workers();
        let ended = match life.ending {
            Ending::OneOfTwo { which, dies } => self.one_of_two(&environment, which, dies)?,
            ending => {
                let service = self.cell.run(workers, "topology,connect", &environment, &self.stderr())?;
                self.end(service, ending)?
            }
        };
        copies.iter().try_for_each(|copies| copies.set_away(false))?;
        let away = if copies.is_some() { "store away " } else { "" };
        let mut told = format!("{workers} workers {}{away} {ended}", life.failpoints);
        if let Some(damage) = life.damage {
            let done = self.damage(damage)?;
            told.push_str(&format!("; damage: {}", done.unwrap_or_else(|| "no file yet".into())));
        }
        if let Some(disk) = &self.disk {
            disk.free()?;
        }
        self.note(told);
        Ok(())
    }

    fn damage(&mut self, damage: Damage) -> Result<Option<String>> {
        let mut told = String::new();
        if let (Damage::Copy, Some(copies)) = (damage, &self.copies) {
            let Some(done) = copies.damage(&mut self.rng)? else { return Ok(None) };
            told = format!("{done}, ");
        }
        let done = damage.cause(&self.cell.state(), self.trims, &mut self.rng)?;
        Ok(done.map(|done| told + &done))
    }

    /// Waits for the end that a life has, or brings it about; how it was.
    fn end(&mut self, mut service: Service, ending: Ending) -> Result<String> {
        Ok(match ending {
            Ending::ByItself(within) => match service.wait(self.scaled(within))? {
                Some(ended) if ended.was_killed() => "reached".to_owned(),
                Some(ended) => format!("ended with {}: {}", ended.status, ended.tail),
                None => {
                    service.kill()?;
                    "not reached, killed".to_owned()
                }
            },
            Ending::Killed(after) => match service.wait(self.scaled(after))? {
                Some(ended) => format!("ended with {}: {}", ended.status, ended.tail),
                None => {
                    service.kill()?;
                    format!("killed after {after} ms")
                }
            },
            Ending::Terminated => self.terminated(service)?,
            Ending::TerminatedAfter(after) | Ending::OnFullDisk(after) => match service.wait(self.scaled(after))? {
                Some(ended) => format!("ended with {}: {}", ended.status, ended.tail),
                None => self.terminated(service)?,
            },
            Ending::Replaced(after) => self.replaced(service, after)?,
            Ending::Beside { after, kill } => self.beside(service, self.scaled(after), kill)?,
            Ending::OneOfTwo { .. } => bail!("one process is not two"),
        })
    }

    pub(super) fn scaled(&self, millis: u64) -> Duration {
        Duration::from_millis(if self.cell.place().broker().is_some() { millis * SLOWER } else { millis })
    }

    pub(super) fn terminated(&mut self, mut service: Service) -> Result<String> {
        let ended = service.terminate()?;
        Ok(if ended.status.success() { "terminated".into() } else { format!("terminated with {}: {}", ended.status, ended.tail) })
    }

    /// What happens to servers while the process runs.
    fn beside(&mut self, mut service: Service, pause: Duration, kill: bool) -> Result<String> {
        let place = self.harness.place.clone();
        let Some(servers) = place.servers() else { bail!("{} needs servers", self.fault.name()) };
        let mut told = String::new();
        let early = match self.fault {
            Fault::StoreRefuses => {
                let status = [Some(401), Some(403), Some(429), Some(500), Some(503), None][self.rng.usize(0..6)];
                let mode = Mode::Bad { every: self.rng.u64(2..5), status, after: self.rng.bool() };
                told = format!("{mode:?}, ");
                servers.set("elasticsearch", mode);
                service.wait(pause)?
            }
            Fault::StoreBlocks => {
                let index = ["entities", "observables", "relations"][self.rng.usize(0..3)];
                let (until, mut blocked) = (Instant::now() + pause, false);
                while Instant::now() < until {
                    blocked = blocked || servers.block(&self.cell.name, index, true)?;
                    std::thread::sleep(Duration::from_millis(50));
                }
                let early = service.wait(Duration::ZERO)?;
                told = format!("{index} {}, ", if blocked { "blocked" } else { "never there" });
                servers.block(&self.cell.name, index, false)?;
                early
            }
            Fault::StoreDeadlocks => {
                let before = servers.deadlocks()?;
                let mut other = servers.lock_crosswise(&self.cell.name, 20)?;
                let early = service.wait(pause + Duration::from_secs(4))?;
                other.kill()?;
                other.wait()?;
                // The server counts when a session ends its transaction, a second later at most.
                std::thread::sleep(Duration::from_secs(1));
                told = format!("{} deadlocks, ", servers.deadlocks()?.saturating_sub(before));
                early
            }
            // Set for the whole ingest.
            Fault::StoreDown => service.wait(pause)?,
            _ => {
                let before = service.wait(pause)?;
                if self.fault == Fault::BrokerRestart {
                    servers.broker.restart()?;
                    told = "broker killed and started, ".into();
                } else {
                    // Longer than a transaction may be open, now and then.
                    let millis = if self.rng.u8(0..4) == 0 { 62_000..75_000 } else { 1_000..20_000 };
                    let time = Duration::from_millis(self.rng.u64(millis));
                    servers.broker.freeze(time)?;
                    told = format!("broker frozen for {} ms, ", time.as_millis());
                }
                if before.is_some() { before } else { service.wait(pause)? }
            }
        };
        told.push_str(&match early {
            Some(ended) => format!("ended with {}: {}", ended.status, ended.tail),
            None if kill => {
                service.kill()?;
                "killed".into()
            }
            None => self.terminated(service)?,
        });
        if self.fault == Fault::StoreRefuses {
            servers.pass();
        }
        Ok(told)
    }

    /// A zombie: stopped, replaced, continued. It must do no harm, and it must end or be unable to write.
    fn replaced(&mut self, mut zombie: Service, after: u64) -> Result<String> {
        if let Some(ended) = zombie.wait(self.scaled(after))? {
            return Ok(format!("ended with {}: {}", ended.status, ended.tail));
        }
        zombie.stop()?;
        let workers = self.next_workers();
        let mut second = self.cell.run(workers, "topology,connect", &[], &format!("stderr-{}-second", self.story.len()))?;
        if self.cell.place().broker().is_none() {
            // One process at a time: the second is refused, and the first goes on.
            let refused = second.wait(Duration::from_secs(5))?;
            zombie.resume()?;
            // One that was stopped before it had the lock is itself the second.
            let late =
                zombie.wait(if refused.is_none() { Duration::from_secs(10) } else { Duration::from_millis(self.rng.u64(50..300)) })?;
            zombie.kill()?;
            let late = refused.is_none() && late.is_some_and(|ended| ended.tail.contains("in use by another process"));
            return match refused {
                None if late => {
                    second.kill()?;
                    Ok("stopped before it had the lock; it was refused when it was continued".into())
                }
                Some(ended) if ended.tail.contains("in use by another process") => Ok("stopped; a second process was refused".into()),
                Some(ended) => Ok(format!("stopped; a second process ended otherwise: {}", ended.tail)),
                None => {
                    second.kill()?;
                    self.findings.note("topics", Kind::Doubled, || "two processes have the embedded log open".into());
                    Ok("stopped; a second process was NOT refused".into())
                }
            };
        }
        if !self.takes_over(Duration::from_secs(60))? {
            zombie.kill()?;
            second.kill()?;
            return Ok("a second process did not take over within a minute".into());
        }
        // It gets on, and takes snapshots that the zombie knows nothing of.
        std::thread::sleep(Duration::from_millis(self.rng.u64(0..4_000)));
        zombie.resume()?;
        let fenced = zombie.wait(Duration::from_secs(20))?;
        let told = match &fenced {
            Some(ended) if ended.tail.contains("fenced") => "replaced, continued, and fenced".into(),
            Some(ended) => format!("replaced, continued, ended with {}: {}", ended.status, ended.tail),
            // One that was stopped before it had taken over is itself the newer.
            None if second.wait(Duration::ZERO)?.is_some_and(|ended| ended.tail.contains("fenced")) => {
                "stopped before it had taken over; continued, it fenced the other".into()
            }
            None => {
                self.findings.note("topics", Kind::Doubled, || "a zombie still ran 20 s after it was replaced and continued".into());
                "replaced and continued; it still ran after 20 s".to_owned()
            }
        };
        if fenced.is_none() {
            zombie.kill()?;
        }
        second.kill()?;
        Ok(told)
    }

    /// Waits until the journal grows: a process has taken the cell over.
    pub(super) fn takes_over(&self, within: Duration) -> Result<bool> {
        let head = || -> Result<u64> { Ok(outputs::journal(&*self.cell.log()?, &self.cell.name)?.last().map_or(0, |entry| entry.epoch)) };
        let (before, until) = (head()?, Instant::now() + within);
        while Instant::now() < until {
            if head()? > before {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(false)
    }
}
