//! Records of every type with anything in their fields.
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::OutputRecord;
use crate::observable::{ObservableKind, Role};
use crate::record::*;
use crate::time::Micros;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["\\PC{0,20}", "[a-z-]{0,80}"]
}

fn instant() -> impl Strategy<Value = Micros> {
    any::<i64>().prop_map(Micros)
}

fn kind() -> impl Strategy<Value = ObservableKind> {
    select(ObservableKind::ALL)
}

fn role() -> impl Strategy<Value = Role> {
    select(Role::ALL)
}

fn held() -> impl Strategy<Value = HeldObservable> {
    (text(), kind(), text(), role()).prop_map(|(id, kind, value, role)| HeldObservable { id, kind, value, role })
}

fn entity() -> impl Strategy<Value = EntityRecord> {
    let who = (text(), text(), text(), option::of(text()), option::of(text()));
    let version = (option::of(instant()), option::of(instant()), any::<bool>(), option::of(any::<i32>()), option::of(text()));
    let lists = (vec(text(), 0..4), vec(text(), 0..4), vec(held(), 0..4));
    let rest = (option::of(instant()), option::of(instant()), text());
    (who, version, lists, rest).prop_map(|(who, version, lists, rest)| {
        let (tenant, id, ty, name, description) = who;
        let (created, modified, revoked, confidence, tlp) = version;
        let (labels, sources, observables) = lists;
        let (valid_from, valid_until, doc) = rest;
        EntityRecord {
            tenant,
            id,
            ty,
            name,
            description,
            created,
            modified,
            revoked,
            confidence,
            tlp,
            labels,
            sources,
            valid_from,
            valid_until,
            observables,
            doc,
        }
    })
}

fn observable() -> impl Strategy<Value = ObservableRecord> {
    let holder = (text(), role()).prop_map(|(id, role)| Holder { id, role });
    (text(), text(), kind(), text(), option::of(instant()), option::of(instant()), any::<i64>(), vec(holder, 0..4)).prop_map(
        |(tenant, id, kind, value, first_seen, last_seen, holders, entities)| ObservableRecord {
            tenant,
            id,
            kind,
            value,
            first_seen,
            last_seen,
            holders,
            entities,
        },
    )
}

fn link() -> impl Strategy<Value = LinkRecord> {
    (text(), text(), text(), role()).prop_map(|(tenant, entity_id, observable_id, role)| LinkRecord {
        tenant,
        entity_id,
        observable_id,
        role,
    })
}

fn relation() -> impl Strategy<Value = RelationRecord> {
    (text(), text(), text(), text(), text(), option::of(text())).prop_map(|(tenant, id, ty, source_id, target_id, doc)| RelationRecord {
        tenant,
        id,
        ty,
        source_id,
        target_id,
        doc,
    })
}

fn event() -> impl Strategy<Value = EventRecord> {
    let found = (text(), kind(), text(), text()).prop_map(|(id, kind, value, field)| EventObservable { id, kind, value, field });
    let hit = (text(), text(), role()).prop_map(|(entity_id, observable_id, role)| EventMatch { entity_id, observable_id, role });
    (text(), text(), text(), instant(), text(), vec(found, 0..4), vec(hit, 0..4)).prop_map(
        |(tenant, id, source, timestamp, fields, observables, matches)| EventRecord {
            tenant,
            id,
            source,
            timestamp,
            fields,
            observables,
            matches,
        },
    )
}

fn sighting() -> impl Strategy<Value = SightingRecord> {
    (text(), text(), text(), text(), text(), instant(), any::<bool>()).prop_map(
        |(tenant, id, entity_id, observable_id, event_id, seen, retracted)| SightingRecord {
            tenant,
            id,
            entity_id,
            observable_id,
            event_id,
            seen,
            retracted,
        },
    )
}

fn package() -> impl Strategy<Value = PackageRecord> {
    let status = select(&[PackageStatus::Accepted, PackageStatus::Partial, PackageStatus::Rejected][..]);
    let counts = (any::<i64>(), any::<i64>(), any::<i64>());
    (text(), text(), text(), text(), text(), status, counts, option::of(text())).prop_map(
        |(tenant, id, feed, format, sha256, status, (entities, observables, rejected), error)| PackageRecord {
            tenant,
            id,
            feed,
            format,
            sha256,
            status,
            entities,
            observables,
            rejected,
            error,
        },
    )
}

/// A record of any type.
pub fn record() -> impl Strategy<Value = OutputRecord> {
    prop_oneof![
        entity().prop_map(OutputRecord::Entity),
        observable().prop_map(OutputRecord::Observable),
        link().prop_map(OutputRecord::Link),
        relation().prop_map(OutputRecord::Relation),
        event().prop_map(OutputRecord::Event),
        sighting().prop_map(OutputRecord::Sighting),
        package().prop_map(OutputRecord::Package),
    ]
}
