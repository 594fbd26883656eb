//! Rules that can be switched off.
//!
//! A harness that cannot fail proves nothing: with one of these rules off, it has to report loss, doubling or difference.

macro_rules! controls {
    ($($variant:ident $name:literal $what:literal)*) => {
        /// A rule that a test build can be told to break.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Control {
            $(#[doc = $what] $variant,)*
        }

        impl Control {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// What is broken.
            pub fn what(self) -> &'static str {
                match self { $(Self::$variant => $what),* }
            }
        }
    };
}

controls! {
    JournalLate "journal-late" "I1 off: an epoch is released, and its outputs may leave, before it is in the journal."
    ProgressOutside "progress-outside" "A lane commits its progress in a transaction of its own, after the outputs."
    ProgressFirst "progress-first" "A lane commits its progress in a transaction of its own, before the outputs."
    GatesIgnored "gates-ignored" "A lane does not drop what it had committed when the replay makes it again."
    NoReplay "no-replay" "A start skips the epochs after the snapshot that it loads."
    ManifestAhead "manifest-ahead" "I3 off: a manifest does not wait for the lanes, and a start takes one that is newer than they are."
    TrustChecksums "trust-checksums" "Segments are read without their checksum."
    TrimEarly "trim-early" "The journal is trimmed behind the snapshots of the local disk, whether the state store has them or not."
    TrustPacks "trust-packs" "What is fetched from the state store is not compared with its checksums."
    OffsetFirst "offset-first" "A sink stores its offsets in a transaction of their own, before the rows."
    NoOwner "no-owner" "I5 off: a process does not look whether another has taken the state directory over."
    NoFence "no-fence" "I5 off: the journal and the lanes do not fence an older process."
}

impl Control {
    /// The control of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|control| control.name() == name)
    }
}
