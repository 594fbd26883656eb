//! W3C extended logs, as IIS and proxies write them: the names of the columns in `#Fields:`, values between blanks or tabs.
//!
//! A field has the name of its column; `-` is left out. `date` and `time` are also joined to `timestamp`: the standard has them in UTC. IIS writes `+` for
//! a blank; it stays.
use std::fmt::Write as _;

use super::lines::give;
use super::zeek::wrong_columns;
use super::{Out, Piece, lines};
use crate::event::fields::{Fields, Refused};
use crate::limits::Limits;

const FIELDS: &str = "#Fields:";

/// The header lines that are needed to read the others.
pub(super) const HEADER: &[&str] = &[FIELDS];

/// Whether a header is in sight.
pub(super) fn looks_like(head: &[u8]) -> bool {
    head.starts_with(FIELDS.as_bytes()) || memchr::memmem::find(head, b"\n#Fields:").is_some()
}

/// Reads the rows of a piece; header lines may stand among them.
pub(super) fn read(piece: &Piece<'_>, fields: &mut Fields, limits: &Limits, out: Out<'_>) {
    let (mut names, mut instant) = (Vec::new(), String::new());
    let header = |line: &str, names: &mut Vec<String>| {
        if let Some(columns) = line.strip_prefix(FIELDS) {
            *names = columns.split_ascii_whitespace().map(str::to_owned).collect();
        }
    };
    for (_, _, line) in lines(piece.prelude, 0, limits) {
        header(line.unwrap_or_default(), &mut names);
    }
    for (number, bytes, line) in lines(piece.body, piece.first_line, limits) {
        fields.clear();
        let read = match line {
            Ok(line) if line.starts_with('#') => {
                header(line, &mut names);
                continue;
            }
            Ok(line) => record(line, &names, &mut instant, fields),
            Err(refused) => Err(refused),
        };
        give(number, bytes, read, fields, out);
    }
}

fn record(line: &str, names: &[String], instant: &mut String, fields: &mut Fields) -> Result<(), Refused> {
    if names.is_empty() {
        return Err(Refused::new("no-header", "no #Fields: before this line"));
    }
    let columns = values(line).count();
    if columns != names.len() {
        return Err(wrong_columns(columns, names.len()));
    }
    let (mut date, mut time) = (None, None);
    for (name, value) in names.iter().zip(values(line)) {
        if value == "-" {
            continue;
        }
        match name.as_str() {
            "date" => date = Some(value),
            "time" => time = Some(value),
            _ => {}
        }
        if value.contains("\"\"") {
            fields.text(name, &value.replace("\"\"", "\""))?;
        } else {
            fields.text(name, value)?;
        }
    }
    if let (Some(date), Some(time)) = (date, time) {
        instant.clear();
        let _always = write!(instant, "{date}T{time}Z");
        fields.text("timestamp", instant)?;
    }
    Ok(())
}

/// The values of a line; one in quotes may hold blanks, and quotes written twice.
fn values(line: &str) -> impl Iterator<Item = &str> {
    let tabs = line.contains('\t');
    let between = move |c: char| if tabs { c == '\t' } else { c == ' ' };
    let mut rest = Some(line.trim_end_matches([' ', '\r']));
    std::iter::from_fn(move || {
        let text = if tabs { rest? } else { rest?.trim_start_matches(' ') };
        if text.is_empty() && !tabs {
            return None;
        }
        if let Some(quoted) = text.strip_prefix('"')
            && let Some(end) = end_of_quoted(quoted)
            && quoted[end + 1..].chars().next().is_none_or(between)
        {
            rest = quoted[end + 1..].strip_prefix(between);
            return Some(&quoted[..end]);
        }
        let (value, after) = text.split_once(between).map_or((text, None), |(value, after)| (value, Some(after)));
        rest = after;
        Some(value)
    })
}

fn end_of_quoted(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text[at..].find('"')?;
        if !text[at + 1..].starts_with('"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::LogFormat;
    use super::super::tests::{pieces, read};

    #[test]
    fn headers_come_again_and_date_and_time_are_joined() {
        let log = "#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n#Date: 2024-05-01 00:00:00\r\n\
            #Fields: date time c-ip cs(User-Agent) sc-status\r\n2024-05-01 00:00:01 192.0.2.7 Mozilla/5.0+(X11) 200\r\n\
            2024-05-01 00:00:02 - \"a \"\"b\"\" c\" 404\r\nbroken line\r\n#Fields: x y\r\n1 2\r\n";
        let expected = [
            r#"5 {"c-ip":"192.0.2.7","cs(User-Agent)":"Mozilla/5.0+(X11)","date":"2024-05-01","sc-status":"200","time":"00:00:01","timestamp":"2024-05-01T00:00:01Z"}"#,
            r#"6 {"cs(User-Agent)":"a \"b\" c","date":"2024-05-01","sc-status":"404","time":"00:00:02","timestamp":"2024-05-01T00:00:02Z"}"#,
            "7 wrong-column-count",
            r#"9 {"x":"1","y":"2"}"#,
        ];
        assert_eq!(read(LogFormat::W3c, log), expected);
        assert_eq!(pieces(LogFormat::W3c, log, 10), expected);
    }

    #[test]
    fn tabs_part_values_where_there_are_any() {
        let log = "#Fields: date time a b\n2024-05-01\t00:00:01\tx y\t-\n2024-05-01\t00:00:01\t\tz";
        assert_eq!(
            read(LogFormat::W3c, log),
            [
                r#"2 {"a":"x y","date":"2024-05-01","time":"00:00:01","timestamp":"2024-05-01T00:00:01Z"}"#,
                r#"3 {"a":"","b":"z","date":"2024-05-01","time":"00:00:01","timestamp":"2024-05-01T00:00:01Z"}"#
            ]
        );
    }
}
