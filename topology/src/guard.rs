//! Panics of parsers become dead letters.
//!
//! A panic ends the process, for nobody vouches for the state that it leaves. But a parser is a function of one input, and keeps nothing: were its panic
//! to end the process, that input would end it again at every replay, for ever. So parsers run here, and the hook of the process lets their panics unwind.
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use sightline_formats::{Limits, Poison};
use sightline_schemas::record::Stage;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, is a parser's: the panic hook must not end the process.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Runs a parser over an input in parts.
///
/// # Errors
/// When it panics: what to dead-letter.
pub(crate) fn guarded<T>(input: &[Bytes], limits: &Limits, parse: impl FnOnce() -> T) -> Result<T, Poison> {
    GUARDED.set(true);
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        input.iter().for_each(|part| sightline_failpoints::poison(part));
        parse()
    }));
    GUARDED.set(false);
    parsed.map_err(|panic| Poison {
        position: "$".into(),
        stage: Stage::Parse,
        reason: "parser-panicked",
        message: format!("the parser panicked: {}; please report this", text(&*panic)),
        bytes: input.first().map(|part| part.slice(..part.len().min(limits.dead_letter_bytes))).unwrap_or_default(),
    })
}

/// Runs what a parser calls back: a panic in there is not the parser's, and ends the process.
pub(crate) fn unguarded<T>(work: impl FnOnce() -> T) -> T {
    let was = GUARDED.replace(false);
    let done = work();
    GUARDED.set(was);
    done
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_panic_of_a_parser_is_a_dead_letter_with_its_input() {
        let limits = Limits { dead_letter_bytes: 3, ..Limits::default() };
        let input = [Bytes::from("input")];
        let poison = guarded(&input, &limits, || -> u8 { panic!("at {}", 7) }).unwrap_err();
        assert_eq!((poison.reason, &poison.bytes[..]), ("parser-panicked", &b"inp"[..]));
        assert!(poison.message.contains("at 7"));
        assert!(!is_guarded());
        assert_eq!(guarded(&input, &limits, || unguarded(is_guarded)), Ok(false));
    }
}
