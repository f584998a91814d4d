//! What happens when the application takes messages more slowly than they come.

use core::time::Duration;
use std::thread;
use std::time::Instant;

use futures_lite::future::block_on;
use mqtt_adapter_std::{AckMode, Options, Publish, Qos, Version, WhenInboxFull};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::drivers;
use mqtt_tests::mosquitto::Mosquitto;
use {mqtt_adapter_smol as smol, mqtt_adapter_std as blocking};

drivers!(what_the_engine_held_back_comes_with_the_acknowledgement);

const COUNT: u32 = 20;

fn options(broker: &Mosquitto, when: WhenInboxFull) -> Options {
    Options::new(&broker.url()).unwrap().with_inbox_messages(3).with_when_inbox_full(when)
}

fn send(broker: &Mosquitto) {
    let sender = blocking::Client::connect(Options::new(&broker.url()).unwrap()).unwrap();
    let receipts: Vec<_> = (0..COUNT)
        .map(|number| {
            let text = number.to_string();
            sender.publish(Publish::new("t", text.as_str()).qos(Qos::AtLeastOnce)).unwrap()
        })
        .collect();
    for receipt in receipts {
        let _ = receipt.wait().unwrap();
    }
}

/// The numbers that are left when all was sent, and how many were dropped.
fn threads(when: WhenInboxFull) -> (Vec<u32>, u64) {
    let broker = Mosquitto::start();
    let client = blocking::Client::connect(options(&broker, when)).unwrap();
    client.subscribe("t", Qos::AtLeastOnce).unwrap();
    send(&broker);
    if when == WhenInboxFull::Pause {
        let numbers = (0..COUNT).map(|_| number(client.recv_timeout(CAP).unwrap().payload())).collect();
        return (numbers, client.dropped());
    }
    let until = Instant::now() + CAP;
    while client.dropped() < u64::from(COUNT) - 3 {
        assert!(Instant::now() < until, "{} dropped", client.dropped());
        thread::sleep(Duration::from_millis(5));
    }
    let numbers = (0..3).map(|_| number(client.recv_timeout(CAP).unwrap().payload())).collect();
    assert!(client.try_recv().is_err());
    (numbers, client.dropped())
}

fn futures(when: WhenInboxFull) -> (Vec<u32>, u64) {
    let broker = Mosquitto::start();
    let (client, connection) = smol::connect(options(&broker, when)).unwrap();
    thread::spawn(move || block_on(connection));
    block_on(client.subscribe("t", Qos::AtLeastOnce)).unwrap();
    send(&broker);
    if when == WhenInboxFull::Pause {
        let numbers = (0..COUNT).map(|_| number(block_on(client.recv()).unwrap().payload())).collect();
        return (numbers, client.dropped());
    }
    let until = Instant::now() + CAP;
    while client.dropped() < u64::from(COUNT) - 3 {
        assert!(Instant::now() < until, "{} dropped", client.dropped());
        thread::sleep(Duration::from_millis(5));
    }
    let numbers = (0..3).map(|_| number(block_on(client.recv()).unwrap().payload())).collect();
    assert!(client.try_recv().is_err());
    (numbers, client.dropped())
}

fn number(payload: &[u8]) -> u32 {
    str::from_utf8(payload).unwrap().parse().unwrap()
}

#[test]
fn the_server_is_held_back_and_nothing_is_lost() {
    let all = ((0..COUNT).collect(), 0);
    assert_eq!(threads(WhenInboxFull::Pause), all);
    assert_eq!(futures(WhenInboxFull::Pause), all);
}

#[test]
fn the_oldest_go() {
    let last = (vec![COUNT - 3, COUNT - 2, COUNT - 1], u64::from(COUNT) - 3);
    assert_eq!(threads(WhenInboxFull::DropOldest), last);
    assert_eq!(futures(WhenInboxFull::DropOldest), last);
}

#[test]
fn the_newest_go() {
    let first = (vec![0, 1, 2], u64::from(COUNT) - 3);
    assert_eq!(threads(WhenInboxFull::DropNewest), first);
    assert_eq!(futures(WhenInboxFull::DropNewest), first);
}

/// At 3.1.1 the server does not know that one message at a time is wanted: the next ones are there, and wait. Without a wake
/// at the acknowledgement each would wait a second.
fn what_the_engine_held_back_comes_with_the_acknowledgement<A: Adapter>() {
    let broker = Mosquitto::start();
    let mut options = Options::new(&broker.url()).unwrap().with_version(Version::V3_1_1);
    options.engine_mut().ack_mode = AckMode::Manual;
    options.engine_mut().receive_maximum = 1;
    let mut client = A::connect(options).unwrap();
    client.subscribe("t", Qos::AtLeastOnce).unwrap();
    let began = Instant::now();
    for _ in 0..4 {
        send(&broker);
    }
    for _ in 0..4 * COUNT {
        let message = client.message(CAP).expect("it comes");
        client.acknowledge(&message);
    }
    assert!(began.elapsed() < CAP);
    client.stop();
}
