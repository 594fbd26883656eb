//! One object: its JSON → what the dataflow needs of it, or why not.
use serde_json::{Map, Value};
use sightline_schemas::{ContentHash, Micros, Role, StixId, TypeName};

use super::required::{self, Version};
use super::{markings, observables, rules};
use crate::intel::{Held, IntelObject, Reference, Relationship};
use crate::limits::Limits;
use crate::pattern::{self, WideTest};
use crate::poison::Poison;
use crate::text_iocs;

/// Where an object is in its package.
pub(super) fn path(index: Option<u64>) -> String {
    index.map_or_else(|| "$".to_owned(), |index| format!("$.objects[{index}]"))
}

/// What is wrong with an object: property, reason, message.
pub(super) struct Wrong {
    property: String,
    reason: &'static str,
    message: String,
}

pub(super) fn wrong<T>(property: &str, reason: &'static str, message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { property: property.into(), reason, message: message.into() })
}

/// What is asked of an object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ask {
    /// What the standard asks of what comes in.
    Standard,
    /// That it can be read: it is a document of ours, which was checked when it came, or made of a list, whose indicators may have no times.
    Readable,
}

/// Reads an object's bytes.
pub(super) fn read(path: &str, bytes: &[u8], ask: Ask, limits: &Limits) -> Result<IntelObject, Poison> {
    let value: Value = match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(error) => {
            let reason = if std::str::from_utf8(bytes).is_err() { "invalid-utf8" } else { "invalid-json" };
            return Err(Poison::parse(path.into(), reason, error.to_string(), bytes, limits));
        }
    };
    let Value::Object(object) = value else {
        return Err(Poison::parse(path.into(), "not-an-object", "expected an object", bytes, limits));
    };
    convert(object, ask, limits).map_err(|wrong| {
        let position = if wrong.property.is_empty() { path.to_owned() } else { format!("{path}.{}", wrong.property) };
        Poison::validate(position, wrong.reason, wrong.message, bytes, limits)
    })
}

fn convert(object: Map<String, Value>, ask: Ask, limits: &Limits) -> Result<IntelObject, Wrong> {
    let ty = required_text(&object, "type")?.to_owned();
    let id_text = required_text(&object, "id")?;
    let id = match StixId::parse(id_text) {
        Ok(id) => id,
        Err(error) => return wrong("id", "invalid-id", error.to_string()),
    };
    if id.ty().as_str() != ty {
        return wrong("id", "invalid-id", format!("{id_text} does not begin with the object's type, {ty}"));
    }
    if object.values().any(holds_nul) {
        return wrong("", "nul-character", "a text holds U+0000, which PostgreSQL cannot store");
    }
    let version = version(&object, &ty)?;
    let created = instant(&object, "created")?;
    let modified = instant(&object, "modified")?;
    if ask == Ask::Standard && required::is_standard(&ty) {
        for property in ["created", "modified"] {
            if !object.contains_key(property) {
                return wrong(property, "missing-property", format!("{ty} needs `{property}`"));
            }
        }
    }
    // Three releases of ATT&CK for mobile hold a relationship that breaks this rule; what it says is no less true for that.
    if let (Some(created), Some(modified)) = (created, modified)
        && created > modified
        && ty != "relationship"
    {
        return wrong("modified", "invalid-time", "`modified` is before `created`");
    }
    if ask == Ask::Standard {
        check_properties(&object, &ty, version)?;
        rules::check(&object, &ty, version)?;
    }

    let revoked = flag(&object, "revoked")?.unwrap_or(false);
    let valid_from = instant(&object, "valid_from")?;
    let valid_until = instant(&object, "valid_until")?;
    if let (Some(from), Some(until)) = (valid_from, valid_until)
        && until <= from
    {
        return wrong("valid_until", "invalid-time", "`valid_until` must be after `valid_from`");
    }
    let confidence = confidence(&object)?;
    let labels = texts(&object, "labels")?;
    let name = text(&object, "name")?.or(if required::is_observable(&ty) { text(&object, "value")? } else { None }).map(str::to_owned);
    let description = text(&object, "description")?.map(str::to_owned);
    let relationship = relationship(&object, &ty)?;
    let references = references(&object, relationship.is_some())?;
    let observed = (instant(&object, "first_observed")?, instant(&object, "last_observed")?);
    let seen = seen(observed, valid_from, created, modified);

    let (mut holds, mut wide) = if ty == "indicator" { pattern_names(&object, limits)? } else { Default::default() };
    observables::of_object(&ty, &object, &mut holds);
    if let Some(description) = &description {
        holds.extend(text_iocs::find(description).into_iter().map(|observable| Held { observable, role: Role::Description }));
    }
    holds.sort_unstable();
    holds.dedup();
    holds.truncate(limits.extracts_per_object);
    wide.truncate(limits.wide_per_object);

    let tlp = markings::strictest(object.get("object_marking_refs"));
    let doc = Value::Object(object).to_string();
    let hash = ContentHash::of(doc.as_bytes());
    Ok(IntelObject {
        id,
        created,
        modified,
        revoked,
        name,
        description,
        confidence,
        tlp,
        labels,
        valid_from,
        valid_until,
        seen,
        holds,
        wide,
        references,
        relationship,
        hash,
        doc,
    })
}

fn version(object: &Map<String, Value>, ty: &str) -> Result<Version, Wrong> {
    match text(object, "spec_version")? {
        None | Some("2.0") => Ok(if required::is_observable(ty) { Version::V21 } else { Version::V20 }),
        Some("2.1") => Ok(Version::V21),
        Some(other) => wrong("spec_version", "unknown-spec-version", format!("{other:?} is neither 2.0 nor 2.1")),
    }
}

fn check_properties(object: &Map<String, Value>, ty: &str, version: Version) -> Result<(), Wrong> {
    for property in required::properties(ty, version) {
        if object.get(*property).is_none_or(Value::is_null) {
            return wrong(property, "missing-property", format!("{ty} needs `{property}`"));
        }
    }
    for (property, value) in object {
        if let (Some(allowed), Some(text)) = (required::allowed(ty, property), value.as_str())
            && !allowed.contains(&text)
        {
            return wrong(property, "not-allowed", format!("{text:?} is none of {}", allowed.join(", ")));
        }
        // STIX 2.1 §2.3: a list is not empty.
        if value.as_array().is_some_and(Vec::is_empty) && (required::is_standard(ty) || required::is_observable(ty)) {
            return wrong(property, "empty-list", "a list must not be empty; leave the property out");
        }
    }
    Ok(())
}

fn relationship(object: &Map<String, Value>, ty: &str) -> Result<Option<Relationship>, Wrong> {
    if ty != "relationship" {
        return Ok(None);
    }
    let name = required_text(object, "relationship_type")?;
    let kind = match TypeName::new(name) {
        Ok(kind) => kind,
        Err(error) => return wrong("relationship_type", "invalid-name", error.to_string()),
    };
    Ok(Some(Relationship { ty: kind, source: reference_of(object, "source_ref")?, target: reference_of(object, "target_ref")? }))
}

fn reference_of(object: &Map<String, Value>, property: &str) -> Result<StixId, Wrong> {
    parse_reference(property, required_text(object, property)?)
}

fn parse_reference(property: &str, text: &str) -> Result<StixId, Wrong> {
    StixId::parse(text).or_else(|error| wrong(property, "invalid-reference", error.to_string()))
}

/// The target of an embedded reference. A text of the right form whose UUID is misspelt refers to nothing, as one to an object that never came
/// does: the object stays, without that reference. The standard body's own examples hold such.
fn embedded(property: &str, text: &str) -> Result<Option<StixId>, Wrong> {
    match StixId::parse(text) {
        Ok(id) => Ok(Some(id)),
        Err(_) if text.split_once("--").is_some_and(|(ty, uuid)| TypeName::new(ty).is_ok() && is_misspelt_uuid(uuid)) => Ok(None),
        Err(error) => wrong(property, "invalid-reference", error.to_string()),
    }
}

fn is_misspelt_uuid(text: &str) -> bool {
    (30..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Every `*_ref` and `*_refs` of the object itself. In STIX 2.0 those of cyber-observables are keys of a dictionary, not identifiers, but
/// such objects do not stand alone.
fn references(object: &Map<String, Value>, is_relationship: bool) -> Result<Vec<Reference>, Wrong> {
    let mut references = Vec::new();
    for (property, value) in object {
        let Some(name) = property.strip_suffix("_refs").or_else(|| property.strip_suffix("_ref")) else { continue };
        if is_relationship && matches!(property.as_str(), "source_ref" | "target_ref") {
            continue;
        }
        let Ok(ty) = TypeName::new(&name.replace('_', "-")) else { continue };
        match value {
            Value::String(text) => references.extend(embedded(property, text)?.map(|target| Reference { ty, target })),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    let property = format!("{property}[{at}]");
                    let Some(text) = item.as_str() else { return wrong(&property, "wrong-type", "expected an identifier") };
                    references.extend(embedded(&property, text)?.map(|target| Reference { ty, target }));
                }
            }
            _ => return wrong(property, "wrong-type", "expected an identifier, or a list of them"),
        }
    }
    references.sort_unstable();
    references.dedup();
    Ok(references)
}

/// What a pattern names, one by one and at large.
fn pattern_names(object: &Map<String, Value>, limits: &Limits) -> Result<(Vec<Held>, Vec<WideTest>), Wrong> {
    let text = required_text(object, "pattern")?;
    // Other languages (yara, sigma, snort) are kept with the indicator; they name no observables that could be looked up.
    if !matches!(self::text(object, "pattern_type")?, None | Some("stix")) {
        return Ok(Default::default());
    }
    match pattern::parse(text, limits) {
        Ok(pattern) => {
            let holds = pattern::equalities(&pattern);
            let mut wide = pattern::wide(&pattern);
            wide.extend(pattern::networks(&holds));
            wide.sort_unstable();
            wide.dedup();
            Ok((holds, wide))
        }
        Err(error) => wrong("pattern", "invalid-pattern", error.to_string()),
    }
}

fn seen(
    observed: (Option<Micros>, Option<Micros>),
    valid_from: Option<Micros>,
    created: Option<Micros>,
    modified: Option<Micros>,
) -> Option<(Micros, Micros)> {
    let first = observed.0.or(valid_from).or(created).or(modified)?;
    let last = observed.1.or(modified).or(created).unwrap_or(first);
    Some((first.min(last), first.max(last)))
}

fn confidence(object: &Map<String, Value>) -> Result<Option<i32>, Wrong> {
    match object.get("confidence") {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(number @ 0..=100) => Ok(Some(number as i32)),
            _ => wrong("confidence", "out-of-range", "expected an integer from 0 to 100"),
        },
    }
}

fn required_text<'a>(object: &'a Map<String, Value>, property: &str) -> Result<&'a str, Wrong> {
    match text(object, property)? {
        Some(text) if !text.is_empty() => Ok(text),
        Some(_) => wrong(property, "wrong-type", "expected a text that is not empty"),
        None => wrong(property, "missing-property", format!("`{property}` is missing")),
    }
}

fn text<'a>(object: &'a Map<String, Value>, property: &str) -> Result<Option<&'a str>, Wrong> {
    match object.get(property) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => wrong(property, "wrong-type", "expected a text"),
    }
}

fn texts(object: &Map<String, Value>, property: &str) -> Result<Vec<String>, Wrong> {
    let Some(value) = object.get(property) else { return Ok(Vec::new()) };
    let items = value.as_array().map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>());
    match items {
        Some(Some(items)) => Ok(items),
        _ => wrong(property, "wrong-type", "expected a list of texts"),
    }
}

fn flag(object: &Map<String, Value>, property: &str) -> Result<Option<bool>, Wrong> {
    match object.get(property) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => wrong(property, "wrong-type", "expected true or false"),
    }
}

fn instant(object: &Map<String, Value>, property: &str) -> Result<Option<Micros>, Wrong> {
    match text(object, property)? {
        None => Ok(None),
        Some(text) => Micros::parse(text).map(Some).or_else(|error| wrong(property, "invalid-time", error.to_string())),
    }
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || holds_nul(value)),
        _ => false,
    }
}
