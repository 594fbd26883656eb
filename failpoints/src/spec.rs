//! `name[label]=action@count; …`
use std::time::Duration;

use crate::Point;

/// What happens at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Kill,
    Panic,
    Delay(Duration),
    /// A number of the system's errors.
    Error(i32),
}

/// At which hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    At(u64),
    From(u64),
}

impl When {
    pub(crate) fn includes(self, hit: u64) -> bool {
        match self {
            Self::At(at) => hit == at,
            Self::From(from) => hit >= from,
        }
    }
}

/// One rule of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) point: Point,
    pub(crate) label: Option<String>,
    pub(crate) action: Action,
    pub(crate) when: When,
}

/// Input/output error, no space, quota exceeded: the same numbers on every Linux.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

pub(crate) fn parse(text: &str) -> Result<Vec<Rule>, String> {
    text.split(';').map(str::trim).filter(|rule| !rule.is_empty()).map(rule).collect()
}

fn rule(text: &str) -> Result<Rule, String> {
    let wrong = |what: &str| format!("SIGHTLINE_FAILPOINTS: {text:?}: {what}; write name[label]=action@count");
    let (place, what) = text.split_once('=').ok_or_else(|| wrong("no `=`"))?;
    let (name, label) = match place.split_once('[') {
        Some((name, label)) => (name, Some(label.strip_suffix(']').ok_or_else(|| wrong("`[` without `]`"))?.to_owned())),
        None => (place, None),
    };
    let point = Point::named(name).ok_or_else(|| {
        let known: Vec<_> = Point::ALL.iter().map(|point| point.name()).collect();
        wrong(&format!("there is no such failpoint; valid are {}", known.join(", ")))
    })?;
    let (action, count) = what.split_once('@').unwrap_or((what, "1"));
    let (verb, argument) = match action.split_once('(') {
        Some((verb, argument)) => (verb, Some(argument.strip_suffix(')').ok_or_else(|| wrong("`(` without `)`"))?)),
        None => (action, None),
    };
    let action = match (verb, argument) {
        ("kill", None) => Action::Kill,
        ("panic", None) => Action::Panic,
        ("delay", Some(millis)) => Action::Delay(Duration::from_millis(millis.parse().map_err(|_| wrong("delay takes milliseconds"))?)),
        ("error", None | Some("EIO")) => Action::Error(EIO),
        ("error", Some("ENOSPC")) => Action::Error(ENOSPC),
        ("error", Some("EDQUOT")) => Action::Error(EDQUOT),
        _ => return Err(wrong("valid actions are kill, panic, delay(MILLISECONDS), error, error(ENOSPC|EDQUOT|EIO)")),
    };
    let number =
        |text: &str| text.parse().ok().filter(|count| *count > 0).ok_or_else(|| wrong("the count is a number from 1, `n+` or `*`"));
    let when = match (count, count.strip_suffix('+')) {
        ("*", _) => When::From(1),
        (_, Some(from)) => When::From(number(from)?),
        (at, None) => When::At(number(at)?),
    };
    Ok(Rule { point, label, action, when })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rules_are_read_as_documented() {
        let rules = parse("commit.before[lane-1]=kill@7; segment.before=error(ENOSPC)@3+;sink.opened=delay(20)@*;start.r1=panic;").unwrap();
        assert_eq!(
            rules,
            [
                Rule { point: Point::CommitBefore, label: Some("lane-1".into()), action: Action::Kill, when: When::At(7) },
                Rule { point: Point::SegmentBefore, label: None, action: Action::Error(28), when: When::From(3) },
                Rule { point: Point::SinkOpened, label: None, action: Action::Delay(Duration::from_millis(20)), when: When::From(1) },
                Rule { point: Point::StartJournal, label: None, action: Action::Panic, when: When::At(1) },
            ]
        );
    }

    #[test]
    fn a_misspelt_name_or_action_is_an_error_that_names_what_there_is() {
        assert!(parse("comit.before=kill").unwrap_err().contains("commit.before"));
        assert!(parse("commit.before=die").unwrap_err().contains("panic"));
        assert!(parse("commit.before=kill@0").unwrap_err().contains("from 1"));
    }
}
