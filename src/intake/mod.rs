//! Files to the input topics: intelligence as packages in parts, events in batches of lines.
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::ValueEnum;
use sightline_log::{Headers, LogWriter, NewRecord};
use sightline_schemas::Micros;
use sightline_schemas::topic::Topics;

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// By content.
    Auto,
    /// STIX 2.0 or 2.1.
    Stix,
    /// One indicator a line.
    List,
    /// Comma-separated indicators.
    Csv,
    /// Events, one JSON object a line.
    Events,
}

/// Below the megabyte that brokers take unless told otherwise, headers included.
const PART: usize = 900_000;
const BATCH: usize = 500_000;

/// What was read.
#[derive(Clone, Copy, Default, Debug)]
pub struct Taken {
    /// Files.
    pub files: u64,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// Event lines.
    pub events: u64,
}

/// Writes files to the input topics.
pub struct Intake<'a> {
    /// The log's writer.
    pub writer: Box<dyn LogWriter>,
    /// Names of topics.
    pub topics: &'a Topics,
    /// Whose.
    pub tenant: String,
    /// Feed; the file's name without its endings where none is given.
    pub feed: Option<String>,
    /// How to read.
    pub format: Format,
    /// The most event lines.
    pub max_events: u64,
    /// So far.
    pub taken: Taken,
}

/// The files below paths, sorted.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let is_directory = std::fs::metadata(path).with_context(|| format!("failed to read {}", path.display()))?.is_dir();
        if is_directory {
            let mut below: Vec<PathBuf> =
                std::fs::read_dir(path)?.flatten().map(|entry| entry.path()).filter(|path| !is_hidden(path)).collect();
            below.sort();
            found.extend(files(&below)?);
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

impl Intake<'_> {
    /// Reads a file, plain or gzip.
    pub fn file(&mut self, path: &Path) -> Result<()> {
        let mut bytes = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(&bytes[..])
                .read_to_end(&mut plain)
                .with_context(|| format!("failed to unpack {}", path.display()))?;
            bytes = plain;
        }
        let name = path.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy().into_owned());
        self.bytes(&name, bytes.into())
    }

    /// Takes the bytes of a file of that name.
    pub fn bytes(&mut self, name: &str, bytes: Bytes) -> Result<()> {
        self.taken.files += 1;
        self.taken.bytes += bytes.len() as u64;
        let stem = name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("file");
        let stem: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '-' }).collect();
        let format = if self.format == Format::Auto { detect(&bytes) } else { self.format };
        if format == Format::Events { self.events(&stem, &bytes) } else { self.package(name, &stem, format, &bytes) }
    }

    fn package(&mut self, name: &str, stem: &str, format: Format, bytes: &Bytes) -> Result<()> {
        let feed = self.feed.clone().unwrap_or_else(|| stem.to_owned());
        let parts = bytes.len().div_ceil(PART).max(1);
        let received = now();
        for part in 0..parts {
            let headers = Headers::default()
                .with("tenant", self.tenant.clone())
                .with("feed", feed.clone())
                .with(
                    "format",
                    if format == Format::Csv {
                        "csv"
                    } else if format == Format::List {
                        "list"
                    } else if format == Format::Stix {
                        "stix"
                    } else {
                        "auto"
                    },
                )
                .with("package", name.to_owned())
                .with("part", part.to_string())
                .with("parts", parts.to_string())
                .with("received", received.clone());
            let value = bytes.slice(part * PART..((part + 1) * PART).min(bytes.len()));
            self.send(self.topics.intel_in(), feed.clone(), value, headers)?;
        }
        Ok(())
    }

    fn events(&mut self, source: &str, bytes: &Bytes) -> Result<()> {
        let (mut start, mut at) = (0, 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.taken.events >= self.max_events {
                break;
            }
            if at + line.len() - start > BATCH && at > start {
                self.batch(source, bytes.slice(start..at))?;
                start = at;
            }
            at += line.len();
            self.taken.events += u64::from(!line.trim_ascii().is_empty());
        }
        if at > start { self.batch(source, bytes.slice(start..at)) } else { Ok(()) }
    }

    fn batch(&mut self, source: &str, value: Bytes) -> Result<()> {
        let headers = Headers::default().with("tenant", self.tenant.clone()).with("source", source.to_owned()).with("received", now());
        self.send(self.topics.logs_in(), format!("{}:{source}", self.tenant), value, headers)
    }

    fn send(&mut self, topic: String, key: String, value: Bytes, headers: Headers) -> Result<()> {
        Ok(self.writer.send(NewRecord { topic: topic.into(), partition: None, key: Some(key.into()), value: Some(value), headers })?)
    }
}

/// The time of reading, for people; what the dataflow goes by is the log's own.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)).to_string()
}

/// STIX is JSON that says so near its beginning; other JSON is events.
fn detect(bytes: &[u8]) -> Format {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
    let text = head.trim_start_matches(['\u{feff}', ' ', '\n', '\r', '\t']);
    if !text.starts_with(['{', '[']) {
        return Format::Auto;
    }
    let is_stix = ["\"bundle\"", "\"objects\"", "\"spec_version\""].iter().any(|mark| head.contains(mark))
        || head.contains("--") && head.contains("\"created\"");
    if is_stix { Format::Stix } else { Format::Events }
}
