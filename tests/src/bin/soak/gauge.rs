//! Whether memory grows over a run.

use core::fmt;
use core::time::Duration;

use mqtt_tests::gauge::Sample;

/// Which part of a run it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first sixth: tables and the allocator reach their size.
    WarmUp,
    /// From there to the middle.
    Early,
    /// The second half.
    Late,
}

impl Phase {
    pub(crate) fn of(elapsed: Duration, whole: Duration) -> Self {
        if elapsed < whole / 6 {
            Self::WarmUp
        } else if elapsed < whole / 2 {
            Self::Early
        } else {
            Self::Late
        }
    }
}

/// Resident memory in the phases of a run. It does not grow.
#[derive(Default)]
pub(crate) struct Gauge {
    phases: [Memory; 3],
}

#[derive(Default, Clone, Copy)]
struct Memory {
    sum: u64,
    count: u64,
    max: u64,
}

impl Memory {
    fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64
    }
}

impl Gauge {
    pub(crate) fn note(&mut self, phase: Phase, sample: &Sample) {
        let memory = &mut self.phases[phase as usize];
        memory.sum += sample.resident;
        memory.count += 1;
        memory.max = memory.max.max(sample.resident);
    }

    /// By how many percent the mean of the second half is above that from the end of the warm-up to the middle.
    pub(crate) fn growth(&self) -> Option<f64> {
        let [_, early, late] = &self.phases;
        (early.count > 0 && late.count > 0).then(|| (late.mean() / early.mean() - 1.0) * 100.0)
    }
}

impl fmt::Display for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| resident memory | samples | mean KiB | most KiB |")?;
        writeln!(f, "| --- | ---: | ---: | ---: |")?;
        for (name, memory) in ["warm-up: the first sixth", "from there to the middle", "the second half"]
            .iter()
            .zip(&self.phases)
        {
            writeln!(f, "| {name} | {} | {:.0} | {} |", memory.count, memory.mean(), memory.max)?;
        }
        match self.growth() {
            Some(growth) => write!(f, "memory: {growth:+.2} % from the second line to the third"),
            None => write!(f, "memory: too short a run to compare"),
        }
    }
}
