//! The compacted view of the output topics: the last value of each key, as a digest.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sightline_log::{Log, LogError, Offset, TopicPartition};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{Decoder, OutputRecord, RecordType};
use sightline_schemas::topic::Topics;

use crate::batch::{Op, RecordError, SinkRecord};
use crate::runtime::ranges;

/// Records a poll asks for.
const POLL: usize = 5_000;
/// How long one poll waits.
const WAIT: Duration = Duration::from_millis(200);

/// What the topics of some record types say.
#[derive(Debug, Default)]
pub struct View {
    /// Key → digest, by type; deleted keys are absent.
    pub held: HashMap<RecordType, HashMap<String, ContentHash>>,
    /// All before this has been read.
    pub ends: BTreeMap<TopicPartition, Offset>,
    /// The offset after the last record, of partitions that hold any: markers of transactions do not count.
    pub last: BTreeMap<TopicPartition, Offset>,
    /// Types of which the log has dropped records by age: a store may rightly hold more.
    pub trimmed: HashSet<RecordType>,
    /// Records that could not be decoded: they are in no store either, but in the dead letters.
    pub undecodable: u64,
    /// The highest epoch seen.
    pub epoch: u64,
}

impl View {
    /// Reads the topics of `types` from their beginnings to the ends that they have now. `digest` is the sink's.
    ///
    /// # Errors
    /// [`LogError`]; a registry that is away is [`LogError::Retriable`].
    pub fn read(
        log: &dyn Log,
        decoder: &mut Decoder,
        topics: &Topics,
        types: &[RecordType],
        digest: &dyn Fn(&OutputRecord) -> ContentHash,
    ) -> Result<Self, LogError> {
        let mut view = Self::default();
        let ranges = ranges(log, types, topics)?;
        for (partition, range) in &ranges {
            if range.start > Offset(0) {
                view.trimmed.extend(types.iter().filter(|ty| ty.topic(topics) == *partition.topic));
            }
            view.ends.insert(partition.clone(), range.end);
        }
        let from: Vec<_> = ranges.into_iter().map(|(partition, range)| (partition, range.start)).collect();
        let ends = view.ends.clone();
        each(log, decoder, topics, types, &from, &ends, &mut |decoded| match decoded {
            Ok(SinkRecord { ty, tenant, id, op, epoch, source, .. }) => {
                view.epoch = view.epoch.max(epoch);
                view.last.insert(TopicPartition::new(source.topic, source.partition), Offset(source.offset.0 + 1));
                let held = view.held.entry(ty).or_default();
                let key = format!("{tenant}:{id}");
                match op {
                    Op::Upsert(value) => held.insert(key, digest(&value)),
                    Op::Delete => held.remove(&key),
                };
            }
            Err(()) => view.undecodable += 1,
        })?;
        Ok(view)
    }

    /// The keys written between `from` and now, by type.
    ///
    /// # Errors
    /// As [`View::read`].
    pub fn touched_since(
        log: &dyn Log,
        decoder: &mut Decoder,
        topics: &Topics,
        types: &[RecordType],
        from: &BTreeMap<TopicPartition, Offset>,
    ) -> Result<HashSet<(RecordType, String)>, LogError> {
        let ends = ranges(log, types, topics)?.into_iter().map(|(partition, range)| (partition, range.end)).collect();
        let from: Vec<_> = from.iter().map(|(partition, offset)| (partition.clone(), *offset)).collect();
        let mut touched = HashSet::new();
        each(log, decoder, topics, types, &from, &ends, &mut |decoded| {
            touched.extend(decoded.ok().map(|record| (record.ty, record.key())));
        })?;
        Ok(touched)
    }
}

/// Calls `visit` for each record between `from` and `ends`.
fn each(
    log: &dyn Log,
    decoder: &mut Decoder,
    topics: &Topics,
    types: &[RecordType],
    from: &[(TopicPartition, Offset)],
    ends: &BTreeMap<TopicPartition, Offset>,
    visit: &mut dyn FnMut(Result<SinkRecord, ()>),
) -> Result<(), LogError> {
    let types: HashMap<Arc<str>, RecordType> = types.iter().map(|ty| (ty.topic(topics).into(), *ty)).collect();
    let behind = |positions: &[(TopicPartition, Offset)]| positions.iter().any(|(p, at)| ends.get(p).is_some_and(|end| at < end));
    if !behind(from) {
        return Ok(());
    }
    let mut reader = log.reader(from)?;
    let mut polled = Vec::new();
    while behind(&reader.positions()) {
        reader.poll(&mut polled, POLL, WAIT)?;
        for record in polled.drain(..) {
            let partition = TopicPartition::new(Arc::clone(&record.topic), record.partition);
            let within = ends.get(&partition).is_some_and(|end| record.offset < *end);
            let Some(ty) = types.get(&record.topic).filter(|_| within) else { continue };
            match SinkRecord::decode(*ty, &record, decoder) {
                Ok(decoded) => visit(Ok(decoded)),
                Err(RecordError::Data { .. }) => visit(Err(())),
                Err(RecordError::Retriable(error)) => {
                    return Err(LogError::Retriable { what: "decode a record", message: error.to_string() });
                }
            }
        }
    }
    Ok(())
}
