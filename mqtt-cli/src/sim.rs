//! `mqtt sim`: seeds of the simulator, and what to do about one that fails.

mod runner;

use core::num::NonZeroUsize;
use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use mqtt_adapter_std::Version;
use mqtt_sim::Instant;
use mqtt_sim::chart::Chart;
use mqtt_sim::swarm::{Failure, Mood, Report, Shrunk, Swarm};
use mqtt_sim::world::{ClientId, Fault, Happening, Rate, StorageKind, Strike, World};

use crate::Ended;
use crate::args::Protocol;
use crate::exit::{End, say};
use runner::{Interrupt, Progress};

/// Runs until a failing seed has as few faults as are enough, at most.
const SHRINKING: u32 = 5_000;
/// Faults up to which the command that replays them is printed.
const ONE_LINE: usize = 40;

/// Run the simulator: the engine against a faulty network, in virtual time
///
/// Each seed is a world of its own: clients, a broker, a load, and faults drawn from the seed. They connect in peace;
/// then faults strike, while independent checks watch every step; then all is healed, and everything that was accepted
/// must end within a bounded virtual time. A run is a function of its seed and these options. A seed that fails is run
/// again with fewer and fewer faults, until only those are left that it needs.
#[derive(Debug, Args)]
#[command(
    after_help = "Scenarios: what a seed is about, and which promises are left. Without --scenario each seed draws one.
  faithful      the network fails, brokers come and go; everything is promised
  bad-luck      the broker loses and doubles acknowledgements; everything is promised
  amnesia       the broker forgets its sessions; all that was accepted ends
  crashes       programs crash and go on with what their journals kept; so much is promised
  other-limits  the broker comes back with other limits; what no longer fits is refused
  noise         bytes change on their way; nobody answers nonsense with nonsense, and all ends

Kinds of faults for --fault:
  split-read, partial-write, delay, reset, half-open, black-hole, dial-lost, broker-restart, clock-step,
  stall; lost-ack and duplicate (bad-luck), crash, journal-lost and not-stored (crashes),
  broker-amnesia (amnesia), other-limits (other-limits), malformed (noise); all: every kind that is drawn in the scenario

Examples:
  mqtt sim                                            1,000 seeds
  mqtt sim --seeds 0..10000 --jobs 2
  mqtt sim --seed 42                                  one seed; if it fails, the faults that matter
  mqtt sim --seed 42 --trace                          everything that happens in it
  mqtt sim --seed 42 --chart run.svg                  a picture of it
  mqtt sim --seed 42 --record run.tape                every call of its sessions
  mqtt sim --replay run.tape                          and these calls once more
  mqtt sim --scenario bad-luck --fault lost-ack=10%
  mqtt sim --clients 10 --every 1 --duration 3600     ten clients, a message a second each, for an hour
"
)]
pub(crate) struct Arguments {
    /// The seeds to run, the last one not included
    #[arg(long, value_name = "A..B", default_value = "0..1000", value_parser = seeds)]
    seeds: Range<u64>,

    /// One seed
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,

    /// What the seeds are about: see below
    #[arg(long, value_name = "NAME", value_parser = |text: &str| text.parse::<Mood>())]
    scenario: Option<Mood>,

    /// Where the clients keep their sessions
    #[arg(long, value_name = "heap|fixed", default_value = "heap", value_parser = storage)]
    storage: StorageKind,

    /// Version of the protocol [default: drawn for each client]
    #[arg(short = 'V', long, value_name = "VERSION")]
    protocol: Option<Protocol>,

    /// Virtual time under faults, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "120", value_parser = seconds)]
    duration: Duration,

    /// How many clients there are [default: drawn, 1 to 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    clients: Option<u32>,

    /// Each client publishes once in so many seconds [default: at random, in bursts]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    every: Option<Duration>,

    /// How often a kind of fault strikes on its occasions, as 0.2 or 20%, instead of a rate drawn from the seed; may be
    /// given several times: all=0 first leaves only those that follow
    #[arg(long = "fault", value_name = "KIND=RATE", value_parser = rate)]
    faults: Vec<(Option<Fault>, Rate)>,

    /// The only faults that may strike, as they are printed for a seed that failed
    #[arg(long, value_name = "FAULT,..", value_delimiter = ',', requires = "seed")]
    only: Option<Vec<Strike>>,

    /// How many seeds run at a time [default: as many as there are processors]
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Run the other seeds, too, when one has failed
    #[arg(long)]
    keep_going: bool,

    /// Do not look for the faults that matter
    #[arg(long)]
    no_shrink: bool,

    /// Print everything that happens, with its time in microseconds
    #[arg(long, requires = "seed")]
    trace: bool,

    /// Write a log of every time, byte and call of the clients' sessions, to be run again without the world
    #[arg(long, value_name = "FILE", requires = "seed")]
    record: Option<PathBuf>,

    /// Run such a log again, and compare all that comes out, bit for bit; as `mqtt replay FILE`
    #[arg(long, value_name = "FILE", exclusive = true)]
    replay: Option<PathBuf>,

    #[command(flatten)]
    drawing: Drawing,
}

/// What to draw of a run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Chart")]
struct Drawing {
    /// Draw the seed, or the first that failed with the faults it needs, as a message sequence chart, in SVG
    #[arg(long, value_name = "FILE.svg")]
    chart: Option<PathBuf>,

    /// A line above it [default: the seed and what it is about]
    #[arg(long, value_name = "TEXT", requires = "chart")]
    title: Option<String>,

    /// Clients that are drawn, from 0 [default: the first three]
    #[arg(id = "panels", long = "panel", value_name = "N,..", value_delimiter = ',', requires = "chart")]
    panels: Vec<usize>,

    /// Draw nothing that happened before, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "0", requires = "chart")]
    from: f64,

    /// Draw so many things at most: the last ones before a failure, else the first ones
    #[arg(long, value_name = "N", default_value_t = 200, requires = "chart")]
    most: usize,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    let range = parsed.ok_or_else(|| "as 0..1000".to_owned())?;
    if range.is_empty() { Err("no seed is in there".to_owned()) } else { Ok(range) }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let span = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.filter(|span| !span.is_zero()).ok_or_else(|| "a number of seconds, more than 0".to_owned())
}

fn storage(text: &str) -> Result<StorageKind, String> {
    match text {
        "heap" => Ok(StorageKind::Heap),
        "fixed" => Ok(StorageKind::Fixed),
        _ => Err("heap or fixed".to_owned()),
    }
}

fn rate(text: &str) -> Result<(Option<Fault>, Rate), String> {
    let (kind, rate) = text.split_once('=').ok_or_else(|| "as reset=20%".to_owned())?;
    let kind = if kind == "all" { None } else { Some(kind.parse::<Fault>().map_err(|e| e.to_string())?) };
    Ok((kind, rate.parse::<Rate>().map_err(|error| error.to_string())?))
}

impl Arguments {
    fn swarm(&self) -> Result<Swarm, End> {
        let version = self.protocol.map(Version::from);
        let mut swarm = Swarm { storage: self.storage, version, mood: self.scenario, ..Swarm::default() };
        (swarm.duration, swarm.clients, swarm.every) = (self.duration, self.clients, self.every);
        swarm.only.clone_from(&self.only);
        let mut rates = BTreeMap::new();
        for (kind, rate) in &self.faults {
            match kind {
                Some(fault) => drop(rates.insert(*fault, *rate)),
                None => {
                    rates.extend(Fault::ALL.into_iter().filter(|f| drawn(*f, swarm.mood)).map(|f| (f, *rate)))
                }
            }
        }
        for (fault, _) in rates.iter().filter(|(_, rate)| **rate > Rate::NEVER) {
            let needed = Mood::of_fault(*fault);
            match (needed, swarm.mood) {
                (Some(needed), Some(mood)) if needed != mood => {
                    return Err(End::Usage(format!("{fault} strikes in scenario {needed}, not in {mood}")));
                }
                (Some(needed), None) => swarm.mood = Some(needed),
                _ => {}
            }
        }
        swarm.rates = rates;
        Ok(swarm)
    }

    fn seeds(&self) -> Range<u64> {
        self.seed.map_or_else(|| self.seeds.clone(), |seed| seed..seed.saturating_add(1))
    }
}

/// Whether a kind of fault is among those that a scenario draws; without one, among those of all scenarios.
fn drawn(fault: Fault, mood: Option<Mood>) -> bool {
    Mood::of_fault(fault).is_none_or(|needed| Some(needed) == mood)
}

pub(crate) fn run(arguments: &Arguments) -> Ended {
    if let Some(log) = &arguments.replay {
        return crate::replay::file(log);
    }
    let swarm = arguments.swarm()?;
    if let (Some(path), Some(seed)) = (&arguments.record, arguments.seed) {
        return record(&swarm, seed, path);
    }
    let interrupt = Interrupt::watch()?;
    if arguments.trace
        && let Some(seed) = arguments.seed
    {
        return trace(&swarm, seed);
    }
    let jobs = arguments.jobs.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let begin = std::time::Instant::now();
    // A panic is reported with its seed, once.
    std::panic::set_hook(Box::new(|_| {}));
    let seeds = arguments.seeds();
    if arguments.seed.is_none() {
        say(format_args!(
            "seeds {} to {} on {jobs} threads; Ctrl-C ends with the summary so far",
            seeds.start,
            seeds.end - 1
        ));
    }
    let run = runner::run(&swarm, seeds.clone(), jobs, arguments.keep_going, &interrupt);
    let took = begin.elapsed().as_secs_f64();

    print(&run.tally)?;
    let per_second = |n: f64| if took > 0.0 { n / took } else { 0.0 };
    let of_real_time = per_second(run.tally.client_time.as_secs_f64());
    print(format_args!(
        "{} seeds in {took:.1} s: {:.0} seeds a second, {of_real_time:.0} virtual hours of a client in each hour",
        run.tally.runs,
        per_second(run.tally.runs as f64),
    ))?;
    for failure in run.failures.values() {
        print(format_args!("FAILED {failure}"))?;
    }
    let first = run.failures.values().next();
    let shrunk = match first {
        Some(failure) if !arguments.no_shrink => explain(failure, &interrupt)?,
        _ => None,
    };
    match (shrunk.as_deref().or(first.map(|first| &**first)), arguments.seed) {
        (Some(failure), _) => arguments.drawing.draw(&failure.swarm, failure.seed)?,
        (None, Some(seed)) => arguments.drawing.draw(&swarm, seed)?,
        (None, None) if arguments.drawing.chart.is_some() => say("no seed failed: nothing was drawn"),
        (None, None) => {}
    }
    if let Some(first) = first {
        return Err(End::Failed(format!(
            "{} of {} seeds failed, the first is {}",
            run.tally.failed, run.tally.runs, first.seed
        )));
    }
    if interrupt.seen() {
        let left = seeds.end.saturating_sub(seeds.start).saturating_sub(run.tally.runs);
        return Err(End::Interrupted(format!("interrupted: {left} seeds were not run")));
    }
    Ok(())
}

impl Drawing {
    /// Writes the chart of a seed, if one is wanted.
    fn draw(&self, swarm: &Swarm, seed: u64) -> Ended {
        let Some(path) = &self.chart else { return Ok(()) };
        let (world, outcome) = swarm.record(seed);
        let mut chart = Chart::new().most(self.most);
        if let Ok(from) = Duration::try_from_secs_f64(self.from) {
            chart = chart.from(Instant::ZERO.after(from));
        }
        let clients: Vec<ClientId> = world.clients().collect();
        for number in &self.panels {
            match clients.get(*number) {
                Some(client) => chart = chart.client(*client),
                None => return Err(End::Usage(format!("--panel {number}: there are {}", clients.len()))),
            }
        }
        match outcome {
            Ok(report) => chart = chart.title(format!("seed {seed}, {}", report.mood)),
            Err(failure) => {
                let at = failure.halt.at().unwrap_or(world.now());
                chart = chart.title(format!("seed {seed}, {}: {}", failure.mood, failure.phase));
                chart = chart.failure(at, failure.halt.to_string());
            }
        }
        if let Some(title) = &self.title {
            chart = chart.title(title);
        }
        std::fs::write(path, chart.draw(&world))
            .map_err(|error| End::Failed(format!("cannot write {}: {error}", path.display())))?;
        say(format_args!("drawn: {}", path.display()));
        Ok(())
    }
}

/// Prints the faults that a failing seed needs; how it fails with them.
fn explain(failure: &Failure, interrupt: &Interrupt) -> Result<Option<Box<Failure>>, End> {
    let progress = Progress::spinner();
    let shrunk = failure.swarm.shrink(failure.seed, SHRINKING, |left, runs| {
        progress.say(format!("seed {}: {left} faults left after {runs} runs", failure.seed));
        !interrupt.seen()
    });
    progress.finish();
    let Some(Shrunk { strikes, failure, before, runs, .. }) = shrunk else {
        print(format_args!("seed {} does not fail again: that must not be", failure.seed))?;
        return Ok(None);
    };
    print(format_args!(
        "\nseed {}: {} of its {before} faults are enough ({runs} runs)",
        failure.seed,
        strikes.len()
    ))?;
    for (at, strike) in &strikes {
        print(format_args!("  {:>14.6} s  {strike}", at.as_micros() as f64 / 1e6))?;
    }
    print(format_args!("  {}, {}", failure.phase, failure.halt))?;
    if strikes.len() <= ONE_LINE {
        print(format_args!("with them alone: {}", failure.again()))?;
    }
    Ok(Some(failure))
}

/// Prints everything that happens in one seed.
fn trace(swarm: &Swarm, seed: u64) -> Ended {
    let (world, outcome): (World, Result<Report, Box<Failure>>) = swarm.record(seed);
    for (at, what) in world.trace().entries() {
        match what {
            Happening::Fault { strike } => print(format_args!("{:>12} Fault {strike}", at.as_micros()))?,
            what => print(format_args!("{:>12} {what:?}", at.as_micros()))?,
        }
    }
    match outcome {
        Ok(_) => Ok(()),
        Err(failure) => Err(End::Failed(failure.to_string())),
    }
}

/// Runs one seed and writes down every call of its sessions.
fn record(swarm: &Swarm, seed: u64, path: &Path) -> Ended {
    let (log, outcome) = swarm.tape(seed);
    std::fs::write(path, &log)
        .map_err(|error| End::Failed(format!("cannot write {}: {error}", path.display())))?;
    say(format_args!("recorded: {}, {} bytes; mqtt replay runs it again", path.display(), log.len()));
    match outcome {
        Ok(report) => {
            print(format_args!("seed {seed}, {}: {} messages accepted", report.mood, report.accepted))
        }
        Err(failure) => Err(End::Failed(failure.to_string())),
    }
}

fn print(line: impl core::fmt::Display) -> Ended {
    writeln!(io::stdout().lock(), "{line}").map_err(|error| End::output(&error))
}
