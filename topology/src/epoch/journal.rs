//! The journal: what went into each epoch, committed before the epoch is released (invariant I1).
//!
//! One JSON record an epoch on `sys.epochs` (partition 0), key = the epoch's number; drawn in `docs/journal.md`.
use std::time::{Duration, Instant};

use bytes::Bytes;
use sightline_failpoints::{self as failpoints, Control, Point};
use sightline_log::{Headers, Log, LogError, NewRecord, Record, TopicPartition, TransactionalWriter};
use sightline_schemas::topic::Topics;

use super::entry::VERSION;
use super::transaction::transact;
use super::{Epoch, JournalEntry};

/// The transactional id of a writer. It is the cell's and not the process's: so the next process fences this one (I5).
pub(crate) fn writer_id(topics: &Topics, name: &str) -> String {
    let id = format!("{}-{name}", topics.prefix());
    if failpoints::without(Control::NoFence) { format!("{id}-{}", std::process::id()) } else { id }
}

/// How long a system topic may give nothing before its end is reached.
const PATIENCE: Duration = Duration::from_secs(120);

/// The journal's writer.
pub struct Journal {
    writer: Box<dyn TransactionalWriter>,
    topic: String,
    /// The newest entry, if there is any.
    head: Option<Epoch>,
}

impl Journal {
    /// Takes the journal over from any older process, *then* reads it to its end: nobody else writes any more, so this is all of it.
    ///
    /// # Errors
    /// As [`Journal::take_over`] and [`Journal::read`].
    pub fn open(log: &dyn Log, topics: &Topics) -> Result<(Self, Vec<JournalEntry>), LogError> {
        let mut journal = Self::take_over(log, topics)?;
        let entries = journal.read(log)?;
        Ok((journal, entries))
    }

    /// Takes the journal over from any older process.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn take_over(log: &dyn Log, topics: &Topics) -> Result<Self, LogError> {
        let writer = log.transactional(&writer_id(topics, "journal"))?;
        failpoints::hit(Point::StartJournal, "");
        Ok(Self { writer, topic: topics.epochs(), head: None })
    }

    /// Reads it to its end. Of a journal and its lanes the lanes' progress is read first: it is never ahead of a journal that is read later, even when
    /// yet another process is taking over meanwhile.
    ///
    /// # Errors
    /// [`LogError`]; an entry that cannot be read, or one that is missing between two others, is [`LogError::Fatal`], for nothing after it can be replayed.
    pub fn read(&mut self, log: &dyn Log) -> Result<Vec<JournalEntry>, LogError> {
        let entries = read_entries(log, &self.topic)?;
        self.head = entries.last().map(|entry| entry.epoch);
        Ok(entries)
    }

    /// Commits an entry; waits as long as the log is away.
    ///
    /// # Errors
    /// [`LogError::Fenced`] when another process has taken over: then nothing of this epoch may leave.
    pub fn append(&mut self, entry: &JournalEntry) -> Result<(), LogError> {
        debug_assert!(self.head.is_none_or(|head| head.next() == entry.epoch), "epochs are journalled without a gap");
        let record = Self::record(&self.topic, entry)?;
        transact(&mut *self.writer, "journal", |writer| writer.send(record.clone()))?;
        self.head = Some(entry.epoch);
        Ok(())
    }

    /// The record of an entry.
    pub(crate) fn record(topic: &str, entry: &JournalEntry) -> Result<NewRecord, LogError> {
        let value = serde_json::to_vec(entry).map_err(|error| LogError::Fatal { what: "write the journal", message: error.to_string() })?;
        Ok(NewRecord {
            topic: topic.into(),
            partition: Some(0),
            key: Some(entry.epoch.0.to_string().into()),
            value: Some(Bytes::from(value)),
            headers: Headers::default(),
        })
    }
}

/// Reads a journal to its present end, without taking it over: its cell may be running.
///
/// # Errors
/// As [`Journal::read`].
pub fn read(log: &dyn Log, topics: &Topics) -> Result<Vec<JournalEntry>, LogError> {
    read_entries(log, &topics.epochs())
}

fn read_entries(log: &dyn Log, topic: &str) -> Result<Vec<JournalEntry>, LogError> {
    let mut entries: Vec<JournalEntry> = Vec::new();
    read_all(log, topic, |record| {
        let entry = decode(&record)?;
        if let Some(before) = entries.last()
            && before.epoch.next() != entry.epoch
        {
            return Err(broken(&record, &format!("epoch {} follows epoch {}", entry.epoch.0, before.epoch.0)));
        }
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

/// Deletes the entries before `epoch`. The entry of `epoch` itself stays though a snapshot covers it: a journal that has ever been used is never
/// empty, so a start can tell a new cell from one whose state was lost.
///
/// # Errors
/// [`LogError`]; the journal is as it was, or shorter.
pub fn trim(log: &dyn Log, topics: &Topics, epoch: Epoch) -> Result<(), LogError> {
    let topic = topics.epochs();
    let mut keep = None;
    // What a trim leaves is what came since the last one: a minute's worth, as a rule.
    read_while(log, &topic, |record| {
        if decode(&record)?.epoch >= epoch {
            keep = Some(record.offset);
        }
        Ok(keep.is_none())
    })?;
    match keep {
        Some(offset) => log.trim(&TopicPartition::new(topic, 0), offset),
        None => Ok(()),
    }
}

fn decode(record: &Record) -> Result<JournalEntry, LogError> {
    let value = record.value.as_deref().unwrap_or_default();
    #[derive(serde::Deserialize)]
    struct Versioned {
        v: u8,
    }
    match serde_json::from_slice(value) {
        Ok(Versioned { v: VERSION }) => serde_json::from_slice(value).map_err(|error| broken(record, &error.to_string())),
        Ok(Versioned { v }) => Err(broken(record, &format!("version {v} is newer than this program's {VERSION}; start the newer program"))),
        Err(error) => Err(broken(record, &error.to_string())),
    }
}

fn broken(record: &Record, why: &str) -> LogError {
    LogError::Fatal { what: "read the journal", message: format!("{} offset {}: {why}", record.topic, record.offset.0) }
}

/// Reads partition 0 of a topic from its beginning to its present end.
pub(crate) fn read_all(log: &dyn Log, topic: &str, mut each: impl FnMut(Record) -> Result<(), LogError>) -> Result<(), LogError> {
    read_while(log, topic, |record| each(record).map(|()| true))
}

/// The same, until `each` has had enough.
fn read_while(log: &dyn Log, topic: &str, mut each: impl FnMut(Record) -> Result<bool, LogError>) -> Result<(), LogError> {
    let partition = TopicPartition::new(topic, 0);
    let range = log.range(&partition)?;
    let mut reader = log.reader(&[(partition.clone(), range.start)])?;
    let mut records = Vec::new();
    let mut heard = Instant::now();
    // Positions, not records, tell the end: the last offsets may be markers of transactions.
    while reader.positions().iter().any(|(_, position)| *position < range.end) {
        match reader.poll(&mut records, 10_000, Duration::from_millis(100)) {
            Ok(0) if heard.elapsed() > PATIENCE => {
                let message = format!("{partition} gave nothing for {} s; see that the brokers serve it", PATIENCE.as_secs());
                return Err(LogError::Fatal { what: "read a system topic", message });
            }
            Ok(0) => {}
            Ok(_) => heard = Instant::now(),
            Err(error) if error.is_retriable() && heard.elapsed() <= PATIENCE => {
                tracing::warn!(%error, %partition, "waits for the log");
                std::thread::sleep(Duration::from_millis(100));
            }
            Err(error) => return Err(error),
        }
        for record in records.drain(..) {
            if !each(record)? {
                return Ok(());
            }
        }
    }
    Ok(())
}
