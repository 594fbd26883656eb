//! Records as they come from the topics.
use bytes::Bytes;
use sightline_connectors::{Batch, Op, SinkRecord};
use sightline_log::{Headers, Offset, Record, TopicPartition};
use sightline_schemas::avro::{OutputRecord, RecordType};
use sightline_schemas::record::*;
use sightline_schemas::topic::Topics;
use sightline_schemas::{Micros, ObservableKind, Role};

pub const MALWARE: &str = "malware--11111111-1111-4111-8111-111111111111";
pub const INDICATOR: &str = "indicator--22222222-2222-4222-8222-222222222222";
pub const ADDRESS: &str = "ipv4-addr--33333333-3333-5333-8333-333333333333";
pub const DOMAIN: &str = "domain-name--44444444-4444-5444-8444-444444444444";

/// 2026-01-01T00:00:00.123456Z.
pub const NEW_YEAR: Micros = Micros(1_767_225_600_123_456);

pub fn entity(id: &str, name: &str) -> OutputRecord {
    let ty = id.split("--").next().unwrap_or_default();
    OutputRecord::Entity(EntityRecord {
        tenant: "acme".into(),
        id: id.into(),
        ty: ty.into(),
        name: Some(name.into()),
        description: Some("line one\nline \"two\" \u{1F600} \\ $1 ' ; --".into()),
        created: Some(Micros(-62_135_596_800_000_000)),
        modified: Some(NEW_YEAR),
        revoked: false,
        confidence: Some(85),
        tlp: Some("amber+strict".into()),
        labels: vec!["b".into(), "a,\"{}".into()],
        sources: vec!["feed-1".into()],
        valid_from: Some(NEW_YEAR),
        valid_until: None,
        observables: vec![HeldObservable {
            id: ADDRESS.into(),
            kind: ObservableKind::Ipv4Addr,
            value: "198.51.100.7".into(),
            role: Role::Pattern,
        }],
        doc: format!(r#"{{"id":"{id}","name":"{name}","nested":{{"deep":[1,2.5,1e300,true,null,"\\u0000"]}},"zero":0.0}}"#),
    })
}

pub fn observable(id: &str, value: &str) -> OutputRecord {
    OutputRecord::Observable(ObservableRecord {
        tenant: "acme".into(),
        id: id.into(),
        kind: if id == DOMAIN { ObservableKind::DomainName } else { ObservableKind::Ipv4Addr },
        value: value.into(),
        first_seen: Some(NEW_YEAR),
        last_seen: None,
        holders: 1,
        entities: vec![Holder { id: INDICATOR.into(), role: Role::Pattern }],
    })
}

pub fn link(entity: &str, observable: &str, role: Role) -> OutputRecord {
    OutputRecord::Link(LinkRecord { tenant: "acme".into(), entity_id: entity.into(), observable_id: observable.into(), role })
}

pub fn relation(id: &str, ty: &str) -> OutputRecord {
    OutputRecord::Relation(RelationRecord {
        tenant: "acme".into(),
        id: id.into(),
        ty: ty.into(),
        source_id: INDICATOR.into(),
        target_id: MALWARE.into(),
        doc: Some(format!(r#"{{"id":"{id}"}}"#)),
    })
}

pub fn event(id: &str) -> OutputRecord {
    OutputRecord::Event(EventRecord {
        tenant: "acme".into(),
        id: id.into(),
        source: "proxy".into(),
        timestamp: NEW_YEAR,
        fields: r#"{"dst.ip":"198.51.100.7","bytes":17,"blocked":false}"#.into(),
        observables: vec![EventObservable {
            id: ADDRESS.into(),
            kind: ObservableKind::Ipv4Addr,
            value: "198.51.100.7".into(),
            field: "dst.ip".into(),
        }],
        matches: vec![EventMatch { entity_id: INDICATOR.into(), observable_id: ADDRESS.into(), role: Role::Pattern }],
    })
}

pub fn sighting(event_id: &str, retracted: bool) -> OutputRecord {
    OutputRecord::Sighting(SightingRecord {
        tenant: "acme".into(),
        id: SightingRecord::id_of("acme", INDICATOR, ADDRESS, event_id),
        entity_id: INDICATOR.into(),
        observable_id: ADDRESS.into(),
        event_id: event_id.into(),
        seen: NEW_YEAR,
        retracted,
    })
}

pub fn package(id: &str) -> OutputRecord {
    OutputRecord::Package(PackageRecord {
        tenant: "acme".into(),
        id: id.into(),
        feed: "feed-1".into(),
        format: "stix".into(),
        sha256: "00".repeat(32),
        status: PackageStatus::Partial,
        entities: 2,
        observables: 1,
        rejected: 1,
        error: None,
    })
}

/// One record of each type, links and relations before their ends.
pub fn one_of_each() -> Vec<OutputRecord> {
    vec![
        relation("relationship--55555555-5555-4555-8555-555555555555", "indicates"),
        link(INDICATOR, ADDRESS, Role::Pattern),
        sighting("e1", false),
        entity(INDICATOR, "Indicator"),
        entity(MALWARE, "Mal'ware"),
        observable(ADDRESS, "198.51.100.7"),
        event("e1"),
        package("p1"),
    ]
}

pub fn upsert(value: OutputRecord, epoch: u64, offset: i64) -> SinkRecord {
    record(value.record_type(), value.tenant().to_owned(), value.id(), Op::Upsert(value), epoch, offset)
}

pub fn delete(value: &OutputRecord, epoch: u64, offset: i64) -> SinkRecord {
    record(value.record_type(), value.tenant().to_owned(), value.id(), Op::Delete, epoch, offset)
}

fn record(ty: RecordType, tenant: String, id: String, op: Op, epoch: u64, offset: i64) -> SinkRecord {
    let source = Record {
        topic: ty.topic(&Topics::new("soc")).into(),
        partition: 0,
        offset: Offset(offset),
        timestamp: 0,
        key: Some(Bytes::from(format!("{tenant}:{id}"))),
        value: None,
        headers: Headers::default(),
    };
    SinkRecord { ty, tenant, id, op, epoch, origin: "soc.in.intel:0:1".into(), received: Some(NEW_YEAR), source }
}

pub fn at(ty: RecordType, offset: i64) -> (TopicPartition, Offset) {
    (TopicPartition::new(ty.topic(&Topics::new("soc")), 0), Offset(offset))
}

/// Upserts of `values` at `epoch`, with positions after them.
pub fn batch(values: Vec<OutputRecord>, epoch: u64, next: i64) -> Batch {
    let records: Vec<_> = values.into_iter().enumerate().map(|(n, value)| upsert(value, epoch, n as i64)).collect();
    of(records, next)
}

pub fn of(records: Vec<SinkRecord>, next: i64) -> Batch {
    let mut types: Vec<RecordType> = records.iter().map(|record| record.ty).collect();
    types.sort_unstable();
    types.dedup();
    Batch { records, next: types.into_iter().map(|ty| at(ty, next)).collect() }
}
