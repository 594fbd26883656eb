//! Refanging: taking back what people do to a value so that nobody clicks it.
use std::borrow::Cow;

/// What stands for what, without regard to case.
///
/// Each ends where it becomes complete, so that one pass over the text from the left finds nested ones (`[[.]]`) too.
const FANGS: &[(&str, &str)] = &[
    ("[.", "."),
    (".]", "."),
    ("(.)", "."),
    ("{.}", "."),
    ("[dot]", "."),
    ("(dot)", "."),
    ("{dot}", "."),
    ("\\.", "."),
    ("[at]", "@"),
    ("(at)", "@"),
    ("{at}", "@"),
    ("[@]", "@"),
    ("[:]", ":"),
    ("[://]", "://"),
    ("[/]", "/"),
];

/// Spellings of `http` that no reader follows.
const SCHEMES: &[&str] = &["hxxp", "htxp", "hxtp"];

/// Takes back `hxxp`, `[.]`, `(.)`, `{.}`, `[dot]`, `(dot)`, `\.`, `[at]`, `[@]`, `[:]`, `[://]`, `[/]` and the like.
/// What it returns holds none of them: refanging twice changes nothing more.
pub fn refang(value: &str) -> String {
    refanged(value).into_owned()
}

/// As [`refang`], borrowing what needs no change: nearly every value of an event.
pub(super) fn refanged(value: &str) -> Cow<'_, str> {
    let mut text = if value.bytes().any(|b| matches!(b, b'[' | b'(' | b'{' | b'\\' | b']')) {
        Cow::Owned(without_fangs(value))
    } else {
        Cow::Borrowed(value)
    };
    if text.get(..4).is_some_and(|scheme| SCHEMES.iter().any(|fanged| scheme.eq_ignore_ascii_case(fanged))) {
        text.to_mut().replace_range(..4, "http");
    }
    text
}

fn without_fangs(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        text.push(c);
        // A replacement may complete another: each makes the text shorter, so this ends.
        while let Some((fanged, plain)) = FANGS.iter().find(|(fanged, _)| ends_with(&text, fanged)) {
            text.truncate(text.len() - fanged.len());
            text.push_str(plain);
        }
    }
    text
}

fn ends_with(text: &str, end: &str) -> bool {
    let (text, end) = (text.as_bytes(), end.as_bytes());
    text.len() >= end.len() && text[text.len() - end.len()..].eq_ignore_ascii_case(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_of_defanging_is_taken_back() {
        for (fanged, plain) in [
            ("evil[.]example", "evil.example"),
            ("evil(.)example[.com", "evil.example.com"),
            ("evil[DOT]example(dot)com", "evil.example.com"),
            ("evil[[.]]example", "evil.example"),
            ("hXXps[:]//evil[.]example[/]a", "https://evil.example/a"),
            ("hxxp[://]evil.example", "http://evil.example"),
            ("bob[at]evil{.}example", "bob@evil.example"),
            ("198\\.51\\.100\\.7", "198.51.100.7"),
            ("http://[2001:db8::1]/", "http://[2001:db8::1]/"),
            ("é[.]é", "é.é"),
        ] {
            assert_eq!(refang(fanged), plain);
        }
    }

    proptest! {
        #[test]
        fn refanging_twice_changes_nothing(text in "[a\\[\\](){}.:/@\\\\dotxhp]{0,40}") {
            let once = refang(&text);
            prop_assert_eq!(refang(&once), once);
        }
    }
}
