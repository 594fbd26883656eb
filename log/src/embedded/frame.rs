//! Frames: what the files are made of.
//!
//! ```text
//! frame:   "SLFR" | version u8 | kind u8 | 2 zero bytes | body length u64 | XXH3-64 of the body u64 | body        integers little-endian
//! records: timestamp i64 (ms) | chunk …
//! chunk:   topic u32 | partition u32 | base offset u64 | records u32 | bytes u32 | record …
//! record:  key length i32 (-1: none) | value length i32 (-1: none) | headers u16 | key | value | header …
//! header:  name length u16 | value length u32 | name | value
//! topic:   number u32 | partitions u32 | name
//! trim:    topic u32 | partition u32 | offset u64
//! ```
use std::sync::Arc;

use bytes::Bytes;

use crate::record::{Headers, NewRecord, Offset, Record};

pub(super) const MAGIC: &[u8; 4] = b"SLFR";
pub(super) const VERSION: u8 = 1;
pub(super) const HEADER: usize = 24;
pub(super) const CHUNK_HEADER: usize = 24;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    Records = 0,
    Topic = 1,
    Trim = 2,
}

impl Kind {
    pub(super) fn read(byte: u8) -> Option<Self> {
        [Self::Records, Self::Topic, Self::Trim].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// The head of a frame.
pub(super) fn header(kind: Kind, length: u64, checksum: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[4] = VERSION;
    bytes[5] = kind as u8;
    bytes[8..16].copy_from_slice(&length.to_le_bytes());
    bytes[16..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Reads integers and slices, and refuses to read past the end.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    read: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, read: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.read
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        (self.rest, self.read) = (rest, self.read + count);
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Appends a record's bytes.
pub(super) fn put_record(into: &mut Vec<u8>, record: &NewRecord) {
    let length = |bytes: Option<&Bytes>| bytes.map_or(-1, |bytes| bytes.len() as i32).to_le_bytes();
    into.extend_from_slice(&length(record.key.as_ref()));
    into.extend_from_slice(&length(record.value.as_ref()));
    into.extend_from_slice(&(record.headers.0.len() as u16).to_le_bytes());
    into.extend_from_slice(record.key.as_deref().unwrap_or_default());
    into.extend_from_slice(record.value.as_deref().unwrap_or_default());
    for (name, value) in &record.headers.0 {
        into.extend_from_slice(&(name.len() as u16).to_le_bytes());
        into.extend_from_slice(&(value.len() as u32).to_le_bytes());
        into.extend_from_slice(name.as_bytes());
        into.extend_from_slice(value);
    }
}

/// Reads the records of a chunk; they refer to its bytes.
pub(super) fn records(bytes: &Bytes, topic: &Arc<str>, partition: i32, base: i64, count: u32, timestamp: i64) -> Option<Vec<Record>> {
    let mut cursor = Cursor::new(bytes);
    let mut records = Vec::with_capacity(count as usize);
    let mut names: Vec<Arc<str>> = Vec::new();
    for at in 0..i64::from(count) {
        let (key, value, headers) = (cursor.i32()?, cursor.i32()?, cursor.u16()?);
        let mut slice = |length: i32| -> Option<Option<Bytes>> {
            let Ok(length) = usize::try_from(length) else { return Some(None) };
            let start = cursor.at();
            cursor.bytes(length)?;
            Some(Some(bytes.slice(start..start + length)))
        };
        let (key, value) = (slice(key)?, slice(value)?);
        let mut read = Headers::default();
        for _ in 0..headers {
            let (name, length) = (cursor.u16()?, cursor.u32()? as usize);
            let name = std::str::from_utf8(cursor.bytes(name.into())?).ok()?;
            // A handful of names repeat in every record: one allocation each a chunk.
            let name = match names.iter().find(|known| &***known == name) {
                Some(known) => Arc::clone(known),
                None => {
                    let name: Arc<str> = name.into();
                    names.push(Arc::clone(&name));
                    name
                }
            };
            let start = cursor.at();
            cursor.bytes(length)?;
            read.0.push((name, bytes.slice(start..start + length)));
        }
        records.push(Record { topic: Arc::clone(topic), partition, offset: Offset(base + at), timestamp, key, value, headers: read });
    }
    Some(records)
}
