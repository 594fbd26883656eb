//! Writers: records gather in memory, and become a frame as a whole.
use std::sync::Arc;

use super::store::Store;
use crate::error::LogError;
use crate::record::NewRecord;
use crate::traits::{LogWriter, TransactionalWriter};

/// How much gathers before a frame is written outside transactions.
const GATHER_BYTES: usize = 4 << 20;

pub(super) struct EmbeddedWriter {
    store: Arc<Store>,
    waiting: Vec<NewRecord>,
    bytes: usize,
}

impl EmbeddedWriter {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self { store, waiting: Vec::new(), bytes: 0 }
    }
}

impl LogWriter for EmbeddedWriter {
    fn send(&mut self, record: NewRecord) -> Result<(), LogError> {
        self.store.check_size(&record)?;
        self.store.partitions(&record.topic)?;
        self.bytes += record.value.as_ref().map_or(0, bytes::Bytes::len) + 64;
        self.waiting.push(record);
        if self.bytes >= GATHER_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.bytes = 0;
        self.store.commit(&std::mem::take(&mut self.waiting), None)
    }
}

pub(super) struct EmbeddedTransactions {
    store: Arc<Store>,
    id: String,
    generation: u64,
    open: Vec<NewRecord>,
}

impl EmbeddedTransactions {
    pub(super) fn new(store: Arc<Store>, id: &str) -> Self {
        let generation = store.take_over(id);
        Self { store, id: id.to_owned(), generation, open: Vec::new() }
    }
}

impl TransactionalWriter for EmbeddedTransactions {
    fn begin(&mut self) -> Result<(), LogError> {
        self.open.clear();
        if self.store.is_current(&self.id, self.generation) { Ok(()) } else { Err(LogError::Fenced { id: self.id.clone() }) }
    }

    fn send(&mut self, record: NewRecord) -> Result<(), LogError> {
        self.store.check_size(&record)?;
        self.open.push(record);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.store.commit(&std::mem::take(&mut self.open), Some((&self.id, self.generation)))
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.open.clear();
        Ok(())
    }
}
