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
