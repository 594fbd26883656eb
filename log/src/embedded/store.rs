//! The files and their index, shared by all readers and writers of the process.
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tempfile::TempDir;
use xxhash_rust::xxh3::Xxh3;

use super::frame::{self, CHUNK_HEADER, Cursor, HEADER, Kind};
use crate::error::LogError;
use crate::partitioner::partition_of;
use crate::record::{NewRecord, Offset, TopicPartition};
use crate::traits::TopicSpec;

/// How the log treats its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EmbeddedOptions {
    /// Wait for the disk at each commit. Without it a crash of the machine, not of the process, may lose the newest transactions.
    pub sync: bool,
    /// A new file is begun past this size.
    pub segment_bytes: u64,
    /// The largest record, key and value together.
    pub record_bytes: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { sync: true, segment_bytes: 256 << 20, record_bytes: 64 << 20 }
    }
}

/// Records of one partition that lie together in a file. Larger ones are cut, so that a reader never loads much more than this.
const CHUNK: usize = 1 << 20;

pub(super) struct Store {
    directory: PathBuf,
    options: EmbeddedOptions,
    inner: Mutex<Inner>,
    committed: Condvar,
    /// Removed with the log, where it is a temporary one.
    _temporary: Option<TempDir>,
    /// Held as long as the log is open for writing; the system gives it back when the process ends, however it ends.
    lock: Option<File>,
}

/// What a log is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

#[derive(Default)]
struct Inner {
    segments: BTreeMap<u64, Arc<File>>,
    /// The segment being written, and its length.
    current: (u64, u64),
    topics: Vec<Topic>,
    by_name: HashMap<Arc<str>, usize>,
    generations: HashMap<String, u64>,
    last_timestamp: i64,
}

struct Topic {
    name: Arc<str>,
    partitions: Vec<Partition>,
}

#[derive(Default)]
struct Partition {
    chunks: Vec<Chunk>,
    start: i64,
    end: i64,
}

/// Where some records are.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    base: i64,
    count: u32,
    segment: u64,
    at: u64,
    bytes: u32,
    timestamp: i64,
}

/// A chunk as a reader gets it.
pub(super) struct LoadedChunk {
    pub(super) topic: Arc<str>,
    pub(super) base: i64,
    pub(super) count: u32,
    pub(super) timestamp: i64,
    pub(super) bytes: Bytes,
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> LogError {
    move |error| LogError::Fatal { what, message: error.to_string() }
}

fn segment_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:012}.log"))
}

/// Whether the lock can be had within a moment: a child that was just forked has the descriptor of its parent until it becomes another program, and so
/// holds the lock after the parent has let go. On a machine that is busy, a moment may be a second.
fn locked_soon(lock: &File) -> bool {
    const TRIES: u32 = 200;
    const PAUSE: Duration = Duration::from_millis(10);
    (0..TRIES).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        lock.try_lock().is_ok()
    })
}

impl Store {
    pub(super) fn open(directory: &Path, options: EmbeddedOptions) -> Result<Self, LogError> {
        let opening = failed("open the embedded log");
        fs::create_dir_all(directory).map_err(&opening)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(directory.join("lock")).map_err(&opening)?;
        if !locked_soon(&lock) {
            return Err(LogError::Fatal {
                what: "open the embedded log",
                message: format!("{} is in use by another process; stop it, or use another directory", directory.display()),
            });
        }
        let mut inner = Inner::default();
        inner.load_all(directory, Access::Write)?;
        if inner.segments.is_empty() {
            inner.begin_segment(directory, 0)?;
        }
        Ok(Self::new(directory, options, inner, Some(lock)))
    }

    /// What another process has committed by now: no lock, and nothing is written, not even where a crash left a torn end.
    pub(super) fn read_only(directory: &Path) -> Result<Self, LogError> {
        let mut inner = Inner::default();
        inner.load_all(directory, Access::Read)?;
        if inner.segments.is_empty() {
            let message = format!("{} holds no log; see `log:` in the configuration", directory.display());
            return Err(LogError::Fatal { what: "open the embedded log", message });
        }
        Ok(Self::new(directory, EmbeddedOptions::default(), inner, None))
    }

    fn new(directory: &Path, options: EmbeddedOptions, inner: Inner, lock: Option<File>) -> Self {
        let directory = directory.to_owned();
        Self { directory, options, inner: Mutex::new(inner), committed: Condvar::new(), _temporary: None, lock }
    }

    fn may_write(&self) -> Result<(), LogError> {
        if self.lock.is_none() {
            let message = format!("{} is open for reading only", self.directory.display());
            return Err(LogError::Fatal { what: "write the embedded log", message });
        }
        Ok(())
    }

    pub(super) fn temporary(options: EmbeddedOptions) -> Result<Self, LogError> {
        let directory =
            tempfile::Builder::new().prefix("sightline-log-").tempdir().map_err(failed("make a temporary directory; set TMPDIR"))?;
        let store = Self::open(directory.path(), options)?;
        Ok(Self { _temporary: Some(directory), ..store })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        let mut inner = self.lock();
        if inner.by_name.contains_key(spec.name.as_str()) {
            return Ok(());
        }
        self.may_write()?;
        let number = inner.topics.len() as u32;
        let partitions = spec.partitions.max(1) as u32;
        let mut body = Vec::new();
        body.extend_from_slice(&number.to_le_bytes());
        body.extend_from_slice(&partitions.to_le_bytes());
        body.extend_from_slice(spec.name.as_bytes());
        inner.append(&self.directory, &self.options, Kind::Topic, |write| write(&body))?;
        inner.add_topic(&spec.name, partitions);
        Ok(())
    }

    pub(super) fn partitions(&self, topic: &str) -> Result<i32, LogError> {
        let inner = self.lock();
        Ok(inner.topic(topic)?.1.partitions.len() as i32)
    }

    pub(super) fn range(&self, partition: &TopicPartition) -> Result<Range<Offset>, LogError> {
        let inner = self.lock();
        let known = inner.partition(partition)?;
        Ok(Offset(known.start)..Offset(known.end))
    }

    pub(super) fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Offset, LogError> {
        let inner = self.lock();
        let known = inner.partition(partition)?;
        let at = known.chunks.partition_point(|chunk| chunk.timestamp < timestamp);
        Ok(Offset(known.chunks.get(at).map_or(known.end, |chunk| chunk.base.max(known.start))))
    }

    /// The chunk that holds `offset`, if it is committed.
    pub(super) fn chunk(&self, partition: &TopicPartition, offset: i64) -> Result<Option<LoadedChunk>, LogError> {
        let (chunk, file, topic) = {
            let inner = self.lock();
            let (_, topic) = inner.topic(&partition.topic)?;
            let known = inner.partition(partition)?;
            if offset < known.start {
                return Err(LogError::OffsetExpired { partition: partition.clone(), asked: Offset(offset), earliest: Offset(known.start) });
            }
            let at = known.chunks.partition_point(|chunk| chunk.base + i64::from(chunk.count) <= offset);
            let Some(chunk) = known.chunks.get(at).copied() else { return Ok(None) };
            let Some(file) = inner.segments.get(&chunk.segment) else { return Ok(None) };
            (chunk, Arc::clone(file), Arc::clone(&topic.name))
        };
        // Outside the lock: a committed chunk never changes.
        let mut bytes = vec![0; chunk.bytes as usize];
        file.read_exact_at(&mut bytes, chunk.at).map_err(failed("read the embedded log"))?;
        Ok(Some(LoadedChunk { topic, base: chunk.base, count: chunk.count, timestamp: chunk.timestamp, bytes: bytes.into() }))
    }

    /// Waits until something is committed, or time is up.
    pub(super) fn wait(&self, ready: impl Fn(&dyn Fn(&TopicPartition) -> i64) -> bool, timeout: Duration) {
        let inner = self.lock();
        let end = |inner: &Inner, partition: &TopicPartition| inner.partition(partition).map_or(0, |known| known.end);
        let _ = self.committed.wait_timeout_while(inner, timeout, |inner| !ready(&|partition| end(inner, partition)));
    }

    /// The next generation of a transactional id: all older ones are fenced.
    pub(super) fn take_over(&self, id: &str) -> u64 {
        let mut inner = self.lock();
        let generation = inner.generations.entry(id.to_owned()).or_default();
        *generation += 1;
        *generation
    }

    pub(super) fn check_size(&self, record: &NewRecord) -> Result<(), LogError> {
        let bytes = record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len);
        if bytes > self.options.record_bytes {
            return Err(LogError::TooLarge { topic: record.topic.to_string(), bytes });
        }
        Ok(())
    }

    /// Writes a frame of records; `holder` is the transactional id and generation that must still be in force.
    pub(super) fn commit(&self, records: &[NewRecord], holder: Option<(&str, u64)>) -> Result<(), LogError> {
        self.may_write()?;
        let mut inner = self.lock();
        if let Some((id, generation)) = holder
            && inner.generations.get(id) != Some(&generation)
        {
            return Err(LogError::Fenced { id: id.to_owned() });
        }
        if records.is_empty() {
            return Ok(());
        }
        inner.commit(&self.directory, &self.options, records)?;
        drop(inner);
        self.committed.notify_all();
        Ok(())
    }

    pub(super) fn is_current(&self, id: &str, generation: u64) -> bool {
        self.lock().generations.get(id) == Some(&generation)
    }

    pub(super) fn trim(&self, partition: &TopicPartition, offset: Offset) -> Result<(), LogError> {
        self.may_write()?;
        let mut inner = self.lock();
        let (number, _) = inner.topic(&partition.topic)?;
        inner.partition(partition)?;
        let mut body = Vec::new();
        body.extend_from_slice(&(number as u32).to_le_bytes());
        body.extend_from_slice(&partition.partition.to_le_bytes());
        body.extend_from_slice(&offset.0.to_le_bytes());
        inner.append(&self.directory, &self.options, Kind::Trim, |write| write(&body))?;
        inner.apply_trim(number, partition.partition as usize, offset.0);
        Ok(())
    }
}

impl Inner {
    fn topic(&self, name: &str) -> Result<(usize, &Topic), LogError> {
        let number = self.by_name.get(name).copied().ok_or_else(|| LogError::UnknownTopic(name.to_owned()))?;
        Ok((number, &self.topics[number]))
    }

    fn partition(&self, partition: &TopicPartition) -> Result<&Partition, LogError> {
        let known = self.topic(&partition.topic)?.1.partitions.get(partition.partition as usize);
        known.ok_or_else(|| LogError::UnknownTopic(partition.to_string()))
    }

    fn add_topic(&mut self, name: &str, partitions: u32) {
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), self.topics.len());
        self.topics.push(Topic { name, partitions: (0..partitions).map(|_| Partition::default()).collect() });
    }

    fn apply_trim(&mut self, topic: usize, partition: usize, offset: i64) {
        if let Some(known) = self.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(partition)) {
            known.start = known.start.max(offset.min(known.end));
            let start = known.start;
            known.chunks.retain(|chunk| chunk.base + i64::from(chunk.count) > start);
        }
    }

    fn begin_segment(&mut self, directory: &Path, number: u64) -> Result<(), LogError> {
        let beginning = failed("begin a segment of the embedded log");
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(segment_path(directory, number))
            .map_err(&beginning)?;
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(&beginning)?;
        self.segments.insert(number, Arc::new(file));
        self.current = (number, 0);
        Ok(())
    }

    /// Writes a frame at the end: the body first, its head last, so that a frame with a head is whole but for what the disk tore.
    fn append(
        &mut self,
        directory: &Path,
        options: &EmbeddedOptions,
        kind: Kind,
        body: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
    ) -> Result<u64, LogError> {
        if self.current.1 >= options.segment_bytes {
            self.begin_segment(directory, self.current.0 + 1)?;
        }
        let (number, at) = self.current;
        let Some(file) = self.segments.get(&number).map(Arc::clone) else {
            return Err(LogError::Fatal { what: "write the embedded log", message: "no segment is open".into() });
        };
        // What a write left behind that failed half-way is written over.
        let written =
            write_frame(&file, at, kind, options.sync, body).map_err(failed("write the embedded log; free space in its directory"))?;
        self.current.1 = at + written;
        Ok(at + HEADER as u64)
    }

    fn commit(&mut self, directory: &Path, options: &EmbeddedOptions, records: &[NewRecord]) -> Result<(), LogError> {
        // By partition, in the order of sending.
        let mut by_partition: BTreeMap<(usize, i32), Vec<&NewRecord>> = BTreeMap::new();
        for record in records {
            let (number, topic) = self.topic(&record.topic)?;
            let count = topic.partitions.len() as i32;
            let partition = record.partition.unwrap_or_else(|| record.key.as_ref().map_or(0, |key| partition_of(key, count)));
            if !(0..count).contains(&partition) {
                return Err(LogError::UnknownTopic(format!("{}:{partition}", record.topic)));
            }
            by_partition.entry((number, partition)).or_default().push(record);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let timestamp = now.max(self.last_timestamp);
        let mut chunks: Vec<((usize, i32), Chunk)> = Vec::new();
        let bases: HashMap<(usize, i32), i64> =
            by_partition.keys().map(|at| (*at, self.topics[at.0].partitions[at.1 as usize].end)).collect();
        let mut position = 8_u64;
        let body_at = self.append(directory, options, Kind::Records, |write| {
            write(&timestamp.to_le_bytes())?;
            let mut buffer = Vec::with_capacity(CHUNK);
            for (partition, records) in &by_partition {
                let mut base = bases[partition];
                let mut rest = records.as_slice();
                while !rest.is_empty() {
                    buffer.clear();
                    let mut count = 0;
                    while count < rest.len() && (buffer.len() < CHUNK || count == 0) {
                        frame::put_record(&mut buffer, rest[count]);
                        count += 1;
                    }
                    rest = &rest[count..];
                    let mut head = [0; CHUNK_HEADER];
                    head[..4].copy_from_slice(&(partition.0 as u32).to_le_bytes());
                    head[4..8].copy_from_slice(&partition.1.to_le_bytes());
                    head[8..16].copy_from_slice(&base.to_le_bytes());
                    head[16..20].copy_from_slice(&(count as u32).to_le_bytes());
                    head[20..].copy_from_slice(&(buffer.len() as u32).to_le_bytes());
                    write(&head)?;
                    write(&buffer)?;
                    let at = position + CHUNK_HEADER as u64;
                    chunks.push((*partition, Chunk { base, count: count as u32, segment: 0, at, bytes: buffer.len() as u32, timestamp }));
                    position = at + buffer.len() as u64;
                    base += count as i64;
                }
            }
            Ok(())
        })?;
        self.last_timestamp = timestamp;
        let segment = self.current.0;
        for ((topic, partition), chunk) in chunks {
            self.add_chunk(topic, partition as usize, Chunk { segment, at: body_at + chunk.at, ..chunk });
        }
        Ok(())
    }

    fn add_chunk(&mut self, topic: usize, partition: usize, chunk: Chunk) {
        if let Some(known) = self.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(partition)) {
            known.end = chunk.base + i64::from(chunk.count);
            known.chunks.push(chunk);
        }
    }

    /// Reads all segments into the index.
    fn load_all(&mut self, directory: &Path, access: Access) -> Result<(), LogError> {
        let files = fs::read_dir(directory)
            .map_err(|error| LogError::Fatal { what: "open the embedded log", message: format!("{}: {error}", directory.display()) })?;
        let mut numbers: Vec<u64> =
            files.flatten().filter_map(|file| file.file_name().to_str()?.strip_suffix(".log")?.parse().ok()).collect();
        numbers.sort_unstable();
        for (at, number) in numbers.iter().enumerate() {
            self.load(directory, *number, at + 1 == numbers.len(), access)?;
        }
        Ok(())
    }

    /// Reads a segment's frames into the index. A torn end of the last segment is cut off, or, by a reader, passed over, for another process may be
    /// writing it; anywhere else it is damage.
    fn load(&mut self, directory: &Path, number: u64, is_last: bool, access: Access) -> Result<(), LogError> {
        let path = segment_path(directory, number);
        let loading = failed("load the embedded log");
        let file = OpenOptions::new().read(true).write(access == Access::Write).open(&path).map_err(&loading)?;
        let length = file.metadata().map_err(&loading)?.len();
        let mut reader = io::BufReader::with_capacity(1 << 20, FromHere(&file, 0));
        let mut at = 0;
        while at < length {
            let mut frame = read_frame(&mut reader, length - at).map_err(&loading)?;
            let is_torn = frame.is_none() && is_last && !holds_frame(&file, at + 1, length).map_err(&loading)?;
            if frame.is_none() && !is_torn && access == Access::Read {
                // Its writer may have completed it, and the one after it, since.
                reader = io::BufReader::with_capacity(1 << 20, FromHere(&file, at));
                frame = read_frame(&mut reader, length - at).map_err(&loading)?;
            }
            match frame {
                Some((kind, body)) => {
                    if self.apply(kind, &body, number, at + HEADER as u64).is_none() {
                        let message = format!("{} holds a frame at byte {at} that cannot be read", path.display());
                        return Err(LogError::Fatal { what: "load the embedded log", message });
                    }
                    at += (HEADER + body.len()) as u64;
                }
                None if is_torn && access == Access::Read => break,
                None if is_torn => {
                    tracing::warn!(path = %path.display(), at, "cutting off a transaction that was being written when the process ended");
                    file.set_len(at).map_err(&loading)?;
                    break;
                }
                None => {
                    let message = format!("{} is damaged at byte {at}; restore it from a copy", path.display());
                    return Err(LogError::Fatal { what: "load the embedded log", message });
                }
            }
        }
        drop(reader);
        self.segments.insert(number, Arc::new(file));
        self.current = (number, at);
        Ok(())
    }

    fn apply(&mut self, kind: Kind, body: &[u8], segment: u64, body_at: u64) -> Option<()> {
        let mut cursor = Cursor::new(body);
        match kind {
            Kind::Topic => {
                let (number, partitions) = (cursor.u32()?, cursor.u32()?);
                if number as usize == self.topics.len() {
                    self.add_topic(std::str::from_utf8(body.get(8..)?).ok()?, partitions);
                }
            }
            Kind::Trim => {
                let (topic, partition, offset) = (cursor.u32()?, cursor.u32()?, cursor.u64()?);
                self.apply_trim(topic as usize, partition as usize, offset as i64);
            }
            Kind::Records => {
                let timestamp = cursor.u64()? as i64;
                self.last_timestamp = self.last_timestamp.max(timestamp);
                while !cursor.is_empty() {
                    let (topic, partition, base, count, bytes) =
                        (cursor.u32()?, cursor.u32()?, cursor.u64()?, cursor.u32()?, cursor.u32()?);
                    let at = body_at + cursor.at() as u64;
                    cursor.bytes(bytes as usize)?;
                    self.add_chunk(topic as usize, partition as usize, Chunk { base: base as i64, count, segment, at, bytes, timestamp });
                }
            }
        }
        Some(())
    }
}

fn write_frame(
    file: &File,
    at: u64,
    kind: Kind,
    sync: bool,
    body: impl FnOnce(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()>,
) -> io::Result<u64> {
    struct At<'f>(&'f File, u64);
    impl Write for At<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let written = self.0.write_at(bytes, self.1)?;
            self.1 += written as u64;
            Ok(written)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hasher = Xxh3::new();
    let mut length = 0;
    let mut writer = BufWriter::with_capacity(256 << 10, At(file, at + HEADER as u64));
    body(&mut |bytes| {
        hasher.update(bytes);
        length += bytes.len() as u64;
        writer.write_all(bytes)
    })?;
    writer.flush()?;
    file.write_all_at(&frame::header(kind, length, hasher.digest()), at)?;
    // An older, longer frame that failed may lie behind: it must not be taken for the next one.
    file.set_len(at + HEADER as u64 + length)?;
    if sync {
        file.sync_data()?;
    }
    Ok(HEADER as u64 + length)
}

/// Whether a whole frame lies somewhere in a stretch of a segment: then what is before it was not torn by a crash, for nothing is written after that.
fn holds_frame(file: &File, from: u64, to: u64) -> io::Result<bool> {
    const WINDOW: usize = 1 << 20;
    let mut window = vec![0; WINDOW];
    let mut at = from;
    while at + HEADER as u64 <= to {
        let bytes = &mut window[..WINDOW.min((to - at) as usize)];
        file.read_exact_at(bytes, at)?;
        for found in
            bytes.windows(frame::MAGIC.len()).enumerate().filter(|(_, four)| four == frame::MAGIC).map(|(index, _)| at + index as u64)
        {
            let mut reader = io::BufReader::new(FromHere(file, found));
            if read_frame(&mut reader, to - found)?.is_some() {
                return Ok(true);
            }
        }
        // Windows overlap, or a mark across two would be missed.
        at += (bytes.len() - (HEADER - 1)) as u64;
    }
    Ok(false)
}

/// Reads a file from a position on, leaving the file's own alone.
struct FromHere<'f>(&'f File, u64);
impl Read for FromHere<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read_at(into, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

/// The next frame; none if it is not whole.
fn read_frame(reader: &mut impl Read, left: u64) -> io::Result<Option<(Kind, Vec<u8>)>> {
    if left < HEADER as u64 {
        return Ok(None);
    }
    let mut head = [0; HEADER];
    reader.read_exact(&mut head)?;
    let mut cursor = Cursor::new(&head[8..]);
    let (Some(length), Some(checksum)) = (cursor.u64(), cursor.u64()) else { return Ok(None) };
    let kind = Kind::read(head[5]).filter(|_| &head[..4] == frame::MAGIC && head[4] == frame::VERSION);
    let Some(kind) = kind.filter(|_| length <= left - HEADER as u64) else { return Ok(None) };
    let mut body = vec![0; length as usize];
    reader.read_exact(&mut body)?;
    Ok((xxhash_rust::xxh3::xxh3_64(&body) == checksum).then_some((kind, body)))
}
