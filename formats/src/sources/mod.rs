//! Sources of events, known by content: what an event's fields are called in the Elastic Common Schema, which of them is its time, and which hold
//! observables.
//!
//! A source is a YAML file; nothing about one is code. [docs/sources.md](../../../docs/sources.md) is the reference.
mod apply;
mod glob;
mod test;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sightline_schemas::ObservableKind;

use glob::Glob;

/// A source, as its file says it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceMapping {
    /// Its name, `aws.cloudtrail`: the value of `event.dataset`.
    pub name: String,
    /// What its events have, in one of several ways: each field is there, with a value that the pattern fits (`*` stands for anything). Without case.
    pub when: Vec<BTreeMap<String, Patterns>>,
    /// Beginnings of names that are taken off (`winlog.event_data.`), where no other field has the name that is left.
    #[serde(default)]
    pub unfold: Vec<String>,
    /// Event time: the first of these that holds an instant; before the fields that are looked at for every event.
    #[serde(default)]
    pub time: Vec<String>,
    /// ECS name → the field that has the value, or the first of several, or a part of its text. The original stays beside it.
    #[serde(default)]
    pub fields: BTreeMap<String, Origin>,
    /// ECS name → a fixed text.
    #[serde(default)]
    pub constants: BTreeMap<String, String>,
    /// ECS name → a field, and what its values mean there.
    #[serde(default)]
    pub translate: BTreeMap<String, Translation>,
    /// Kind → fields whose values are observables of that kind, beside those that are found by their looks.
    #[serde(default)]
    pub observables: BTreeMap<ObservableKind, Names>,
    /// Events, and what is expected of them: run by `sightline test`.
    #[serde(default)]
    pub tests: Vec<SourceTest>,
}

/// One pattern or several, of which one must fit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Patterns {
    /// One.
    One(String),
    /// Several.
    Any(Vec<String>),
}

/// One name or several, the first that is there counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(String),
    /// Several.
    First(Vec<String>),
}

impl Names {
    fn iter(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::First(names) => names,
        };
        names.iter().map(String::as_str)
    }
}

/// Where the value of an ECS field comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Origin {
    /// The whole value of a field.
    Whole(Names),
    /// A part of its text.
    Part(Part),
}

/// A part of a text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The field.
    pub field: Names,
    /// Which part.
    pub take: Take,
}

/// Which part of a text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Take {
    /// What follows the last `/` or `\`.
    Basename,
    /// What comes before the first of these texts.
    Before(String),
    /// What follows the first of these texts; all, if it is not there.
    After(String),
    /// Of `a=1,b=2` the value of a key, without case.
    Key(String),
    /// What is within a pair of braces, or all.
    Unbraced,
}

impl Take {
    /// The part, which lies within `text`; nothing if it has none.
    fn of<'a>(&self, text: &'a str) -> Option<&'a str> {
        let part = match self {
            Self::Basename => text.rsplit(['/', '\\']).next(),
            Self::Before(mark) => text.split_once(mark.as_str()).map(|(before, _)| before),
            Self::After(mark) => Some(text.split_once(mark.as_str()).map_or(text, |(_, after)| after)),
            Self::Key(key) => text
                .split(',')
                .filter_map(|pair| pair.split_once('='))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case(key))
                .map(|(_, value)| value.trim()),
            Self::Unbraced => Some(text.trim_start_matches('{').trim_end_matches('}')),
        };
        part.filter(|part| !part.is_empty())
    }
}

/// What the values of a field mean under an ECS name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    /// The field.
    pub field: Names,
    /// Its value, as text → what it means.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// What any other value means.
    #[serde(default)]
    pub otherwise: Option<String>,
    /// What it means that the field is not there.
    #[serde(default)]
    pub absent: Option<String>,
}

/// An event, and what is expected of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceTest {
    /// The event.
    pub event: serde_json::Value,
    /// Fields that it must have in the end, with their values.
    #[serde(default)]
    pub fields: BTreeMap<String, serde_json::Value>,
    /// Its time, RFC 3339.
    #[serde(default)]
    pub time: Option<String>,
    /// Observables that it must hold, `kind:value`.
    #[serde(default)]
    pub observables: Vec<String>,
}

/// What is wrong with a source.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SourceError {
    /// It would take every event.
    #[error("source {0}: `when` is empty; name a field that only its events have")]
    AlwaysTrue(String),
    /// Two of one name.
    #[error("source {0}: there are two of this name")]
    Twice(String),
}

/// Sources, ready to be applied. The first whose `when` holds is an event's source.
#[derive(Debug, Default)]
pub struct Sources {
    sources: Vec<Source>,
}

/// A source, ready to be applied.
#[derive(Debug)]
struct Source {
    mapping: SourceMapping,
    when: Vec<Vec<(String, Vec<Glob>)>>,
}

impl Sources {
    /// Of mappings, in the order in which they are tried.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn new(mappings: impl IntoIterator<Item = SourceMapping>) -> Result<Self, SourceError> {
        let mut sources: Vec<Source> = Vec::new();
        for mapping in mappings {
            if mapping.when.iter().all(BTreeMap::is_empty) {
                return Err(SourceError::AlwaysTrue(mapping.name));
            }
            if sources.iter().any(|known| known.mapping.name == mapping.name) {
                return Err(SourceError::Twice(mapping.name));
            }
            let when = mapping.when.iter().filter(|all| !all.is_empty()).map(conditions).collect();
            sources.push(Source { when, mapping });
        }
        Ok(Self { sources })
    }
}

fn conditions(all: &BTreeMap<String, Patterns>) -> Vec<(String, Vec<Glob>)> {
    let globs = |patterns: &Patterns| match patterns {
        Patterns::One(pattern) => vec![Glob::new(pattern)],
        Patterns::Any(patterns) => patterns.iter().map(|pattern| Glob::new(pattern)).collect(),
    };
    all.iter().map(|(field, patterns)| (field.clone(), globs(patterns))).collect()
}
