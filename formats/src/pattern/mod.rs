//! STIX patterns, by the grammar of STIX 2.1 §9 (and 2.0 part 5, where it differs).
//!
//! `lexer` → `parser` → [`ast`]; [`equalities()`] reads out of the tree which observables a pattern names, [`wide()`] which it compares with more
//! than one value.
pub mod ast;
mod equalities;
mod kinds;
mod lexer;
mod parser;
mod walk;
mod wide;

pub use equalities::equalities;
pub(crate) use lexer::is_base64;
pub use parser::parse;
pub use wide::{WideSet, WideTest, is_compared, networks, wide};

/// A text that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {at}: {message}")]
pub struct PatternError {
    /// Where, in bytes from the start.
    pub at: usize,
    /// What was expected.
    pub message: String,
}

impl PatternError {
    fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}
