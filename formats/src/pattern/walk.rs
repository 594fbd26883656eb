//! The tests of a pattern, and whether one alone suffices.
use super::ast::{Comparison, Observation, Qualifier, Test};

/// Hands out every test of a pattern, and whether nothing but `OR` lies between it and the whole, so that it suffices. Else it needs others beside it
/// (`AND`, `FOLLOWEDBY`), several times (`REPEATS`), or at a certain time (`START … STOP`).
pub(super) fn each_test<'a>(pattern: &'a Observation, out: &mut dyn FnMut(&'a Test, bool)) {
    observation(pattern, true, out);
}

fn observation<'a>(pattern: &'a Observation, suffices: bool, out: &mut dyn FnMut(&'a Test, bool)) {
    match pattern {
        Observation::Test(test) => comparison(test, suffices, out),
        Observation::Or(parts) => parts.iter().for_each(|part| observation(part, suffices, out)),
        Observation::And(parts) | Observation::FollowedBy(parts) => parts.iter().for_each(|part| observation(part, false, out)),
        Observation::Qualified(inner, qualifier) => {
            let alone = match qualifier {
                Qualifier::Within(_) => true,
                Qualifier::Repeats(times) => *times == 1,
                Qualifier::StartStop(..) => false,
            };
            observation(inner, suffices && alone, out);
        }
    }
}

fn comparison<'a>(test: &'a Comparison, suffices: bool, out: &mut dyn FnMut(&'a Test, bool)) {
    match test {
        Comparison::Test(test) => out(test, suffices),
        Comparison::Or(parts) => parts.iter().for_each(|part| comparison(part, suffices, out)),
        Comparison::And(parts) => parts.iter().for_each(|part| comparison(part, false, out)),
        Comparison::Exists { .. } => {}
    }
}
