//! The two roles during a start: process 0 decides, the others follow. A process alone is one that leads nobody.
use super::control::{Peer, ToFollower, ToLeader};
use super::{ClusterError, Place};
use crate::epoch::Epoch;
use crate::state::owner::OwnerId;

/// What each lane had committed, and who owns the state directory.
type Fenced = (Vec<Epoch>, OwnerId);

/// This process and those that it talks to: process 0 to all others, each other one to process 0.
pub struct Members {
    place: Place,
    controls: Vec<Peer>,
}

impl Members {
    pub(super) fn new(place: Place, controls: Vec<Peer>) -> Self {
        Self { place, controls }
    }

    /// The only process of its cell.
    pub fn alone(workers: usize) -> Self {
        Self::new(Place::alone(workers), Vec::new())
    }

    /// Where this process stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The other processes, where this one leads; the one that leads, elsewhere.
    pub fn into_controls(self) -> Vec<Peer> {
        self.controls
    }

    /// Waits until all processes are connected.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub(super) fn all_there(&self) -> Result<(), ClusterError> {
        if self.place.leads() {
            return self.tell(&ToFollower::AllThere);
        }
        match self.hear()? {
            ToFollower::AllThere => Ok(()),
            other => Err(self.out_of_turn(&other)),
        }
    }

    /// The lanes of this process are fenced: waits until all are, and hears what each had committed, and whose the state directory is. `gates` is asked of
    /// process 0 only, and only then: nobody else writes from there on, so what it reads is the truth.
    ///
    /// # Errors
    /// [`ClusterError`], or that of `gates`.
    pub fn fenced<E: From<ClusterError>>(&self, gates: impl FnOnce() -> Result<Fenced, E>) -> Result<Fenced, E> {
        if !self.place.leads() {
            self.tell(&ToLeader::Fenced)?;
            return match self.hear()? {
                ToFollower::Gates(gates, owner) => Ok((gates, owner)),
                other => Err(self.out_of_turn(&other).into()),
            };
        }
        for control in &self.controls {
            match control.receive()? {
                ToLeader::Fenced => {}
                other => return Err(control.unexpected(&other).into()),
            }
        }
        let (gates, owner) = gates()?;
        self.tell(&ToFollower::Gates(gates.clone(), owner))?;
        Ok((gates, owner))
    }

    /// Process 0 has tried to load its part of a manifest: whether all could.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn all_loaded(&self, epoch: Option<Epoch>, loaded: bool) -> Result<bool, ClusterError> {
        self.tell(&ToFollower::Load(epoch))?;
        let mut all = loaded;
        for control in &self.controls {
            match control.receive()? {
                ToLeader::Loaded(loaded) => all &= loaded,
                other => return Err(control.unexpected(&other)),
            }
        }
        Ok(all)
    }

    /// Says whether this process could load what it was told to.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn loaded(&self, loaded: bool) -> Result<(), ClusterError> {
        self.tell(&ToLeader::Loaded(loaded))
    }

    /// What to load next; nothing when all are done. Not of process 0, which says it.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn to_load(&self) -> Result<Option<Option<Epoch>>, ClusterError> {
        match self.hear()? {
            ToFollower::Load(epoch) => Ok(Some(epoch)),
            ToFollower::Start => Ok(None),
            other => Err(self.out_of_turn(&other)),
        }
    }

    /// Process 0 has checked all there is to check.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn start(&self) -> Result<(), ClusterError> {
        self.tell(&ToFollower::Start)
    }

    fn tell<T: serde::Serialize>(&self, message: &T) -> Result<(), ClusterError> {
        self.controls.iter().try_for_each(|control| control.send(message))
    }

    fn hear(&self) -> Result<ToFollower, ClusterError> {
        self.controls.first().ok_or(ClusterError::Lost(0))?.receive()
    }

    fn out_of_turn(&self, message: &ToFollower) -> ClusterError {
        ClusterError::Protocol { process: 0, message: format!("{message:?} came out of turn") }
    }
}
