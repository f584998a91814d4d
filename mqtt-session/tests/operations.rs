//! Drawn lists of operations: the invariants hold after each, on both storages alike. A failing list shrinks.

use crate::drive;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same lists in every run; `OPERATIONS_SEED=N` draws others.
fn seed() -> RngSeed {
    let chosen = std::env::var("OPERATIONS_SEED").ok().and_then(|seed| seed.parse().ok());
    RngSeed::Fixed(chosen.unwrap_or(1))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, rng_seed: seed(), ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_every_operation_on_both_storages(
        setup in any::<[u8; drive::SETUP]>(),
        list in proptest::collection::vec(any::<[u8; 3]>(), 0..120),
    ) {
        drive::both(drive::Setup::new(setup), &list);
    }
}

/// A session may be lost twice before the client hears of it.
#[test]
fn a_loss_that_no_connack_told_of_is_told_by_the_next() {
    let list: [[u8; 3]; 15] = [
        [0, 0, 0],
        [32, 16, 1],
        [159, 0, 0],
        [26, 25, 0],
        [103, 13, 0],
        [123, 4, 0],
        [11, 0, 0],
        [21, 111, 0],
        [103, 19, 0],
        [254, 0, 0],
        [182, 10, 0],
        [214, 1, 0],
        [199, 19, 0],
        [94, 0, 0],
        [111, 0, 0],
    ];
    drive::both(drive::Setup::new([139, 0, 0, 0, 128, 0]), &list);
}
