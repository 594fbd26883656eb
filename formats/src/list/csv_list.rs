//! CSV: with a header, columns are known by name; without, by what they hold.
use std::collections::BTreeMap;

use bytes::Bytes;
use sightline_schemas::{Micros, Observable, ObservableKind as Kind};

use super::{Said, emit, recognise};
use crate::intel::{Counted, IntelItem, PackageDigest};
use crate::limits::Limits;
use crate::parts::Parts;
use crate::poison::Poison;

/// Which column is what.
#[derive(Clone, Copy, Default, Debug)]
struct Columns {
    value: Option<usize>,
    kind: Option<usize>,
    time: Option<usize>,
    tags: Option<usize>,
}

/// Reads a CSV file.
pub(crate) fn parse(parts: &[Bytes], limits: &Limits, out: &mut dyn FnMut(IntelItem)) -> Result<PackageDigest, Poison> {
    let mut counted = Counted::new("csv", out);
    let mut said: BTreeMap<Observable, Said> = BTreeMap::new();
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).comment(Some(b'#')).trim(csv::Trim::All).from_reader(Parts::new(parts));
    let mut columns: Option<Columns> = None;
    let mut row = csv::ByteRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_byte_record(&mut row) {
            Ok(false) => break,
            Ok(true) => {}
            Err(error) => {
                counted.poison(Poison::parse(format!("line {line}"), "invalid-csv", error.to_string(), row.as_slice(), limits));
                if matches!(error.kind(), csv::ErrorKind::Io(_)) {
                    break;
                }
                continue;
            }
        }
        let line = row.position().map_or(line, csv::Position::line);
        let fields: Vec<_> = row.iter().map(String::from_utf8_lossy).collect();
        let fields: Vec<&str> = fields.iter().map(AsRef::as_ref).collect();
        let known = match columns {
            Some(known) => known,
            None => match header(&fields) {
                Some(known) => {
                    columns = Some(known);
                    continue;
                }
                None => *columns.insert(guess(&fields)),
            },
        };
        let mut poison =
            |reason, message: String| counted.poison(Poison::parse(format!("line {line}"), reason, message, row.as_slice(), limits));
        let field = |at: Option<usize>| at.and_then(|at| fields.get(at)).copied().filter(|text| !text.is_empty());
        let Some(observable) = observable(field(known.value), field(known.kind), &fields) else {
            poison("unrecognised-line", "no column holds an address, domain, URL, e-mail address or hash".into());
            continue;
        };
        if said.len() as u64 >= limits.package_objects && !said.contains_key(&observable) {
            poison("too-many-objects", format!("more values than limits.package_objects ({}); split the file", limits.package_objects));
            break;
        }
        let labels = field(known.tags)
            .into_iter()
            .flat_map(|tags| tags.split([' ', ';', '|']))
            .map(|tag| tag.trim().trim_start_matches('#').to_lowercase());
        said.entry(observable).or_default().add(field(known.time).and_then(time), labels.filter(|label| !label.is_empty()));
    }
    emit(said, &mut counted);
    Ok(counted.finish())
}

/// A row that names columns, at least the one of the values.
fn header(fields: &[&str]) -> Option<Columns> {
    if fields.iter().any(|field| recognise(field).is_some() || time(field).is_some()) {
        return None;
    }
    let mut columns = Columns::default();
    for (at, field) in fields.iter().enumerate() {
        let column = match field.to_lowercase().trim_start_matches('\u{feff}') {
            "value" | "indicator" | "ioc" | "ioc_value" | "observable" | "ip" | "domain" | "url" | "hash" | "sha256" | "md5" | "sha1" => {
                &mut columns.value
            }
            "type" | "kind" | "indicator_type" | "ioc_type" => &mut columns.kind,
            "time" | "date" | "timestamp" | "first_seen" | "firstseen" | "dateadded" | "created" => &mut columns.time,
            "tags" | "tag" | "labels" | "threat" | "category" => &mut columns.tags,
            _ => continue,
        };
        column.get_or_insert(at);
    }
    columns.value.is_some().then_some(columns)
}

/// Without a header: the first field that is a time, the first that is a value (a link of a source comes after it), the first with hash tags.
fn guess(fields: &[&str]) -> Columns {
    let position = |test: &dyn Fn(&str) -> bool| fields.iter().position(|field| test(field));
    Columns {
        time: position(&|field| time(field).is_some()),
        kind: position(&|field| kind_of(field).is_some()),
        value: position(&|field| recognise(field).is_some()),
        tags: position(&|field| field.starts_with('#')),
    }
}

fn observable(value: Option<&str>, kind: Option<&str>, fields: &[&str]) -> Option<Observable> {
    let named = value.zip(kind.and_then(kind_of)).and_then(|(value, kind)| Observable::new(kind, value).ok());
    named.or_else(|| value.and_then(recognise)).or_else(|| fields.iter().find_map(|field| recognise(field)))
}

/// Whether a field names a kind of indicator.
pub(super) fn is_kind(field: &str) -> bool {
    kind_of(field).is_some() || ["ip", "ipv4", "ipv6"].contains(&field.to_ascii_lowercase().as_str())
}

/// Whether a row names the columns of a list: a log may have a column `ip`, too.
pub(super) fn is_indicator_header(fields: &[&str]) -> bool {
    header(fields).is_some()
        && fields.iter().any(|field| {
            ["indicator", "ioc", "ioc_value", "observable", "indicator_type", "ioc_type"].contains(&field.to_lowercase().as_str())
        })
}

fn kind_of(word: &str) -> Option<Kind> {
    match word.to_ascii_lowercase().as_str() {
        "domain" | "hostname" | "domain-name" => Some(Kind::DomainName),
        "url" | "uri" => Some(Kind::Url),
        "md5" => Some(Kind::FileMd5),
        "sha1" => Some(Kind::FileSha1),
        "sha256" => Some(Kind::FileSha256),
        "email" => Some(Kind::EmailAddr),
        _ => None,
    }
}

/// RFC 3339, or a date and a time with a blank between them, taken as UTC.
fn time(text: &str) -> Option<Micros> {
    Micros::parse(text).ok().or_else(|| {
        let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
        (date.len() == 10 && date.as_bytes().get(4) == Some(&b'-')).then(|| Micros::parse(&format!("{date}T{time}Z")).ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read_csv(text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        let parts: Vec<Bytes> = text.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
        parse(&parts, &Limits::default(), &mut |item| match item {
            IntelItem::Object { object, .. } => seen.push(format!(
                "{} {:?} {}",
                object.holds[0].observable.value(),
                object.labels,
                object.valid_from.map(|at| at.to_string()).unwrap_or_default()
            )),
            IntelItem::Poison(poison) => seen.push(format!("{} {}", poison.position, poison.reason)),
        })
        .unwrap();
        seen
    }

    #[test]
    fn rows_of_one_value_merge_whatever_their_order() {
        let rows = [
            "2026-08-22 02:53:35,bob,domain,Evil.example,#phishing,https://x.example/1",
            "2026-08-20 01:00:00,eve,domain,evil.example,#apt #phishing,https://x.example/2",
        ];
        let expected = ["evil.example [\"apt\", \"phishing\"] 2026-08-20T01:00:00Z"];
        assert_eq!(read_csv(&rows.join("\n")), expected);
        assert_eq!(read_csv(&[rows[1], rows[0]].join("\n")), expected);
    }

    #[test]
    fn a_header_names_the_columns() {
        assert_eq!(
            read_csv("ioc_type,ioc_value,first_seen\ndomain,a.example,2026-01-01\nwhat,,\n"),
            ["line 3 unrecognised-line", "a.example [] 2026-01-01T00:00:00Z"]
        );
    }
}
