//! Interned words: tenants, feeds and STIX type names.
//!
//! A key that crosses the dataflow must be `Copy` and small; a word in it is a 32-bit index into a table of this
//! process. The index never leaves the process: serde writes the word, and order and hash follow the word, so two processes of a cell may number
//! differently and still send a key to the same worker.
use std::cell::RefCell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{OnceLock, RwLock};

use hashbrown::HashMap;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Words are chosen by whoever writes to the topics: past this many the table refuses, and the record is a dead letter.
pub const MAX_WORDS: usize = 1 << 20;
/// The longest STIX type name (STIX 2.1 §3.1: 250 characters); tenants and feeds get the same bound.
pub const MAX_WORD_BYTES: usize = 250;

/// Why a word was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, longer than [`MAX_WORD_BYTES`], or with a character outside `[A-Za-z0-9._-]`.
    #[error("name {0:?} must be 1 to 250 characters of A-Z a-z 0-9 . _ -")]
    Invalid(String),
    /// More than [`MAX_WORDS`] distinct names in this process.
    #[error("more than {MAX_WORDS} distinct names; {0:?} was refused")]
    TooMany(String),
}

struct Table {
    words: boxcar::Vec<Interned>,
    index: RwLock<HashMap<&'static str, u32>>,
}

struct Interned {
    text: &'static str,
    /// The same in every process.
    hash: u64,
}

fn hash(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| Table { words: boxcar::Vec::new(), index: RwLock::new(HashMap::new()) })
}

thread_local! {
    /// The words that this thread has met: a start reads tens of millions, on all workers at once, and would wait for the lock.
    static SEEN: RefCell<HashMap<&'static str, Name>> = RefCell::new(HashMap::new());
}

/// A word of the table. `Ord` and `Hash` follow the word, not the index, so that they are the same in every process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name(u32);

impl Name {
    /// Interns `word`.
    ///
    /// # Errors
    /// [`NameError`] when it is not a name, or the table is full.
    pub fn new(word: &str) -> Result<Self, NameError> {
        if let Some(known) = SEEN.with_borrow(|seen| seen.get(word).copied()) {
            return Ok(known);
        }
        let name = Self::intern(word)?;
        SEEN.with_borrow_mut(|seen| seen.insert(name.as_str(), name));
        Ok(name)
    }

    fn intern(word: &str) -> Result<Self, NameError> {
        let table = table();
        // A poisoned lock only says that another thread died between two writes; the map is whole either way.
        if let Some(&id) = table.index.read().unwrap_or_else(|e| e.into_inner()).get(word) {
            return Ok(Self(id));
        }
        let valid = (1..=MAX_WORD_BYTES).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if !valid {
            return Err(NameError::Invalid(word.chars().take(64).collect()));
        }
        let mut index = table.index.write().unwrap_or_else(|e| e.into_inner());
        if let Some(&id) = index.get(word) {
            return Ok(Self(id));
        }
        if index.len() >= MAX_WORDS {
            return Err(NameError::TooMany(word.to_owned()));
        }
        // The table lives as long as the process: leaking makes a look-up free of locks and lifetimes.
        let word: &'static str = Box::leak(word.to_owned().into_boxed_str());
        let id = table.words.push(Interned { text: word, hash: hash(word) }) as u32;
        index.insert(word, id);
        Ok(Self(id))
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        table().words.get(self.0 as usize).map_or("", |word| word.text)
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(table().words.get(self.0 as usize).map_or(0, |word| word.hash));
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0 == other.0 { Ordering::Equal } else { self.as_str().cmp(other.as_str()) }
    }
}
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Word)
    }
}

/// Takes a word where it lies, without a copy.
struct Word;

impl Visitor<'_> for Word {
    type Value = Name;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Name, E> {
        Name::new(word).map_err(E::custom)
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Name);

        impl $name {
            /// Interns `word`.
            ///
            /// # Errors
            /// [`NameError`] when it is not a name, or the table is full.
            pub fn new(word: &str) -> Result<Self, NameError> {
                Name::new(word).map(Self)
            }

            /// The word.
            pub fn as_str(self) -> &'static str {
                self.0.as_str()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

name_type!(
    /// A tenant. Every key begins with one; tenants never see each other.
    TenantId
);
name_type!(
    /// A feed: the unit of support. What a feed said can be unlearnt as a whole.
    FeedId
);
name_type!(
    /// A STIX object type (`indicator`, `x-mitre-tactic`) or a relationship type (`uses`).
    TypeName
);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::thread;

    use super::*;

    #[test]
    fn a_word_has_one_number_however_many_threads_intern_it() {
        let threads: Vec<_> =
            (0..8).map(|_| thread::spawn(|| (0..500).map(|i| Name::new(&format!("race-{i}")).unwrap()).collect::<Vec<_>>())).collect();
        let mut names: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        names.dedup();
        assert_eq!(names.len(), 1);
        assert!(names[0].iter().enumerate().all(|(i, name)| name.as_str() == format!("race-{i}")));
    }

    #[test]
    fn order_follows_the_words_not_the_moment_of_interning() {
        let (later, earlier) = (Name::new("order-zebra").unwrap(), Name::new("order-aardvark").unwrap());
        assert!(earlier < later);
        assert_eq!(later.cmp(&later), Ordering::Equal);
    }

    #[test]
    fn the_hash_follows_the_word_not_the_moment_of_interning() {
        #[derive(Default)]
        struct Last(u64);
        impl Hasher for Last {
            fn write(&mut self, _: &[u8]) {}
            fn write_u64(&mut self, number: u64) {
                self.0 = number;
            }
            fn finish(&self) -> u64 {
                self.0
            }
        }
        let mut last = Last::default();
        Name::new("malware").unwrap().hash(&mut last);
        // FNV-1a of the word, written once: another number would send a key to another worker than the process beside this one does.
        assert_eq!(last.finish(), 0xdd7b_4418_e9ef_7550);
    }

    #[test]
    fn what_could_not_stand_in_a_key_is_no_name() {
        for word in ["", "a:b", "a|b", "two words", "é", "a/b", "a\0", &"x".repeat(MAX_WORD_BYTES + 1)] {
            assert!(matches!(Name::new(word), Err(NameError::Invalid(_))), "{word:?}");
        }
        assert!(Name::new(&"x".repeat(MAX_WORD_BYTES)).is_ok());
    }

    #[test]
    fn serde_writes_the_word_not_the_number() {
        let tenant = TenantId::new("acme").unwrap();
        assert_eq!(serde_json::to_string(&tenant).unwrap(), r#""acme""#);
        assert_eq!(serde_json::from_str::<TenantId>(r#""acme""#).unwrap(), tenant);
        assert!(serde_json::from_str::<TenantId>(r#""a:b""#).is_err());
    }
}
