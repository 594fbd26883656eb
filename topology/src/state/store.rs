//! What snapshots are copied to beside the local disk: objects by name.
use std::io::{Read, Write};

/// A store of objects, as one cell sees it. A bucket, or a directory on another disk.
///
/// It is used by threads that may wait, never by a worker.
pub trait StateStore: Send + Sync {
    /// Its address, without secrets, for messages.
    fn address(&self) -> String;

    /// The names of all objects.
    ///
    /// # Errors
    /// [`StoreError`].
    fn list(&self) -> Result<Vec<String>, StoreError>;

    /// Writes an object: it is there as a whole, or not at all.
    ///
    /// # Errors
    /// [`StoreError`]; also when `from` fails.
    fn put(&self, name: &str, from: &mut dyn Read) -> Result<(), StoreError>;

    /// Reads an object to its end.
    ///
    /// # Errors
    /// [`StoreError`]; also when `into` fails.
    fn get(&self, name: &str, into: &mut dyn Write) -> Result<(), StoreError>;

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// [`StoreError`].
    fn delete(&self, name: &str) -> Result<(), StoreError>;
}

/// A failed operation on a store.
#[derive(Debug, thiserror::Error)]
#[error("failed to {what} in the state store {address}: {message}")]
pub struct StoreError {
    /// The operation and its object, to follow "failed to".
    pub what: String,
    /// Which store.
    pub address: String,
    /// The cause.
    pub message: String,
}
