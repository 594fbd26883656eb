#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;
use crate::logs::PieceReader;

/// Records and refusals, in order: `line: bytes` and `line! reason`.
fn read(content: impl Read, format: Option<LogFormat>, limits: &Limits) -> Vec<String> {
    let stream = LogStream::open(content);
    let format = format.or_else(|| stream.format()).unwrap();
    let mut reader = PieceReader::new(limits);
    let mut seen = Vec::new();
    stream
        .pieces(format, limits, &mut |framed| {
            match framed {
                Framed::Refused { line, refused, .. } => seen.push(format!("{line}! {}", refused.reason)),
                Framed::Piece(piece) => reader.read(&piece, &mut |read| {
                    seen.push(match read.fields {
                        Ok(_) => format!("{}: {}", read.line, String::from_utf8_lossy(read.bytes)),
                        Err(refused) => format!("{}! {}", read.line, refused.reason),
                    });
                }),
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    seen
}

/// Content that ends with a fault, as a truncated archive does.
struct Broken<'b>(&'b [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::Error::other(Refused::new("truncated-archive", "cut off"))),
            read => Ok(read),
        }
    }
}

#[test]
fn a_line_of_ten_megabytes_is_refused_with_its_place_and_the_rest_goes_on() {
    let limits = Limits::default();
    let long = "x".repeat(10 << 20);
    let text = format!("one\ntwo\n{long}\nfour\n");
    assert_eq!(read(text.as_bytes(), Some(LogFormat::Text), &limits), ["1: one", "2: two", "3! event-too-large", "4: four"]);
    let json = format!("{{\"a\":1}}\n{{\"a\":\"{long}\"}}\n{{\"a\":3}}\n");
    assert_eq!(read(json.as_bytes(), None, &limits), ["1: {\"a\":1}", "2! event-too-large", "3: {\"a\":3}"]);
    let list = format!("[{{\"a\":1}},{{\"a\":[{{\"b\":\"]}}\\\"{long}\"}}]}},{{\"a\":3}}]\n{{\"a\":4}}\n");
    assert_eq!(read(list.as_bytes(), None, &limits), ["1: {\"a\":1}", "1! event-too-large", "1: {\"a\":3}", "2: {\"a\":4}"]);
}

#[test]
fn a_large_event_goes_alone() {
    let large = "x".repeat(900_000);
    let text = format!("[{}{{\"a\":\"{large}\"}},{{\"a\":2}}]", "{\"a\":1},".repeat(50_000));
    let mut sizes = Vec::new();
    LogStream::open(text.as_bytes())
        .pieces(LogFormat::Json, &Limits::default(), &mut |framed| {
            if let Framed::Piece(piece) = framed {
                sizes.push(piece.body.len());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(sizes.iter().all(|size| *size < 950_000), "{sizes:?}");
}

#[test]
fn what_is_held_of_a_stream_does_not_grow_with_it() {
    // Pieces have about one size however long the stream; the largest is bounded by that and one event.
    let text = "a line of some length, again and again\n".repeat(200_000);
    let (mut pieces, mut largest, mut whole) = (0, 0, 0);
    LogStream::open(text.as_bytes())
        .pieces(LogFormat::Text, &Limits::default(), &mut |framed| {
            if let Framed::Piece(piece) = framed {
                (pieces, largest, whole) = (pieces + 1, largest.max(piece.body.len()), whole + piece.body.len());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(pieces >= 15 && largest <= PIECE && whole == text.len(), "{pieces} pieces, the largest {largest}");
}

#[test]
fn what_lies_before_a_fault_arrives_and_the_fault_is_told_once_with_its_line() {
    let limits = Limits::default();
    assert_eq!(read(Broken(b"{\"a\":1}\n{\"a\":2}\n{\"a\":"), None, &limits), ["1: {\"a\":1}", "2: {\"a\":2}", "3! truncated-archive"]);
    assert_eq!(read(Broken(b"one\ntw"), Some(LogFormat::Text), &limits), ["1: one", "2! truncated-archive"]);
    assert_eq!(read(Broken(b""), Some(LogFormat::Text), &limits), ["1! truncated-archive"]);
    assert_eq!(read(Broken(b"[{\"a\":1},\n{\"a\":2},\n{\"a\""), None, &limits), ["1: {\"a\":1}", "2: {\"a\":2}", "3! truncated-archive"]);
}

#[test]
fn a_log_in_utf_16_is_read_as_one_in_utf_8() {
    let text = "{\"a\":\"ł\"}\r\n{\"a\":2}\r\n";
    let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let limits = Limits::default();
    assert_eq!(read(&wide[..], None, &limits), read(text.as_bytes(), None, &limits));
    assert_eq!(read(&wide[2..], None, &limits).len(), 2);
}

#[test]
fn what_is_no_text_has_no_format() {
    for bytes in
        [&b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\x04\0\x01\0\0\0"[..], b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0"]
    {
        assert_eq!(LogStream::open(bytes).format(), None);
    }
    // A crash leaves NULs at the end of a log.
    let crashed = [&b"Oct 11 22:14:15 host su: a line\n".repeat(40)[..], &[0; 30]].concat();
    assert!(LogStream::open(&crashed[..]).format().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_line_is_lost_and_each_keeps_its_number(lines in proptest::collection::vec("[ a-z]{0,30}", 0..200), times in 1..2_000_usize, crlf: bool) {
        let end = if crlf { "\r\n" } else { "\n" };
        let text: String = lines.iter().cycle().take(lines.len() * times).map(|line| format!("{line}{end}")).collect();
        let seen = read(text.as_bytes(), Some(LogFormat::Text), &Limits::default());
        let expected: Vec<String> =
            (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).map(|(number, line)| format!("{number}: {line}")).collect();
        prop_assert!(seen == expected);
    }

    #[test]
    fn whatever_comes_it_ends_and_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..3_000), broken: bool, which in 0..LogFormat::ALL.len()) {
        let limits = Limits { event_bytes: 200, ..Limits::default() };
        let format = Some(LogFormat::ALL[which]);
        if broken { read(Broken(&bytes), format, &limits) } else { read(&bytes[..], format, &limits) };
    }
}
