//! Empties the queue of a producer.
//!
//! An idempotent producer of librdkafka sends up to five requests of a partition and then none until every *message* in them is acknowledged. While
//! something waits behind them that is older than `linger.ms`, its broker thread does not sleep but looks at socket and queue in turns: two lanes take two
//! cores, which on a small machine are the broker's too (measured: a fifth of the rate). So [`LINGER_MS`] is long, for full batches need none of it, and what
//! is left over goes when it is asked for, here.
use std::time::{Duration, Instant};

use rdkafka::bindings::rd_kafka_flush;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::context::Deliveries;

/// `linger.ms`: longer than a backlog lasts.
pub(super) const LINGER_MS: u32 = 5_000;
/// `batch.size`: what goes of itself.
pub(super) const BATCH_BYTES: usize = 1_000_000;

/// A rest between two looks at a queue that librdkafka empties.
const STEP: Duration = Duration::from_micros(500);
/// A queue that has not moved for so long waits for us, or for the broker.
const STILL: Duration = Duration::from_millis(5);
/// How long a flush may wait before failures are taken from librdkafka's queue: it counts them as undelivered until then.
const SLICE: Duration = Duration::from_millis(20);

/// Takes a report, if there is one, and rests. Polling for a millisecond would spin: what is left of it rounds to none.
pub(super) fn step(producer: &BaseProducer<Deliveries>) {
    producer.poll(Duration::ZERO);
    std::thread::sleep(STEP);
}

/// Sends what librdkafka holds and waits until that is nothing, or `deadline`. `bytes`: how much it was given since the last time.
pub(super) fn flush(producer: &BaseProducer<Deliveries>, bytes: usize, deadline: Option<Instant>) {
    let in_time = || deadline.is_none_or(|deadline| Instant::now() < deadline);
    if bytes > BATCH_BYTES {
        // To flush is to linger no more. As long as full batches wait, that would bring on what lingering prevents.
        let (mut left, mut moved) = (producer.in_flight_count(), Instant::now());
        while left > 0 && moved.elapsed() < STILL && in_time() {
            step(producer);
            let now = producer.in_flight_count();
            if now < left {
                (left, moved) = (now, Instant::now());
            }
        }
    }
    while producer.in_flight_count() > 0 && in_time() {
        send_all(producer, SLICE);
        producer.poll(Duration::ZERO);
    }
    producer.poll(Duration::ZERO);
}

/// librdkafka's own flush, which returns as soon as nothing is left. That of rdkafka calls it with no time at all, in which broker threads do not notice it, and
/// then waits for tenths of a second.
#[expect(unsafe_code, reason = "rdkafka has no safe way to it")]
fn send_all(producer: &BaseProducer<Deliveries>, timeout: Duration) {
    // SAFETY: the pointer is that of a live producer, which the reference keeps alive, and librdkafka's functions may be called from any thread. What it
    // returns says only whether time ran out, which the caller sees by the count.
    unsafe { rd_kafka_flush(producer.client().native_ptr(), timeout.as_millis() as i32) };
}
