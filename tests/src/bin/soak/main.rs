//! A soak: ten clients publish and receive through faults, for as long as asked, and nothing may be lost or doubled, and
//! nothing may grow.
//!
//! `soak [--seconds N] [--seed S] [--memory PERCENT]`, by default 3,600 s, seed 1 and 1 %.
//!
//! Five flows, each from one client to another on kept sessions: a mix of the three drivers, of MQTT 3.1.1 and 5.0, of QoS
//! 1 and 2. All go to mosquitto through a fault proxy, which is a process of its own (as is the broker), so that what is
//! measured is the clients. Connections are delayed, stalled, split, half-closed, reset and cut all the time, as seeded
//! schedules say ([`mqtt_sim::schedule`]); the receivers at QoS 2 are only delayed, stalled and split, because mosquitto
//! 2.0.11 repeats messages to a receiver that is cut twice in a handshake (`docs/interoperability.md`).
//!
//! Sixty times (in a short run less often) the senders pause until everything has arrived: every number is then looked
//! at, and descriptors and threads are counted when all ten clients are connected. Memory is read each second. At the end
//! the network is healed, and everything must have arrived. Ctrl-C brings that end about early, with exit status 130.
//!
//! What is measured is what the clients keep, not what glibc keeps of freed memory in an arena for each thread: the
//! program starts itself anew with `MALLOC_ARENA_MAX=1`, unless that is set to something else
//! (`docs/reliability.md` has both).

mod faults;
mod flow;
mod gauge;

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use mqtt_adapter_std::{Qos, Version};
use mqtt_tests::adapter::{Driven, Smol, Threads};
use mqtt_tests::gauge::Sample;
use mqtt_tests::mosquitto::Mosquitto;
use signal_hook::consts::{SIGINT, SIGTERM};

use faults::Faults;
use flow::{Ends, Flow, Running};
use gauge::{Gauge, Phase};

/// How long a pause may last until all has arrived, or until all are connected. A safety cap.
const PAUSE_CAP: Duration = Duration::from_secs(120);
/// How long all must have been connected before descriptors and threads are counted: threads that dialled and that
/// waited for work are gone by then.
const CALM: Duration = Duration::from_secs(2);
/// How often all ten must be found connected, and waited for.
const LOOK: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    if let [role, broker, seed] = &given[..]
        && role == "faults"
    {
        return faults::serve(broker, seed);
    }
    let mut asked = Asked { seconds: 3_600, seed: 1, memory: 1.0 };
    for pair in given.chunks(2) {
        let understood = match pair {
            [name, value] => asked.set(name, value),
            _ => None,
        };
        if understood.is_none() {
            eprintln!("soak [--seconds N] [--seed S] [--memory PERCENT]");
            return ExitCode::from(2);
        }
    }
    let Ok(arenas) = env::var(ARENAS) else { return anew(&given) };
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).expect("the signal can be caught");
    }
    let passed = Soak::start(&asked, &arenas).run(&asked, &interrupted);
    match (passed, interrupted.load(Ordering::SeqCst)) {
        (true, false) => ExitCode::SUCCESS,
        (true, true) => ExitCode::from(130),
        (false, _) => ExitCode::FAILURE,
    }
}

/// How many arenas the allocator may have.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// The same program in the same process, with one arena.
fn anew(given: &[String]) -> ExitCode {
    let program = env::current_exe().expect("a program knows its path");
    let error = Command::new(program).args(given).env(ARENAS, "1").exec();
    eprintln!("it cannot be started anew: {error}");
    ExitCode::FAILURE
}

/// What the command line says.
struct Asked {
    seconds: u64,
    seed: u64,
    memory: f64,
}

impl Asked {
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "--seconds" => self.seconds = value.parse().ok()?,
            "--seed" => self.seed = value.parse().ok()?,
            "--memory" => self.memory = value.parse().ok()?,
            _ => return None,
        }
        Some(())
    }
}

/// Everything that runs.
struct Soak {
    running: Vec<Running>,
    faults: Faults,
    gauge: Gauge,
    wrong: Vec<String>,
    /// Descriptors and threads when all were connected for the first time.
    level: Option<Sample>,
    broker: Mosquitto,
}

impl Soak {
    fn start(asked: &Asked, arenas: &str) -> Self {
        let broker = Mosquitto::start();
        let faults = Faults::start(broker.address(), asked.seed);
        println!(
            "mosquitto {} behind a fault proxy, seed {}, {ARENAS}={arenas}",
            broker.release(),
            asked.seed
        );
        let ends = |flow| Ends {
            sender: faults.rough().to_owned(),
            receiver: if flow == Qos::ExactlyOnce { faults.gentle() } else { faults.rough() }.to_owned(),
        };
        let (one, two) = (Qos::AtLeastOnce, Qos::ExactlyOnce);
        let running = vec![
            Running::start::<Threads, Driven>(Flow::new("1a", one), Version::V5, ends(one)),
            Running::start::<Driven, Smol>(Flow::new("1b", one), Version::V3_1_1, ends(one)),
            Running::start::<Smol, Threads>(Flow::new("1c", one), Version::V5, ends(one)),
            Running::start::<Threads, Smol>(Flow::new("2a", two), Version::V3_1_1, ends(two)),
            Running::start::<Smol, Driven>(Flow::new("2b", two), Version::V5, ends(two)),
        ];
        Self { running, faults, gauge: Gauge::default(), wrong: Vec::new(), level: None, broker }
    }

    /// True if all is as it should be.
    fn run(mut self, asked: &Asked, interrupted: &AtomicBool) -> bool {
        let (began, whole) = (Instant::now(), Duration::from_secs(asked.seconds));
        let every = (whole / 60).clamp(Duration::from_secs(10), Duration::from_secs(60)).min(whole);
        let mut next = every;
        while began.elapsed() < whole && !interrupted.load(Ordering::SeqCst) && self.wrong.is_empty() {
            thread::sleep(Duration::from_secs(1));
            let elapsed = began.elapsed();
            self.gauge.note(Phase::of(elapsed, whole), &Sample::now());
            if elapsed >= next && elapsed < whole {
                next += every;
                self.check(elapsed);
                for running in &self.running {
                    running.flow().pause(false);
                }
            }
        }
        println!("healing");
        self.faults.heal();
        self.check(began.elapsed());
        let names: Vec<&str> = self.running.iter().map(|running| running.flow().name).collect();
        let mut summaries = Vec::new();
        for (name, running) in names.into_iter().zip(self.running.drain(..)) {
            match running.stop() {
                Ok(summary) => summaries.push(summary),
                Err(why) => self.wrong.push(format!("flow {name}: {why}")),
            }
        }
        println!("\n{}", flow::HEADER);
        for summary in &summaries {
            println!("{summary}");
            self.wrong.extend(summary.wrong());
        }
        println!("\n{}", self.faults.tally());
        println!("{}", self.gauge);
        if let Some(growth) = self.gauge.growth()
            && growth > asked.memory
        {
            self.wrong.push(format!("memory grew by {growth:.2} %, and {} % are allowed", asked.memory));
        }
        if self.faults.quiet_kinds() > 0 && asked.seconds >= 60 && !interrupted.load(Ordering::SeqCst) {
            self.wrong.push("a kind of fault never struck".to_owned());
        }
        for wrong in &self.wrong {
            println!("WRONG: {wrong}");
        }
        if !self.wrong.is_empty() {
            let log = self.broker.log();
            println!("the end of the broker's log:");
            for line in log.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev() {
                println!("  {line}");
            }
        }
        println!(
            "{} after {} s",
            if self.wrong.is_empty() { "passed" } else { "FAILED" },
            began.elapsed().as_secs()
        );
        self.wrong.is_empty()
    }

    /// Lets everything arrive, looks at every number, and counts what must not grow. The senders still pause then.
    fn check(&mut self, elapsed: Duration) {
        for running in &self.running {
            running.flow().pause(true);
        }
        let began = Instant::now();
        while !self.running.iter().all(|running| running.flow().is_through()) {
            if began.elapsed() > PAUSE_CAP || self.running.iter().any(Running::has_died) {
                break;
            }
            thread::sleep(LOOK);
        }
        let calm = self.wait_for_calm();
        let sample = Sample::now();
        for running in &self.running {
            self.wrong.extend(running.flow().check());
        }
        if calm {
            match &self.level {
                None => self.level = Some(sample),
                Some(level) => {
                    if (level.descriptors, level.threads) != (sample.descriptors, sample.threads) {
                        self.wrong.push(format!(
                            "descriptors and threads were {} and {}, and are {} and {}",
                            level.descriptors, level.threads, sample.descriptors, sample.threads
                        ));
                    }
                }
            }
        } else {
            self.wrong.push(format!("not all were connected within {PAUSE_CAP:?}"));
        }
        let totals = self.running.iter().map(|running| running.flow().totals()).fold([0; 4], |all, one| {
            let mut sum = all;
            for (sum, one) in sum.iter_mut().zip(one) {
                *sum += one;
            }
            sum
        });
        println!(
            "{:>5} s: {} sent, {} arrived, {} came again at QoS 1, {} connections lost; {sample}; {}",
            elapsed.as_secs(),
            totals[0],
            totals[1],
            totals[2],
            totals[3],
            self.faults.tally()
        );
    }

    /// Waits until all have been connected for a while.
    fn wait_for_calm(&self) -> bool {
        let (began, mut since) = (Instant::now(), Instant::now());
        while began.elapsed() < PAUSE_CAP {
            if !self.running.iter().all(|running| running.flow().is_connected()) {
                since = Instant::now();
            } else if since.elapsed() >= CALM {
                return true;
            }
            thread::sleep(LOOK);
        }
        false
    }
}
