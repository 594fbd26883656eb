//! A log to records of `in.logs`: pieces of whole records, and what was refused between them.
use anyhow::Result;
use bytes::Bytes;
use sightline_formats::event::fields::Refused;
use sightline_formats::logs::stream::{Framed, LogStream, binary};
use sightline_formats::logs::{LogFormat, Piece, PieceReader};
use sightline_log::{Headers, LogError};
use sightline_schemas::header;

use super::{Intake, Origin, now};

/// How many refusals are printed; all of them are in the dead letters.
const SHOWN: u64 = 20;

impl Intake<'_> {
    /// Sends a log, piece by piece.
    pub(super) fn logs(&mut self, origin: &Origin, format: Option<LogFormat>, stream: LogStream<'_>) -> Result<()> {
        let Some(format) = format.or_else(|| stream.format()) else {
            let head = stream.head()[..stream.head().len().min(self.limits.dead_letter_bytes)].to_vec();
            return self.refused(origin, Some(1), &binary(), &head);
        };
        let limits = self.limits.clone();
        let mut counter = (self.max_events < u64::MAX).then(|| PieceReader::new(&limits));
        let mut failure = None;
        stream.pieces(format, &limits, &mut |framed| {
            let sent = match framed {
                Framed::Piece(piece) => self.piece(origin, &piece, counter.as_mut()),
                Framed::Refused { line, bytes, refused } => self.refused(origin, Some(line), &refused, bytes),
            };
            self.goes_on(sent, &mut failure)
        })?;
        failure.map_or(Ok(()), Err)
    }

    fn piece(&mut self, origin: &Origin, piece: &Piece<'_>, counter: Option<&mut PieceReader>) -> Result<()> {
        let body = match counter {
            Some(counter) => &piece.body[..self.wanted(piece, counter)],
            None => piece.body,
        };
        let mut value = Vec::with_capacity(piece.prelude.len() + body.len());
        value.extend_from_slice(piece.prelude);
        value.extend_from_slice(body);
        let headers = self
            .headers(origin)
            .with(header::FORMAT, piece.format.as_str())
            .with(header::LINE, piece.first_line.to_string())
            .with(header::PRELUDE, piece.prelude.len().to_string());
        match self.send(self.topics.logs_in(), self.key(origin), Bytes::from(value), headers) {
            Ok(()) => {
                self.taken.bytes += body.len() as u64;
                self.taken.pieces += 1;
                Ok(())
            }
            // One record, or it would have been cut.
            Err(error) => match error.downcast_ref::<LogError>() {
                Some(too_large @ LogError::TooLarge { .. }) => {
                    let refused = Refused::new("event-too-large", too_large.to_string());
                    self.refused(origin, Some(piece.first_line), &refused, body)
                }
                _ => Err(error),
            },
        }
    }

    /// How much of a piece holds the events that are still wanted; counts them.
    fn wanted(&mut self, piece: &Piece<'_>, counter: &mut PieceReader) -> usize {
        let (mut events, most) = (self.taken.events, self.max_events);
        let mut wanted = piece.body.len();
        let start = piece.body.as_ptr() as usize;
        counter.read(piece, &mut |read| {
            events += 1;
            if events == most {
                // A record lies within its piece.
                let end = (read.bytes.as_ptr() as usize + read.bytes.len()).checked_sub(start);
                wanted = end.filter(|end| *end <= wanted).unwrap_or(wanted);
            }
        });
        self.taken.events = events.min(most);
        wanted
    }

    /// Sends what was refused: the dataflow makes a dead letter of it, which has this record for its origin.
    pub(super) fn refused(&mut self, origin: &Origin, line: Option<u64>, refused: &Refused, bytes: &[u8]) -> Result<()> {
        self.taken.refused += 1;
        let place = line.map_or_else(String::new, |line| format!(" line {line}"));
        if self.taken.refused <= SHOWN {
            self.progress.complain(&format!("{}{place}: {}: {}", origin.file, refused.reason, refused.message));
        }
        let mut headers = self.headers(origin).with(header::REFUSED, refused.reason).with(header::MESSAGE, refused.message.clone());
        if let Some(line) = line {
            headers = headers.with(header::LINE, line.to_string());
        }
        let value = Bytes::copy_from_slice(&bytes[..bytes.len().min(self.limits.dead_letter_bytes)]);
        self.send(self.topics.logs_in(), self.key(origin), value, headers)
    }

    fn headers(&self, origin: &Origin) -> Headers {
        Headers::default()
            .with(header::TENANT, self.tenant.clone())
            .with(header::SOURCE, self.source(origin).to_owned())
            .with(header::FILE, origin.file.clone())
            .with(header::RECEIVED, now())
    }

    fn key(&self, origin: &Origin) -> String {
        format!("{}:{}", self.tenant, self.source(origin))
    }

    fn source<'o>(&'o self, origin: &'o Origin) -> &'o str {
        self.source.as_deref().unwrap_or(&origin.stem)
    }
}
