//! `dlq.*`: what could not be processed, its bytes untouched, with origin and reason in the headers.
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A dead letter. The value of the record is `bytes`; the rest are headers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// `topic:partition:offset` of the input.
    pub origin: String,
    /// Where in the input: a JSON path (`$.objects[3].pattern`) or `line 7`.
    pub position: String,
    /// Which step refused it.
    pub stage: Stage,
    /// A stable code in kebab case (`invalid-json`, `invalid-pattern`, `unresolved-reference`).
    pub reason: String,
    /// For people: what is wrong and what to do.
    pub message: String,
    /// The original bytes, cut at the bound `limits.dead_letter_bytes`.
    pub bytes: Bytes,
}

/// The step that refused a record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Putting the parts of a package together.
    Assemble,
    /// Bytes to values.
    Parse,
    /// Values that break a rule of their format.
    Validate,
    /// References to what never came.
    Resolve,
    /// Writing to a store.
    Sink,
}

impl Stage {
    /// The word in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Assemble => "assemble",
            Self::Parse => "parse",
            Self::Validate => "validate",
            Self::Resolve => "resolve",
            Self::Sink => "sink",
        }
    }
}
