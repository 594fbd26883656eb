//! What the fuzz targets drive, and what they hold of any input.
use bytes::Bytes;
use sightline_formats::logs::{LogFormat, Piece, PieceReader, detect};
use sightline_formats::{IntelFormat, Limits, parse_intel, pattern};

/// Bounds low enough that a fuzzer meets them.
fn limits() -> Limits {
    Limits { event_bytes: 4 << 10, event_fields: 64, depth: 16, object_bytes: 64 << 10, ..Limits::default() }
}

/// Reads a piece. Where the format has a record a line, every line that is not blank is a record, a refusal or a header.
pub fn piece(format: LogFormat, data: &[u8]) {
    // The first byte says how much of the rest is prelude.
    let Some((split, text)) = data.split_first() else { return };
    let (prelude, body) = text.split_at(text.len().min(usize::from(split % 64)));
    let (mut records, mut json) = (0, Vec::new());
    PieceReader::new(&limits()).read(&Piece { format, prelude, body, first_line: 1 }, &mut |read| {
        records += 1;
        assert!(read.line >= 1, "lines count from 1");
        if let Ok(fields) = read.fields {
            json.clear();
            fields.write_json(&mut json);
        }
    });
    if matches!(format, LogFormat::Auditd | LogFormat::KeyValue | LogFormat::Text) {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        assert_eq!(records, lines, "a line is lost");
    }
}

/// Reads a text as what it seems to be.
pub fn detected(data: &[u8]) {
    let format = detect::detect(data);
    PieceReader::new(&limits()).read(&Piece { format, prelude: b"", body: data, first_line: 1 }, &mut |_| {});
}

/// Reads a package in parts.
pub fn intel(format: IntelFormat, data: &[u8]) {
    let parts: Vec<Bytes> = data.chunks(100).map(Bytes::copy_from_slice).collect();
    let _refused = parse_intel(format, &parts, &limits(), &mut |_| {});
}

/// Parses a STIX pattern.
pub fn pattern(text: &str) {
    let _refused = pattern::parse(text, &limits());
}
