//! Many runs summed up.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::world::Fault;

use super::{Failure, Report};

/// The sums of many runs. The order in which they are added does not matter.
///
/// ```
/// use mqtt_sim::swarm::{Swarm, Tally};
/// let mut tally = Tally::default();
/// for seed in 0..3 {
///     match Swarm::default().run(seed) {
///         Ok(report) => tally.add(&report),
///         Err(failure) => tally.add_failure(&failure),
///     }
/// }
/// assert_eq!((tally.runs, tally.failed), (3, 0));
/// println!("{tally}");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Runs, failed ones included.
    pub runs: u64,
    /// Runs that failed; of them only the faults are counted.
    pub failed: u64,
    /// Virtual time, once for each client.
    pub client_time: Duration,
    /// Messages accepted from applications.
    pub accepted: u64,
    /// Messages refused by back pressure.
    pub refused: u64,
    /// Messages that brokers sent, repetitions included.
    pub delivered: u64,
    /// Messages that brokers sent again on a resume.
    pub resends: u64,
    /// Connections on which a session went on.
    pub resumes: u64,
    /// Steps of the worlds.
    pub steps: u64,
    /// How often a check looked at something that happened.
    pub checked: u64,
    /// Clients that their own delayed bytes took over and stopped.
    pub ghosts: u64,
    /// Faults by kind.
    pub injected: BTreeMap<Fault, u64>,
}

impl Tally {
    /// Adds a run that ended well.
    pub fn add(&mut self, report: &Report) {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        self.runs += 1;
        self.client_time += report.time * u32::try_from(report.clients).unwrap_or(u32::MAX);
        self.accepted += report.accepted;
        self.refused += report.refused;
        self.delivered += report.broker.messages_out;
        self.resends += report.broker.resends;
        self.resumes += report.broker.resumes;
        self.steps += report.steps;
        self.checked += report.checked;
        self.ghosts += count(report.ghosts);
        self.add_faults(&report.injected);
    }

    /// Adds a run that failed.
    pub fn add_failure(&mut self, failure: &Failure) {
        self.runs += 1;
        self.failed += 1;
        self.add_faults(&failure.injected);
    }

    fn add_faults(&mut self, injected: &BTreeMap<Fault, u64>) {
        for (fault, count) in injected {
            *self.injected.entry(*fault).or_insert(0) += count;
        }
    }

    /// Virtual hours, once for each client.
    pub fn client_hours(&self) -> f64 {
        self.client_time.as_secs_f64() / 3_600.0
    }
}

/// A table for people.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults")?;
        for fault in Fault::ALL {
            let count = self.injected.get(&fault).copied().unwrap_or(0);
            writeln!(f, "  {fault:<16} {:>15}", grouped(count))?;
        }
        writeln!(f, "runs")?;
        for (what, count) in [
            ("seeds", self.runs),
            ("failed", self.failed),
            ("steps", self.steps),
            ("messages in", self.accepted),
            ("messages out", self.delivered),
            ("sent again", self.resends),
            ("refused when full", self.refused),
            ("resumed sessions", self.resumes),
            ("stopped by ghosts", self.ghosts),
            ("invariants checked", self.checked),
        ] {
            writeln!(f, "  {what:<18} {:>13}", grouped(count))?;
        }
        write!(f, "  {:<18} {:>13.1}", "client-hours", self.client_hours())
    }
}

/// A number with its thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let texts = [0, 7, 999, 1_000, 12_345, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }
}
