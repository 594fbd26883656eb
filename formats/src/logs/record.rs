//! A record of `in.logs`: a piece, as its headers say; or, where they do not, a file of any kind.
use std::io::Cursor;
use std::ops::ControlFlow;

use super::stream::{Framed, LogStream, binary};
use super::{LogFormat, Piece, PieceReader, Read};
use crate::event::fields::Refused;
use crate::limits::Limits;
use crate::unpack::{Unpacked, fault, unpack_stream};

/// What the headers of a record say.
#[derive(Clone, Copy, Default, Debug)]
pub struct Told<'a> {
    /// The name of its format; nothing or `auto`: by content.
    pub format: Option<&'a str>,
    /// Where it was cut from.
    pub file: Option<&'a str>,
    /// The line of its first record.
    pub line: Option<&'a str>,
    /// How many bytes of the value are prelude.
    pub prelude: Option<&'a str>,
}

/// Hears what a record holds: the file and member it comes from, if they have a name, and the read.
pub type RecordOut<'o> = &'o mut dyn FnMut(&str, Read<'_>);

/// Reads records, one after the other.
pub struct RecordReader {
    limits: Limits,
    pieces: PieceReader,
}

impl RecordReader {
    /// Within the bounds.
    pub fn new(limits: &Limits) -> Self {
        Self { limits: limits.clone(), pieces: PieceReader::new(limits) }
    }

    /// Reads a record.
    pub fn read(&mut self, value: &[u8], told: Told<'_>, out: RecordOut<'_>) {
        let file = told.file.unwrap_or_default();
        let format = match told.format {
            None | Some("auto") => return self.anything(file, value, out),
            Some(name) => LogFormat::named(name),
        };
        let Some(format) = format else {
            let known: Vec<_> = LogFormat::ALL.iter().map(|format| format.as_str()).collect();
            let message = format!("header format: there is no such format of logs; there are {}", known.join(", "));
            return out(file, refuse(1, value, Refused::new("unknown-format", message)));
        };
        let number = |text: Option<&str>, missing: u64| text.map_or(Some(missing), |text| text.parse().ok());
        let (first_line, prelude) = (number(told.line, 1), number(told.prelude, 0).and_then(|length| usize::try_from(length).ok()));
        match (first_line, prelude.filter(|length| *length <= value.len())) {
            (Some(first_line), Some(length)) => {
                let (prelude, body) = value.split_at(length);
                self.pieces.read(&Piece { format, prelude, body, first_line }, &mut |read| out(file, read));
            }
            _ => out(
                file,
                refuse(
                    1,
                    value,
                    Refused::new("invalid-header", "headers line and prelude: expected a number, and no more than the value is long"),
                ),
            ),
        }
    }

    /// Unpacks, tells the format, and cuts, all in memory: a record is no larger than the log takes.
    fn anything(&mut self, file: &str, value: &[u8], out: RecordOut<'_>) {
        let Self { limits, pieces } = self;
        let walked = unpack_stream(file, Cursor::new(value), limits, &mut |unpacked| {
            match unpacked {
                Unpacked::Refused { path, refused } => out(path, refuse(1, value, refused)),
                Unpacked::Member { path, content } => {
                    let stream = LogStream::open(content);
                    match stream.format() {
                        None => out(path, refuse(1, stream.head(), binary())),
                        Some(format) => {
                            let cut = stream.pieces(format, limits, &mut |framed| {
                                match framed {
                                    Framed::Piece(piece) => pieces.read(&piece, &mut |read| out(path, read)),
                                    Framed::Refused { line, bytes, refused } => out(path, refuse(line, bytes, refused)),
                                }
                                ControlFlow::Continue(())
                            });
                            if let Err(error) = cut {
                                out(path, refuse(1, value, told_fault(&error)));
                            }
                        }
                    }
                }
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = walked {
            out(file, refuse(1, value, told_fault(&error)));
        }
    }
}

fn refuse(line: u64, bytes: &[u8], refused: Refused) -> Read<'_> {
    Read { line, bytes, fields: Err(refused) }
}

fn told_fault(error: &std::io::Error) -> Refused {
    fault(error).cloned().unwrap_or_else(|| Refused::new("unreadable", error.to_string()))
}
