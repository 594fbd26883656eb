//! The compacted view of the output topics: what each key holds, as a digest of its bytes. Only of what turns out to differ are records decoded.
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sightline_log::{Log, LogError, Offset, Record, TopicPartition};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{Decoder, OutputRecord, RecordType};
use sightline_schemas::registry::SchemaRegistry;
use sightline_schemas::topic::{Topics, split_key};

use super::held::{Held, Line};
use crate::batch::{Op, RecordError, SinkRecord};
use crate::digest::{Slot, Sums, slot_of};
use crate::runtime::ranges;

/// Records a poll asks for.
const POLL: usize = 5_000;
/// How long one poll waits.
const WAIT: Duration = Duration::from_millis(200);

/// The topics of some record types.
#[derive(Clone)]
pub struct Outputs<'a> {
    /// The log.
    pub log: &'a dyn Log,
    /// Schemas of the values.
    pub registry: Arc<dyn SchemaRegistry>,
    /// Names of the topics.
    pub topics: &'a Topics,
    /// Which of them.
    pub types: Vec<RecordType>,
}

/// What the topics say.
#[derive(Debug, Default)]
pub struct View {
    types: HashMap<RecordType, Held>,
    /// All before this has been read.
    pub ends: BTreeMap<TopicPartition, Offset>,
    /// The offset after the last record, of partitions that hold any: markers of transactions do not count.
    pub last: BTreeMap<TopicPartition, Offset>,
    /// Types of which the log has dropped records by age: a store may rightly hold more.
    pub trimmed: HashSet<RecordType>,
    /// Records whose key or headers nobody can read: they are in no store either, but in the dead letters.
    pub unreadable: BTreeMap<RecordType, u64>,
    /// The highest epoch seen.
    pub epoch: u64,
}

impl View {
    /// What the records of a type add up to.
    pub fn sums(&self, ty: RecordType) -> Sums {
        self.types.get(&ty).map(|held| held.sums.clone()).unwrap_or_default()
    }
}

/// A key of a topic.
pub type Key = (RecordType, String);

impl Outputs<'_> {
    /// Reads the topics from their beginnings to the ends that they have now.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn view(&self) -> Result<View, LogError> {
        let mut view = View::default();
        let (from, ends) = self.all()?;
        for (partition, start) in &from {
            if *start > Offset(0) {
                view.trimmed.extend(self.types.iter().filter(|ty| ty.topic(self.topics) == *partition.topic));
            }
        }
        self.each(&from, &ends, &mut |ty, record| {
            let Some(Line { key, epoch, digest }) = Line::of(ty, record) else {
                *view.unreadable.entry(ty).or_default() += 1;
                return Ok(());
            };
            view.epoch = view.epoch.max(epoch);
            match view.last.get_mut(&partition(record)) {
                Some(last) => *last = Offset(record.offset.0 + 1),
                None => drop(view.last.insert(partition(record), Offset(record.offset.0 + 1))),
            }
            view.types.entry(ty).or_default().put(key, digest);
            Ok(())
        })?;
        view.ends = ends;
        Ok(view)
    }

    /// The records in force of a type whose keys are in `slots`, as `view` has them: key → the sink's digest of what it keeps; and how many nobody can
    /// decode.
    ///
    /// # Errors
    /// [`LogError`]; a registry that is away is [`LogError::Retriable`].
    pub fn fields(
        &self,
        ty: RecordType,
        slots: &BTreeSet<Slot>,
        view: &View,
        digest: &dyn Fn(&OutputRecord) -> ContentHash,
    ) -> Result<(HashMap<String, ContentHash>, u64), LogError> {
        let of_type = Outputs { log: self.log, registry: Arc::clone(&self.registry), topics: self.topics, types: vec![ty] };
        let (from, mut ends) = of_type.all()?;
        // Where the view stops, this stops too.
        ends.iter_mut().for_each(|(partition, end)| *end = view.ends.get(partition).copied().unwrap_or_default());
        let (mut fields, mut undecodable) = (HashMap::new(), HashSet::new());
        let mut decoder = Decoder::new(Arc::clone(&self.registry));
        of_type.each(&from, &ends, &mut |ty, record| {
            let Some(key) = text_key(record).filter(|key| slots.contains(&slot_of(key.as_bytes()))) else { return Ok(()) };
            match decode(ty, record, &mut decoder)? {
                Some(SinkRecord { op, .. }) => {
                    undecodable.remove(key);
                    match op {
                        Op::Upsert(value) => fields.insert(key.to_owned(), digest(&value)),
                        Op::Delete => fields.remove(key),
                    };
                }
                None if split_key(key).is_some() => drop(undecodable.insert(key.to_owned())),
                None => {}
            }
            Ok(())
        })?;
        Ok((fields, undecodable.len() as u64))
    }

    /// The keys written between `from` and now.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn touched_since(&self, from: &BTreeMap<TopicPartition, Offset>) -> Result<HashSet<Key>, LogError> {
        let (_, ends) = self.all()?;
        let mut touched = HashSet::new();
        self.each(&from.clone().into_iter().collect::<Vec<_>>(), &ends, &mut |ty, record| {
            touched.extend(text_key(record).map(|key| (ty, key.to_owned())));
            Ok(())
        })?;
        Ok(touched)
    }

    /// The newest record of each of `keys` that was written at or after `from` (anywhere, when none), and how far that looked.
    ///
    /// # Errors
    /// As [`Outputs::view`].
    pub fn newest(
        &self,
        keys: &HashSet<Key>,
        from: Option<&BTreeMap<TopicPartition, Offset>>,
    ) -> Result<(Vec<SinkRecord>, BTreeMap<TopicPartition, Offset>), LogError> {
        let (all, ends) = self.all()?;
        let from = from.map_or(all, |from| from.clone().into_iter().collect());
        let mut newest: HashMap<Key, SinkRecord> = HashMap::new();
        let mut decoder = Decoder::new(Arc::clone(&self.registry));
        self.each(&from, &ends, &mut |ty, record| {
            let key = text_key(record).map(|key| (ty, key.to_owned()));
            if let Some(key) = key.filter(|key| keys.contains(key))
                && let Some(record) = decode(ty, record, &mut decoder)?
            {
                newest.insert(key, record);
            }
            Ok(())
        })?;
        Ok((newest.into_values().collect(), ends))
    }

    /// Where the topics begin and end now.
    #[expect(clippy::type_complexity, reason = "what a reader is given, and where it stops")]
    fn all(&self) -> Result<(Vec<(TopicPartition, Offset)>, BTreeMap<TopicPartition, Offset>), LogError> {
        let ranges = ranges(self.log, &self.types, self.topics)?;
        let ends = ranges.iter().map(|(partition, range)| (partition.clone(), range.end)).collect();
        Ok((ranges.into_iter().map(|(partition, range)| (partition, range.start)).collect(), ends))
    }

    /// Calls `visit` for each record between `from` and `ends`.
    fn each(
        &self,
        from: &[(TopicPartition, Offset)],
        ends: &BTreeMap<TopicPartition, Offset>,
        visit: &mut dyn FnMut(RecordType, &Record) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let types: HashMap<Arc<str>, RecordType> = self.types.iter().map(|ty| (ty.topic(self.topics).into(), *ty)).collect();
        let behind = |positions: &[(TopicPartition, Offset)]| positions.iter().any(|(p, at)| ends.get(p).is_some_and(|end| at < end));
        if !behind(from) {
            return Ok(());
        }
        let mut reader = self.log.reader(from)?;
        let mut polled = Vec::new();
        while behind(&reader.positions()) {
            reader.poll(&mut polled, POLL, WAIT)?;
            for record in polled.drain(..) {
                let within = ends.get(&partition(&record)).is_some_and(|end| record.offset < *end);
                if let Some(ty) = types.get(&record.topic).filter(|_| within) {
                    visit(*ty, &record)?;
                }
            }
        }
        Ok(())
    }
}

pub(super) fn partition(record: &Record) -> TopicPartition {
    TopicPartition::new(Arc::clone(&record.topic), record.partition)
}

pub(super) fn text_key(record: &Record) -> Option<&str> {
    record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok())
}

/// The record decoded; none when nobody can.
fn decode(ty: RecordType, record: &Record, decoder: &mut Decoder) -> Result<Option<SinkRecord>, LogError> {
    match SinkRecord::decode(ty, record, decoder) {
        Ok(decoded) => Ok(Some(decoded)),
        Err(RecordError::Data { .. }) => Ok(None),
        Err(RecordError::Retriable(error)) => Err(LogError::Retriable { what: "decode a record", message: error.to_string() }),
    }
}
