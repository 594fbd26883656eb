//! The diagram of ARCHITECTURE.md, as code. Every worker builds the same graph.
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use sightline_formats::sources::Sources;
use sightline_schemas::Micros;
use timely::dataflow::Scope;
use timely::dataflow::operators::probe::Handle as Probe;
use timely::dataflow::operators::vec::Map;
use timely::dataflow::operators::{Concat, Input, OkErr, Probe as _};

use crate::by_epoch::{Flow, Time, updates_in_time};
use crate::cluster::Place;
use crate::epoch::Epoch;
use crate::events::enrich::{EnrichMessage, enrich};
use crate::events::parse::{EventParsing, ParsedEvent, events};
use crate::intel::changes::part_changes;
use crate::intel::entities::{Entities, entities};
use crate::intel::index::{IndexLink, IndexMessage, IndexOut, IndexSettings, LinkChange, index};
use crate::intel::observed::{link_message, observed_links, observed_rows};
use crate::intel::packages::{PackageMessage, PackageOut, Packages, packages};
use crate::intel::relations::{WaitingMessage, join_ends, relation_rows, report_unresolved};
use crate::intel::{IntelMessage, Routed, Tick};
use crate::lane::LaneSender;
use crate::output::{Emission, Emitter, LaneMessage, to_lanes};
use crate::settings::TopologySettings;
use crate::source::{InputTopic, Raw, SourceRef};
use crate::state::documents::Documents;
use crate::tables::Tables;

/// What one worker brings to the graph.
pub struct WorkerParts {
    /// Which worker this is, of those of all processes.
    pub worker: usize,
    /// Who runs which workers and lanes.
    pub place: Place,
    /// The epoch of the restored state; nothing up to here is emitted.
    pub resume: Epoch,
    /// Restored tables of this worker's vnodes.
    pub tables: Rc<RefCell<Tables>>,
    /// Restored documents of this worker's vnodes.
    pub documents: Rc<RefCell<Documents>>,
    /// Writes records.
    pub emitter: Emitter,
    /// The lanes that this worker feeds.
    pub lanes: Vec<(u32, LaneSender)>,
    /// Lanes in all.
    pub lane_count: u32,
    /// Settings.
    pub settings: TopologySettings,
    /// Sources of events, made of the settings.
    pub sources: Arc<Sources>,
}

type InputOf<D> = timely::dataflow::InputHandle<Time, timely::container::CapacityContainerBuilder<Vec<D>>>;

/// A worker's hands on its inputs.
pub struct Inputs {
    /// Records of `in.control` (to every worker) and `in.intel`.
    pub packages: InputOf<PackageMessage>,
    /// Records of `in.logs`.
    pub logs: InputOf<Raw>,
    /// The clock: (worker, tick).
    pub ticks: InputOf<(u64, Tick)>,
    /// Where the graph is.
    pub probe: Probe<Time>,
}

impl Inputs {
    /// No more input before `epoch`.
    pub fn advance_to(&mut self, epoch: Epoch) {
        self.packages.advance_to(epoch.0);
        self.logs.advance_to(epoch.0);
        self.ticks.advance_to(epoch.0);
        self.packages.flush();
        self.logs.flush();
        self.ticks.flush();
    }
}

/// Builds the graph.
pub fn build(scope: Scope<'_, Time>, parts: WorkerParts) -> Inputs {
    let WorkerParts { worker, place, resume, tables, documents, emitter, lanes, lane_count, settings, sources } = parts;
    let (package_input, records) = scope.new_input::<Vec<PackageMessage>>();
    let (log_input, logs) = scope.new_input::<Vec<Raw>>();
    let (tick_input, ticks) = scope.new_input::<Vec<(u64, Tick)>>();

    // Packages to claims.
    let (claims, package_rows) = packages(
        records.concat(ticks.clone().map(|(worker, tick)| PackageMessage::Tick(worker, tick))),
        Packages {
            resume,
            tables: Rc::clone(&tables),
            emitter: emitter.clone(),
            limits: settings.limits.clone(),
            settings: settings.intel.clone(),
            workers: place.all() as u64,
            worker: worker as u64,
        },
    )
    .ok_err(|out| match out {
        PackageOut::Message(message) => Ok(*message),
        PackageOut::Row(row) => Err(row),
    });

    // Claims to heads, and what changes with them.
    let changes = part_changes(entities(
        claims.concat(ticks.clone().map(tick_for_entities)),
        Entities {
            resume,
            tables: Rc::clone(&tables),
            documents: Rc::clone(&documents),
            emitter: emitter.clone(),
            limits: settings.limits.clone(),
        },
    ));

    // Observed data ⋈ objects.
    let observed = observed_links(changes.objects, changes.observations);
    let observed_rows =
        observed_rows(changes.observed.concat(updates_in_time(observed.clone()).map(link_message)), resume, emitter.clone());
    let observed_index = updates_in_time(observed).flat_map(|(link, _time, diff)| {
        let held =
            IndexLink { observable: link.observable, entity: link.observed, role: sightline_schemas::Role::Observed, seen: link.seen };
        [IndexMessage::Link(LinkChange { diff, link: held, value: link.value, origin: None })]
    });

    // Relations ⋈ both ends.
    let joined = join_ends(changes.relations, changes.present);
    let relation_rows = relation_rows(updates_in_time(joined.relations), resume, emitter.clone(), Rc::clone(&documents));
    let unresolved = report_unresolved(
        updates_in_time(joined.waiting.consolidate())
            .map(|(fact, _time, diff)| WaitingMessage::Update(fact, diff))
            .concat(ticks.clone().map(|(worker, tick)| WaitingMessage::Tick(worker, tick))),
        resume,
        Micros(settings.intel.reference_grace_ms.saturating_mul(1000)),
        emitter.clone(),
        Rc::clone(&tables),
        documents,
    );

    // Events ⋈ indicators, by way of the index.
    let look_back = settings.events.look_back.clone();
    let parsing =
        EventParsing { limits: settings.limits, settings: settings.events, sources, emitter: emitter.clone(), worker: worker as u32 };
    let (open_events, other) = events(logs, parsing).ok_err(|parsed| match parsed {
        ParsedEvent::Event(event) => Ok(EnrichMessage::Event(event)),
        other => Err(other),
    });
    let other: Flow<'_, ParsedEvent> = other;
    let (probes, event_rejects) = other.ok_err(|parsed| match parsed {
        ParsedEvent::Probe(probe) => Ok(IndexMessage::Probe(probe)),
        ParsedEvent::Row(row) => Err(row),
        ParsedEvent::Event(_) => unreachable!("events were parted off above"),
    });
    let workers = place.all() as u64;
    let allow = changes.allow.flat_map(move |change| (0..workers).map(move |worker| IndexMessage::Allow(worker, change.clone())));
    let wide = changes.wide.flat_map(move |change| (0..workers).map(move |worker| IndexMessage::Wide(worker, change.clone())));
    let (hits, observable_rows) = index(
        changes
            .index
            .concat(observed_index)
            .concat(allow)
            .concat(wide)
            .concat(probes)
            .concat(ticks.clone().map(|(worker, tick)| IndexMessage::Tick(worker, tick))),
        resume,
        IndexSettings { max_holders: settings.intel.max_holders, look_back },
        emitter.clone(),
        tables,
    )
    .ok_err(|out| match out {
        IndexOut::Hit(hit) => Ok(EnrichMessage::Hit(hit)),
        IndexOut::Row(row) => Err(row),
    });
    let event_rows = enrich(open_events.concat(hits), resume, emitter);

    // Everything leaves through the lanes.
    let rows = package_rows
        .concat(changes.rows)
        .concat(observable_rows)
        .concat(event_rejects)
        .map(LaneMessage::Emission)
        .concat(boxed(observed_rows.concat(relation_rows).concat(unresolved).concat(event_rows)))
        .concat(ticks.map(|(worker, _tick)| LaneMessage::Tick(worker)));
    let probe = Probe::new();
    to_lanes(rows, resume, lanes, lane_count, place).probe_with(&probe);
    Inputs { packages: package_input, logs: log_input, ticks: tick_input, probe }
}

fn boxed(rows: Flow<'_, Emission>) -> Flow<'_, LaneMessage> {
    rows.map(|row| LaneMessage::Emission(Box::new(row)))
}

/// The clock as the entities operator hears it: its place among the records of an epoch does not matter.
fn tick_for_entities((worker, tick): (u64, Tick)) -> Routed {
    let at = SourceRef { topic: InputTopic::Control, partition: -1, offset: -1 };
    Routed { route: worker, at, seq: 0, message: IntelMessage::Tick(tick) }
}
