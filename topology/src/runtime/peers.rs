//! The threads that listen to the other processes of a cell.
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use super::source::Told;
use super::{EngineError, Shared, spawn};
use crate::cluster::control::{Peer, ToFollower, ToLeader};
use crate::state::snapshot::SnapshotSender;

/// Takes in what another process tells the one that leads, until that one has drained.
pub(super) fn hear_follower(follower: Peer, snapshots: SnapshotSender, shared: Arc<Shared>) -> Result<(), EngineError> {
    spawn(&format!("cluster-{}", follower.process), move || {
        loop {
            match follower.receive() {
                Ok(ToLeader::Done(lane, epoch)) => shared.committed.set_done(lane, epoch),
                Ok(ToLeader::Durable(lane, epoch)) => shared.committed.set_durable(lane, epoch),
                Ok(ToLeader::Part(part)) => snapshots.part(part),
                Ok(ToLeader::Stop) => shared.stop.store(true, Ordering::SeqCst),
                Ok(ToLeader::Bye) => return,
                Ok(other @ (ToLeader::Fenced | ToLeader::Loaded(_))) => return shared.fail(follower.unexpected(&other).into()),
                Err(error) => return shared.fail(error.into()),
            }
        }
    })
    .map(drop)
}

/// Takes in what the process that leads tells another one. What is demanded is heard to the end, also after the last epoch.
pub(super) fn hear_leader(leader: Peer, shared: Arc<Shared>) -> Result<Receiver<Told>, EngineError> {
    // Bounded by the window of the process that leads: it tells no epoch that is so far ahead of the slowest lane, for which all workers must be done.
    let (sender, told) = std::sync::mpsc::channel();
    spawn("cluster-0", move || {
        let mut closed = false;
        loop {
            let heard = match leader.receive() {
                Ok(ToFollower::Demand(epoch)) => {
                    shared.committed.demand(epoch);
                    continue;
                }
                Ok(ToFollower::Entry(entry, snapshot)) => Ok(Some((entry, snapshot))),
                Ok(ToFollower::Close) => Ok(None),
                Ok(other) => Err(leader.unexpected(&other)),
                // It ends after the others.
                Err(_) if closed => return,
                Err(error) => Err(error),
            };
            closed |= matches!(heard, Ok(None));
            let failed = heard.is_err();
            if sender.send(heard).is_err() && !closed || failed {
                return;
            }
        }
    })?;
    Ok(told)
}
