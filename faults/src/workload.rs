//! What goes into a cell: steps of files and removals, made from a number alone.
//!
//! Part of it is bundled real data (`demo/`), the rest is generated: small bundles that contradict, repeat, revoke and complete one another, with bad
//! objects among them, allow-lists, and events that touch what they name.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::{Value, json};

/// The steps of a workload.
#[derive(Clone, Debug)]
pub struct Workload {
    /// From which all of it is made.
    pub number: u64,
    /// In order.
    pub steps: Vec<Step>,
    /// Events are taken in only when the intelligence before them is processed. Only then does what they met not depend on how epochs were cut, and
    /// only then can they be compared with another run's; otherwise they are compared with a replay of the same journal. Sightings in force are
    /// compared in any case.
    pub ordered_events: bool,
}

/// One thing done to a cell.
#[derive(Clone, Debug)]
pub enum Step {
    /// Files are taken in, of one feed or each of its own.
    Take {
        /// Feed; by each file's name where there is none.
        feed: Option<&'static str>,
        /// Name and content.
        files: Vec<(String, Vec<u8>)>,
        /// They hold events.
        events: bool,
    },
    /// All that a feed has said is unlearnt. What is in the log before it must be processed first, for between topics there is no order.
    Remove(&'static str),
}

/// The feed whose newest package is the whole of it; the configuration declares it.
pub const SNAPSHOT_FEED: &str = "vendor";
const FEEDS: [&str; 3] = ["alpha", "beta", SNAPSHOT_FEED];
/// Holds in some inputs: the failpoint `poison` makes a parser panic on it.
pub const POISON: &str = "SIGHTLINE-POISON-b1946ac9";

impl Workload {
    /// Makes the workload of that number. `demo`: the folder of bundled data.
    pub fn new(number: u64, demo: &Path) -> Result<Self> {
        let rng = &mut Rng::with_seed(number ^ 0x5197_71e5);
        let mut world = World::new(rng);
        let ordered_events = rng.bool();
        let mut steps = Vec::new();
        for at in 0..rng.usize(3..=5) {
            if at > 0 && rng.u8(0..4) == 0 {
                steps.push(Step::Remove(FEEDS[rng.usize(0..FEEDS.len())]));
            }
            let feed = FEEDS[rng.usize(0..FEEDS.len())];
            let files = (0..rng.usize(6..20)).map(|file| (format!("w{number}-{at}-{file:02}.json"), world.bundle(rng))).collect();
            steps.push(Step::Take { feed: Some(feed), files, events: false });
            if rng.bool() {
                let files = (0..rng.usize(2..10)).map(|file| (format!("events-{at}-{file}.ndjson"), world.events(rng))).collect();
                steps.push(Step::Take { feed: None, files, events: true });
            }
        }
        let bundled: &[(&str, bool)] = &[
            ("poisonivy.json", false),
            ("tweetfeed-today.csv", false),
            ("apt1.json", false),
            ("staged.ndjson", true),
            ("cloudtrail.ndjson", true),
        ];
        let (name, events) = bundled[rng.usize(0..bundled.len())];
        let bytes = std::fs::read(demo.join(name)).with_context(|| format!("failed to read {name} in {}", demo.display()))?;
        steps.insert(rng.usize(0..=steps.len()), Step::Take { feed: None, files: vec![(name.to_owned(), bytes)], events });
        Ok(Self { number, steps, ordered_events })
    }

    /// Whether what came before must be processed before this step, and this step before what follows.
    pub fn stands_alone(&self, step: &Step) -> bool {
        match step {
            Step::Remove(_) => true,
            Step::Take { events, .. } => *events && self.ordered_events,
        }
    }
}

impl Step {
    /// Writes the files of a step into `folder`.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let Self::Take { files, .. } = self else { return Ok(Vec::new()) };
        std::fs::create_dir_all(folder)?;
        let write = |(name, bytes): &(String, Vec<u8>)| {
            let path = folder.join(name);
            std::fs::write(&path, bytes)?;
            Ok(path)
        };
        files.iter().map(write).collect()
    }
}

/// The entities that bundles speak of: few, so that bundles meet.
struct World {
    indicators: Vec<String>,
    malware: Vec<String>,
    actors: Vec<String>,
    addresses: Vec<String>,
    domains: Vec<String>,
    clock: u32,
}

impl World {
    fn new(rng: &mut Rng) -> Self {
        let mut ids = |ty: &str, count: usize| (0..count).map(|_| format!("{ty}--{}", uuid(rng))).collect::<Vec<_>>();
        let (indicators, malware, actors) = (ids("indicator", 24), ids("malware", 8), ids("threat-actor", 4));
        let addresses = (0..16).map(|at| format!("198.51.100.{at}")).collect();
        let domains = (0..8).map(|at| format!("c2-{at}.example.net")).collect();
        Self { indicators, malware, actors, addresses, domains, clock: 0 }
    }

    fn bundle(&mut self, rng: &mut Rng) -> Vec<u8> {
        if rng.u8(0..12) == 0 {
            return self.allow_list(rng);
        }
        let objects: Vec<Value> = (0..rng.usize(1..8)).map(|_| self.object(rng)).collect();
        json!({ "type": "bundle", "id": format!("bundle--{}", uuid(rng)), "objects": objects }).to_string().into_bytes()
    }

    /// Of some addresses, and a network of which most are no addresses.
    fn allow_list(&mut self, rng: &mut Rng) -> Vec<u8> {
        self.clock += rng.u32(0..3);
        let version = 20_240_000 + (1 + self.clock / 28 % 12) * 100 + 1 + (self.clock + rng.u32(0..5)) % 28;
        let entries: Vec<&str> =
            (0..rng.usize(0..4)).map(|_| pick(rng, &self.addresses)).chain(["198.51.100.12/29", "300.0.0.0/8"]).collect();
        json!({ "name": format!("list {}", rng.u8(0..2)), "type": "cidr", "version": version, "list": entries }).to_string().into_bytes()
    }

    fn object(&mut self, rng: &mut Rng) -> Value {
        // Times rise and fall, so that versions come out of order, and are sometimes the same.
        self.clock += rng.u32(0..3);
        let modified = format!("2024-{:02}-{:02}T00:00:00Z", 1 + self.clock / 28 % 12, 1 + (self.clock + rng.u32(0..5)) % 28);
        let base = |id: &str| json!({ "type": id.split("--").next(), "spec_version": "2.1", "id": id, "created": "2024-01-01T00:00:00Z", "modified": modified });
        let with = |mut object: Value, more: Value| {
            if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
                object.extend(more);
            }
            object
        };
        match rng.u8(0..16) {
            0..=6 => {
                let pattern = match rng.u8(0..4) {
                    0 => format!("[domain-name:value = '{}']", pick(rng, &self.domains)),
                    1 => format!(
                        "[ipv4-addr:value = '{}' OR ipv4-addr:value = '{}']",
                        pick(rng, &self.addresses),
                        pick(rng, &self.addresses)
                    ),
                    _ => format!("[ipv4-addr:value = '{}']", pick(rng, &self.addresses)),
                };
                let mut object = with(
                    base(pick(rng, &self.indicators)),
                    json!({ "pattern": pattern, "pattern_type": "stix", "valid_from": "2020-01-01T00:00:00Z", "name": format!("i{}", rng.u16(..)) }),
                );
                match rng.u8(0..8) {
                    0 => object["revoked"] = true.into(),
                    1 => object["valid_until"] = "2021-01-01T00:00:00Z".into(),
                    2 => object["valid_until"] = "2999-01-01T00:00:00Z".into(),
                    3 => object["confidence"] = rng.u8(0..=100).into(),
                    _ => {}
                }
                object
            }
            7..=8 => with(base(pick(rng, &self.malware)), json!({ "name": format!("m{}", rng.u8(..)), "is_family": rng.bool() })),
            9 => with(base(pick(rng, &self.actors)), json!({ "name": format!("a{}", rng.u8(..)) })),
            10..=13 => {
                let (from, to) = if rng.bool() { (&self.indicators, &self.malware) } else { (&self.actors, &self.malware) };
                let ty = if std::ptr::eq(from, &self.indicators) { "indicates" } else { "uses" };
                let (source, target) = (pick(rng, from), pick(rng, to));
                // One id for a pair: a relationship that many bundles tell of.
                let tail = format!("{}{}", &source[source.len() - 12..source.len() - 6], &target[target.len() - 6..]);
                let id = format!("relationship--00000000-0000-4000-8000-{tail}");
                with(base(&id), json!({ "relationship_type": ty, "source_ref": source, "target_ref": target }))
            }
            14 => with(
                base(pick(rng, &self.indicators)),
                json!({ "pattern": "[broken", "pattern_type": "stix", "valid_from": "2020-01-01T00:00:00Z" }),
            ),
            _ => with(base(&format!("malware--{}", uuid(rng))), json!({ "name": POISON, "is_family": true })),
        }
    }

    fn events(&mut self, rng: &mut Rng) -> Vec<u8> {
        let mut lines = String::new();
        for _ in 0..rng.usize(1..12) {
            let host = format!("ws-{}.corp.example", rng.u8(0..50));
            let second = rng.u32(0..86_400);
            let time = format!("2024-06-01T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60);
            let event = match rng.u8(0..8) {
                0 => {
                    json!({ "@timestamp": time, "source": "dns", "host": { "name": host }, "dns": { "question": { "query": pick(rng, &self.domains) } } })
                }
                1 => json!({ "@timestamp": time, "source": "proxy", "host": { "name": host }, "note": POISON }),
                2 => Value::Null,
                _ => {
                    let address =
                        if rng.u8(0..3) == 0 { pick(rng, &self.addresses).to_owned() } else { format!("203.0.113.{}", rng.u8(..)) };
                    json!({ "@timestamp": time, "source": "proxy", "host": { "name": host }, "destination": { "ip": address }, "n": rng.u32(..) })
                }
            };
            // A line that is no event is a dead letter.
            lines.push_str(&if event.is_null() { format!("{{\"broken\": {second}\n") } else { format!("{event}\n") });
        }
        lines.into_bytes()
    }
}

fn pick<'a>(rng: &mut Rng, from: &'a [String]) -> &'a str {
    &from[rng.usize(0..from.len())]
}

fn uuid(rng: &mut Rng) -> String {
    let bits = rng.u128(..);
    let hex = format!("{bits:032x}");
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_number_is_always_the_same_workload() {
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo");
        let text = |number| format!("{:?}", Workload::new(number, &demo).unwrap());
        assert_eq!(text(3), text(3));
        assert_ne!(text(3), text(4));
    }
}
