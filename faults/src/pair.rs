//! A cell of two processes (`run --processes 2`).
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::Signal;

use crate::child::{Ended, Service};

/// How many there are.
pub const PROCESSES: usize = 2;
/// How long the others may take to end after one has.
const TOGETHER: Duration = Duration::from_secs(60);
/// How often they are looked at.
const LOOK: Duration = Duration::from_millis(5);
/// What a process says once it has found the others.
const JOINED: &str = "all processes of the cell are there";

/// Both processes; killed when dropped.
pub struct Pair {
    processes: Vec<Service>,
}

impl Pair {
    /// Starts them. `command` makes the service of a process, without what says that it is one of two.
    pub fn start(command: impl Fn(usize) -> Command, folder: &Path, log_name: &str) -> Result<Self> {
        let hostfile = folder.join(format!("hosts-{log_name}"));
        // Free ones, all held until all are known.
        let listeners = (0..PROCESSES).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
        let hosts = listeners.iter().map(|listener| Ok(format!("{}\n", listener.local_addr()?))).collect::<Result<String>>()?;
        std::fs::write(&hostfile, hosts)?;
        drop(listeners);
        let start = |process| {
            let mut command = command(process);
            command.args(["--processes", &PROCESSES.to_string(), "--process", &process.to_string()]).arg("--hostfile").arg(&hostfile);
            command.env("SIGHTLINE_LOG", "warn,sightline_topology::cluster=info");
            Service::start(command, &folder.join(format!("{log_name}-{process}")))
        };
        Ok(Self { processes: (0..PROCESSES).map(start).collect::<Result<_>>()? })
    }

    /// One of them.
    pub fn process(&mut self, which: usize) -> &mut Service {
        &mut self.processes[which]
    }

    /// Waits for the end of any, so long at most.
    pub fn wait_any(&mut self, timeout: Duration) -> Result<Option<Ended>> {
        let until = Instant::now() + timeout;
        loop {
            for process in &mut self.processes {
                if let Some(ended) = process.wait(Duration::ZERO)? {
                    return Ok(Some(ended));
                }
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until all have ended, as they must after one has; what each said. One that has not found the others waits for them, whatever becomes of them,
    /// and is killed.
    pub fn ends(&mut self) -> Result<Vec<Ended>> {
        self.wait_any(TOGETHER)?;
        let until = Instant::now() + TOGETHER;
        let mut ends = Vec::new();
        for (number, process) in self.processes.iter_mut().enumerate() {
            let ended = loop {
                if !process.has_said(JOINED) {
                    process.kill()?;
                }
                if let Some(ended) = process.wait(LOOK)? {
                    break ended;
                }
                if Instant::now() >= until {
                    process.kill()?;
                    bail!("process {number} still ran {} s after the other had ended", TOGETHER.as_secs());
                }
            };
            ends.push(ended);
        }
        Ok(ends)
    }

    /// Asks one for a drain: all drain. The end that tells most: of one that ended before it could listen, of one that failed.
    pub fn terminate(&mut self, which: usize) -> Result<Ended> {
        self.processes[which].signal(Signal::TERM)?;
        let mut ends = self.ends()?;
        ends.sort_by_key(|ended| (!ended.was_starting(), ended.status.success()));
        Ok(ends.swap_remove(0))
    }
}
