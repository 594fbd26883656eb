//! Files to the input topics: intelligence as packages in parts, logs as pieces of whole records.
mod files;
mod format;
mod logs;
mod package;
mod progress;

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor};
use std::ops::ControlFlow;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Error, Result};
use bytes::Bytes;
use sightline_formats::logs::stream::LogStream;
use sightline_formats::unpack::{Unpacked, Visit, unpack_file, unpack_stream};
use sightline_formats::{IntelFormat, Limits, detect_intel};
use sightline_log::{Headers, LogWriter, NewRecord};
use sightline_schemas::Micros;
use sightline_schemas::topic::Topics;

pub use files::{InputFile, files};
pub use format::Format;
pub use progress::Progress;

/// What was read.
#[derive(Clone, Copy, Default, Debug)]
pub struct Taken {
    /// Files.
    pub files: u64,
    /// Members of archives, and files that are none.
    pub members: u64,
    /// Bytes, unpacked and as UTF-8.
    pub bytes: u64,
    /// Packages of intelligence.
    pub packages: u64,
    /// Pieces of logs.
    pub pieces: u64,
    /// Events, where they are counted for `max_events`.
    pub events: u64,
    /// Records and members that were refused on the way.
    pub refused: u64,
}

impl Taken {
    /// Whether anything could be read.
    pub fn is_nothing(&self) -> bool {
        self.files == 0 || self.packages + self.pieces == 0 && self.refused > 0
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, members, bytes, packages, pieces, refused, .. } = self;
        write!(f, "read {files} files ({members} members), {bytes} bytes: {packages} packages of intelligence, {pieces} pieces of logs")?;
        if *refused > 0 { write!(f, "; {refused} refused") } else { Ok(()) }
    }
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
    /// Source of logs; the same.
    pub source: Option<String>,
    /// How to read.
    pub format: Format,
    /// Bounds.
    pub limits: Limits,
    /// The most events.
    pub max_events: u64,
    /// How far it has come.
    pub progress: Progress,
    /// So far.
    pub taken: Taken,
}

/// What holds for all records of a member.
struct Origin {
    /// `logs.zip!day1/a.json`.
    file: String,
    /// Its own name without its endings.
    stem: String,
}

impl Origin {
    fn of(path: &str) -> Self {
        let name = path.rsplit(['/', '!']).next().unwrap_or(path);
        let stem = name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("file");
        let stem = stem.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '-' }).collect();
        Self { file: path.to_owned(), stem }
    }
}

impl Intake<'_> {
    /// Reads a file of any format, packed or not.
    pub fn file(&mut self, file: &InputFile) -> Result<()> {
        let failed = || format!("failed to read {}", file.path.display());
        let opened = File::open(&file.path).with_context(failed)?;
        self.progress.file(&file.name);
        let counted = self.progress.counted(&opened);
        // A pipe cannot be sought in.
        let is_file = opened.metadata().with_context(failed)?.is_file();
        self.unpacked(|limits, visit| {
            if is_file { unpack_file(&file.name, counted, limits, visit) } else { unpack_stream(&file.name, counted, limits, visit) }
        })
        .with_context(failed)
    }

    /// Takes the bytes of a file of that name.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.unpacked(|limits, visit| unpack_file(name, Cursor::new(bytes), limits, visit))
            .with_context(|| format!("failed to read {name}"))
    }

    fn unpacked(&mut self, unpack: impl FnOnce(&Limits, Visit<'_>) -> io::Result<()>) -> Result<()> {
        let limits = self.limits.clone();
        let mut failure = None;
        unpack(&limits, &mut |unpacked| {
            let taken = self.member(unpacked);
            self.goes_on(taken, &mut failure)
        })?;
        self.taken.files += 1;
        failure.map_or(Ok(()), Err)
    }

    /// Whether to go on after a part was taken; a failure is kept for whoever asked for the whole.
    fn goes_on(&self, taken: Result<()>, failure: &mut Option<Error>) -> ControlFlow<()> {
        match taken {
            Ok(()) if !self.has_enough() => return ControlFlow::Continue(()),
            Ok(()) => {}
            Err(error) => *failure = Some(error),
        }
        ControlFlow::Break(())
    }

    /// Whether as many events as are wanted were read.
    pub fn has_enough(&self) -> bool {
        self.taken.events >= self.max_events
    }

    fn member(&mut self, unpacked: Unpacked<'_>) -> Result<()> {
        self.taken.members += 1;
        match unpacked {
            Unpacked::Refused { path, refused } => self.refused(&Origin::of(path), None, &refused, &[]),
            Unpacked::Member { path, content } => {
                let origin = Origin::of(path);
                let stream = LogStream::open(content);
                match self.format {
                    Format::Intel(format) => self.package(&origin, format, stream),
                    Format::Logs(format) => self.logs(&origin, format, stream),
                    Format::Auto => match detect_intel(stream.head()) {
                        Some(format) => self.package(&origin, format, stream),
                        None => self.logs(&origin, None, stream),
                    },
                }
            }
        }
    }

    fn send(&mut self, topic: String, key: String, value: Bytes, headers: Headers) -> Result<()> {
        let record = NewRecord { topic: topic.into(), partition: None, key: Some(key.into()), value: Some(value), headers };
        self.writer.send(record).map_err(Error::from)
    }
}

/// How a package is to be read, as its header says.
fn intel_format(format: IntelFormat) -> &'static str {
    match format {
        IntelFormat::Auto => "auto",
        IntelFormat::Stix => "stix",
        IntelFormat::List => "list",
        IntelFormat::Csv => "csv",
        IntelFormat::Warninglist => "warninglist",
    }
}

/// The time of reading, for people; what the dataflow goes by is the log's own.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)).to_string()
}
