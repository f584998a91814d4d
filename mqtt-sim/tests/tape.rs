//! Recorded runs of the simulator run again, without the world around them.

use mqtt_session::tape::{ReplayError, replay};
use mqtt_sim::swarm::{Mood, Swarm};
use mqtt_sim::world::StorageKind;

#[test]
fn what_a_seed_recorded_runs_again_on_either_storage() {
    for storage in [StorageKind::Heap, StorageKind::Fixed] {
        for mood in Mood::ALL {
            let swarm = Swarm { storage, mood: Some(mood), ..Swarm::default() };
            for seed in 0..3 {
                let (log, outcome) = swarm.tape(seed);
                let report = outcome.unwrap();
                let replayed = replay(&log[..])
                    .unwrap_or_else(|error| panic!("{mood}, {storage:?}, seed {seed}: {error}"));
                assert!(replayed.tracks.len() >= report.clients);
                let calls: u64 = replayed.tracks.iter().map(|track| track.calls).sum();
                assert!(calls > 100, "{replayed:?}");
            }
        }
    }
}

#[test]
fn recording_changes_nothing() {
    let swarm = Swarm::default();
    for seed in 0..5 {
        let (_, recorded) = swarm.tape(seed);
        assert_eq!(recorded.unwrap(), swarm.run(seed).unwrap());
    }
}

#[test]
fn two_recordings_of_a_seed_are_the_same_and_a_changed_byte_is_found() {
    let swarm = Swarm::default();
    let (log, _) = swarm.tape(7);
    assert!(log == swarm.tape(7).0);
    for at in (0..log.len()).step_by(log.len() / 50) {
        let mut changed = log.clone();
        changed[at] ^= 0x10;
        assert!(!matches!(replay(&changed[..]), Ok(_) | Err(ReplayError::Differs(_))), "byte {at}");
    }
}
