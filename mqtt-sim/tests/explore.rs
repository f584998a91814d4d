//! The part of the exploration that fits the checks; `cargo run --release -p mqtt-sim --example explore` does the long ones.

use mqtt_proto::{Qos, Version};
use mqtt_session::Durability;
use mqtt_sim::explore::{Faults, Setup, explore, replay};

/// Goes through all states of a setup, of which there must be so many at least.
fn all_states(setup: &Setup, least: u64) {
    let report = explore(setup, 400_000, 2, |_| ());
    if let Some(finding) = &report.finding {
        panic!("{setup}\n{}", replay(setup, &finding.path).join("\n"));
    }
    println!("{setup}: {} states, {} steps, {:.1?}", report.states, report.steps, report.elapsed);
    assert!(report.closed && report.states >= least, "{setup}: {report:?}");
}

fn both() -> Vec<Qos> {
    vec![Qos::AtLeastOnce, Qos::ExactlyOnce]
}

#[test]
fn out_with_all_that_a_network_and_a_broken_broker_do() {
    let faults = Faults { cuts: 1, half_cuts: 1, forgotten: 1, lost: 1, doubled: 1, crashes: 0 };
    for (version, window) in [(Version::V5, 1), (Version::V3_1_1, 2)] {
        let setup = Setup { version, outbound: both(), receive_maximum: window, faults, ..Setup::default() };
        all_states(&setup, 10_000);
    }
    let faults = Faults { cuts: 3, doubled: 1, ..Faults::NONE };
    all_states(&Setup { faults, ..Setup::default() }, 10_000);
}

#[test]
fn in_with_all_that_a_network_and_a_broken_broker_do() {
    let faults = Faults { cuts: 1, half_cuts: 1, forgotten: 1, lost: 1, doubled: 1, crashes: 0 };
    for (version, window) in [(Version::V5, 1), (Version::V5, 2), (Version::V3_1_1, 2)] {
        let (outbound, inbound) = (Vec::new(), both());
        let setup = Setup { version, outbound, inbound, receive_maximum: window, faults, ..Setup::default() };
        all_states(&setup, 1_000);
    }
}

#[test]
fn both_ways_at_once() {
    let faults = Faults { cuts: 1, doubled: 1, ..Faults::NONE };
    all_states(&Setup { outbound: both(), inbound: both(), faults, ..Setup::default() }, 5_000);
}

#[test]
fn out_with_a_journal_and_crashes() {
    let faults = Faults { cuts: 1, forgotten: 1, crashes: 1, ..Faults::NONE };
    let durability = Durability::BeforeSend;
    all_states(
        &Setup { outbound: both(), receive_maximum: 1, durability, faults, ..Setup::default() },
        10_000,
    );
    let faults = Faults { crashes: 2, ..Faults::NONE };
    all_states(&Setup { durability, faults, ..Setup::default() }, 4_000);
    let (outbound, durability) = (vec![Qos::ExactlyOnce], Durability::Async);
    let faults = Faults { cuts: 1, crashes: 1, ..Faults::NONE };
    all_states(&Setup { outbound, receive_maximum: 1, durability, faults, ..Setup::default() }, 1_000);
}

#[test]
fn in_with_a_journal_and_crashes() {
    let faults = Faults { cuts: 1, forgotten: 1, doubled: 1, crashes: 1, ..Faults::NONE };
    for durability in [Durability::BeforeSend, Durability::Async] {
        let (outbound, inbound) = (Vec::new(), both());
        all_states(&Setup { outbound, inbound, durability, faults, ..Setup::default() }, 1_000);
    }
}
