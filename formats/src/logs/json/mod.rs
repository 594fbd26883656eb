//! JSON in any arrangement.
mod cut;
mod document;
mod oversize;
mod scan;
mod sequence;

pub(super) use cut::{JsonCutter, is_one_line};
pub(super) use document::JsonReader;

/// Names under which services wrap a list of events: an object whose members before that list are scalars is no event, the list's members are.
const WRAPPERS: [&str; 14] = [
    "Records",
    "records",
    "Events",
    "events",
    "value",
    "items",
    "Items",
    "results",
    "Results",
    "logs",
    "data",
    "entries",
    "messages",
    "resources",
];

#[cfg(test)]
mod tests;
