//! Tries again while the store is away.
use std::time::Instant;

use super::{ReplayError, Source};
use crate::runtime::ConnectorConfig;
use crate::runtime::backoff::Backoff;
use crate::sink::SinkError;

/// For as long as the source says.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    pub source: &'a Source,
    pub config: &'a ConnectorConfig,
}

impl Patience<'_> {
    /// Does `work` until it succeeds, or fails in a way that will not pass.
    pub(super) async fn for_store<T>(self, mut work: impl AsyncFnMut() -> Result<T, SinkError>) -> Result<T, ReplayError> {
        let (began, mut backoff) = (Instant::now(), Backoff::new(&self.config.backoff));
        loop {
            match work().await {
                Ok(done) => return Ok(done),
                Err(error) if !error.is_retriable() => return Err(error.into()),
                Err(error) if began.elapsed() > self.source.patience => {
                    return Err(ReplayError::Away { patience: self.source.patience, last: error.to_string() });
                }
                Err(error) => {
                    let delay = backoff.delay().min(self.source.patience);
                    tracing::warn!(connector = self.config.name, %error, delay_ms = delay.as_millis() as u64, "will try again");
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }
}
