//! ZIP, by the directory at its end.
use std::cell::Cell;
use std::io::{BufReader, Read, Seek, SeekFrom};

use zip::CompressionMethod;
use zip::result::ZipError;

use super::bounds::{Content, told, unreadable};
use super::fault;
use super::walk::{Flow, Stop, Walk, is_leftover};
use crate::event::fields::Refused;

/// What is read of the file at once.
const CHUNK: usize = 64 << 10;

impl Walk<'_> {
    /// The members of a ZIP that can be sought in.
    pub(super) fn zip(&mut self, path: &str, file: impl Read + Seek, layers: u32) -> Flow {
        let mut file = BufReader::with_capacity(CHUNK, file);
        let mut archive = match zip::ZipArchive::new(&mut file) {
            Ok(archive) => archive,
            Err(ZipError::Io(error)) if unreadable(&error) => return Err(Stop::Unreadable(error)),
            Err(error) => {
                file.seek(SeekFrom::Start(0)).map_err(Stop::Unreadable)?;
                return self.salvage(path, file, layers + 1, Some(error.to_string()));
            }
        };
        for index in 0..archive.len() {
            let (name, packed, closed) = match archive.by_index_raw(index) {
                Ok(entry) if entry.is_dir() => continue,
                Ok(entry) => {
                    let name =
                        entry.name().map_or_else(|_| String::from_utf8_lossy(entry.name_raw()).into_owned(), |name| name.into_owned());
                    (name, Cell::new(entry.compressed_size()), closed(entry.encrypted(), entry.compression()))
                }
                Err(error) => {
                    self.member(path)?;
                    self.refuse(&format!("{path}!#{index}"), refusal(error))?;
                    continue;
                }
            };
            if is_leftover(&name) {
                continue;
            }
            self.member(path)?;
            let member = format!("{path}!{name}");
            if let Some(refused) = closed {
                self.refuse(&member, refused)?;
                continue;
            }
            match archive.by_index(index) {
                Ok(entry) => {
                    let mut content = Content::new(entry, &packed, self.spent);
                    self.content(&member, &mut content, layers + 1, false)?;
                }
                Err(error) => self.refuse(&member, refusal(error))?,
            }
        }
        Ok(())
    }
}

/// Why a member cannot be opened, if it cannot.
#[expect(deprecated, reason = "the constants in its place name methods one by one; this is any that is not read")]
fn closed(is_encrypted: bool, method: CompressionMethod) -> Option<Refused> {
    match method {
        _ if is_encrypted => Some(encrypted()),
        CompressionMethod::Unsupported(method) => Some(method_unknown(method)),
        _ => None,
    }
}

fn refusal(error: ZipError) -> Refused {
    match error {
        ZipError::CompressionMethodNotSupported(method) => method_unknown(method),
        ZipError::UnsupportedArchive(what) => Refused::new("unsupported-archive", what),
        ZipError::Io(error) => {
            let error = told(error, 0);
            fault(&error).cloned().unwrap_or_else(|| Refused::new("corrupt-archive", error.to_string()))
        }
        error => Refused::new("corrupt-archive", error.to_string()),
    }
}

/// A member that nobody without its password reads.
pub(super) fn encrypted() -> Refused {
    Refused::new("encrypted", "encrypted; unpack it with its password first")
}

/// A member packed in a way that is not read here.
pub(super) fn method_unknown(method: u16) -> Refused {
    Refused::new("unsupported-archive", format!("compression method {method} is not read; unpack it first"))
}
