//! Three nodes of NATS server: the one we are on is killed, the session goes on at the next.

use core::time::Duration;
use std::collections::BTreeSet;
use std::time::Instant;

use mqtt_adapter_std::{Backoff, Event, Options, Publish, Qos, ServerUrl};
use mqtt_tests::adapter::{Adapter, CAP, Driven, Smol, Threads};
use mqtt_tests::brokers::Cluster;

const COUNT: u32 = 300;

#[test]
fn a_killed_node_loses_nothing_with_threads() {
    survives::<Threads>();
}

#[test]
fn a_killed_node_loses_nothing_driven() {
    survives::<Driven>();
}

#[test]
fn a_killed_node_loses_nothing_with_smol() {
    survives::<Smol>();
}

fn options(cluster: &Cluster, client_id: &str) -> Options {
    let mut urls = cluster.addresses().into_iter().map(|address| format!("mqtt://{address}"));
    let mut options = Options::new(&urls.next().expect("three nodes")).expect("a good URL");
    for url in urls {
        options = options.with_server(ServerUrl::parse(&url).expect("a good URL"));
    }
    options = options
        .with_version(Cluster::VERSION)
        .with_client_id(client_id)
        .with_clean_start(false)
        .with_session_expiry(Duration::from_secs(3_600));
    let engine = options.engine_mut();
    engine.backoff =
        Backoff { base: Duration::from_millis(50), cap: Duration::from_millis(500), ..engine.backoff };
    options
}

/// Starts a client and waits until it is up; the node it is on.
fn up<A: Adapter>(cluster: &Cluster, client_id: &str) -> (A, u16) {
    let mut client = A::start(options(cluster, client_id)).expect("the options are good");
    let cap = Instant::now() + CAP;
    while let Some(event) = client.event(cap.saturating_duration_since(Instant::now())) {
        if let Event::Connected(connected) = event {
            return (client, connected.server.port());
        }
    }
    panic!("no node takes {client_id}\n{}", cluster.log());
}

fn survives<A: Adapter>() {
    let mut cluster = Cluster::start();
    let (mut receiver, _) = up::<A>(&cluster, "receiver");
    receiver.subscribe("numbers", Qos::AtLeastOnce).expect("the subscription is granted");
    let (mut sender, node) = up::<A>(&cluster, "sender");
    let mut receipts = Vec::new();
    let mut arrived = BTreeSet::new();
    for number in 0..COUNT {
        if number == COUNT / 3 {
            cluster.kill(node);
        }
        let payload = number.to_string();
        let publish = Publish::new("numbers", payload.as_str()).qos(Qos::AtLeastOnce);
        receipts.push(sender.publish(publish).expect("it is accepted"));
        if let Some(message) = receiver.message(Duration::ZERO) {
            arrived.insert(String::from_utf8_lossy(message.payload()).into_owned());
        }
    }
    for receipt in receipts {
        let outcome = sender.outcome(receipt);
        assert!(outcome.is_success(), "{outcome:?}\n{}", cluster.log());
    }
    let cap = Instant::now() + CAP;
    while arrived.len() < COUNT as usize {
        assert!(Instant::now() < cap, "{} of {COUNT} arrived\n{}", arrived.len(), cluster.log());
        if let Some(message) = receiver.message(Duration::from_millis(200)) {
            arrived.insert(String::from_utf8_lossy(message.payload()).into_owned());
        }
    }
    let mut events = Vec::new();
    while let Some(event) = sender.event(Duration::ZERO) {
        events.push(event);
    }
    let elsewhere = |event: &Event| match event {
        Event::Connected(connected) => connected.resumed && connected.server.port() != node,
        _ => false,
    };
    assert!(events.iter().any(elsewhere), "the session goes on at another node: {events:?}");
}
