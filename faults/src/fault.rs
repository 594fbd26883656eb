//! The kinds of faults; [`crate::lives`] has what each does.
use crate::cell::Place;

macro_rules! faults {
    ($($variant:ident $name:literal $what:literal)*) => {
        /// A kind of fault; a run is of one kind, with a change of the number of workers at every restart.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Fault {
            $(#[doc = $what] $variant,)*
        }

        impl Fault {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What is done.
            pub fn what(self) -> &'static str {
                match self { $(Self::$variant => $what),* }
            }
        }
    };
}

faults! {
    KillAtPoint "kill-at-point" "kill -9 at a failpoint"
    KillAtRandom "kill-at-random" "kill -9 at a random moment"
    PanicAtPoint "panic-at-point" "a thread panics at a failpoint"
    Rescale "rescale" "SIGTERM, another number of workers"
    TornFile "torn-file" "a snapshot file ends in zeros or too early (segment, manifest)"
    FlippedFile "flipped-file" "a bit of a snapshot file is flipped (segment, manifest)"
    DamagedDocuments "damaged-documents" "a file of documents is cut or flipped"
    StateLost "state-lost" "the state directory is gone; of odd seeds the journal is trimmed too, and a store has copies"
    CopiesRefused "copies-refused" "the state store is away, or refuses some writes, while snapshots are copied; now and then the local disk is lost"
    CopiesKilled "copies-killed" "kill -9 between the steps of a copy, of its clearing up, or of a fetch; now and then the local disk is lost"
    CopiesDamaged "copies-damaged" "the newest copy of a snapshot is cut or flipped, and the local disk is lost"
    DiskRefuses "disk-refuses" "ENOSPC, EDQUOT or EIO from every write and sync of a snapshot"
    DiskFull "disk-full" "snapshots on a real file system that is full (needs root)"
    LogRefuses "log-refuses" "transactions of the journal and of lanes fail and are done again"
    SinkFails "sink-fails" "a store fails before, within and after its transaction"
    ClockJump "clock-jump" "the wall clock jumps by up to 30 days, forwards and backwards"
    Poison "poison" "an input makes a parser panic"
    Zombie "zombie" "SIGSTOP, a second process takes over, SIGCONT"
    ProcessDies "process-dies" "of a cell of two processes one dies, at a failpoint or at random, or is stopped until it is replaced"
    StoreRefuses "store-refuses" "Elasticsearch answers 401, 403, 429, 500 or nothing, before or after it has written"
    StoreBlocks "store-blocks" "an index of Elasticsearch takes no writes for a while: bulks fail by half"
    StoreDeadlocks "store-deadlocks" "another client of PostgreSQL locks what the sink locks, in the opposite order"
    StoreDown "store-down" "a store is away for the whole ingest"
    BrokerRestart "broker-restart" "the broker is killed and started again"
    BrokerUnreachable "broker-unreachable" "no byte passes between the process and the broker, for seconds or over a minute"
}

impl Fault {
    /// The fault of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name)
    }

    /// Whether it can be caused there.
    pub fn is_possible(self, place: &Place) -> bool {
        match place {
            Place::Embedded => !self.is_beside() && self != Self::ProcessDies,
            // A disk is the same disk there: what was tried without servers is not tried again.
            Place::Kafka(_) => !self.is_beside() && self != Self::DiskFull,
            Place::Servers(_) => self != Self::DiskFull,
        }
    }

    /// Whether it happens to servers, beside the process.
    fn is_beside(self) -> bool {
        matches!(
            self,
            Self::StoreRefuses | Self::StoreBlocks | Self::StoreDeadlocks | Self::StoreDown | Self::BrokerRestart | Self::BrokerUnreachable
        )
    }

    /// How often it is drawn, by importance.
    pub fn weight(self) -> u32 {
        match self {
            Self::KillAtPoint => 8,
            Self::KillAtRandom => 5,
            Self::TornFile | Self::FlippedFile | Self::PanicAtPoint => 3,
            _ => 2,
        }
    }

    /// Whether it is about the copies of snapshots in a state store.
    pub fn is_about_copies(self) -> bool {
        matches!(self, Self::CopiesRefused | Self::CopiesKilled | Self::CopiesDamaged)
    }

    /// Whether the state may be gone or useless, so that only the whole journal can bring it back.
    pub fn needs_whole_journal(self) -> bool {
        matches!(self, Self::DamagedDocuments | Self::StateLost)
    }
}
