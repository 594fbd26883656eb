//! What unpacking may cost, against streams that are small packed and endless unpacked.
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use super::fault;
use crate::event::fields::Refused;
use crate::limits::Limits;

/// How much any stream may unpack to before its ratio counts: the beginning of a log repeats itself most.
const FREE: u64 = 8 << 20;

/// What unpacking one file has cost so far, all layers together.
pub(super) struct Spent {
    ratio: u64,
    most_bytes: u64,
    most_members: u64,
    bytes: Cell<u64>,
    members: Cell<u64>,
    is_over: Cell<bool>,
}

impl Spent {
    /// Nothing yet.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            ratio: limits.archive_ratio.max(1),
            most_bytes: limits.archive_bytes,
            most_members: limits.archive_members,
            bytes: Cell::new(0),
            members: Cell::new(0),
            is_over: Cell::new(false),
        }
    }

    /// Whether a bound on the whole file is passed: nothing more is unpacked of it.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Counts a member.
    pub(super) fn member(&self) -> Result<(), Refused> {
        self.members.set(self.members.get() + 1);
        if self.members.get() <= self.most_members {
            return Ok(());
        }
        self.is_over.set(true);
        let message = format!("more members than limits.archive_members ({}); those after it are not read", self.most_members);
        Err(Refused::new("archive-too-many-members", message))
    }

    fn bytes(&self, read: usize) -> Result<(), Refused> {
        self.bytes.set(self.bytes.get().saturating_add(read as u64));
        if self.bytes.get() <= self.most_bytes {
            return Ok(());
        }
        self.is_over.set(true);
        let message = format!("unpacks to more than limits.archive_bytes ({}); what follows is not read", self.most_bytes);
        Err(Refused::new("archive-too-large", message))
    }
}

/// Counts what is read of a packed stream.
pub(super) struct Packed<'c, R> {
    inner: R,
    count: &'c Cell<u64>,
}

impl<'c, R> Packed<'c, R> {
    pub(super) fn new(inner: R, count: &'c Cell<u64>) -> Self {
        Self { inner, count }
    }
}

impl<R: Read> Read for Packed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// The content of a packed stream, held against the bounds; what its decoder says becomes a [`Refused`].
pub(super) struct Content<'s, R> {
    inner: R,
    packed: &'s Cell<u64>,
    spent: &'s Spent,
    bytes: u64,
}

impl<'s, R> Content<'s, R> {
    /// `packed` is what `inner` has read.
    pub(super) fn new(inner: R, packed: &'s Cell<u64>, spent: &'s Spent) -> Self {
        Self { inner, packed, spent, bytes: 0 }
    }
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.inner.read(buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => return Err(told(error, self.bytes)),
        };
        self.bytes += read as u64;
        self.spent.bytes(read).map_err(io::Error::other)?;
        let packed = self.packed.get().max(1);
        if self.bytes > FREE && self.bytes / packed > self.spent.ratio {
            let message = format!(
                "{} bytes of {packed} packed: more than {} to one (limits.archive_ratio); not read further",
                self.bytes, self.spent.ratio
            );
            return Err(io::Error::other(Refused::new("archive-ratio", message)));
        }
        Ok(read)
    }
}

/// Names the fault that a decoder's error stands for.
pub(super) fn told(error: io::Error, at: u64) -> io::Error {
    if fault(&error).is_some() || unreadable(&error) {
        return error;
    }
    let refused = match error.kind() {
        ErrorKind::UnexpectedEof => Refused::new("truncated-archive", format!("cut off: unpacked up to byte {at}")),
        ErrorKind::OutOfMemory => Refused::new("archive-too-large", format!("needs more memory to unpack than is given: {error}")),
        _ => Refused::new("corrupt-archive", format!("{error}; unpacked up to byte {at}")),
    };
    io::Error::other(refused)
}

/// A failure to read the file itself.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Unreadable(io::Error);

/// Whether the file itself could not be read.
pub(super) fn unreadable(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Unreadable>())
}

/// The file itself: its failures are told from faults of its content.
pub(super) struct Origin<R>(pub(super) R);

impl<R: Read> Read for Origin<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if fault(&error).is_none() => return Err(io::Error::new(error.kind(), Unreadable(error))),
                done => return done,
            }
        }
    }
}

impl<R: Seek> Seek for Origin<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}
