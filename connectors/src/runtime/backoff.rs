//! How long to wait before the next try.
use std::time::Duration;

use super::config::BackoffConfig;

/// Doubles from the least to the greatest delay, each drawn evenly from its upper half, so that connectors that failed together do not
/// come back together.
#[derive(Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at the least delay.
    pub fn new(config: &BackoffConfig) -> Self {
        let min = Duration::from_millis(config.min_ms);
        Self { min, max: Duration::from_millis(config.max_ms.max(config.min_ms)), next: min }
    }

    /// The delay before the next try.
    pub fn delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.max);
        delay.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// A try succeeded.
    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_the_cap_and_start_over_after_success() {
        let mut backoff = Backoff::new(&BackoffConfig { min_ms: 100, max_ms: 1_000 });
        let delays: Vec<u128> = (0..8).map(|_| backoff.delay().as_millis()).collect();
        assert!((50..=100).contains(&delays[0]) && (400..=800).contains(&delays[3]));
        assert!(delays[5..].iter().all(|delay| (500..=1_000).contains(delay)), "{delays:?}");
        backoff.reset();
        assert!(backoff.delay().as_millis() <= 100);
    }
}
