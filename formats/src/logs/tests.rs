//! What the tests of the formats share, and what holds for all of them.
#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::frame::{Cut, Step};
use super::{LogFormat, Piece, PieceReader};
use crate::limits::Limits;

/// The records of a piece: line, and fields as JSON or reason.
pub(super) fn read_piece(piece: &Piece<'_>) -> Vec<String> {
    let mut seen = Vec::new();
    PieceReader::new(&Limits::default()).read(piece, &mut |read| {
        seen.push(match read.fields {
            Ok(fields) => {
                let mut json = Vec::new();
                fields.write_json(&mut json);
                format!("{} {}", read.line, String::from_utf8(json).unwrap())
            }
            Err(refused) => format!("{} {}", read.line, refused.reason),
        });
    });
    seen
}

/// The records of a text that is one piece.
pub(super) fn read(format: LogFormat, text: &str) -> Vec<String> {
    read_piece(&whole(format, text.as_bytes()))
}

fn whole(format: LogFormat, body: &[u8]) -> Piece<'_> {
    Piece { format, prelude: b"", body, first_line: 1 }
}

/// The records of a text that is cut, fifty bytes a read, into pieces of about `target` bytes.
pub(super) fn pieces(format: LogFormat, text: &str, target: usize) -> Vec<String> {
    let mut cutter = super::cutter::cutter(format, &Limits::default());
    cut(cutter.as_mut(), format, text.as_bytes(), target)
}

fn cut(cutter: &mut dyn Cut, format: LogFormat, text: &[u8], target: usize) -> Vec<String> {
    let (mut at, mut have, mut seen) = (0, 0, Vec::new());
    let line = |at: usize| 1 + text[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
    while at < text.len() {
        have = have.max(at + 1);
        let step = loop {
            match cutter.cut(&text[at..have], target, have == text.len()) {
                Step::More => {
                    assert!(have < text.len(), "more is asked for at the end");
                    have = (have + 50).min(text.len());
                }
                step => break step,
            }
        };
        at += match step {
            Step::Piece { body, used } => {
                assert!(body.end <= used && used <= have - at);
                let piece =
                    Piece { format, prelude: cutter.prelude(), body: &text[at..have][body.clone()], first_line: line(at + body.start) };
                seen.extend(read_piece(&piece));
                used
            }
            Step::Skip(used) => used,
            Step::Refused { used, refused } => {
                seen.push(format!("{} {}", line(at), refused.reason));
                used
            }
            Step::More => unreachable!("told apart above"),
        };
    }
    seen
}

/// Scraps of every format, in any order.
fn scraps() -> impl Strategy<Value = Vec<u8>> {
    const SCRAPS: [&[u8]; 48] = [
        b"\n",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\"",
        b"'",
        b",",
        b";",
        b"|",
        b"=",
        b"\\",
        b"a",
        b"b=c ",
        b"1",
        b"{\"a\":1}",
        b"{",
        b"}",
        b"[x y=\"z\"]",
        b"CEF:0|V|P|1|2|N|3|",
        b"CEF:",
        b"LEEF:1.0|V|P|1|id|",
        b"LEEF:2.0|V|P|1|id|^|",
        b"<13>",
        b"<34>1 2003-10-11T22:14:15Z h a - - ",
        b"Oct 11 22:14:15 host ",
        b"tag[1]: ",
        b"9 <13>abcde",
        b"99 <13>",
        b"type=EXECVE msg=audit(1.5:8): ",
        b"msg='",
        b"a0=2D61 ",
        b"\x1d",
        b"#separator \\x09\n",
        b"#fields\ta\tb\n",
        b"#types\tset[count]\tbool\n",
        b"#Fields: date time x\n",
        b"\\x2c",
        b"<Event>",
        b"</Event>",
        b"<Events>",
        b"<Data Name='x'>",
        b"</Data>",
        b"<EventData>",
        b"&amp;",
        b"\xc3\xa9",
        b"\xff",
        b"\0",
    ];
    prop::collection::vec(prop::sample::select(SCRAPS.as_slice()), 0..40).prop_map(|scraps| scraps.concat())
}

/// The lines of a body that are neither blank nor in what was read.
fn unread(format: LogFormat, body: &[u8]) -> Vec<String> {
    let mut read = vec![false; body.len()];
    PieceReader::new(&Limits::default()).read(&whole(format, body), &mut |record| {
        let start = record.bytes.as_ptr() as usize - body.as_ptr() as usize;
        read[start..start + record.bytes.len()].fill(true);
    });
    let mut at = 0;
    let lines = body.split_inclusive(|byte| *byte == b'\n').filter_map(|line| {
        let range = at..at + line.len();
        at = range.end;
        let lost = range.clone().any(|at| !body[at].is_ascii_whitespace()) && !read[range].contains(&true);
        lost.then(|| String::from_utf8_lossy(line).into_owned())
    });
    lines.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_a_record_a_header_or_refused(body in scraps()) {
        super::detect::detect(&body);
        for format in LogFormat::ALL {
            let mut lost = unread(format, &body);
            match format {
                LogFormat::Zeek | LogFormat::W3c => lost.retain(|line| !line.trim().starts_with('#')),
                // Its first record, what encloses events, and zeros where a chunk may come.
                LogFormat::Csv | LogFormat::WindowsXml | LogFormat::Json => continue,
                _ => {}
            }
            prop_assert_eq!(lost, Vec::<String>::new(), "{}", format.as_str());
        }
    }

    #[test]
    fn pieces_give_the_records_that_the_whole_gives(body in scraps(), target in 1usize..200) {
        for format in LogFormat::ALL {
            if format == LogFormat::Json {
                continue;
            }
            let mut cutter = super::cutter::cutter(format, &Limits::default());
            prop_assert_eq!(cut(cutter.as_mut(), format, &body, target), read_piece(&whole(format, &body)), "{}", format.as_str());
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        super::detect::detect(&body);
        for format in LogFormat::ALL {
            read_piece(&whole(format, &body));
        }
    }
}
