//! How far reading has come: a bar on a terminal, nothing elsewhere.
use std::io::{self, Read, Seek, SeekFrom};

use indicatif::{ProgressBar, ProgressStyle};

/// Counts what is read of all files.
#[derive(Clone)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Of so many bytes, as they lie on the disk.
    pub fn of(bytes: u64) -> Self {
        // Hidden unless standard error is a terminal.
        let bar = ProgressBar::new(bytes);
        let style = "{bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {wide_msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// None at all.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Names what is being read.
    pub fn file(&self, name: &str) {
        self.0.set_message(name.to_owned());
    }

    /// Prints a line without disturbing the bar.
    pub fn complain(&self, line: &str) {
        self.0.suspend(|| eprintln!("sightline: {line}"));
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }

    /// A file whose reading is counted.
    pub fn counted<R>(&self, inner: R) -> Counted<R> {
        Counted { inner, progress: self.clone() }
    }
}

/// A file whose reading is counted.
pub struct Counted<R> {
    inner: R,
    progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.0.inc(read as u64);
        Ok(read)
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
