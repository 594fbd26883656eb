//! A stream of any size to pieces of whole records: what is read and not yet cut is all that is in memory.
use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;

use super::cutter::cutter;
use super::detect::{HEAD, detect};
use super::frame::{Cut, Step};
use super::{LogFormat, Piece};
use crate::event::fields::Refused;
use crate::limits::Limits;
use crate::unpack::charset::{self, Charset};
use crate::unpack::{Peeked, fault};

/// What is read at once.
const CHUNK: usize = 256 << 10;
/// About how large a piece is: with its headers and prelude it stays below the megabyte that brokers take unless told otherwise.
pub const PIECE: usize = 500_000;

/// What a stream is cut into, in order.
pub enum Framed<'a> {
    /// Whole records.
    Piece(Piece<'a>),
    /// What is refused before anything reads it as a record.
    Refused {
        /// The line that it begins on.
        line: u64,
        /// Its bytes, or the first of them.
        bytes: &'a [u8],
        /// Why.
        refused: Refused,
    },
}

/// Hears of it; says whether to go on.
pub type Frames<'v> = &'v mut dyn FnMut(Framed<'_>) -> ControlFlow<()>;

/// A text whose beginning was looked at.
pub struct LogStream<'r> {
    charset: Charset,
    content: Peeked<Box<dyn Read + 'r>>,
}

impl<'r> LogStream<'r> {
    /// Looks at the beginning of a stream, decoded to UTF-8.
    pub fn open(content: impl Read + 'r) -> Self {
        let (charset, text) = charset::text(content);
        Self { charset, content: Peeked::new(text, HEAD) }
    }

    /// How it was written.
    pub fn charset(&self) -> Charset {
        self.charset
    }

    /// Its beginning: whole lines where there is more.
    pub fn head(&self) -> &[u8] {
        let head = self.content.head();
        match memchr::memrchr(b'\n', head) {
            Some(end) if head.len() >= HEAD => &head[..=end],
            _ => head,
        }
    }

    /// All of it, decoded.
    pub fn into_text(self) -> impl Read + 'r {
        self.content
    }

    /// Its format, by content; none when it is no log of any.
    pub fn format(&self) -> Option<LogFormat> {
        let format = detect(self.head());
        (!is_binary(self.head())).then_some(format)
    }

    /// Cuts it.
    ///
    /// # Errors
    /// When the stream cannot be read; a fault of its content is a refusal, after what comes before it.
    pub fn pieces(self, format: LogFormat, limits: &Limits, out: Frames<'_>) -> io::Result<()> {
        let cutter = cutter(format, limits);
        let most = limits.event_bytes.saturating_add(PIECE).saturating_add(CHUNK);
        Framer { content: self.content, format, cutter, text: Vec::new(), at: 0, line: 1, most }.run(out)
    }
}

/// The refusal of a stream that is no log.
pub fn binary() -> Refused {
    Refused::new("binary-content", "no text: formats of logs that are not text are not read (export Windows event files as XML or JSON)")
}

/// Whether a text holds what texts do not: over one sign in twenty is a control character. A few NULs are what a crash leaves in a log.
pub(super) fn is_binary(head: &[u8]) -> bool {
    let sample = &head[..head.len().min(4096)];
    // Sums of sixteen bits are what a compiler makes vectors of.
    let is_odd = |byte: u8| u16::from((byte < 9) | (byte.wrapping_sub(14) < 13) | (byte.wrapping_sub(28) < 4) | (byte == 127));
    let odd: u16 = sample.iter().map(|byte| is_odd(*byte)).sum();
    usize::from(odd) * 20 > sample.len()
}

struct Framer<'r> {
    content: Peeked<Box<dyn Read + 'r>>,
    format: LogFormat,
    cutter: Box<dyn Cut>,
    /// What is read; used up to `at`.
    text: Vec<u8>,
    at: usize,
    /// The line that lies at `at`.
    line: u64,
    /// The most text that a cutter may ask for.
    most: usize,
}

impl Framer<'_> {
    fn run(mut self, out: Frames<'_>) -> io::Result<()> {
        let mut want = 2 * PIECE;
        let (mut is_end, mut broken) = (false, None);
        loop {
            if !is_end && broken.is_none() {
                match self.fill(want) {
                    Ok(end) => is_end = end,
                    Err(error) => match fault(&error) {
                        Some(refused) => broken = Some(refused.clone()),
                        None => return Err(error),
                    },
                }
            }
            let text = &self.text[self.at..];
            if text.is_empty() {
                break;
            }
            // Before a fault, all that is whole goes out.
            let target = if broken.is_some() { PIECE.min(text.len()) } else { PIECE };
            let step = self.cutter.cut(text, target, is_end);
            let held = text.len();
            let flow = match step {
                Step::Piece { body, used } if used > 0 => self.piece(body, used, out),
                Step::Skip(used) if used > 0 => {
                    self.forget(used);
                    ControlFlow::Continue(())
                }
                Step::Refused { used, refused } if used > 0 => self.refuse(used, refused, out),
                _ if broken.is_some() => break,
                Step::More if !is_end && held < self.most => {
                    want = held.saturating_mul(2).min(self.most);
                    continue;
                }
                // No cutter does so; if one did, nothing would hang.
                _ => self.refuse(held, Refused::new("event-too-large", "no end of a record was found in what may be held of one"), out),
            };
            want = 2 * PIECE;
            if flow.is_break() {
                return Ok(());
            }
        }
        let last = match broken {
            Some(refused) => Some(refused),
            None => self.cutter.at_end(),
        };
        if let Some(refused) = last {
            let left = self.text.len() - self.at;
            let _stopped = self.refuse(left, refused, out);
        }
        Ok(())
    }

    /// Reads until `want` bytes are there; says whether those are all.
    fn fill(&mut self, want: usize) -> io::Result<bool> {
        if self.at > 0 && self.text.len() - self.at < want {
            self.text.drain(..self.at);
            self.at = 0;
        }
        while self.text.len() - self.at < want {
            let held = self.text.len();
            self.text.resize(held + CHUNK, 0);
            let read = self.content.read(&mut self.text[held..]);
            self.text.truncate(held + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn piece(&mut self, body: std::ops::Range<usize>, used: usize, out: Frames<'_>) -> ControlFlow<()> {
        let text = &self.text[self.at..];
        let first_line = self.line + lines_of(&text[..body.start]);
        let piece = Piece { format: self.format, prelude: self.cutter.prelude(), body: &text[body], first_line };
        let flow = out(Framed::Piece(piece));
        self.forget(used);
        flow
    }

    fn refuse(&mut self, used: usize, refused: Refused, out: Frames<'_>) -> ControlFlow<()> {
        let bytes = &self.text[self.at..][..used];
        let blanks = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let line = self.line + lines_of(&bytes[..blanks]);
        let flow = out(Framed::Refused { line, bytes, refused });
        self.forget(used);
        flow
    }

    fn forget(&mut self, used: usize) {
        self.line += lines_of(&self.text[self.at..][..used]);
        self.at += used;
    }
}

/// How many lines end in a text.
fn lines_of(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

#[cfg(test)]
mod tests;
