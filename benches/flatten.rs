//! A file of logs to flattened NDJSON on one core: unpacking, framing, parsing, sources and writing, without a log or a dataflow.
//!
//! ```text
//! cargo run --release -p sightline-benches --bin flatten -- FILE…
//! ```
//! Beside it in the same run: `simd-json`'s tape of the same lines and nothing else, the limit of what builds on it; so FILE should hold a JSON object a
//! line. Turns alternate, medians count. Without a file: synthetic Windows events of about 1.1 KB, 100 MB of them.
#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that fails should say where and stop")]
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use sightline_benches::memory;
use sightline_formats::Limits;
use sightline_formats::logs::PieceReader;
use sightline_formats::logs::stream::{Framed, LogStream};
use sightline_formats::unpack::{Unpacked, unpack_file};

/// The product's.
#[path = "../src/allocator.rs"]
mod allocator;

#[derive(Parser)]
struct Args {
    /// Files.
    files: Vec<PathBuf>,
    /// Turns of each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

fn main() {
    allocator::return_memory_soon();
    let args = Args::parse();
    let folder = tempfile::tempdir().unwrap();
    let files = if args.files.is_empty() { vec![synthetic(folder.path())] } else { args.files };
    for file in &files {
        let (mut ours, mut tape) = (Vec::new(), Vec::new());
        let mut seen = (0, 0);
        for _ in 0..args.rounds {
            let began = Instant::now();
            seen = flatten(file, &folder.path().join("flat.ndjson"));
            ours.push(began.elapsed().as_secs_f64());
            // What the tape holds in memory is not ours.
            let ours_at_most = memory::peak();
            let began = Instant::now();
            only_tape(file);
            tape.push(began.elapsed().as_secs_f64());
            if tape.len() == 1 {
                println!("{}: at most {:.0} MB resident while flattening", file.display(), ours_at_most as f64 / 1e6);
            }
        }
        let (bytes, (events, refused)) = (std::fs::metadata(file).unwrap().len() as f64 / 1e6, seen);
        let (ours, tape) = (median(ours), median(tape));
        println!(
            "  {events} events, {refused} refused; {:.0} MB/s, {:.0} events/s; the tape alone {:.0} MB/s; {:.2} of it",
            bytes / ours,
            events as f64 / ours,
            bytes / tape,
            tape / ours
        );
    }
}

fn flatten(file: &Path, out: &Path) -> (u64, u64) {
    let limits = Limits::default();
    let mut reader = PieceReader::new(&limits);
    let mut written = BufWriter::with_capacity(1 << 20, File::create(out).unwrap());
    let (mut events, mut refused, mut json) = (0, 0, Vec::new());
    unpack_file("file", File::open(file).unwrap(), &limits, &mut |unpacked| {
        if let Unpacked::Member { content, .. } = unpacked {
            let stream = LogStream::open(content);
            let format = stream.format().unwrap();
            stream
                .pieces(format, &limits, &mut |framed| {
                    if let Framed::Piece(piece) = framed {
                        reader.read(&piece, &mut |read| match read.fields {
                            Ok(fields) => {
                                events += 1;
                                json.clear();
                                fields.write_json(&mut json);
                                json.push(b'\n');
                                written.write_all(&json).unwrap();
                            }
                            Err(_) => refused += 1,
                        });
                    } else {
                        refused += 1;
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    written.flush().unwrap();
    (events, refused)
}

fn only_tape(file: &Path) {
    let text = std::fs::read(file).unwrap();
    let (mut buffers, mut tape, mut input) = (simd_json::Buffers::default(), simd_json::Tape(Vec::new()), Vec::new());
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        input.clear();
        input.extend_from_slice(line);
        let mut filled = tape.reset();
        let _broken = simd_json::fill_tape(&mut input, &mut buffers, &mut filled);
        tape = filled.reset();
    }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Events such as Winlogbeat writes, 100 MB of them.
fn synthetic(folder: &Path) -> PathBuf {
    let path = folder.join("synthetic.ndjson");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let mut bytes = 0;
    for number in 0u64.. {
        let line = format!(
            r#"{{"@timestamp":"2024-05-01T{:02}:{:02}:{:02}.123Z","host":{{"name":"ws{}.example"}},"winlog":{{"channel":"Microsoft-Windows-Sysmon/Operational","event_id":{},"provider_name":"Microsoft-Windows-Sysmon","record_id":{number},"event_data":{{"UtcTime":"2024-05-01 08:00:00.123","ProcessGuid":"{{6a910b9d-498a-5ee0-c903-{number:012x}}}","ProcessId":"{}","Image":"C:\\Windows\\System32\\svchost.exe","CommandLine":"C:\\Windows\\system32\\svchost.exe -k netsvcs -p -s Schedule{number}","CurrentDirectory":"C:\\Windows\\system32\\","User":"EXAMPLE\\user{}","Hashes":"SHA1={number:040x},MD5={number:032x},SHA256={number:064x},IMPHASH={number:032x}","ParentImage":"C:\\Windows\\System32\\services.exe","ParentCommandLine":"C:\\Windows\\system32\\services.exe","SourceIp":"10.{}.{}.7","DestinationIp":"198.51.100.{}","DestinationPort":"443"}}}},"tags":["synthetic","bench"]}}"#,
            number / 3600 % 24,
            number / 60 % 60,
            number % 60,
            number % 500,
            number % 22 + 1,
            number % 65_536,
            number % 300,
            number % 256,
            number / 256 % 256,
            number % 256,
        );
        writeln!(file, "{line}").unwrap();
        bytes += line.len();
        if bytes > 100 << 20 {
            break;
        }
    }
    file.flush().unwrap();
    path
}
