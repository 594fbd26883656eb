//! `verify`: each store against the output topics.
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sightline_connectors::runtime::registry;
use sightline_connectors::verify::{self, Outputs, Repaired, Report};

use crate::config::Config;
use crate::service::Servers;

/// Exit code: a store differs.
const DIFFERS: u8 = 5;

/// Arguments of `verify`.
#[derive(clap::Args)]
pub struct Args {
    /// Configuration.
    #[arg(short, long)]
    config: PathBuf,
    /// Only this connector's store.
    #[arg(long)]
    sink: Option<String>,
    /// How long to wait for a store that is behind, in seconds.
    #[arg(long, default_value_t = 60)]
    patience: u64,
    /// How many differing keys to name, of each type.
    #[arg(long, default_value_t = 100)]
    show: usize,
    /// Rewrite exactly the keys that differ, as the topics have them now, and compare again. Connectors may run meanwhile.
    #[arg(long)]
    repair: bool,
}

/// Exit code 0 when all are equal, in the end; 5 when not.
pub fn verify(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let config = Config::read(&args.config, environment)?;
    let servers = Servers::reach(&config)?;
    let wanted: Vec<_> =
        config.connectors.iter().filter(|connector| args.sink.as_ref().is_none_or(|sink| *sink == connector.name)).collect();
    if wanted.is_empty() {
        let names: Vec<_> = config.connectors.iter().map(|connector| connector.name.as_str()).collect();
        bail!("no such connector; the configuration has: {}", names.join(", "));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start the async runtime")?;
    let (mut sinks, mut all) = (Vec::new(), BTreeSet::new());
    for connector in wanted {
        let sink = registry::build(connector)?;
        let types = connector.record_types(sink.supports())?;
        all.extend(types.iter().copied());
        sinks.push((connector, sink, types));
    }
    let outputs = |types| Outputs { log: &*servers.log, registry: Arc::clone(&servers.registry), topics: &servers.topics, types };
    // Read once for all stores.
    let every = outputs(all.into_iter().collect());
    let mut view = every.view()?;
    let patience = Duration::from_secs(args.patience);
    let mut equal = true;
    for (connector, mut sink, types) in sinks {
        let outputs = outputs(types);
        let mut report = runtime.block_on(verify::verify(&outputs, &view, &mut *sink, patience))?;
        print(&connector.name, &report, args.show);
        if args.repair && !report.is_equal() {
            let Repaired { keys, left, refused } = runtime.block_on(verify::repair(&outputs, &mut *sink, &report, patience))?;
            println!("{}: {keys} keys mended; {left} had changed meanwhile; {refused} refused by the store", connector.name);
            // What came meanwhile is in it too.
            view = every.view()?;
            report = runtime.block_on(verify::verify(&outputs, &view, &mut *sink, patience))?;
            print(&connector.name, &report, args.show);
        }
        equal &= report.is_equal();
    }
    Ok(if equal { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
}

fn print(name: &str, report: &Report, show: usize) {
    println!("{name} at epoch {}: {}", report.epoch, if report.is_equal() { "equal" } else { "DIFFERENT" });
    for (ty, compared) in &report.types {
        println!(
            "  {ty:<12} {:>9} equal {:>6} missing {:>6} extra {:>6} different",
            compared.equal,
            compared.missing.len(),
            compared.extra.len(),
            compared.different.len()
        );
        for (word, key) in compared.differences().take(show) {
            println!("    {word} {key}");
        }
        let unnamed = compared.differences().count().saturating_sub(show);
        if unnamed > 0 {
            println!("    and {unnamed} more; --show names them");
        }
    }
    if report.undecodable > 0 {
        println!("  {} records of the topics cannot be decoded by anyone; see `dlq list`", report.undecodable);
    }
}
