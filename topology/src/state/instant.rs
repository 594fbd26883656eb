//! Instants that may be missing, in eight bytes where an `Option` takes sixteen, and pairs of them: tables hold several a row.
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

/// A first and a last instant, or none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "Option<(Micros, Micros)>", into = "Option<(Micros, Micros)>")]
pub struct MaybeSpan(MaybeMicros, MaybeMicros);

impl MaybeSpan {
    /// As an option.
    pub fn get(self) -> Option<(Micros, Micros)> {
        Some((self.0.get()?, self.1.get()?))
    }
}

impl From<Option<(Micros, Micros)>> for MaybeSpan {
    fn from(span: Option<(Micros, Micros)>) -> Self {
        let (first, last) = span.unzip();
        Self(first.into(), last.into())
    }
}
impl From<MaybeSpan> for Option<(Micros, Micros)> {
    fn from(span: MaybeSpan) -> Self {
        span.get()
    }
}

/// A [`MaybeSpan`] of whole milliseconds and less than 34 years, in 11 bytes: most feeds name times no finer. 48 bits from [`EARLIEST`] on, and 40
/// bits of duration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShortSpan([u8; 11]);

/// The year 1, in milliseconds; 48 bits of them end in the year 8920.
const EARLIEST: i64 = -62_135_596_800_000;
const NO_SPAN: [u8; 11] = [u8::MAX; 11];

impl ShortSpan {
    /// Nothing if the span has finer times, or such as are out of range.
    pub fn new(span: MaybeSpan) -> Option<Self> {
        let Some((first, last)) = span.get() else { return Some(Self(NO_SPAN)) };
        let millis = |at: Micros| (at.0 % 1_000 == 0).then_some(at.0 / 1_000);
        let (first, last) = (millis(first)?, millis(last)?);
        let (since, lasted) = (first.checked_sub(EARLIEST)?, last.checked_sub(first)?);
        if !(0..1 << 48).contains(&since) || !(0..(1 << 40) - 1).contains(&lasted) {
            return None;
        }
        let ([a, b, c, d, e, f, ..], [g, h, i, j, k, ..]) = (since.to_le_bytes(), lasted.to_le_bytes());
        Some(Self([a, b, c, d, e, f, g, h, i, j, k]))
    }

    /// As it was.
    pub fn get(self) -> MaybeSpan {
        if self.0 == NO_SPAN {
            return None.into();
        }
        let [a, b, c, d, e, f, g, h, i, j, k] = self.0;
        let first = i64::from_le_bytes([a, b, c, d, e, f, 0, 0]) + EARLIEST;
        let last = first + i64::from_le_bytes([g, h, i, j, k, 0, 0, 0]);
        Some((Micros(first * 1_000), Micros(last * 1_000))).into()
    }
}
