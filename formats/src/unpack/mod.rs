//! Archives and compressed streams to their members, one after the other, each a stream of its own.
//!
//! | module | does |
//! | --- | --- |
//! | [`kind`] | tells by the first bytes what a stream is, never by its name |
//! | [`walk`] | opens what it finds, layer by layer, and shows the members |
//! | [`zip`], [`salvage`] | ZIP by the directory at its end; without one, by what stands before each member |
//! | [`tar`] | tar, within compression or not |
//! | [`bounds`] | what unpacking may cost |
//! | [`charset`] | UTF-16 and UTF-32 to UTF-8 |
//!
//! A fault of the content (cut off, corrupt, over a bound) travels as an [`std::io::Error`] that holds a [`Refused`]: a reader takes all that comes before it,
//! and [`fault`] tells it from a failure of the disk.
mod bounds;
pub mod charset;
mod kind;
mod peek;
mod salvage;
mod tar;
#[cfg(test)]
mod tests;
mod walk;
mod zip;

use std::io::{self, Read, Seek};
use std::ops::ControlFlow;

pub(crate) use peek::Peeked;

use crate::event::fields::Refused;
use crate::limits::Limits;

/// What is found, in order.
pub enum Unpacked<'a> {
    /// A stream that is not an archive.
    Member {
        /// Where it lies: `logs.zip!day1/a.json`.
        path: &'a str,
        /// Its bytes, unpacked. Need not be read to the end.
        content: &'a mut dyn Read,
    },
    /// A member, or the rest of an archive, that cannot be had.
    Refused {
        /// Which.
        path: &'a str,
        /// Why.
        refused: Refused,
    },
}

/// Hears of it; says whether to go on.
pub type Visit<'v> = &'v mut dyn FnMut(Unpacked<'_>) -> ControlFlow<()>;

/// Unpacks a file, which is read where ZIP's directory says.
///
/// # Errors
/// When the file itself cannot be read; not when its content is at fault.
pub fn unpack_file(path: &str, file: impl Read + Seek, limits: &Limits, visit: Visit<'_>) -> io::Result<()> {
    walk::Walk::new(limits, &bounds::Spent::new(limits), visit).file(path, file)
}

/// Unpacks a stream; ZIP by way of a temporary file.
///
/// # Errors
/// As [`unpack_file`].
pub fn unpack_stream(path: &str, content: impl Read, limits: &Limits, visit: Visit<'_>) -> io::Result<()> {
    walk::Walk::new(limits, &bounds::Spent::new(limits), visit).stream(path, content)
}

/// The fault of the content that an error stands for, if it is one.
pub fn fault(error: &io::Error) -> Option<&Refused> {
    error.get_ref()?.downcast_ref()
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Refused {}
