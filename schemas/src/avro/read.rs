//! Datums of the current schemas to records, read directly: the encoder backwards. Tests hold it against `apache-avro`.
//!
//! Lengths and counts come from outside: none is believed further than there are bytes left.
use std::fmt;

use super::{OutputRecord, RecordType};
use crate::observable::{ObservableKind, Role};
use crate::record::{
    EntityRecord, EventMatch, EventObservable, EventRecord, HeldObservable, Holder, LinkRecord, ObservableRecord, PackageRecord,
    PackageStatus, RelationRecord, SightingRecord,
};
use crate::time::Micros;

/// Why a datum is not one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DatumError {
    what: &'static str,
    /// How many bytes were left.
    left: usize,
}

impl fmt::Display for DatumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes before its end", self.what, self.left)
    }
}

type Read<T> = Result<T, DatumError>;

/// Reads one datum and nothing behind it.
pub(super) fn read(ty: RecordType, datum: &[u8]) -> Read<OutputRecord> {
    let mut datum = Datum(datum);
    let record = match ty {
        RecordType::Entity => OutputRecord::Entity(datum.entity()?),
        RecordType::Observable => OutputRecord::Observable(datum.observable()?),
        RecordType::Link => OutputRecord::Link(datum.link()?),
        RecordType::Relation => OutputRecord::Relation(datum.relation()?),
        RecordType::Event => OutputRecord::Event(datum.event()?),
        RecordType::Sighting => OutputRecord::Sighting(datum.sighting()?),
        RecordType::Package => OutputRecord::Package(datum.package()?),
    };
    if datum.0.is_empty() { Ok(record) } else { Err(datum.error("the record is complete")) }
}

/// What is left of the datum.
struct Datum<'a>(&'a [u8]);

impl<'a> Datum<'a> {
    fn error(&self, what: &'static str) -> DatumError {
        DatumError { what, left: self.0.len() }
    }

    fn byte(&mut self) -> Read<u8> {
        let (first, rest) = self.0.split_first().ok_or_else(|| self.error("the datum is cut short"))?;
        self.0 = rest;
        Ok(*first)
    }

    fn long(&mut self) -> Read<i64> {
        let mut zigzag = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            zigzag |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // The tenth byte holds the 64th bit alone.
                return if shift == 63 && byte > 1 {
                    Err(self.error("a number exceeds 64 bits"))
                } else {
                    Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
                };
            }
        }
        Err(self.error("a number exceeds 64 bits"))
    }

    fn word(&mut self) -> Read<&'a str> {
        let length = usize::try_from(self.long()?).map_err(|_| self.error("a length is negative"))?;
        let (text, rest) = self.0.split_at_checked(length).ok_or_else(|| self.error("a text is cut short"))?;
        let text = std::str::from_utf8(text).map_err(|_| self.error("a text is not UTF-8"))?;
        self.0 = rest;
        Ok(text)
    }

    fn string(&mut self) -> Read<String> {
        self.word().map(str::to_owned)
    }

    fn boolean(&mut self) -> Read<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.error("a boolean is neither 0 nor 1")),
        }
    }

    fn micros(&mut self) -> Read<Micros> {
        self.long().map(Micros)
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<Option<T>> {
        match self.long()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(self.error("a union has no such branch")),
        }
    }

    /// Blocks of items; a negative count is followed by the block's size in bytes.
    fn array<T>(&mut self, read: impl Fn(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let mut items = Vec::new();
        loop {
            let count = match self.long()? {
                0 => return Ok(items),
                count @ 1.. => count as u64,
                count => {
                    self.long()?;
                    count.unsigned_abs()
                }
            };
            // No item of ours is empty, so that a count beyond the bytes left is refused by the first missing one.
            items.reserve_exact(self.0.len().min(usize::try_from(count).unwrap_or(usize::MAX)).min(64));
            for _ in 0..count {
                items.push(read(self)?);
            }
        }
    }

    fn kind(&mut self) -> Read<ObservableKind> {
        ObservableKind::from_word(self.word()?).ok_or_else(|| self.error("an observable's kind is unknown to this version"))
    }

    fn role(&mut self) -> Read<Role> {
        Role::from_word(self.word()?).ok_or_else(|| self.error("a role is unknown to this version"))
    }

    // Fields are evaluated in the order written, which is that of the schema.

    fn entity(&mut self) -> Read<EntityRecord> {
        Ok(EntityRecord {
            tenant: self.string()?,
            id: self.string()?,
            ty: self.string()?,
            name: self.optional(Self::string)?,
            description: self.optional(Self::string)?,
            created: self.optional(Self::micros)?,
            modified: self.optional(Self::micros)?,
            revoked: self.boolean()?,
            confidence: self.optional(|datum| i32::try_from(datum.long()?).map_err(|_| datum.error("an int exceeds 32 bits")))?,
            tlp: self.optional(Self::string)?,
            labels: self.array(Self::string)?,
            sources: self.array(Self::string)?,
            valid_from: self.optional(Self::micros)?,
            valid_until: self.optional(Self::micros)?,
            observables: self.array(|datum| {
                Ok(HeldObservable { id: datum.string()?, kind: datum.kind()?, value: datum.string()?, role: datum.role()? })
            })?,
            doc: self.string()?,
        })
    }

    fn observable(&mut self) -> Read<ObservableRecord> {
        Ok(ObservableRecord {
            tenant: self.string()?,
            id: self.string()?,
            kind: self.kind()?,
            value: self.string()?,
            first_seen: self.optional(Self::micros)?,
            last_seen: self.optional(Self::micros)?,
            holders: self.long()?,
            entities: self.array(|datum| Ok(Holder { id: datum.string()?, role: datum.role()? }))?,
        })
    }

    fn link(&mut self) -> Read<LinkRecord> {
        Ok(LinkRecord { tenant: self.string()?, entity_id: self.string()?, observable_id: self.string()?, role: self.role()? })
    }

    fn relation(&mut self) -> Read<RelationRecord> {
        Ok(RelationRecord {
            tenant: self.string()?,
            id: self.string()?,
            ty: self.string()?,
            source_id: self.string()?,
            target_id: self.string()?,
            doc: self.optional(Self::string)?,
        })
    }

    fn event(&mut self) -> Read<EventRecord> {
        Ok(EventRecord {
            tenant: self.string()?,
            id: self.string()?,
            source: self.string()?,
            timestamp: self.micros()?,
            fields: self.string()?,
            observables: self.array(|datum| {
                Ok(EventObservable { id: datum.string()?, kind: datum.kind()?, value: datum.string()?, field: datum.string()? })
            })?,
            matches: self
                .array(|datum| Ok(EventMatch { entity_id: datum.string()?, observable_id: datum.string()?, role: datum.role()? }))?,
        })
    }

    fn sighting(&mut self) -> Read<SightingRecord> {
        Ok(SightingRecord {
            tenant: self.string()?,
            id: self.string()?,
            entity_id: self.string()?,
            observable_id: self.string()?,
            event_id: self.string()?,
            seen: self.micros()?,
            retracted: self.boolean()?,
        })
    }

    fn package(&mut self) -> Read<PackageRecord> {
        Ok(PackageRecord {
            tenant: self.string()?,
            id: self.string()?,
            feed: self.string()?,
            format: self.string()?,
            sha256: self.string()?,
            status: match self.word()? {
                "accepted" => PackageStatus::Accepted,
                "partial" => PackageStatus::Partial,
                "rejected" => PackageStatus::Rejected,
                _ => return Err(self.error("a package's status is unknown to this version")),
            },
            entities: self.long()?,
            observables: self.long()?,
            rejected: self.long()?,
            error: self.optional(Self::string)?,
        })
    }
}
