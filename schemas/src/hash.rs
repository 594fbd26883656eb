//! Content hashes.
use std::fmt;

use serde::{Deserialize, Serialize};

/// The first 128 bits of BLAKE3. Inputs are chosen by whoever writes a feed, so a fast non-cryptographic hash is not enough.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ContentHash(pub [u64; 2]);

impl ContentHash {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_hasher(blake3::Hasher::new().update(bytes))
    }

    /// Hashes parts so that their borders count: `["ab","c"]` differs from `["a","bc"]`.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self::from_hasher(&hasher)
    }

    fn from_hasher(hasher: &blake3::Hasher) -> Self {
        let bytes = hasher.finalize();
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes.as_bytes()[at..at + 8]);
            u64::from_be_bytes(word)
        };
        Self([word(0), word(8)])
    }
}

impl fmt::Display for ContentHash {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}
impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_borders_of_parts_count() {
        assert_ne!(ContentHash::of_parts([&b"ab"[..], b"c"]), ContentHash::of_parts([&b"a"[..], b"bc"]));
        assert_ne!(ContentHash::of_parts([&b""[..]]), ContentHash::of_parts([]));
    }

    #[test]
    fn the_hash_is_the_beginning_of_blake3() {
        // The first test vector of BLAKE3: the empty input.
        assert_eq!(ContentHash::of(b"").to_string(), "af1349b9f5f9a1a6a0404dea36dcc949");
    }

    /// Identities and `doc` columns are made of `serde_json`'s text. A dependency that turned its feature `preserve_order` on
    /// would turn it on for all, and the same object in another order would be another.
    #[test]
    fn json_objects_are_written_with_sorted_keys() {
        assert_eq!(serde_json::json!({ "b": 1, "a": { "d": 2, "c": 3 } }).to_string(), r#"{"a":{"c":3,"d":2},"b":1}"#);
    }
}
