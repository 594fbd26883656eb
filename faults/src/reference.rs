//! What an uninterrupted run over the same input gives; made once for each workload.
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cell::{Cell, Knobs, Place};
use crate::drive::Harness;
use crate::outputs;
use crate::workload::{POISON, Workload};

/// Topic and key → value.
pub type Contents = BTreeMap<(&'static str, Vec<u8>), Vec<u8>>;

/// Filled by the first who needs it.
type Made = Arc<OnceLock<Arc<Contents>>>;

/// By workload, and whether its poison was armed.
#[derive(Default)]
pub struct References {
    made: Mutex<HashMap<(u64, bool), Made>>,
}

impl References {
    /// The contents for a workload.
    pub fn of(&self, workload: &Workload, poisoned: bool, harness: &Harness) -> Result<Arc<Contents>> {
        let cell = {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(made.entry((workload.number, poisoned)).or_default())
        };
        if let Some(contents) = cell.get() {
            return Ok(Arc::clone(contents));
        }
        // Two runs may make the same one at the same time: they make the same.
        let contents = Arc::new(make(workload, poisoned, harness)?);
        Ok(Arc::clone(cell.get_or_init(|| contents)))
    }
}

fn make(workload: &Workload, poisoned: bool, harness: &Harness) -> Result<Contents> {
    let folder = tempfile::Builder::new().prefix("reference-").tempdir_in(&harness.folder)?;
    let knobs = Knobs::plain();
    let mut cell = Cell::new("soc", folder.path(), &harness.binary, Place::Embedded, &knobs)?;
    // The whole journal tells what is processed.
    cell.environment.push(("SIGHTLINE_FAILPOINTS", "journal.trim=error@*".into()));
    if poisoned {
        cell.environment.push(("SIGHTLINE_POISON", POISON.into()));
    }
    for (at, step) in workload.steps.iter().enumerate() {
        let alone = workload.stands_alone(step);
        if alone {
            process(&cell)?;
        }
        cell.take(step, at)?;
        if alone {
            process(&cell)?;
        }
    }
    process(&cell)?;
    let log = cell.log()?;
    let contents = outputs::compacted(&outputs::lines(&*log, "soc", &BTreeMap::new())?);
    drop(log);
    fs::remove_dir_all(folder.path())?;
    Ok(contents)
}

/// Runs one worker until the inputs are processed. The embedded log is for one process at a time, so it is drained before more is taken in.
fn process(cell: &Cell) -> Result<()> {
    let mut wait = Duration::from_millis(700);
    for _ in 0..6 {
        let mut service = cell.run(1, "topology", &[], "stderr")?;
        if let Some(ended) = service.wait(wait)? {
            bail!("the reference run ended with {}: {}", ended.status, ended.tail);
        }
        let ended = service.terminate().context("the reference run does not drain")?;
        if ended.was_starting() {
            wait *= 2;
            continue;
        }
        if !ended.status.success() {
            bail!("the reference run ended with {}: {}", ended.status, ended.tail);
        }
        let log = cell.log()?;
        let journal = outputs::journal(&*log, "soc")?;
        let (lost, _) = outputs::tiling(&journal, &outputs::input_ends(&*log, "soc")?, false);
        if lost.is_empty() {
            return Ok(());
        }
        wait *= 2;
    }
    bail!("the reference run does not come to an end")
}
