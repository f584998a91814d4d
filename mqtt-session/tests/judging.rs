//! What the session makes of packets and answers that are legal and seldom.

use crate::common;

use common::{Seen, Trace, VERSIONS, config, id};
use mqtt_session::proto::{
    Auth, Connect, Encode, Peer, Pingreq, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel,
    Qos, ReasonCode, TopicName, Version, Will,
};
use mqtt_session::{
    AckError, AckMode, AckToken, AuthError, ConnectOptions, LocalState, Oversize, Stop, Storage, Why,
};

const V3: [Version; 2] = [Version::V3_1, Version::V3_1_1];

// A PUBREL may be longer than four bytes. [5.0 MQTT-4.3.3-11]
scenario!(a_pubrel_with_a_reason_is_one_like_any_other, |t| {
    t.connect();
    for (number, reason) in [(1, ReasonCode::Success), (2, ReasonCode::PacketIdentifierNotFound)] {
        let topic = TopicName::new("in").unwrap();
        t.send(Publish { qos: Qos::ExactlyOnce, packet_id: Some(id(number)), ..Publish::new(topic, b"x") });
        t.expect(Pubrec::new(id(number)));
        let properties = [Property::UserProperty("k", "v")];
        t.send(Pubrel::with(id(number), reason, Properties::List(&properties)));
        t.expect(Pubcomp::new(id(number)));
    }
});

// That the server may send no DISCONNECT at all is not what is wrong first.
scenario!(on_3_x_whatever_comes_before_connack_breaks_the_same_rule, V3, |t| {
    for bytes in [&[0xE0, 0][..], &[0xF0, 0]] {
        t.open();
        t.send_bytes(bytes);
        assert_eq!(
            t.refuses(ReasonCode::ProtocolError),
            Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.2.0-1")
        );
        t.events();
    }
});

// A session that is not there holds nothing: nothing is asked for first.
scenario!(
    /// [5.0 MQTT-4.3.3-10]
    nothing_is_in_doubt_in_a_new_session_of_a_program_that_knows_nothing,
    VERSIONS,
    |t| {
        t.options.local_state = LocalState::Held;
        t.options.clean_start = t.version() == Version::V3_1;
        t.connect_with(false, &[]);
        t.publish("a", Qos::ExactlyOnce, b"x");
        assert_eq!(t.next_frame().unwrap()[0], 0x34, "PUBLISH, not PUBREL");
        t.expect_silence();
    }
);

/// The defaults of Receive Maximum and of the Session Expiry Interval are not said, any other is. (Section 3.1.2.11)
#[test]
fn limits_are_said_unless_they_are_the_defaults() {
    for (maximum, said) in [(65_535, None), (65_534, Some(65_534)), (8, Some(8))] {
        let mut config = config();
        config.receive_maximum = maximum;
        let mut t = Trace::heap(config, usize::MAX);
        let frame = t.open();
        let connect = Connect::decode(&frame, Version::V5, Peer::Client).unwrap();
        assert_eq!(connect.properties.receive_maximum().map(|maximum| maximum.into()), said, "{maximum}");
        assert_eq!(connect.properties.session_expiry_interval(), None);
        t.cut();
        t.options.session_expiry = 3_600;
        let frame = t.open();
        let connect = Connect::decode(&frame, Version::V5, Peer::Client).unwrap();
        assert_eq!(connect.properties.session_expiry_interval(), Some(3_600));
    }
}

// [5.0 MQTT-4.12.0-5]
scenario!(no_other_method_than_that_of_connect_is_taken, |t| {
    const METHODS: [&str; 8] = ["a", "b", "c", "`", "aa", "ab", "ba", "scram"];
    for method in METHODS {
        let list = [Property::AuthenticationMethod(method)];
        t.options = ConnectOptions { properties: Properties::List(list.to_vec().leak()), ..t.options };
        t.connect_with(false, &list);
        for other in METHODS {
            let list = [Property::AuthenticationMethod(other)];
            let auth = Auth { reason_code: ReasonCode::ReAuthenticate, properties: Properties::List(&list) };
            if other != method {
                assert_eq!(t.session.authenticate(&auth), Err(AuthError::MethodChanged), "{method}, {other}");
            }
        }
        t.cut();
        t.events();
    }
});

// What only 5.0 can say is not left away: an older version would not do what was asked for.
scenario!(
    properties_of_connect_or_of_the_will_hold_the_version,
    [Version::V5],
    |c| { c.version_ladder = true },
    |t| {
        const USER: Properties<'static> = Properties::List(&[Property::UserProperty("k", "v")]);
        let will = Will {
            retain: false,
            qos: Qos::AtMostOnce,
            properties: Properties::EMPTY,
            topic: TopicName::new("w").unwrap(),
            payload: b"",
        };
        let options = t.options;
        for (properties, will, steps_down) in [
            (Properties::EMPTY, Some(will), true),
            (USER, None, false),
            (Properties::EMPTY, Some(Will { properties: USER, ..will }), false),
        ] {
            t.options = ConnectOptions { properties, will, ..options };
            t.open();
            // The server speaks 3.1.1 only.
            t.send_bytes(b"\x20\x02\x00\x01");
            t.closes_somehow();
            let stopped = t.events().iter().any(|seen| matches!(seen, Seen::Stopped { .. }));
            assert_eq!(stopped, !steps_down);
            if steps_down {
                t.session.stop(Stop::now()).unwrap();
                t.events();
            }
        }
    }
);

// A link that is not up has nothing to say: the next connection does not begin with a ping.
scenario!(a_link_that_is_not_up_is_not_asked_for_a_sign_of_life, VERSIONS, |t| {
    t.options.keep_alive = 0;
    t.session.check_link();
    assert_eq!(t.session.poll_timeout(), None);
    t.open();
    t.session.check_link();
    t.expect_silence();
    t.connect_accepted();
    t.session.check_link();
    t.session.check_link();
    t.expect(Pingreq);
    t.expect_silence();
});

// A PUBLISH whose topic alone is longer than what is taken cannot be skipped: nobody knows what it is.
scenario!(
    /// [5.0 MQTT-3.1.2-24]
    a_topic_longer_than_the_longest_packet_ends_the_connection,
    V3,
    |c| { c.oversize = Oversize::Skip },
    |t| {
        t.connect();
        let topic = "t".repeat(520);
        t.send(Publish::new(TopicName::new(&topic).unwrap(), &[7; 100]));
        let why = Why::Protocol(ReasonCode::PacketTooLarge, "MQTT-3.1.2-24");
        assert_eq!(t.refuses(ReasonCode::PacketTooLarge), why);
    }
);

scenario!(a_packet_that_is_skipped_counts_as_one, V3, |c| { c.oversize = Oversize::Skip }, |t| {
    t.connect();
    let before = t.session.stats();
    let publish = Publish::new(TopicName::new("t").unwrap(), &[7; 1_000]);
    let len = publish.encoded_len(t.version()).unwrap() as u64;
    t.send(publish);
    t.see(Seen::Skipped(len as u32));
    let stats = t.session.stats();
    assert_eq!(stats.publishes_in - before.publishes_in, 1);
    assert_eq!(stats.bytes_in - before.bytes_in, len);
});

fn delivered<S: Storage>(t: &mut Trace<S>, number: u16, qos: Qos) -> AckToken {
    let topic = TopicName::new("in").unwrap();
    t.send(Publish { qos, packet_id: Some(id(number)), ..Publish::new(topic, b"x") });
    match t.event() {
        Seen::Message { ack: Some(ack), .. } => ack,
        other => panic!("{other:?}"),
    }
}

// The two have nothing to do with each other, though one identifier names both.
scenario!(
    /// [5.0 MQTT-4.3.3-11]
    a_pubrel_does_not_end_a_qos_1_message_of_its_identifier,
    VERSIONS,
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.connect();
        let token = delivered(t, 5, Qos::AtLeastOnce);
        t.send(Pubrel::new(id(5)));
        let frame = t.next_frame().unwrap();
        assert_eq!((frame[0], frame[3]), (0x70, 5), "PUBCOMP");
        t.session.acknowledge(token, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Puback::new(id(5)));
    }
);

// The server did not come back to them, so they make room; those behind them go on in their order.
scenario!(
    stale_messages_that_make_room_do_not_hold_up_those_behind_them,
    [Version::V3_1_1, Version::V5],
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.options.clean_start = false;
        t.connect();
        let stale = [(1, Qos::ExactlyOnce), (2, Qos::AtLeastOnce), (3, Qos::ExactlyOnce)]
            .map(|(number, qos)| delivered(t, number, qos));
        t.cut();
        t.events();
        t.resume();
        let fresh = [11, 12, 13, 14, 15, 16, 17, 18].map(|number| delivered(t, number, Qos::ExactlyOnce));
        let acknowledge =
            |t: &mut Trace<S>, token| t.session.acknowledge(token, ReasonCode::Success, Properties::EMPTY);
        assert_eq!(stale.map(|token| acknowledge(t, token)), [Err(AckError::Stale); 3]);
        for token in fresh.iter().rev() {
            t.expect_silence();
            assert_eq!(acknowledge(t, *token), Ok(()));
        }
        for number in 11..=18 {
            t.expect(Pubrec::new(id(number)));
        }
    }
);

// What the application has still to acknowledge needs room in the wire buffer too, before the next message.
scenario!(
    a_message_can_be_published_at_once_only_behind_all_acknowledgements_to_come,
    VERSIONS,
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.connect();
        t.writable = false;
        let own = 2 + 2 + 1 + usize::from(t.version() == Version::V5);
        for _ in 0..7 {
            t.publish("a", Qos::AtMostOnce, &vec![7; 100 - own]);
        }
        t.publish("a", Qos::AtMostOnce, &vec![7; 20 - own]);
        // 720 of 1,024 bytes are taken; a message that is not lent has at most 277, a ping 2, an acknowledgement 5.
        assert!(t.session.can_publish(Qos::AtMostOnce));
        for number in 1..=4 {
            delivered(t, number, Qos::AtLeastOnce);
        }
        assert!(t.session.can_publish(Qos::AtMostOnce));
        for number in 5..=8 {
            delivered(t, number, Qos::ExactlyOnce);
        }
        assert!(!t.session.can_publish(Qos::AtMostOnce));
    }
);
