//! A package of intelligence to records of `in.intel`: parts of one whole.
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result};
use bytes::Bytes;
use sightline_formats::IntelFormat;
use sightline_formats::logs::stream::LogStream;
use sightline_formats::unpack::fault;
use sightline_log::Headers;
use sightline_schemas::header;

use super::{Intake, Origin, intel_format, now};

/// Below the megabyte that brokers take unless told otherwise, headers included.
const PART: usize = 900_000;
/// A package up to this size is held in memory while its parts are counted, a larger one in a temporary file.
const IN_MEMORY: usize = 8 << 20;

impl Intake<'_> {
    /// Sends a package, or refuses it: a part of a package is none, and of a snapshot feed it would withdraw the rest.
    pub(super) fn package(&mut self, origin: &Origin, format: IntelFormat, stream: LogStream<'_>) -> Result<()> {
        let mut whole = tempfile::SpooledTempFile::new(IN_MEMORY);
        let mut text = stream.into_text();
        let bytes = match std::io::copy(&mut text, &mut whole) {
            Ok(bytes) => bytes,
            Err(error) => match fault(&error) {
                Some(refused) => {
                    whole.seek(SeekFrom::Start(0))?;
                    let mut head = Vec::new();
                    whole.take(self.limits.dead_letter_bytes as u64).read_to_end(&mut head)?;
                    return self.refused(origin, None, &refused.clone(), &head);
                }
                None => return Err(error.into()),
            },
        };
        whole.seek(SeekFrom::Start(0)).context("failed to read a temporary file")?;
        let feed = self.feed.clone().unwrap_or_else(|| origin.stem.clone());
        let parts = bytes.div_ceil(PART as u64).max(1);
        let received = now();
        for part in 0..parts {
            let mut value = Vec::new();
            (&mut whole).take(PART as u64).read_to_end(&mut value).context("failed to read a temporary file")?;
            let headers = Headers::default()
                .with(header::TENANT, self.tenant.clone())
                .with("feed", feed.clone())
                .with(header::FORMAT, intel_format(format))
                .with("package", origin.file.clone())
                .with("part", part.to_string())
                .with("parts", parts.to_string())
                .with(header::RECEIVED, received.clone());
            self.send(self.topics.intel_in(), feed.clone(), Bytes::from(value), headers)?;
        }
        self.taken.bytes += bytes;
        self.taken.packages += 1;
        Ok(())
    }
}
