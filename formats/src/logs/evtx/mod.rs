//! Windows events as the binary files hold them: a header, then chunks of 64 KiB, each of which can be read alone.
//!
//! A piece is whole chunks. The events have the names that their XML has ([`super::windows_xml`]): they are made of it.
mod cut;

use std::sync::Arc;

use ::evtx::err::EvtxError;
use ::evtx::{EvtxChunkData, ParserSettings};

pub(crate) use cut::ChunkCutter;

use super::lines::give;
use super::windows_xml::EventReader;
use super::{Out, Piece};
use crate::event::fields::{Fields, Refused};
use crate::limits::Limits;

/// Begins a file.
const FILE: &[u8] = b"ElfFile\0";
/// Begins a chunk.
const CHUNK: &[u8] = b"ElfChnk\0";
/// What the header of a file takes.
const FILE_HEADER: usize = 4 << 10;
/// What a chunk takes, however full it is.
const CHUNK_BYTES: usize = 64 << 10;
/// What stands before the event in a record: a mark, sizes, number and time.
const RECORD_HEADER: usize = 24;

/// Whether it is such a file.
pub(super) fn looks_like(head: &[u8]) -> bool {
    head.starts_with(FILE) || head.starts_with(CHUNK)
}

/// Reads the records of each chunk of a piece. Their lines are the numbers that Windows gave them.
pub(super) fn read(piece: &Piece<'_>, reader: &mut EventReader, fields: &mut Fields, limits: &Limits, out: Out<'_>) {
    let settings = Arc::new(ParserSettings::new().indent(false).num_threads(1));
    let mut last = piece.first_line;
    let body = match piece.body.strip_prefix(FILE) {
        Some(_) if piece.body.len() < FILE_HEADER => {
            fields.clear();
            return give(last, piece.body, Err(truncated()), fields, out);
        }
        Some(_) => &piece.body[FILE_HEADER..],
        None => piece.body,
    };
    for bytes in body.chunks(CHUNK_BYTES) {
        if bytes.iter().all(|byte| *byte == 0) {
            // Space that was set aside for chunks to come.
            continue;
        }
        fields.clear();
        if let Err(error) = chunk(bytes, &settings, reader, fields, limits, &mut last, out) {
            give(last, bytes, Err(corrupt(&error)), fields, out);
        } else if bytes.len() < CHUNK_BYTES {
            fields.clear();
            give(last, bytes, Err(truncated()), fields, out);
        }
    }
}

fn truncated() -> Refused {
    Refused::new("truncated", "the file ends within its header or a chunk")
}

/// Reads the records of a chunk.
fn chunk(
    bytes: &[u8],
    settings: &Arc<ParserSettings>,
    reader: &mut EventReader,
    fields: &mut Fields,
    limits: &Limits,
    last: &mut u64,
    out: Out<'_>,
) -> Result<(), EvtxError> {
    let failed = |source| EvtxError::FailedToParseChunk { chunk_id: 0, source: Box::new(source) };
    let mut data = EvtxChunkData::new(bytes.to_vec(), false).map_err(failed)?;
    let mut parsed = data.parse(Arc::clone(settings)).map_err(failed)?;
    for record in parsed.iter() {
        fields.clear();
        let (place, read) = match record {
            Ok(record) => {
                *last = record.event_record_id;
                let start = record.binxml_offset as usize;
                let place = bytes.get(start.saturating_sub(RECORD_HEADER)..start + record.binxml_size as usize).unwrap_or(bytes);
                (place, record.into_xml_bytes().map_err(|error| corrupt(&error)).and_then(|xml| reader.event(&xml.data, fields, limits)))
            }
            Err(error) => (bytes, Err(corrupt(&error))),
        };
        give(*last, place, read, fields, out);
    }
    Ok(())
}

fn corrupt(error: &EvtxError) -> Refused {
    // The cause says more than what failed for it.
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    Refused::new("corrupt-evtx", message)
}

#[cfg(test)]
mod tests;
