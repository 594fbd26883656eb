//! A stream whose beginning was looked at.
use std::io::{self, ErrorKind, Read};

/// A stream that is read from its beginning once more. A fault that was met while looking comes where it lies.
pub(crate) struct Peeked<R> {
    head: Vec<u8>,
    at: usize,
    fault: Option<io::Error>,
    rest: R,
}

impl<R: Read> Peeked<R> {
    /// Looks at up to `most` bytes.
    pub(crate) fn new(mut rest: R, most: usize) -> Self {
        let mut head = vec![0; most];
        let mut held = 0;
        let mut fault = None;
        while held < most {
            match rest.read(&mut head[held..]) {
                Ok(0) => break,
                Ok(read) => held += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
        }
        head.truncate(held);
        Self { head, at: 0, fault, rest }
    }

    /// What was seen and is not yet read.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head[self.at..]
    }

    /// Leaves out bytes of the head.
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.head.len());
    }
}

impl<R: Read> Read for Peeked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at < self.head.len() {
            let read = (&self.head[self.at..]).read(buffer)?;
            self.at += read;
            return Ok(read);
        }
        match self.fault.take() {
            Some(error) => Err(error),
            None => self.rest.read(buffer),
        }
    }
}
