//! Cuts between chunks.
use super::{CHUNK_BYTES, FILE, FILE_HEADER};
use crate::logs::frame::{Cut, Step};

/// Cuts binary files of Windows events.
pub(crate) struct ChunkCutter;

impl Cut for ChunkCutter {
    fn cut(&mut self, text: &[u8], target: usize, end: bool) -> Step {
        let header = text.starts_with(FILE);
        let whole = if header { FILE_HEADER } else { CHUNK_BYTES };
        if text.len() < whole {
            // What there is of a chunk at the end may hold records.
            return if end { Step::Piece { body: 0..text.len(), used: text.len() } } else { Step::More };
        }
        if header {
            return Step::Skip(FILE_HEADER);
        }
        let used = (target.min(text.len()) / CHUNK_BYTES).max(1) * CHUNK_BYTES;
        Step::Piece { body: 0..used, used }
    }
}
