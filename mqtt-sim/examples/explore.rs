//! Every state that a client and its broker can get into: how many there are, and what is wrong in any of them.
//!
//! `cargo run --release -p mqtt-sim --example explore [-- OPTIONS]`; `--help` lists the options. Without any, a list of
//! setups is gone through and printed as the table of `docs/reliability.md`. Exits with 1 if something was found; the way
//! to it is printed packet by packet.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use mqtt_proto::{Qos, Version};
use mqtt_session::Durability;
use mqtt_sim::explore::{Faults, Progress, Report, Setup, explore, explore_deep, replay};

const HELP: &str = "\
Explores the states of the shipping engine against the model broker.

Options:
  --out QOS          what the client publishes, one digit for each message: 12 (at most 4; default 22)
  --in QOS           what is published to it (default: nothing)
  --window N         Receive Maximum both ways (default 2)
  --identifiers N    packet identifiers of the client (default 2)
  --protocol V       3.1, 3.1.1 or 5 (default 5)
  --journal WHICH    off, async or before-send (default off)
  --cuts N           connections that break (default 2); likewise
  --half-cuts N      .. for the client first
  --forgotten N      the broker forgets its sessions
  --lost N           acknowledgements the broker does not send
  --doubled N        acknowledgements it sends twice
  --crashes N        crashes of the program
  --states N         stop when about so many are known (default 5000000)
  --threads N        (default 2)
  --order WHICH      broad (the shortest way to what is found) or deep (little memory; default broad)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let mut options = Options { setup: Setup::default(), states: 5_000_000, threads: 2, deep: false };
    let mut rest = args.iter();
    while let Some(name) = rest.next() {
        if rest.next().and_then(|value| options.set(name, value)).is_none() {
            eprintln!("{name}: not an option, or without a value that fits\n\n{HELP}");
            return ExitCode::FAILURE;
        }
    }
    let setups = if args.is_empty() { list() } else { vec![options.setup.clone()] };
    println!("| setup | states | steps | at peace | deepest | closed | time |");
    println!("| --- | ---: | ---: | ---: | ---: | --- | ---: |");
    for setup in setups {
        let report = if options.deep {
            explore_deep(&setup, options.states, options.threads, show)
        } else {
            explore(&setup, options.states, options.threads, show)
        };
        let Report { states, steps, peaceful, depth, closed, elapsed, finding } = report;
        let closed = if closed { "yes" } else { "no" };
        println!("| {setup} | {states} | {steps} | {peaceful} | {depth} | {closed} | {elapsed:.1?} |");
        if let Some(finding) = finding {
            println!("\n{}; {} steps:", finding.what, finding.path.len());
            for line in replay(&setup, &finding.path) {
                println!("{line}");
            }
            return ExitCode::FAILURE;
        }
    }
    if let Some(memory) = most_memory() {
        println!("\nmost memory at a time: {memory}");
    }
    ExitCode::SUCCESS
}

struct Options {
    setup: Setup,
    states: u64,
    threads: usize,
    deep: bool,
}

impl Options {
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        let setup = &mut self.setup;
        match name {
            "--out" => setup.outbound = list_of(value)?,
            "--in" => setup.inbound = list_of(value)?,
            "--window" => setup.receive_maximum = value.parse().ok()?,
            "--identifiers" => setup.identifiers = value.parse().ok()?,
            "--protocol" => setup.version = version(value)?,
            "--journal" => setup.durability = durability(value)?,
            "--cuts" => setup.faults.cuts = value.parse().ok()?,
            "--half-cuts" => setup.faults.half_cuts = value.parse().ok()?,
            "--forgotten" => setup.faults.forgotten = value.parse().ok()?,
            "--lost" => setup.faults.lost = value.parse().ok()?,
            "--doubled" => setup.faults.doubled = value.parse().ok()?,
            "--crashes" => setup.faults.crashes = value.parse().ok()?,
            "--states" => self.states = value.parse().ok()?,
            "--threads" => self.threads = value.parse().ok()?,
            "--order" => self.deep = deep(value)?,
            _ => return None,
        }
        Some(())
    }
}

fn list_of(text: &str) -> Option<Vec<Qos>> {
    let qos = |letter| match letter {
        '1' => Some(Qos::AtLeastOnce),
        '2' => Some(Qos::ExactlyOnce),
        _ => None,
    };
    text.chars().map(qos).collect::<Option<Vec<Qos>>>().filter(|list| list.len() <= 4)
}

fn version(text: &str) -> Option<Version> {
    match text {
        "3.1" => Some(Version::V3_1),
        "3.1.1" => Some(Version::V3_1_1),
        "5" => Some(Version::V5),
        _ => None,
    }
}

fn deep(text: &str) -> Option<bool> {
    match text {
        "broad" => Some(false),
        "deep" => Some(true),
        _ => None,
    }
}

fn durability(text: &str) -> Option<Durability> {
    match text {
        "off" => Some(Durability::Off),
        "async" => Some(Durability::Async),
        "before-send" => Some(Durability::BeforeSend),
        _ => None,
    }
}

/// Two messages at both qualities of service, each way and both ways, with each kind of fault.
fn list() -> Vec<Setup> {
    let two = || vec![Qos::AtLeastOnce, Qos::ExactlyOnce];
    let twice = || vec![Qos::ExactlyOnce; 2];
    let broken = Faults { cuts: 1, half_cuts: 1, forgotten: 1, lost: 1, doubled: 1, crashes: 0 };
    let crashing = Faults { cuts: 1, half_cuts: 0, forgotten: 1, lost: 0, doubled: 1, crashes: 1 };
    let mut setups = Vec::new();
    for window in [1, 2] {
        let plain = Setup { receive_maximum: window, ..Setup::default() };
        let recorded = Setup { durability: Durability::BeforeSend, faults: crashing, ..plain.clone() };
        setups.extend([
            Setup { outbound: two(), faults: broken, ..plain.clone() },
            Setup { outbound: twice(), faults: broken, ..plain.clone() },
            Setup { outbound: Vec::new(), inbound: two(), faults: broken, ..plain.clone() },
            Setup { outbound: Vec::new(), inbound: twice(), faults: broken, ..plain.clone() },
            Setup { outbound: two(), ..recorded.clone() },
            Setup { outbound: twice(), ..recorded.clone() },
            Setup { outbound: Vec::new(), inbound: two(), ..recorded.clone() },
            Setup { outbound: Vec::new(), inbound: twice(), ..recorded.clone() },
        ]);
    }
    setups
}

/// One line that is written over, where somebody is looking.
fn show(progress: &Progress) {
    let mut error = std::io::stderr();
    if error.is_terminal() {
        let Progress { depth, frontier, states, elapsed, .. } = progress;
        let rate = *states as f64 / elapsed.as_secs_f64();
        let _ = write!(error, "\r{states} states, {rate:.0}/s; step {depth}, {frontier} to look at   \r");
        let _ = error.flush();
    }
}

/// What the system says of this process, where it says anything.
fn most_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.trim_start_matches("VmHWM:").trim().to_owned())
}
