//! What each kind of fault does to the lives of a process: where and when is drawn from the seed.
use fastrand::Rng;
use sightline_failpoints::Point;

use crate::damage::Damage;
use crate::fault::Fault;
use crate::pair::PROCESSES;

/// One life of a process: what it meets, and how it ends.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// For `SIGHTLINE_FAILPOINTS`.
    pub failpoints: String,
    /// For `SIGHTLINE_CLOCK_OFFSET_MS`.
    pub clock_offset_ms: Option<i64>,
    /// How it ends.
    pub ending: Ending,
    /// The state store cannot be reached meanwhile.
    pub store_away: bool,
    /// What is done to its files afterwards.
    pub damage: Option<Damage>,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, Default)]
pub enum Ending {
    /// By itself, at a failpoint; killed when it has not after so many milliseconds.
    ByItself(u64),
    /// `kill -9` after so many milliseconds.
    Killed(u64),
    /// SIGTERM after so many milliseconds.
    #[default]
    Terminated,
    /// SIGTERM after so many milliseconds.
    TerminatedAfter(u64),
    /// SIGSTOP after so many milliseconds; another is started; SIGCONT.
    Replaced(u64),
    /// As the kind of fault says, beside the process; then `kill -9` or SIGTERM.
    Beside {
        /// Milliseconds before it, and after it.
        after: u64,
        /// Whether the process is killed in the end.
        kill: bool,
    },
    /// Of two processes, this one dies.
    OneOfTwo {
        /// Which.
        which: usize,
        /// How.
        dies: Dies,
    },
    /// Its state directory lies on a file system that is full, until SIGTERM after so many milliseconds.
    OnFullDisk(u64),
}

/// How one of two processes dies; the number is of milliseconds.
#[derive(Clone, Copy, Debug)]
pub enum Dies {
    /// At a failpoint, or so long after the start.
    AtPoint(u64),
    /// `kill -9`.
    Killed(u64),
    /// SIGSTOP; two others are started; SIGCONT.
    Replaced(u64),
}

/// How long a process may take to reach a failpoint.
const REACH: u64 = 1_500;

impl Fault {
    /// The lives between one step of the workload and the next. `lanes`: how many there are; `sinks`: names of the connectors.
    pub fn lives(self, rng: &mut Rng, lanes: u32, sinks: &[&str]) -> Vec<Life> {
        // With servers a life takes ten times as long.
        let lives = if sinks.len() > 1 || self == Self::ProcessDies { 1 } else { rng.usize(1..=3) };
        (0..lives).map(|_| self.life(rng, lanes, sinks)).collect()
    }

    fn life(self, rng: &mut Rng, lanes: u32, sinks: &[&str]) -> Life {
        let moment = |rng: &mut Rng| rng.u64(20..1_200);
        let dies = |failpoints: String| Life { failpoints, ending: Ending::ByItself(REACH), ..Life::default() };
        match self {
            Self::KillAtPoint => dies(strikes(place(rng, lanes, sinks), "kill", rng)),
            Self::PanicAtPoint => dies(strikes(place(rng, lanes, sinks), "panic", rng)),
            Self::KillAtRandom => {
                let delays = if rng.bool() { format!("{}=delay({})@*", place(rng, lanes, sinks), rng.u32(1..20)) } else { String::new() };
                Life { failpoints: delays, ending: Ending::Killed(moment(rng)), ..Life::default() }
            }
            Self::Rescale => Life { ending: Ending::TerminatedAfter(moment(rng)), ..Life::default() },
            Self::TornFile | Self::FlippedFile | Self::DamagedDocuments | Self::StateLost => Life {
                ending: if rng.bool() { Ending::Killed(200 + moment(rng)) } else { Ending::TerminatedAfter(moment(rng)) },
                damage: Some(match self {
                    Self::TornFile if rng.bool() => Damage::Truncate,
                    Self::TornFile => Damage::Zero,
                    Self::FlippedFile => Damage::Flip,
                    Self::DamagedDocuments => Damage::Documents,
                    _ => Damage::Everything,
                }),
                ..Life::default()
            },
            Self::CopiesRefused => {
                let point = pick(rng, &["store.before[pack]", "store.before[manifest]", "store.collect", "store.fetch"]);
                let when = if rng.bool() { "*".to_owned() } else { rng.u32(1..6).to_string() };
                let store_away = rng.bool();
                let failpoints = if store_away { String::new() } else { format!("{point}=error@{when}") };
                let ending = if rng.bool() { Ending::Killed(moment(rng)) } else { Ending::TerminatedAfter(moment(rng)) };
                Life { failpoints, ending, store_away, damage: rng.bool().then_some(Damage::Everything), ..Life::default() }
            }
            Self::CopiesKilled => {
                let (before, after) = (["store.before[pack]", "store.before[manifest]"], ["store.after[pack]", "store.after[manifest]"]);
                let others = ["store.collect", "store.fetch", "store.fetched", "journal.trim", "journal.trimmed", "manifest.durable"];
                let point = pick(rng, &[&before[..], &after[..], &others[..]].concat());
                // What is fetched is one or two packs, and a copy takes a second or more.
                let hit = if point.starts_with("store.fetch") { 1 } else { rng.u32(1..4) };
                Life { damage: rng.bool().then_some(Damage::Everything), ..dies(format!("{point}=kill@{hit}")) }
            }
            Self::CopiesDamaged => {
                let ending = if rng.bool() { Ending::Killed(200 + moment(rng)) } else { Ending::TerminatedAfter(moment(rng)) };
                Life { ending, damage: Some(Damage::Copy), ..Life::default() }
            }
            Self::DiskRefuses => {
                let place = pick(rng, &[Point::DocumentsFlush, Point::SegmentBefore, Point::SnapshotSync, Point::ManifestBefore]);
                let error = pick(rng, &["ENOSPC", "EDQUOT", "EIO"]);
                let when = if rng.bool() { "*".to_owned() } else { format!("{}+", hit(rng)) };
                let ending = if rng.bool() { Ending::Killed(moment(rng)) } else { Ending::TerminatedAfter(moment(rng)) };
                Life { failpoints: format!("{}=error({error})@{when}", place.name()), ending, ..Life::default() }
            }
            Self::DiskFull => Life { ending: Ending::OnFullDisk(moment(rng)), ..Life::default() },
            Self::LogRefuses => {
                let label = if rng.bool() { "journal".to_owned() } else { format!("lane-{}", rng.u32(0..lanes)) };
                let ending = if rng.bool() { Ending::Killed(moment(rng)) } else { Ending::TerminatedAfter(moment(rng)) };
                let (a, b) = (hit(rng), hit(rng));
                Life { failpoints: format!("commit.before[{label}]=error@{a};commit.before[{label}]=error@{b}"), ending, ..Life::default() }
            }
            Self::SinkFails => {
                let sink = pick(rng, sinks);
                let points = [Point::SinkBeforeRows, Point::SinkBeforeOffset, Point::SinkBeforeCommit, Point::SinkAfterCommit];
                let rules: Vec<String> = (0..3).map(|_| format!("{}[{sink}]=error@{}", pick(rng, &points).name(), hit(rng))).collect();
                let ending = if rng.bool() { Ending::Killed(moment(rng)) } else { Ending::TerminatedAfter(moment(rng)) };
                Life { failpoints: rules.join(";"), ending, ..Life::default() }
            }
            Self::ClockJump => {
                const DAY: i64 = 86_400_000;
                let clock_offset_ms = Some(rng.i64(-30 * DAY..30 * DAY));
                let ending = if rng.bool() { Ending::Killed(moment(rng)) } else { Ending::TerminatedAfter(moment(rng)) };
                Life { clock_offset_ms, ending, ..Life::default() }
            }
            Self::Zombie => {
                // Half of them in the middle of a start: what it has read of the state directory is then out of date.
                let points = [Point::StartLanes, Point::StartProgress, Point::StartChosen, Point::StartLoaded];
                let failpoints = if rng.bool() { format!("{}=delay(12000)", pick(rng, &points).name()) } else { String::new() };
                Life { failpoints, ending: Ending::Replaced(moment(rng)), ..Life::default() }
            }
            Self::ProcessDies => {
                let which = rng.usize(0..PROCESSES);
                let (failpoints, dies) = match rng.u8(0..8) {
                    0..4 => (strikes(place_of(which, rng, lanes, sinks), "kill", rng), Dies::AtPoint(REACH)),
                    4..6 => (String::new(), Dies::Killed(moment(rng))),
                    _ => (String::new(), Dies::Replaced(500 + moment(rng))),
                };
                Life { failpoints, ending: Ending::OneOfTwo { which, dies }, ..Life::default() }
            }
            Self::Poison => Life { ending: Ending::Killed(moment(rng)), ..Life::default() },
            Self::StoreRefuses
            | Self::StoreBlocks
            | Self::StoreDeadlocks
            | Self::StoreDown
            | Self::BrokerRestart
            | Self::BrokerUnreachable => {
                Life { ending: Ending::Beside { after: rng.u64(300..3_000), kill: rng.bool() }, ..Life::default() }
            }
        }
    }
}

/// A failpoint, with one of its labels as a rule.
fn place(rng: &mut Rng, lanes: u32, sinks: &[&str]) -> String {
    // Those of the state store are passed only where there is one.
    let points: Vec<Point> = Point::ALL.iter().copied().filter(|point| !point.name().starts_with("store.")).collect();
    let point = pick(rng, &points);
    match point {
        Point::CommitBefore | Point::CommitAfter => match rng.u32(0..=lanes) {
            0 => format!("{}[journal]", point.name()),
            lane => format!("{}[lane-{}]", point.name(), lane - 1),
        },
        Point::SinkOpened | Point::SinkBeforeRows | Point::SinkBeforeOffset | Point::SinkBeforeCommit | Point::SinkAfterCommit => {
            format!("{}[{}]", point.name(), pick(rng, sinks))
        }
        _ => point.name().to_owned(),
    }
}

/// A failpoint that a process of two passes: those of the journal, of manifests and of connectors are process 0's.
fn place_of(process: usize, rng: &mut Rng, lanes: u32, sinks: &[&str]) -> String {
    const FOLLOWER: [Point; 13] = [
        Point::CommitBefore,
        Point::CommitAfter,
        Point::EpochComputed,
        Point::SnapshotBegun,
        Point::DocumentsFlush,
        Point::SegmentBefore,
        Point::SegmentWritten,
        Point::SnapshotSync,
        Point::SnapshotSynced,
        Point::StartLanes,
        Point::StartProgress,
        Point::StartLoaded,
        Point::StartAssigned,
    ];
    if process == 0 { place(rng, lanes, sinks) } else { pick(rng, &FOLLOWER).name().to_owned() }
}

/// A rule: at which hit of a place what is done. Most steps of a start are passed once.
fn strikes(place: String, action: &str, rng: &mut Rng) -> String {
    let once = place.starts_with("start.") && place != Point::StartReplaying.name();
    format!("{place}={action}@{}", if once { 1 } else { hit(rng) })
}

/// Most faults strike early in a life, where start and replay are; some late.
fn hit(rng: &mut Rng) -> u32 {
    match rng.u8(0..4) {
        0 => 1,
        1 => rng.u32(2..5),
        _ => rng.u32(2..25),
    }
}

fn pick<T: Copy>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())]
}
