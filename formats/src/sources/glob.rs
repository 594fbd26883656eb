//! Patterns in which `*` stands for anything.

/// A pattern, without case in ASCII.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Glob {
    /// What stands between the stars.
    parts: Vec<String>,
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Self {
        Self { parts: pattern.split('*').map(str::to_ascii_lowercase).collect() }
    }

    /// Whether all of the text fits.
    pub(super) fn fits(&self, text: &str) -> bool {
        let [first, middle @ .., last] = &self.parts[..] else {
            return self.parts.first().is_some_and(|only| only.eq_ignore_ascii_case(text));
        };
        let bytes = text.as_bytes();
        if bytes.len() < first.len() + last.len()
            || !bytes[..first.len()].eq_ignore_ascii_case(first.as_bytes())
            || !bytes[bytes.len() - last.len()..].eq_ignore_ascii_case(last.as_bytes())
        {
            return false;
        }
        // Each part as early as it is found leaves the most room for the next.
        let mut rest = &bytes[first.len()..bytes.len() - last.len()];
        middle.iter().filter(|part| !part.is_empty()).all(|part| {
            match rest.windows(part.len()).position(|window| window.eq_ignore_ascii_case(part.as_bytes())) {
                Some(at) => {
                    rest = &rest[at + part.len()..];
                    true
                }
                None => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a", "A", true),
            ("a", "ab", false),
            ("*.amazonaws.com", "s3.amazonaws.com", true),
            ("*.amazonaws.com", ".amazonaws.co", false),
            ("a*a", "a", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("a*bc*c", "abcc", true),
        ] {
            assert_eq!(Glob::new(pattern).fits(text), fits, "{pattern} {text}");
        }
    }
}
