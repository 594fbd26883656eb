//! STIX 2.0 and 2.1: a package is split into objects without building its tree; each object is read on its own.
mod bundle;
mod detect;
mod envelope;
mod markings;
mod object;
pub(crate) mod observables;
mod required;
mod rules;

use bytes::Bytes;
use sightline_schemas::record::Stage;

use crate::intel::{Counted, IntelItem, IntelObject, PackageDigest};
use crate::limits::Limits;
use crate::poison::Poison;
use bundle::{Element, Splitter};

pub(crate) use detect::is_stix;

/// Reads a bundle, a TAXII envelope, an array of objects, one object, or several of these one after the other.
pub(crate) fn parse(parts: &[Bytes], limits: &Limits, out: &mut dyn FnMut(IntelItem)) -> Result<PackageDigest, Poison> {
    let mut counted = Counted::new("stix", out);
    let mut splitter = Splitter::new(limits);
    let mut element = |element: Element<'_>| match element {
        Element::Object { index, bytes } => match object::read(&object::path(index), bytes, object::Ask::Standard, limits) {
            Ok(object) => counted.object(index.unwrap_or(0), Box::new(object)),
            Err(poison) => counted.poison(poison),
        },
        Element::Poison(poison) => counted.poison(poison),
    };
    for part in parts {
        splitter.feed(part, &mut element);
    }
    splitter.finish(&mut element);
    let digest = counted.finish();
    if digest.objects == 0 && digest.rejected == 0 && !splitter.saw_objects() {
        let bytes = parts.first().map(|part| part.as_ref()).unwrap_or_default();
        return Err(Poison::parse(
            "$".into(),
            "no-objects",
            "no STIX object was found: expected a bundle with `objects`, or an object",
            bytes,
            limits,
        ));
    }
    Ok(digest)
}

/// Reads an object's canonical JSON again, whatever format it was made of.
///
/// # Errors
/// A [`Poison`] when it breaks the limits, or is not an object's JSON.
pub fn object_from_doc(doc: &str, limits: &Limits) -> Result<IntelObject, Poison> {
    object::read("$", doc.as_bytes(), object::Ask::Readable, limits).map_err(|poison| Poison { stage: Stage::Parse, ..poison })
}
