//! The client of Confluent's API against a real registry, named by `SIGHTLINE_REGISTRY` (`scripts/services env`).
#![cfg(feature = "confluent")]
#![allow(clippy::unwrap_used)]
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sightline_schemas::Role;
use sightline_schemas::avro::{Decoder, Encoder, OutputRecord, RecordType, SchemaId};
use sightline_schemas::record::LinkRecord;
use sightline_schemas::registry::{ConfluentRegistry, ConfluentSettings, RegistryError, SchemaRegistry};
use sightline_schemas::topic::Topics;

/// A client, and topics that no earlier run has used.
fn registry() -> Option<(ConfluentRegistry, Topics)> {
    let Ok(url) = std::env::var("SIGHTLINE_REGISTRY") else {
        eprintln!("skipped: SIGHTLINE_REGISTRY names no registry; start one with scripts/services");
        return None;
    };
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    Some((ConfluentRegistry::new(&ConfluentSettings::new(&url)).unwrap(), Topics::new(&format!("t{nanos}"))))
}

#[test]
fn every_schema_registers_twice_under_one_number_and_reads_back() {
    let Some((registry, topics)) = registry() else { return };
    for ty in RecordType::ALL {
        let subject = ty.subject(&topics);
        let id = registry.register(&subject, ty.schema_json()).unwrap();
        assert_eq!(registry.register(&subject, ty.schema_json()).unwrap(), id, "{subject}");
        registry.set_compatibility_backward(&subject).unwrap();
        // Registries rewrite the text, but not what it means; an equal schema is also what the quick way of decoding needs.
        let meaning = |text: &str| apache_avro::Schema::parse_str(text).unwrap();
        assert_eq!(meaning(&registry.schema(id).unwrap()), meaning(ty.schema_json()), "{subject}");
    }
}

#[test]
fn a_record_written_with_a_registered_schema_is_read_through_the_registry() {
    let Some((registry, topics)) = registry() else { return };
    let id = registry.register(&RecordType::Link.subject(&topics), RecordType::Link.schema_json()).unwrap();
    let link = LinkRecord { tenant: "a".into(), entity_id: "b".into(), observable_id: "c".into(), role: Role::Object };
    let record = OutputRecord::Link(link);
    let bytes = Encoder::new([(RecordType::Link, id)]).encode(&record).unwrap();
    assert_eq!(Decoder::new(Arc::new(registry)).decode(RecordType::Link, &bytes).unwrap(), record);
}

#[test]
fn once_backward_a_subject_refuses_a_field_without_default_and_takes_one_with() {
    let Some((registry, topics)) = registry() else { return };
    let subject = RecordType::Link.subject(&topics);
    let schema = RecordType::Link.schema_json();
    let with = |field: &str| {
        schema.replace(
            r#""doc": "How it is held""#,
            &format!(r#""doc": "How it is held"}}, {field}, {{"name": "last", "type": ["null", "int"], "default": null"#),
        )
    };
    registry.register(&subject, schema).unwrap();
    registry.set_compatibility_backward(&subject).unwrap();
    let refused = registry.register(&subject, &with(r#"{"name": "since", "type": "long"}"#)).unwrap_err();
    assert!(matches!(&refused, RegistryError::Refused { subject: named, .. } if *named == subject), "{refused}");
    registry.register(&subject, &with(r#"{"name": "since", "type": "long", "default": 0}"#)).unwrap();
}

#[test]
fn what_is_no_schema_is_refused_and_an_unknown_number_is_unknown() {
    let Some((registry, topics)) = registry() else { return };
    let refused = registry.register(&RecordType::Link.subject(&topics), r#"{"type": "nope"}"#).unwrap_err();
    assert!(matches!(refused, RegistryError::Refused { .. }), "{refused}");
    let unknown = registry.schema(SchemaId(999_999_999)).unwrap_err();
    assert!(matches!(unknown, RegistryError::Unknown { id: SchemaId(999_999_999) }), "{unknown}");
}

#[test]
fn a_registry_that_is_away_may_pass() {
    // Nobody listens on port 1.
    let registry = ConfluentRegistry::new(&ConfluentSettings::new("http://127.0.0.1:1")).unwrap();
    assert!(matches!(registry.schema(SchemaId(1)), Err(RegistryError::Unreachable(_))));
    assert!(matches!(registry.register("s-value", "\"string\""), Err(RegistryError::Unreachable(_))));
    assert!(matches!(registry.set_compatibility_backward("s-value"), Err(RegistryError::Unreachable(_))));
}

#[test]
fn wrong_settings_are_told_before_any_call() {
    for url in ["", "registry:8081", "ftp://registry/", "http://"] {
        assert!(matches!(ConfluentRegistry::new(&ConfluentSettings::new(url)), Err(RegistryError::Settings { .. })), "{url}");
    }
    let mut settings = ConfluentSettings::new("https://registry:8081");
    settings.ca_file = Some("no-such-file.pem".into());
    let Err(error) = ConfluentRegistry::new(&settings) else { panic!("took a missing file") };
    assert!(error.to_string().contains("no-such-file.pem"), "{error}");
}

#[test]
fn a_password_is_never_printed() {
    let mut settings = ConfluentSettings::new("https://me:hunter2@registry:8081");
    settings.password = Some("hunter2".into());
    assert!(!format!("{settings:?}").contains("hunter2"));
}
