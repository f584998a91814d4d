//! Defects that other clients have been shown to have, each by name: what was seen there does not happen here.

use crate::common;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Connack, Packet, Peer, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode,
    ReasonCodes, Suback, Subscription, SubscriptionOptions, TopicFilter, TopicName, Version, Will,
};
use mqtt_session::{SessionLost, Storage, Token, Why};

fn message(qos: Qos, packet_id: u16) -> Publish<'static> {
    Publish { qos, packet_id: Some(id(packet_id)), ..Publish::new(TopicName::new("in").unwrap(), b"x") }
}

fn subscribe<S: Storage>(t: &mut Trace<S>, filters: &[&str]) -> Token {
    let options = SubscriptionOptions::new(Qos::AtLeastOnce);
    let list: Vec<_> = filters
        .iter()
        .map(|filter| Subscription { filter: TopicFilter::new(filter).unwrap(), options })
        .collect();
    t.session.subscribe(&list, Properties::EMPTY).unwrap()
}

/// The identifiers of the PUBLISH packets that were sent; PUBREL counts as 1,000 more.
fn flight<S: Storage>(t: &mut Trace<S>) -> Vec<u16> {
    let version = t.version();
    core::iter::from_fn(|| t.next_frame())
        .map(|frame| match Packet::decode(&frame, version, Peer::Client).unwrap() {
            Packet::Publish(publish) => publish.packet_id.unwrap().get(),
            Packet::Pubrel(ack) => 1_000 + ack.packet_id.get(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn told<S: Storage>(t: &mut Trace<S>) -> usize {
    t.events().iter().filter(|seen| matches!(seen, Seen::Message { .. })).count()
}

// [M4], [3.1.1 MQTT-4.3.3-2], [5.0 MQTT-4.3.3-10]
scenario!(a_duplicate_at_qos_2_is_not_delivered_twice, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.events();
    t.send(message(Qos::ExactlyOnce, 3));
    // Again at once, with DUP and (a broken server) without; after the PUBREC; and on the next connection.
    t.send(Publish { dup: true, ..message(Qos::ExactlyOnce, 3) });
    t.send(message(Qos::ExactlyOnce, 3));
    for _ in 0..3 {
        t.expect(Pubrec::new(id(3)));
    }
    assert_eq!(told(t), 1);
    t.cut();
    t.resume();
    t.send(Publish { dup: true, ..message(Qos::ExactlyOnce, 3) });
    t.expect(Pubrec::new(id(3)));
    t.send(Pubrel::new(id(3)));
    t.expect(Pubcomp::new(id(3)));
    t.send(Pubrel::new(id(3)));
    assert_eq!(told(t), 0);
});

// [U-16], [M5]
scenario!(an_alias_without_a_topic_never_reaches_the_user_with_an_empty_one, |t| {
    for alias in [1, 65_535] {
        t.connect();
        t.events();
        let bytes = [0x30, 7, 0, 0, 3, 0x23, (alias >> 8) as u8, alias as u8, b'x'];
        t.send_bytes(&bytes);
        assert_eq!(told(t), 0);
        t.expect_closing();
    }
});

// [U-15]
scenario!(an_empty_topic_never_reaches_the_user, VERSIONS, |t| {
    t.connect();
    t.events();
    t.send_bytes(if t.version() == Version::V5 { &[0x30, 4, 0, 0, 0, b'x'] } else { &[0x30, 3, 0, 0, b'x'] });
    assert_eq!(told(t), 0);
    t.expect_closing();
});

// [S12], [3.1.1 MQTT-4.3.3-1], [5.0 MQTT-4.3.3-6]
scenario!(publish_is_not_repeated_after_pubrel, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.publish("a", Qos::ExactlyOnce, b"x");
    assert_eq!(flight(t), [1]);
    t.send(Pubrec::new(id(1)));
    // PUBREL is cut off before, within and behind its last byte.
    for taken in [0, 2, 4] {
        t.writable = false;
        let _ = t.session.outgoing(t.now);
        t.take(taken);
        t.cut();
        t.writable = true;
        t.open();
        t.writable = false;
        t.send(Connack {
            session_present: t.version() != Version::V3_1,
            reason_code: ReasonCode::Success,
            properties: Properties::EMPTY,
        });
    }
    t.writable = true;
    assert_eq!(flight(t), [1_001]);
    t.send(Pubrec::new(id(1)));
    assert_eq!(flight(t), [1_001]);
});

// [S11], [5.0 MQTT-3.3.4-7], [5.0 MQTT-4.9.0-2]
scenario!(a_resume_does_not_send_more_than_receive_maximum_at_once, |t| {
    t.options.clean_start = false;
    t.connect();
    for _ in 0..10 {
        t.publish("a", Qos::AtLeastOnce, b"x");
    }
    assert_eq!(flight(t).len(), 10);
    for limit in [3u16, 1, 65_535, 2] {
        t.cut();
        t.connect_with(true, &[Property::ReceiveMaximum(limit)]);
        assert_eq!(flight(t).len(), usize::from(limit).min(10));
    }
    // Each answer lets one more go, in the original order.
    for value in 1..=8 {
        t.send(Puback::new(id(value)));
        assert_eq!(flight(t), [value + 2]);
    }
});

// [S11], [S5], [5.0 MQTT-4.9.0-1]
scenario!(acks_nobody_waits_for_do_not_change_the_quota, |t| {
    t.options.clean_start = false;
    t.connect_with(false, &[Property::ReceiveMaximum(2)]);
    let acks = |t: &mut Trace<S>| {
        for value in [1, 2, 9, 1, 2] {
            t.send(Puback::new(id(value)));
            t.send(Pubcomp::new(id(value)));
        }
    };
    // With nothing open, the quota neither grows over its maximum nor under 0.
    acks(t);
    for _ in 0..5 {
        t.publish("a", Qos::AtLeastOnce, b"x");
    }
    assert_eq!(flight(t).len(), 2);
    t.cut();
    // Nor by what answers the connection before, or the session before.
    t.connect_with(false, &[Property::ReceiveMaximum(2)]);
    assert_eq!(flight(t).len(), 2);
    for value in [1, 2] {
        t.send(Puback::new(id(value)));
    }
    assert_eq!(flight(t).len(), 0, "those identifiers are of the session that is gone");
    t.send(Puback::new(id(3)));
    assert_eq!(flight(t).len(), 1);
});

// [A5]
scenario!(a_half_read_packet_does_not_survive_a_close, VERSIONS, |t| {
    for cut in 1..9 {
        t.connect();
        t.events();
        t.send_bytes(&[0x30, 0x10, 0, 2, b'i', b'n', 0, b'x', b'x'][..cut]);
        assert_eq!(t.session.read_hint(), if cut == 1 { 0 } else { 18 });
        t.cut();
        assert_eq!(t.session.read_hint(), 0);
        // Nor its deadline: the next connection may be quiet for longer.
        t.options.keep_alive = 0;
        t.connect();
        t.events();
        t.after(core::time::Duration::from_secs(100));
        assert!(t.session.is_connected());
        t.send(message(Qos::AtLeastOnce, 1));
        t.expect(Puback::new(id(1)));
        assert_eq!(told(t), 1);
        t.cut();
        t.events();
    }
});

// [S6], [3.1.1 MQTT-3.8.4-5], [5.0 MQTT-3.8.4-6]
scenario!(a_suback_with_the_wrong_count_is_not_accepted, VERSIONS, |t| {
    for count in [1, 3, 4] {
        t.options.clean_start = true;
        t.connect();
        t.events();
        subscribe(t, &["a", "b"]);
        let frame = t.next_frame().unwrap();
        let packet_id = id(u16::from_be_bytes([frame[2], frame[3]]));
        let codes = [ReasonCode::GrantedQos1; 4];
        t.send(Suback {
            packet_id,
            properties: Properties::EMPTY,
            codes: ReasonCodes::from(&codes[..count]),
        });
        assert!(!t.events().iter().any(|seen| matches!(seen, Seen::Done { .. })), "{count} codes");
        let why = t.refuses(ReasonCode::ProtocolError);
        assert_eq!(why, Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.8.4-6"));
        t.session.stop(mqtt_session::Stop::now()).unwrap();
        t.events();
    }
});

// [S2], [5.0 MQTT-3.2.0-2]
scenario!(a_second_connack_is_not_accepted, VERSIONS, |t| {
    for (code, present) in
        [(ReasonCode::Success, false), (ReasonCode::Success, true), (ReasonCode::NotAuthorized, false)]
    {
        t.connect_with(false, if t.version() == Version::V5 { &[Property::ReceiveMaximum(3)] } else { &[] });
        t.events();
        t.publish("a", Qos::AtLeastOnce, b"x");
        while t.next_frame().is_some() {}
        let limits = t.session.server().receive_maximum;
        t.send(Connack {
            session_present: present && t.version() != Version::V3_1,
            reason_code: code,
            properties: Properties::EMPTY,
        });
        assert_eq!(t.session.server().receive_maximum, limits, "nothing of it is believed");
        assert!(
            !t.events().iter().any(|seen| matches!(seen, Seen::Connected { .. } | Seen::SessionLost { .. }))
        );
        t.refuses(ReasonCode::ProtocolError);
        t.events();
    }
});

// [5.0 MQTT-4.3.3-4]
scenario!(a_pubrec_without_matching_subscribers_is_not_a_failure, |t| {
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    t.next_frame();
    t.send(Pubrec::with(id(1), ReasonCode::NoMatchingSubscribers, Properties::EMPTY));
    t.see_nothing();
    t.expect(Pubrel::new(id(1)));
    t.send(Pubcomp::new(id(1)));
    t.done(token, "Acked(Success)");
});

// [S4], [5.0 MQTT-3.2.2-5]
scenario!(
    pending_operations_are_told_of_a_lost_session,
    [Version::V3_1_1, Version::V5],
    |c| { c.on_session_lost = SessionLost::Fail },
    |t| {
        t.options.clean_start = false;
        t.connect();
        let one = t.publish("a", Qos::AtLeastOnce, b"1");
        let two = t.publish("a", Qos::ExactlyOnce, b"2");
        let half = t.publish("a", Qos::ExactlyOnce, b"3");
        let request = subscribe(t, &["f"]);
        t.drain();
        t.send(Pubrec::new(id(3)));
        t.cut();
        t.connect_with(false, &[]);
        t.see(Seen::SessionLost { republished: 0, ended: 3 });
        for token in [one, two, half] {
            t.done(token, "Lost");
        }
        // A request is no part of a session: it is made again, and ends with its answer.
        let mut made = None;
        while let Some(frame) = t.next_frame() {
            if frame[0] == 0x82 {
                made = Some(id(u16::from_be_bytes([frame[2], frame[3]])));
            }
        }
        let codes = ReasonCodes::from(&[ReasonCode::GrantedQos1][..]);
        t.send(Suback { packet_id: made.unwrap(), properties: Properties::EMPTY, codes });
        t.done(request, "Granted([GrantedQos1])");
        assert_eq!(t.session.pending(), 0);
    }
);

scenario!(the_properties_of_the_will_are_not_lost_on_the_wire, |t| {
    const LIST: [Property<'static>; 8] = [
        Property::WillDelayInterval(5),
        Property::PayloadFormatIndicator(true),
        Property::MessageExpiryInterval(60),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("answer"),
        Property::CorrelationData(b"\x01\x02"),
        Property::UserProperty("k", "1"),
        Property::UserProperty("k", "2"),
    ];
    t.options.will = Some(Will {
        topic: TopicName::new("will").unwrap(),
        payload: b"gone",
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: Properties::List(&LIST),
    });
    for _ in 0..2 {
        let frame = t.open();
        let Packet::Connect(connect) = Packet::decode(&frame, Version::V5, Peer::Client).unwrap() else {
            panic!()
        };
        let will = connect.will.unwrap();
        assert_eq!(will.properties.iter().collect::<Vec<_>>(), LIST);
        assert_eq!((will.payload, will.qos, will.retain), (&b"gone"[..], Qos::AtLeastOnce, true));
        t.cut();
    }
});

scenario!(a_disconnect_of_length_0_or_1_is_not_refused, |t| {
    for (bytes, code) in [
        (&[0xE0, 0x00][..], ReasonCode::Success),
        (&[0xE0, 0x01, 0x00], ReasonCode::Success),
        (&[0xE0, 0x01, 0x8B], ReasonCode::ServerShuttingDown),
    ] {
        t.connect();
        t.events();
        t.send_bytes(bytes);
        t.expect_silence();
        assert_eq!(t.closes_somehow(), Why::ServerDisconnected(code));
        t.events();
    }
});
