//! tar: members follow each other, each behind its header.
use std::cell::Cell;
use std::io::{self, ErrorKind, Read};

use super::bounds::told;
use super::walk::{Flow, Walk, is_leftover};
use crate::event::fields::Refused;

/// The most that a member's headers may take: a long name, attributes. `tar` holds them in memory.
const HEADERS: u64 = 1 << 20;

impl Walk<'_> {
    /// The members of a tar.
    pub(super) fn tar(&mut self, path: &str, content: &mut dyn Read, layers: u32) -> Flow {
        let left = Cell::new(HEADERS);
        let mut archive = tar::Archive::new(Gate { inner: content, left: &left });
        let entries = match archive.entries() {
            Ok(entries) => entries,
            Err(error) => return self.refuse_error(path, told(error, 0)),
        };
        let mut at = 0;
        for entry in entries {
            let mut entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.refuse_error(path, told(header_fault(error), at)),
            };
            left.set(u64::MAX);
            at = entry.raw_file_position();
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let kind = entry.header().entry_type();
            let mut has_failed = false;
            if kind.is_gnu_sparse() {
                self.member(path)?;
                self.refuse(&format!("{path}!{name}"), Refused::new("unsupported-archive", "a file with holes is not read"))?;
            } else if (kind.is_file() || kind.is_contiguous()) && !is_leftover(&name) {
                self.member(path)?;
                let size = entry.size();
                let mut member = Member { inner: &mut entry, left: size, size, has_failed: &mut has_failed };
                self.content(&format!("{path}!{name}"), &mut member, layers, false)?;
            }
            if has_failed {
                // Whoever read the member has been told; there is nothing behind it.
                return Ok(());
            }
            // The rest of it here, so that what `tar` reads next are headers.
            if let Err(error) = io::copy(&mut entry, &mut io::sink()) {
                return self.refuse_error(path, told(error, at));
            }
            left.set(HEADERS);
        }
        Ok(())
    }
}

/// `tar` wraps errors in its own: of those only the kind is left.
fn header_fault(error: io::Error) -> io::Error {
    let mut inner: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(source) = inner {
        if let Some(refused) = source.downcast_ref::<Refused>() {
            return io::Error::other(refused.clone());
        }
        inner = source.source();
    }
    error
}

/// Lets a number of bytes through.
struct Gate<'c, R> {
    inner: R,
    left: &'c Cell<u64>,
}

impl<R: Read> Read for Gate<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            let message = format!("the headers of a tar member take more than {HEADERS} bytes");
            return Err(io::Error::other(Refused::new("corrupt-archive", message)));
        }
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.left.set(self.left.get().saturating_sub(read as u64));
        Ok(read)
    }
}

/// A member's content, which must be as long as its header says.
struct Member<'e, R> {
    inner: R,
    left: u64,
    size: u64,
    has_failed: &'e mut bool,
}

impl<R: Read> Read for Member<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(0) if self.left > 0 && !buffer.is_empty() => {
                *self.has_failed = true;
                Err(told(ErrorKind::UnexpectedEof.into(), self.size - self.left))
            }
            Ok(read) => {
                self.left = self.left.saturating_sub(read as u64);
                Ok(read)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Err(error),
            Err(error) => {
                *self.has_failed = true;
                Err(told(error, self.size - self.left))
            }
        }
    }
}
