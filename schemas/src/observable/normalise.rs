//! Normalisation: equal things get equal values.
use super::ObservableKind;

/// A text that is no value of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {kind}: {message}")]
pub struct NormaliseError {
    kind: ObservableKind,
    value: String,
    message: &'static str,
}

pub(super) fn normalise(kind: ObservableKind, value: &str) -> Result<String, NormaliseError> {
    let value = value.trim();
    if value.is_empty() {
        return Err(NormaliseError { kind, value: String::new(), message: "empty" });
    }
    Ok(value.to_owned())
}
