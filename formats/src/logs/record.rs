//! A record of `in.logs`: a piece, as its headers say; or, where they do not, a file of any kind.
use std::io::Cursor;
use std::ops::ControlFlow;

use super::stream::{Framed, LogStream, binary, is_binary};
use super::{LogFormat, Piece, PieceReader, Read, json};
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

    fn anything(&mut self, file: &str, value: &[u8], out: RecordOut<'_>) {
        // Most producers send an event a record: to open that as a file of any kind takes longer than to read it.
        if json::is_one_line(value) && !is_binary(value) {
            let piece = Piece { format: LogFormat::Json, prelude: &[], body: value, first_line: 1 };
            return self.pieces.read(&piece, &mut |read| out(file, read));
        }
        self.file(file, value, out);
    }

    /// Unpacks, tells the format, and cuts, all in memory: a record is no larger than the log takes.
    fn file(&mut self, file: &str, value: &[u8], out: RecordOut<'_>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    type Heard = Vec<(String, u64, Vec<u8>, Result<String, Refused>)>;

    fn heard(read: impl FnOnce(&mut RecordReader, RecordOut<'_>)) -> Heard {
        let mut heard = Heard::new();
        read(&mut RecordReader::new(&Limits { event_bytes: 200, ..Limits::default() }), &mut |file, read| {
            let fields = read.fields.map(|fields| {
                let mut json = Vec::new();
                fields.write_json(&mut json);
                String::from_utf8_lossy(&json).into_owned()
            });
            heard.push((file.to_owned(), read.line, read.bytes.to_vec(), fields));
        });
        heard
    }

    #[test]
    fn an_event_alone_is_read_as_a_file_of_it_would_be() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(300));
        for (value, is_alone) in [
            ("{\"a\":1}", true),
            ("{\"a\":{\"b\":[1,2]}}\r\n", true),
            ("{\"a\":1}{\"b\":2}", true),
            ("{\"a\":1},{\"b\":2}", true),
            ("{\"a\":1", false),
            ("{\"a\" 1}", true),
            ("{\"a\":\"\u{1}\u{2}\u{3}\u{4}\"}", true),
            ("{\"a\":\"\u{fffd}é\"}", true),
            ("{\"next\":null,\"Records\":[{\"a\":1},{\"b\":2}]}", false),
            ("{\"Records\":[]}", true),
            ("{\"a\":{\"Records\":[{\"a\":1}]}}", true),
            ("{\"a\":1}\n{\"b\":2}", false),
            ("{\"a\":\"\0\"}", false),
            ("[{\"a\":1}]", false),
            ("{}", true),
            ("{\"a\":1}\u{c}", false),
            ("{\"a\":1}\u{c}\n", false),
            (&long, true),
        ] {
            assert_eq!(json::is_one_line(value.as_bytes()), is_alone, "{value}");
            let alone = heard(|reader, out| reader.anything("f", value.as_bytes(), out));
            assert_eq!(alone, heard(|reader, out| reader.file("f", value.as_bytes(), out)), "{value}");
        }
        let invalid = b"{\"a\":\"\xff\"}";
        assert_eq!(heard(|reader, out| reader.anything("f", invalid, out)), heard(|reader, out| reader.file("f", invalid, out)));
    }
}
