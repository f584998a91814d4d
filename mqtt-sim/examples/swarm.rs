//! Runs seeds of the swarm and says what came of them.
//!
//! `cargo run --release -p mqtt-sim --example swarm -- [--seeds A..B | --seed N] [--fixed] [--version V] [--mood MOOD] [--trace]`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use mqtt_proto::Version;
use mqtt_sim::swarm::{Mood, Swarm};
use mqtt_sim::world::{Fault, StorageKind};

fn main() -> ExitCode {
    let mut swarm = Swarm::default();
    let (mut seeds, mut trace) = (0..1_000, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let parsed = match arg.as_str() {
            "--fixed" => {
                swarm.storage = StorageKind::Fixed;
                Some(())
            }
            "--trace" => {
                trace = true;
                Some(())
            }
            "--mood" => args.next().and_then(|name| {
                swarm.mood = Some(match name.as_str() {
                    "faithful" => Mood::Faithful,
                    "bad-luck" => Mood::BadLuck,
                    "amnesia" => Mood::Amnesia,
                    "other-limits" => Mood::OtherLimits,
                    "noise" => Mood::Noise,
                    _ => return None,
                });
                Some(())
            }),
            "--version" => args.next().and_then(|name| {
                swarm.version = Some(match name.as_str() {
                    "3.1" => Version::V3_1,
                    "3.1.1" => Version::V3_1_1,
                    "5" => Version::V5,
                    _ => return None,
                });
                Some(())
            }),
            "--seed" => args.next().and_then(|n| n.parse().ok()).map(|n: u64| seeds = n..n + 1),
            "--seeds" => args.next().and_then(|range| {
                let (from, to) = range.split_once("..")?;
                seeds = from.parse().ok()?..to.parse().ok()?;
                Some(())
            }),
            _ => None,
        };
        if parsed.is_none() {
            eprintln!(
                "usage: swarm [--seeds A..B | --seed N] [--fixed] [--version V] [--mood MOOD] [--trace]"
            );
            return ExitCode::from(2);
        }
    }
    let begin = Instant::now();
    let (mut runs, mut failures, mut hours, mut messages, mut resumes) = (0_u64, 0, 0.0, 0, 0);
    let mut injected: BTreeMap<Fault, u64> = BTreeMap::new();
    for seed in seeds {
        if trace {
            let (world, result) = swarm.record(seed);
            for (at, what) in world.trace().entries() {
                println!("{:>12} {what:?}", at.as_micros());
            }
            println!("{result:?}");
            continue;
        }
        runs += 1;
        match swarm.run(seed) {
            Ok(report) => {
                hours += report.time.as_secs_f64() / 3_600.0 * report.clients as f64;
                messages += report.accepted;
                resumes += report.broker.resumes;
                for (fault, count) in report.injected {
                    *injected.entry(fault).or_insert(0) += count;
                }
            }
            Err(failure) => {
                failures += 1;
                println!("{failure}");
            }
        }
    }
    for (fault, count) in &injected {
        println!("{count:>10} {fault:?}");
    }
    let took = begin.elapsed().as_secs_f64();
    println!(
        "{runs} seeds, {failures} failed; {hours:.1} client-hours, {messages} messages, {resumes} resumes in {took:.1} s"
    );
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
