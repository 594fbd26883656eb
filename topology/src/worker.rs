//! One timely worker: restores its tables, builds the graph, and feeds it epochs until there are no more.
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::{AllocatorBuilder, Hooks};
use timely::worker::Worker;

use crate::cluster::{Channel, Place};
use crate::dataflow::{Inputs, WorkerParts, build};
use crate::epoch::Epoch;
use crate::intel::Tick;
use crate::intel::packages::PackageMessage;
use crate::source::{InputTopic, Raw};

/// How long an idle worker sleeps at most: what a new epoch waits for it.
const PARK: Duration = Duration::from_millis(1);

/// An epoch, as one worker of this process gets it.
#[derive(Debug)]
pub struct Feed {
    /// Which.
    pub epoch: Epoch,
    /// Its clock.
    pub tick: Tick,
    /// This worker's share of the records.
    pub records: Vec<Raw>,
    /// This worker tells the clock and the declarations to all workers of the cluster.
    pub tells: bool,
}

/// The workers of this process, and what joins them to those of the others: one connection a process, none for itself.
///
/// # Errors
/// What the system said.
pub fn builders(place: Place, connections: Vec<Option<Channel>>) -> Result<(Vec<AllocatorBuilder>, Box<dyn Any + Send>), String> {
    if place.processes == 1 {
        return timely::CommunicationConfig::Process(place.workers).try_build();
    }
    let hooks = Hooks::default();
    let local = ProcessBuilder::new_typed_vector(place.workers, hooks.refill.clone(), hooks.spill.clone());
    let (builders, network) = initialize_networking_from_sockets(local, connections, place.process, place.workers, hooks)
        .map_err(|error| format!("failed to join the workers of all processes: {error}"))?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(network)))
}

/// Runs a worker to the end of its feed.
pub fn run(worker: &mut Worker, parts: WorkerParts, feed: &Receiver<Feed>) {
    let (workers, resume) = (parts.place.all() as u64, parts.resume);
    let mut inputs = worker.dataflow::<u64, _, _>(|scope| build(scope, parts));
    inputs.advance_to(resume.next());
    loop {
        match feed.try_recv() {
            Ok(feed) => give(&mut inputs, feed, workers),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => break,
        }
        worker.step_or_park(Some(PARK));
    }
    let probe = inputs.probe.clone();
    drop(inputs);
    while !probe.done() {
        worker.step_or_park(Some(PARK));
    }
}

fn give(inputs: &mut Inputs, feed: Feed, workers: u64) {
    let Feed { epoch, tick, records, tells } = feed;
    for record in records {
        match record.at.topic {
            InputTopic::Control => {
                for worker in 0..workers {
                    inputs.packages.send(PackageMessage::Control(worker, Box::new(record.clone())));
                }
            }
            InputTopic::Intel => inputs.packages.send(PackageMessage::Part(Box::new(record))),
            InputTopic::Logs => inputs.logs.send(record),
        }
    }
    if tells {
        for worker in 0..workers {
            inputs.ticks.send((worker, tick));
        }
    }
    inputs.advance_to(epoch.next());
}

/// Shared by the operators of one worker; they run one after the other on its thread.
pub fn shared<T>(value: T) -> Rc<RefCell<T>> {
    Rc::new(RefCell::new(value))
}
