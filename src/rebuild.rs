//! `topology rebuild`: the state again, when all snapshots are gone.
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use sightline_schemas::avro::RecordType;
use sightline_schemas::registry::EmbeddedRegistry;
use sightline_topology::rebuild::{Cell, Package, Rebuilt};

use crate::adopt;
use crate::config::Config;
use crate::difference::{Change, Output, Side, Sides, Totals};
use crate::service::Servers;
use crate::shadow::summary;

/// What the state decides about. Packages are history: one that has expired changes nothing but that it would be read again.
const STATE: [RecordType; 4] = [RecordType::Entity, RecordType::Observable, RecordType::Link, RecordType::Relation];

/// Arguments of `topology`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Makes the state again when all snapshots are gone and the journal is trimmed: from the inputs that are still there, and, for packages that have
    /// expired, from the output topics. The cell must not run. Ends with what the state says otherwise than the topics, if anything.
    Rebuild {
        /// Configuration.
        #[arg(short, long)]
        config: PathBuf,
        /// Only compare; install nothing.
        #[arg(long)]
        dry_run: bool,
        /// Install a state that differs from the topics: rows that it does not know stay as they are until a package says otherwise.
        #[arg(long)]
        accept: bool,
    },
}

/// Runs the command.
pub fn topology(args: &Args, environment: Option<&str>) -> Result<ExitCode> {
    let What::Rebuild { config, dry_run, accept } = &args.what;
    let config = Config::read(config, environment)?;
    let servers = Servers::reach(&config)?;
    let cell = Cell {
        log: Arc::clone(&servers.log),
        topics: servers.topics.clone(),
        settings: config.topology.clone(),
        workers: config.workers,
        state_dir: config.state_dir.clone(),
        store: crate::state_store::open(&config)?,
    };
    let rebuilt = rebuild(&cell, &[], &config)?;
    let first = compare(&servers, &rebuilt)?;
    let (rebuilt, differences) = if first.changes.is_empty() {
        (rebuilt, first)
    } else {
        let packages = adopt::packages(&servers, &first.changes)?;
        println!("{} rows are of packages that have expired: taken from the topics, for {} feeds", first.changes.len(), packages.len());
        rebuilt.discard()?;
        let again = rebuild(&cell, &packages, &config)?;
        let differences = compare(&servers, &again)?;
        (again, differences)
    };
    for (output, key, change) in &differences.changes {
        println!("{} {}", output.as_str(), change.line(key));
    }
    summary(&differences.totals, rebuilt.epoch, false);
    println!("made from {} input records", rebuilt.records);
    if *dry_run {
        rebuilt.discard()?;
        return Ok(ExitCode::SUCCESS);
    }
    if !differences.changes.is_empty() && !accept {
        rebuilt.discard()?;
        bail!(
            "the rebuilt state differs from the topics in the rows above; send the packages that hold them again, or install it with --accept"
        );
    }
    rebuilt.install()?;
    println!("installed in {}; start the cell", config.state_dir.display());
    Ok(ExitCode::SUCCESS)
}

fn rebuild(cell: &Cell, packages: &[Package], config: &Config) -> Result<Rebuilt> {
    let progress = indicatif::ProgressBar::new_spinner();
    let rebuilt = cell.rebuild(packages, |epoch| progress.set_message(format!("epoch {}", epoch.0)));
    progress.finish_and_clear();
    rebuilt.with_context(|| format!("failed to rebuild the state of cell {}", config.cell))
}

/// The rows in which topics and state differ.
struct Differences {
    changes: Vec<(Output, String, Change)>,
    totals: BTreeMap<&'static str, Totals>,
}

/// The topics against what the state says, as of its epoch.
fn compare(servers: &Servers, rebuilt: &Rebuilt) -> Result<Differences> {
    let mut sides = Sides {
        first: Side::new(&*servers.log, Arc::clone(&servers.registry)),
        second: Side::new(&rebuilt.outputs, Arc::new(EmbeddedRegistry)),
        topics: &servers.topics,
        until: Some(rebuilt.epoch.0),
    };
    let mut differences = Differences { changes: Vec::new(), totals: BTreeMap::new() };
    for output in STATE.map(Output::Rows) {
        let totals = sides.compare(output, |key, change| {
            differences.changes.push((output, key.to_owned(), change));
            Ok(())
        })?;
        differences.totals.insert(output.as_str(), totals);
    }
    Ok(differences)
}
