//! Runs the tests that a source's file holds.
use serde_json::{Map, Value};
use sightline_schemas::Micros;

use super::{SourceError, SourceMapping, SourceTest, Sources};
use crate::event::FlatEvent;
use crate::limits::Limits;
use crate::logs::{LogFormat, Piece, PieceReader};

impl SourceMapping {
    /// What its tests find wrong, a line each.
    ///
    /// # Errors
    /// When it is no source at all.
    pub fn failures(&self) -> Result<Vec<String>, SourceError> {
        let sources = Sources::new([self.clone()])?;
        let mut failures = Vec::new();
        for (number, test) in self.tests.iter().enumerate() {
            let mut fail = |what: String| failures.push(format!("{}: tests[{number}]: {what}", self.name));
            match event_of(&test.event, &sources) {
                Ok(event) => compare(test, &event, &mut fail),
                Err(what) => fail(what),
            }
        }
        Ok(failures)
    }
}

fn event_of(event: &Value, sources: &Sources) -> Result<FlatEvent, String> {
    let limits = Limits::default();
    let text = event.to_string();
    let piece = Piece { format: LogFormat::Json, prelude: b"", body: text.as_bytes(), first_line: 1 };
    let mut made = Err("the event is empty".to_owned());
    PieceReader::new(&limits).read(&piece, &mut |read| {
        made = read.fields.and_then(|fields| FlatEvent::of(fields, sources)).map_err(|refused| refused.message);
    });
    made
}

fn compare(test: &SourceTest, event: &FlatEvent, fail: &mut dyn FnMut(String)) {
    if event.source.is_none() {
        return fail("`when` does not hold for the event".into());
    }
    let fields: Map<String, Value> = serde_json::from_str(&event.fields).unwrap_or_default();
    for (name, expected) in &test.fields {
        match fields.get(name) {
            Some(value) if value == expected => {}
            Some(value) => fail(format!("{name} is {value}, expected {expected}")),
            None => fail(format!("{name} is not there, expected {expected}")),
        }
    }
    if let Some(expected) = &test.time {
        let at = event.timestamp.map(|at| at.to_string());
        if Micros::parse(expected).ok() != event.timestamp {
            fail(format!("time is {}, expected {expected}", at.as_deref().unwrap_or("not there")));
        }
    }
    for expected in &test.observables {
        let found = |kind: &str, value: &str| {
            event.observables.iter().any(|found| found.observable.kind().as_str() == kind && found.observable.value() == value)
        };
        if !expected.split_once(':').is_some_and(|(kind, value)| found(kind, value)) {
            fail(format!("no observable {expected}"));
        }
    }
}
