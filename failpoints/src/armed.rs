//! Builds with failpoints: what the environment asks for, done at its hits.
use std::fmt::Display;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::spec::{Action, Rule, parse};
use crate::{Control, Point};

#[derive(Default)]
struct Armed {
    rules: Vec<Rule>,
    /// One a rule: how often its place was passed.
    hits: Mutex<Vec<u64>>,
    controls: Vec<Control>,
    clock_offset_micros: i64,
    poison: Option<String>,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// Reads the environment. Points that are passed before are not armed.
///
/// # Errors
/// What cannot be understood: a rule that is ignored would test nothing.
pub fn arm() -> Result<(), String> {
    let var = |name: &str| std::env::var(name).ok();
    let rules = parse(&var("SIGHTLINE_FAILPOINTS").unwrap_or_default())?;
    let mut controls = Vec::new();
    for name in var("SIGHTLINE_CONTROL").unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()) {
        controls.push(Control::named(name).ok_or_else(|| {
            let known: Vec<_> = Control::ALL.iter().map(|control| control.name()).collect();
            format!("SIGHTLINE_CONTROL: there is no rule {name:?} to switch off; valid are {}", known.join(", "))
        })?);
    }
    let offset = match var("SIGHTLINE_CLOCK_OFFSET_MS") {
        Some(text) => text.parse::<i64>().map_err(|_| format!("SIGHTLINE_CLOCK_OFFSET_MS: {text:?} is no number of milliseconds"))?,
        None => 0,
    };
    let hits = Mutex::new(vec![0; rules.len()]);
    let armed = Armed { rules, hits, controls, clock_offset_micros: offset.saturating_mul(1_000), poison: var("SIGHTLINE_POISON") };
    ARMED.set(armed).map_err(|_| "failpoints are armed once".to_owned())
}

/// Passes a point that cannot return an error: `error` does nothing here.
pub fn hit(point: Point, label: impl Display) {
    let _ = io(point, label);
}

/// Passes a point that can return an error.
///
/// # Errors
/// When the environment asks for one.
pub fn io(point: Point, label: impl Display) -> io::Result<()> {
    let Some(armed) = ARMED.get().filter(|armed| armed.rules.iter().any(|rule| rule.point == point)) else { return Ok(()) };
    let label = label.to_string();
    let mut due = Vec::new();
    {
        let mut hits = armed.hits.lock().unwrap_or_else(PoisonError::into_inner);
        for (rule, hits) in armed.rules.iter().zip(hits.iter_mut()) {
            if rule.point == point && rule.label.as_ref().is_none_or(|wanted| *wanted == label) {
                *hits += 1;
                due.extend(rule.when.includes(*hits).then(|| rule.action.clone()));
            }
        }
    }
    due.into_iter().try_for_each(|action| act(&action, point, &label))
}

fn act(action: &Action, point: Point, label: &str) -> io::Result<()> {
    match action {
        Action::Kill => kill(),
        Action::Panic => panic!("failpoint {}[{label}]", point.name()),
        Action::Delay(time) => std::thread::sleep(*time),
        Action::Error(number) => return Err(io::Error::from_raw_os_error(*number)),
    }
    Ok(())
}

/// As `kill -9` does: no destructor runs, no buffer is flushed, and no other thread is asked.
fn kill() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // The signal ends all threads, but perhaps not before this one goes on.
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Whether a rule is switched off.
pub fn without(control: Control) -> bool {
    ARMED.get().is_some_and(|armed| armed.controls.contains(&control))
}

/// By how much the wall clock is wrong, in microseconds.
pub fn clock_offset_micros() -> i64 {
    ARMED.get().map_or(0, |armed| armed.clock_offset_micros)
}

/// Panics when the input holds the poison.
pub fn poison(input: &[u8]) {
    if let Some(poison) = ARMED.get().and_then(|armed| armed.poison.as_deref()) {
        let holds = input.windows(poison.len().max(1)).any(|window| window == poison.as_bytes());
        assert!(!holds, "failpoint: the input holds the poison");
    }
}
