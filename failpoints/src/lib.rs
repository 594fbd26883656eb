//! Failpoints: named places in the recovery protocol where a test build can be made to fail.
//!
//! [`point`] is the list of all places, [`control`] the list of rules that can be switched off to show that the fault harness would notice. Without the
//! feature `enabled` every function here is empty; with it, [`arm`] reads the environment:
//!
//! ```text
//! SIGHTLINE_FAILPOINTS="commit.before[lane-1]=kill@7;segment.before=error(ENOSPC)@3+"     name[label]=action@count; … [label] may be left out
//!     action  kill · panic · delay(MILLISECONDS) · error · error(ENOSPC|EDQUOT|EIO)
//!     count   7: at the seventh hit (default 1) · 7+: from the seventh on · *: at every hit
//! SIGHTLINE_CONTROL=progress-outside,trust-checksums    rules to switch off
//! SIGHTLINE_CLOCK_OFFSET_MS=-86400000                    the wall clock is wrong by so much
//! SIGHTLINE_POISON=text                                  parsing of an input that holds this text panics
//! ```
//!
//! A module of our own and not the crate `fail`: that one finds points by any string, so a misspelt name silently tests nothing, has no action that ends
//! a process as `kill -9` does, counts the first hits and not the n-th, and knows nothing of rules that are switched off.
pub mod control;
pub mod point;

pub use control::Control;
pub use point::Point;

#[cfg(feature = "enabled")]
mod armed;
#[cfg(feature = "enabled")]
mod spec;
#[cfg(feature = "enabled")]
pub use armed::{arm, clock_offset_micros, hit, io, poison, without};

#[cfg(not(feature = "enabled"))]
mod off;
#[cfg(not(feature = "enabled"))]
pub use off::{arm, clock_offset_micros, hit, io, poison, without};
