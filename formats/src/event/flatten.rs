//! Nested JSON to dotted keys: `{"a":{"b":[1]}}` is `a.b.0`.
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::limits::Limits;

/// Scalars by dotted name.
pub(super) type Flat<'a> = BTreeMap<String, &'a Value>;

/// Flattens an object.
pub(super) fn flatten<'a>(object: &'a Map<String, Value>, limits: &Limits) -> Result<Flat<'a>, (&'static str, String)> {
    let mut flat = BTreeMap::new();
    for (key, value) in object {
        walk(key.clone(), value, 1, limits, &mut flat)?;
    }
    Ok(flat)
}

fn walk<'a>(key: String, value: &'a Value, depth: usize, limits: &Limits, flat: &mut Flat<'a>) -> Result<(), (&'static str, String)> {
    if depth > limits.depth {
        return Err(("too-deep", format!("nested deeper than limits.depth ({})", limits.depth)));
    }
    match value {
        Value::Object(object) if !object.is_empty() => {
            object.iter().try_for_each(|(name, value)| walk(format!("{key}.{name}"), value, depth + 1, limits, flat))
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().try_for_each(|(at, value)| walk(format!("{key}.{at}"), value, depth + 1, limits, flat))
        }
        scalar => {
            if flat.len() >= limits.event_fields {
                return Err(("too-many-fields", format!("more fields than limits.event_fields ({})", limits.event_fields)));
            }
            if key.contains('\0') || scalar.as_str().is_some_and(|text| text.contains('\0')) {
                return Err(("nul-character", "a text holds U+0000, which PostgreSQL cannot store".into()));
            }
            flat.insert(key, scalar);
            Ok(())
        }
    }
}

/// The flat object as JSON, keys sorted.
pub(super) fn to_json(flat: &Flat<'_>) -> String {
    // Texts and JSON values always serialise.
    serde_json::to_string(flat).unwrap_or_default()
}
