//! Instants that may be missing, in eight bytes where an `Option` takes sixteen: tables hold several a row.
use serde::{Deserialize, Serialize};
use sightline_schemas::Micros;

/// No instant: far before the year 1, where [`Micros`] begin. It sorts before all, as `None` does.
const NONE: i64 = i64::MIN;

/// An instant, or none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "Option<Micros>", into = "Option<Micros>")]
pub struct MaybeMicros(i64);

impl MaybeMicros {
    /// As an option.
    pub fn get(self) -> Option<Micros> {
        (self.0 != NONE).then_some(Micros(self.0))
    }
}

impl From<Option<Micros>> for MaybeMicros {
    fn from(instant: Option<Micros>) -> Self {
        Self(instant.map_or(NONE, |micros| micros.0))
    }
}
impl From<MaybeMicros> for Option<Micros> {
    fn from(instant: MaybeMicros) -> Self {
        instant.get()
    }
}
