//! What a sink promises, whatever the store.
use std::collections::{BTreeMap, BTreeSet};

use sightline_connectors::digest::Sums;
use sightline_connectors::{Batch, SinkConnector, SinkError};
use sightline_schemas::Role;
use sightline_schemas::avro::{OutputRecord, RecordType};

use super::records::*;
use super::stores::{Store, expected, held, wrong};

/// Of `values`, those that the sink holds of type `ty`.
fn of_type(values: &[OutputRecord], ty: RecordType) -> Vec<OutputRecord> {
    values.iter().filter(|value| value.record_type() == ty).cloned().collect()
}

pub fn supported(sink: &dyn SinkConnector, values: Vec<OutputRecord>) -> Vec<OutputRecord> {
    values.into_iter().filter(|value| sink.supports().contains(&value.record_type())).collect()
}

pub async fn an_upsert_is_held_as_it_was_given(store: &Store) {
    let mut sink = store.opened().await;
    let values = supported(&*sink, one_of_each());
    sink.put(&batch(values.clone(), 1, 10)).await.unwrap();
    for ty in sink.supports() {
        let expected = expected(&*sink, &of_type(&values, *ty));
        assert_eq!(held(&mut *sink, *ty).await, expected, "{ty}");
    }
}

pub async fn the_newer_epoch_wins_whatever_comes_last(store: &Store) {
    let mut sink = store.opened().await;
    let (old, new) = (entity(MALWARE, "old"), entity(MALWARE, "new"));
    sink.put(&batch(vec![new.clone()], 7, 1)).await.unwrap();
    sink.put(&batch(vec![old.clone()], 6, 2)).await.unwrap();
    assert_eq!(held(&mut *sink, RecordType::Entity).await, expected(&*sink, std::slice::from_ref(&new)), "an older one is ignored");
    let newest = entity(MALWARE, "newest");
    sink.put(&of(vec![upsert(old, 8, 3), upsert(newest.clone(), 9, 4)], 5)).await.unwrap();
    assert_eq!(held(&mut *sink, RecordType::Entity).await, expected(&*sink, &[newest]), "the last of one batch holds");
}

pub async fn a_delete_removes_and_an_older_one_does_not(store: &Store) {
    let mut sink = store.opened().await;
    let values = supported(&*sink, one_of_each().into_iter().filter(|value| value.record_type() != RecordType::Event).collect());
    sink.put(&batch(values.clone(), 5, 10)).await.unwrap();
    sink.put(&of(values.iter().map(|value| delete(value, 4, 11)).collect(), 12)).await.unwrap();
    for value in &values {
        let ty = value.record_type();
        assert_eq!(held(&mut *sink, ty).await, expected(&*sink, &of_type(&values, ty)), "an older delete of {ty} is ignored");
    }
    sink.put(&of(values.iter().map(|value| delete(value, 6, 13)).collect(), 14)).await.unwrap();
    for value in &values {
        let ty = value.record_type();
        assert_eq!(held(&mut *sink, ty).await, expected(&*sink, &[]), "{ty} is gone");
    }
    sink.put(&batch(values.clone(), 7, 15)).await.unwrap();
    for value in &values {
        let ty = value.record_type();
        assert_eq!(held(&mut *sink, ty).await, expected(&*sink, &of_type(&values, ty)), "{ty} is back");
    }
}

pub async fn a_replay_changes_nothing(store: &Store) {
    let mut sink = store.opened().await;
    let values = supported(&*sink, one_of_each());
    let first = batch(values.clone(), 1, 10);
    let gone = delete(&entity(MALWARE, ""), 2, 11);
    let second = of(vec![gone], 12);
    for _ in 0..3 {
        sink.put(&first).await.unwrap();
        sink.put(&second).await.unwrap();
    }
    let left: Vec<_> = values.iter().filter(|value| value.id() != MALWARE).cloned().collect();
    for ty in sink.supports() {
        assert_eq!(held(&mut *sink, *ty).await, expected(&*sink, &of_type(&left, *ty)), "{ty}");
    }
}

pub async fn a_new_sink_resumes_at_the_stored_positions(store: &Store) {
    let mut sink = store.opened().await;
    assert_eq!(sink.positions().await.unwrap(), vec![]);
    sink.put(&batch(vec![entity(MALWARE, "x")], 1, 3)).await.unwrap();
    sink.put(&batch(vec![observable(ADDRESS, "198.51.100.7")], 1, 8)).await.unwrap();
    sink.put(&batch(vec![entity(MALWARE, "y")], 2, 5)).await.unwrap();
    drop(sink);
    let mut again = store.opened().await;
    let mut positions = again.positions().await.unwrap();
    positions.sort();
    assert_eq!(positions, vec![at(RecordType::Entity, 5), at(RecordType::Observable, 8)]);
    again.put(&batch(vec![entity(MALWARE, "z")], 3, 6)).await.unwrap();
    again.close().await;
    let mut unopened = store.sink();
    let mut positions = unopened.positions().await.unwrap();
    positions.sort();
    assert_eq!(positions, vec![at(RecordType::Entity, 6), at(RecordType::Observable, 8)], "readable without taking over");
}

pub async fn a_zombie_is_fenced_and_changes_nothing(store: &Store) {
    let mut zombie = store.opened().await;
    zombie.put(&batch(vec![entity(MALWARE, "before")], 1, 1)).await.unwrap();
    let mut owner = store.opened().await;
    owner.put(&batch(vec![entity(MALWARE, "owner")], 2, 2)).await.unwrap();
    let late = zombie.put(&batch(vec![entity(MALWARE, "zombie")], 3, 99)).await;
    assert!(matches!(late, Err(SinkError::Fenced { .. })), "{late:?}");
    assert_eq!(owner.positions().await.unwrap(), vec![at(RecordType::Entity, 2)]);
    assert_eq!(held(&mut *owner, RecordType::Entity).await, expected(&*owner, &[entity(MALWARE, "owner")]));
    owner.put(&batch(vec![entity(MALWARE, "still")], 4, 3)).await.unwrap();
}

pub async fn a_part_without_positions_leaves_the_stored_ones(store: &Store) {
    let mut sink = store.opened().await;
    sink.put(&batch(vec![entity(MALWARE, "x")], 1, 3)).await.unwrap();
    let part = Batch { records: vec![upsert(entity(INDICATOR, "y"), 2, 3)], next: vec![] };
    sink.put(&part).await.unwrap();
    assert_eq!(sink.positions().await.unwrap(), vec![at(RecordType::Entity, 3)]);
    sink.put(&Batch { records: vec![], next: vec![at(RecordType::Entity, 4)] }).await.unwrap();
    assert_eq!(sink.positions().await.unwrap(), vec![at(RecordType::Entity, 4)], "positions alone can be stored too");
    assert_eq!(held(&mut *sink, RecordType::Entity).await.len(), 2);
}

pub async fn what_was_never_written_is_empty_and_not_an_error(store: &Store) {
    let mut sink = store.sink();
    assert_eq!(sink.positions().await.unwrap(), vec![]);
    for ty in sink.supports() {
        assert!(held(&mut *sink, *ty).await.is_empty(), "{ty}");
    }
}

pub async fn links_outlive_the_order_of_arrival(store: &Store) {
    let mut sink = store.opened().await;
    let indicator = entity(INDICATOR, "Indicator");
    let values = vec![
        link(INDICATOR, ADDRESS, Role::Pattern),
        link(INDICATOR, ADDRESS, Role::Description),
        link(INDICATOR, DOMAIN, Role::Pattern),
        relation("relationship--1", "indicates"),
        relation("relationship--2", "indicates"),
        relation("reference--3", "x-odd`type"),
        observable(ADDRESS, "198.51.100.7"),
        observable(DOMAIN, "evil.example"),
        indicator.clone(),
    ];
    let values = supported(&*sink, values);
    for (n, value) in values.iter().enumerate() {
        sink.put(&batch(vec![value.clone()], n as u64 + 1, n as i64 + 1)).await.unwrap();
    }
    for ty in sink.supports() {
        assert_eq!(held(&mut *sink, *ty).await, expected(&*sink, &of_type(&values, *ty)), "{ty}");
    }
    sink.put(&of(vec![delete(&indicator, 20, 20)], 21)).await.unwrap();
    assert!(held(&mut *sink, RecordType::Entity).await.is_empty());
    let relations = of_type(&values, RecordType::Relation);
    assert_eq!(held(&mut *sink, RecordType::Relation).await, expected(&*sink, &relations), "an edge outlives its end");
    sink.put(&batch(vec![indicator.clone()], 22, 22)).await.unwrap();
    assert_eq!(held(&mut *sink, RecordType::Entity).await, expected(&*sink, &[indicator]));
}

pub async fn mending_fences_nobody_and_moves_no_position(store: &Store) {
    let mut owner = store.opened().await;
    owner.put(&batch(vec![entity(MALWARE, "x")], 1, 3)).await.unwrap();
    let mut mender = store.sink();
    assert_eq!(mender.mend(&[], &batch(vec![entity(INDICATOR, "missing")], 1, 99)).await.unwrap().left, 0);
    owner.put(&batch(vec![entity(MALWARE, "y")], 2, 4)).await.unwrap();
    assert_eq!(owner.positions().await.unwrap(), vec![at(RecordType::Entity, 4)]);
    let expected = expected(&*owner, &[entity(INDICATOR, "missing"), entity(MALWARE, "y")]);
    assert_eq!(held(&mut *owner, RecordType::Entity).await, expected);
}

pub async fn mending_takes_out_what_is_wrong_whatever_its_epoch_and_once(store: &Store) {
    let mut sink = store.opened().await;
    let right = supported(&*sink, one_of_each());
    sink.put(&batch(right.clone(), 1, 10)).await.unwrap();
    // As if by hand: one changed, one that nobody has, both of an epoch far ahead.
    let meddling = batch(vec![entity(MALWARE, "changed"), entity("malware--extra", "extra")], 900, 10);
    sink.mend(&[], &meddling).await.unwrap();
    let all = [
        wrong(&mut *sink, RecordType::Entity, &format!("acme:{MALWARE}")).await,
        wrong(&mut *sink, RecordType::Entity, "acme:malware--extra").await,
    ];
    let batch = Batch { records: vec![upsert(entity(MALWARE, "Mal'ware"), 1, 0)], next: vec![] };
    assert_eq!(sink.mend(&all, &batch).await.unwrap().left, 0);
    assert_eq!(sink.mend(&all, &batch).await.unwrap().left, 2, "none is there any more as it was seen");
    for ty in sink.supports() {
        assert_eq!(held(&mut *sink, *ty).await, expected(&*sink, &of_type(&right, *ty)), "{ty}");
    }
    sink.put(&super::records::batch(vec![entity(MALWARE, "newer")], 2, 11)).await.unwrap();
    assert!(
        held(&mut *sink, RecordType::Entity).await.values().any(|digest| *digest == sink.digest(&entity(MALWARE, "newer"))),
        "the next epoch is taken"
    );
}

pub async fn mending_leaves_what_the_connector_wrote_meanwhile(store: &Store) {
    let mut sink = store.opened().await;
    let mut mender = store.sink();
    sink.put(&batch(vec![entity(MALWARE, "seen"), entity(INDICATOR, "x")], 1, 1)).await.unwrap();
    let seen = wrong(&mut *mender, RecordType::Entity, &format!("acme:{MALWARE}")).await;
    sink.put(&batch(vec![entity(MALWARE, "meanwhile")], 3, 2)).await.unwrap();
    assert_eq!(mender.mend(&[seen], &batch(vec![entity(MALWARE, "late")], 2, 1)).await.unwrap().left, 1);
    sink.put(&of(vec![delete(&entity(INDICATOR, ""), 4, 3)], 4)).await.unwrap();
    // Older than the deletion, which no row remembers everywhere: the caller looks into the topic afterwards, and deletes again.
    mender.mend(&[], &batch(vec![entity(INDICATOR, "back")], 2, 1)).await.unwrap();
    mender.mend(&[], &of(vec![delete(&entity(INDICATOR, ""), 4, 3)], 4)).await.unwrap();
    assert_eq!(held(&mut *sink, RecordType::Entity).await, expected(&*sink, &[entity(MALWARE, "meanwhile")]));
}

pub async fn the_connector_knows_the_edges_that_were_mended(store: &Store) {
    let edges = [relation("relationship--1", "uses"), sighting("e1", false), link(INDICATOR, ADDRESS, Role::Pattern)];
    let mut owner = store.opened().await;
    let edges = supported(&*owner, edges.to_vec());
    // The owner has never seen them when they come from beside it.
    store.sink().mend(&[], &batch(edges.clone(), 1, 1)).await.unwrap();
    owner.put(&batch(edges.clone(), 2, 2)).await.unwrap();
    for value in &edges {
        let ty = value.record_type();
        assert_eq!(held(&mut *owner, ty).await, expected(&*owner, &of_type(&edges, ty)), "{ty} is there once");
    }
    owner.put(&of(edges.iter().map(|value| delete(value, 3, 3)).collect(), 4)).await.unwrap();
    for value in &edges {
        assert!(held(&mut *owner, value.record_type()).await.is_empty(), "{} is gone", value.record_type());
    }
}

pub async fn sums_are_those_of_the_records_however_they_came(store: &Store) {
    let mut sink = store.opened().await;
    let values = supported(&*sink, one_of_each());
    let first: Vec<_> = values.iter().enumerate().map(|(n, value)| upsert(value.clone(), 1, n as i64)).collect();
    sink.put(&of(first.clone(), 10)).await.unwrap();
    sink.put(&of(first.clone(), 10)).await.unwrap();
    let newer = upsert(entity(MALWARE, "newer"), 5, 11);
    sink.put(&of(vec![newer.clone()], 12)).await.unwrap();
    sink.put(&of(vec![upsert(entity(MALWARE, "older"), 3, 11)], 12)).await.unwrap();
    sink.put(&of(vec![delete(&entity(INDICATOR, ""), 6, 12)], 13)).await.unwrap();
    let mended = upsert(observable(DOMAIN, "evil.example"), 2, 12);
    sink.mend(&[], &of(vec![mended.clone()], 13)).await.unwrap();
    let held = first.iter().filter(|record| !matches!(record.id.as_str(), MALWARE | INDICATOR)).chain([&newer, &mended]);
    let mut expected: BTreeMap<RecordType, Sums> = BTreeMap::new();
    for record in held {
        let digest = record.digest();
        expected.entry(record.ty).or_default().of(digest).add(digest);
    }
    for ty in sink.supports() {
        // A sink that keeps no digests is scanned.
        if let Some(sums) = sink.sums(*ty).await.unwrap() {
            assert_eq!(sums.differing(&expected.remove(ty).unwrap_or_default()), BTreeSet::new(), "{ty}");
        }
    }
}
