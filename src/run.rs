//! `run`: the service.
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sightline_connectors::runtime::Connectors;
use sightline_topology::cluster::ClusterOptions;
use sightline_topology::runtime::InputMode;

use crate::config::{ClusterConfig, Config};
use crate::feed;
use crate::http;
use crate::service::Servers;

/// Arguments of `run`.
#[derive(clap::Args)]
pub struct Args {
    /// Configuration.
    #[arg(short, long)]
    config: PathBuf,
    /// What this process does: `topology`, `connect`, or both.
    #[arg(long, value_delimiter = ',', default_value = "topology,connect")]
    role: Vec<String>,
    /// Worker threads of each process, over the configuration's.
    #[arg(long)]
    workers: Option<usize>,
    /// How many processes the cell has. All get the same configuration, and each its own `--process`; when one ends, all do, and are started again together.
    #[arg(long, default_value_t = 1, value_name = "N")]
    processes: usize,
    /// Which of them this is, from 0. Process 0 runs the connectors.
    #[arg(long, default_value_t = 0, value_name = "I")]
    process: usize,
    /// A file with the processes' addresses, `host:port` a line, in order.
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
}

impl Args {
    /// This process's place in a cell of several.
    fn cluster(&self, config: &Config) -> Result<Option<ClusterOptions>> {
        if self.processes < 2 {
            return Ok(None);
        }
        if config.log.is_some() {
            bail!("the embedded log belongs to one process; use `kafka`, or leave --processes out");
        }
        let file = self.hostfile.as_ref().context("--processes needs --hostfile, a file with `host:port` a line")?;
        let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
        let addresses: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if addresses.len() != self.processes {
            bail!("{} has {} addresses, and --processes says {}", file.display(), addresses.len(), self.processes);
        }
        let ClusterConfig { secret, tls, insecure } = config.cluster.clone();
        let options = ClusterOptions { process: self.process, addresses, secret, tls, insecure };
        options.check()?;
        Ok(Some(options))
    }
}

/// Runs until SIGTERM or SIGINT, then drains.
pub fn run(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let mut config = Config::read(&args.config, environment)?;
    config.workers = args.workers.unwrap_or(config.workers).max(1);
    if let Some(unknown) = args.role.iter().find(|role| !matches!(role.as_str(), "topology" | "connect")) {
        bail!("--role {unknown} does not exist here; use topology, connect, or both");
    }
    let cluster = args.cluster(&config)?;
    let leads = args.process == 0;
    let has = |role: &str| args.role.iter().any(|given| given == role);
    let servers = Servers::reach(&config)?;
    if leads {
        servers.ensure_topics(&config)?;
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("failed to start the async runtime")?;
    let engine = if has("topology") {
        if leads {
            feed::declare(&servers, &config.feeds)?;
        }
        Some(servers.start_in(&config, cluster, InputMode::Follow)?)
    } else {
        None
    };
    let _entered = runtime.enter();
    let configured = if has("connect") && leads { config.connectors.clone() } else { Vec::new() };
    let connectors =
        Arc::new(Connectors::start(Arc::clone(&servers.log), Arc::clone(&servers.registry), servers.topics.clone(), configured)?);
    let state = http::State::new(Arc::clone(&servers.log), servers.topics.clone(), Arc::clone(&connectors));
    // Who has the connectors answers for them; the other processes may share the machine, and its ports.
    let serving = if leads { runtime.block_on(http::serve(&config.http, state))? } else { None };
    tracing::info!(cell = config.cell, workers = config.workers, "running");
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                done = tokio::signal::ctrl_c() => { done?; break }
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    if engine.as_ref().is_some_and(sightline_topology::runtime::Engine::is_finished) { break }
                }
            }
        }
        anyhow::Ok(())
    })?;
    tracing::info!("draining");
    if let Some(engine) = engine {
        engine.stop();
        engine.wait()?;
    }
    if let Some(serving) = serving {
        runtime.block_on(serving.stop());
    }
    runtime.block_on(connectors.stop());
    Ok(ExitCode::SUCCESS)
}
