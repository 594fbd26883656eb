//! Names of topics and keys (the contract's table), under a cell's prefix.
use std::sync::Arc;

use crate::name::TenantId;

/// The topics of one cell.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: Arc<str>,
}

macro_rules! topics {
    ($($(#[$doc:meta])* $method:ident = $suffix:literal),* $(,)?) => {
        impl Topics {
            $($(#[$doc])* pub fn $method(&self) -> String { format!("{}.{}", self.prefix, $suffix) })*
        }
    };
}

topics! {
    /// Packages of intelligence, or parts of one.
    intel_in = "in.intel",
    /// Logs.
    logs_in = "in.logs",
    /// Rules, directives, assets, hunts, feed declarations.
    control_in = "in.control",
    /// Entities, compacted.
    entities = "out.entities",
    /// Observables, compacted.
    observables = "out.observables",
    /// Relations, compacted.
    relations = "out.relations",
    /// Entity to observable, compacted.
    links = "out.links",
    /// Packages and what became of them, compacted.
    packages = "out.packages",
    /// Flattened events.
    events = "out.events",
    /// Matches of events with indicators.
    sightings = "out.sightings",
    /// Alarms.
    alarms = "out.alarms",
    /// Input that could not be read.
    dlq_parse = "dlq.parse",
    /// The journal of epochs.
    epochs = "sys.epochs",
    /// What each lane has committed.
    progress = "sys.progress",
}

impl Topics {
    /// The topics under `prefix` (the contract's default is `soc`).
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What a sink refused.
    pub fn dlq_sink(&self, connector: &str) -> String {
        format!("{}.dlq.sink.{connector}", self.prefix)
    }
}

/// The key of an output record: `tenant:id`.
pub fn key(tenant: TenantId, id: impl std::fmt::Display) -> String {
    format!("{tenant}:{id}")
}

/// Splits a key at its first colon; tenants hold none.
pub fn split_key(key: &str) -> Option<(&str, &str)> {
    key.split_once(':')
}
