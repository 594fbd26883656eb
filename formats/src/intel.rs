//! Packages of intelligence: the types that all formats end in, and the door that all come through.
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sightline_schemas::{ContentHash, Micros, Observable, Role, StixId, TypeName};

use crate::limits::Limits;
use crate::pattern::WideTest;
use crate::poison::Poison;
use crate::{allow_list, list, stix};

/// The format of a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntelFormat {
    /// By content: JSON is STIX or a warninglist, a first line with commas is CSV, anything else is a list.
    Auto,
    /// STIX 2.0 or 2.1: bundle, TAXII envelope, array of objects, or one object.
    Stix,
    /// One indicator a line.
    List,
    /// Comma-separated, with or without a header.
    Csv,
    /// An allow-list, as MISP's warninglists.
    Warninglist,
}

/// An observable, and how its object holds it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Held {
    /// What.
    pub observable: Observable,
    /// How.
    pub role: Role,
}

/// An embedded reference: `created_by_ref` gives `created-by`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Reference {
    /// The property without `_ref(s)`, in kebab case.
    pub ty: TypeName,
    /// What it refers to.
    pub target: StixId,
}

/// The ends of a STIX relationship.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Relationship {
    /// `relationship_type`.
    pub ty: TypeName,
    /// `source_ref`.
    pub source: StixId,
    /// `target_ref`.
    pub target: StixId,
}

/// Traffic Light Protocol, from the freest to the strictest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Tlp {
    /// TLP:CLEAR (TLP:WHITE of version 1).
    Clear,
    /// TLP:GREEN.
    Green,
    /// TLP:AMBER.
    Amber,
    /// TLP:AMBER+STRICT.
    AmberStrict,
    /// TLP:RED.
    Red,
}

impl Tlp {
    /// The word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Green => "green",
            Self::Amber => "amber",
            Self::AmberStrict => "amber+strict",
            Self::Red => "red",
        }
    }
}

/// An object of a package, as the dataflow needs it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct IntelObject {
    /// Identifier.
    pub id: StixId,
    /// `created`.
    pub created: Option<Micros>,
    /// `modified`.
    pub modified: Option<Micros>,
    /// `revoked`.
    pub revoked: bool,
    /// `name`, or `value` for cyber-observable objects.
    pub name: Option<String>,
    /// `description`.
    pub description: Option<String>,
    /// 0 to 100.
    pub confidence: Option<i32>,
    /// The strictest of its markings.
    pub tlp: Option<Tlp>,
    /// `labels`, in the order of the document.
    pub labels: Vec<String>,
    /// Start of validity.
    pub valid_from: Option<Micros>,
    /// End of validity, exclusive.
    pub valid_until: Option<Micros>,
    /// The earliest and the latest time that the object names: observation, else validity, else creation and modification.
    pub seen: Option<(Micros, Micros)>,
    /// Sorted, distinct.
    pub holds: Vec<Held>,
    /// What an indicator names beside single values, as far as one test suffices. Sorted, distinct.
    pub wide: Vec<WideTest>,
    /// Sorted, distinct. Of a relationship without its two ends.
    pub references: Vec<Reference>,
    /// The ends, of type `relationship` only.
    pub relationship: Option<Relationship>,
    /// Hash of `doc`.
    pub hash: ContentHash,
    /// Canonical JSON: keys sorted, no white space.
    pub doc: String,
}

/// What a parser hands out.
#[derive(Clone, PartialEq, Debug)]
pub enum IntelItem {
    /// An object.
    Object {
        /// Its place in the package.
        index: u64,
        /// What it is.
        object: Box<IntelObject>,
    },
    /// A part that was refused.
    Poison(Poison),
}

/// What a package was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PackageDigest {
    /// `stix`, `list` or `csv`.
    pub format: &'static str,
    /// Objects handed out.
    pub objects: u64,
    /// Parts refused.
    pub rejected: u64,
    /// The newest `modified`.
    pub newest: Option<Micros>,
}

/// Counts what passes by.
pub(crate) struct Counted<'a> {
    digest: PackageDigest,
    out: &'a mut dyn FnMut(IntelItem),
}

impl<'a> Counted<'a> {
    pub(crate) fn new(format: &'static str, out: &'a mut dyn FnMut(IntelItem)) -> Self {
        Self { digest: PackageDigest { format, objects: 0, rejected: 0, newest: None }, out }
    }

    pub(crate) fn object(&mut self, index: u64, object: Box<IntelObject>) {
        self.digest.objects += 1;
        self.digest.newest = self.digest.newest.max(object.modified);
        (self.out)(IntelItem::Object { index, object });
    }

    pub(crate) fn poison(&mut self, poison: Poison) {
        self.digest.rejected += 1;
        (self.out)(IntelItem::Poison(poison));
    }

    pub(crate) fn finish(self) -> PackageDigest {
        self.digest
    }
}

/// Reads a package whose bytes come in `parts`, cut anywhere. Memory: one object, not the tree of the package.
///
/// # Errors
/// A [`Poison`] for the whole package when nothing in it could be told apart.
pub fn parse_intel(format: IntelFormat, parts: &[Bytes], limits: &Limits, out: &mut dyn FnMut(IntelItem)) -> Result<PackageDigest, Poison> {
    match format {
        IntelFormat::Auto => parse_intel(detect(parts), parts, limits, out),
        IntelFormat::Stix => stix::parse(parts, limits, out),
        IntelFormat::List => list::parse_plain(parts, limits, out),
        IntelFormat::Csv => list::parse_csv(parts, limits, out),
        IntelFormat::Warninglist => allow_list::parse(parts, limits, out),
    }
}

/// The format of intelligence that begins with `head`; none when it is something else, a log for one.
pub fn detect_intel(head: &[u8]) -> Option<IntelFormat> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    match head {
        [b'{', ..] if allow_list::is_warninglist(head) => Some(IntelFormat::Warninglist),
        [b'{' | b'[', ..] => stix::is_stix(head).then_some(IntelFormat::Stix),
        _ => list::detect(head),
    }
}

fn detect(parts: &[Bytes]) -> IntelFormat {
    let mut start = parts
        .iter()
        .flat_map(|part| part.iter().copied())
        .filter(|byte| !matches!(byte, 0xef | 0xbb | 0xbf))
        .skip_while(u8::is_ascii_whitespace);
    match start.next() {
        Some(b'{')
            if allow_list::is_warninglist(parts.iter().find(|part| !part.is_empty()).map_or(&[], |part| part.trim_ascii_start())) =>
        {
            IntelFormat::Warninglist
        }
        Some(b'{' | b'[') => IntelFormat::Stix,
        Some(first) => {
            let line: Vec<u8> = std::iter::once(first).chain(start.take_while(|byte| *byte != b'\n')).take(4096).collect();
            let commas = memchr::memchr_iter(b',', &line).count();
            if commas > 0 && !matches!(first, b'#' | b';' | b'/') { IntelFormat::Csv } else { IntelFormat::List }
        }
        None => IntelFormat::List,
    }
}
