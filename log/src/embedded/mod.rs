//! The log inside the process: append-only segments, one frame a transaction. `docs/embedded-log.md` draws the files.
//!
//! A frame holds all records of a transaction, of every partition, under one checksum: it is there as a whole, or, torn by a crash, it is cut off
//! when the log is opened. Nothing uncommitted is ever in a file, so isolation is a matter of course.
//!
//! What it does not do: replication, and clean-up by age or key (`CleanUp` is recorded and not applied; [`Log::trim`] is).
mod frame;
mod reader;
mod store;
mod writer;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub use store::EmbeddedOptions;
use store::Store;

use crate::error::LogError;
use crate::record::{Offset, TopicPartition};
use crate::traits::{Log, LogReader, LogWriter, TopicSpec, TransactionalWriter};

/// A log in a directory. Cheap to clone; one process at a time.
#[derive(Clone)]
pub struct Embedded {
    store: Arc<Store>,
}

impl Embedded {
    /// Opens the log in `directory`, made if it is not there.
    ///
    /// # Errors
    /// [`LogError::Fatal`] when the directory cannot be written, or another process has it open.
    pub fn open(directory: &Path, options: EmbeddedOptions) -> Result<Self, LogError> {
        Ok(Self { store: Arc::new(Store::open(directory, options)?) })
    }

    /// What the log in `directory` holds now, to be read only: beside the process that has it open, or without one.
    ///
    /// # Errors
    /// [`LogError::Fatal`] when there is none, or it is damaged.
    pub fn read_only(directory: &Path) -> Result<Self, LogError> {
        Ok(Self { store: Arc::new(Store::read_only(directory)?) })
    }

    /// A log in a new directory for temporary files, without waiting for the disk: for what lasts as long as one command. The directory goes with
    /// the last clone; after a kill it stays.
    ///
    /// # Errors
    /// [`LogError::Fatal`] when no directory can be made.
    pub fn temporary() -> Result<Self, LogError> {
        let options = EmbeddedOptions { sync: false, ..EmbeddedOptions::default() };
        Ok(Self { store: Arc::new(Store::temporary(options)?) })
    }
}

impl Log for Embedded {
    fn ensure_topics(&self, topics: &[TopicSpec]) -> Result<(), LogError> {
        topics.iter().try_for_each(|topic| self.store.ensure_topic(topic))
    }

    fn partitions(&self, topic: &str) -> Result<i32, LogError> {
        self.store.partitions(topic)
    }

    fn range(&self, partition: &TopicPartition) -> Result<Range<Offset>, LogError> {
        self.store.range(partition)
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Offset, LogError> {
        self.store.offset_at(partition, timestamp)
    }

    fn reader(&self, from: &[(TopicPartition, Offset)]) -> Result<Box<dyn LogReader>, LogError> {
        Ok(Box::new(reader::EmbeddedReader::new(Arc::clone(&self.store), from)?))
    }

    fn writer(&self) -> Result<Box<dyn LogWriter>, LogError> {
        Ok(Box::new(writer::EmbeddedWriter::new(Arc::clone(&self.store))))
    }

    fn transactional(&self, id: &str) -> Result<Box<dyn TransactionalWriter>, LogError> {
        Ok(Box::new(writer::EmbeddedTransactions::new(Arc::clone(&self.store), id)))
    }

    fn trim(&self, partition: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        self.store.trim(partition, offset)
    }

    fn publish_positions(&self, _group: &str, _positions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        // There are no lag tools for a log inside one process.
        Ok(())
    }
}
