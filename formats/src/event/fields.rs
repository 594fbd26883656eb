//! The fields of one event: scalars, and lists of scalars, by dotted name.
use std::ops::Range;

use crate::limits::Limits;

/// The fields of one event. Made to be used again for the next: all names and texts lie in one buffer, and nothing is allocated a field.
///
/// Fields come in any order; [`Fields::settle`] sorts them. Of two fields of one name the later counts, as in nearly every reader of JSON.
#[derive(Debug)]
pub struct Fields {
    text: String,
    entries: Vec<Entry>,
    scalars: Vec<Scalar>,
    most: usize,
    most_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: Span,
    value: Slot,
}

/// A part of the buffer, or of the scalars.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Clone, Copy, Debug)]
enum Slot {
    One(Scalar),
    List(Span),
    EmptyObject,
}

#[derive(Clone, Copy, Debug)]
enum Scalar {
    Text(Span),
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
    Null,
}

/// A scalar on its way into [`Fields`], or out of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum FieldScalar<'a> {
    /// A text.
    Text(&'a str),
    /// A whole number that fits 64 bits with a sign.
    Int(i64),
    /// One that fits 64 bits without.
    Uint(u64),
    /// Any other number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Nothing.
    Null,
}

/// A value of a field.
#[derive(Clone, Copy, Debug)]
pub enum FieldValue<'a> {
    /// A scalar.
    One(FieldScalar<'a>),
    /// A list of scalars, perhaps empty.
    List(FieldList<'a>),
    /// `{}`: an object without fields has no name to be flattened to.
    EmptyObject,
}

/// A list of scalars.
#[derive(Clone, Copy, Debug)]
pub struct FieldList<'a> {
    fields: &'a Fields,
    span: Span,
}

impl<'a> FieldList<'a> {
    /// Its members, in order.
    pub fn iter(self) -> impl Iterator<Item = FieldScalar<'a>> {
        self.fields.scalars[self.span.range()].iter().map(move |scalar| self.fields.scalar(*scalar))
    }
}

impl<'a> FieldValue<'a> {
    /// The text, if it is one.
    pub fn text(self) -> Option<&'a str> {
        if let Self::One(FieldScalar::Text(text)) = self { Some(text) } else { None }
    }

    /// The scalars: one, those of the list, or none.
    pub fn scalars(self) -> impl Iterator<Item = FieldScalar<'a>> {
        let (one, list) = match self {
            Self::One(scalar) => (Some(scalar), None),
            Self::List(list) => (None, Some(list)),
            Self::EmptyObject => (None, None),
        };
        one.into_iter().chain(list.into_iter().flat_map(FieldList::iter))
    }
}

/// Why an event does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// A stable code.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Refused {
    /// Of a reason.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl Fields {
    /// None yet, within the bounds.
    pub fn new(limits: &Limits) -> Self {
        // Names repeat what objects above them are called, so that a flat event may be larger than its input.
        let most_bytes = limits.event_bytes.saturating_mul(4).min(u32::MAX as usize);
        Self { text: String::new(), entries: Vec::new(), scalars: Vec::new(), most: limits.event_fields, most_bytes }
    }

    /// Forgets them.
    pub fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
        self.scalars.clear();
    }

    /// Adds a field.
    ///
    /// # Errors
    /// `too-many-fields`, `flattened-too-large`, `nul-character`.
    pub fn put(&mut self, name: &str, value: FieldScalar<'_>) -> Result<(), Refused> {
        let scalar = self.keep(value)?;
        self.add(name, Slot::One(scalar))
    }

    /// Adds a text.
    ///
    /// # Errors
    /// As [`Fields::put`].
    pub fn text(&mut self, name: &str, value: &str) -> Result<(), Refused> {
        self.put(name, FieldScalar::Text(value))
    }

    /// Adds a list of scalars.
    ///
    /// # Errors
    /// As [`Fields::put`].
    pub fn list<'a>(&mut self, name: &str, values: impl IntoIterator<Item = FieldScalar<'a>>) -> Result<(), Refused> {
        let start = self.scalars.len() as u32;
        for value in values {
            let scalar = self.keep(value)?;
            if self.entries.len() + self.scalars.len() >= self.most {
                return Err(self.too_many());
            }
            self.scalars.push(scalar);
        }
        self.add(name, Slot::List(Span { start, end: self.scalars.len() as u32 }))
    }

    /// Adds an object without fields.
    ///
    /// # Errors
    /// As [`Fields::put`].
    pub fn empty_object(&mut self, name: &str) -> Result<(), Refused> {
        self.add(name, Slot::EmptyObject)
    }

    fn add(&mut self, name: &str, value: Slot) -> Result<(), Refused> {
        if self.entries.len() + self.scalars.len() >= self.most {
            return Err(self.too_many());
        }
        let name = self.store(name)?;
        self.entries.push(Entry { name, value });
        Ok(())
    }

    fn too_many(&self) -> Refused {
        Refused::new("too-many-fields", format!("more fields than limits.event_fields ({})", self.most))
    }

    fn keep(&mut self, value: FieldScalar<'_>) -> Result<Scalar, Refused> {
        Ok(match value {
            FieldScalar::Text(text) => Scalar::Text(self.store(text)?),
            FieldScalar::Int(number) => Scalar::Int(number),
            FieldScalar::Uint(number) => Scalar::Uint(number),
            FieldScalar::Float(number) => Scalar::Float(number),
            FieldScalar::Bool(truth) => Scalar::Bool(truth),
            FieldScalar::Null => Scalar::Null,
        })
    }

    fn store(&mut self, text: &str) -> Result<Span, Refused> {
        if text.len() > self.most_bytes - self.text.len() {
            let message = format!("names and texts of more than {} bytes (four times limits.event_bytes)", self.most_bytes);
            return Err(Refused::new("flattened-too-large", message));
        }
        if memchr::memchr(0, text.as_bytes()).is_some() {
            return Err(Refused::new("nul-character", "a text holds U+0000, which PostgreSQL cannot store"));
        }
        let start = self.text.len() as u32;
        self.text.push_str(text);
        Ok(Span { start, end: self.text.len() as u32 })
    }

    /// Sorts by name; of one name the last stays.
    pub fn settle(&mut self) {
        let text = &self.text;
        let name = |entry: &Entry| &text.as_bytes()[entry.name.range()];
        // The later of one name lies later in the buffer.
        self.entries.sort_unstable_by(|a, b| name(a).cmp(name(b)).then(b.name.start.cmp(&a.name.start)));
        self.entries.dedup_by(|later, kept| name(later) == name(kept));
    }

    /// The value of a name, after [`Fields::settle`].
    pub fn get(&self, name: &str) -> Option<FieldValue<'_>> {
        let at = self.entries.binary_search_by(|entry| self.text[entry.name.range()].cmp(name)).ok()?;
        Some(self.value(self.entries[at].value))
    }

    /// The place of a name among the first `settled` fields.
    pub(crate) fn position(&self, name: &str, settled: usize) -> Option<usize> {
        self.entries[..settled.min(self.entries.len())].binary_search_by(|entry| self.text[entry.name.range()].cmp(name)).ok()
    }

    /// The value at a place.
    pub(crate) fn value_at(&self, at: usize) -> FieldValue<'_> {
        self.value(self.entries[at].value)
    }

    /// Adds another name for the value at a place.
    ///
    /// # Errors
    /// As [`Fields::put`].
    pub(crate) fn alias(&mut self, name: &str, at: usize) -> Result<(), Refused> {
        self.add(name, self.entries[at].value)
    }

    /// Adds a name for a part of the text at a place; nothing if it is no text, or has no such part.
    ///
    /// # Errors
    /// As [`Fields::put`].
    pub(crate) fn alias_part(&mut self, name: &str, at: usize, part: impl FnOnce(&str) -> Option<&str>) -> Result<(), Refused> {
        let Slot::One(Scalar::Text(span)) = self.entries[at].value else { return Ok(()) };
        let text = &self.text[span.range()];
        let Some(part) = part(text) else { return Ok(()) };
        let start = span.start + (part.as_ptr() as usize - text.as_ptr() as usize) as u32;
        self.add(name, Slot::One(Scalar::Text(Span { start, end: start + part.len() as u32 })))
    }

    /// Takes beginnings off names, where the name that is left is not taken. Settles the fields.
    pub(crate) fn unfold(&mut self, beginnings: &[String]) {
        let text = &self.text;
        let mut short: Vec<(usize, u32)> = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            let name = &text[entry.name.range()];
            let Some(left) = beginnings.iter().find_map(|beginning| name.strip_prefix(beginning.as_str())).filter(|left| !left.is_empty())
            else {
                continue;
            };
            if self.entries.binary_search_by(|other| text[other.name.range()].cmp(left)).is_err() {
                short.push((at, (name.len() - left.len()) as u32));
            }
        }
        for (at, length) in short {
            self.entries[at].name.start += length;
        }
        self.settle();
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, FieldValue<'_>)> {
        self.entries.iter().map(|entry| (&self.text[entry.name.range()], self.value(entry.value)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn value(&self, slot: Slot) -> FieldValue<'_> {
        match slot {
            Slot::One(scalar) => FieldValue::One(self.scalar(scalar)),
            Slot::List(span) => FieldValue::List(FieldList { fields: self, span }),
            Slot::EmptyObject => FieldValue::EmptyObject,
        }
    }

    fn scalar(&self, scalar: Scalar) -> FieldScalar<'_> {
        match scalar {
            Scalar::Text(span) => FieldScalar::Text(&self.text[span.range()]),
            Scalar::Int(number) => FieldScalar::Int(number),
            Scalar::Uint(number) => FieldScalar::Uint(number),
            Scalar::Float(number) => FieldScalar::Float(number),
            Scalar::Bool(truth) => FieldScalar::Bool(truth),
            Scalar::Null => FieldScalar::Null,
        }
    }

    /// Appends them as one JSON object, in order.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        // Quotes, a colon and a comma a field; escapes are rare.
        out.reserve(self.text.len() + 8 * self.entries.len() + 2);
        out.push(b'{');
        for (at, (name, value)) in self.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_scalar(FieldScalar::Text(name), out);
            out.push(b':');
            match value {
                FieldValue::One(scalar) => write_scalar(scalar, out),
                FieldValue::EmptyObject => out.extend_from_slice(b"{}"),
                FieldValue::List(list) => {
                    out.push(b'[');
                    for (at, scalar) in list.iter().enumerate() {
                        if at > 0 {
                            out.push(b',');
                        }
                        write_scalar(scalar, out);
                    }
                    out.push(b']');
                }
            }
        }
        out.push(b'}');
    }
}

/// Whether a text stands in JSON as it is. Looks at all of it without a branch, sixteen bytes at a time.
fn is_plain(text: &str) -> bool {
    let odd = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    let chunks = text.as_bytes().chunks_exact(16);
    let rest = chunks.remainder().iter().fold(false, |found, byte| found | odd(*byte));
    !chunks.fold(rest, |found, chunk| found | chunk.iter().fold(false, |found, byte| found | odd(*byte)))
}

fn write_scalar(scalar: FieldScalar<'_>, out: &mut Vec<u8>) {
    if let FieldScalar::Text(text) = scalar
        && is_plain(text)
    {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        return out.push(b'"');
    }
    // Scalars always serialise, and a vector takes all; a float that is no number is `null`, as serde_json has it.
    let _written = match scalar {
        FieldScalar::Text(text) => serde_json::to_writer(out, text),
        FieldScalar::Int(number) => serde_json::to_writer(out, &number),
        FieldScalar::Uint(number) => serde_json::to_writer(out, &number),
        FieldScalar::Float(number) => serde_json::to_writer(out, &number),
        FieldScalar::Bool(truth) => serde_json::to_writer(out, &truth),
        FieldScalar::Null => serde_json::to_writer(out, &()),
    };
}
