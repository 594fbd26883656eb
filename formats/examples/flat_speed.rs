#![allow(clippy::unwrap_used, missing_docs)]
use std::time::Instant;
use sightline_formats::Limits;
use sightline_formats::logs::{LogFormat, Piece, PieceReader};
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let text = std::fs::read(path).unwrap();
    for _ in 0..3 {
        let began = Instant::now();
        let mut buffers = simd_json::Buffers::default();
        let mut tape = simd_json::Tape(Vec::new());
        let mut n = 0;
        let mut input = Vec::new();
        for line in text.split(|b| *b == b'\n') {
            if line.is_empty() { continue; }
            input.clear();
            input.extend_from_slice(line);
            let mut t = tape.reset();
            if simd_json::fill_tape(&mut input, &mut buffers, &mut t).is_ok() { n += t.0.len(); }
            tape = t.reset();
        }
        let tape_time = began.elapsed().as_secs_f64();
        let began = Instant::now();
        let mut reader = PieceReader::new(&Limits::default());
        let (mut out, mut events, mut bad, mut bytes) = (Vec::new(), 0, 0, 0);
        let piece = Piece { format: LogFormat::Json, prelude: b"", body: &text, first_line: 1 };
        reader.read(&piece, &mut |read| match read.fields {
            Ok(fields) => { events += 1; out.clear(); fields.write_json(&mut out); bytes += out.len(); }
            Err(_) => bad += 1,
        });
        let flat = began.elapsed().as_secs_f64();
        println!("tape {:.0} MB/s ({n}); flatten {:.0} MB/s {:.0} ev/s; {events} events {bad} bad {bytes} out; share {:.2}", text.len() as f64 / 1e6 / tape_time, text.len() as f64 / 1e6 / flat, events as f64 / flat, tape_time / flat);
    }
}
