//! Seeds with faults, on both storages, with every check watching.

use core::time::Duration;

use mqtt_sim::swarm::{Mood, Swarm};
use mqtt_sim::world::{Fault, Rate, StorageKind, Strike};

const SEEDS: u64 = 400;

fn run(storage: StorageKind) {
    let swarm = Swarm { storage, ..Swarm::default() };
    let (mut resumes, mut accepted, mut kinds) = (0, 0, std::collections::BTreeSet::new());
    let (mut aliased_in, mut aliased_out) = (0, 0);
    for seed in 0..SEEDS {
        match swarm.run(seed) {
            Ok(report) => {
                resumes += report.broker.resumes;
                accepted += report.accepted;
                aliased_in += report.broker.aliased_in;
                aliased_out += report.broker.aliased_out;
                kinds.extend(report.injected.into_keys());
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    // The seeds are worth something: much was under way, and much was cut.
    assert!(resumes > 2 * SEEDS, "{resumes}");
    assert!(accepted > 100 * SEEDS, "{accepted}");
    assert!(aliased_in > 20 * SEEDS && aliased_out > 20 * SEEDS, "{aliased_in} {aliased_out}");
    for fault in Fault::ALL {
        assert!(kinds.contains(&fault), "{fault:?} never struck");
    }
}

#[test]
fn every_seed_keeps_every_promise_on_the_heap() {
    run(StorageKind::Heap);
}

#[test]
fn every_seed_keeps_every_promise_in_fixed_memory() {
    run(StorageKind::Fixed);
}

#[test]
fn two_runs_of_a_seed_are_the_same_to_the_byte() {
    for storage in [StorageKind::Heap, StorageKind::Fixed] {
        let swarm = Swarm { storage, ..Swarm::default() };
        for seed in 0..25 {
            let (first, _) = swarm.record(seed);
            let (second, _) = swarm.record(seed);
            assert!(!first.trace().is_empty());
            assert_eq!(first.trace().entries(), second.trace().entries(), "seed {seed}");
            assert_eq!(first.trace().digest(), second.trace().digest(), "seed {seed}");
            assert_eq!(Some(first.trace().digest()), swarm.run(seed).ok().map(|report| report.digest));
        }
    }
}

#[test]
fn seeds_differ() {
    let swarm = Swarm::default();
    let digests: std::collections::BTreeSet<u64> =
        (0..50).filter_map(|seed| swarm.run(seed).ok()).map(|report| report.digest).collect();
    assert_eq!(digests.len(), 50);
}

#[test]
fn a_run_with_only_the_faults_it_had_is_the_same_run() {
    for (mood, seeds) in Mood::ALL.into_iter().zip([10, 5, 5, 5, 5]) {
        let swarm = Swarm { mood: Some(mood), ..Swarm::default() };
        for seed in 0..seeds {
            let (first, _) = swarm.record(seed);
            let only: Vec<Strike> = first.strikes().map(|(_, strike)| strike).collect();
            let (again, _) = Swarm { only: Some(only), ..swarm.clone() }.record(seed);
            assert_eq!(first.trace().digest(), again.trace().digest(), "{mood:?} seed {seed}");
        }
    }
}

#[test]
fn faults_that_are_left_out_do_not_strike_and_the_others_do() {
    for seed in 0..20 {
        let (first, _) = Swarm::default().record(seed);
        // These come with time, whatever else happens.
        let stalls: Vec<Strike> =
            first.strikes().map(|(_, strike)| strike).filter(|strike| strike.fault == Fault::Stall).collect();
        let (again, outcome) = Swarm { only: Some(stalls.clone()), ..Swarm::default() }.record(seed);
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(again.strikes().map(|(_, strike)| strike).collect::<Vec<_>>(), stalls);
    }
}

#[test]
fn rates_and_numbers_of_clients_can_be_given() {
    let swarm = Swarm {
        clients: Some(5),
        every: Some(Duration::from_secs(1)),
        duration: Duration::from_secs(60),
        rates: Fault::ALL
            .into_iter()
            .map(|fault| (fault, Rate::NEVER))
            .chain([(Fault::Delay, Rate::ALWAYS)])
            .collect(),
        ..Swarm::default()
    };
    let report = swarm.run(1).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!((report.clients, report.accepted), (5, 5 * 60));
    assert_eq!(report.injected.keys().collect::<Vec<_>>(), [&Fault::Delay]);
}
