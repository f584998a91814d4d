//! Of all the faults of a failing run, those that matter.

use mqtt_session::Instant;

use crate::world::{Fault, Halt, Strike};

use super::{Failure, Swarm};

/// A failing run with as few faults as were found to be enough.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shrunk {
    /// The faults that are left, with the times at which they strike in the shrunk run.
    pub strikes: Vec<(Instant, Strike)>,
    /// How it fails with them: by the same rule as before. Its `swarm` holds these faults and no others.
    pub failure: Box<Failure>,
    /// How many faults there were at first.
    pub before: usize,
    /// How many runs it took.
    pub runs: u32,
}

impl Swarm {
    /// Leaves out faults of a failing run, again and again, as long as it fails by the same rule (delta debugging).
    /// None if it does not fail. `progress` is told after each run how many faults are left, and how many runs there
    /// were; if it says no, or after `max_runs`, what is left is taken as it is.
    ///
    /// The result depends on the seed alone: whole kinds of faults are left out first, then halves, quarters and so on
    /// down to single ones, until every single one that is left is needed.
    pub fn shrink(
        &self,
        seed: u64,
        max_runs: u32,
        progress: impl FnMut(usize, u32) -> bool,
    ) -> Option<Shrunk> {
        let (world, outcome) = self.record(seed);
        let failure = outcome.err()?;
        let strikes: Vec<Strike> = world.strikes().map(|(_, strike)| strike).collect();
        let before = strikes.len();
        let rule = rule(&failure.halt);
        let fails = |strikes: &[Strike]| {
            let swarm = Self { only: Some(strikes.to_vec()), ..self.clone() };
            swarm.run(seed).is_err_and(|failure| self::rule(&failure.halt) == rule)
        };
        let mut search = Search { fails, runs: 1, max_runs, progress };
        let left = search.kinds(strikes);
        let left = search.parts(left);
        let runs = search.runs + 1;
        let (world, outcome) = Self { only: Some(left), ..self.clone() }.record(seed);
        Some(Shrunk { strikes: world.strikes().collect(), failure: outcome.err()?, before, runs })
    }
}

/// What makes two failures the same one.
fn rule(halt: &Halt) -> String {
    match halt {
        Halt::Violated(violation) => violation.rule.to_owned(),
        Halt::Livelock(_) => "livelock".to_owned(),
        Halt::TimedOut(_) => "timed out".to_owned(),
        // Numbers in the message are not part of it.
        Halt::Panicked(message) => message.chars().filter(|c| !c.is_ascii_digit()).collect(),
    }
}

struct Search<F, P> {
    fails: F,
    runs: u32,
    max_runs: u32,
    progress: P,
}

impl<F: FnMut(&[Strike]) -> bool, P: FnMut(usize, u32) -> bool> Search<F, P> {
    /// Whether these faults are enough.
    fn fails(&mut self, strikes: &[Strike]) -> bool {
        if self.runs >= self.max_runs {
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(strikes);
        if !(self.progress)(strikes.len(), self.runs) {
            self.max_runs = 0;
        }
        fails
    }

    /// Leaves out whole kinds.
    fn kinds(&mut self, mut strikes: Vec<Strike>) -> Vec<Strike> {
        for kind in Fault::ALL {
            let rest: Vec<Strike> = strikes.iter().copied().filter(|strike| strike.fault != kind).collect();
            if rest.len() < strikes.len() && self.fails(&rest) {
                strikes = rest;
            }
        }
        strikes
    }

    /// Leaves out parts that become smaller and smaller; those at the end first, for they have done the least.
    fn parts(&mut self, mut strikes: Vec<Strike>) -> Vec<Strike> {
        let mut size = strikes.len().div_ceil(2);
        while size > 0 {
            let before = strikes.len();
            let mut end = strikes.len();
            while end > 0 {
                let start = end.saturating_sub(size);
                let rest: Vec<Strike> =
                    strikes.iter().take(start).chain(strikes.iter().skip(end)).copied().collect();
                if self.fails(&rest) {
                    strikes = rest;
                }
                end = start;
            }
            // Without what was left out now, some single ones may not be needed any more.
            let again = size == 1 && strikes.len() < before;
            size = if again { 1 } else { size / 2 };
        }
        strikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(texts: &[&str]) -> Vec<Strike> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// A hundred faults of two kinds, of which those that `needed` names are needed together.
    fn search(needed: &[&str], max_runs: u32) -> (Vec<Strike>, u32) {
        let delays = (0..50).map(|at| format!("delay@c0.1.up.{at}"));
        let resets = (0..50).map(|number| format!("reset@c0.{number}"));
        let all: Vec<Strike> = delays.chain(resets).map(|text| text.parse().unwrap()).collect();
        let needed = strikes(needed);
        let fails = |kept: &[Strike]| needed.iter().all(|strike| kept.contains(strike));
        let mut search = Search { fails, runs: 0, max_runs, progress: |_, _| true };
        let left = search.kinds(all);
        (search.parts(left), search.runs)
    }

    #[test]
    fn what_is_needed_is_left_and_nothing_else() {
        for needed in [
            &["reset@c0.7"][..],
            &["delay@c0.1.up.0", "reset@c0.49"],
            &["delay@c0.1.up.3", "delay@c0.1.up.4", "delay@c0.1.up.41", "reset@c0.0"],
            &[],
        ] {
            let (left, runs) = search(needed, u32::MAX);
            assert_eq!(left, strikes(needed));
            assert!(runs < 150, "{runs}");
        }
    }

    #[test]
    fn it_ends_when_the_runs_are_used_up_with_what_is_known_to_fail() {
        let (left, runs) = search(&["delay@c0.1.up.3"], 5);
        assert_eq!(runs, 5);
        assert!(left.len() < 100 && left.contains(&"delay@c0.1.up.3".parse().unwrap()));
    }
}
