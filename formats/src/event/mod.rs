//! Events: what is known of one by its fields.
mod above;
pub mod fields;
mod observables;
pub(crate) mod time;

use sightline_schemas::{ContentHash, Micros, Observable};

pub use above::above;

use crate::sources::Sources;
use fields::{Fields, Refused};

/// An observable, and the field it was found in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct FoundObservable {
    /// What.
    pub observable: Observable,
    /// Dotted name of the field.
    pub field: String,
}

/// A flattened event.
#[derive(Clone, PartialEq, Debug)]
pub struct FlatEvent {
    /// Event time, if it names one.
    pub timestamp: Option<Micros>,
    /// One flat JSON object: dotted names, sorted; values are scalars and lists of scalars.
    pub fields: String,
    /// Hash of the canonical content: the same event in another order of keys is the same event.
    pub hash: ContentHash,
    /// Sorted, distinct.
    pub observables: Vec<FoundObservable>,
    /// The source that it is of, by its content.
    pub source: Option<String>,
}

impl FlatEvent {
    /// What is known of an event by its fields, which are settled. A source that knows it adds its names to them.
    ///
    /// # Errors
    /// Those of [`Fields::put`], when the names of the source do not fit within the bounds.
    pub fn of(fields: &mut Fields, sources: &Sources) -> Result<Self, Refused> {
        let mut json = Vec::new();
        fields.write_json(&mut json);
        // An event is what came in: another mapping makes no other event of it.
        let hash = ContentHash::of(&json);
        // Before a source gives values a second name, under which they would be found again.
        let mut found = Vec::new();
        observables::find_in(fields, &mut found);
        let (mut timestamp, mut name) = (None, None);
        if let Some(source) = sources.of(fields) {
            source.map(fields)?;
            timestamp = source.time(fields);
            source.observables(fields, &mut |observable| found.push(observable));
            name = Some(source.name().to_owned());
            json.clear();
            fields.write_json(&mut json);
        }
        found.sort_unstable();
        found.dedup();
        Ok(Self {
            timestamp: timestamp.or_else(|| time::of(fields)),
            observables: found,
            hash,
            // It is made of texts.
            fields: String::from_utf8(json).unwrap_or_default(),
            source: name,
        })
    }
}
