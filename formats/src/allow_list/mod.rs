//! Allow-lists: values that are no sign of anything, whoever calls them an indicator.
//!
//! A list travels as an object of its own STIX type, so that it has versions, feeds and revocation like any other. Its properties are those of a MISP
//! warninglist: `name`, `description`, `list_type`, `matching_attributes`, `list`. [`warninglist`] makes such objects of MISP's files.
mod matcher;
mod warninglist;

pub use matcher::AllowList;
pub(crate) use warninglist::{is_warninglist, parse};

/// The STIX type of a list.
pub const TYPE: &str = "x-misp-warninglist";
