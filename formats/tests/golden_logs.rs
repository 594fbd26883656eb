//! What the readers of logs make of small files, byte for byte: `testdata/formats/logs/<name>` gives `<name>.expected`.
//! After a change that is meant, write them anew with `SIGHTLINE_BLESS=1 cargo test -p sightline-formats --test golden_logs`, and read the difference.
#![allow(clippy::unwrap_used)]
use std::fmt::Write;
use std::path::Path;

use sightline_formats::Limits;
use sightline_formats::logs::{Piece, PieceReader, detect};

fn read(bytes: &[u8]) -> String {
    let format = detect::detect(bytes);
    let mut text = format!("{}\n", format.as_str());
    PieceReader::new(&Limits::default()).read(&Piece { format, prelude: b"", body: bytes, first_line: 1 }, &mut |read| match read.fields {
        Ok(fields) => {
            let mut json = Vec::new();
            fields.write_json(&mut json);
            writeln!(text, "{} {}", read.line, String::from_utf8(json).unwrap()).unwrap();
        }
        Err(refused) => writeln!(text, "{} refused {}: {}", read.line, refused.reason, refused.message).unwrap(),
    });
    text
}

#[test]
fn files_of_each_format_are_told_and_read_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/formats/logs");
    for (name, format) in [
        ("rows.csv", "csv"),
        ("zeek_dns.log", "zeek"),
        ("iis.log", "w3c"),
        ("messages.syslog", "syslog"),
        ("counted.syslog", "syslog"),
        ("events.cef", "cef"),
        ("events.leef", "leef"),
        ("audit.log", "auditd"),
        ("app.logfmt", "key-value"),
        ("events.xml", "windows-xml"),
        ("plain.txt", "text"),
    ] {
        let expected = folder.join(format!("{name}.expected"));
        let got = read(&std::fs::read(folder.join(name)).unwrap());
        assert_eq!(got.lines().next(), Some(format), "{name}");
        if std::env::var_os("SIGHTLINE_BLESS").is_some() {
            std::fs::write(&expected, &got).unwrap();
        }
        assert_eq!(got, std::fs::read_to_string(expected).unwrap(), "{name}");
    }
}
