//! Numbered messages from one client to another, on connections that hold.

use mqtt_adapter_std::{Outcome, Publish, Qos, ReasonCode, Version};
use mqtt_tests::adapter::{Adapter, CAP};
use mqtt_tests::mosquitto::Mosquitto;

use crate::common::{COUNT, number, options, payload};

matrix!(qos0, qos1, qos2);

fn qos0<A: Adapter>(version: Version) {
    numbered::<A>(version, Qos::AtMostOnce);
}

fn qos1<A: Adapter>(version: Version) {
    numbered::<A>(version, Qos::AtLeastOnce);
}

fn qos2<A: Adapter>(version: Version) {
    numbered::<A>(version, Qos::ExactlyOnce);
}

fn numbered<A: Adapter>(version: Version, qos: Qos) {
    let broker = Mosquitto::start();
    let mut receiver = A::connect(options(&broker.url(), version)).expect("the receiver connects");
    let granted = receiver.subscribe("numbers/+", qos).expect("the subscription is granted");
    assert_eq!(granted as u8, qos as u8);

    let mut sender = A::connect(options(&broker.url(), version)).expect("the sender connects");
    let mut receipts = Vec::new();
    for sent in 0..COUNT {
        let message = payload(sent);
        receipts.push(
            sender.publish(Publish::new("numbers/all", message.as_str()).qos(qos)).expect("it is accepted"),
        );
    }
    for receipt in receipts {
        let outcome = sender.outcome(receipt);
        match qos {
            Qos::AtMostOnce => assert!(outcome.is_success(), "{outcome:?}"),
            _ => assert!(matches!(outcome, Outcome::Acked(ReasonCode::Success)), "{outcome:?}"),
        }
    }
    for expected in 0..COUNT {
        let message =
            receiver.message(CAP).unwrap_or_else(|| panic!("message {expected} comes\n{}", broker.log()));
        assert_eq!(
            number(&message),
            expected,
            "on a connection that holds, order holds and nothing comes twice"
        );
        assert_eq!((message.topic(), message.qos()), ("numbers/all", qos));
        assert!(!message.dup() && !message.retain());
    }
    assert_eq!(sender.stop(), 0, "every operation had ended");
    assert_eq!(receiver.stop(), 0);
}
