//! Where a message ends: at the line's end, or where the length before it says (RFC 6587 §3.4.1).
use crate::event::fields::Refused;
use crate::limits::Limits;
use crate::logs::frame::{Cut, Step};
use crate::logs::lines::{LineCutter, too_large};
use crate::logs::{Piece, lines};

/// The longest length that is believed: nine digits.
const DIGITS: usize = 9;

/// What a text begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Begin {
    /// A message of `length` bytes after `start` that hold its length.
    Counted { start: usize, length: usize },
    /// A message up to the end of the line.
    Line,
    /// More text would tell.
    Unknown,
}

/// `123 <34>1 …`. That a priority follows tells a length from a number at the start of a line.
fn begin(text: &[u8], end: bool) -> Begin {
    let digits = text.iter().take(DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    match (digits, text.get(digits..digits + 2)) {
        (0, _) if !text.is_empty() => Begin::Line,
        (digits, _) if digits > DIGITS => Begin::Line,
        (_, None) => {
            if end {
                Begin::Line
            } else {
                Begin::Unknown
            }
        }
        (_, Some(b" <")) => {
            let length = std::str::from_utf8(&text[..digits]).ok().and_then(|digits| digits.parse().ok());
            length.filter(|length| *length > 0).map_or(Begin::Line, |length| Begin::Counted { start: digits + 1, length })
        }
        _ => Begin::Line,
    }
}

/// Whether a stream begins with the length of a message.
pub(super) fn is_counted(head: &[u8]) -> bool {
    matches!(begin(head.trim_ascii_start(), true), Begin::Counted { start, .. } if head.trim_ascii_start()[start + 1..].first().is_some_and(u8::is_ascii_digit))
}

/// What `each` finds: line, bytes, text.
type Found<'f> = &'f mut dyn FnMut(u64, &[u8], Result<&str, Refused>);

/// Each message of a piece.
pub(super) fn each(piece: &Piece<'_>, limits: &Limits, found: Found<'_>) {
    let (mut rest, mut line) = (piece.body, piece.first_line);
    while !rest.is_empty() {
        let blank = rest.len() - rest.trim_ascii_start().len();
        line += newlines(&rest[..blank]);
        rest = &rest[blank..];
        let used = match begin(rest, true) {
            Begin::Counted { start, length } => {
                let end = start.saturating_add(length);
                match rest.get(start..end) {
                    Some(message) if length > limits.event_bytes => found(line, message, Err(too_large(limits.event_bytes))),
                    Some(message) => {
                        let text = std::str::from_utf8(message).map_err(|error| Refused::new("invalid-utf8", error.to_string()));
                        found(line, message, text);
                    }
                    None => found(line, rest, Err(truncated(length))),
                }
                end.min(rest.len())
            }
            Begin::Line | Begin::Unknown => {
                let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
                for (line, bytes, text) in lines(&rest[..end], line, limits) {
                    found(line, bytes, text);
                }
                end
            }
        };
        line += newlines(&rest[..used]);
        rest = &rest[used..];
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

fn truncated(length: usize) -> Refused {
    Refused::new("truncated", format!("the input ends within a message of {length} bytes"))
}

/// Cuts between messages.
pub(crate) struct MessageCutter {
    lines: LineCutter,
    most: usize,
    /// What is left of a message that was refused for its length.
    skipping: usize,
}

impl MessageCutter {
    /// Messages within the bounds.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { lines: LineCutter::new(limits), most: limits.event_bytes, skipping: 0 }
    }
}

impl Cut for MessageCutter {
    fn cut(&mut self, text: &[u8], target: usize, end: bool) -> Step {
        if self.skipping > 0 {
            let used = self.skipping.min(text.len());
            self.skipping -= used;
            return Step::Skip(used);
        }
        if self.lines.is_within_refused() {
            return self.lines.cut(text, target, end);
        }
        let blank = text.len() - text.trim_ascii_start().len();
        if blank > 0 {
            return Step::Skip(blank);
        }
        // Counted messages go together; lines go as lines do, up to the next that begins with a length.
        let mut used = 0;
        while used < target && used < text.len() {
            let rest = &text[used..];
            let blank = rest.len() - rest.trim_ascii_start().len();
            let rest = &rest[blank..];
            let Begin::Counted { start, length } = begin(rest, end) else { break };
            let all = start.saturating_add(length);
            if used == 0 && length > self.most {
                self.skipping = all.saturating_sub(text.len());
                return Step::Refused { used: all.min(text.len()), refused: too_large(self.most) };
            }
            if all > rest.len() || length > self.most {
                break;
            }
            used += blank + all;
        }
        if used > 0 {
            return Step::Piece { body: 0..used, used };
        }
        match begin(text, end) {
            Begin::Unknown => Step::More,
            Begin::Counted { length, .. } if end => Step::Refused { used: text.len(), refused: truncated(length) },
            Begin::Counted { .. } => Step::More,
            Begin::Line => {
                // A mix of both within one stream is looked for only where a line begins with a digit.
                let next = memchr::memchr_iter(b'\n', text)
                    .map(|at| at + 1)
                    .find(|at| matches!(begin(text[*at..].trim_ascii_start(), true), Begin::Counted { .. }));
                match next {
                    Some(next) => self.lines.cut(&text[..next], target, true),
                    None => self.lines.cut(text, target, end),
                }
            }
        }
    }
}
