//! Opens what it finds, layer by layer.
use std::cell::Cell;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;

use super::bounds::{Content, Origin, Packed, Spent, told};
use super::kind::{self, Kind};
use super::peek::Peeked;
use super::{Unpacked, Visit, fault};
use crate::event::fields::Refused;
use crate::limits::Limits;

/// What a decoder reads at once.
const CHUNK: usize = 64 << 10;
/// The memory that an xz stream may ask for, in KiB: its highest preset needs 65 MiB.
const XZ_MEMORY: u32 = 100 << 10;
/// The window that a zstd stream may ask for, as a power of two: what `zstd --long` makes, and the most that `zstd -d` takes unasked.
const ZSTD_WINDOW: u32 = 27;

/// Why a walk ends early.
pub(super) enum Stop {
    /// The visitor has enough, or a bound on the whole file is passed.
    Enough,
    /// The file itself cannot be read.
    Unreadable(io::Error),
}

/// Goes on, or stops.
pub(super) type Flow = Result<(), Stop>;

/// One file on its way.
pub(super) struct Walk<'w> {
    pub(super) limits: &'w Limits,
    pub(super) spent: &'w Spent,
    visit: Visit<'w>,
}

impl<'w> Walk<'w> {
    pub(super) fn new(limits: &'w Limits, spent: &'w Spent, visit: Visit<'w>) -> Self {
        Self { limits, spent, visit }
    }

    /// Walks a file from its beginning.
    pub(super) fn file(mut self, path: &str, file: impl Read + Seek) -> io::Result<()> {
        let mut file = Origin(file);
        let mut head = Vec::new();
        (&mut file).take(kind::HEAD as u64).read_to_end(&mut head)?;
        file.seek(SeekFrom::Start(0))?;
        end(if kind::of(&head) == Kind::Zip { self.zip(path, file, 0) } else { self.content(path, &mut file, 0, false) })
    }

    /// Walks a stream.
    pub(super) fn stream(mut self, path: &str, content: impl Read) -> io::Result<()> {
        end(self.content(path, &mut Origin(content), 0, false))
    }

    /// Walks the content of a layer. `layers` are open around it, the last of them a compression or not.
    pub(super) fn content(&mut self, path: &str, content: &mut dyn Read, layers: u32, is_decompressed: bool) -> Flow {
        let mut content = Peeked::new(content, kind::HEAD);
        let kind = kind::of(content.head());
        // A tar and the compression around it are one archive.
        let layers = if kind == Kind::Tar && is_decompressed { layers - 1 } else { layers };
        match kind {
            Kind::Content => return self.show(Unpacked::Member { path, content: &mut content }),
            Kind::Closed(name) => {
                return self.refuse(path, Refused::new("unsupported-archive", format!("{name} archives are not read; unpack it first")));
            }
            _ if layers > self.limits.archive_depth => {
                let message = format!("archives within archives deeper than limits.archive_depth ({})", self.limits.archive_depth);
                return self.refuse(path, Refused::new("archive-too-deep", message));
            }
            Kind::Zip => return self.spooled(path, &mut content, layers),
            Kind::Tar => return self.tar(path, &mut content, layers + 1),
            Kind::Gzip | Kind::Zstd | Kind::Bzip2 | Kind::Xz => {}
        }
        let (packed, spent) = (Cell::new(0), self.spent);
        let packed_stream = BufReader::with_capacity(CHUNK, Packed::new(content, &packed));
        match decoder(kind, packed_stream) {
            Ok(decoder) => self.content(path, &mut Content::new(decoder, &packed, spent), layers + 1, true),
            Err(error) => self.refuse_error(path, told(error, 0)),
        }
    }

    /// Opens a ZIP that cannot be sought in, by way of a temporary file.
    fn spooled(&mut self, path: &str, content: &mut dyn Read, layers: u32) -> Flow {
        let mut spool = tempfile::tempfile().map_err(Stop::Unreadable)?;
        let most = self.limits.archive_spool_bytes;
        match io::copy(&mut content.take(most.saturating_add(1)), &mut spool) {
            Ok(bytes) if bytes > most => {
                let message = format!("a ZIP within an archive or stream, larger than limits.archive_spool_bytes ({most})");
                return self.refuse(path, Refused::new("archive-too-large", message));
            }
            Ok(_) => {}
            Err(error) if fault(&error).is_none() => return Err(Stop::Unreadable(error)),
            // What lies before the fault can be read; the fault is told where its bytes end.
            Err(error) => {
                spool.seek(SeekFrom::Start(0)).map_err(Stop::Unreadable)?;
                self.salvage(path, BufReader::with_capacity(CHUNK, Origin(spool)), layers + 1, None)?;
                return self.refuse_error(path, error);
            }
        }
        spool.seek(SeekFrom::Start(0)).map_err(Stop::Unreadable)?;
        self.zip(path, Origin(spool), layers)
    }

    /// Shows a member or a refusal.
    fn show(&mut self, unpacked: Unpacked<'_>) -> Flow {
        match (self.visit)(unpacked) {
            ControlFlow::Continue(()) if !self.spent.is_over() => Ok(()),
            _ => Err(Stop::Enough),
        }
    }

    /// Refuses a member or the rest of an archive.
    pub(super) fn refuse(&mut self, path: &str, refused: Refused) -> Flow {
        self.show(Unpacked::Refused { path, refused })
    }

    /// Refuses what an error names, or stops when the file itself cannot be read.
    pub(super) fn refuse_error(&mut self, path: &str, error: io::Error) -> Flow {
        match fault(&error) {
            Some(refused) => self.refuse(path, refused.clone()),
            None => Err(Stop::Unreadable(error)),
        }
    }

    /// Counts a member of an archive; past the bound, refuses the rest.
    pub(super) fn member(&mut self, archive: &str) -> Flow {
        match self.spent.member() {
            Ok(()) => Ok(()),
            Err(refused) => self.refuse(archive, refused),
        }
    }
}

fn end(walked: Flow) -> io::Result<()> {
    match walked {
        Ok(()) | Err(Stop::Enough) => Ok(()),
        Err(Stop::Unreadable(error)) => Err(error),
    }
}

fn decoder<'r>(kind: Kind, packed: impl io::BufRead + 'r) -> io::Result<Box<dyn Read + 'r>> {
    Ok(match kind {
        Kind::Gzip => Box::new(Gzip(Some(flate2::bufread::GzDecoder::new(packed)))),
        Kind::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
        Kind::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY)),
        Kind::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
        Kind::Zip | Kind::Tar | Kind::Closed(_) | Kind::Content => Box::new(packed),
    })
}

/// gzip streams in a row. What follows them and is none is left out, as `gzip -d` does: real archives end with a line feed.
struct Gzip<R>(Option<flate2::bufread::GzDecoder<R>>);

impl<R: io::BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.0 {
            let read = decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut packed) = self.0.take().map(flate2::bufread::GzDecoder::into_inner) else { break };
            if packed.fill_buf()?.starts_with(&[0x1f]) {
                self.0 = Some(flate2::bufread::GzDecoder::new(packed));
            }
        }
        Ok(0)
    }
}

/// What macOS puts into archives beside the files: not data.
pub(super) fn is_leftover(name: &str) -> bool {
    name.starts_with("__MACOSX/") || name.rsplit('/').next().is_some_and(|file| file.starts_with("._"))
}
