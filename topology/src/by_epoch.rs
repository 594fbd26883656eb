//! The one shape of a keyed operator: gather an epoch, and act when it is complete.
//!
//! Acting on whole epochs, in order, on input sorted by source position is what makes the output independent of the number of
//! workers and of the order in which their messages arrive (invariant I4).
use std::collections::BTreeMap;

use differential_dataflow::VecCollection;
use timely::ExchangeData;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, ParallelizationContract, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::vec::delay::Delay as _;

use crate::epoch::Epoch;

/// The timestamp of every dataflow: an [`Epoch`]'s number.
pub type Time = u64;

/// A stream of records.
pub type Flow<'scope, D> = Stream<'scope, Time, Vec<D>>;

/// A differential update.
pub type Update<D> = (D, Time, isize);

/// The updates of a collection, each in a message of its own epoch, as [`ByEpoch`] wants them. Differential's operators put the updates of several
/// epochs into one message, stamped with the earliest, when they have several to do at once: acting on the message's time would move an output to
/// another epoch, and behind a lane's gate it would be lost.
pub fn updates_in_time<D: Clone + 'static>(collection: VecCollection<'_, Time, D, isize>) -> Flow<'_, Update<D>> {
    collection.inner.delay(|(_data, time, _diff), _message_time| *time)
}

/// Operators that act on completed epochs.
pub trait ByEpoch<'scope, D> {
    /// Routes records to workers by `route` modulo their number, and calls `logic` with each completed epoch, in order.
    ///
    /// `hydrate` runs at the start, at epoch `resume`, until it says that there is no more: what it emits rebuilds the state downstream of tables that
    /// a snapshot restored; every lane has committed that epoch, so none of it leaves the process (invariant I3). What one call emits is taken in
    /// downstream before the next, so that a large state is never there once more on its way.
    ///
    /// ```
    /// use sightline_topology::by_epoch::ByEpoch;
    /// use sightline_topology::epoch::Epoch;
    /// use timely::dataflow::operators::{Inspect, ToStream};
    ///
    /// timely::example(|scope| {
    ///     (0..10u64).to_stream(scope).container::<Vec<_>>()
    ///         .by_epoch("Sum", Epoch(0), |x| *x, |_: &mut Vec<u64>| false, |_epoch, numbers, out| out.push(numbers.iter().sum::<u64>()))
    ///         .inspect(|sum| assert_eq!(*sum, 45));
    /// });
    /// ```
    fn by_epoch<O, R, H, L>(self, name: &str, resume: Epoch, route: R, hydrate: H, logic: L) -> Flow<'scope, O>
    where
        O: Clone + 'static,
        R: Fn(&D) -> u64 + 'static,
        H: FnMut(&mut Vec<O>) -> bool + 'static,
        L: FnMut(Epoch, Vec<D>, &mut Vec<O>) + 'static;

    /// The same without moving records between workers.
    fn by_epoch_here<O, H, L>(self, name: &str, resume: Epoch, hydrate: H, logic: L) -> Flow<'scope, O>
    where
        O: Clone + 'static,
        H: FnMut(&mut Vec<O>) -> bool + 'static,
        L: FnMut(Epoch, Vec<D>, &mut Vec<O>) + 'static;
}

impl<'scope, D: ExchangeData> ByEpoch<'scope, D> for Flow<'scope, D> {
    fn by_epoch<O, R, H, L>(self, name: &str, resume: Epoch, route: R, hydrate: H, logic: L) -> Flow<'scope, O>
    where
        O: Clone + 'static,
        R: Fn(&D) -> u64 + 'static,
        H: FnMut(&mut Vec<O>) -> bool + 'static,
        L: FnMut(Epoch, Vec<D>, &mut Vec<O>) + 'static,
    {
        gather(self, Exchange::new(move |record: &D| route(record)), name, resume, hydrate, logic)
    }

    fn by_epoch_here<O, H, L>(self, name: &str, resume: Epoch, hydrate: H, logic: L) -> Flow<'scope, O>
    where
        O: Clone + 'static,
        H: FnMut(&mut Vec<O>) -> bool + 'static,
        L: FnMut(Epoch, Vec<D>, &mut Vec<O>) + 'static,
    {
        gather(self, Pipeline, name, resume, hydrate, logic)
    }
}

fn gather<'scope, D, P, O, H, L>(stream: Flow<'scope, D>, pact: P, name: &str, resume: Epoch, hydrate: H, mut logic: L) -> Flow<'scope, O>
where
    D: ExchangeData,
    P: ParallelizationContract<Time, Vec<D>>,
    O: Clone + 'static,
    H: FnMut(&mut Vec<O>) -> bool + 'static,
    L: FnMut(Epoch, Vec<D>, &mut Vec<O>) + 'static,
{
    let scope = stream.scope();
    stream.unary_frontier::<CapacityContainerBuilder<Vec<O>>, _, _, _>(pact, name, |mut capability, info| {
        let activator = scope.activator_for(info.address);
        capability.downgrade(&resume.0);
        let mut hydration = Some((capability, hydrate));
        let mut open: BTreeMap<Time, (Capability<Time>, Vec<D>)> = BTreeMap::new();
        let mut emitted = Vec::new();
        move |(input, frontier), output| {
            if let Some((capability, mut hydrate)) = hydration.take() {
                let has_more = hydrate(&mut emitted);
                output.session(&capability).give_container(&mut emitted);
                emitted.clear();
                if has_more {
                    hydration = Some((capability, hydrate));
                    activator.activate();
                }
            }
            input.for_each(|capability, records| {
                open.entry(*capability.time()).or_insert_with(|| (capability.retain(0), Vec::new())).1.append(records);
            });
            while let Some(entry) = open.first_entry() {
                if hydration.is_some() || frontier.less_equal(entry.key()) {
                    break;
                }
                let (epoch, (capability, records)) = entry.remove_entry();
                logic(Epoch(epoch), records, &mut emitted);
                if !emitted.is_empty() {
                    output.session(&capability).give_container(&mut emitted);
                    // One large epoch must not leave its buffer behind in every operator.
                    emitted = Vec::new();
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use differential_dataflow::input::Input as _;

    use super::*;

    #[test]
    fn i4_updates_of_several_epochs_at_once_are_acted_on_each_in_its_own() {
        let acted = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&acted);
        timely::execute_directly(move |worker| {
            let mut input = worker.dataflow::<Time, _, _>(|scope| {
                let (input, numbers) = scope.new_collection::<u64, isize>();
                updates_in_time(numbers.consolidate()).by_epoch_here(
                    "Test",
                    Epoch(0),
                    |_: &mut Vec<()>| false,
                    move |epoch, updates, _| told.lock().unwrap().extend(updates.into_iter().map(|(_, time, _)| (epoch.0, time))),
                );
                input
            });
            // The worker takes no step between the epochs, as when it is behind.
            for epoch in 1..=5 {
                input.advance_to(epoch);
                input.insert(epoch);
            }
            input.advance_to(6);
            input.flush();
        });
        assert_eq!(*acted.lock().unwrap(), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]);
    }
}
