//! The contract of a sink.
use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use sightline_failpoints::{self as failpoints, Point};
use sightline_log::{Offset, TopicPartition};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{OutputRecord, RecordType};

use crate::batch::Batch;
use crate::digest::{Slot, Sums, slot_of};

/// A store that follows the output topics.
///
/// # The life of a sink, in the order of calls
/// 1. The factory makes it from its options. Nothing is connected yet, so bad options are the only thing that can fail there.
/// 2. [`open`](Self::open) connects, creates what is missing in the store (tables, indices, constraints) and *takes over*: it raises
///    a generation kept in the store. From then on a `put` of an older holder fails with [`SinkError::Fenced`].
/// 3. [`positions`](Self::positions) says where to go on reading. The store's own positions are the only truth; the runtime keeps none.
/// 4. [`put`](Self::put), again and again, one at a time. A failed `put` is repeated with the same batch until it succeeds, is cut in
///    two, or the connector stops; the sink connects anew by itself when its connection was lost, *without* taking over again.
/// 5. [`close`](Self::close), once, after the last `put`.
///
/// `positions`, [`scan`](Self::scan) and [`digest`](Self::digest) also serve `verify`, on a sink that was never opened: they must not write.
/// [`mend`](Self::mend) serves `verify --repair` and `replay`, also on a sink that was never opened, while another process may be putting.
///
/// # Effectively once
/// When `put` returns `Ok`, the store holds the batch's records *and* its positions, durably. When it fails or the process dies, any
/// part may be there, and the same records come again: so each write is idempotent and ordered by epoch (an older value never
/// overwrites a newer one, a repeated one changes nothing). A store with transactions puts records and positions into one; a store
/// without writes the positions last.
#[async_trait]
pub trait SinkConnector: Send {
    /// The types it can hold; the runtime reads no other topics for it.
    fn supports(&self) -> &'static [RecordType];

    /// Connects, creates the schema if need be, and takes over.
    ///
    /// # Errors
    /// [`SinkError::Retriable`] while the store is away; [`SinkError::Fatal`] when it can never work (no permission, wrong version).
    async fn open(&mut self) -> Result<(), SinkError>;

    /// The positions that the store holds for this connector; none before the first batch.
    ///
    /// # Errors
    /// As [`open`](Self::open). A store whose schema does not exist yet holds no positions: that is no error.
    async fn positions(&mut self) -> Result<Vec<(TopicPartition, Offset)>, SinkError>;

    /// Stores the records and the positions of a batch.
    ///
    /// # Errors
    /// By what should happen next: see [`SinkError`].
    async fn put(&mut self, batch: &Batch) -> Result<(), SinkError>;

    /// Calls `visit` for each record of `ty` that the store holds, in any order; stubs and rows marked as deleted are not held.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    async fn scan(&mut self, ty: RecordType, visit: Visit<'_>) -> Result<(), SinkError>;

    /// Calls `visit` for each record of `ty` whose digest, or whose key, is in one of `slots`; those that have no digest are in all of them.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    async fn scan_slots(&mut self, ty: RecordType, slots: &BTreeSet<Slot>, visit: Visit<'_>) -> Result<(), SinkError> {
        self.scan(ty, &mut |stored| {
            if slots.contains(&slot_of(stored.key.as_bytes())) {
                visit(stored);
            }
        })
        .await
    }

    /// What the records of `ty` add up to, by slot, as the store itself can tell without giving rows out: it has to keep the [`digest`](crate::SinkRecord::digest)
    /// of each record that is put, and should know whether a row is still what was written with it. None from a store that keeps none: it is scanned instead.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    async fn sums(&mut self, ty: RecordType) -> Result<Option<Sums>, SinkError> {
        let _ = ty;
        Ok(None)
    }

    /// The same, with each row held against what was written with its digest, if that takes a full read. `verify` asks for these.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    async fn sealed_sums(&mut self, ty: RecordType) -> Result<Option<Sums>, SinkError> {
        Ok(self.sums(ty).await?.filter(|sums| !sums.unsealed))
    }

    /// What [`scan`](Self::scan) gives for `record` when the store holds it faithfully: a digest of the fields that this store keeps.
    fn digest(&self, record: &OutputRecord) -> ContentHash;

    /// Mends the store beside the connector that runs on it. Takes out each of `wrong` that is still as a scan saw it, then stores the records
    /// of `batch` ordered by epoch, as [`put`](Self::put) does: in one transaction, where the store has them. It takes nothing over, fences
    /// nobody, leaves the positions alone (those of `batch` are not looked at), and what the running connector wrote meanwhile stays.
    ///
    /// # Errors
    /// As [`put`](Self::put), but never [`SinkError::Fenced`]. A class that does not implement it cannot be mended.
    async fn mend(&mut self, wrong: &[Wrong], batch: &Batch) -> Result<Mended, SinkError> {
        let _ = (wrong, batch);
        Err(SinkError::fatal("mend the store", "sinks of this class cannot be mended; empty the store and let its connector fill it again"))
    }

    /// The store as one that can be filled anew beside itself, if it can.
    fn rebuild(&mut self) -> Option<&mut dyn Rebuild> {
        None
    }

    /// Lets go of connections. Errors have nowhere to go: everything acknowledged is durable already.
    async fn close(&mut self);
}

/// A store with room for a second, new place beside the live one, that becomes the live one at once for every reader. It serves `replay
/// --rebuild`, on a sink that was never opened, while another process may be putting.
///
/// # The order of calls
/// [`begin`](Self::begin), [`fill`](Self::fill) again and again, [`hold`](Self::hold), the last `fill`s, [`swap`](Self::swap),
/// [`finish`](Self::finish). Each may be repeated when it failed in a way that may pass. After a failure behind `hold`:
/// [`release`](Self::release). A process may die between any two: readers and the connector then still have one place, complete, and the
/// next `begin` removes what was left.
#[async_trait]
pub trait Rebuild: Send {
    /// The types that can be rebuilt.
    fn types(&self) -> &'static [RecordType];

    /// Removes what an unfinished rebuild has left, then makes new places for `types`.
    async fn begin(&mut self, types: &[RecordType]) -> Result<(), SinkError>;

    /// Writes into the new places, ordered by epoch; returns how many records were taken.
    async fn fill(&mut self, batch: &Batch) -> Result<u64, SinkError>;

    /// Stops writes into the live places: returns when none is under way any more. Whoever puts gets errors that may pass.
    async fn hold(&mut self) -> Result<(), SinkError>;

    /// Takes [`hold`](Self::hold) back.
    async fn release(&mut self) -> Result<(), SinkError>;

    /// The new places become the live ones, all at once; whoever puts goes on in them.
    async fn swap(&mut self, keep_old: bool) -> Result<(), SinkError>;

    /// Drops the old places, unless they are kept, when nobody reads them any more; returns those that were read for longer than `patience`.
    async fn finish(&mut self, patience: Duration) -> Result<Vec<String>, SinkError>;
}

/// Is called for each record that a store holds.
pub type Visit<'a> = &'a mut (dyn FnMut(Stored) + Send);

/// A record as a store holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// `tenant:id`.
    pub key: String,
    /// Digest of the fields that the store keeps.
    pub digest: ContentHash,
    /// Where the store keeps it, in the store's own words: what was not written by its connector may stand anywhere.
    pub place: String,
}

/// What a store holds and should not: nobody's record, a second copy of one, or one that was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// Its type.
    pub ty: RecordType,
    /// As a scan saw it.
    pub stored: Stored,
}

/// What [`SinkConnector::mend`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mended {
    /// How many of the wrong had changed since they were seen, and were left.
    pub left: u64,
    /// How many records the store took: not those that are older than what it holds, nor, where it can tell, those that it holds already.
    pub written: u64,
}

/// A record that a store will never take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Its place in [`Batch::records`].
    pub at: usize,
    /// A stable code in kebab case.
    pub reason: &'static str,
    /// What the store said.
    pub message: String,
}

/// Why a sink could not do what it was asked. The variant says what the runtime does next.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Time-outs, refused connections, 429, 5xx, deadlocks, and 401/403 (credentials are rotated, and waiting loses nothing): the
    /// runtime tries again with back-off, for ever, visible as lag.
    #[error("failed to {what}: {message}; will try again")]
    Retriable {
        /// The operation, to follow "failed to".
        what: &'static str,
        /// The cause.
        message: String,
    },
    /// Records that the store will never take, named: the runtime dead-letters them and repeats the batch without them.
    #[error("{} of the batch cannot be stored; the first: {}", .0.len(), .0.first().map_or("", |refused| &refused.message))]
    Refused(Vec<Refused>),
    /// Some record of the batch cannot be stored, and the store does not say which: the runtime cuts the batch in two until it knows.
    #[error("a record of the batch cannot be stored ({reason}): {message}")]
    Data {
        /// A stable code in kebab case.
        reason: &'static str,
        /// What the store said.
        message: String,
    },
    /// Another process took the connector over: this one stops and leaves the store alone.
    #[error("fenced: another process has taken over connector {connector}; this one stops")]
    Fenced {
        /// Name of the connector.
        connector: String,
    },
    /// Waiting will not help: the connector fails until it is restarted.
    #[error("failed to {what}: {message}")]
    Fatal {
        /// The operation, to follow "failed to".
        what: &'static str,
        /// The cause, and what to do.
        message: String,
    },
}

impl SinkError {
    /// A failure that may pass.
    pub fn retriable(what: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Retriable { what, message: cause.to_string() }
    }

    /// A failure that will not.
    pub fn fatal(what: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::Fatal { what, message: cause.to_string() }
    }

    /// Whether the same call may succeed later.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Retriable { .. })
    }
}

/// Passes a failpoint of `connector`; what it is told to fail with may pass, as the failures of a store do.
pub(crate) fn fail(point: Point, connector: &str) -> Result<(), SinkError> {
    failpoints::io(point, connector).map_err(|error| SinkError::retriable("write a batch", error))
}
