//! What the tests of the formats share.
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
    read_piece(&Piece { format, prelude: b"", body: text.as_bytes(), first_line: 1 })
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
