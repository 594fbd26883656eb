//! Rates of the encoder and decoder on one core. Run with
//! `cargo test --release -p sightline-schemas -- --ignored --nocapture rates`.
use std::hint::black_box;
use std::time::Instant;

use super::super::*;
use super::{compatibility, decoder, encoder};

fn rate(count: u32, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        work();
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}

#[test]
#[ignore = "measures, proves nothing"]
fn rates() {
    let mut records = compatibility::samples();
    if let OutputRecord::Entity(entity) = &mut records[0] {
        // The size of an indicator with its document in real feeds.
        entity.doc = "x".repeat(1200);
    }
    println!("{:>12} {:>7} {:>14} {:>14} {:>14}", "record", "bytes", "encode/s", "decode/s", "resolve/s");
    for record in records {
        let (encoder, mut decoder) = (encoder(), decoder());
        let bytes = encoder.encode(&record).unwrap();
        let ty = record.record_type();
        let schema = apache_avro::Schema::parse_str(ty.schema_json()).unwrap();
        let ours = rate(300_000, || drop(black_box(encoder.encode(black_box(&record)))));
        let theirs = rate(5_000, || drop(black_box(decode::resolve(ty, &schema, &schema, black_box(&bytes[5..])))));
        let read = rate(300_000, || drop(black_box(decoder.decode(ty, black_box(&bytes)))));
        println!("{:>12} {:>7} {:>14.0} {:>14.0} {:>14.0}", ty.as_str(), bytes.len(), ours, read, theirs);
    }
}
