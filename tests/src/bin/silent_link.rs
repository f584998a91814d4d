//! A client whose link goes silent: the tests with network namespaces run it in one of them.
//!
//! `silent_link DRIVER URL KEEP_ALIVE`, where DRIVER is `threads`, `driven` or `smol`, and KEEP_ALIVE is in seconds. It
//! publishes to itself at QoS 1; then it has `iptables` drop everything in its namespace, both ways, publishes more, and waits
//! until the client tells that the connection is lost; it says `found MILLISECONDS`, counted from when the rules stood. Then it
//! deletes the rules, waits until the session is resumed and everything has arrived, and says `back`.

use core::time::Duration;
use std::collections::BTreeSet;
use std::env;
use std::process::{Command, ExitCode};
use std::time::Instant;

use mqtt_adapter_std::{Event, Publish, Qos, Version};
use mqtt_tests::adapter::{Adapter, CAP, Driven, Smol, Threads};
use mqtt_tests::numbered::{kept, number, payload};

/// Messages published before the silence, and as many in it.
const COUNT: u32 = 20;

fn main() -> ExitCode {
    let given: Vec<String> = env::args().skip(1).collect();
    let [driver, url, keep_alive] = &given[..] else {
        eprintln!("silent_link DRIVER URL KEEP_ALIVE");
        return ExitCode::from(2);
    };
    let keep_alive = Duration::from_secs(keep_alive.parse().expect("seconds"));
    match driver.as_str() {
        "threads" => run::<Threads>(url, keep_alive),
        "driven" => run::<Driven>(url, keep_alive),
        _ => run::<Smol>(url, keep_alive),
    }
    ExitCode::SUCCESS
}

fn run<A: Adapter>(url: &str, keep_alive: Duration) {
    let mut options = kept(url, Version::V5, "silent").with_keep_alive(keep_alive);
    // What is dialled into the silence is given up soon.
    options.engine_mut().dial_timeout = Duration::from_secs(1);
    let mut client = A::start(options).expect("the client starts");
    wait(&mut client, |event| matches!(event, Event::Connected(_)));
    client.subscribe("numbers", Qos::AtLeastOnce).expect("the subscription is granted");
    let mut arrived = BTreeSet::new();
    let mut receipts = publish(&mut client, 0..COUNT);
    take(&mut client, &mut arrived, COUNT);

    silence("-I");
    let began = Instant::now();
    receipts.extend(publish(&mut client, COUNT..2 * COUNT));
    wait(&mut client, |event| matches!(event, Event::Disconnected(_)));
    println!("found {}", began.elapsed().as_millis());

    silence("-D");
    wait(&mut client, |event| matches!(event, Event::Connected(connected) if connected.resumed));
    for receipt in receipts {
        let outcome = client.outcome(receipt);
        assert!(outcome.is_success(), "{outcome:?}");
    }
    take(&mut client, &mut arrived, 2 * COUNT);
    assert_eq!(client.stop(), 0);
    println!("back");
}

fn publish<A: Adapter>(client: &mut A, numbers: core::ops::Range<u32>) -> Vec<A::Receipt> {
    let mut one = |number| {
        let text = payload(number);
        client.publish(Publish::new("numbers", text.as_str()).qos(Qos::AtLeastOnce)).expect("there is room")
    };
    numbers.map(&mut one).collect()
}

/// Receives until all numbers below `end` have come.
fn take<A: Adapter>(client: &mut A, arrived: &mut BTreeSet<u32>, end: u32) {
    while !(0..end).all(|number| arrived.contains(&number)) {
        arrived.insert(number(&client.message(CAP).expect("none is lost")));
    }
}

fn wait<A: Adapter>(client: &mut A, wanted: impl Fn(&Event) -> bool) {
    let cap = Instant::now() + CAP;
    while !wanted(&client.event(cap.saturating_duration_since(Instant::now())).expect("it is told in time")) {
    }
}

/// Puts rules in front that drop everything, or deletes them.
fn silence(change: &str) {
    for chain in ["INPUT", "OUTPUT"] {
        let iptables = Command::new("iptables").args([change, chain, "-j", "DROP"]).status();
        assert!(iptables.expect("iptables is installed").success(), "iptables {change} {chain}");
    }
}
