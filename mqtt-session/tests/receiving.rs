//! Inbound messages: delivered once, acknowledged in order, within limits.

use crate::common;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, TopicName, Version,
};
use mqtt_session::{AckError, AckMode, AckToken, Command, Oversize, Storage, Why};

fn message(qos: Qos, packet_id: u16, payload: &[u8]) -> Publish<'_> {
    let mut publish = Publish::new(TopicName::new("in").unwrap(), payload);
    publish.qos = qos;
    publish.packet_id = mqtt_session::proto::PacketId::new(packet_id);
    publish
}

fn see_message<S: Storage>(t: &mut Trace<S>, want: &[u8]) -> Option<AckToken> {
    match t.event() {
        Seen::Message { topic, payload, ack, .. } => {
            assert_eq!((topic.as_str(), &payload[..]), ("in", want));
            ack
        }
        other => panic!("expected a message, got {other:?}"),
    }
}

// [3.1.1 MQTT-3.3.4-1], [5.0 MQTT-3.3.4-1], [3.1.1 MQTT-2.3.1-6], [3.1.1 MQTT-4.3.2-2], [5.0 MQTT-2.2.1-5],
// [5.0 MQTT-4.3.2-4], [5.0 MQTT-4.3.3-8], [5.0 MQTT-4.3.3-11]
scenario!(each_quality_of_service_is_answered_in_its_way, VERSIONS, |t| {
    t.connect();
    t.send(message(Qos::AtMostOnce, 0, b"0"));
    see_message(t, b"0");
    t.expect_silence();
    t.send(message(Qos::AtLeastOnce, 7, b"1"));
    see_message(t, b"1");
    t.expect(Puback::new(id(7)));
    t.send(message(Qos::ExactlyOnce, 8, b"2"));
    see_message(t, b"2");
    t.expect(Pubrec::new(id(8)));
    t.send(Pubrel::new(id(8)));
    t.expect(Pubcomp::new(id(8)));
    t.see_nothing();
});

// [3.1.1 MQTT-4.3.3-2], [5.0 MQTT-4.3.3-10], [5.0 MQTT-4.3.3-12]
scenario!(m04_a_qos_2_duplicate_is_answered_every_time_and_delivered_once, VERSIONS, |t| {
    t.connect();
    t.send(message(Qos::ExactlyOnce, 8, b"2"));
    see_message(t, b"2");
    t.expect(Pubrec::new(id(8)));
    for _ in 0..3 {
        t.send(Publish { dup: true, ..message(Qos::ExactlyOnce, 8, b"2") });
        t.expect(Pubrec::new(id(8)));
    }
    t.see_nothing();
    t.send(Pubrel::new(id(8)));
    t.expect(Pubcomp::new(id(8)));
    // The identifier is free again: this is a new message.
    t.send(message(Qos::ExactlyOnce, 8, b"3"));
    see_message(t, b"3");
});

scenario!(a_qos_2_message_is_delivered_once_across_cuts, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.send(message(Qos::ExactlyOnce, 8, b"2"));
    see_message(t, b"2");
    for _ in 0..3 {
        t.cut();
        t.resume();
        t.events();
        t.send(Publish { dup: true, ..message(Qos::ExactlyOnce, 8, b"2") });
        t.expect(Pubrec::new(id(8)));
        t.see_nothing();
    }
    t.send(Pubrel::new(id(8)));
    t.expect(Pubcomp::new(id(8)));
    // PUBCOMP was lost: PUBREL comes again.
    t.cut();
    t.resume();
    t.send(Pubrel::new(id(8)));
    let want =
        if t.version() == Version::V5 { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success };
    t.expect(Pubcomp::with(id(8), want, Default::default()));
});

scenario!(a_new_session_forgets_inbound_exchanges, VERSIONS, |t| {
    t.connect();
    t.send(message(Qos::ExactlyOnce, 8, b"2"));
    see_message(t, b"2");
    t.cut();
    t.options.clean_start = true;
    t.connect();
    t.events();
    t.send(message(Qos::ExactlyOnce, 8, b"new"));
    see_message(t, b"new");
});

// [3.1.1 MQTT-4.6.0-2], [5.0 MQTT-4.6.0-2]
scenario!(
    s14_manual_acknowledgements_come_in_any_order_and_leave_in_the_order_of_arrival,
    VERSIONS,
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.connect();
        t.send(message(Qos::AtLeastOnce, 1, b"a"));
        let a = see_message(t, b"a").unwrap();
        t.send(message(Qos::AtLeastOnce, 2, b"b"));
        let b = see_message(t, b"b").unwrap();
        t.send(message(Qos::ExactlyOnce, 3, b"c"));
        let c = see_message(t, b"c").unwrap();
        t.expect_silence();
        t.session.acknowledge(b, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.session.acknowledge(c, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Pubrec::new(id(3)));
        t.expect_silence();
        t.session.acknowledge(a, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Puback::new(id(1)));
        t.expect(Puback::new(id(2)));
        assert_eq!(t.session.acknowledge(a, ReasonCode::Success, Properties::EMPTY), Err(AckError::Stale));
        t.send(Pubrel::new(id(3)));
        t.expect(Pubcomp::new(id(3)));
    }
);

// [5.0 MQTT-4.3.3-9]
scenario!(
    a_refusing_acknowledgement_ends_a_qos_2_exchange,
    [Version::V5],
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.connect();
        t.send(message(Qos::ExactlyOnce, 3, b"c"));
        let ack = see_message(t, b"c").unwrap();
        assert_eq!(
            t.session.acknowledge(ack, ReasonCode::KeepAliveTimeout, Properties::EMPTY),
            Err(AckError::InvalidReason)
        );
        t.session.acknowledge(ack, ReasonCode::PayloadFormatInvalid, Properties::EMPTY).unwrap();
        t.expect(Pubrec::with(id(3), ReasonCode::PayloadFormatInvalid, Default::default()));
        // The exchange is over: the same identifier is a new message.
        t.send(message(Qos::ExactlyOnce, 3, b"d"));
        see_message(t, b"d");
    }
);

scenario!(
    after_a_cut_a_qos_1_token_is_stale_and_a_qos_2_token_is_not,
    VERSIONS,
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.options.clean_start = false;
        t.connect();
        t.send(message(Qos::AtLeastOnce, 1, b"a"));
        let first = see_message(t, b"a").unwrap();
        t.send(message(Qos::ExactlyOnce, 2, b"b"));
        let second = see_message(t, b"b").unwrap();
        t.cut();
        t.resume();
        t.events();
        assert_eq!(
            t.session.acknowledge(first, ReasonCode::Success, Properties::EMPTY),
            Err(AckError::Stale)
        );
        t.send(Publish { dup: true, ..message(Qos::AtLeastOnce, 1, b"a") });
        let again = see_message(t, b"a").unwrap();
        t.send(Publish { dup: true, ..message(Qos::ExactlyOnce, 2, b"b") });
        t.see_nothing();
        t.expect_silence();
        t.session.acknowledge(again, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.session.acknowledge(second, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Puback::new(id(1)));
        t.expect(Pubrec::new(id(2)));
    }
);

scenario!(
    with_one_ack_slot_held_input_is_taken_after_each_flush,
    VERSIONS,
    |c| { c.receive_maximum = 1 },
    |t| {
        t.connect();
        // The transport is stuck, so the one acknowledgement that fits waits.
        t.writable = false;
        t.send(message(Qos::AtMostOnce, 0, b"a"));
        see_message(t, b"a");
        if t.version() == Version::V5 {
            t.send(message(Qos::AtLeastOnce, 1, b"b"));
            see_message(t, b"b");
            assert!(!t.session.wants_read());
            t.send(message(Qos::AtMostOnce, 0, b"c"));
        } else {
            // Without an announced limit a server may send several at once.
            for (value, payload) in [(1, b"b"), (2, b"d"), (3, b"c")] {
                t.send(message(Qos::AtLeastOnce, value, payload));
            }
            see_message(t, b"b");
            assert!(!t.session.wants_read());
        }
        t.see_nothing();
        // The held bytes come through without a new read once there is room.
        t.writable = true;
        t.drain();
        assert!(t.session.wants_read());
        t.expect(Puback::new(id(1)));
        if t.version() != Version::V5 {
            see_message(t, b"d");
            t.expect(Puback::new(id(2)));
        }
        see_message(t, b"c");
    }
);

// [5.0 MQTT-3.3.4-9], [U-26], [3.1.1 MQTT-4.8.0-2]
scenario!(s10_m03_more_unacknowledged_messages_than_receive_maximum_end_the_connection, VERSIONS, |t| {
    t.connect();
    for value in 1..=common::IN as u16 {
        t.send(message(Qos::ExactlyOnce, value, b"x"));
        see_message(t, b"x");
        t.expect(Pubrec::new(id(value)));
    }
    t.send(message(Qos::ExactlyOnce, 100, b"x"));
    t.see_nothing();
    // [MQTT-3.3.4-7]
    let want = match t.version() {
        Version::V5 => Why::Protocol(ReasonCode::ReceiveMaximumExceeded, "MQTT-3.3.4-7"),
        _ => Why::Flooded { limit: common::IN as u16 },
    };
    let why = t.refuses(ReasonCode::ReceiveMaximumExceeded);
    assert_eq!(why, want);
});

scenario!(m05_an_alias_that_was_not_allowed_ends_the_connection, |t| {
    t.connect();
    let mut publish = message(Qos::AtMostOnce, 0, b"x");
    let properties = [Property::TopicAlias(1)];
    publish.properties = Properties::List(&properties);
    t.send(publish);
    t.see_nothing();
    t.refuses(ReasonCode::TopicAliasInvalid);
});

// [5.0 MQTT-3.1.2-24], [U-27]
scenario!(
    m01_a_packet_over_the_own_limit_is_refused_from_its_header,
    VERSIONS,
    |c| { c.max_packet_in = 64 },
    |t| {
        t.connect();
        t.send_bytes(&[0x30, 98]);
        let why = t.refuses(ReasonCode::PacketTooLarge);
        assert!(
            matches!(why, Why::Malformed(error) if error.reason_code == ReasonCode::PacketTooLarge),
            "{why:?}"
        );
    }
);

scenario!(
    a_packet_over_the_own_limit_is_skipped_where_that_was_configured,
    [Version::V3_1, Version::V3_1_1],
    |c| {
        c.max_packet_in = 64;
        c.oversize = Oversize::Skip;
    },
    |t| {
        t.connect();
        let payload = [9; 100];
        t.send(message(Qos::AtMostOnce, 0, &payload));
        t.see(Seen::Skipped(106));
        t.send(message(Qos::AtLeastOnce, 1, &payload));
        t.see(Seen::Skipped(108));
        t.expect(Puback::new(id(1)));
        t.send(message(Qos::ExactlyOnce, 2, &payload));
        t.see(Seen::Skipped(108));
        t.expect(Pubrec::new(id(2)));
        t.send(Pubrel::new(id(2)));
        t.expect(Pubcomp::new(id(2)));
        t.send(message(Qos::AtMostOnce, 0, b"next"));
        see_message(t, b"next");
    }
);

scenario!(
    skipping_is_not_for_5_0_where_the_limit_was_announced,
    [Version::V5],
    |c| {
        c.max_packet_in = 64;
        c.oversize = Oversize::Skip;
    },
    |t| {
        t.connect();
        t.send(message(Qos::AtMostOnce, 0, &[9; 100]));
        t.refuses(ReasonCode::PacketTooLarge);
    }
);

// [U-32], [3.1.1 MQTT-4.8.0-1]
scenario!(c13_broken_bytes_end_the_connection_with_the_right_code, VERSIONS, |t| {
    t.connect();
    // QoS 3
    t.send_bytes(&[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01]);
    let why = t.refuses(ReasonCode::MalformedPacket);
    assert!(matches!(why, Why::Malformed(_)));
});

scenario!(what_follows_a_broken_packet_is_not_taken, VERSIONS, |t| {
    t.connect();
    t.send_bytes(&[0x36, 0x05, 0x00, 0x01, b'a', 0x00, 0x01, 0x30, 0x04, 0x00, 0x02, b'i', b'n']);
    t.see_nothing();
    assert!(!t.session.is_connected());
    if t.version() != Version::V5 {
        assert_eq!(t.command(), Some(Command::Close));
    }
});

// 4.9: the quota starts anew on each connection.
scenario!(receive_maximum_does_not_count_what_the_server_left_behind_on_an_earlier_connection, |t| {
    t.options.clean_start = false;
    t.connect();
    for value in 1..=common::IN as u16 {
        t.send(message(Qos::ExactlyOnce, value, b"x"));
        see_message(t, b"x");
        t.expect(Pubrec::new(id(value)));
    }
    t.cut();
    t.resume();
    t.events();
    // The server has forgotten those exchanges, and uses other identifiers.
    for value in 101..101 + common::IN as u16 {
        t.send(message(Qos::ExactlyOnce, value, b"y"));
        see_message(t, b"y");
        t.expect(Pubrec::new(id(value)));
    }
    t.send(message(Qos::ExactlyOnce, 200, b"z"));
    t.refuses(ReasonCode::ReceiveMaximumExceeded);
});

scenario!(what_the_server_comes_back_to_counts_and_is_still_known, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    for value in 1..=common::IN as u16 {
        t.send(message(Qos::ExactlyOnce, value, b"x"));
        see_message(t, b"x");
        t.expect(Pubrec::new(id(value)));
    }
    t.cut();
    t.resume();
    t.events();
    for value in 1..=common::IN as u16 {
        t.send(Publish { dup: true, ..message(Qos::ExactlyOnce, value, b"x") });
        t.expect(Pubrec::new(id(value)));
    }
    t.see_nothing();
    t.send(Pubrel::new(id(1)));
    t.expect(Pubcomp::new(id(1)));
    t.send(message(Qos::ExactlyOnce, 100, b"new"));
    see_message(t, b"new");
    t.expect(Pubrec::new(id(100)));
    t.send(message(Qos::ExactlyOnce, 101, b"one too many"));
    t.see_nothing();
    t.refuses(ReasonCode::ReceiveMaximumExceeded);
});
