#![no_main]
use libfuzzer_sys::fuzz_target;
use sightline_formats::logs::LogFormat;

fuzz_target!(|data: &[u8]| sightline_fuzz::piece(LogFormat::KeyValue, data));
