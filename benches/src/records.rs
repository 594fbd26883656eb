//! Output records that nobody ever published.
use sightline_schemas::avro::OutputRecord;
use sightline_schemas::record::{EntityRecord, HeldObservable, Holder, LinkRecord, ObservableRecord};
use sightline_schemas::{Micros, ObservableKind, Role};

/// So many records: entities of about 1 KB, observables, links between the two, in turn.
pub fn values(count: usize) -> Vec<OutputRecord> {
    let tenant = || "acme".to_owned();
    let mut values = Vec::with_capacity(count);
    for n in 0..count / 3 {
        // Spread over the key space as real UUIDs are.
        let spread = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let uuid = format!("{:08x}-{:04x}-4000-8000-{n:012x}", spread >> 32, spread as u16);
        let (entity_id, observable_id) = (format!("indicator--{uuid}"), format!("ipv4-addr--{uuid}"));
        let value = format!("10.{}.{}.{}", (n >> 16) & 255, (n >> 8) & 255, n & 255);
        let description = "Seen in traffic of hosts that later showed signs of compromise. ".repeat(5);
        let doc = format!(
            r#"{{"created":"2026-01-01T00:00:00Z","description":"{description}","id":"{entity_id}","modified":"2026-01-01T00:00:00Z","pattern":"[ipv4-addr:value = '{value}']","spec_version":"2.1","type":"indicator"}}"#
        );
        values.push(OutputRecord::Entity(EntityRecord {
            tenant: tenant(),
            id: entity_id.clone(),
            ty: "indicator".into(),
            name: Some(format!("Indicator {n}")),
            description: Some(description),
            created: Some(Micros(1_767_225_600_000_000)),
            modified: Some(Micros(1_767_225_600_000_000)),
            revoked: false,
            confidence: Some(80),
            tlp: Some("green".into()),
            labels: vec!["malicious-activity".into()],
            sources: vec!["feed".into()],
            valid_from: Some(Micros(1_767_225_600_000_000)),
            valid_until: None,
            observables: vec![HeldObservable {
                id: observable_id.clone(),
                kind: ObservableKind::Ipv4Addr,
                value: value.clone(),
                role: Role::Pattern,
            }],
            doc,
        }));
        values.push(OutputRecord::Observable(ObservableRecord {
            tenant: tenant(),
            id: observable_id.clone(),
            kind: ObservableKind::Ipv4Addr,
            value,
            first_seen: Some(Micros(1_767_225_600_000_000)),
            last_seen: Some(Micros(1_767_225_600_000_000)),
            holders: 1,
            entities: vec![Holder { id: entity_id.clone(), role: Role::Pattern }],
        }));
        values.push(OutputRecord::Link(LinkRecord { tenant: tenant(), entity_id, observable_id, role: Role::Pattern }));
    }
    values
}
