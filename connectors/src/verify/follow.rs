//! Follows the output topics and keeps what their records add up to, so that a store can be compared at any moment without reading a topic.
//!
//! A store is behind the topics by what its connector has in hand. So the last changes of each partition are kept, and undone down to the store's own
//! positions: what is left is what the store must hold, to the record.
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sightline_log::{Log, LogError, Offset, Record, TopicPartition};
use sightline_schemas::avro::RecordType;
use sightline_schemas::topic::Topics;

use super::held::{Held, Line};
use super::view::partition;
use crate::digest::{Digest, Sums};
use crate::runtime::ranges;

/// Records a poll asks for.
const POLL: usize = 1_000;
/// How long one poll waits, and so how long a stop may take.
const WAIT: Duration = Duration::from_millis(100);
/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Changes that are kept of a partition: a store that is further behind is behind, and compared when it has caught up. 3 MB a partition at most.
const CHANGES: usize = 1 << 16;

/// A thread that follows. It ends when this is dropped.
pub struct Follower {
    followed: Arc<Mutex<Followed>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a store has to hold at its own positions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    /// By type.
    pub sums: BTreeMap<RecordType, Sums>,
    /// The epoch up to which the positions have everything.
    pub epoch: u64,
}

/// Why that cannot be said.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotYet {
    /// The store is ahead of the follower, which will be there in a moment, or is reading the topics for the first time.
    #[error("the topics are still being read: {0} is at offset {at}", at = .1.0)]
    Reading(TopicPartition, Offset),
    /// The store is far behind.
    #[error("the store is more than {CHANGES} records behind in {0}; it is compared when it has caught up")]
    Behind(TopicPartition),
    /// The log fails.
    #[error("{0}")]
    Log(String),
}

#[derive(Default)]
struct Followed {
    types: HashMap<RecordType, Held>,
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Types of which the log had dropped records by age when reading began.
    trimmed: HashSet<RecordType>,
    epoch: u64,
    error: Option<String>,
}

struct Partition {
    ty: RecordType,
    next: Offset,
    /// Changes of older offsets are not kept.
    kept_from: Offset,
    changes: VecDeque<Change>,
}

struct Change {
    offset: Offset,
    epoch: u64,
    before: Option<Digest>,
    after: Option<Digest>,
}

impl Follower {
    /// Starts to read the topics of `types` from their beginnings.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(log: Arc<dyn Log>, topics: Topics, types: Vec<RecordType>) -> std::io::Result<Self> {
        let (followed, stop) = (Arc::new(Mutex::new(Followed::default())), Arc::new(AtomicBool::new(false)));
        let (into, stopped) = (Arc::clone(&followed), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("follow".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Err(error) = follow(&*log, &topics, &types, &into, &stopped) {
                    tracing::warn!(%error, "following the outputs failed; will try again");
                    lock(&into).failed(&error);
                    std::thread::sleep(PAUSE);
                }
            }
        })?;
        Ok(Self { followed, stop, thread: Some(thread) })
    }

    /// What a store at `positions` has to hold of `types`.
    ///
    /// # Errors
    /// [`NotYet`].
    pub fn due(&self, types: &[RecordType], positions: &HashMap<TopicPartition, Offset>) -> Result<Due, NotYet> {
        lock(&self.followed).due(types, positions)
    }

    /// The highest epoch in the topics.
    pub fn epoch(&self) -> u64 {
        lock(&self.followed).epoch
    }

    /// Whether the log had dropped records of a type by age: a store may rightly hold more than the topics.
    pub fn is_trimmed(&self, ty: RecordType) -> bool {
        lock(&self.followed).trimmed.contains(&ty)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(followed: &Mutex<Followed>) -> MutexGuard<'_, Followed> {
    // A panic in another thread has ended the process, or harmed a number that the next comparison shows.
    followed.lock().unwrap_or_else(PoisonError::into_inner)
}

fn follow(log: &dyn Log, topics: &Topics, types: &[RecordType], into: &Mutex<Followed>, stop: &AtomicBool) -> Result<(), LogError> {
    let known: Vec<(TopicPartition, Offset)> = lock(into).positions();
    let from = if known.is_empty() {
        let ranges = ranges(log, types, topics)?;
        let from: Vec<_> = ranges.into_iter().map(|(partition, range)| (partition, range.start)).collect();
        lock(into).begin(topics, types, &from);
        from
    } else {
        known
    };
    let mut reader = log.reader(&from)?;
    let mut polled = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        reader.poll(&mut polled, POLL, WAIT)?;
        let mut followed = lock(into);
        polled.drain(..).for_each(|record| followed.take(&record));
        followed.reached(&reader.positions());
    }
    Ok(())
}

impl Followed {
    fn begin(&mut self, topics: &Topics, types: &[RecordType], from: &[(TopicPartition, Offset)]) {
        *self = Self::default();
        for (partition, start) in from {
            let Some(ty) = types.iter().find(|ty| ty.topic(topics) == *partition.topic) else { continue };
            self.trimmed.extend((*start > Offset(0)).then_some(*ty));
            self.partitions.insert(partition.clone(), Partition { ty: *ty, next: *start, kept_from: *start, changes: VecDeque::new() });
        }
    }

    fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        self.partitions.iter().map(|(partition, at)| (partition.clone(), at.next)).collect()
    }

    fn take(&mut self, record: &Record) {
        let Some(partition) = self.partitions.get_mut(&partition(record)) else { return };
        partition.next = Offset(record.offset.0 + 1);
        // What nobody can read is in no store.
        let Some(Line { key, epoch, digest: after }) = Line::of(partition.ty, record) else { return };
        let before = self.types.entry(partition.ty).or_default().put(key, after);
        self.epoch = self.epoch.max(epoch);
        partition.changes.push_back(Change { offset: record.offset, epoch, before, after });
        if partition.changes.len() > CHANGES
            && let Some(oldest) = partition.changes.pop_front()
        {
            partition.kept_from = Offset(oldest.offset.0 + 1);
        }
    }

    /// Positions move over the markers of transactions too.
    fn reached(&mut self, positions: &[(TopicPartition, Offset)]) {
        self.error = None;
        for (partition, next) in positions {
            if let Some(partition) = self.partitions.get_mut(partition) {
                partition.next = partition.next.max(*next);
            }
        }
    }

    /// A reader of records that are gone begins anew; any other goes on where it was.
    fn failed(&mut self, error: &LogError) {
        if matches!(error, LogError::OffsetExpired { .. }) {
            *self = Self::default();
        }
        self.error = Some(error.to_string());
    }

    fn due(&self, types: &[RecordType], positions: &HashMap<TopicPartition, Offset>) -> Result<Due, NotYet> {
        if let Some(error) = &self.error {
            return Err(NotYet::Log(error.clone()));
        }
        let held = |ty: &RecordType| (*ty, self.types.get(ty).map(|held| held.sums.clone()).unwrap_or_default());
        let mut due = Due { sums: types.iter().map(held).collect(), epoch: self.epoch };
        for (name, partition) in self.partitions.iter().filter(|(_, partition)| types.contains(&partition.ty)) {
            // A store that knows nothing of a partition has nothing of it.
            let at = positions.get(name).copied().unwrap_or_default();
            if at > partition.next {
                return Err(NotYet::Reading(name.clone(), partition.next));
            }
            if at < partition.kept_from {
                return Err(NotYet::Behind(name.clone()));
            }
            let sums = due.sums.entry(partition.ty).or_default();
            for change in partition.changes.iter().rev().take_while(|change| change.offset >= at) {
                if let Some(after) = change.after {
                    sums.of(after).remove(after);
                }
                if let Some(before) = change.before {
                    sums.of(before).add(before);
                }
                due.epoch = due.epoch.min(change.epoch.saturating_sub(1));
            }
        }
        Ok(due)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use bytes::Bytes;
    use sightline_log::Headers;

    fn record(offset: i64, key: &str, value: Option<&'static str>, epoch: u64) -> Record {
        Record {
            topic: Topics::new("soc").entities().into(),
            partition: 0,
            offset: Offset(offset),
            timestamp: 0,
            key: Some(Bytes::from(key.to_owned())),
            value: value.map(|value| Bytes::from_static(value.as_bytes())),
            headers: Headers::default().with("epoch", epoch.to_string()),
        }
    }

    #[test]
    fn what_a_store_must_hold_at_its_own_position_is_what_the_topic_said_up_to_there() {
        let topics = Topics::new("soc");
        let name = TopicPartition::new(topics.entities(), 0);
        let types = [RecordType::Entity];
        let records = [
            record(0, "t:a", Some("1"), 1),
            record(1, "t:b", Some("1"), 2),
            record(2, "t:a", Some("2"), 3),
            record(4, "t:b", None, 5),
            record(5, "t:c", Some("1"), 6),
        ];
        let mut whole = Followed::default();
        whole.begin(&topics, &types, &[(name.clone(), Offset(0))]);
        records.iter().for_each(|record| whole.take(record));
        for stop in 0..=records.len() {
            let mut part = Followed::default();
            part.begin(&topics, &types, &[(name.clone(), Offset(0))]);
            records[..stop].iter().for_each(|record| part.take(record));
            let at = HashMap::from([(name.clone(), records.get(stop).map_or(Offset(6), |record: &Record| record.offset))]);
            let due = whole.due(&types, &at).unwrap();
            assert_eq!(
                due.sums,
                part.due(&types, &HashMap::from([(name.clone(), part.partitions[&name].next)])).unwrap().sums,
                "at {stop}"
            );
            assert_eq!(due.epoch, [0, 1, 2, 4, 5, 6][stop], "at {stop}");
        }
        let ahead = whole.due(&types, &HashMap::from([(name.clone(), Offset(7))]));
        assert_eq!(ahead, Err(NotYet::Reading(name, Offset(6))));
    }

    #[test]
    fn a_store_further_behind_than_is_remembered_is_not_compared() {
        let topics = Topics::new("soc");
        let name = TopicPartition::new(topics.entities(), 0);
        let mut followed = Followed::default();
        followed.begin(&topics, &[RecordType::Entity], &[(name.clone(), Offset(0))]);
        (0..=CHANGES as i64).for_each(|at| followed.take(&record(at, &format!("t:{}", at % 9), Some("x"), at as u64)));
        assert_eq!(followed.due(&[RecordType::Entity], &HashMap::new()), Err(NotYet::Behind(name.clone())));
        assert!(followed.due(&[RecordType::Entity], &HashMap::from([(name, Offset(1))])).is_ok());
    }
}
