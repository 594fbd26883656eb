//! Ours and a rival in turns: a busy machine, a warming server and a disk that settles then touch both alike.

/// What each side reached, a figure a turn.
#[derive(Debug)]
pub struct Rounds {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// Lets both sides take turns; who goes first changes each round. Each is told the round, and returns its rate.
pub fn alternate(rounds: usize, mut ours: impl FnMut(usize) -> f64, mut theirs: impl FnMut(usize) -> f64) -> Rounds {
    let mut told = Rounds { ours: Vec::new(), theirs: Vec::new() };
    for round in 0..rounds {
        if round % 2 == 0 {
            told.ours.push(ours(round));
            told.theirs.push(theirs(round));
        } else {
            told.theirs.push(theirs(round));
            told.ours.push(ours(round));
        }
    }
    told
}

impl Rounds {
    /// Prints both sides and the ratio of their medians beside what it should reach.
    pub fn print(&self, us: &str, them: &str, aim: f64) {
        let (ours, theirs) = (Spread::of(&self.ours), Spread::of(&self.theirs));
        let width = us.len().max(them.len());
        println!("  {:width$}  {:>10} {:>10} {:>10}   records/s, of {} rounds", "", "median", "least", "most", self.ours.len());
        for (name, rate) in [(us, &ours), (them, &theirs)] {
            println!("  {name:width$}  {:>10.0} {:>10.0} {:>10.0}", rate.median, rate.least, rate.most);
        }
        let ratio = ours.median / theirs.median;
        let verdict = if ratio >= aim { "met" } else { "missed" };
        println!("  {:width$}  {ratio:>10.2}   (at least {aim:.2}: {verdict})", "ratio");
    }
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(rates: &[f64]) -> Self {
        let mut sorted = rates.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
        Self { least: at(0), median: at(sorted.len() / 2), most: at(sorted.len().saturating_sub(1)) }
    }
}
