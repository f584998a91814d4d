//! Outgoing messages: accepted, handed out, acknowledged, resent.

use crate::common;

use common::{Seen, VERSIONS, id};
use mqtt_session::proto::{
    Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, TopicName, Version,
};
use mqtt_session::{Message, PublishError, SessionLost, Token};

fn publish(topic: &'static str, qos: Qos, packet_id: u16, payload: &'static [u8]) -> Publish<'static> {
    let mut publish = Publish::new(TopicName::new(topic).unwrap(), payload);
    publish.qos = qos;
    publish.packet_id = mqtt_session::proto::PacketId::new(packet_id);
    publish
}

fn again(publish: Publish<'_>) -> Publish<'_> {
    Publish { dup: true, ..publish }
}

// [3.1.1 MQTT-4.3.1-1], [5.0 MQTT-4.3.1-1]
scenario!(qos_0_is_sent_and_not_reported, VERSIONS, |t| {
    t.connect();
    t.publish("a/b", Qos::AtMostOnce, b"x");
    t.expect(publish("a/b", Qos::AtMostOnce, 0, b"x"));
    t.expect_silence();
    t.see_nothing();
    assert_eq!(t.session.pending(), 0);
});

scenario!(qos_0_is_reported_once_its_last_byte_was_taken, VERSIONS, |c| { c.qos0_receipts = true }, |t| {
    t.connect();
    t.writable = false;
    let token = t.publish("a", Qos::AtMostOnce, b"xyz");
    t.take(7);
    t.see_nothing();
    t.take(if t.version() == Version::V5 { 2 } else { 1 });
    t.done(token, "Sent");
});

// [3.1.1 MQTT-4.3.2-1], [5.0 MQTT-4.3.2-2], [5.0 MQTT-4.3.2-3]
scenario!(qos_1_ends_with_puback, VERSIONS, |t| {
    t.connect();
    let token = t.publish("a", Qos::AtLeastOnce, b"x");
    t.expect(publish("a", Qos::AtLeastOnce, 1, b"x"));
    t.see_nothing();
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
    t.see_nothing();
    assert_eq!(t.session.pending(), 0);
});

// [3.1.1 MQTT-4.3.3-1], [5.0 MQTT-4.3.3-2], [5.0 MQTT-4.3.3-4]
scenario!(qos_2_ends_with_pubcomp, VERSIONS, |t| {
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    t.expect(publish("a", Qos::ExactlyOnce, 1, b"x"));
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    t.see_nothing();
    t.send(Pubcomp::new(id(1)));
    t.done(token, "Acked(Success)");
});

// PUBREL follows a PUBREC below 0x80 only.
// [5.0 MQTT-4.3.3-4], [5.0 MQTT-4.4.0-2]
scenario!(s09_a_failed_pubrec_ends_the_message_and_frees_its_identifier, |t| {
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    t.expect(publish("a", Qos::ExactlyOnce, 1, b"x"));
    t.send(Pubrec::with(id(1), ReasonCode::QuotaExceeded, Default::default()));
    t.done(token, "Refused(QuotaExceeded)");
    t.expect_silence();
    assert_eq!(t.session.stats().in_flight, 0);
});

scenario!(pubrec_without_subscribers_is_no_failure, |t| {
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    t.expect(publish("a", Qos::ExactlyOnce, 1, b"x"));
    t.send(Pubrec::with(id(1), ReasonCode::NoMatchingSubscribers, Default::default()));
    t.expect(Pubrel::new(id(1)));
    t.send(Pubcomp::new(id(1)));
    t.done(token, "Acked(Success)");
});

// [5.0 MQTT-4.4.0-2]
scenario!(a_refused_qos_1_message_says_why, |t| {
    t.connect();
    let token = t.publish("a", Qos::AtLeastOnce, b"x");
    t.send(Puback::with(id(1), ReasonCode::NotAuthorized, Default::default()));
    t.done(token, "Refused(NotAuthorized)");
});

scenario!(messages_published_before_the_connection_wait_for_it, VERSIONS, |t| {
    let first = t.publish("a", Qos::AtLeastOnce, b"1");
    t.publish("a", Qos::AtMostOnce, b"2");
    let third = t.publish("a", Qos::ExactlyOnce, b"3");
    t.see_nothing();
    t.connect();
    t.expect(publish("a", Qos::AtLeastOnce, 1, b"1"));
    t.expect(publish("a", Qos::AtMostOnce, 0, b"2"));
    t.expect(publish("a", Qos::ExactlyOnce, 2, b"3"));
    t.send(Puback::new(id(1)));
    t.done(first, "Acked(Success)");
    t.send(Pubrec::new(id(2)));
    t.expect(Pubrel::new(id(2)));
    t.send(Pubcomp::new(id(2)));
    t.done(third, "Acked(Success)");
});

scenario!(the_stored_form_is_version_neutral_so_a_lower_version_delivers_the_queue, [Version::V5], |t| {
    // Planned for 5.0, with properties; the connection that comes speaks 3.1.1.
    t.session.start(&t.options).unwrap();
    let properties = [Property::ContentType("text/plain"), Property::UserProperty("a", "b")];
    let message = Message::new(TopicName::new("a").unwrap())
        .qos(Qos::AtLeastOnce)
        .properties(mqtt_session::proto::Properties::List(&properties));
    let token = t.session.publish(&message, b"queued"[..].into()).map_err(|refused| refused.reason).unwrap();
    t.options.version = Version::V3_1_1;
    t.connect();
    t.expect(publish("a", Qos::AtLeastOnce, 1, b"queued"));
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
});

scenario!(properties_are_kept_and_sent_in_their_order, |t| {
    let properties = [Property::ContentType("text/plain"), Property::UserProperty("a", "b")];
    let message = Message::new(TopicName::new("a").unwrap())
        .properties(mqtt_session::proto::Properties::List(&properties));
    t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    t.connect();
    let mut want = publish("a", Qos::AtMostOnce, 0, b"x");
    want.properties = mqtt_session::proto::Properties::List(&properties);
    t.expect(want);
});

// [3.1.1 MQTT-4.4.0-1], [5.0 MQTT-4.4.0-1], [3.1.1 MQTT-4.6.0-1], [5.0 MQTT-4.6.0-1], [3.1.1 MQTT-3.3.1-1],
// [5.0 MQTT-3.3.1-1], [3.1.1 MQTT-3.3.1-3], [5.0 MQTT-3.3.1-3]
scenario!(s12_a_resume_sends_again_in_order_with_dup_only_on_what_was_sent, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.writable = false;
    for payload in [b"1", b"2", b"3"] {
        t.publish("a", Qos::AtLeastOnce, payload);
    }
    // The whole first packet and a byte of the second leave.
    let len = if t.version() == Version::V5 { 9 } else { 8 };
    t.take(len + 1);
    t.cut();
    t.writable = true;
    t.resume();
    t.expect(again(publish("a", Qos::AtLeastOnce, 1, b"1")));
    t.expect(again(publish("a", Qos::AtLeastOnce, 2, b"2")));
    let frame = t.next_frame().unwrap();
    assert_eq!(frame[0], 0x32, "the third was never sent: no DUP");
    t.expect_silence();
});

// After PUBREC the message itself is never sent again.
// [3.1.1 MQTT-4.3.3-1], [5.0 MQTT-4.3.3-3], [5.0 MQTT-4.3.3-5], [5.0 MQTT-4.3.3-6]
scenario!(publish_is_never_repeated_after_pubrec, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    let first = t.publish("a", Qos::ExactlyOnce, b"1");
    let second = t.publish("a", Qos::ExactlyOnce, b"2");
    t.expect(publish("a", Qos::ExactlyOnce, 1, b"1"));
    t.expect(publish("a", Qos::ExactlyOnce, 2, b"2"));
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    for _ in 0..3 {
        t.cut();
        t.resume();
        t.expect(Pubrel::new(id(1)));
        t.expect(again(publish("a", Qos::ExactlyOnce, 2, b"2")));
        t.expect_silence();
    }
    t.events();
    t.send(Pubcomp::new(id(1)));
    t.done(first, "Acked(Success)");
    t.send(Pubrec::new(id(2)));
    t.expect(Pubrel::new(id(2)));
    t.send(Pubcomp::new(id(2)));
    t.done(second, "Acked(Success)");
});

// [3.1.1 MQTT-4.6.0-4], [5.0 MQTT-4.6.0-4]
scenario!(pubrels_leave_in_the_order_of_the_pubrecs, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    for payload in [b"1", b"2", b"3"] {
        t.publish("a", Qos::ExactlyOnce, payload);
        t.next_frame();
    }
    for value in [3, 1, 2] {
        t.send(Pubrec::new(id(value)));
    }
    for value in [3, 1, 2] {
        t.expect(Pubrel::new(id(value)));
    }
    t.cut();
    t.resume();
    for value in [3, 1, 2] {
        t.expect(Pubrel::new(id(value)));
    }
    t.expect_silence();
});

// [5.0 MQTT-3.3.4-7], [5.0 MQTT-4.9.0-2]
scenario!(the_servers_receive_maximum_paces_publishing, |t| {
    t.connect_with(false, &[Property::ReceiveMaximum(2)]);
    for payload in [b"1", b"2", b"3", b"4"] {
        t.publish("a", Qos::ExactlyOnce, payload);
    }
    t.expect(publish("a", Qos::ExactlyOnce, 1, b"1"));
    t.expect(publish("a", Qos::ExactlyOnce, 2, b"2"));
    t.expect_silence();
    assert!(!t.session.can_publish(Qos::AtLeastOnce));
    // PUBREC frees no quota, PUBCOMP does.
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    t.expect_silence();
    t.send(Pubcomp::new(id(1)));
    t.expect(publish("a", Qos::ExactlyOnce, 3, b"3"));
    t.expect_silence();
    // A PUBREC that refuses ends the exchange.
    t.send(Pubrec::with(id(2), ReasonCode::QuotaExceeded, Default::default()));
    t.expect(publish("a", Qos::ExactlyOnce, 4, b"4"));
});

// [5.0 MQTT-4.9.0-1], [5.0 MQTT-4.9.0-3]
scenario!(s11_a_resume_is_paced_by_the_new_receive_maximum_and_pubrel_is_not, |t| {
    t.options.clean_start = false;
    t.connect();
    for payload in [b"1", b"2", b"3", b"4"] {
        t.publish("a", Qos::ExactlyOnce, payload);
        t.next_frame();
    }
    t.send(Pubrec::new(id(3)));
    t.send(Pubrec::new(id(4)));
    t.cut();
    t.connect_with(true, &[Property::ReceiveMaximum(1)]);
    t.expect(Pubrel::new(id(3)));
    t.expect(Pubrel::new(id(4)));
    t.expect_silence();
    t.send(Pubcomp::new(id(3)));
    t.expect_silence();
    t.send(Pubcomp::new(id(4)));
    t.expect(again(publish("a", Qos::ExactlyOnce, 1, b"1")));
    t.expect_silence();
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    t.send(Pubcomp::new(id(1)));
    t.expect(again(publish("a", Qos::ExactlyOnce, 2, b"2")));
});

scenario!(the_own_cap_paces_where_the_server_has_none, VERSIONS, |c| { c.max_in_flight = 1 }, |t| {
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"1");
    t.publish("a", Qos::AtLeastOnce, b"2");
    t.expect(publish("a", Qos::AtLeastOnce, 1, b"1"));
    t.expect_silence();
    t.send(Puback::new(id(1)));
    t.expect(publish("a", Qos::AtLeastOnce, 1, b"2"));
});

// [5.0 MQTT-3.2.2-5]
scenario!(a_lost_session_republishes_what_was_not_acknowledged, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"1");
    let half_done = t.publish("a", Qos::ExactlyOnce, b"2");
    t.publish("a", Qos::ExactlyOnce, b"3");
    for _ in 0..3 {
        t.next_frame();
    }
    t.send(Pubrec::new(id(2)));
    t.next_frame();
    t.cut();
    if t.version() == Version::V3_1 {
        // 3.1 cannot tell; only asking for a clean session ends one.
        t.options.clean_start = true;
    }
    t.connect();
    t.see(Seen::SessionLost { republished: 2, ended: 1 });
    t.done(half_done, "Unknown");
    // New messages: no DUP.
    t.expect(publish("a", Qos::AtLeastOnce, 4, b"1"));
    t.expect(publish("a", Qos::ExactlyOnce, 5, b"3"));
    t.expect_silence();
});

scenario!(
    a_lost_session_can_fail_what_was_not_acknowledged_and_keeps_what_was_never_sent,
    VERSIONS,
    |c| {
        c.on_session_lost = SessionLost::Fail;
        c.max_in_flight = 2;
    },
    |t| {
        t.connect();
        let tokens: Vec<Token> = (0..3).map(|_| t.publish("a", Qos::AtLeastOnce, b"x")).collect();
        t.next_frame();
        t.next_frame();
        t.cut();
        t.connect();
        t.see(Seen::SessionLost { republished: 0, ended: 2 });
        t.done(tokens[0], "Lost");
        t.done(tokens[1], "Lost");
        let frame = t.next_frame().unwrap();
        assert_eq!(frame[0], 0x32);
        t.expect_silence();
    }
);

scenario!(
    a_lost_session_can_drop_what_was_not_acknowledged,
    [Version::V5],
    |c| { c.on_session_lost = SessionLost::Drop },
    |t| {
        t.connect();
        let token = t.publish("a", Qos::AtLeastOnce, b"x");
        t.next_frame();
        t.cut();
        t.connect();
        t.see(Seen::SessionLost { republished: 0, ended: 1 });
        t.done(token, "Dropped");
    }
);

// [M8]
scenario!(a_full_queue_hands_the_payload_back_and_tells_when_there_is_room, VERSIONS, |t| {
    t.connect();
    let mut accepted = 0u16;
    let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce);
    loop {
        match t.session.publish(&message, b"x"[..].into()) {
            Ok(_) => accepted += 1,
            Err(refused) => {
                assert_eq!(refused.reason, PublishError::QueueFull);
                assert_eq!(refused.payload.as_ref(), b"x");
                break;
            }
        }
    }
    assert_eq!(usize::from(accepted), common::OUT);
    t.see_nothing();
    t.send(Puback::new(id(1)));
    assert!(matches!(t.event(), Seen::Done { .. }));
    t.see(Seen::Unblocked);
    // Told once, and only after a refusal.
    t.send(Puback::new(id(2)));
    assert!(matches!(t.event(), Seen::Done { .. }));
    t.see_nothing();
});

// [M8]
scenario!(unblocked_waits_for_room_for_the_size_that_was_refused, VERSIONS, |t| {
    t.connect();
    let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce);
    t.publish("a", Qos::AtLeastOnce, &[0; 200]);
    t.publish("a", Qos::AtLeastOnce, &[0; 2500]);
    let refused = t.session.publish(&message, (&[0; 600][..]).into()).map_err(|refused| refused.reason);
    assert_eq!(refused, Err(PublishError::BytesFull));
    t.send(Puback::new(id(1)));
    assert!(matches!(t.event(), Seen::Done { .. }));
    t.see_nothing();
    t.send(Puback::new(id(2)));
    assert!(matches!(t.event(), Seen::Done { .. }));
    t.see(Seen::Unblocked);
});

scenario!(what_can_never_fit_is_refused_at_once, VERSIONS, |t| {
    let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce);
    let refused = t.session.publish(&message, (&[0; 4000][..]).into()).map_err(|refused| refused.reason);
    assert!(matches!(refused, Err(PublishError::TooLarge { needed: 4009, allowed: 3072 })), "{refused:?}");
    let long = "t".repeat(1020);
    let message = Message::new(TopicName::new(&long).unwrap());
    let refused = t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason);
    assert!(matches!(refused, Err(PublishError::TooLarge { allowed: 1024, .. })), "{refused:?}");
});

// [5.0 MQTT-3.2.2-9], [5.0 MQTT-3.2.2-11], [5.0 MQTT-3.2.2-14], [5.0 MQTT-3.2.2-15]
scenario!(s16_server_limits_are_kept_before_sending, |t| {
    t.connect_with(
        false,
        &[
            Property::MaximumQos(Qos::AtLeastOnce),
            Property::RetainAvailable(false),
            Property::MaximumPacketSize(20),
        ],
    );
    let refusal = |t: &mut common::Trace<S>, message: &Message<'_>, payload: &[u8]| {
        t.session.publish(message, payload.into()).map_err(|refused| refused.reason).unwrap_err()
    };
    let message = Message::new(TopicName::new("a").unwrap());
    // [MQTT-3.2.2-11]
    assert_eq!(
        refusal(t, &message.qos(Qos::ExactlyOnce), b"x"),
        PublishError::QosNotSupported(Qos::AtLeastOnce)
    );
    // [MQTT-3.2.2-14]
    assert_eq!(refusal(t, &message.retain(true), b"x"), PublishError::RetainNotSupported);
    // [MQTT-3.2.2-15]
    assert_eq!(
        refusal(t, &message.qos(Qos::AtLeastOnce), &[0; 13]),
        PublishError::TooLargeForServer { needed: 21, allowed: 20 }
    );
    t.publish("a", Qos::AtLeastOnce, &[0; 12]);
    assert_eq!(t.next_frame().unwrap().len(), 20);
    t.expect_silence();
});

// [5.0 MQTT-3.2.2-11], [5.0 MQTT-3.2.2-15], [S16]
scenario!(limits_that_come_with_a_later_connack_end_what_they_rule_out, |t| {
    t.options.clean_start = false;
    t.connect();
    let sent = t.publish("a", Qos::ExactlyOnce, b"1");
    t.next_frame();
    t.cut();
    let large = t.publish("a", Qos::AtMostOnce, &[7; 100]);
    let small = t.publish("a", Qos::AtLeastOnce, b"3");
    let _ = large;
    t.connect_with(true, &[Property::MaximumQos(Qos::AtLeastOnce), Property::MaximumPacketSize(50)]);
    t.done(sent, "Refused(QosNotSupported)");
    let frame = t.next_frame().unwrap();
    assert_eq!(frame[0], 0x32, "only the small one is sent");
    t.expect(Pubrel::new(id(1)));
    t.expect_silence();
    t.send(Puback::new(id(2)));
    t.done(small, "Acked(Success)");
});

scenario!(a_refused_resend_at_qos_2_ends_its_exchange_before_its_identifier_is_used_again, |t| {
    t.options.clean_start = false;
    t.connect();
    let sent = t.publish("a", Qos::ExactlyOnce, b"1");
    t.next_frame();
    t.cut();
    t.connect_with(true, &[Property::MaximumQos(Qos::AtLeastOnce)]);
    t.done(sent, "Refused(QosNotSupported)");
    t.expect(Pubrel::new(id(1)));
    for _ in 0..common::OUT as u16 - 1 {
        t.publish("a", Qos::AtLeastOnce, b"x");
        let frame = t.next_frame().unwrap();
        assert_ne!(frame[5..7], [0, 1], "identifier 1 is in use");
    }
    t.send(Pubcomp::with(id(1), ReasonCode::PacketIdentifierNotFound, Default::default()));
    t.see_nothing();
    assert_eq!(t.session.pending(), common::OUT as u32 - 1);
});

scenario!(cancel_works_until_a_byte_was_sent, VERSIONS, |t| {
    let token = t.publish("a", Qos::AtLeastOnce, b"1");
    assert!(t.session.cancel(token));
    t.done(token, "Cancelled");
    assert!(!t.session.cancel(token), "cancelled before");
    t.connect();
    let token = t.publish("a", Qos::AtLeastOnce, b"2");
    t.expect(publish("a", Qos::AtLeastOnce, 1, b"2"));
    assert!(!t.session.cancel(token));
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
});

scenario!(a_payload_larger_than_the_buffer_leaves_in_order_and_whole, VERSIONS, |t| {
    t.connect();
    t.publish("a", Qos::AtMostOnce, b"before");
    t.publish("b", Qos::AtLeastOnce, &[7; 2000]);
    t.publish("c", Qos::AtMostOnce, b"after");
    t.expect(publish("a", Qos::AtMostOnce, 0, b"before"));
    let large = t.next_frame().unwrap();
    assert_eq!(large.len(), 2000 + if t.version() == Version::V5 { 9 } else { 8 });
    assert!(large.ends_with(&[7; 2000]));
    t.expect(publish("c", Qos::AtMostOnce, 0, b"after"));
});

scenario!(the_tag_comes_back, VERSIONS, |t| {
    t.connect();
    let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce).tag(77);
    let _ = t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    t.drain();
    t.send(Puback::new(id(1)));
    assert!(matches!(t.event(), Seen::Done { tag: 77, .. }));
});

scenario!(
    qos_2_has_a_cap_of_its_own_where_the_server_cannot_announce_one,
    VERSIONS,
    |c| { c.max_in_flight_qos2_v3 = 2 },
    |t| {
        t.connect();
        for payload in [b"1", b"2", b"3"] {
            t.publish("a", Qos::ExactlyOnce, payload);
        }
        t.publish("a", Qos::AtLeastOnce, b"4");
        t.expect(publish("a", Qos::ExactlyOnce, 1, b"1"));
        t.expect(publish("a", Qos::ExactlyOnce, 2, b"2"));
        if t.version() != Version::V5 {
            t.expect_silence();
            t.send(Pubrec::new(id(1)));
            t.expect(Pubrel::new(id(1)));
            t.expect_silence();
            t.send(Pubcomp::new(id(1)));
        }
        t.expect(publish("a", Qos::ExactlyOnce, 3, b"3"));
        t.expect(publish("a", Qos::AtLeastOnce, 4, b"4"));
    }
);
