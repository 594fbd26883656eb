//! Cuts a stream of JSON between values, and takes off what encloses them: the brackets of a list, and an object that only wraps a list
//! (`{"Records":[…]}`), however long the list is.
use super::WRAPPERS;
use super::oversize::Oversize;
use super::scan::{End, end_of_rest, end_of_string, end_of_value};
use crate::event::fields::Refused;
use crate::logs::frame::{Cut, Step};
use crate::logs::stream::PIECE;

/// A wrapper says so this early, after a few scalars about the page.
const WRAPPER_HEAD: usize = 16 << 10;

/// Cuts JSON.
pub(crate) struct JsonCutter {
    within: Within,
    /// Whether the next object may wrap a list: the first does, or one after a wrapper.
    may_wrap: bool,
    most: usize,
    /// Within a value that was refused for its size.
    oversize: Option<Oversize>,
}

/// What the text is in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    List,
    WrappedList,
}

impl JsonCutter {
    /// Refuses values of more than `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { within: Within::Nothing, may_wrap: true, most, oversize: None }
    }

    fn at_top(&mut self, text: &[u8], target: usize, end: bool) -> Step {
        match text[0] {
            b'[' => {
                self.within = Within::List;
                return Step::Skip(1);
            }
            b'{' if self.may_wrap => match wrapped_list(text) {
                Wrapping::List(start) => {
                    self.within = Within::WrappedList;
                    return Step::Skip(start);
                }
                Wrapping::Unknown if !end && text.len() < WRAPPER_HEAD => return Step::More,
                Wrapping::Unknown | Wrapping::None => self.may_wrap = false,
            },
            _ => {}
        }
        if text.len() < target && !end {
            return Step::More;
        }
        match boundary(text, target, end) {
            Some(place) => Step::Piece { body: 0..place, used: place },
            None => self.values(text, target, end),
        }
    }

    fn in_list(&mut self, text: &[u8], target: usize, end: bool) -> Step {
        if text[0] == b']' {
            if self.within == Within::WrappedList {
                return match end_of_rest(&text[1..]) {
                    End::At(length) => {
                        (self.within, self.may_wrap) = (Within::Nothing, true);
                        Step::Skip(1 + length)
                    }
                    End::Open if !end && text.len() < self.most => Step::More,
                    End::Open | End::Broken(_) => {
                        self.within = Within::Nothing;
                        Step::Refused {
                            used: line_of(text, 0),
                            refused: Refused::new("truncated", "the object around a list of events does not end"),
                        }
                    }
                };
            }
            self.within = Within::Nothing;
            return Step::Skip(1);
        }
        if text.len() < target && !end {
            return Step::More;
        }
        self.values(text, target, end)
    }

    /// As many whole values as make a piece.
    fn values(&mut self, text: &[u8], target: usize, end: bool) -> Step {
        let mut done = 0;
        while done < target {
            let start = done + text[done..].iter().take_while(|byte| is_between(**byte)).count();
            let value = match text.get(start) {
                None => break,
                // The list ends, or another begins.
                Some(b']') if self.within != Within::Nothing => break,
                Some(b'[') if self.within == Within::Nothing && start > 0 => break,
                Some(b'{' | b'[') => end_of_value(&text[start..]),
                Some(b'"') => end_of_string(text, start + 1).map_or_else(|end| end, |quote| End::At(quote + 1 - start)),
                Some(_) => match text[start..].iter().position(|byte| is_between(*byte) || *byte == b']') {
                    Some(length) => End::At(length.max(1)),
                    None => End::Open,
                },
            };
            match value {
                // A large one goes alone: a record of the topic holds so much.
                End::At(length) if done > 0 && start + length > target + target / 2 => break,
                End::At(length) => done = start + length,
                // What came before it first.
                End::Open | End::Broken(_) if done > 0 => break,
                End::Broken(_) => {
                    // The reader says what is wrong with it; what comes next may be whole again.
                    let next = self.after_broken(text, start);
                    return Step::Piece { body: start..next, used: next };
                }
                End::Open if end => {
                    let refused = Refused::new("truncated", "the input ends within a value");
                    return Step::Refused { used: text.len(), refused };
                }
                End::Open if text.len() - start > self.most => {
                    let refused = Refused::new("event-too-large", format!("an event larger than limits.event_bytes ({})", self.most));
                    let mut oversize = Oversize::default();
                    let ending = oversize.end(&text[start..]);
                    if ending.is_none() {
                        self.oversize = Some(oversize);
                    }
                    return Step::Refused { used: ending.map_or(text.len(), |length| start + length.max(1)), refused };
                }
                End::Open => return Step::More,
            }
        }
        if done == 0 { Step::Skip(text.len()) } else { Step::Piece { body: 0..done, used: done } }
    }
}

impl JsonCutter {
    /// Where to go on after a value whose brackets do not match: the next line, or the next member where a list is all on one.
    fn after_broken(&self, text: &[u8], start: usize) -> usize {
        let line = line_of(text, start);
        match memchr::memmem::find(&text[start + 1..line], b"},{") {
            Some(member) if self.within != Within::Nothing => start + 1 + member + 2,
            _ => line,
        }
    }
}

impl Cut for JsonCutter {
    fn cut(&mut self, text: &[u8], target: usize, end: bool) -> Step {
        if let Some(oversize) = &mut self.oversize {
            let ending = oversize.end(text);
            if ending.is_some() {
                self.oversize = None;
            }
            if ending != Some(0) {
                return Step::Skip(ending.unwrap_or(text.len()));
            }
        }
        let blanks = text.iter().take_while(|byte| is_between(**byte)).count();
        if blanks > 0 {
            return Step::Skip(blanks);
        }
        match self.within {
            Within::Nothing => self.at_top(text, target, end),
            Within::List | Within::WrappedList => self.in_list(text, target, end),
        }
    }

    fn at_end(&mut self) -> Option<Refused> {
        let open = self.within != Within::Nothing;
        self.within = Within::Nothing;
        open.then(|| Refused::new("truncated", "the list of events does not end; all that came before is taken"))
    }
}

/// Whether a text is one line of values and nothing else: the cutter would leave it as it is, no archive is written so, and no charset but UTF-8.
pub(in crate::logs) fn is_one_line(text: &[u8]) -> bool {
    let end = text.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).map_or(0, |last| last + 1);
    let value = &text[..end];
    value.starts_with(b"{")
        && value.ends_with(b"}")
        && text.len() <= PIECE
        && memchr::memchr2(b'\n', 0, value).is_none()
        && !matches!(wrapped_list(value), Wrapping::List(_))
}

pub(super) fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',')
}

/// The end of the line that `from` lies on, its line feed included.
fn line_of(text: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &text[from..]).map_or(text.len(), |end| from + end + 1)
}

/// The last place at or before `target` that is surely between values: a line end between `}` and `{`. In JSON a comma would stand there, did the two
/// belong to one value; and within a string there is no line end. None where a list begins before: its bracket is to be taken off first.
fn boundary(text: &[u8], target: usize, end: bool) -> Option<usize> {
    let within = &text[..target.min(text.len())];
    let list = memchr::memmem::find_iter(within, b"\n[").map(|at| at + 1).find(|at| is_after_value(&text[..*at]));
    if list.is_some() {
        return list;
    }
    if end && text.len() <= target {
        return is_after_value(text).then_some(text.len());
    }
    memchr::memrchr_iter(b'\n', within).map(|at| at + 1).take(LOOK_BACK).find(|at| {
        let next = text[*at..].iter().find(|byte| !is_between(**byte));
        next == Some(&b'{') && is_after_value(&text[..*at])
    })
}

/// Lines of one value that are passed over in search of its end, before brackets are counted instead.
const LOOK_BACK: usize = 64;

fn is_after_value(text: &[u8]) -> bool {
    text.iter().rev().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).is_some_and(|byte| matches!(byte, b'}' | b']'))
}

enum Wrapping {
    /// It wraps a list, whose first member follows this place.
    List(usize),
    None,
    Unknown,
}

/// Whether an object only wraps a list: a wrapper's name with a list of objects, and nothing but scalars before it.
fn wrapped_list(text: &[u8]) -> Wrapping {
    let head = &text[..text.len().min(WRAPPER_HEAD)];
    let mut at = 1;
    loop {
        let Some(name_start) = skip(head, at).filter(|at| head[*at] == b'"') else { return unknown_unless(head, at) };
        let Ok(name_end) = end_of_string(head, name_start + 1) else { return Wrapping::Unknown };
        let name = &head[name_start + 1..name_end];
        let Some(colon) = skip(head, name_end + 1) else { return Wrapping::Unknown };
        let Some(value) = skip(head, colon + 1) else { return Wrapping::Unknown };
        at = match head[value] {
            b'[' if std::str::from_utf8(name).is_ok_and(|name| WRAPPERS.contains(&name)) => {
                return match skip(head, value + 1).map(|at| head[at]) {
                    None => Wrapping::Unknown,
                    Some(b'{') => Wrapping::List(value + 1),
                    Some(_) => Wrapping::None,
                };
            }
            b'[' | b'{' => return Wrapping::None,
            b'"' => match end_of_string(head, value + 1) {
                Ok(end) => end + 1,
                Err(_) => return Wrapping::Unknown,
            },
            _ => match head[value..].iter().position(|byte| matches!(byte, b',' | b'}')) {
                Some(length) => value + length,
                None => return Wrapping::Unknown,
            },
        };
    }
}

/// The next byte that is neither blank nor a comma.
fn skip(text: &[u8], at: usize) -> Option<usize> {
    text.get(at..)?.iter().position(|byte| !is_between(*byte)).map(|skipped| at + skipped)
}

fn unknown_unless(head: &[u8], at: usize) -> Wrapping {
    if skip(head, at).is_some() { Wrapping::None } else { Wrapping::Unknown }
}
