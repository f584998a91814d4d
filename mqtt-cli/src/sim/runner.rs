//! Many seeds on several threads, with a progress bar, until the end, a failure, or Ctrl-C.

use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc};
use std::thread;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mqtt_sim::swarm::{Failure, Swarm, Tally};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::End;

/// How often the progress is drawn, in times a second.
const DRAWS: u8 = 10;

/// Whether the user has asked for the end. A second time ends the process at once.
#[derive(Clone)]
pub(super) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(super) fn watch() -> Result<Self, End> {
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&seen))
                .and_then(|_| flag::register(signal, Arc::clone(&seen)))
                .map_err(|error| End::Failed(format!("cannot wait for signals: {error}")))?;
        }
        Ok(Self(seen))
    }

    pub(super) fn seen(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is drawn on standard error while something runs; nothing if that is no terminal.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many seeds.
    fn bar(seeds: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(seeds), ProgressDrawTarget::stderr_with_hz(DRAWS));
        if let Ok(style) = ProgressStyle::with_template(
            "{wide_bar} {human_pos} of {human_len} seeds, {per_sec}, {msg}, {eta} left",
        ) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Something of which nobody knows how long it takes.
    pub(super) fn spinner() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(DRAWS));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(super) fn say(&self, line: String) {
        self.0.set_message(line);
        self.0.tick();
    }

    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// What came of the seeds.
pub(super) struct Run {
    pub(super) tally: Tally,
    /// Those that failed.
    pub(super) failures: BTreeMap<u64, Box<Failure>>,
}

/// Runs the seeds. Without `keep_going`, none is begun after one has failed; those before it are all run to their
/// end, so that the first failure is always the same.
pub(super) fn run(
    swarm: &Swarm,
    seeds: Range<u64>,
    jobs: usize,
    keep_going: bool,
    interrupt: &Interrupt,
) -> Run {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let progress = Progress::bar(seeds.end.saturating_sub(seeds.start));
    let mut tally = Tally::default();
    let mut failures = BTreeMap::new();
    thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        for _ in 0..jobs {
            let (sender, next, failed, seeds) = (sender.clone(), &next, &failed, &seeds);
            scope.spawn(move || {
                while !interrupt.seen() && (keep_going || !failed.load(Ordering::Relaxed)) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !seeds.contains(&seed) {
                        return;
                    }
                    let result = swarm.run(seed);
                    if result.is_err() {
                        failed.store(true, Ordering::Relaxed);
                    }
                    if sender.send((seed, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for (seed, result) in results {
            match result {
                Ok(report) => tally.add(&report),
                Err(failure) => {
                    tally.add_failure(&failure);
                    failures.insert(seed, failure);
                }
            }
            progress.0.inc(1);
            let failed = if tally.failed > 0 { format!(", {} FAILED", tally.failed) } else { String::new() };
            progress.0.set_message(format!("{:.1} virtual hours{failed}", tally.client_hours()));
        }
    });
    progress.finish();
    Run { tally, failures }
}
