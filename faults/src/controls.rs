//! Negative controls: the lives in which a rule that is switched off must show.
use fastrand::Rng;
use sightline_failpoints::Control;

use crate::damage::Damage;
use crate::fault::Fault;
use crate::lives::{Ending, Life};

/// How long a process may take to reach a failpoint.
const REACH: u64 = 1_500;

/// Whether the control can be shown without servers.
pub fn is_embedded(control: Control) -> bool {
    // Two processes cannot have the embedded log open: there is nobody to fence.
    !matches!(control, Control::NoFence | Control::NoOwner)
}

/// The lives between two steps with `control` on.
pub fn lives(control: Control, rng: &mut Rng, lanes: u32, sinks: &[&str]) -> Vec<Life> {
    let dies = |failpoints: String| Life { failpoints, ending: Ending::ByItself(REACH), ..Life::default() };
    let (lane, hit) = (rng.u32(0..lanes), rng.u32(2..8));
    // Where a lane commits twice for an epoch, the odd hits lie between its outputs and its progress.
    let odd = 2 * rng.u32(1..6) + 1;
    let life = match control {
        // The lanes have time to commit what the journal does not hold yet.
        Control::JournalLate => dies(format!("commit.before[journal]=delay(300)@{hit};commit.before[journal]=kill@{hit}")),
        Control::ProgressOutside | Control::ProgressFirst => dies(format!("commit.after[lane-{lane}]=kill@{odd}")),
        Control::GatesIgnored => dies(format!("commit.after[lane-{lane}]=kill@{hit}")),
        Control::NoReplay => dies(format!("commit.before[lane-{lane}]=kill@{hit}")),
        // The lane is behind what the manifest says.
        Control::ManifestAhead => dies(format!("commit.before[lane-{lane}]=delay(150)@2+;manifest.durable=kill@{}", rng.u32(1..4))),
        Control::TrustChecksums => {
            Life { ending: Ending::TerminatedAfter(rng.u64(200..800)), damage: Some(Damage::Flip), ..Life::default() }
        }
        // The store has nothing, and the local disk is lost.
        Control::TrimEarly => Life {
            failpoints: "store.before=error@*".to_owned(),
            ending: Ending::TerminatedAfter(rng.u64(400..1_200)),
            damage: Some(Damage::Everything),
            ..Life::default()
        },
        Control::TrustPacks => return Fault::CopiesDamaged.lives(rng, lanes, sinks),
        Control::OffsetFirst => dies(format!("sink.before_rows[{}]=kill@{hit}", sinks[rng.usize(0..sinks.len())])),
        // Past its fence, and before it cleans up.
        Control::NoOwner => {
            Life { failpoints: "start.r5=delay(12000)".to_owned(), ending: Ending::Replaced(rng.u64(500..900)), ..Life::default() }
        }
        Control::NoFence => return Fault::Zombie.lives(rng, lanes, sinks),
    };
    vec![life]
}
