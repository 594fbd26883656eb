//! The threads of timely, and what each of them is given.
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sightline_formats::sources::Sources;

use super::{EngineError, Shared};
use crate::cluster::{Channel, Place};
use crate::dataflow::WorkerParts;
use crate::epoch::Epoch;
use crate::lane::LaneSender;
use crate::output::Emitter;
use crate::settings::TopologySettings;
use crate::worker::{self, Feed};

/// How many updates of an arrangement a worker merges each time that it has nothing else to do. Without it a merge that was begun waits for more input
/// to be paid for, and the arrangement is in memory twice until then.
const IDLE_EFFORT: isize = 100_000;

/// What moves into a worker's thread; the graph's shared cells are made there.
pub(super) struct PartsToMove {
    pub(super) worker: usize,
    pub(super) tables: crate::tables::Tables,
    pub(super) documents: crate::state::documents::Documents,
    pub(super) lanes: Vec<(u32, LaneSender)>,
}

/// What the graphs of all workers have in common.
pub(super) struct Graph {
    pub(super) place: Place,
    pub(super) emitter: Emitter,
    pub(super) resume: Epoch,
    pub(super) settings: TopologySettings,
    pub(super) sources: Arc<Sources>,
}

pub(super) fn start_workers(
    parts: Vec<PartsToMove>,
    receivers: Vec<Receiver<Feed>>,
    graph: Graph,
    connections: Vec<Option<Channel>>,
    shared: Arc<Shared>,
) -> Result<JoinHandle<Result<(), String>>, EngineError> {
    let Graph { place, emitter, resume, settings, sources } = graph;
    let slots: Vec<_> = parts.into_iter().zip(receivers).map(|slot| Mutex::new(Some(slot))).collect();
    std::thread::Builder::new()
        .name("workers".into())
        .spawn(move || {
            let (builders, network) = worker::builders(place, connections)?;
            let mut config = timely::WorkerConfig::default();
            differential_dataflow::configure(&mut config, &differential_dataflow::Config::default().idle_merge_effort(Some(IDLE_EFFORT)));
            let guards = timely::execute::execute_from(builders, network, config, move |timely_worker| {
                let slot = slots.get(timely_worker.index() - place.own().start);
                let Some((parts, feed)) = slot.and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take()) else { return };
                let PartsToMove { worker, tables, documents, lanes } = parts;
                let parts = WorkerParts {
                    worker,
                    place,
                    resume,
                    tables: worker::shared(tables),
                    documents: worker::shared(documents),
                    emitter: emitter.clone(),
                    lanes,
                    lane_count: settings.lanes.count,
                    settings: settings.clone(),
                    sources: Arc::clone(&sources),
                };
                worker::run(timely_worker, parts, &feed);
            })?;
            let failed: Vec<String> = guards.join().into_iter().filter_map(Result::err).collect();
            if failed.is_empty() {
                Ok(())
            } else {
                shared.stop.store(true, Ordering::SeqCst);
                Err(failed.join("; "))
            }
        })
        .map_err(|_| EngineError::Thread("workers".into()))
}
