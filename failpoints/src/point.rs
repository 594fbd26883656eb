//! The list of all failpoints.

macro_rules! points {
    ($($variant:ident $name:literal $what:literal)*) => {
        /// A place where a test build can be made to fail. [`Point::name`] is how the environment calls it.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Point {
            $(#[doc = $what] $variant,)*
        }

        impl Point {
            /// All of them, in the order of the protocol.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Where it is.
            pub fn what(self) -> &'static str {
                match self { $(Self::$variant => $what),* }
            }
        }
    };
}

points! {
    EpochFormed "epoch.formed" "An epoch is closed; nothing of it is written (N2)."
    CommitBefore "commit.before" "All records of a transaction are sent, its commit is not (N3, N7). Label: `journal`, `lane-<n>`. Can fail."
    CommitAfter "commit.after" "A transaction is committed, nobody knows yet (N3, N7). Label: `journal`, `lane-<n>`."
    EpochReleased "epoch.released" "A journalled epoch is handed to all workers (N4)."
    EpochComputed "epoch.computed" "A worker has the outputs of an epoch together (N6). Label: the worker's first lane."
    SnapshotBegun "snapshot.begun" "An epoch was chosen for a snapshot (N9)."
    DocumentsFlush "documents.flush" "Documents are about to be written to their file. Can fail."
    SegmentBefore "segment.before" "A segment is about to be written. Can fail."
    SegmentWritten "segment.written" "A segment is written, and not synced."
    SnapshotSync "snapshot.sync" "All is written and about to be synced. Can fail."
    SnapshotSynced "snapshot.synced" "All that the manifest will name is on the disk; the lanes are waited for (N10)."
    ManifestBefore "manifest.before" "The manifest is about to be written. Can fail."
    ManifestWritten "manifest.written" "The manifest is written under its temporary name, and synced."
    ManifestRenamed "manifest.renamed" "The manifest has its name; the directory is not synced."
    ManifestDurable "manifest.durable" "The manifest is durable; older files are still there."
    JournalTrim "journal.trim" "Older files are gone; the journal is about to be trimmed (N11). Can fail."
    JournalTrimmed "journal.trimmed" "The journal is trimmed."
    StoreBefore "store.before" "An object is about to be written to the state store. Label: `pack`, `manifest`. Can fail."
    StoreAfter "store.after" "An object is in the state store, nobody knows yet. Label: `pack`, `manifest`."
    StoreCollect "store.collect" "The snapshot is in the state store; objects that it does not need are about to be removed. Can fail."
    StoreFetch "store.fetch" "A pack is about to be fetched from the state store. Can fail."
    StoreFetched "store.fetched" "All files of a snapshot are fetched and synced; the state directory has no manifest that names them."
    StartJournal "start.r1" "The journal's older holder is fenced (R1)."
    StartLanes "start.r2" "The older holders of all lanes are fenced (R2)."
    StartProgress "start.r3" "Progress and journal are read (R3)."
    StartChosen "start.r4" "The state to go on from is chosen (R4)."
    StartLoaded "start.r5" "Tables and documents are loaded; documents are cut back (R5)."
    StartAssigned "start.r6" "The inputs are assigned, unusable snapshots removed (R6)."
    StartReplaying "start.r7" "One epoch of the journal is replayed (R7)."
    StartMinting "start.r8" "The whole journal is replayed; the first new epoch comes next (R8)."
    SinkOpened "sink.opened" "A connector has taken its store over. Label, here and below: the connector's name."
    SinkBeforeRows "sink.before_rows" "A batch is about to be written. Can fail."
    SinkBeforeOffset "sink.before_offset" "The rows of a batch are written, its offsets are not. Can fail."
    SinkBeforeCommit "sink.before_commit" "Rows and offsets are written, the transaction is open (not Elasticsearch, which has none). Can fail."
    SinkAfterCommit "sink.after_commit" "Rows and offsets are durable, the runtime does not know. Can fail: the answer is lost."
}

impl Point {
    /// The point of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|point| point.name() == name)
    }
}
