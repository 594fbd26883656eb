//! What the formats of lines share: reading line by line, cutting at line ends, and telling a format by most of its lines.
use super::frame::{Cut, Step};
use super::{Out, Piece, Read, lines};
use crate::event::fields::{Fields, Refused};
use crate::limits::Limits;

/// How many lines of a head are looked at.
const SAMPLE: usize = 64;

/// Hands out a record whose fields were put.
pub(super) fn give(line: u64, bytes: &[u8], read: Result<(), Refused>, fields: &mut Fields, out: Out<'_>) {
    fields.settle();
    out(Read { line, bytes, fields: read.map(|()| fields) });
}

/// Reads each line of a piece as a record.
pub(super) fn each_line(
    piece: &Piece<'_>,
    fields: &mut Fields,
    limits: &Limits,
    out: Out<'_>,
    mut read: impl FnMut(&str, &mut Fields) -> Result<(), Refused>,
) {
    for (line, bytes, text) in lines(piece.body, piece.first_line, limits) {
        fields.clear();
        let read = text.and_then(|text| read(text, fields));
        give(line, bytes, read, fields, out);
    }
}

/// The first lines of a head that are not blank, as far as they are UTF-8.
pub(super) fn sample(head: &[u8]) -> impl Iterator<Item = &str> {
    let lines = head.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.take(SAMPLE).map(|line| std::str::from_utf8(line).unwrap_or_default())
}

/// Whether most lines of a head are `like` a format's. One broken line among good ones changes nothing; neither do comments.
pub(super) fn most_lines(head: &[u8], like: impl Fn(&str) -> bool) -> bool {
    let (mut good, mut all) = (0, 0);
    for line in sample(head) {
        let is_like = like(line);
        if is_like || !line.starts_with('#') {
            all += 1;
        }
        good += usize::from(is_like);
    }
    good * 2 > all
}

/// Cuts at line ends.
pub(crate) struct LineCutter {
    most: usize,
    /// Within a line that was refused for its length.
    skipping: bool,
}

impl LineCutter {
    /// Lines within the bounds.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { most: limits.event_bytes, skipping: false }
    }

    /// Whether what comes is the rest of a line that was refused.
    pub(super) fn is_within_refused(&self) -> bool {
        self.skipping
    }
}

impl Cut for LineCutter {
    fn cut(&mut self, text: &[u8], target: usize, end: bool) -> Step {
        if self.skipping {
            let line_end = memchr::memchr(b'\n', text);
            self.skipping = line_end.is_none();
            return Step::Skip(line_end.map_or(text.len(), |at| at + 1));
        }
        if end && text.len() <= target.min(self.most) {
            return Step::Piece { body: 0..text.len(), used: text.len() };
        }
        if !end && text.len() < target {
            return Step::More;
        }
        let (near, far) = text.split_at(target.min(text.len()));
        let whole = memchr::memrchr(b'\n', near).or_else(|| memchr::memchr(b'\n', far).map(|at| near.len() + at)).map(|at| at + 1);
        match whole {
            // Only the first line can be longer than what a piece should have.
            Some(whole) if whole > target && whole > self.most + 2 => Step::Refused { used: whole, refused: too_large(self.most) },
            Some(whole) => Step::Piece { body: 0..whole, used: whole },
            None if text.len() > self.most => {
                self.skipping = true;
                Step::Refused { used: text.len(), refused: too_large(self.most) }
            }
            None if end => Step::Piece { body: 0..text.len(), used: text.len() },
            None => Step::More,
        }
    }
}

/// The refusal of an event over the bound.
pub(super) fn too_large(most: usize) -> Refused {
    Refused::new("event-too-large", format!("an event larger than limits.event_bytes ({most})"))
}

/// Cuts at line ends, and keeps header lines as prelude: those that begin with `#` and one of the words.
///
/// A header in mid-file makes a new prelude, so that no piece spans one.
pub(crate) struct HeadedCutter {
    lines: LineCutter,
    words: &'static [&'static str],
    header: Vec<(&'static str, Vec<u8>)>,
    prelude: Vec<u8>,
}

impl HeadedCutter {
    /// Of header lines with these words; a line with the first of them begins a new header.
    pub(crate) fn new(words: &'static [&'static str], limits: &Limits) -> Self {
        Self { lines: LineCutter::new(limits), words, header: Vec::new(), prelude: Vec::new() }
    }

    fn keep(&mut self, line: &[u8]) {
        let Some(&word) = self.words.iter().find(|word| line.starts_with(word.as_bytes())) else { return };
        if self.words.first() == Some(&word) {
            self.header.clear();
        }
        self.header.retain(|(kept, _)| *kept != word);
        self.header.push((word, line.to_vec()));
        self.prelude = self.header.iter().flat_map(|(_, line)| line.iter().copied().chain([b'\n'])).collect();
    }
}

impl Cut for HeadedCutter {
    fn cut(&mut self, text: &[u8], target: usize, end: bool) -> Step {
        if self.lines.is_within_refused() {
            return self.lines.cut(text, target, end);
        }
        if text.starts_with(b"#") {
            let line_end = memchr::memchr(b'\n', text);
            return match line_end {
                None if !end && text.len() <= self.lines.most => Step::More,
                None if text.len() > self.lines.most => self.lines.cut(text, target, end),
                _ => {
                    let line = &text[..line_end.unwrap_or(text.len())];
                    self.keep(line.trim_ascii_end());
                    Step::Skip(line_end.map_or(text.len(), |at| at + 1))
                }
            };
        }
        match memchr::memmem::find(text, b"\n#") {
            Some(at) => self.lines.cut(&text[..=at], target, true),
            None => self.lines.cut(text, target, end),
        }
    }

    fn prelude(&self) -> &[u8] {
        &self.prelude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(cutter: &mut dyn Cut, text: &str, target: usize) -> Vec<String> {
        let (mut at, mut seen) = (0, Vec::new());
        while at < text.len() {
            // Twenty bytes a read.
            let mut have = (at + 20).min(text.len());
            let step = loop {
                match cutter.cut(&text.as_bytes()[at..have], target, have == text.len()) {
                    Step::More => have = (have + 20).min(text.len()),
                    step => break step,
                }
            };
            at += match step {
                Step::Piece { body, used } => {
                    seen.push(format!("{:?} {:?}", String::from_utf8_lossy(cutter.prelude()), &text[at..][body]));
                    used
                }
                Step::Skip(used) => used,
                Step::Refused { used, refused } => {
                    seen.push(format!("{} {used}", refused.reason));
                    used
                }
                Step::More => unreachable!("told apart above"),
            };
        }
        seen
    }

    #[test]
    fn pieces_end_at_line_ends_and_a_line_over_the_bound_is_refused_alone() {
        let limits = Limits { event_bytes: 30, ..Limits::default() };
        let long = "x".repeat(75);
        assert_eq!(
            steps(&mut LineCutter::new(&limits), &format!("a\nbb\n{long}\nccc\nd"), 5),
            ["\"\" \"a\\nbb\\n\"", "event-too-large 40", "\"\" \"ccc\\nd\""]
        );
    }

    #[test]
    fn a_header_in_mid_file_makes_a_new_prelude() {
        let text = "#sep x\n#fields a\n#open 1\n1\n2\n#fields b\n3\n#sep y\n4\n#close";
        assert_eq!(
            steps(&mut HeadedCutter::new(&["#sep", "#fields"], &Limits::default()), text, 100),
            [r##""#sep x\n#fields a\n" "1\n2\n""##, r##""#sep x\n#fields b\n" "3\n""##, r##""#sep y\n" "4\n""##]
        );
    }
}
