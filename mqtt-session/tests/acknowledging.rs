//! Acknowledgements the application explains: a reason code, a Reason String, User Properties.

use crate::common;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    EncodeError, Packet, Properties, Property, PropertyId, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos,
    ReasonCode, TopicName, Version,
};
use mqtt_session::{AckError, AckMode, AckToken, Config, Message, Storage};

const WHY: [Property<'static>; 2] =
    [Property::ReasonString("the disk is full"), Property::UserProperty("disk", "sda1")];

fn manual(config: &mut Config) {
    config.ack_mode = AckMode::Manual;
}

/// A message arrives that the application has to acknowledge.
fn take<S: Storage>(t: &mut Trace<S>, qos: Qos, number: u16) -> AckToken {
    let message =
        Publish { qos, packet_id: Some(id(number)), ..Publish::new(TopicName::new("in").unwrap(), b"x") };
    t.send(message);
    match t.event() {
        Seen::Message { ack: Some(ack), .. } => ack,
        other => panic!("expected a message, got {other:?}"),
    }
}

/// What an acknowledgement with these properties is on this version.
fn sent<'a>(version: Version, properties: &'a [Property<'a>]) -> (ReasonCode, Properties<'a>) {
    if version == Version::V5 {
        (ReasonCode::QuotaExceeded, Properties::List(properties))
    } else {
        (ReasonCode::Success, Properties::EMPTY)
    }
}

scenario!(an_acknowledgement_says_why, VERSIONS, |c| { manual(c) }, |t| {
    t.connect();
    let (reason, properties) = sent(t.version(), &WHY);
    let first = take(t, Qos::AtLeastOnce, 1);
    t.session.acknowledge(first, ReasonCode::QuotaExceeded, Properties::List(&WHY)).unwrap();
    t.expect(Puback::with(id(1), reason, properties));
    let second = take(t, Qos::ExactlyOnce, 2);
    t.session.acknowledge(second, ReasonCode::QuotaExceeded, Properties::List(&WHY)).unwrap();
    t.expect(Pubrec::with(id(2), reason, properties));
    assert_eq!(t.session.stats().bytes_kept, 0);
    // Said with success, it ends nothing.
    let third = take(t, Qos::ExactlyOnce, 3);
    t.session.acknowledge(third, ReasonCode::Success, Properties::List(&WHY)).unwrap();
    t.expect(Pubrec::with(id(3), ReasonCode::Success, properties));
    t.send(Pubrel::new(id(3)));
    t.expect(Pubcomp::new(id(3)));
    t.expect_silence();
});

// [5.0 MQTT-4.6.0-2], [5.0 MQTT-4.6.0-3]
scenario!(s14_explained_acknowledgements_keep_the_order_of_arrival, [Version::V5], |c| { manual(c) }, |t| {
    t.connect();
    let tokens = [1, 2, 3, 4].map(|number| take(t, Qos::AtLeastOnce, number));
    let texts = ["one", "two", "three", "four"];
    for index in [3, 1, 2] {
        let why = [Property::ReasonString(texts[index])];
        t.session.acknowledge(tokens[index], ReasonCode::Success, Properties::List(&why)).unwrap();
        t.expect_silence();
    }
    // What lies around them comes and goes, and the memory is squeezed.
    for _ in 0..8 {
        t.publish("out", Qos::AtMostOnce, &[7; 700]);
        let _ = t.next_frame().unwrap();
    }
    t.session.acknowledge(tokens[0], ReasonCode::Success, Properties::EMPTY).unwrap();
    t.expect(Puback::new(id(1)));
    for (number, text) in (1..).zip(texts).skip(1) {
        let why = [Property::ReasonString(text)];
        t.expect(Puback::with(id(number), ReasonCode::Success, Properties::List(&why)));
    }
    assert_eq!(t.session.stats().bytes_kept, 0);
});

// [5.0 MQTT-3.4.2-2], [5.0 MQTT-3.4.2-3], [5.0 MQTT-3.5.2-2], [5.0 MQTT-3.5.2-3], [C17]
scenario!(
    what_is_too_long_for_the_server_is_left_out_of_an_acknowledgement,
    [Version::V5],
    |c| { manual(c) },
    |t| {
        // Fixed header 2, identifier 2, code 1, property length 1, Reason String 3 + 16: 25 bytes; User Property 13.
        for (largest, left) in [(38, &WHY[..]), (37, &WHY[..1]), (25, &WHY[..1]), (24, &WHY[..0])] {
            t.connect_with(false, &[Property::MaximumPacketSize(largest)]);
            for (number, qos) in [(1, Qos::AtLeastOnce), (2, Qos::ExactlyOnce)] {
                let token = take(t, qos, number);
                t.session.acknowledge(token, ReasonCode::QuotaExceeded, Properties::List(&WHY)).unwrap();
                let (code, properties) = (ReasonCode::QuotaExceeded, Properties::List(left));
                match qos {
                    Qos::AtLeastOnce => t.expect(Puback::with(id(number), code, properties)),
                    _ => t.expect(Pubrec::with(id(number), code, properties)),
                }
            }
            t.cut();
        }
    }
);

scenario!(
    an_acknowledgement_leaves_without_its_properties_where_there_is_no_room_for_them,
    [Version::V5],
    |c| {
        manual(c);
        c.queue_bytes = 100;
    },
    |t| {
        t.connect();
        t.writable = false;
        let token = take(t, Qos::AtLeastOnce, 1);
        t.publish("out", Qos::AtLeastOnce, &[7; 60]);
        t.session.acknowledge(token, ReasonCode::QuotaExceeded, Properties::List(&WHY)).unwrap();
        t.writable = true;
        assert_eq!(t.next_frame().expect("the publish was handed out first")[0] >> 4, 3);
        t.expect(Puback::with(id(1), ReasonCode::QuotaExceeded, Properties::EMPTY));
        // Longer than the outgoing buffer can ever hold.
        t.cut();
        t.connect();
        t.events();
        let token = take(t, Qos::AtLeastOnce, 1);
        let long = "x".repeat(2000);
        let why = [Property::ReasonString(&long)];
        t.session.acknowledge(token, ReasonCode::QuotaExceeded, Properties::List(&why)).unwrap();
        loop {
            // The publish that waited comes again on the new session.
            let frame = t.next_frame().expect("PUBACK");
            if frame[0] == 0x40 {
                assert_eq!(frame, [0x40, 3, 0, 1, ReasonCode::QuotaExceeded as u8]);
                break;
            }
        }
    }
);

scenario!(
    what_was_to_be_said_of_a_qos_1_message_goes_with_the_connection,
    [Version::V5],
    |c| { manual(c) },
    |t| {
        t.options.clean_start = false;
        t.connect();
        let first = take(t, Qos::AtLeastOnce, 1);
        let second = take(t, Qos::AtLeastOnce, 2);
        let third = take(t, Qos::ExactlyOnce, 3);
        let fourth = take(t, Qos::ExactlyOnce, 4);
        for token in [second, fourth] {
            t.session.acknowledge(token, ReasonCode::Success, Properties::List(&WHY)).unwrap();
        }
        assert!(t.session.stats().bytes_kept > 60);
        t.cut();
        t.resume();
        t.events();
        // The QoS 1 message is sent again by the server, the QoS 2 one is answered as it was to be.
        let kept = t.session.stats().bytes_kept;
        assert!((30..60).contains(&kept), "{kept}");
        for token in [first, second] {
            let late = t.session.acknowledge(token, ReasonCode::Success, Properties::List(&WHY));
            assert_eq!(late, Err(AckError::Stale));
        }
        assert_eq!(t.session.stats().bytes_kept, kept);
        t.session.acknowledge(third, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Pubrec::new(id(3)));
        t.expect(Pubrec::with(id(4), ReasonCode::Success, Properties::List(&WHY)));
        assert_eq!(t.session.stats().bytes_kept, 0);
        // And with the session everything goes.
        let fifth = take(t, Qos::ExactlyOnce, 5);
        let sixth = take(t, Qos::ExactlyOnce, 6);
        let _ = fifth;
        t.session.acknowledge(sixth, ReasonCode::Success, Properties::List(&WHY)).unwrap();
        t.cut();
        t.connect_with(false, &[]);
        assert_eq!(t.session.stats().bytes_kept, 0);
    }
);

scenario!(an_acknowledgement_with_what_it_cannot_have_is_refused, VERSIONS, |c| { manual(c) }, |t| {
    t.connect();
    let token = take(t, Qos::AtLeastOnce, 1);
    let wrong = [Property::ContentType("text/plain")];
    let refused = t.session.acknowledge(token, ReasonCode::Success, Properties::List(&wrong));
    let error = EncodeError::PropertyNotAllowed(PropertyId::ContentType);
    assert_eq!(refused, Err(AckError::Invalid(error)));
    let refused = t.session.acknowledge(token, ReasonCode::GrantedQos2, Properties::EMPTY);
    assert_eq!(refused, Err(AckError::InvalidReason));
    t.expect_silence();
    t.session.acknowledge(token, ReasonCode::Success, Properties::EMPTY).unwrap();
    t.expect(Puback::new(id(1)));
});

scenario!(explained_acknowledgements_wait_for_room_on_the_wire, [Version::V5], |c| { manual(c) }, |t| {
    t.connect();
    t.writable = false;
    let text = "y".repeat(250);
    let why = [Property::ReasonString(&text)];
    let tokens = [1, 2, 3, 4, 5, 6].map(|number| take(t, Qos::AtLeastOnce, number));
    for token in tokens {
        t.session.acknowledge(token, ReasonCode::Success, Properties::List(&why)).unwrap();
    }
    // The outgoing buffer has 1,024 bytes.
    assert!(!t.session.outgoing(t.now).is_empty());
    t.writable = true;
    for number in 1..=6 {
        t.expect(Puback::with(id(number), ReasonCode::Success, Properties::List(&why)));
    }
    assert_eq!(t.session.stats().bytes_kept, 0);
    let message = Message::new(TopicName::new("out").unwrap());
    t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    let frame = t.next_frame().unwrap();
    assert!(matches!(
        Packet::decode(&frame, Version::V5, mqtt_session::proto::Peer::Client),
        Ok(Packet::Publish(_))
    ));
});
