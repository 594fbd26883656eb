//! `run`: the service.
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sightline_connectors::runtime::Connectors;
use sightline_topology::runtime::InputMode;

use crate::config::Config;
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
    /// Worker threads, over the configuration's.
    #[arg(long)]
    workers: Option<usize>,
}

/// Runs until SIGTERM or SIGINT, then drains.
pub fn run(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let mut config = Config::read(&args.config, environment)?;
    config.workers = args.workers.unwrap_or(config.workers).max(1);
    if let Some(unknown) = args.role.iter().find(|role| !matches!(role.as_str(), "topology" | "connect")) {
        bail!("--role {unknown} does not exist here; use topology, connect, or both");
    }
    let has = |role: &str| args.role.iter().any(|given| given == role);
    let servers = Servers::reach(&config)?;
    servers.ensure_topics(&config)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("failed to start the async runtime")?;
    let engine = if has("topology") {
        feed::declare(&servers, &config.feeds)?;
        Some(servers.start(&config, InputMode::Follow)?)
    } else {
        None
    };
    let _entered = runtime.enter();
    let configured = if has("connect") { config.connectors.clone() } else { Vec::new() };
    let connectors =
        Arc::new(Connectors::start(Arc::clone(&servers.log), Arc::clone(&servers.registry), servers.topics.clone(), configured)?);
    let state = http::State::new(Arc::clone(&servers.log), servers.topics.clone(), Arc::clone(&connectors));
    let serving = runtime.block_on(http::serve(&config.http, state))?;
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
