//! Splits a package into the raw bytes of its objects, whatever the order of keys and wherever the parts are cut.
//!
//! Outside objects every byte passes a small state machine; inside one only strings and brackets matter, so the bytes are skipped at the speed
//! of the search for the next quote. An object within one part is borrowed from it; one that is cut is put together in a buffer.
use memchr::memchr2;

use super::envelope::Envelope;
use crate::limits::Limits;
use crate::poison::Poison;

/// What the splitter hands out.
pub(super) enum Element<'a> {
    /// The bytes of an object, unread.
    Object {
        /// Its place in `objects`; none for an object that is the document.
        index: Option<u64>,
        /// From `{` to `}`.
        bytes: &'a [u8],
    },
    /// What is no object.
    Poison(Poison),
}

/// Where the state machine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Between documents.
    Outside,
    /// In the top-level object, outside strings and nested values.
    Envelope,
    /// In a string of the top-level object.
    EnvelopeString { escaped: bool },
    /// In a nested value of the top-level object that is not `objects`.
    Nested { depth: usize, string: bool, escaped: bool },
    /// In the array of objects, between elements.
    Elements,
    /// In an element that is an object.
    Element { depth: usize, string: bool, escaped: bool },
    /// In an element that is something else.
    Scalar { string: bool, escaped: bool },
}

/// The state machine over the bytes of a package.
pub(super) struct Splitter<'l> {
    limits: &'l Limits,
    state: State,
    index: u64,
    /// The start of an element that a part's end has cut.
    carry: Vec<u8>,
    /// The top-level object so far: it may turn out to be an object itself.
    envelope: Vec<u8>,
    /// The last string of the envelope, to know the key `objects`.
    word: Vec<u8>,
    /// The array of objects is the document itself.
    bare_array: bool,
    deepest: usize,
    /// Something was handed out, or said to be wrong, or an empty envelope was read.
    saw_objects: bool,
    /// The top-level object has its array `objects`: what is left of it is an envelope, not an object.
    has_objects: bool,
    /// Bytes outside documents were named: once is enough.
    said_stray: bool,
    too_many: bool,
}

impl<'l> Splitter<'l> {
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self {
            limits,
            state: State::Outside,
            index: 0,
            carry: Vec::new(),
            envelope: Vec::new(),
            word: Vec::new(),
            bare_array: false,
            deepest: 0,
            saw_objects: false,
            has_objects: false,
            said_stray: false,
            too_many: false,
        }
    }

    /// Whether an array of objects, or an object, was seen at all.
    pub(super) fn saw_objects(&self) -> bool {
        self.saw_objects
    }

    /// Takes the next part.
    pub(super) fn feed(&mut self, part: &[u8], out: &mut dyn FnMut(Element<'_>)) {
        let mut at = 0;
        while at < part.len() {
            at = match self.state {
                State::Element { .. } => self.element(part, at, out),
                State::Scalar { .. } => self.scalar(part, at, out),
                _ => {
                    self.byte(part[at], out);
                    // An element begins at this very byte.
                    if matches!(self.state, State::Element { .. } | State::Scalar { .. }) { at } else { at + 1 }
                }
            };
        }
    }

    /// No more parts: what is open was cut off.
    pub(super) fn finish(&mut self, out: &mut dyn FnMut(Element<'_>)) {
        if self.state == State::Outside {
            return;
        }
        let (position, bytes) = match self.state {
            State::Element { .. } | State::Scalar { .. } => (format!("$.objects[{}]", self.index), &self.carry),
            State::Elements => (format!("$.objects[{}]", self.index), &self.envelope),
            _ => ("$".to_owned(), &self.envelope),
        };
        self.saw_objects = true;
        out(Element::Poison(Poison::parse(position, "truncated", "the document ends here; send it whole", bytes, self.limits)));
        self.state = State::Outside;
    }

    /// Everything but elements.
    fn byte(&mut self, byte: u8, out: &mut dyn FnMut(Element<'_>)) {
        if matches!(self.state, State::Envelope | State::EnvelopeString { .. } | State::Nested { .. })
            && self.envelope.len() <= self.limits.object_bytes
        {
            self.envelope.push(byte);
        }
        self.state = match (self.state, byte) {
            (State::Outside, b'{') => {
                self.envelope.clear();
                self.envelope.push(byte);
                self.bare_array = false;
                self.has_objects = false;
                State::Envelope
            }
            (State::Outside, b'[') => {
                self.bare_array = true;
                self.saw_objects = true;
                State::Elements
            }
            (State::Outside, b) if b.is_ascii_whitespace() || matches!(b, 0xef | 0xbb | 0xbf | b',' | 0x1e) => State::Outside,
            (State::Outside, _) => {
                if !std::mem::replace(&mut self.said_stray, true) && self.saw_objects {
                    let message = "bytes after the document that are not JSON; what came before them was read";
                    out(Element::Poison(Poison::parse("$".into(), "stray-bytes", message, &[byte], self.limits)));
                }
                State::Outside
            }
            (State::Envelope, b'"') => {
                self.word.clear();
                State::EnvelopeString { escaped: false }
            }
            (State::Envelope, b'[') if self.word == b"objects" => {
                self.saw_objects = true;
                self.has_objects = true;
                State::Elements
            }
            (State::Envelope, b'{' | b'[') => State::Nested { depth: 1, string: false, escaped: false },
            (State::Envelope, b',') => {
                self.word.clear();
                State::Envelope
            }
            (State::Envelope, b'}') => {
                self.end_envelope(out);
                State::Outside
            }
            (State::Envelope, _) => State::Envelope,
            (State::EnvelopeString { escaped: true }, _) => State::EnvelopeString { escaped: false },
            (State::EnvelopeString { .. }, b'\\') => State::EnvelopeString { escaped: true },
            (State::EnvelopeString { .. }, b'"') => State::Envelope,
            (State::EnvelopeString { .. }, _) => {
                if self.word.len() < 64 {
                    self.word.push(byte);
                }
                State::EnvelopeString { escaped: false }
            }
            (State::Nested { depth, string: true, escaped }, _) => match (escaped, byte) {
                (true, _) => State::Nested { depth, string: true, escaped: false },
                (false, b'\\') => State::Nested { depth, string: true, escaped: true },
                (false, b'"') => State::Nested { depth, string: false, escaped: false },
                _ => State::Nested { depth, string: true, escaped: false },
            },
            (State::Nested { depth, .. }, b'"') => State::Nested { depth, string: true, escaped: false },
            (State::Nested { depth, .. }, b'{' | b'[') => State::Nested { depth: depth + 1, string: false, escaped: false },
            (State::Nested { depth: 1, .. }, b'}' | b']') => State::Envelope,
            (State::Nested { depth, .. }, b'}' | b']') => State::Nested { depth: depth - 1, string: false, escaped: false },
            (State::Nested { .. }, _) => self.state,
            (State::Elements, b']') => {
                if self.bare_array {
                    State::Outside
                } else {
                    self.word.clear();
                    // What is left of the envelope stays JSON: `"objects":[]`.
                    self.envelope.push(byte);
                    State::Envelope
                }
            }
            // An array is no object either, but its brackets must be followed to find its end.
            (State::Elements, b'{' | b'[') => {
                self.deepest = 0;
                State::Element { depth: 0, string: false, escaped: false }
            }
            (State::Elements, b) if b.is_ascii_whitespace() || b == b',' => State::Elements,
            (State::Elements, _) => State::Scalar { string: false, escaped: false },
            (State::Element { .. } | State::Scalar { .. }, _) => self.state,
        };
    }

    /// A top-level object without the array `objects` is an object itself, or an empty bundle.
    fn end_envelope(&mut self, out: &mut dyn FnMut(Element<'_>)) {
        self.saw_objects = true;
        let bytes = std::mem::take(&mut self.envelope);
        if bytes.len() > self.limits.object_bytes {
            let message = format!("an object larger than limits.object_bytes ({})", self.limits.object_bytes);
            return out(Element::Poison(Poison::parse("$".into(), "object-too-large", message, &bytes, self.limits)));
        }
        match Envelope::read(&bytes) {
            Ok(envelope) if self.has_objects || envelope.is_empty_package() => {
                if let Some((property, reason, message)) = envelope.fault() {
                    out(Element::Poison(Poison::validate(format!("$.{property}"), reason, message, &bytes, self.limits)));
                }
            }
            Err(error) if self.has_objects => {
                let message = format!("around the objects: {error}; the objects themselves were read");
                out(Element::Poison(Poison::parse("$".into(), "invalid-json", message, &bytes, self.limits)));
            }
            _ => out(Element::Object { index: None, bytes: &bytes }),
        }
    }

    /// Skips to the end of an element, or of the part. Returns where to go on.
    fn element(&mut self, part: &[u8], start: usize, out: &mut dyn FnMut(Element<'_>)) -> usize {
        let State::Element { mut depth, mut string, mut escaped } = self.state else { return start };
        let mut at = start;
        while at < part.len() {
            if string {
                if escaped {
                    escaped = false;
                    at += 1;
                    continue;
                }
                match memchr2(b'"', b'\\', &part[at..]) {
                    Some(found) => {
                        at += found;
                        if part[at] == b'"' { string = false } else { escaped = true }
                    }
                    None => at = part.len() - 1,
                }
            } else {
                match part[at] {
                    b'"' => string = true,
                    b'{' | b'[' => {
                        depth += 1;
                        self.deepest = self.deepest.max(depth);
                    }
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            self.state = State::Elements;
                            self.emit(&part[start..=at], out);
                            return at + 1;
                        }
                    }
                    _ => {}
                }
            }
            at += 1;
        }
        self.keep(&part[start..]);
        self.state = State::Element { depth, string, escaped };
        part.len()
    }

    /// The carry grows one byte past the bound, which is how it is known to be too large.
    fn keep(&mut self, bytes: &[u8]) {
        let room = (self.limits.object_bytes + 1).saturating_sub(self.carry.len());
        self.carry.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn emit(&mut self, tail: &[u8], out: &mut dyn FnMut(Element<'_>)) {
        let index = self.index;
        self.index += 1;
        let mut carry = std::mem::take(&mut self.carry);
        let size = carry.len() + tail.len();
        let position = || format!("$.objects[{index}]");
        let first = if carry.is_empty() { tail } else { &carry };
        if index >= self.limits.package_objects {
            // Said once: a dead letter for each would be an attack of its own.
            if !std::mem::replace(&mut self.too_many, true) {
                let message = format!("more objects than limits.package_objects ({}); split the package", self.limits.package_objects);
                out(Element::Poison(Poison::parse(position(), "too-many-objects", message, first, self.limits)));
            }
        } else if size > self.limits.object_bytes {
            let message = format!("an object larger than limits.object_bytes ({})", self.limits.object_bytes);
            out(Element::Poison(Poison::parse(position(), "object-too-large", message, first, self.limits)));
        } else if self.deepest > self.limits.depth {
            let message = format!("nested {} deep, more than limits.depth ({})", self.deepest, self.limits.depth);
            out(Element::Poison(Poison::parse(position(), "too-deep", message, first, self.limits)));
        } else if carry.is_empty() {
            out(Element::Object { index: Some(index), bytes: tail });
        } else {
            carry.extend_from_slice(tail);
            out(Element::Object { index: Some(index), bytes: &carry });
        }
    }

    /// Skips an element that is no object.
    fn scalar(&mut self, part: &[u8], start: usize, out: &mut dyn FnMut(Element<'_>)) -> usize {
        let State::Scalar { mut string, mut escaped } = self.state else { return start };
        for (at, byte) in part.iter().enumerate().skip(start) {
            match (string, escaped, byte) {
                (true, true, _) => escaped = false,
                (true, false, b'\\') => escaped = true,
                (_, _, b'"') => string = !string,
                (false, _, b',' | b']') => {
                    self.keep(&part[start..at]);
                    let (index, bytes) = (self.index, std::mem::take(&mut self.carry));
                    self.index += 1;
                    self.state = State::Elements;
                    let message = "expected an object";
                    out(Element::Poison(Poison::parse(format!("$.objects[{index}]"), "not-an-object", message, &bytes, self.limits)));
                    return at;
                }
                _ => {}
            }
        }
        self.keep(&part[start..]);
        self.state = State::Scalar { string, escaped };
        part.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn split(parts: &[&[u8]], limits: &Limits) -> Vec<String> {
        let mut seen = Vec::new();
        let mut out = |element: Element<'_>| {
            seen.push(match element {
                Element::Object { index, bytes } => format!("{index:?} {}", String::from_utf8_lossy(bytes)),
                Element::Poison(poison) => format!("{} {}", poison.position, poison.reason),
            });
        };
        let mut splitter = Splitter::new(limits);
        for part in parts {
            splitter.feed(part, &mut out);
        }
        splitter.finish(&mut out);
        seen
    }

    #[test]
    fn objects_are_found_whatever_the_order_of_keys() {
        let limits = Limits::default();
        for text in [
            r#"{"type":"bundle","objects":[{"a":"}]"},{"b":[{}]}],"id":"bundle--1"}"#,
            r#"{"x":{"objects":[1]},"objects" : [ {"a":"}]"} , {"b":[{}]} ] }"#,
            r#" [{"a":"}]"},{"b":[{}]}]"#,
            "{\"more\":false,\"objects\":[{\"a\":\"}]\"}]}\n{\"objects\":[{\"b\":[{}]}]}",
        ] {
            assert_eq!(split(&[text.as_bytes()], &limits), [r#"Some(0) {"a":"}]"}"#, r#"Some(1) {"b":[{}]}"#], "{text}");
        }
        assert_eq!(split(&[br#"{"type":"indicator","id":"i"}"#], &limits), [r#"None {"type":"indicator","id":"i"}"#]);
        assert_eq!(split(&[br#"{"type":"bundle","id":"bundle--1"}"#], &limits), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_around_the_objects_is_named_and_the_objects_arrive() {
        let limits = Limits::default();
        for (text, expected) in [
            (r#"{"objects":[{"a":1}],"spec_version":"3.0","type":"bundle","id":"bundle--1"}"#, "$.spec_version unknown-spec-version"),
            (r#"{"objects":[{"a":1}] "type":"bundle"}"#, "$ invalid-json"),
            (r#"{"objects":[{"a":1}],"type":"bundle"}"#, "$.id invalid-id"),
            (r#"{"objects":[{"a":1}]} trailing"#, "$ stray-bytes"),
        ] {
            assert_eq!(split(&[text.as_bytes()], &limits), [r#"Some(0) {"a":1}"#, expected], "{text}");
        }
        assert_eq!(split(&[br#"{"type":"bundle","id":"bundle--1","objects":{"a":1}}"#], &limits), ["$.objects wrong-type"]);
    }

    #[test]
    fn an_array_among_the_objects_ends_where_its_brackets_do() {
        assert_eq!(split(&[br#"{"objects":[[1,[2]],{"a":1}]}"#], &Limits::default()), ["Some(0) [1,[2]]", r#"Some(1) {"a":1}"#]);
    }

    #[test]
    fn observed_data_after_a_bundle_is_an_object_of_its_own() {
        let text = br#"{"objects":[{"a":1}]} {"type":"observed-data","id":"o","objects":{"0":{}}}"#;
        assert_eq!(split(&[text], &Limits::default())[1], r#"None {"type":"observed-data","id":"o","objects":{"0":{}}}"#);
    }

    #[test]
    fn what_is_broken_poisons_only_itself() {
        let limits = Limits { depth: 3, object_bytes: 40, ..Limits::default() };
        let text = format!(r#"{{"objects":[{{"a":1}},7,"x",{{"d":[[[1]]]}},{{"l":"{}"}},{{"z":2}},{{"cut":"#, "y".repeat(60));
        assert_eq!(
            split(&[text.as_bytes()], &limits),
            [
                r#"Some(0) {"a":1}"#,
                "$.objects[1] not-an-object",
                "$.objects[2] not-an-object",
                "$.objects[3] too-deep",
                "$.objects[4] object-too-large",
                r#"Some(5) {"z":2}"#,
                "$.objects[6] truncated"
            ]
        );
    }

    #[test]
    fn a_string_of_200_megabytes_is_refused_and_never_held() {
        let limits = Limits { object_bytes: 1 << 20, ..Limits::default() };
        let mut seen = Vec::new();
        let mut largest = 0;
        let mut splitter = Splitter::new(&limits);
        let long = vec![b'y'; 1 << 20];
        let parts = [&br#"{"objects":[{"l":""#[..]].into_iter().chain(std::iter::repeat_n(&long[..], 200)).chain([&br#""},{"z":2}]}"#[..]]);
        for part in parts {
            splitter.feed(part, &mut |element| match element {
                Element::Object { bytes, .. } => seen.push(String::from_utf8_lossy(bytes).into_owned()),
                Element::Poison(poison) => seen.push(format!("{} {} {}", poison.position, poison.reason, poison.bytes.len())),
            });
            largest = largest.max(splitter.carry.capacity());
        }
        assert_eq!(seen, ["$.objects[0] object-too-large 65536", r#"{"z":2}"#]);
        assert!(largest <= 4 << 20, "{largest}");
    }

    proptest! {
        #[test]
        fn any_cut_into_parts_gives_the_same_elements(cuts in proptest::collection::vec(0usize..90, 0..8)) {
            let text = br#"{"type":"bundle","objects":[{"a":"q\"}\\"},{"b":[{"c":[1,2]}]},true,{"u":"\u00e9"}],"more":[]}"#;
            let limits = Limits::default();
            let whole = split(&[text], &limits);
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(split(&parts, &limits), whole);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            split(&[&bytes], &Limits { depth: 2, object_bytes: 20, ..Limits::default() });
        }

        #[test]
        fn arbitrary_brackets_never_panic(text in "[\\[\\]{}\",:\\\\a1 ]{0,200}") {
            split(&[text.as_bytes()], &Limits::default());
        }
    }
}
