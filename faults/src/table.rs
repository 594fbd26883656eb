//! Fault × store: runs, lost, doubled.
use std::collections::BTreeMap;
use std::fmt;

use crate::drive::Outcome;
use crate::fault::Fault;
use crate::findings::Counts;

/// Sums of many runs.
#[derive(Default)]
pub struct Table {
    rows: BTreeMap<Fault, Row>,
}

#[derive(Default)]
struct Row {
    runs: u64,
    stuck: u64,
    by_place: BTreeMap<&'static str, Counts>,
}

impl Table {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        let row = self.rows.entry(outcome.fault).or_default();
        row.runs += 1;
        row.stuck += u64::from(outcome.stuck.is_some());
        for place in ["topics"].iter().chain(&outcome.stores) {
            row.by_place.entry(place).or_default();
        }
        for (place, counts) in &outcome.findings.by_place {
            let sum = row.by_place.entry(place).or_default();
            sum.lost += counts.lost;
            sum.doubled += counts.doubled;
            sum.differs += counts.differs;
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| fault | store | runs | lost | doubled | different | did not go on |")?;
        writeln!(f, "| --- | --- | ---: | ---: | ---: | ---: | ---: |")?;
        for (fault, row) in &self.rows {
            for (place, Counts { lost, doubled, differs }) in &row.by_place {
                writeln!(f, "| {} | {place} | {} | {lost} | {doubled} | {differs} | {} |", fault.name(), row.runs, row.stuck)?;
            }
        }
        Ok(())
    }
}
