//! `replay --shadow`: what another configuration would change.
//!
//! Two private dataflows read the inputs of a cell by its journal, one with the cell's configuration, one with the other, and their outputs are
//! compared. The cell's own output topics are not read: they may be ahead of the epoch, compaction and retention have taken from them, and what they
//! hold may have come of several configurations, one after the other.
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::json;
use sightline_log::embedded::Embedded;
use sightline_schemas::registry::EmbeddedRegistry;
use sightline_schemas::{FeedId, TenantId};
use sightline_topology::epoch::Epoch;
use sightline_topology::intel::FeedKey;
use sightline_topology::shadow::{Declarations, Past};

use crate::config::{Config, FeedConfig};
use crate::difference::{Output, Side, Sides, Totals};
use crate::service::Servers;

/// What of the difference is wanted.
pub struct Asked<'a> {
    /// Up to this epoch; the end of the journal otherwise.
    pub to_epoch: Option<u64>,
    /// Only these output topics; all if empty.
    pub topics: &'a [String],
    /// JSON lines.
    pub as_json: bool,
}

/// Prints what `other` would change of the cell that `live` describes.
pub fn shadow(live: &Config, other: &Config, asked: &Asked<'_>) -> Result<ExitCode> {
    let servers = Servers::read_only(live)?;
    let outputs: Result<Vec<_>> = asked.topics.iter().map(|word| Output::from_word(word, &servers.topics)).collect();
    let outputs = Some(outputs?).filter(|outputs| !outputs.is_empty()).unwrap_or_else(Output::all);
    let declarations = Declarations::between(&feeds(&live.feeds)?, &feeds(&other.feeds)?);
    let past = Past::read(Arc::clone(&servers.log), servers.topics.clone(), asked.to_epoch.map(Epoch))
        .with_context(|| format!("failed to look at the past of cell {}", live.cell))?;
    let directory = tempfile::tempdir().context("failed to make a temporary folder; set TMPDIR")?;
    let run = |name: &str, config: &Config, declarations| -> Result<Embedded> {
        replay(&past, config, declarations, live.workers, &directory.path().join(name))
            .with_context(|| format!("failed to replay the past of cell {} with the {name} configuration", live.cell))
    };
    let first = run("live", live, Declarations::default())?;
    let second = run("shadow", other, declarations)?;

    let side = |log| Side::new(log, Arc::new(EmbeddedRegistry));
    let mut sides = Sides { first: side(&first), second: side(&second), topics: &servers.topics, until: None };
    let mut totals = BTreeMap::new();
    for output in outputs {
        let counts = sides.compare(output, |key, change| {
            if asked.as_json {
                println!("{}", change.json(output.as_str(), key));
            } else {
                println!("{} {}", output.as_str(), change.line(key));
            }
            Ok(())
        })?;
        totals.insert(output.as_str(), counts);
    }
    summary(&totals, past.head(), asked.as_json);
    Ok(ExitCode::SUCCESS)
}

fn replay(past: &Past, config: &Config, declarations: Declarations, workers: usize, directory: &Path) -> Result<Embedded> {
    let progress = indicatif::ProgressBar::new(past.head().0);
    let replayed = past.replay(config.topology.clone(), declarations, workers, directory, |epoch| progress.set_position(epoch.0));
    progress.finish_and_clear();
    Ok(replayed?)
}

/// How many rows are what.
pub fn summary(totals: &BTreeMap<&str, Totals>, epoch: Epoch, as_json: bool) {
    if as_json {
        let of = |totals: &Totals| json!({ "+": totals.added, "-": totals.removed, "~": totals.changed, "equal": totals.equal });
        let totals: serde_json::Map<_, _> = totals.iter().map(|(name, totals)| ((*name).to_owned(), of(totals))).collect();
        println!("{}", json!({ "epoch": epoch.0, "totals": totals }));
        return;
    }
    println!("at epoch {}:", epoch.0);
    for (name, Totals { added, removed, changed, equal }) in totals {
        println!("  {name:<12} {added:>9} + {removed:>9} - {changed:>9} ~ {equal:>9} equal");
    }
}

fn feeds(feeds: &[FeedConfig]) -> Result<BTreeMap<FeedKey, bool>> {
    feeds.iter().map(|feed| Ok((FeedKey { tenant: TenantId::new(&feed.tenant)?, feed: FeedId::new(&feed.name)? }, feed.snapshot))).collect()
}
