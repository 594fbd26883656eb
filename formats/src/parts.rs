//! The bytes of a package, which come in parts cut anywhere, as a stream.
use std::io::{self, Read};

use bytes::Bytes;

/// Reads one part after the other.
pub(crate) struct Parts<'a> {
    parts: &'a [Bytes],
    at: usize,
    offset: usize,
}

impl<'a> Parts<'a> {
    pub(crate) fn new(parts: &'a [Bytes]) -> Self {
        Self { parts, at: 0, offset: 0 }
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(part) = self.parts.get(self.at) {
            let left = &part[self.offset..];
            if left.is_empty() {
                (self.at, self.offset) = (self.at + 1, 0);
                continue;
            }
            let taken = left.len().min(buffer.len());
            buffer[..taken].copy_from_slice(&left[..taken]);
            self.offset += taken;
            return Ok(taken);
        }
        Ok(0)
    }
}
