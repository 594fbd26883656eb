//! Zeek's own logs: tab-separated, with the names and types of their columns in lines that begin with `#`.
//!
//! A field has the name of its column, and the value that Zeek's JSON gives it: numbers, truth values, lists for sets and vectors. What is unset is left
//! out. The log's own name (`#path`) is `_path`.
use std::borrow::Cow;

use super::lines::give;
use super::{Out, Piece, lines};
use crate::event::fields::{FieldScalar, Fields, Refused};
use crate::limits::Limits;

/// The header lines that are needed to read the others; the first begins a new header.
pub(super) const HEADER: &[&str] = &["#separator", "#set_separator", "#empty_field", "#unset_field", "#path", "#fields", "#types"];

/// Whether a header is in sight.
pub(super) fn looks_like(head: &[u8]) -> bool {
    head.starts_with(b"#separator ") || head.starts_with(b"#fields\t") || memchr::memmem::find(head, b"\n#fields\t").is_some()
}

/// How the columns are to be read.
struct Header<'a> {
    separator: char,
    set_separator: Cow<'a, str>,
    empty: Cow<'a, str>,
    unset: Cow<'a, str>,
    path: Option<&'a str>,
    names: Vec<&'a str>,
    types: Vec<Type>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Scalar {
    Text,
    Int,
    Uint,
    Float,
    Bool,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Type {
    One(Scalar),
    Many(Scalar),
}

impl Type {
    fn named(name: &str) -> Self {
        let inner = |kind: &str| name.strip_prefix(kind)?.strip_prefix('[')?.strip_suffix(']').map(scalar);
        inner("set").or_else(|| inner("vector")).or_else(|| inner("table")).map_or_else(|| Self::One(scalar(name)), Self::Many)
    }
}

fn scalar(name: &str) -> Scalar {
    match name {
        "int" => Scalar::Int,
        "count" | "port" => Scalar::Uint,
        "double" | "time" | "interval" => Scalar::Float,
        "bool" => Scalar::Bool,
        _ => Scalar::Text,
    }
}

impl<'a> Header<'a> {
    fn new() -> Self {
        Self {
            separator: '\t',
            set_separator: ",".into(),
            empty: "(empty)".into(),
            unset: "-".into(),
            path: None,
            names: Vec::new(),
            types: Vec::new(),
        }
    }

    fn take(&mut self, line: &'a str) {
        if let Some(separator) = line.strip_prefix("#separator ") {
            *self = Self::new();
            self.separator = unescape(separator).chars().next().unwrap_or('\t');
            return;
        }
        let Some((word, value)) = line.split_once(self.separator) else { return };
        match word {
            "#set_separator" => self.set_separator = unescape(value),
            "#empty_field" => self.empty = unescape(value),
            "#unset_field" => self.unset = unescape(value),
            "#path" => self.path = Some(value),
            "#fields" => {
                self.names = value.split(self.separator).collect();
                self.types.clear();
            }
            "#types" => self.types = value.split(self.separator).map(Type::named).collect(),
            _ => {}
        }
    }

    fn record(&self, line: &str, fields: &mut Fields) -> Result<(), Refused> {
        if self.names.is_empty() {
            return Err(Refused::new("no-header", "no #fields before this line"));
        }
        let columns = line.split(self.separator).count();
        if columns != self.names.len() {
            return Err(wrong_columns(columns, self.names.len()));
        }
        if let Some(path) = self.path {
            fields.text("_path", path)?;
        }
        for (at, (name, value)) in self.names.iter().zip(line.split(self.separator)).enumerate() {
            if value == self.unset {
                continue;
            }
            match self.types.get(at).copied().unwrap_or(Type::One(Scalar::Text)) {
                Type::One(_) if value == self.empty => fields.text(name, "")?,
                Type::One(ty) => put(name, ty, value, fields)?,
                Type::Many(_) if value == self.empty || value.is_empty() => fields.list(name, [])?,
                Type::Many(ty) => self.list(name, ty, value, fields)?,
            }
        }
        Ok(())
    }

    fn list(&self, name: &str, ty: Scalar, value: &str, fields: &mut Fields) -> Result<(), Refused> {
        let texts: Vec<_> =
            value.split(&*self.set_separator).map(|part| if part == self.empty { "".into() } else { unescape(part) }).collect();
        let scalars = texts.iter().map(|text| if *text == self.unset { FieldScalar::Null } else { typed(ty, text) });
        fields.list(name, scalars)
    }
}

/// The refusal of a row that has not the columns of its header.
pub(super) fn wrong_columns(columns: usize, header: usize) -> Refused {
    Refused::new("wrong-column-count", format!("{columns} columns, where the header has {header}"))
}

fn put(name: &str, ty: Scalar, value: &str, fields: &mut Fields) -> Result<(), Refused> {
    fields.put(name, typed(ty, &unescape(value)))
}

/// A value of its type; one that is not stays the text that it is.
fn typed(ty: Scalar, value: &str) -> FieldScalar<'_> {
    let number = match ty {
        Scalar::Text => None,
        Scalar::Int => value.parse().ok().map(FieldScalar::Int),
        Scalar::Uint => value.parse().ok().map(FieldScalar::Uint),
        Scalar::Float => value.parse().ok().filter(|number: &f64| number.is_finite()).map(FieldScalar::Float),
        Scalar::Bool => match value {
            "T" => Some(FieldScalar::Bool(true)),
            "F" => Some(FieldScalar::Bool(false)),
            _ => None,
        },
    };
    number.unwrap_or(FieldScalar::Text(value))
}

/// `\x2c` is a comma. What does not become UTF-8 stays as it is written.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let escaped = bytes.get(at + 2..at + 4).filter(|_| bytes[at..].starts_with(b"\\x"));
        let code = escaped.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => (plain.push(code), at += 4).0,
            None => {
                // A backslash is written twice.
                at += if bytes[at..].starts_with(b"\\\\") { 2 } else { 1 };
                plain.push(byte);
            }
        }
    }
    String::from_utf8(plain).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Reads the rows of a piece; header lines may stand among them.
pub(super) fn read(piece: &Piece<'_>, fields: &mut Fields, limits: &Limits, out: Out<'_>) {
    let mut header = Header::new();
    for (_, _, line) in lines(piece.prelude, 0, limits) {
        header.take(line.unwrap_or_default());
    }
    for (number, bytes, line) in lines(piece.body, piece.first_line, limits) {
        fields.clear();
        let read = match line {
            Ok(line) if line.starts_with('#') => {
                header.take(line);
                continue;
            }
            Ok(line) => header.record(line, fields),
            Err(refused) => Err(refused),
        };
        give(number, bytes, read, fields, out);
    }
}

#[cfg(test)]
mod tests {
    use super::super::LogFormat;
    use super::super::tests::{pieces, read};

    const LOG: &str = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tdns\n#open\t2023-09-06\n\
        #fields\tts\tuid\tid.orig_h\tid.orig_p\trtt\tquery\tanswers\tTTLs\trejected\n\
        #types\ttime\tstring\taddr\tport\tinterval\tstring\tvector[string]\tvector[interval]\tbool\n\
        1693975906.500310\tCP1\t192.168.56.30\t62431\t-\ta\\x2cb.example\ta\\x2cb,-,10.0.0.1\t1.0,2.5\tT\n\
        1693975906.5\tCP2\t::1\tx\t0.1\t(empty)\t(empty)\t-\tF\n\
        short\trow\n\
        #fields\tonly\n#types\tint\n-5\n#close\t2023\n";

    #[test]
    fn columns_have_their_types_and_a_new_header_its_own_columns() {
        let expected = [
            r#"9 {"TTLs":[1.0,2.5],"_path":"dns","answers":["a,b",null,"10.0.0.1"],"id.orig_h":"192.168.56.30","id.orig_p":62431,"query":"a,b.example","rejected":true,"ts":1693975906.50031,"uid":"CP1"}"#,
            r#"10 {"_path":"dns","answers":[],"id.orig_h":"::1","id.orig_p":"x","query":"","rejected":false,"rtt":0.1,"ts":1693975906.5,"uid":"CP2"}"#,
            "11 wrong-column-count",
            r#"14 {"_path":"dns","only":-5}"#,
        ];
        assert_eq!(read(LogFormat::Zeek, LOG), expected);
        assert_eq!(pieces(LogFormat::Zeek, LOG, 50), expected);
        assert_eq!(read(LogFormat::Zeek, "a\tb"), ["1 no-header"]);
    }
}
