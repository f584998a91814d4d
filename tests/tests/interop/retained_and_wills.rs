//! Retained messages, and wills that are delivered after a cut and only then.

use mqtt_adapter_std::{Publish, Qos, Version, Will};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::mosquitto::Mosquitto;
use mqtt_tests::proxy::Proxy;

use crate::common::options;

matrix!(retained, will_after_a_cut, no_will_after_a_stop);

fn retained<A: Adapter>(version: Version) {
    let broker = Mosquitto::start();
    let mut sender = A::connect(options(&broker.url(), version)).expect("the sender connects");
    let receipt = sender
        .publish(Publish::new("state/door", "open").qos(Qos::AtLeastOnce).retain(true))
        .expect("the message is accepted");
    assert!(sender.outcome(receipt).is_success());

    let mut late = A::connect(options(&broker.url(), version)).expect("the late one connects");
    late.subscribe("state/#", Qos::AtLeastOnce).expect("the subscription is granted");
    let message = late.message(CAP).expect("the retained message comes");
    assert_eq!((message.topic(), message.payload(), message.retain()), ("state/door", &b"open"[..], true));

    // An empty one clears it; a subscriber that comes after that finds nothing before the marker.
    let receipt = sender
        .publish(Publish::new("state/door", "").qos(Qos::AtLeastOnce).retain(true))
        .expect("the message is accepted");
    assert!(sender.outcome(receipt).is_success());
    let mut later = A::connect(options(&broker.url(), version)).expect("the later one connects");
    later.subscribe("state/#", Qos::AtLeastOnce).expect("the subscription is granted");
    let receipt =
        sender.publish(Publish::new("state/marker", "here").qos(Qos::AtLeastOnce)).expect("it is accepted");
    assert!(sender.outcome(receipt).is_success());
    assert_eq!(later.message(CAP).expect("the marker comes").topic(), "state/marker");
}

fn will_after_a_cut<A: Adapter>(version: Version) {
    let broker = Mosquitto::start();
    let proxy = Proxy::start(broker.address(), &[]);
    let mut watcher = A::connect(options(&broker.url(), version)).expect("the watcher connects");
    watcher.subscribe("wills/#", Qos::ExactlyOnce).expect("the subscription is granted");

    let will = Will::new("wills/device", "gone").with_qos(Qos::ExactlyOnce);
    let _device = A::connect(options(&proxy.url(), version).with_will(will)).expect("the device connects");
    proxy.cut_now();

    let message = watcher.message(CAP).expect("the will comes");
    assert_eq!((message.topic(), message.payload()), ("wills/device", &b"gone"[..]));
    assert_eq!(message.qos(), Qos::ExactlyOnce);
}

fn no_will_after_a_stop<A: Adapter>(version: Version) {
    let broker = Mosquitto::start();
    let mut watcher = A::connect(options(&broker.url(), version)).expect("the watcher connects");
    watcher.subscribe("wills/#", Qos::AtLeastOnce).expect("the subscription is granted");

    let will = Will::new("wills/device", "gone");
    let mut device =
        A::connect(options(&broker.url(), version).with_will(will)).expect("the device connects");
    assert_eq!(device.stop(), 0);

    let mut other = A::connect(options(&broker.url(), version)).expect("the other connects");
    let receipt =
        other.publish(Publish::new("wills/marker", "here").qos(Qos::AtLeastOnce)).expect("it is accepted");
    assert!(other.outcome(receipt).is_success());
    assert_eq!(watcher.message(CAP).expect("the marker comes").topic(), "wills/marker");
}
