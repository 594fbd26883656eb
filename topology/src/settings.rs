//! Settings of the topology: one struct a part, defaults in one place. The doc comment is the help text.
use serde::{Deserialize, Serialize};
use sightline_formats::event::fields::Refused;
use sightline_formats::sources::SourceMapping;
use sightline_formats::{FlatEvent, Limits};
use sightline_schemas::Micros;

use crate::epoch::EpochSettings;
use crate::lane::LaneSettings;

/// Everything the dataflow can be told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopologySettings {
    /// When an epoch closes.
    pub epochs: EpochSettings,
    /// How outputs are written.
    pub lanes: LaneSettings,
    /// The intel lane.
    pub intel: IntelSettings,
    /// Snapshots of state.
    pub snapshots: SnapshotSettings,
    /// Sources of events, in the order in which they are tried. A configuration's file names them by `sources:`.
    pub sources: Vec<SourceMapping>,
    /// What is asked of events.
    pub events: EventSettings,
    /// Bounds on input.
    pub limits: Limits,
    /// Back-pressure.
    pub flow: FlowSettings,
}

/// The intel lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntelSettings {
    /// How many parts a package may have.
    pub package_parts: u32,
    /// How many bytes a package may have, all parts together.
    pub package_bytes: u64,
    /// How long a package waits for its other parts, in milliseconds of journalled time, before it is a dead letter.
    pub parts_timeout_ms: i64,
    /// How long a relationship waits for an end, in milliseconds of journalled time, before it is a dead letter (it is kept all the same).
    pub reference_grace_ms: i64,
    /// How many holders the record of an observable names; it counts them all.
    pub max_holders: usize,
}

impl Default for IntelSettings {
    fn default() -> Self {
        Self { package_parts: 10_000, package_bytes: 1 << 30, parts_timeout_ms: 3_600_000, reference_grace_ms: 60_000, max_holders: 1_000 }
    }
}

/// What is asked of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventSettings {
    /// An event without a time is refused; else it has that of its arrival.
    pub require_time: bool,
    /// An event whose time is more than this after its arrival is refused, in milliseconds.
    pub most_future_ms: i64,
    /// An event touches what lies above its observables too: the parents of a domain, the folders of a URL.
    pub above: bool,
    /// What is remembered of past events, for indicators that come later.
    pub look_back: LookBackSettings,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { require_time: false, most_future_ms: 86_400_000, above: true, look_back: LookBackSettings::default() }
    }
}

/// What is remembered of past events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LookBackSettings {
    /// For how long at least, in milliseconds of journalled time since an event came. A sighting that is older stays as it is.
    pub keep_ms: i64,
    /// About how many events of an observable that no indicator names; the newest stay.
    pub events: usize,
    /// About how many of one that is named. Sightings of older ones stay as they are.
    pub named_events: usize,
    /// About how many observables in all workers; those that no indicator names by value and no event touched for longest go first. One takes 80 bytes and its value.
    pub observables: usize,
}

impl Default for LookBackSettings {
    fn default() -> Self {
        Self { keep_ms: 30 * 86_400_000, events: 100, named_events: 100_000, observables: 20_000_000 }
    }
}

impl EventSettings {
    /// Whether an event may pass.
    ///
    /// # Errors
    /// `time-missing`, `time-in-future`.
    pub(crate) fn check(&self, event: &FlatEvent, received: Micros) -> Result<(), Refused> {
        match event.timestamp {
            None if self.require_time => Err(Refused::new("time-missing", "no field holds a time, and events.require_time is set")),
            Some(at) if at.0.saturating_sub(received.0) > self.most_future_ms.saturating_mul(1000) => {
                let message = format!(
                    "the event's time {at} is more than events.most_future_ms ({}) after its arrival at {received}",
                    self.most_future_ms
                );
                Err(Refused::new("time-in-future", message))
            }
            _ => Ok(()),
        }
    }
}

/// Snapshots of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SnapshotSettings {
    /// How often, in milliseconds. A restart replays at most this much, and what came after it.
    pub interval_ms: u64,
    /// Keep the whole journal, some 200 bytes an epoch, instead of trimming it behind the snapshots: what looks at the past of a cell
    /// (`replay --shadow`) needs it from the first epoch on. The input topics must be kept as long.
    pub keep_journal: bool,
}

impl Default for SnapshotSettings {
    fn default() -> Self {
        Self { interval_ms: 30_000, keep_journal: false }
    }
}

/// Back-pressure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowSettings {
    /// How many epochs may be under way between the journal and the slowest lane; past it the readers stop.
    pub window_epochs: u64,
    /// How many bytes of records these epochs may have, together; one epoch may have any.
    pub window_bytes: u64,
    /// How long the slowest lane may stand still with epochs under way before the process gives up and restarts, in milliseconds.
    pub watchdog_ms: u64,
}

impl Default for FlowSettings {
    fn default() -> Self {
        Self { window_epochs: 64, window_bytes: 64 << 20, watchdog_ms: 120_000 }
    }
}
