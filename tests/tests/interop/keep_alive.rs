//! A silent connection is kept up by pings.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use mqtt_adapter_std::{Event, Publish, Qos, Version};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::mosquitto::Mosquitto;

use crate::common::options;

matrix!(three_silent_intervals);

/// mosquitto closes a connection after one and a half intervals of silence: three pings in its log mean three
/// intervals that the connection has outlived.
fn three_silent_intervals<A: Adapter>(version: Version) {
    let broker = Mosquitto::with("allow_anonymous true\nlog_type all\n");
    let options = options(&broker.url(), version).with_keep_alive(Duration::from_secs(1));
    let mut client = A::connect(options).expect("the client connects");

    let cap = Instant::now() + CAP;
    while broker.log().matches("Received PINGREQ from").count() < 3 {
        assert!(Instant::now() < cap, "the pings come\n{}", broker.log());
        // Drives the client that has no thread, and finds out if a connection ends.
        if let Some(Event::Disconnected(why)) = client.event(Duration::from_millis(100)) {
            panic!("a silent connection is kept up, and not: {why}\n{}", broker.log());
        }
        thread::yield_now();
    }
    assert!(broker.log().matches("Sending PINGRESP to").count() >= 3);
    let receipt =
        client.publish(Publish::new("still/here", "yes").qos(Qos::AtLeastOnce)).expect("it is accepted");
    assert!(client.outcome(receipt).is_success());
}
