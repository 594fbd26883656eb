//! A real Kafka and its registry, as `scripts/services env` names them.
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Where they are.
pub struct Broker {
    /// Bootstrap address.
    pub kafka: String,
    registry: String,
}

/// A variable of the environment.
pub fn var(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; say: scripts/services start; eval \"$(scripts/services env)\""))
}

impl Broker {
    /// From the environment.
    pub fn of_environment() -> Result<Self> {
        Ok(Self { kafka: var("SIGHTLINE_KAFKA")?, registry: var("SIGHTLINE_REGISTRY")? })
    }

    /// The part of a configuration that says where the log is.
    pub fn log(&self) -> String {
        format!("kafka: {{ bootstrap: \"{}\" }}\nregistry: {{ url: \"{}\" }}\n", self.kafka, self.registry)
    }

    /// The broker is killed, and started again; returns when it takes connections.
    pub fn restart(&self) -> Result<()> {
        self.signal(Signal::KILL)?;
        // Until somebody has taken note of its end it counts as running.
        for _ in 0..100 {
            if services(&["pid", "kafka"]).is_err() {
                return services(&["start", "kafka"]).map(drop);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the broker does not end")
    }

    /// The broker takes and gives no byte for so long.
    pub fn freeze(&self, time: Duration) -> Result<()> {
        self.signal(Signal::STOP)?;
        std::thread::sleep(time);
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = services(&["pid", "kafka"])?;
        let pid = Pid::from_raw(pid.trim().parse().context("scripts/services gives no pid")?).context("no broker")?;
        Ok(kill_process(pid, signal)?)
    }
}

fn services(arguments: &[&str]) -> Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services");
    // Files, not pipes: the servers keep what they inherit open.
    let out = tempfile::NamedTempFile::new()?;
    let status = Command::new(script).args(arguments).stdout(out.reopen()?).stderr(std::process::Stdio::null()).status()?;
    if !status.success() {
        bail!("scripts/services {} failed", arguments.join(" "));
    }
    Ok(std::fs::read_to_string(out.path())?)
}
