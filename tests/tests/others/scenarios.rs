//! What must hold, whoever's client it is.

use mqtt_adapter_std::{Publish, Qos, Version};
use mqtt_sim::broker::BrokerConfig;
use mqtt_tests::adapter::{Adapter, CAP, Threads};
use mqtt_tests::model::Model;

use crate::client::{Arrived, Kind, Other};

/// Messages of a flow.
const COUNT: usize = 300;
const QUALITIES: [(u8, Qos); 3] = [(0, Qos::AtMostOnce), (1, Qos::AtLeastOnce), (2, Qos::ExactlyOnce)];

/// This project's client, in the version of the other one.
fn ours(kind: Kind, broker: &Model) -> Threads {
    let version = match kind.version {
        "3.1" => Version::V3_1,
        "3.1.1" => Version::V3_1_1,
        _ => Version::V5,
    };
    let options = mqtt_adapter_std::Options::new(&broker.url()).expect("the harness makes good URLs");
    Threads::connect(options.with_version(version)).expect("our client connects")
}

fn arrived(topic: &str, qos: u8, payload: usize) -> Arrived {
    Arrived { topic: topic.to_owned(), qos, retain: false, payload: payload.to_string() }
}

/// Numbered messages between two of them, from them to ours and back; retained messages.
pub(crate) fn messages(kind: Kind) {
    let broker = Model::start();
    let mut receiver = Other::connect(kind, &broker, "receiver", true);
    let mut sender = Other::connect(kind, &broker, "sender", true);
    let mut ours = ours(kind, &broker);
    receiver.subscribe("numbers/#", 2);
    ours.subscribe("numbers/#", Qos::ExactlyOnce).expect("it is granted");
    for (number, qos) in QUALITIES {
        let topic = format!("numbers/{number}");
        sender.tell(&format!("publish {topic} {number} 0 {COUNT}"));
        assert_eq!(sender.expect("published"), format!("published {COUNT}"));
        for expected in 0..COUNT {
            assert_eq!(receiver.message(), arrived(&topic, number, expected));
            let message = ours.message(CAP).expect("it comes to our client");
            let got = (message.topic(), message.qos(), message.payload());
            assert_eq!(got, (&*topic, qos, expected.to_string().as_bytes()));
        }
    }
    receiver.subscribe("ours/#", 2);
    for (number, qos) in QUALITIES {
        let topic = format!("ours/{number}");
        for sent in 0..COUNT {
            ours.publish(Publish::new(&topic, sent.to_string()).qos(qos)).expect("it is accepted");
        }
        for expected in 0..COUNT {
            assert_eq!(receiver.message(), arrived(&topic, number, expected));
        }
    }
    sender.tell("publish kept/1 1 1 1");
    sender.expect("published");
    receiver.subscribe("kept/+", 1);
    assert_eq!(receiver.message(), Arrived { retain: true, ..arrived("kept/1", 1, 0) });
    ours.subscribe("kept/+", Qos::AtLeastOnce).expect("it is granted");
    assert!(ours.message(CAP).expect("it comes to our client").retain());
    if kind.version == "5" {
        ours.subscribe("described", Qos::AtLeastOnce).expect("it is granted");
        sender.tell("describe described");
        let message = ours.message(CAP).expect("it comes to our client");
        let text = format!("{:?}", message.properties());
        for word in ["text/plain", "answers", "colour", "blue"] {
            assert!(text.contains(word), "{word} is missing in {text}");
        }
    }
    sender.disconnect();
    receiver.disconnect();
    assert_eq!(ours.stop(), 0);
}

/// What is published while a subscriber is away waits for it, if it keeps its session, and not else.
pub(crate) fn sessions(kind: Kind) {
    let broker = Model::start();
    let mut ours = ours(kind, &broker);
    for (clean, client_id) in [(false, "keeper"), (true, "forgetter")] {
        let topic = format!("{client_id}/t");
        let (mut first, present) = Other::start(kind, &broker, client_id, clean, None);
        assert!(!present);
        first.subscribe(&topic, 2);
        first.disconnect();
        for (number, qos) in QUALITIES.into_iter().skip(1) {
            for sent in 0..5 {
                let message = Publish::new(&topic, (5 * usize::from(number) + sent).to_string()).qos(qos);
                let receipt = ours.publish(message).expect("it is accepted");
                assert!(ours.outcome(receipt).is_success());
            }
        }
        let (mut second, present) = Other::start(kind, &broker, client_id, clean, None);
        assert_eq!(present, !clean && kind.version != "3.1", "3.1 does not say");
        if !clean {
            // A client may hand over a QoS 2 message when its exchange is complete, and so behind later ones of QoS 1.
            let (mut first, mut second): (Vec<_>, Vec<_>) =
                (0..10).map(|_| second.message()).partition(|message| message.qos == 1);
            for (messages, number) in [(&mut first, 1), (&mut second, 2)] {
                let expected: Vec<_> =
                    (0..5).map(|n| arrived(&topic, number, 5 * usize::from(number) + n)).collect();
                assert_eq!(*messages, expected);
            }
        }
        second.disconnect();
    }
    assert_eq!(ours.stop(), 0);
}

/// Connections of both ends are cut in the middle of the flow: QoS 1 loses nothing, QoS 2 comes exactly once.
pub(crate) fn cuts(kind: Kind) {
    // Few at a time, so that a cut finds some under way and others not.
    let broker =
        Model::with(BrokerConfig { max_in_flight: 5, receive_maximum: 20, ..BrokerConfig::default() });
    let mut receiver = Other::connect(kind, &broker, "cut-receiver", false);
    let mut sender = Other::connect(kind, &broker, "cut-sender", false);
    receiver.subscribe("cut/#", 2);
    for (number, _) in QUALITIES.into_iter().skip(1) {
        let topic = format!("cut/{number}");
        sender.tell(&format!("publish {topic} {number} 0 {COUNT}"));
        let mut payloads = Vec::new();
        let mut got = [0; COUNT];
        while got.contains(&0) {
            let message = receiver.message();
            let payload: usize = message.payload.parse().expect("it is a number");
            got[payload] += 1;
            payloads.push(payload);
            match payloads.len() {
                50 | 200 => broker.handle().cut("cut-sender"),
                100 | 250 => broker.handle().cut("cut-receiver"),
                _ => {}
            }
        }
        sender.expect("published");
        if number == 2 {
            assert!(got.iter().all(|count| *count == 1), "exactly once: {payloads:?}");
        }
    }
}

/// A will comes when its client dies, and does not when it says goodbye.
pub(crate) fn wills(kind: Kind) {
    let broker = Model::start();
    let mut ours = ours(kind, &broker);
    ours.subscribe("wills/#", Qos::AtLeastOnce).expect("it is granted");
    let (polite, _) = Other::start(kind, &broker, "polite", true, Some("wills/polite"));
    polite.disconnect();
    let (other, _) = Other::start(kind, &broker, "other", true, Some("wills/other"));
    drop(other);
    let message = ours.message(CAP).expect("the will comes");
    assert_eq!((message.topic(), message.payload()), ("wills/other", &b"gone"[..]));
}
