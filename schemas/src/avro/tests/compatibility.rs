//! Every version of a schema reads what the versions before it wrote.
use std::path::PathBuf;

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;

use super::super::*;
use super::{decoder, encoder};
use crate::observable::{ObservableKind, Role};
use crate::record::*;
use crate::time::Micros;

fn golden(version: usize, ty: RecordType) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../testdata/schemas/golden/{version}/{ty}.avro"))
}

/// One record a type with every field set: what `testdata/schemas/golden/1` holds, encoded.
pub fn samples() -> Vec<OutputRecord> {
    let tenant = || "acme".to_owned();
    let indicator = || "indicator--8e2e2d2b-17d4-4cbf-938f-98ee46b3cd3f".to_owned();
    let address = || "ipv4-addr--ff26c055-6336-5bc5-b98d-13d6226742dd".to_owned();
    let value = || "198.51.100.3".to_owned();
    let at = Micros(1_700_000_000_123_456);
    vec![
        OutputRecord::Entity(EntityRecord {
            tenant: tenant(),
            id: indicator(),
            ty: "indicator".into(),
            name: Some("Café".into()),
            description: Some("Command and control".into()),
            created: Some(Micros(-1)),
            modified: Some(at),
            revoked: true,
            confidence: Some(-85),
            tlp: Some("amber+strict".into()),
            labels: vec!["a".into(), String::new()],
            sources: vec!["feed-a".into(), "feed-b".into()],
            valid_from: Some(at),
            valid_until: Some(Micros(i64::MAX)),
            observables: vec![HeldObservable { id: address(), kind: ObservableKind::Ipv4Addr, value: value(), role: Role::Pattern }],
            doc: r#"{"type":"indicator"}"#.into(),
        }),
        OutputRecord::Observable(ObservableRecord {
            tenant: tenant(),
            id: address(),
            kind: ObservableKind::Ipv4Addr,
            value: value(),
            first_seen: Some(at),
            last_seen: None,
            holders: 300,
            entities: vec![Holder { id: indicator(), role: Role::Description }],
        }),
        OutputRecord::Link(LinkRecord { tenant: tenant(), entity_id: indicator(), observable_id: address(), role: Role::PatternPart }),
        OutputRecord::Relation(RelationRecord {
            tenant: tenant(),
            id: "relationship--57b56a43-b8b0-4cba-9deb-34e3e1faed9e".into(),
            ty: "indicates".into(),
            source_id: indicator(),
            target_id: "malware--0c7b5b88-8ff7-4a4d-aa9d-feb398cd0061".into(),
            doc: Some("{}".into()),
        }),
        OutputRecord::Event(EventRecord {
            tenant: tenant(),
            id: "00112233445566778899aabbccddeeff".into(),
            source: "firewall".into(),
            timestamp: at,
            fields: r#"{"dst.ip":"198.51.100.3"}"#.into(),
            observables: vec![EventObservable { id: address(), kind: ObservableKind::Ipv4Addr, value: value(), field: "dst.ip".into() }],
            matches: vec![EventMatch { entity_id: indicator(), observable_id: address(), role: Role::Pattern }],
        }),
        OutputRecord::Sighting(SightingRecord {
            tenant: tenant(),
            id: "ffeeddccbbaa99887766554433221100".into(),
            entity_id: indicator(),
            observable_id: address(),
            event_id: "00112233445566778899aabbccddeeff".into(),
            seen: at,
            retracted: true,
        }),
        OutputRecord::Package(PackageRecord {
            tenant: tenant(),
            id: "0123456789abcdef0123456789abcdef".into(),
            feed: "feed-a".into(),
            format: "stix".into(),
            sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into(),
            status: PackageStatus::Partial,
            entities: 64,
            observables: 8192,
            rejected: 1,
            error: Some("truncated".into()),
        }),
    ]
}

#[test]
fn the_newest_released_version_is_the_current_schema() {
    for ty in RecordType::ALL {
        assert_eq!(ty.versions().last(), Some(&ty.schema_json()), "{ty}: a changed schema needs schemas/avro/golden/<n>");
    }
}

#[test]
fn every_version_can_read_all_versions_before_it() {
    for ty in RecordType::ALL {
        let versions: Vec<_> = ty.versions().iter().map(|schema| Schema::parse_str(schema).unwrap()).collect();
        for (at, reader) in versions.iter().enumerate() {
            for writer in &versions[..=at] {
                SchemaCompatibility::can_read(writer, reader).unwrap();
            }
        }
    }
}

/// The bytes were written once and never change. `SIGHTLINE_WRITE_GOLDEN=1` writes those of a type that has none.
#[test]
fn the_bytes_of_version_1_decode_to_the_records_they_were_made_of() {
    for record in samples() {
        let ty = record.record_type();
        let path = golden(1, ty);
        if !path.exists() && std::env::var_os("SIGHTLINE_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, encoder().encode(&record).unwrap()).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(decoder().decode(ty, &bytes).unwrap(), record, "{ty}");
    }
}

#[test]
fn a_reader_with_more_fields_fills_in_their_defaults() {
    // What the next version will look like to a reader of old bytes: a field more, at the end, with a default.
    let newer = RecordType::Link
        .schema_json()
        .replace(r#""doc": "How it is held""#, r#""doc": "How it is held"}, {"name": "since", "type": ["null", "long"], "default": null"#);
    let (writer, reader) = (Schema::parse_str(RecordType::Link.schema_json()).unwrap(), Schema::parse_str(&newer).unwrap());
    SchemaCompatibility::can_read(&writer, &reader).unwrap();
    let bytes = encoder().encode(&samples()[2]).unwrap();
    let value = apache_avro::reader::datum::GenericDatumReader::builder(&writer)
        .reader_schema(&reader)
        .build()
        .unwrap()
        .read_value(&mut &bytes[5..]);
    assert!(format!("{:?}", value.unwrap()).contains("since"));
}

#[test]
fn a_record_of_a_newer_writer_is_read_without_what_this_build_does_not_know() {
    struct Newer(String);
    impl crate::registry::SchemaRegistry for Newer {
        fn register(&self, _: &str, _: &str) -> Result<SchemaId, crate::registry::RegistryError> {
            Ok(SchemaId(1))
        }
        fn schema(&self, _: SchemaId) -> Result<String, crate::registry::RegistryError> {
            Ok(self.0.clone())
        }
        fn set_compatibility_backward(&self, _: &str) -> Result<(), crate::registry::RegistryError> {
            Ok(())
        }
    }
    let newer = RecordType::Link
        .schema_json()
        .replace(r#""doc": "How it is held""#, r#""doc": "How it is held"}, {"name": "since", "type": "long", "default": 0"#);
    let record = samples().remove(2);
    let mut bytes = encoder().encode(&record).unwrap().to_vec();
    bytes.push(84);
    let mut decoder = Decoder::new(std::sync::Arc::new(Newer(newer)));
    assert_eq!(decoder.decode(RecordType::Link, &bytes).unwrap(), record);
}
