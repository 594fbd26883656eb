//! Parts the changes of entities by where they go: rows, the index, and the differential collections.
use differential_dataflow::{AsCollection, VecCollection};
use sightline_schemas::EntityKey;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;

use super::allowed::ListChange;
use super::entities::Change;
use super::head::RelationFact;
use super::index::IndexMessage;
use super::observed::{ObjectFact, ObservedFact, ObservedMessage};
use super::wide::WideChange;
use crate::by_epoch::{Flow, Time};
use crate::output::Emission;

/// The changes of entities, parted.
pub struct Changes<'scope> {
    /// Rows of entities and links.
    pub rows: Flow<'scope, Box<Emission>>,
    /// Rows of observed data, to be completed.
    pub observed: Flow<'scope, ObservedMessage>,
    /// Links.
    pub index: Flow<'scope, IndexMessage>,
    /// Allow-lists.
    pub allow: Flow<'scope, Box<ListChange>>,
    /// What indicators name at large.
    pub wide: Flow<'scope, Box<WideChange>>,
    /// Entities that exist.
    pub present: VecCollection<'scope, Time, EntityKey, isize>,
    /// Relations asserted.
    pub relations: VecCollection<'scope, Time, RelationFact, isize>,
    /// Objects that are observables.
    pub objects: VecCollection<'scope, Time, ObjectFact, isize>,
    /// Observed data that refers to objects.
    pub observations: VecCollection<'scope, Time, ObservedFact, isize>,
}

/// Parts a stream of changes without copying them.
pub fn part_changes(changes: Flow<'_, Change>) -> Changes<'_> {
    let mut builder = OperatorBuilder::new("Changes".into(), changes.scope());
    let mut input = builder.new_input(changes, Pipeline);
    macro_rules! output {
        ($flow:ident, $output:ident: $item:ty) => {
            let ($output, $flow) = builder.new_output::<Vec<$item>>();
            let mut $output = OutputBuilder::<Time, CapacityContainerBuilder<Vec<$item>>>::from($output);
        };
    }
    output!(rows, rows_out: Box<Emission>);
    output!(observed, observed_out: ObservedMessage);
    output!(index, index_out: IndexMessage);
    output!(allow, allow_out: Box<ListChange>);
    output!(wide, wide_out: Box<WideChange>);
    output!(present, present_out: (EntityKey, Time, isize));
    output!(relations, relations_out: (RelationFact, Time, isize));
    output!(objects, objects_out: (ObjectFact, Time, isize));
    output!(observations, observations_out: (ObservedFact, Time, isize));
    builder.build(move |_capabilities| {
        move |_frontiers| {
            let mut rows = rows_out.activate();
            let mut observed = observed_out.activate();
            let mut index = index_out.activate();
            let mut allow = allow_out.activate();
            let mut wide = wide_out.activate();
            let mut present = present_out.activate();
            let mut relations = relations_out.activate();
            let mut objects = objects_out.activate();
            let mut observations = observations_out.activate();
            input.for_each(|capability, changes| {
                let time = *capability.time();
                let mut rows = rows.session(&capability);
                let mut observed = observed.session(&capability);
                let mut index = index.session(&capability);
                let mut allow = allow.session(&capability);
                let mut wide = wide.session(&capability);
                let mut present = present.session(&capability);
                let mut relations = relations.session(&capability);
                let mut objects = objects.session(&capability);
                let mut observations = observations.session(&capability);
                for change in changes.drain(..) {
                    match change {
                        Change::Row(row) => rows.give(row),
                        Change::Observed(message) => observed.give(*message),
                        Change::Link(change) => index.give(IndexMessage::Link(change)),
                        Change::Allow(change) => allow.give(change),
                        Change::Wide(change) => wide.give(change),
                        Change::Present(entity, diff) => present.give((entity, time, diff)),
                        Change::Relation(fact, diff) => relations.give((fact, time, diff)),
                        Change::Object(fact, diff) => objects.give((fact, time, diff)),
                        Change::Observation(fact, diff) => observations.give((fact, time, diff)),
                    }
                }
            });
        }
    });
    Changes {
        rows,
        observed,
        index,
        allow,
        wide,
        present: present.as_collection(),
        relations: relations.as_collection(),
        objects: objects.as_collection(),
        observations: observations.as_collection(),
    }
}
