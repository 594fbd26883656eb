//! Values with commas, semicolons, bars or tabs between them, under a header line (CSV, RFC 4180).
//!
//! A field has the name of its column; a name that comes again, or none, gets a number. Values stay the texts that they are.
mod cut;
mod record;

pub(crate) use cut::RecordCutter;

use csv_core::ReadRecordResult;

use self::record::record_end;
use super::lines::{give, sample, too_large};
use super::zeek::wrong_columns;
use super::{Out, Piece};
use crate::event::fields::{Fields, Refused};
use crate::limits::Limits;

const DELIMITERS: [u8; 4] = *b",\t;|";

/// Of these lines' records most must have the columns of the header.
const SHARE: usize = 4;

/// Whether the first line names columns, and the records have as many.
pub(super) fn looks_like(head: &[u8]) -> bool {
    let Some(header) = sample(head).next() else { return false };
    let delimiter = delimiter_of(header.as_bytes());
    let names: Vec<_> = cells(header, delimiter).collect();
    let named = names.iter().filter(|name| !name.is_empty()).count();
    if names.len() < 2 || named * 2 < names.len() || !names.iter().all(|name| name.is_empty() || is_name(name)) {
        return false;
    }
    let mut reader = Reader::new(delimiter);
    let (mut rest, mut good, mut all) = (head.trim_ascii_start(), 0, 0);
    while !rest.is_empty() && all < 64 {
        let end = record_length(rest, delimiter, usize::MAX).unwrap_or(rest.len());
        let record = rest[..end].trim_ascii_end();
        rest = &rest[end..];
        if !record.is_empty() {
            all += 1;
            good += usize::from(reader.split(record, usize::MAX).is_ok_and(|columns| columns == names.len()));
        }
    }
    // A header alone says little, where it has but two columns.
    all > 0 && (all - good) * SHARE <= all && (all > 1 || names.len() > 2)
}

/// Whether a cell may be the name of a column: a word or some, not a value.
fn is_name(cell: &str) -> bool {
    let first = cell.chars().next().is_some_and(|c| c.is_alphabetic() || matches!(c, '_' | '@' | '#' | '$' | '(' | '['));
    first && cell.len() <= 100 && !cell.contains("://") && !cell.contains('=')
}

/// The cells of a header line, roughly.
fn cells(line: &str, delimiter: u8) -> impl Iterator<Item = &str> {
    line.trim_start_matches('\u{feff}').split(char::from(delimiter)).map(|cell| cell.trim().trim_matches('"'))
}

/// What stands between the names of a header line: of the four that which comes most often.
fn delimiter_of(header: &[u8]) -> u8 {
    let line = &header[..memchr::memchr(b'\n', header).unwrap_or(header.len())];
    let count = |delimiter: &u8| memchr::memchr_iter(*delimiter, line).count();
    // Of equals the first.
    DELIMITERS.into_iter().rev().max_by_key(count).unwrap_or(b',')
}

/// Splits records into memory that it keeps.
struct Reader {
    core: csv_core::Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Reader {
    fn new(delimiter: u8) -> Self {
        // Records come one by one, so that nothing ends within them.
        let core = csv_core::ReaderBuilder::new().delimiter(delimiter).terminator(csv_core::Terminator::Any(b'\n')).build();
        Self { core, text: Vec::new(), ends: vec![0; 64] }
    }

    /// Splits one record; returns how many cells it has.
    fn split(&mut self, record: &[u8], most: usize) -> Result<usize, Refused> {
        self.core.reset();
        self.text.resize(record.len(), 0);
        let (mut input, mut written, mut cells) = (record, 0, 0);
        loop {
            let (result, read, wrote, ended) = self.core.read_record(input, &mut self.text[written..], &mut self.ends[cells..]);
            (input, written, cells) = (&input[read..], written + wrote, cells + ended);
            match result {
                ReadRecordResult::InputEmpty => input = &[],
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() + 64, 0),
                ReadRecordResult::OutputEndsFull if cells > most => {
                    return Err(Refused::new("too-many-fields", format!("more fields than limits.event_fields ({most})")));
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => return Ok(cells),
                ReadRecordResult::End => return Ok(0),
            }
        }
    }

    /// A cell of the record that was split.
    fn cell(&self, at: usize) -> Result<&str, Refused> {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        std::str::from_utf8(&self.text[start..self.ends[at]]).map_err(|error| Refused::new("invalid-utf8", error.to_string()))
    }
}

/// The length of the record that a text begins with, or of its line where a quote stays open; nothing if both are over the bound.
fn record_length(text: &[u8], delimiter: u8, most: usize) -> Option<usize> {
    let bounded = |length: &usize| *length <= most;
    record_end(text, delimiter).filter(bounded).or_else(|| memchr::memchr(b'\n', text).map(|at| at + 1).filter(bounded))
}

/// The names of the columns, no two alike.
fn names(header: &[u8], reader: &mut Reader, limits: &Limits) -> Result<Vec<String>, Refused> {
    let columns = reader.split(header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header), limits.event_fields)?;
    let mut taken = std::collections::HashSet::new();
    let mut names = Vec::with_capacity(columns);
    for at in 0..columns {
        let plain = match reader.cell(at)?.trim() {
            "" => format!("column_{}", at + 1),
            name => name.to_owned(),
        };
        let mut name = plain.clone();
        let mut number = 2u64;
        while !taken.insert(name.clone()) {
            name = format!("{plain}_{number}");
            number += 1;
        }
        names.push(name);
    }
    Ok(names)
}

/// Reads the records of a piece; without a prelude, its first record is the header.
pub(super) fn read(piece: &Piece<'_>, fields: &mut Fields, limits: &Limits, out: Out<'_>) {
    let (body, mut at, mut line) = (piece.body, 0, piece.first_line);
    let mut header = piece.prelude;
    if header.is_empty() {
        let start = body.len() - body.trim_ascii_start().len();
        let length = record_length(&body[start..], delimiter_of(&body[start..]), limits.event_bytes).unwrap_or(body.len() - start);
        header = &body[start..start + length];
        at = start + length;
        line += newlines(&body[..at]);
    }
    let header = header.trim_ascii_end();
    let delimiter = delimiter_of(header);
    let mut reader = Reader::new(delimiter);
    let names = names(header, &mut reader, limits);
    while at < body.len() {
        let rest = &body[at..];
        let first_line = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        let mut used = first_line;
        if !rest[..first_line].trim_ascii().is_empty() {
            fields.clear();
            let whole = record_end(rest, delimiter).filter(|end| *end <= limits.event_bytes.saturating_add(2));
            let mut read = match (&names, whole) {
                (Err(refused), _) => Err(refused.clone()),
                (Ok(names), Some(end)) => {
                    used = end;
                    put(record(rest, end), names, &mut reader, fields, limits)
                }
                (Ok(_), None) if first_line > limits.event_bytes => Err(too_large(limits.event_bytes)),
                (Ok(_), None) => Err(unclosed()),
            };
            if read.is_err() && used > first_line {
                // A quote that was not meant to open a cell takes lines along that have nothing to do with it: the first alone is refused.
                (read, used) = (Err(unclosed()), first_line);
                fields.clear();
            }
            give(line, record(rest, used), read, fields, out);
        }
        line += newlines(&rest[..used]);
        at += used;
    }
}

fn unclosed() -> Refused {
    Refused::new("unclosed-quote", "a quote opens a cell, and no other closes it where the columns of the header end")
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// A record without its line end.
fn record(text: &[u8], end: usize) -> &[u8] {
    let record = &text[..end];
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

fn put(record: &[u8], names: &[String], reader: &mut Reader, fields: &mut Fields, limits: &Limits) -> Result<(), Refused> {
    let columns = reader.split(record, limits.event_fields)?;
    if columns != names.len() {
        return Err(wrong_columns(columns, names.len()));
    }
    for (at, name) in names.iter().enumerate() {
        fields.text(name, reader.cell(at)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::LogFormat;
    use super::super::tests::{pieces, read};

    #[test]
    fn columns_have_names_and_rows_that_are_short_or_long_are_refused() {
        let log = "id,name,,name,\"a \"\"b\"\"\"\r\n1,\"x, y\",007,z,\"two\r\nlines\"\r\n\r\n1,2,3\n1,2,3,4,5,6\n5,,,,\n";
        let expected = [
            r#"2 {"a \"b\"":"two\r\nlines","column_3":"007","id":"1","name":"x, y","name_2":"z"}"#,
            "5 wrong-column-count",
            "6 wrong-column-count",
            r#"7 {"a \"b\"":"","column_3":"","id":"5","name":"","name_2":""}"#,
        ];
        assert_eq!(read(LogFormat::Csv, log), expected);
        assert_eq!(pieces(LogFormat::Csv, log, 1), expected);
        assert_eq!(pieces(LogFormat::Csv, log, 30), expected);
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_own_line() {
        let log = "a\tb\n1\t\"x\n2\ty\n3\t\"z\"\n4\t\"w\n";
        let expected = ["2 unclosed-quote", r#"3 {"a":"2","b":"y"}"#, r#"4 {"a":"3","b":"z"}"#, "5 unclosed-quote"];
        assert_eq!(read(LogFormat::Csv, log), expected);
        assert_eq!(pieces(LogFormat::Csv, log, 1), expected);
    }

    #[test]
    fn the_delimiter_is_that_of_the_header() {
        for delimiter in [',', ';', '\t', '|'] {
            let log = "a_b_c\n1_2_3".replace('_', &delimiter.to_string());
            assert_eq!(read(LogFormat::Csv, &log), [r#"2 {"a":"1","b":"2","c":"3"}"#]);
        }
    }
}
