//! Kinds of observables and the roles in which an entity holds one.
use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),* }

        impl $name {
            /// All of them, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word of the contract.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// Reads the word of the contract.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// What an observable is. The order is stored in snapshots: add at the end only.
    ObservableKind {
        /// IPv4 address or CIDR block.
        Ipv4Addr = "ipv4-addr",
        /// IPv6 address or CIDR block.
        Ipv6Addr = "ipv6-addr",
        /// Domain name.
        DomainName = "domain-name",
        /// URL.
        Url = "url",
        /// E-mail address.
        EmailAddr = "email-addr",
        /// MAC address.
        MacAddr = "mac-addr",
        /// MD5 of a file.
        FileMd5 = "file-md5",
        /// SHA-1 of a file.
        FileSha1 = "file-sha1",
        /// SHA-256 of a file.
        FileSha256 = "file-sha256",
        /// SHA-512 of a file.
        FileSha512 = "file-sha512",
        /// ssdeep of a file.
        FileSsdeep = "file-ssdeep",
        /// TLSH of a file.
        FileTlsh = "file-tlsh",
        /// Name of a file.
        FileName = "file-name",
        /// Mutex.
        Mutex = "mutex",
        /// Registry key.
        WindowsRegistryKey = "windows-registry-key",
        /// Number of an autonomous system.
        AutonomousSystem = "autonomous-system",
        /// Account name.
        UserAccount = "user-account",
        /// Command line of a process.
        Process = "process",
        /// HTTP user agent.
        UserAgent = "user-agent",
        /// Fingerprint of an X.509 certificate.
        X509Fingerprint = "x509-fingerprint",
        /// JA3 fingerprint of a TLS client.
        Ja3 = "ja3",
        /// CVE.
        Vulnerability = "vulnerability",
        /// Bank account (IBAN).
        BankAccount = "bank-account",
        /// Wallet of a crypto currency.
        CryptoWallet = "crypto-wallet",
        /// Phone number.
        PhoneNumber = "phone-number",
    }
}

impl ObservableKind {
    /// The object type in front of the identifier.
    pub fn sco_type(self) -> &'static str {
        match self {
            Self::FileMd5 | Self::FileSha1 | Self::FileSha256 | Self::FileSha512 | Self::FileSsdeep | Self::FileTlsh | Self::FileName => {
                "file"
            }
            Self::X509Fingerprint => "x509-certificate",
            other => other.as_str(),
        }
    }
}

words! {
    /// How an entity holds an observable. The order is stored in snapshots: add at the end only.
    Role {
        /// An equality in an indicator's pattern; one that suffices for a match.
        Pattern = "pattern",
        /// An equality in an indicator's pattern that needs others beside it (`AND`, `FOLLOWEDBY`, `REPEATS`).
        PatternPart = "pattern-part",
        /// The entity is the observable (a STIX cyber-observable object).
        Object = "object",
        /// An object of observed data.
        Observed = "observed",
        /// Written in a description, defanged or not.
        Description = "description",
        /// An event has it, and it meets a test of an indicator's pattern that many values meet (a network, `LIKE`, `MATCHES`) and that suffices.
        Matched = "matched",
    }
}
