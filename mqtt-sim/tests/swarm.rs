//! Seeds with faults, on both storages, with every check watching.

use mqtt_sim::swarm::Swarm;
use mqtt_sim::world::{Fault, StorageKind};

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
