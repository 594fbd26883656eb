//! What processes tell one another beside timely's own traffic: frames of postcard on a connection between process 0 and each other one.
//!
//! ```text
//! frame: length u32, little-endian | postcard
//! ```
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use timely::communication::allocator::zero_copy::stream::Stream as _;

use super::ClusterError;
use super::channel::Channel;
use crate::epoch::{Epoch, JournalEntry};
use crate::state::documents::Mark;
use crate::state::owner::OwnerId;
use crate::state::segment::SegmentMeta;

/// The largest frame that is read: a snapshot's part names at most 2 × 6 × 256 segments and 256 marks, an entry its partitions.
const FRAME: usize = 64 << 20;

/// What process 0 says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ToFollower {
    /// All processes are connected.
    AllThere,
    /// All lanes are fenced; this is what each has committed, and whose the state directory is.
    Gates(Vec<Epoch>, OwnerId),
    /// Load your part of the manifest of this epoch, or begin empty.
    Load(Option<Epoch>),
    /// All parts are loaded: run.
    Start,
    /// An epoch is in the journal. Whether a snapshot is taken after it.
    Entry(JournalEntry, bool),
    /// Lanes are to make their progress durable once they have done this epoch.
    Demand(Epoch),
    /// There are no more epochs: drain.
    Close,
}

/// What the others say.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ToLeader {
    /// The lanes of this process are fenced.
    Fenced,
    /// Whether its part of a manifest could be loaded.
    Loaded(bool),
    /// A lane has nothing left to write up to this epoch.
    Done(u32, Epoch),
    /// A lane's progress record says this epoch.
    Durable(u32, Epoch),
    /// Its part of a snapshot.
    Part(Part),
    /// It was told to stop: the cell should.
    Stop,
    /// It has drained; nothing more comes.
    Bye,
}

/// A process's part of a snapshot: on the disk, synced.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Which snapshot.
    pub epoch: Epoch,
    /// The newest segments that it has written in its life, whole ones and changes; nothing if it could not write them.
    pub written: Option<(Vec<SegmentMeta>, Vec<Mark>)>,
}

/// One end of a connection. Clones write to the same one, a frame at a time.
#[derive(Clone)]
pub struct Peer {
    /// The process at the other end.
    pub process: usize,
    reader: Arc<Mutex<Channel>>,
    writer: Arc<Mutex<Channel>>,
}

impl Peer {
    pub(super) fn new(process: usize, stream: Channel) -> io::Result<Self> {
        let reader = stream.try_clone()?;
        Ok(Self { process, reader: Arc::new(Mutex::new(reader)), writer: Arc::new(Mutex::new(stream)) })
    }

    /// Says something.
    ///
    /// # Errors
    /// [`ClusterError::Lost`].
    pub fn send<T: Serialize>(&self, message: &T) -> Result<(), ClusterError> {
        let mut stream = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut *stream, message).map_err(|_| ClusterError::Lost(self.process))
    }

    /// Waits for what the other says next.
    ///
    /// # Errors
    /// [`ClusterError::Lost`], [`ClusterError::Protocol`].
    pub fn receive<T: DeserializeOwned>(&self) -> Result<T, ClusterError> {
        let mut stream = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        read(&mut *stream).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => ClusterError::Protocol { process: self.process, message: error.to_string() },
            _ => ClusterError::Lost(self.process),
        })
    }

    /// What the other said was not its turn to say.
    pub(crate) fn unexpected(&self, message: &impl std::fmt::Debug) -> ClusterError {
        ClusterError::Protocol { process: self.process, message: format!("{message:?} came out of turn") }
    }
}

pub(super) fn write<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    let body = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame)
}

pub(super) fn read<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    if length > FRAME {
        return Err(invalid(format!("a frame of {length} bytes")));
    }
    // As it comes, not at once: whoever has not proved anything yet must not make this process reserve what it likes.
    let mut body = Vec::new();
    stream.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    postcard::from_bytes(&body).map_err(|error| invalid(error.to_string()))
}
