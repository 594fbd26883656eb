//! Where events begin and end, without reading what is in them.
use memchr::memmem;

use crate::event::fields::Refused;
use crate::limits::Limits;
use crate::logs::frame::{Cut, Step};
use crate::logs::lines::too_large;

const CLOSE: &[u8] = b"</Event>";

/// What comes first in a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// Blanks, declarations, comments, `<Events>` and its end: this long.
    Nothing(usize),
    /// An event.
    Event(usize, usize),
    /// Text that is none of these, up to the line's end or the next event.
    Junk(usize, usize),
    /// An event, or something else, that begins here and does not end.
    Open(usize),
}

/// The place of the first `<Event>`.
pub(super) fn first_event(text: &[u8]) -> Option<usize> {
    memmem::find_iter(text, b"<Event").find(|at| is_event(&text[*at..]))
}

pub(super) fn is_event(text: &[u8]) -> bool {
    text.starts_with(b"<Event") && text.get(6).is_some_and(|byte| matches!(byte, b'>' | b' ' | b'\t' | b'\r' | b'\n' | b'/'))
}

/// Looks at what a text begins with. Never asked about an empty text.
pub(super) fn next(text: &[u8]) -> Found {
    let bom = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let start = text.len() - text[bom..].trim_ascii_start().len();
    let rest = &text[start..];
    if rest.is_empty() {
        return Found::Nothing(text.len());
    }
    if start > 0 {
        return Found::Nothing(start);
    }
    for (open, close) in [("<?", "?>"), ("<!--", "-->"), ("<Events", ">"), ("</Events", ">")] {
        if rest.starts_with(open.as_bytes()) {
            return memmem::find(rest, close.as_bytes()).map_or(Found::Open(0), |at| Found::Nothing(at + close.len()));
        }
    }
    if !is_event(rest) {
        let line = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        return Found::Junk(0, first_event(rest).map_or(line, |event| event.min(line)));
    }
    // `<Event/>`
    let Some(tag) = memchr::memchr(b'>', rest) else { return Found::Open(0) };
    if rest[..tag].ends_with(b"/") {
        return Found::Event(0, tag + 1);
    }
    let close = memmem::find(rest, CLOSE).map(|at| at + CLOSE.len());
    // One that is broken off must not take the next along.
    let broken = first_event(&rest[1..close.unwrap_or(rest.len())]).map(|at| at + 1);
    match (close, broken) {
        (_, Some(broken)) => Found::Junk(0, broken),
        (Some(close), None) => Found::Event(0, close),
        (None, None) => Found::Open(0),
    }
}

/// Cuts between events.
pub(crate) struct EventCutter {
    most: usize,
    /// Within an event that was refused for its length.
    skipping: bool,
}

impl EventCutter {
    /// Events within the bounds.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { most: limits.event_bytes, skipping: false }
    }
}

impl Cut for EventCutter {
    fn cut(&mut self, text: &[u8], target: usize, end: bool) -> Step {
        if self.skipping {
            let close = memmem::find(text, CLOSE).map(|at| at + CLOSE.len());
            let next = first_event(text);
            self.skipping = close.or(next).is_none();
            // The end may lie across what was read and what comes.
            let kept = if end { text.len() } else { text.len().saturating_sub(CLOSE.len()).max(1) };
            return Step::Skip(match (close, next) {
                (Some(close), Some(next)) => close.min(next.max(1)),
                (Some(at), None) => at,
                (None, Some(at)) => at.max(1),
                (None, None) => kept,
            });
        }
        if text.len() < target && !end {
            return Step::More;
        }
        let mut used = 0;
        while used < text.len() && used < target {
            match next(&text[used..]) {
                // Not known to be junk before its line is whole.
                Found::Junk(_, length) if used + length == text.len() && !end && text.len() - used <= self.most => break,
                Found::Nothing(length) | Found::Event(_, length) | Found::Junk(_, length) => used += length,
                Found::Open(_) => break,
            }
        }
        if used > 0 {
            return Step::Piece { body: 0..used, used };
        }
        if text.len() > self.most {
            self.skipping = true;
            return Step::Refused { used: text.len().saturating_sub(CLOSE.len()).max(1), refused: too_large(self.most) };
        }
        if end {
            return Step::Refused { used: text.len(), refused: Refused::new("truncated", "the input ends within an <Event>") };
        }
        Step::More
    }
}
