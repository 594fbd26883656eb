//! One transaction, tried until it is in.
use std::time::Duration;

use sightline_failpoints::{self as failpoints, Point};
use sightline_log::{LogError, TransactionalWriter};

/// The first pause after a failure; a broker that changes leaders is back within a few of these.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest: an operator who has repaired the log should not wait for us.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Fills and commits a transaction. Whatever may pass is waited out and the *whole* transaction is done again, for a reader sees all of it or nothing.
/// `who` names the writer in the log of the process.
///
/// # Errors
/// What will not pass: [`LogError::Fenced`] above all. Nothing of the transaction is visible then.
pub(crate) fn transact(
    writer: &mut dyn TransactionalWriter,
    who: &str,
    mut fill: impl FnMut(&mut dyn TransactionalWriter) -> Result<(), LogError>,
) -> Result<(), LogError> {
    let mut pause = FIRST_PAUSE;
    let mut wait = |error: &LogError| {
        tracing::warn!(%error, who, "waits for the log");
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    };
    loop {
        let filled = writer.begin().and_then(|()| fill(&mut *writer)).and_then(|()| {
            let failed = |error: std::io::Error| LogError::Retriable { what: "commit", message: error.to_string() };
            failpoints::io(Point::CommitBefore, who).map_err(failed)
        });
        match filled.and_then(|()| writer.commit()) {
            Err(error) if error.is_retriable() => wait(&error),
            done => {
                failpoints::hit(Point::CommitAfter, who);
                return done;
            }
        }
        // `begin` is refused while the failed transaction is open.
        while let Err(error) = writer.abort() {
            if !error.is_retriable() {
                return Err(error);
            }
            wait(&error);
        }
    }
}
