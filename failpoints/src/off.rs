//! Builds without failpoints.
use std::fmt::Display;
use std::io;

use crate::{Control, Point};

/// Refuses an environment that asks for failpoints: a harness would otherwise test nothing, and be content.
///
/// # Errors
/// When it does.
pub fn arm() -> Result<(), String> {
    for name in ["SIGHTLINE_FAILPOINTS", "SIGHTLINE_CONTROL", "SIGHTLINE_CLOCK_OFFSET_MS", "SIGHTLINE_POISON"] {
        if std::env::var_os(name).is_some() {
            return Err(format!("{name} is set, but this build has no failpoints; unset it, or build with the feature `failpoints`"));
        }
    }
    Ok(())
}

/// Nothing.
#[inline(always)]
pub fn hit(_point: Point, _label: impl Display) {}

/// Nothing.
///
/// # Errors
/// None.
#[inline(always)]
pub fn io(_point: Point, _label: impl Display) -> io::Result<()> {
    Ok(())
}

/// No rule is off.
#[inline(always)]
pub fn without(_control: Control) -> bool {
    false
}

/// The clock is right.
#[inline(always)]
pub fn clock_offset_micros() -> i64 {
    0
}

/// Nothing.
#[inline(always)]
pub fn poison(_input: &[u8]) {}
