//! `COPY … (FORMAT binary)`: the format of the PostgreSQL manual, "COPY", section "Binary Format".
use bytes::{BufMut, BytesMut};

use crate::relational::Cell;

/// Signature, flags, length of the header's extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Microseconds from 1970 to 2000, PostgreSQL's epoch.
pub(super) const EPOCH_2000: i64 = 946_684_800_000_000;
/// The type `text` in an array's header.
const TEXT_OID: i32 = 25;

/// Rows in the making.
pub(super) struct Rows {
    bytes: BytesMut,
}

/// A text that PostgreSQL cannot hold.
#[derive(Debug)]
pub(super) struct HoldsNul;

impl Rows {
    pub(super) fn new() -> Self {
        Self { bytes: BytesMut::from(HEADER) }
    }

    /// Adds a row; leaves no trace of one that cannot be held.
    pub(super) fn push(&mut self, cells: &[Cell<'_>]) -> Result<(), HoldsNul> {
        let before = self.bytes.len();
        self.bytes.put_i16(cells.len() as i16);
        for cell in cells {
            if let Err(error) = self.cell(cell) {
                self.bytes.truncate(before);
                return Err(error);
            }
        }
        Ok(())
    }

    /// How many bytes wait to be sent.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What waits to be sent.
    pub(super) fn take(&mut self) -> bytes::Bytes {
        self.bytes.split().freeze()
    }

    /// Adds the trailer.
    pub(super) fn finish(&mut self) {
        self.bytes.put_i16(-1);
    }

    fn cell(&mut self, cell: &Cell<'_>) -> Result<(), HoldsNul> {
        match cell {
            Cell::Null => self.bytes.put_i32(-1),
            Cell::Text(text) => self.text(text)?,
            Cell::Int(number) => {
                self.bytes.put_i32(8);
                self.bytes.put_i64(*number);
            }
            Cell::Bool(truth) => {
                self.bytes.put_i32(1);
                self.bytes.put_u8(u8::from(*truth));
            }
            Cell::Time(micros) => {
                self.bytes.put_i32(8);
                self.bytes.put_i64(micros.0.saturating_sub(EPOCH_2000));
            }
            Cell::Json(json) => {
                if holds_nul_escape(json) {
                    return Err(HoldsNul);
                }
                // jsonb: a version byte, then the text.
                self.bytes.put_i32(json.len() as i32 + 1);
                self.bytes.put_u8(1);
                self.bytes.put_slice(json.as_bytes());
            }
            Cell::TextList(list) => {
                let at = self.bytes.len();
                self.bytes.put_i32(0);
                // Dimensions, flags, element type; then length and lower bound of the one dimension that a list with elements has.
                self.bytes.put_i32(i32::from(!list.is_empty()));
                self.bytes.put_i32(0);
                self.bytes.put_i32(TEXT_OID);
                if !list.is_empty() {
                    self.bytes.put_i32(list.len() as i32);
                    self.bytes.put_i32(1);
                    for text in list.iter() {
                        self.text(text)?;
                    }
                }
                let length = (self.bytes.len() - at - 4) as i32;
                self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), HoldsNul> {
        if text.as_bytes().contains(&0) {
            return Err(HoldsNul);
        }
        self.bytes.put_i32(text.len() as i32);
        self.bytes.put_slice(text.as_bytes());
        Ok(())
    }
}

/// Whether a JSON text holds `\u0000`, which `jsonb` refuses: an escape whose backslash is not itself escaped.
fn holds_nul_escape(json: &str) -> bool {
    let bytes = json.as_bytes();
    json.match_indices("\\u0000").any(|(at, _)| bytes[..at].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_found_in_texts_and_in_json_escapes_but_not_behind_an_escaped_backslash() {
        assert!(holds_nul_escape(r#"{"a":"x\u0000"}"#));
        assert!(holds_nul_escape(r#"{"a":"\\\u0000"}"#));
        assert!(!holds_nul_escape(r#"{"a":"\\u0000"}"#));
        let mut rows = Rows::new();
        assert!(rows.push(&["good".into()]).is_ok());
        let before = rows.len();
        assert!(rows.push(&["good".into(), "b\0d".into()]).is_err());
        assert_eq!(rows.len(), before, "a refused row leaves nothing behind");
    }
}
