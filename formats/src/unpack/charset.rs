//! The bytes of a text to UTF-8: a byte order mark says how it is written, or where the NULs of its first signs stand.
use std::io::{self, ErrorKind, Read};

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};
use encoding_rs_io::DecodeReaderBytesBuilder;

use super::peek::Peeked;

/// How many bytes are looked at for NULs.
const SAMPLE: usize = 1024;
/// What is decoded of UTF-32 at once.
const CHUNK: usize = 16 << 10;

/// How a text is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Charset {
    /// UTF-8, or nobody knows: bytes pass unchanged.
    Utf8,
    /// UTF-16, the low byte first.
    Utf16Le,
    /// UTF-16, the high byte first.
    Utf16Be,
    /// UTF-32, the lowest byte first.
    Utf32Le,
    /// UTF-32, the highest byte first.
    Utf32Be,
}

/// The text of a stream as UTF-8, without its mark. Signs that are none become U+FFFD in what is decoded.
pub fn text<'r>(content: impl Read + 'r) -> (Charset, Box<dyn Read + 'r>) {
    let mut content = Peeked::new(content, SAMPLE);
    let (charset, mark) = of(content.head());
    content.skip(mark);
    let decoded = |content: Peeked<_>, encoding: &'static Encoding| -> Box<dyn Read + 'r> {
        Box::new(DecodeReaderBytesBuilder::new().encoding(Some(encoding)).bom_sniffing(false).build(content))
    };
    let text: Box<dyn Read + 'r> = match charset {
        Charset::Utf8 => Box::new(content),
        Charset::Utf16Le => decoded(content, UTF_16LE),
        Charset::Utf16Be => decoded(content, UTF_16BE),
        Charset::Utf32Le => Box::new(Utf32::new(content, u32::from_le_bytes)),
        Charset::Utf32Be => Box::new(Utf32::new(content, u32::from_be_bytes)),
    };
    (charset, text)
}

/// How a text is written that begins with `head`, and how long its mark is.
fn of(head: &[u8]) -> (Charset, usize) {
    match head {
        [0xef, 0xbb, 0xbf, ..] => (Charset::Utf8, 3),
        [0xff, 0xfe, 0, 0, ..] => (Charset::Utf32Le, 4),
        [0, 0, 0xfe, 0xff, ..] => (Charset::Utf32Be, 4),
        [0xff, 0xfe, ..] => (Charset::Utf16Le, 2),
        [0xfe, 0xff, ..] => (Charset::Utf16Be, 2),
        [first, 0, 0, 0, ..] if *first != 0 && has_nuls(head, 4, &[1, 2, 3]) => (Charset::Utf32Le, 0),
        [0, 0, 0, last, ..] if *last != 0 && has_nuls(head, 4, &[0, 1, 2]) => (Charset::Utf32Be, 0),
        [first, 0, ..] if *first != 0 && has_nuls(head, 2, &[1]) => (Charset::Utf16Le, 0),
        [0, second, ..] if *second != 0 && has_nuls(head, 2, &[0]) => (Charset::Utf16Be, 0),
        _ => (Charset::Utf8, 0),
    }
}

/// Whether most signs of `width` bytes have NULs in these places, and hardly any a NUL elsewhere: that of a text in Latin letters and digits.
fn has_nuls(head: &[u8], width: usize, places: &[usize]) -> bool {
    let (mut like, mut unlike, mut all) = (0, 0, 0);
    for sign in head.chunks_exact(width) {
        all += 1;
        like += usize::from(places.iter().all(|place| sign[*place] == 0));
        unlike += usize::from(sign.iter().enumerate().any(|(at, byte)| *byte == 0 && !places.contains(&at)));
    }
    let is_whole = head.len() >= SAMPLE || head.len().is_multiple_of(width);
    is_whole && all > 1 && like * 10 >= all * 7 && unlike * 100 <= all
}

/// Decodes UTF-32, which no web page may be written in and `encoding_rs` therefore leaves out.
struct Utf32<R> {
    inner: R,
    number: fn([u8; 4]) -> u32,
    raw: Vec<u8>,
    text: Vec<u8>,
    at: usize,
}

impl<R: Read> Utf32<R> {
    fn new(inner: R, number: fn([u8; 4]) -> u32) -> Self {
        Self { inner, number, raw: Vec::new(), text: Vec::new(), at: 0 }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.text.clear();
        self.at = 0;
        while self.text.is_empty() {
            let held = self.raw.len();
            self.raw.resize(CHUNK, 0);
            let read = match self.inner.read(&mut self.raw[held..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => 0,
                Ok(0) => {
                    self.raw.truncate(held);
                    if !std::mem::take(&mut self.raw).is_empty() {
                        self.text.extend_from_slice("\u{fffd}".as_bytes());
                    }
                    return Ok(());
                }
                Ok(read) => read,
                Err(error) => return Err(error),
            };
            self.raw.truncate(held + read);
            let mut signs = self.raw.chunks_exact(4);
            for sign in &mut signs {
                let number = (self.number)([sign[0], sign[1], sign[2], sign[3]]);
                let sign = char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER);
                self.text.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes());
            }
            let rest = signs.remainder().len();
            self.raw.drain(..self.raw.len() - rest);
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf32<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.text.len() {
            self.refill()?;
        }
        let read = (&self.text[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}
