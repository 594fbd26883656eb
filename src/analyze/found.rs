//! What was found, and how it adds up.
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sightline_formats::FlatEvent;
use sightline_formats::event::fields::{FieldScalar, FieldValue, Fields, Refused};
use sightline_schemas::{Micros, ObservableKind};

use super::counts::Counts;

/// How many names of fields, and how many values of a kind, are counted one by one.
const FIELDS: usize = 5_000;
const VALUES: usize = 20_000;
/// How long an example may be, in characters.
const EXAMPLE: usize = 60;

/// A member of the file.
pub struct Member {
    /// `logs.zip!day1/a.json`.
    pub path: String,
    /// Its format; none when it could not be told.
    pub format: Option<&'static str>,
    /// How its text is written.
    pub charset: &'static str,
    /// As UTF-8.
    pub bytes: u64,
    /// Events, or objects of intelligence.
    pub records: u64,
    /// Parts refused.
    pub refused: u64,
}

/// Something refused.
pub struct Fault {
    /// The member.
    pub path: String,
    /// Where in it: `line 7`.
    pub position: String,
    /// A stable code.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A field.
pub struct Field {
    /// How many events have it.
    pub events: u64,
    /// The first value.
    pub example: String,
}

/// All that was found.
#[derive(Default)]
pub struct Found {
    /// The file.
    pub file: String,
    /// As it lies on the disk.
    pub packed: u64,
    /// Its members, in order.
    pub members: Vec<Member>,
    /// Events.
    pub events: u64,
    /// Objects of intelligence.
    pub objects: u64,
    /// Parts refused.
    pub refused: u64,
    /// By reason.
    pub reasons: BTreeMap<String, u64>,
    /// The first of them, or all.
    pub faults: Vec<Fault>,
    /// Events by the source that knows them; under an empty name those that none knows.
    pub sources: BTreeMap<String, u64>,
    /// The first and the last time of an event.
    pub times: Option<(Micros, Micros)>,
    /// Events that name none.
    pub timeless: u64,
    /// By name.
    pub fields: HashMap<String, Field>,
    /// Whether there were more than are counted.
    pub more_fields: bool,
    /// By kind.
    pub observables: BTreeMap<ObservableKind, Counts>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Found {
    /// Whether nothing could be read, for faults.
    pub fn is_nothing(&self) -> bool {
        self.events + self.objects == 0 && self.refused > 0
    }

    /// Unpacked, as UTF-8.
    pub fn bytes(&self) -> u64 {
        self.members.iter().map(|member| member.bytes).sum()
    }
}

impl Found {
    /// Changes the member that is being looked at.
    pub fn member(&mut self, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.last_mut() {
            change(member);
        }
    }

    /// Counts a refusal; keeps it if there are fewer than `most`.
    pub fn refuse(&mut self, position: String, refused: Refused, most: usize) {
        self.refused += 1;
        *self.reasons.entry(refused.reason.to_owned()).or_default() += 1;
        self.member(|member| member.refused += 1);
        if self.faults.len() < most {
            let path = self.members.last().map(|member| member.path.clone()).unwrap_or_default();
            self.faults.push(Fault { path, position, reason: refused.reason.to_owned(), message: refused.message });
        }
    }

    /// Counts an observable.
    pub fn observable(&mut self, kind: ObservableKind, value: &str) {
        self.observables.entry(kind).or_insert_with(|| Counts::of(VALUES)).add(value);
    }

    /// Counts an event.
    pub fn event(&mut self, event: &FlatEvent, fields: &Fields) {
        self.events += 1;
        self.member(|member| member.records += 1);
        for (name, value) in fields.iter() {
            if let Some(field) = self.fields.get_mut(name) {
                field.events += 1;
                if field.example.is_empty() {
                    field.example = example(value);
                }
            } else if self.fields.len() < FIELDS {
                self.fields.insert(name.to_owned(), Field { events: 1, example: example(value) });
            } else {
                self.more_fields = true;
            }
        }
        let source = event.source.as_deref().unwrap_or_default();
        match self.sources.get_mut(source) {
            Some(count) => *count += 1,
            None => drop(self.sources.insert(source.to_owned(), 1)),
        }
        match event.timestamp {
            None => self.timeless += 1,
            Some(at) => {
                self.times = Some(self.times.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            }
        }
        event.observables.iter().for_each(|found| self.observable(found.observable.kind(), found.observable.value()));
    }
}

/// The value for people, on one line.
fn example(value: FieldValue<'_>) -> String {
    let text = |scalar| match scalar {
        FieldScalar::Text(text) => text.to_owned(),
        FieldScalar::Int(number) => number.to_string(),
        FieldScalar::Uint(number) => number.to_string(),
        FieldScalar::Float(number) => number.to_string(),
        FieldScalar::Bool(truth) => truth.to_string(),
        FieldScalar::Null => String::new(),
    };
    let whole = match value {
        FieldValue::One(scalar) => text(scalar),
        FieldValue::List(list) => list.iter().take(5).map(text).collect::<Vec<_>>().join(", "),
        FieldValue::EmptyObject => "{}".into(),
    };
    let line: String = whole.chars().take(EXAMPLE).map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    if whole.chars().nth(EXAMPLE).is_some() { format!("{line}…") } else { line }
}
