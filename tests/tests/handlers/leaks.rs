//! Clients that come and go leave nothing in the process: no descriptor, no thread, no memory.

#![cfg(target_os = "linux")]

use std::env;
use std::process::Command;

use mqtt_adapter_std::{Options, Publish, Qos};
use mqtt_tests::adapter::{Adapter, CAP, Driven, Smol, Threads};
use mqtt_tests::gauge::Sample;
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::polls::wait;
use mqtt_tests::process::run;

/// How the program that is measured drives its clients, and where the broker is: `DRIVER URL`.
const ROLE: &str = "MQTT_TESTS_LEAKS";

/// Clients before the measuring begins, and while it lasts.
const WARM: u32 = 60;
const COUNT: u32 = 200;

/// What memory may grow by in all, in KiB: much less than 200 clients would hold that stay.
const SLACK: u64 = 512;

/// A client with all that it takes: it connects, subscribes, publishes, receives and stops.
fn one<A: Adapter>(url: &str) {
    let mut client = A::connect(Options::new(url).unwrap()).unwrap();
    client.subscribe("n", Qos::AtLeastOnce).unwrap();
    let receipt = client.publish(Publish::new("n", vec![7; 10_000]).qos(Qos::ExactlyOnce)).unwrap();
    assert!(client.outcome(receipt).is_success());
    assert_eq!(client.message(CAP).unwrap().payload().len(), 10_000);
    assert_eq!(client.stop(), 0);
}

fn leaks_nothing<A: Adapter>(url: &str) {
    (0..WARM).for_each(|_| one::<A>(url));
    let before = Sample::now();
    (0..COUNT).for_each(|_| one::<A>(url));
    wait("descriptors are given back", || Sample::now().descriptors <= before.descriptors);
    wait("threads end", || Sample::now().threads <= before.threads);
    let after = Sample::now();
    assert!(after.resident <= before.resident + SLACK, "{after} after {COUNT} clients; before, {before}");
}

/// The program that is measured: this one, run again with nothing but this test.
#[test]
fn the_program_that_is_measured() {
    let Ok(role) = env::var(ROLE) else { return };
    match role.split_once(' ').unwrap() {
        ("threads", url) => leaks_nothing::<Threads>(url),
        ("driven", url) => leaks_nothing::<Driven>(url),
        (_, url) => leaks_nothing::<Smol>(url),
    }
}

#[test]
fn clients_that_come_and_go_leave_nothing_behind() {
    let broker = Mosquitto::start();
    for driver in ["threads", "driven", "smol"] {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "leaks::the_program_that_is_measured", "--nocapture"]);
        let ended = run(command.env(ROLE, format!("{driver} {}", broker.url())));
        assert_eq!(ended.status, Some(0), "{driver}: {}{}", ended.output, ended.errors);
    }
}
