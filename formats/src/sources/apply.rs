//! What a source makes of an event's fields.
use sightline_schemas::{Micros, Observable};

use super::{Origin, Source, Sources};
use crate::event::FoundObservable;
use crate::event::fields::{FieldScalar, FieldValue, Fields, Refused};
use crate::event::time;

impl Sources {
    /// The source of an event whose fields are settled.
    pub fn of<'s>(&'s self, fields: &Fields) -> Option<AppliedSource<'s>> {
        self.sources.iter().find(|source| source.is_of(fields)).map(AppliedSource)
    }
}

impl Source {
    fn is_of(&self, fields: &Fields) -> bool {
        self.when.iter().any(|all| {
            all.iter().all(|(field, patterns)| {
                let Some(value) = fields.get(field) else { return false };
                with_text(value, |text| patterns.iter().any(|pattern| pattern.fits(text)))
            })
        })
    }
}

/// The source of an event.
#[derive(Clone, Copy)]
pub struct AppliedSource<'s>(&'s Source);

impl AppliedSource<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.mapping.name
    }

    /// Takes off beginnings of names, and adds the ECS fields; settles the fields again.
    ///
    /// # Errors
    /// As [`Fields::put`].
    pub fn map(&self, fields: &mut Fields) -> Result<(), Refused> {
        let mapping = &self.0.mapping;
        if !mapping.unfold.is_empty() {
            fields.unfold(&mapping.unfold);
        }
        let settled = fields.len();
        for (name, origin) in &mapping.fields {
            // A name that the event itself uses stays its own.
            if fields.position(name, settled).is_some() {
                continue;
            }
            match origin {
                Origin::Whole(names) => {
                    if let Some(at) = names.iter().find_map(|from| fields.position(from, settled)) {
                        fields.alias(name, at)?;
                    }
                }
                Origin::Part(part) => {
                    if let Some(at) = part.field.iter().find_map(|from| fields.position(from, settled)) {
                        fields.alias_part(name, at, |text| part.take.of(text))?;
                    }
                }
            }
        }
        for (name, translation) in &mapping.translate {
            let means = match translation.field.iter().find_map(|from| fields.position(from, settled)) {
                Some(at) => {
                    let known = with_text(fields.value_at(at), |text| translation.values.get(text));
                    known.or(translation.otherwise.as_ref())
                }
                None => translation.absent.as_ref(),
            };
            if let Some(means) = means {
                fields.text(name, means)?;
            }
        }
        for (name, text) in &mapping.constants {
            fields.text(name, text)?;
        }
        fields.text("event.dataset", &mapping.name)?;
        fields.settle();
        Ok(())
    }

    /// Event time, where the source says which field has it.
    pub fn time(&self, fields: &Fields) -> Option<Micros> {
        time::first(self.0.mapping.time.iter().map(String::as_str), fields)
    }

    /// The observables in fields of which the source says what they hold.
    pub fn observables(&self, fields: &Fields, found: &mut dyn FnMut(FoundObservable)) {
        for (kind, names) in &self.0.mapping.observables {
            for name in names.iter() {
                let Some(value) = fields.get(name) else { continue };
                for scalar in value.scalars() {
                    if let FieldScalar::Text(text) = scalar
                        && let Ok(observable) = Observable::new(*kind, text)
                    {
                        found(FoundObservable { observable, field: name.to_owned() });
                    }
                }
            }
        }
    }
}

/// A scalar as text; the first of a list.
fn with_text<T>(value: FieldValue<'_>, with: impl FnOnce(&str) -> T) -> T {
    match value.scalars().next() {
        Some(FieldScalar::Text(text)) => with(text),
        Some(FieldScalar::Int(number)) => with(&number.to_string()),
        Some(FieldScalar::Uint(number)) => with(&number.to_string()),
        Some(FieldScalar::Float(number)) => with(&number.to_string()),
        Some(FieldScalar::Bool(truth)) => with(if truth { "true" } else { "false" }),
        Some(FieldScalar::Null) | None => with(""),
    }
}
