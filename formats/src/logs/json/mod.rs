//! JSON in any arrangement.
mod document;
mod scan;
mod sequence;

pub(super) use document::JsonReader;
