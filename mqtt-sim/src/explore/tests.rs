//! The explorer itself.

use super::*;
use mqtt_proto::Qos;

#[test]
fn without_faults_there_is_one_end_and_two_runs_count_the_same() {
    let setup = Setup { outbound: vec![Qos::ExactlyOnce], faults: Faults::NONE, ..Setup::default() };
    let one = explore(&setup, 1_000, 1, |_| ());
    let two = explore(&setup, 1_000, 2, |_| ());
    assert_eq!(one.finding, None);
    assert!(one.closed && one.states == two.states && one.steps == two.steps);
    // PUBLISH, and four packets: each sent and arrived.
    assert_eq!((one.states, one.depth), (6, 6));
}

#[test]
fn depth_first_there_are_as_many_states() {
    let broad = explore(&Setup::default(), 100_000, 2, |_| ());
    let deep = explore_deep(&Setup::default(), 100_000, 2, |_| ());
    assert!(broad.closed && deep.closed && deep.finding.is_none());
    assert_eq!((deep.states, deep.steps, deep.peaceful), (broad.states, broad.steps, broad.peaceful));
}
