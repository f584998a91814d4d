//! Kept sessions that are resumed after the connection was cut at a chosen byte in the middle of the flow.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use mqtt_adapter_std::{Event, Publish, Qos, Version};
use mqtt_sim::schedule::Schedule;
use mqtt_sim::world::Direction;
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::model::Model;
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::proxy::Proxy;

use crate::common::{COUNT, kept, number, payload};

matrix!(
    at_least_once,
    exactly_once_cut_in_messages,
    exactly_once_cut_in_acknowledgements,
    exactly_once_cut_again_and_again,
);

/// Where the sender's connections end: in the middle of messages, in the middle of acknowledgements.
fn sender_cuts() -> [Schedule; 4] {
    [
        Schedule::cut(Direction::Up, 5_003),
        Schedule::cut(Direction::Down, 402),
        Schedule::cut(Direction::Up, 20_011),
        Schedule::cut(Direction::Down, 803),
    ]
}

/// And the receiver's.
fn receiver_cuts() -> [Schedule; 4] {
    [
        Schedule::cut(Direction::Down, 9_001),
        Schedule::cut(Direction::Up, 302),
        Schedule::cut(Direction::Down, 20_005),
        Schedule::cut(Direction::Up, 301),
    ]
}

fn at_least_once<A: Adapter>(version: Version) {
    let broker = Mosquitto::start();
    let received = through_cuts::<A>(broker.address(), version, Qos::AtLeastOnce, &receiver_cuts());
    let lost: Vec<u32> = (0..COUNT).filter(|number| !received.contains_key(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}\n{}", broker.log());
}

/// The receiver is cut only once. When mosquitto 2.0.11 is cut a second time, before it has repeated the PUBREL of a
/// message, it forgets that it has had the PUBREC and publishes the message again ([MQTT-4.3.3-7]): no client can
/// tell that from a new one.
fn exactly_once_cut_in_messages<A: Adapter>(version: Version) {
    let broker = Mosquitto::start();
    exactly_once(through_cuts::<A>(broker.address(), version, Qos::ExactlyOnce, &receiver_cuts()[..1]));
}

fn exactly_once_cut_in_acknowledgements<A: Adapter>(version: Version) {
    let broker = Mosquitto::start();
    exactly_once(through_cuts::<A>(broker.address(), version, Qos::ExactlyOnce, &receiver_cuts()[1..2]));
}

/// The model broker remembers.
fn exactly_once_cut_again_and_again<A: Adapter>(version: Version) {
    let broker = Model::start();
    exactly_once(through_cuts::<A>(broker.address(), version, Qos::ExactlyOnce, &receiver_cuts()));
}

fn exactly_once(received: BTreeMap<u32, u32>) {
    let wrong: Vec<(u32, u32)> = (0..COUNT)
        .map(|number| (number, received.get(&number).copied().unwrap_or_default()))
        .filter(|&(_, times)| times != 1)
        .collect();
    assert!(wrong.is_empty(), "number and how often it came: {wrong:?}");
}

/// Sends numbered messages while both connections are cut; how often each number came.
fn through_cuts<A: Adapter>(
    broker: SocketAddr,
    version: Version,
    qos: Qos,
    receiver_cuts: &[Schedule],
) -> BTreeMap<u32, u32> {
    let sender_cuts = sender_cuts();
    let sender_side = Proxy::start(broker, &sender_cuts);
    let receiver_side = Proxy::start(broker, receiver_cuts);

    let mut receiver =
        A::connect(kept(&receiver_side.url(), version, "receiver")).expect("the receiver connects");
    receiver.subscribe("numbers", qos).expect("the subscription is granted");
    let mut sender = A::connect(kept(&sender_side.url(), version, "sender")).expect("the sender connects");

    let mut receipts = Vec::new();
    for sent in 0..COUNT {
        let message = payload(sent);
        receipts.push(
            sender.publish(Publish::new("numbers", message.as_str()).qos(qos)).expect("it is accepted"),
        );
    }
    for receipt in receipts {
        let outcome = sender.outcome(receipt);
        assert!(outcome.is_success(), "every message ends well, whatever was cut: {outcome:?}");
    }
    assert_eq!(
        sender_side.cut(),
        sender_cuts.len() as u64,
        "the sender was cut in the middle of the flow each time"
    );

    let mut received = BTreeMap::new();
    let mut note = |receiver: &mut A, within| {
        let message = receiver.message(within)?;
        assert_eq!(message.qos(), qos);
        *received.entry(number(&message)).or_default() += 1;
        Some(number(&message))
    };
    // The receiver's last cut may hit the acknowledgements of what it has already got.
    let cap = Instant::now() + CAP;
    while receiver_side.cut() < receiver_cuts.len() as u64 {
        assert!(Instant::now() < cap, "the receiver was cut {} times", receiver_side.cut());
        note(&mut receiver, Duration::from_millis(10));
    }
    // All cuts are over: what they make the broker repeat comes before this.
    let last = payload(COUNT);
    let receipt = sender.publish(Publish::new("numbers", last.as_str()).qos(qos)).expect("it is accepted");
    assert!(sender.outcome(receipt).is_success());
    while note(&mut receiver, CAP).expect("the flow does not stall") != COUNT {}

    assert_eq!((sender.stop(), receiver.stop()), (0, 0));
    resumed(&mut sender, sender_cuts.len());
    resumed(&mut receiver, receiver_cuts.len());
    received
}

/// After the first one, every connection found its session again.
fn resumed<A: Adapter>(client: &mut A, cuts: usize) {
    let mut events = Vec::new();
    while let Some(event) = client.event(Duration::ZERO) {
        events.push(event);
    }
    let resumed = |event: &&Event| matches!(event, Event::Connected(connected) if connected.resumed);
    assert!(events.iter().filter(resumed).count() >= cuts, "{events:?}");
}
