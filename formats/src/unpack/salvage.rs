//! ZIP without the directory at its end, as a broken download leaves it: member by member, by the headers before them.
use std::cell::Cell;
use std::io::{self, BufRead, ErrorKind, Read};

use super::bounds::{Content, told};
use super::fault;
use super::walk::{Flow, Stop, Walk, is_leftover};
use super::zip::{encrypted, method_unknown};
use crate::event::fields::Refused;

const MEMBER: &[u8] = b"PK\x03\x04";
const DIRECTORY: &[u8] = b"PK\x01\x02";
const DESCRIPTOR: &[u8] = b"PK\x07\x08";
/// In place of a size: it stands in an extra field.
const ELSEWHERE: u32 = u32::MAX;

/// What stands before a member.
struct Header {
    is_encrypted: bool,
    /// Its sizes and sum follow it instead.
    has_descriptor: bool,
    method: u16,
    packed: u64,
    name: String,
}

/// What may follow a member.
enum After {
    /// Another.
    Next,
    /// Nothing, and whoever read the member was told why.
    Told,
    /// Nothing that could be found.
    Lost,
}

impl Walk<'_> {
    /// The members as far as they go. `error` is what was wrong with the directory; without one, the caller tells what is.
    pub(super) fn salvage(&mut self, path: &str, mut file: impl BufRead, layers: u32, error: Option<String>) -> Flow {
        let mut members = 0_u64;
        let mut at_fault = None;
        loop {
            let header = match header(&mut file) {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                Err(error) if fault(&error).is_none() => return Err(Stop::Unreadable(error)),
                Err(error) => {
                    at_fault = fault(&error).cloned();
                    break;
                }
            };
            members += 1;
            match self.salvaged(path, &mut file, &header, layers)? {
                After::Next => {}
                After::Told => return Ok(()),
                After::Lost => break,
            }
        }
        let Some(error) = error else { return Ok(()) };
        let refused = at_fault.unwrap_or_else(|| {
            Refused::new("truncated-archive", format!("its directory cannot be read ({error}); found {members} members without it"))
        });
        self.refuse(path, refused)
    }

    /// Shows a member.
    fn salvaged(&mut self, path: &str, file: &mut impl BufRead, header: &Header, layers: u32) -> Result<After, Stop> {
        let member = format!("{path}!{}", header.name);
        let packed = Cell::new(0);
        let spent = self.spent;
        let is_shown = !header.name.ends_with('/') && !is_leftover(&header.name);
        if is_shown {
            self.member(path)?;
        }
        if header.has_descriptor && (header.is_encrypted || header.method != 8) {
            // Where it ends is said behind it.
            let refused = if header.is_encrypted { encrypted() } else { method_unknown(header.method) };
            self.refuse(&member, refused)?;
            return Ok(After::Lost);
        }
        if header.has_descriptor {
            let mut deflated = flate2::bufread::DeflateDecoder::new(Known { inner: &mut *file, left: u64::MAX, packed: &packed });
            let mut has_failed = false;
            let mut content = Watched { inner: Content::new(&mut deflated, &packed, spent), has_failed: &mut has_failed };
            if is_shown {
                self.content(&member, &mut content, layers, false)?;
            }
            let drained = io::copy(&mut content, &mut io::sink());
            return Ok(match drained {
                _ if has_failed => After::Told,
                Ok(_) if skip_descriptor(file).is_ok() => After::Next,
                _ => After::Lost,
            });
        }
        let mut known = Known { inner: &mut *file, left: header.packed, packed: &packed };
        let mut has_failed = false;
        if is_shown && header.is_encrypted {
            self.refuse(&member, encrypted())?;
        } else if is_shown && header.method == 0 {
            let mut content = Watched { inner: Content::new(&mut known, &packed, spent), has_failed: &mut has_failed };
            self.content(&member, &mut content, layers, false)?;
        } else if is_shown && header.method == 8 {
            let deflated = flate2::bufread::DeflateDecoder::new(&mut known);
            self.content(
                &member,
                &mut Watched { inner: Content::new(deflated, &packed, spent), has_failed: &mut has_failed },
                layers,
                false,
            )?;
        } else if is_shown {
            self.refuse(&member, method_unknown(header.method))?;
        }
        // A member that is corrupt within has an end all the same.
        Ok(match io::copy(&mut known, &mut io::sink()) {
            Ok(_) => After::Next,
            Err(_) if has_failed => After::Told,
            Err(_) => After::Lost,
        })
    }
}

/// The header of the next member; none where the members end.
fn header(file: &mut impl Read) -> io::Result<Option<Header>> {
    let mut fixed = [0; 30];
    file.read_exact(&mut fixed[..4])?;
    if &fixed[..4] == DESCRIPTOR {
        // The mark of an archive in parts.
        file.read_exact(&mut fixed[..4])?;
    }
    if &fixed[..4] == DIRECTORY {
        return Ok(None);
    }
    if &fixed[..4] != MEMBER {
        return Err(io::Error::other(Refused::new("corrupt-archive", "neither a member nor the directory where one should begin")));
    }
    file.read_exact(&mut fixed[4..])?;
    let short = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let long = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let mut name = vec![0; usize::from(short(26))];
    file.read_exact(&mut name)?;
    let mut extra = vec![0; usize::from(short(28))];
    file.read_exact(&mut extra)?;
    let packed = if long(18) == ELSEWHERE { zip64_packed(&extra).unwrap_or(u64::from(ELSEWHERE)) } else { u64::from(long(18)) };
    Ok(Some(Header {
        is_encrypted: short(6) & 1 != 0,
        has_descriptor: short(6) & 8 != 0 && packed == 0,
        method: short(8),
        packed,
        name: String::from_utf8_lossy(&name).into_owned(),
    }))
}

/// The packed size of the extra field 1, behind the unpacked one.
fn zip64_packed(mut extra: &[u8]) -> Option<u64> {
    loop {
        let (head, rest) = extra.split_at_checked(4)?;
        let (field, after) = rest.split_at_checked(usize::from(u16::from_le_bytes([head[2], head[3]])))?;
        if head[..2] == [1, 0] {
            return Some(u64::from_le_bytes(field.get(8..16)?.try_into().ok()?));
        }
        extra = after;
    }
}

/// What follows a member: perhaps a mark, the sum, and two sizes of 4 bytes or of 8; then another mark.
fn skip_descriptor(file: &mut impl BufRead) -> io::Result<()> {
    let marked = if file.fill_buf()?.starts_with(b"PK") { 4 } else { 0 };
    let mut rest = [0; 24];
    file.read_exact(&mut rest[..marked + 12])?;
    let next = file.fill_buf()?;
    if !next.is_empty() && !next.starts_with(b"PK") {
        file.read_exact(&mut rest[..8])?;
    }
    Ok(())
}

/// A part of the file, counted, that must be there whole.
struct Known<'c, R> {
    inner: R,
    left: u64,
    packed: &'c Cell<u64>,
}

impl<R: BufRead> BufRead for Known<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let held = self.inner.fill_buf()?;
        if held.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(held.len());
        Ok(&held[..most])
    }

    fn consume(&mut self, bytes: usize) {
        self.inner.consume(bytes);
        self.left = self.left.saturating_sub(bytes as u64);
        self.packed.set(self.packed.get() + bytes as u64);
    }
}

impl<R: BufRead> Read for Known<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// Remembers that its reader was told of a fault.
struct Watched<'e, R> {
    inner: R,
    has_failed: &'e mut bool,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            *self.has_failed |= error.kind() != ErrorKind::Interrupted;
            told(error, 0)
        })
    }
}
