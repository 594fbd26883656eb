//! The difference of two logs: by topic, the last value of each key in one against the other.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};
use sightline_log::{Log, Record};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{Decoder, RecordType};
use sightline_schemas::registry::SchemaRegistry;
use sightline_schemas::topic::Topics;

use crate::dump;

/// An output topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Of a record type.
    Rows(RecordType),
    /// What the parsers refused.
    DeadLetters,
}

/// A key that is not the same on both sides.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// Only the second has it.
    Added(Value),
    /// Only the first has it.
    Removed(Value),
    /// The fields that differ: first, second.
    Changed(BTreeMap<String, (Value, Value)>),
}

/// How many keys are what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Only the second has them.
    pub added: u64,
    /// Only the first has them.
    pub removed: u64,
    /// Both have them, with other values.
    pub changed: u64,
    /// The same.
    pub equal: u64,
}

impl Output {
    /// All of them.
    pub fn all() -> Vec<Self> {
        RecordType::ALL.iter().map(|ty| Self::Rows(*ty)).chain([Self::DeadLetters]).collect()
    }

    /// Reads `entities`, `dead-letters`, or a topic's full name.
    ///
    /// # Errors
    /// With all valid names.
    pub fn from_word(word: &str, topics: &Topics) -> Result<Self> {
        let Some(output) = Self::all().into_iter().find(|output| output.as_str() == word || output.topic(topics) == word) else {
            let names: Vec<_> = Self::all().iter().map(|output| output.as_str()).collect();
            bail!("there is no output topic {word}; there are: {}", names.join(", "));
        };
        Ok(output)
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows(ty) => ty.as_str(),
            Self::DeadLetters => "dead-letters",
        }
    }

    /// The topic in a cell.
    pub fn topic(self, topics: &Topics) -> String {
        match self {
            Self::Rows(ty) => ty.topic(topics),
            Self::DeadLetters => topics.dlq_parse(),
        }
    }

    /// The row as people see it.
    fn shown(self, record: &Record, decoder: &mut Decoder) -> Result<Value> {
        match (self, &record.value) {
            (Self::Rows(ty), Some(value)) => dump::to_json(&decoder.decode(ty, value)?),
            (Self::Rows(_), None) => Ok(Value::Null),
            (Self::DeadLetters, _) => Ok(dump::dead_letter(record)),
        }
    }
}

/// Keys of a topic. A dead letter's own key is its input record, which may have several: place and reason make it one.
#[derive(Default)]
struct Keys {
    letters: HashMap<String, u64>,
}

impl Keys {
    fn of(&mut self, output: Output, record: &Record) -> String {
        let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
        if output != Output::DeadLetters {
            return key;
        }
        let header = |name: &str| record.headers.text(name).unwrap_or_default();
        let key = format!("{key} {} {}", header("position"), header("reason"));
        let times = self.letters.entry(key.clone()).or_default();
        *times += 1;
        if *times == 1 { key } else { format!("{key} ({times})") }
    }
}

/// A log, and how to read it.
pub struct Side<'a> {
    /// Where.
    pub log: &'a dyn Log,
    /// With the schemas of its registry.
    pub decoder: Decoder,
}

impl<'a> Side<'a> {
    /// A log with a registry.
    pub fn new(log: &'a dyn Log, registry: Arc<dyn SchemaRegistry>) -> Self {
        Self { log, decoder: Decoder::new(registry) }
    }
}

/// Two logs with the same topics.
pub struct Sides<'a> {
    /// The first.
    pub first: Side<'a>,
    /// The second.
    pub second: Side<'a>,
    /// Their topics.
    pub topics: &'a Topics,
    /// What the first says of a key in later epochs than this: then the key is not compared.
    pub until: Option<u64>,
}

impl Sides<'_> {
    /// Calls `each` with every difference of a topic, in the order of keys. Only keys and hashes of all rows are held in memory, and the rows that differ.
    ///
    /// # Errors
    /// When a log or a record cannot be read, or `each` fails.
    pub fn compare(&mut self, output: Output, mut each: impl FnMut(&str, Change) -> Result<()>) -> Result<Totals> {
        let mut totals = Totals::default();
        let mut differ: BTreeMap<String, (Option<Value>, Option<Value>)> = BTreeMap::new();
        let mut later = HashSet::new();
        let first = hashes(self.first.log, self.topics, output, |key, record| {
            let epoch = record.headers.text("epoch").and_then(|epoch| epoch.parse::<u64>().ok());
            if self.until.is_some_and(|until| epoch > Some(until)) {
                later.insert(key.to_owned());
            }
        })?;
        let mut second = hashes(self.second.log, self.topics, output, |_, _| {})?;
        second.retain(|key, _| !later.contains(key));
        for (key, hash) in first.into_iter().filter(|(key, _)| !later.contains(key)) {
            if second.remove(&key) == Some(hash) {
                totals.equal += 1;
            } else {
                differ.insert(key, (None, None));
            }
        }
        differ.extend(second.into_keys().map(|key| (key, (None, None))));
        records(self.first.log, self.topics, output, |key, record| {
            if let Some((shown, _)) = differ.get_mut(&key) {
                *shown = Some(output.shown(&record, &mut self.first.decoder)?);
            }
            Ok(())
        })?;
        records(self.second.log, self.topics, output, |key, record| {
            if let Some((_, shown)) = differ.get_mut(&key) {
                *shown = Some(output.shown(&record, &mut self.second.decoder)?);
            }
            Ok(())
        })?;
        for (key, (first, second)) in differ {
            let there = |value: Option<Value>| value.filter(|value| !value.is_null());
            let change = match (there(first), there(second)) {
                (None, Some(row)) => Change::Added(row),
                (Some(row), None) => Change::Removed(row),
                (Some(first), Some(second)) => Change::Changed(fields(&first, &second)),
                (None, None) => continue,
            };
            match &change {
                Change::Added(_) => totals.added += 1,
                Change::Removed(_) => totals.removed += 1,
                Change::Changed(_) => totals.changed += 1,
            }
            each(&key, change)?;
        }
        Ok(totals)
    }
}

fn records(log: &dyn Log, topics: &Topics, output: Output, mut visit: impl FnMut(String, Record) -> Result<()>) -> Result<()> {
    let mut keys = Keys::default();
    dump::each(log, &output.topic(topics), |record| visit(keys.of(output, &record), record))
}

/// Magic byte and number of the schema: they are the registry's, and every build writes one schema.
const FRAMING: usize = 5;

/// The hash of each key's last value; keys that were deleted are absent.
fn hashes(log: &dyn Log, topics: &Topics, output: Output, mut seen: impl FnMut(&str, &Record)) -> Result<HashMap<String, ContentHash>> {
    let mut hashes = HashMap::new();
    records(log, topics, output, |key, record| {
        seen(&key, &record);
        match &record.value {
            // What a dead letter says is in its headers.
            Some(_) if output == Output::DeadLetters => {
                hashes.insert(key, ContentHash::of(dump::dead_letter(&record).to_string().as_bytes()))
            }
            Some(value) => hashes.insert(key, ContentHash::of(value.get(FRAMING..).unwrap_or_default())),
            None => hashes.remove(&key),
        };
        Ok(())
    })?;
    Ok(hashes)
}

fn fields(first: &Value, second: &Value) -> BTreeMap<String, (Value, Value)> {
    let nothing = Map::new();
    let (first, second) = (first.as_object().unwrap_or(&nothing), second.as_object().unwrap_or(&nothing));
    let of = |object: &Map<String, Value>, name: &String| object.get(name).cloned().unwrap_or_default();
    let names = first.keys().chain(second.keys());
    names.filter(|name| first.get(*name) != second.get(*name)).map(|name| (name.clone(), (of(first, name), of(second, name)))).collect()
}

/// How much of a value a line shows; `--json` shows all.
const SHOWN: usize = 60;

impl Change {
    /// `+ key`, `- key`, or `~ key` with the fields, old → new.
    pub fn line(&self, key: &str) -> String {
        match self {
            Self::Added(_) => format!("+ {key}"),
            Self::Removed(_) => format!("- {key}"),
            Self::Changed(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, (old, new))| pair(name, &old.to_string(), &new.to_string())).collect();
                format!("~ {key}  {}", fields.join("; "))
            }
        }
    }

    /// The same as an object.
    pub fn json(&self, topic: &str, key: &str) -> Value {
        match self {
            Self::Added(row) => json!({ "topic": topic, "change": "+", "key": key, "row": row }),
            Self::Removed(row) => json!({ "topic": topic, "change": "-", "key": key, "row": row }),
            Self::Changed(fields) => {
                let fields: Map<_, _> = fields.iter().map(|(name, (old, new))| (name.clone(), json!([old, new]))).collect();
                json!({ "topic": topic, "change": "~", "key": key, "fields": fields })
            }
        }
    }
}

/// A field, old → new; of long values only what begins where they differ.
fn pair(name: &str, old: &str, new: &str) -> String {
    let same: usize = old.chars().zip(new.chars()).take_while(|(old, new)| old == new).count();
    let from = if old.chars().count().max(new.chars().count()) > SHOWN { same.saturating_sub(SHOWN / 4) } else { 0 };
    let short = |text: &str| {
        let mut rest = text.chars().skip(from);
        let shown: String = rest.by_ref().take(SHOWN).collect();
        format!("{}{shown}{}", if from > 0 { "…" } else { "" }, if rest.next().is_some() { "…" } else { "" })
    };
    format!("{name}: {} → {}", short(old), short(new))
}

#[cfg(test)]
mod tests {
    use super::pair;

    #[test]
    fn of_long_values_what_differs_is_shown() {
        assert_eq!(pair("holders", "3", "2"), "holders: 3 → 2");
        let old = format!("[{}1{}]", "é".repeat(100), "z".repeat(100));
        let shown = pair("entities", &old, &old.replace('1', "2"));
        assert_eq!(shown, format!("entities: …{0}1{1}… → …{0}2{1}…", "é".repeat(15), "z".repeat(44)));
    }
}
