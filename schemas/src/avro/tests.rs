//! The encoder against `apache-avro`, the schemas against the versions before them.
#![allow(clippy::unwrap_used)]
mod arbitrary;
mod compatibility;
mod speed;

use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;

use super::*;
use crate::registry::{EmbeddedRegistry, SchemaRegistry};

/// With the numbers of the embedded registry.
fn encoder() -> Encoder {
    Encoder::new(RecordType::ALL.iter().map(|ty| (*ty, EmbeddedRegistry.register("any", ty.schema_json()).unwrap())))
}

fn decoder() -> Decoder {
    Decoder::new(Arc::new(EmbeddedRegistry))
}

/// The record and the bytes that `apache-avro` makes of a datum.
fn reference(ty: RecordType, datum: &[u8]) -> (OutputRecord, Vec<u8>) {
    let schema = Schema::parse_str(ty.schema_json()).unwrap();
    let value = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut &datum[..]).unwrap();
    let bytes = GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap();
    (decode::resolve(ty, &schema, &schema, datum).unwrap(), bytes)
}

proptest! {
    #[test]
    fn what_was_encoded_decodes_to_the_same_record(record in arbitrary::record()) {
        let bytes = encoder().encode(&record).unwrap();
        prop_assert_eq!(decoder().decode(record.record_type(), &bytes).unwrap(), record);
    }

    #[test]
    fn apache_avro_reads_the_same_record_and_writes_the_same_bytes(record in arbitrary::record()) {
        let bytes = encoder().encode(&record).unwrap();
        prop_assert_eq!(reference(record.record_type(), &bytes[5..]), (record, bytes[5..].to_vec()));
    }

    #[test]
    fn what_the_direct_reader_takes_apache_avro_takes_too(ty in proptest::sample::select(RecordType::ALL), record in arbitrary::record(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut datum = encoder().encode(&record).unwrap()[5..].to_vec();
        let at = at.index(datum.len());
        datum[at] = byte;
        if let Ok(read) = read::read(ty, &datum) {
            prop_assert_eq!(reference(ty, &datum).0, read);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(ty in proptest::sample::select(RecordType::ALL), datum in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = vec![0, 0, 0, 0, ty as u8 + 1];
        bytes.extend(datum);
        let _ = decoder().decode(ty, &bytes);
    }

    #[test]
    fn a_cut_or_longer_datum_is_refused(record in arbitrary::record(), at in any::<proptest::sample::Index>()) {
        let bytes = encoder().encode(&record).unwrap();
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!(decoder().decode(record.record_type(), cut).is_err());
        let longer = [&bytes[..], &[0]].concat();
        prop_assert!(decoder().decode(record.record_type(), &longer).is_err());
    }
}

#[test]
fn a_value_without_the_magic_byte_is_no_record() {
    for bytes in [&b""[..], &[0, 0, 0], &[1, 0, 0, 0, 3, 0]] {
        assert!(matches!(decoder().decode(RecordType::Link, bytes), Err(AvroError::Framing(_))));
    }
}

#[test]
fn an_unknown_schema_number_says_which() {
    let error = decoder().decode(RecordType::Link, &[0, 0, 0, 4, 210, 0]).unwrap_err();
    assert_eq!(error.to_string(), "the schema registry knows no schema 1234");
}

#[test]
fn a_type_without_a_registered_schema_is_not_encoded() {
    let record = compatibility::samples().remove(0);
    assert!(matches!(Encoder::new([]).encode(&record), Err(AvroError::Unregistered(RecordType::Entity))));
}
