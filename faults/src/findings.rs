//! What a run found wrong.
use std::collections::BTreeMap;

use crate::outputs::{BY_CONTENT, BY_EVENT, DEAD, Line, Lines, SIGHTINGS, compacted, is_retracted, keys};

/// Where something is counted: `topics`, or a store.
pub type Where = &'static str;

/// Losses, doublings and differences, with examples.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// By place.
    pub by_place: BTreeMap<Where, Counts>,
    /// The first few, in words.
    pub examples: Vec<String>,
}

/// How many of what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// There should be a record or row, and there is none.
    pub lost: u64,
    /// There is one too many.
    pub doubled: u64,
    /// There is one, and it is another.
    pub differs: u64,
}

/// What kind.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Missing.
    Lost,
    /// Too many.
    Doubled,
    /// Another value.
    Differs,
}

const EXAMPLES: usize = 8;

impl Findings {
    /// Notes one.
    pub fn note(&mut self, place: Where, kind: Kind, example: impl FnOnce() -> String) {
        self.count(place, kind, 1);
        if self.examples.len() < EXAMPLES {
            self.examples.push(format!("{place}: {kind:?}: {}", example()));
        }
    }

    /// Notes many.
    pub fn count(&mut self, place: Where, kind: Kind, many: u64) {
        let counts = self.by_place.entry(place).or_default();
        match kind {
            Kind::Lost => counts.lost += many,
            Kind::Doubled => counts.doubled += many,
            Kind::Differs => counts.differs += many,
        }
    }

    /// Takes in what `verify` says of each store.
    pub fn verified(&mut self, text: &str) {
        let mut place = "stores";
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let [name, "at", "epoch", ..] = words[..] {
                place = ["sqlite", "postgres", "elasticsearch", "neo4j"].into_iter().find(|store| *store == name).unwrap_or("stores");
            }
            if let [ty, _, "equal", missing, "missing", extra, "extra", different, "different"] = words[..] {
                for (kind, many) in [(Kind::Lost, missing), (Kind::Doubled, extra), (Kind::Differs, different)] {
                    let many = many.parse().unwrap_or(0);
                    if many > 0 {
                        self.note(place, kind, || format!("verify: {many} {ty}"));
                        self.count(place, kind, many - 1);
                    }
                }
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_place.values().all(|counts| *counts == Counts::default())
    }
}

/// Doubled records and records out of order, seen without any other run: a key has one record an epoch, and epochs rise.
pub fn within(lines: &Lines, findings: &mut Findings) {
    for ((topic, key), lines) in lines {
        for pair in lines.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let doubled = if *topic == DEAD { before == after && before.value.is_some() } else { before.epoch == after.epoch };
            if doubled {
                findings.note("topics", Kind::Doubled, || format!("{topic} {} twice in epoch {}", text(key), after.epoch));
            } else if before.epoch > after.epoch {
                findings.note("topics", Kind::Differs, || {
                    format!("{topic} {}: epoch {} comes after epoch {}", text(key), after.epoch, before.epoch)
                });
            }
        }
    }
}

/// A replay of the same journal is the measure, up to epoch `head`: the same records in the same order, key by key, headers and all.
pub fn against_replay(lines: &Lines, replayed: &Lines, head: u64, findings: &mut Findings) {
    let none: Vec<Line> = Vec::new();
    for key in keys(lines, replayed) {
        let upto =
            |lines: &Lines| -> Vec<Line> { lines.get(key).unwrap_or(&none).iter().filter(|line| line.epoch <= head).cloned().collect() };
        let (is, should) = (upto(lines), upto(replayed));
        if is == should {
            continue;
        }
        let (mut only_is, mut only_should) = (is.clone(), Vec::new());
        for line in &should {
            match only_is.iter().position(|other| other == line) {
                Some(at) => drop(only_is.swap_remove(at)),
                None => only_should.push(line.clone()),
            }
        }
        let name = || format!("{} {} in epochs {:?}, by the journal in {:?}", key.0, text(&key.1), epochs(&is), epochs(&should));
        // What differs in one epoch is one difference, and not a loss and a doubling.
        let (mut differs, mut lost) = (0, 0);
        for line in only_should {
            match only_is.iter().position(|other| other.epoch == line.epoch) {
                Some(at) => {
                    only_is.swap_remove(at);
                    differs += 1;
                }
                None => lost += 1,
            }
        }
        for (kind, many) in [(Kind::Lost, lost), (Kind::Doubled, only_is.len() as u64), (Kind::Differs, differs)] {
            if many > 0 {
                findings.note("topics", kind, name);
                findings.count("topics", kind, many - 1);
            }
        }
        if lost + differs == 0 && only_is.is_empty() {
            findings.note("topics", Kind::Differs, || format!("the order of {}", name()));
        }
    }
}

/// An uninterrupted run over the same input is the measure: the same value of each key in the end.
pub fn against_reference(lines: &Lines, reference: &BTreeMap<(&'static str, Vec<u8>), Vec<u8>>, events: bool, findings: &mut Findings) {
    let is = compacted(lines);
    for key in keys(&is, reference) {
        let follows = BY_CONTENT.contains(&key.0) || key.0 == SIGHTINGS || (events && BY_EVENT.contains(&key.0));
        if !follows {
            continue;
        }
        // What an indicator said for less than an epoch has left no trace; for longer, sightings that were taken back.
        let in_force = |value: &&Vec<u8>| key.0 != SIGHTINGS || !is_retracted(value);
        let name = || format!("{} {} against the uninterrupted run", key.0, text(&key.1));
        match (is.get(key).filter(in_force), reference.get(key).filter(in_force)) {
            (None, None) => {}
            (Some(is), Some(should)) if is == should => {}
            (Some(_), Some(_)) => findings.note("topics", Kind::Differs, name),
            (Some(_), None) => findings.note("topics", Kind::Doubled, name),
            (None, _) => findings.note("topics", Kind::Lost, name),
        }
    }
}

fn epochs(lines: &[Line]) -> Vec<u64> {
    lines.iter().map(|line| line.epoch).collect()
}

fn text(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}
