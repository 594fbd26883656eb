//! A cell of several processes: one timely cluster that shares a fate.
//!
//! ```text
//! process 0 (leads)                                   process 1
//! journal ─► epochs ──(control: entries)────────────► epochs ─► its share of the records
//!              │                                        │
//!            workers ◄──────(data: timely's own)──────► workers
//!              │                                        │
//!            its lanes                                its lanes ──(control: what they committed)──► window, I3
//!            snapshots ◄──(control: parts)─────────── snapshots
//! ```
//! Process 0 takes the journal over and mints; the others form the epochs again from the entries that it sends once they are committed, so every
//! process checks every epoch against its checksum. A lane belongs to one process. All write segments into one state directory, and process 0 alone
//! writes manifests. When a process ends, its connections break and the others end too: a supervisor starts them all again.
//!
//! [`place`] who runs which workers and lanes · [`join`] how processes find and trust one another · [`channel`] what their connections are, [`tls`] with
//! whose certificates · [`control`] what they tell one another · [`members`] the two roles during a start.
mod channel;
pub mod control;
pub mod join;
pub mod members;
pub mod place;
mod tls;

use std::net::ToSocketAddrs as _;
use std::path::PathBuf;

pub use join::{Identity, join};
pub use members::Members;
pub use place::Place;
pub use tls::TlsFiles;

pub(crate) use channel::Channel;

/// How this process belongs to a cell of several.
#[derive(Clone)]
pub struct ClusterOptions {
    /// Which process this is.
    pub process: usize,
    /// `host:port` of each, in order.
    pub addresses: Vec<String>,
    /// What they know each other by; may be empty where all addresses are of this machine.
    pub secret: String,
    /// What their connections are encrypted with.
    pub tls: Option<TlsFiles>,
    /// Addresses may be of other machines without TLS: whoever says so knows that nobody else can read the network.
    pub insecure: bool,
}

/// Why processes do not come together, or fell apart.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The options.
    #[error("{0}")]
    Options(String),
    /// The system.
    #[error("failed to {what} {address}: {source}")]
    Io {
        /// What, to follow "failed to".
        what: &'static str,
        /// Where.
        address: String,
        /// Cause.
        source: std::io::Error,
    },
    /// A file of `cluster.tls`.
    #[error(
        "failed to use {path} (`cluster.tls`): {message}; give PEM files of a certificate, its key, and the authorities of all processes"
    )]
    Tls {
        /// Which.
        path: PathBuf,
        /// Cause.
        message: String,
    },
    /// Another process does not take this one.
    #[error("process {process} at {address} refuses this one: {reason}")]
    Refused {
        /// Which.
        process: usize,
        /// Where.
        address: String,
        /// Why.
        reason: String,
    },
    /// Another process ended.
    #[error("process {0} has ended or cannot be reached; start all processes of the cell again, the journal holds what was under way")]
    Lost(usize),
    /// Another process said what it should not have.
    #[error("process {process} broke the protocol: {message}; run the same version everywhere")]
    Protocol {
        /// Which.
        process: usize,
        /// What.
        message: String,
    },
}

impl ClusterOptions {
    /// Checks them.
    ///
    /// # Errors
    /// [`ClusterError::Options`], saying what to do.
    pub fn check(&self) -> Result<(), ClusterError> {
        let options = |message: String| Err(ClusterError::Options(message));
        if self.process >= self.addresses.len() {
            return options(format!(
                "--process {} is not one of {} processes, which are counted from 0",
                self.process,
                self.addresses.len()
            ));
        }
        for address in &self.addresses {
            let is_near = || address.to_socket_addrs().is_ok_and(|mut found| found.all(|address| address.ip().is_loopback()));
            let lacks_tls = self.tls.is_none() && !self.insecure;
            if (lacks_tls || self.secret.is_empty()) && !is_near() {
                let set = if self.secret.is_empty() { "set `cluster.secret`, and " } else { "" };
                return options(format!(
                    "{address} is not of this machine: {set}give `cluster.tls`, or say `cluster.insecure: true` on a network that nobody else can read"
                ));
            }
        }
        Ok(())
    }
}
