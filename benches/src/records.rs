//! Output records that nobody ever published.
use bytes::Bytes;
use sightline_connectors::{Op, SinkRecord};
use sightline_log::{Headers, Offset, Record};
use sightline_schemas::avro::{Encoder, OutputRecord, RecordType, SchemaId};
use sightline_schemas::record::{EntityRecord, HeldObservable, Holder, LinkRecord, ObservableRecord};
use sightline_schemas::topic::Topics;
use sightline_schemas::{Micros, ObservableKind, Role};

/// Where they came from.
const ORIGIN: &str = "soc.in.intel:0:1";

/// Records as the topology writes them and the runtime gives them to a sink.
pub struct Rows {
    encoder: Encoder,
    topics: Topics,
}

impl Rows {
    pub fn new(topics: Topics) -> Self {
        let ids = RecordType::ALL.iter().enumerate().map(|(at, ty)| (*ty, SchemaId(at as u32 + 1)));
        Self { encoder: Encoder::new(ids), topics }
    }

    /// A record that holds `value` as of `epoch`.
    pub fn record(&self, value: OutputRecord, epoch: u64) -> SinkRecord {
        let ty = value.record_type();
        let (tenant, id) = (value.tenant().to_owned(), value.id());
        let source = Record {
            topic: ty.topic(&self.topics).into(),
            partition: 0,
            offset: Offset(0),
            timestamp: 0,
            key: Some(Bytes::from(format!("{tenant}:{id}"))),
            value: Some(self.encoder.encode(&value).unwrap()),
            headers: Headers::default().with("epoch", epoch.to_string()).with("op", "u").with("origin", ORIGIN),
        };
        SinkRecord { ty, tenant, id, op: Op::Upsert(value), epoch, origin: ORIGIN.into(), received: None, source }
    }
}

/// Records without end: an entity of about 1 KB, an observable, a link between the two, in turn.
pub fn values() -> impl Iterator<Item = OutputRecord> {
    (0..).flat_map(three)
}

fn three(n: usize) -> [OutputRecord; 3] {
    let tenant = || "acme".to_owned();
    // Spread over the key space as real UUIDs are.
    let spread = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let uuid = format!("{:08x}-{:04x}-4000-8000-{n:012x}", spread >> 32, spread as u16);
    let (entity_id, observable_id) = (format!("indicator--{uuid}"), format!("ipv4-addr--{uuid}"));
    let value = format!("10.{}.{}.{}", (n >> 16) & 255, (n >> 8) & 255, n & 255);
    let description = "Seen in traffic of hosts that later showed signs of compromise. ".repeat(5);
    let doc = format!(
        r#"{{"created":"2026-01-01T00:00:00Z","description":"{description}","id":"{entity_id}","modified":"2026-01-01T00:00:00Z","pattern":"[ipv4-addr:value = '{value}']","spec_version":"2.1","type":"indicator"}}"#
    );
    let entity = OutputRecord::Entity(EntityRecord {
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
    });
    let observable = OutputRecord::Observable(ObservableRecord {
        tenant: tenant(),
        id: observable_id.clone(),
        kind: ObservableKind::Ipv4Addr,
        value,
        first_seen: Some(Micros(1_767_225_600_000_000)),
        last_seen: Some(Micros(1_767_225_600_000_000)),
        holders: 1,
        entities: vec![Holder { id: entity_id.clone(), role: Role::Pattern }],
    });
    [entity, observable, OutputRecord::Link(LinkRecord { tenant: tenant(), entity_id, observable_id, role: Role::Pattern })]
}
