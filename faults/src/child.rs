//! A running `sightline`, and what can be done to it from outside.
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a clean end may take before it counts as none.
const DRAIN: Duration = Duration::from_secs(60);

/// Held while a process is started and while a log is opened. Between fork and exec a child has copies of all files that are open here, the lock of
/// another run's embedded log among them, which then seems to be in use.
static STARTING: Mutex<()> = Mutex::new(());

/// Waits until no process is being started.
pub fn starting() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a command to its end: its exit code, and what it says.
pub fn output(mut command: Command) -> Result<(Option<i32>, String)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = {
        let _alone = starting();
        command.spawn().context("failed to start sightline")?
    };
    let done = child.wait_with_output()?;
    Ok((done.status.code(), format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr))))
}

/// A child process; killed when dropped.
pub struct Service {
    child: Child,
    stderr: PathBuf,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// As the system says.
    pub status: ExitStatus,
    /// The end of its standard error.
    pub tail: String,
}

impl Ended {
    /// By a signal that it could not answer, of its own failpoint or of another process.
    pub fn was_killed(&self) -> bool {
        self.status.signal().is_some()
    }

    /// SIGTERM came before it listened for it, which ends it as it ends any process.
    pub fn was_starting(&self) -> bool {
        self.status.signal() == Some(Signal::TERM.as_raw())
    }
}

impl Service {
    /// Starts `command`, its standard error into a file.
    pub fn start(mut command: Command, stderr: &Path) -> Result<Self> {
        let file = File::create(stderr)?;
        let _alone = starting();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().context("failed to start sightline")?;
        Ok(Self { child, stderr: stderr.to_owned() })
    }

    /// Waits for its end, so long at most.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Ended>> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(Ended { status, tail: self.tail() }));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to drain and end.
    pub fn terminate(&mut self) -> Result<Ended> {
        self.signal(Signal::TERM)?;
        match self.wait(DRAIN)? {
            Some(ended) => Ok(ended),
            None => {
                self.kill()?;
                bail!("it did not end within {} s of SIGTERM; standard error ends with: {}", DRAIN.as_secs(), self.tail())
            }
        }
    }

    /// SIGSTOP: it keeps what it holds, and does nothing.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Whether its standard error has such a line.
    pub fn has_said(&self, text: &str) -> bool {
        self.said().contains(text)
    }

    /// Sends a signal; one that has ended gets none.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?).context("no process")?;
        match kill_process(pid, signal) {
            // It has ended already.
            Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn said(&self) -> String {
        std::fs::read(&self.stderr).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn tail(&self) -> String {
        let text = self.said();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(4)..].join(" | ")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
