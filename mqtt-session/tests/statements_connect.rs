//! Statements of the standards about connections: what is sent, what is taken, and when it ends.

use crate::common;

use core::time::Duration;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Connack, Disconnect, Packet, Pingreq, Pingresp, Properties, Property, Puback, Pubcomp, Publish, Pubrec,
    Pubrel, Qos, ReasonCode, TopicName, Version,
};
use mqtt_session::{Closed, Command, ConnectOptions, Message, PublishError, StartError, Stop, Storage, Why};

/// The types of the packets that were sent.
fn kinds<S: Storage>(t: &mut Trace<S>) -> Vec<u8> {
    core::iter::from_fn(|| t.next_frame()).map(|frame| frame[0] >> 4).collect()
}

fn inbound(qos: Qos, packet_id: u16) -> Publish<'static> {
    Publish {
        qos,
        packet_id: (qos != Qos::AtMostOnce).then(|| id(packet_id)),
        ..Publish::new(TopicName::new("in").unwrap(), b"x")
    }
}

fn refusal(code: ReasonCode) -> Connack<'static> {
    Connack { session_present: false, reason_code: code, properties: Default::default() }
}

/// The server's answer to CONNECT ends the attempt for good, and is told as what it is.
fn ends_for_good<S: Storage>(t: &mut Trace<S>, code: ReasonCode) {
    t.open();
    t.events();
    t.send(refusal(code));
    t.expect_silence();
    assert_eq!(t.command(), Some(Command::Close));
    t.close(Closed::Carried);
    t.see(Seen::Disconnected { why: Why::Refused(code), retry: None });
    t.see(Seen::Stopped { left: 0 });
    t.expect_silence();
    assert_eq!((t.command(), t.session.poll_timeout()), (None, None));
}

// [3.1.1 MQTT-3.1.0-1], [5.0 MQTT-3.1.0-1], [3.1.1 MQTT-3.1.0-2], [5.0 MQTT-3.1.0-2], [3.1.1 MQTT-3.1.4-5],
// [5.0 MQTT-3.1.4-6], [3.1.1 MQTT-3.1.4-4], [5.0 MQTT-3.1.4-5]
scenario!(connect_comes_first_and_once_and_nothing_follows_it_before_connack, VERSIONS, |t| {
    t.publish("a", Qos::AtLeastOnce, b"queued");
    for round in 0..3 {
        let connect = t.open();
        assert_eq!(connect[0], 0x10);
        t.publish("a", Qos::AtMostOnce, b"early");
        let options = t.options;
        t.session.opened(&options, t.now);
        t.session.check_link();
        t.after(Duration::from_secs(5));
        t.expect_silence();
        t.events();
        t.connect_accepted();
        assert!(matches!(t.event(), Seen::Connected { .. }));
        assert!(t.session.is_connected());
        t.session.opened(&options, t.now);
        let sent = kinds(t);
        assert!(sent.contains(&3) && !sent.contains(&1), "round {round}: {sent:?}");
        t.cut();
    }
});

// [3.1.1 MQTT-3.1.4-5], [5.0 MQTT-3.1.4-6]
scenario!(after_a_refusal_nothing_is_sent_and_what_was_queued_is_kept, VERSIONS, |t| {
    let token = t.publish("a", Qos::AtLeastOnce, b"queued");
    t.open();
    t.events();
    t.send(refusal(ReasonCode::ServerUnavailable));
    t.expect_silence();
    assert_eq!(t.closes_somehow(), Why::Refused(ReasonCode::ServerUnavailable));
    t.connect();
    assert_eq!(kinds(t), [3]);
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
});

// [3.1.1 MQTT-3.2.2-6]
scenario!(a_close_without_connack_is_a_failed_attempt_and_no_success, VERSIONS, |t| {
    t.open();
    t.events();
    t.close(Closed::Ended);
    assert!(matches!(t.event(), Seen::Disconnected { why: Why::PeerClosed, retry: Some(_) }));
    assert!(!t.session.is_connected());
    assert_eq!(t.session.stats().connections, 0);
});

// [3.1.1 MQTT-3.1.2-2], [5.0 MQTT-3.1.2-2]
scenario!(an_unsupported_version_is_an_error_of_its_own, VERSIONS, |t| {
    ends_for_good(t, ReasonCode::UnsupportedProtocolVersion);
});

// [3.1.1 MQTT-3.1.3-8], [3.1.1 MQTT-3.1.3-9], [5.0 MQTT-3.1.3-8]
scenario!(a_rejected_client_identifier_is_an_error_of_its_own, VERSIONS, |t| {
    ends_for_good(t, ReasonCode::ClientIdentifierNotValid);
});

// [5.0 MQTT-3.2.2-12], [5.0 MQTT-3.2.2-13]
scenario!(a_will_the_server_cannot_keep_is_told_and_not_tried_again, |t| {
    for code in [ReasonCode::QosNotSupported, ReasonCode::RetainNotSupported] {
        ends_for_good(t, code);
    }
});

// [3.1.1 MQTT-3.1.3-7]
scenario!(an_empty_client_identifier_needs_a_clean_session, [Version::V3_1_1], |t| {
    let options = ConnectOptions { clean_start: false, client_id: "", ..t.options };
    assert!(matches!(t.session.start(&options), Err(StartError::Invalid(_))));
});

// [3.1.1 MQTT-3.1.3-6]
scenario!(an_empty_client_identifier_leaves_the_choice_to_the_server, [Version::V3_1_1], |t| {
    t.options.client_id = "";
    let connect = t.open();
    assert_eq!(connect[12..14], [0, 0], "an empty client identifier");
    t.connect_accepted();
    assert!(t.session.is_connected());
});

/// One exchange each way is left open.
fn leave_exchanges_open<S: Storage>(t: &mut Trace<S>) {
    t.publish("a", Qos::AtLeastOnce, b"1");
    t.publish("a", Qos::ExactlyOnce, b"2");
    assert_eq!(kinds(t), [3, 3]);
    t.send(Pubrec::new(id(2)));
    t.expect(Pubrel::new(id(2)));
    t.send(inbound(Qos::ExactlyOnce, 7));
    t.expect(Pubrec::new(id(7)));
    t.events();
}

// [3.1.1 MQTT-3.1.2-4], [5.0 MQTT-3.1.2-23], [5.0 MQTT-3.1.2-5], [3.1.1 MQTT-4.1.0-1], [5.0 MQTT-4.1.0-1],
// [3.1.1 MQTT-4.1.0-2], [3.1.1 MQTT-3.2.2-2], [5.0 MQTT-3.2.2-3]
scenario!(a_kept_session_goes_on_with_its_exchanges, VERSIONS, |t| {
    t.options.clean_start = false;
    if t.version() == Version::V5 {
        t.options.session_expiry = 60;
    }
    t.connect();
    leave_exchanges_open(t);
    // While the connection is up, no time takes anything of it away.
    t.options.keep_alive = 0;
    for _ in 0..3 {
        t.cut();
        let version = t.version();
        let connect = t.open();
        let flags = connect[if version == Version::V3_1 { 11 } else { 9 }];
        assert_eq!(flags & 2, 0, "it asks for the session it has");
        t.send(Connack { session_present: version != Version::V3_1, ..refusal(ReasonCode::Success) });
        t.expect(Pubrel::new(id(2)));
        assert_eq!(t.next_frame().unwrap()[0], 0x3A, "PUBLISH, at QoS 1, again");
        t.events();
        t.send(Publish { dup: true, ..inbound(Qos::ExactlyOnce, 7) });
        t.expect(Pubrec::new(id(7)));
        t.see_nothing();
    }
});

// [3.1.1 MQTT-3.1.2-6], [5.0 MQTT-3.1.2-4], [5.0 MQTT-3.2.2-5]
scenario!(a_clean_session_knows_nothing_of_the_one_before, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    leave_exchanges_open(t);
    t.session.stop(Stop::now()).unwrap();
    t.drain();
    assert_eq!(t.command(), Some(Command::Close));
    t.close(Closed::Carried);
    t.events();
    t.options.clean_start = true;
    let connect = t.open();
    assert_eq!(connect[if t.version() == Version::V3_1 { 11 } else { 9 }] & 2, 2, "clean");
    t.connect_accepted();
    t.events();
    t.expect_silence();
    assert_eq!((t.session.pending(), t.session.stats().in_flight), (0, 0));
    t.send(inbound(Qos::ExactlyOnce, 7));
    assert!(matches!(t.event(), Seen::Message { .. }), "a new message, not the one before");
});

// [3.1.1 MQTT-3.1.2-5]
scenario!(what_the_server_queued_while_the_client_was_away_is_taken_and_acknowledged, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.cut();
    t.resume();
    t.events();
    t.send(inbound(Qos::AtLeastOnce, 1));
    t.send(inbound(Qos::ExactlyOnce, 2));
    t.expect(Puback::new(id(1)));
    t.expect(Pubrec::new(id(2)));
    assert_eq!(t.events().iter().filter(|seen| matches!(seen, Seen::Message { .. })).count(), 2);
});

// [3.1.1 MQTT-3.1.2-24], [5.0 MQTT-3.1.2-22], [3.1.1 MQTT-3.1.2-23], [5.0 MQTT-3.1.2-20]
scenario!(the_server_never_has_a_reason_to_close_for_silence, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    // Whatever the server does, and whatever it sends: some byte leaves in every interval.
    let mut last = t.now;
    for second in 0..200u32 {
        t.after(Duration::from_secs(1));
        if second % 3 == 0 {
            t.send(inbound(Qos::AtMostOnce, 0));
        }
        while let Some(frame) = t.next_frame() {
            last = t.now;
            if frame[0] == 0xC0 {
                t.send(Pingresp);
            }
        }
        assert!(t.now.since(last) <= Duration::from_secs(10), "silent since {last:?}");
    }
    assert!(t.session.is_connected());
    // A server that closes all the same is tried again.
    t.events();
    t.close(Closed::Ended);
    assert!(matches!(t.event(), Seen::Disconnected { why: Why::PeerClosed, retry: Some(_) }));
});

// [5.0 MQTT-3.1.2-28]
scenario!(response_information_comes_only_where_it_was_asked_for, |t| {
    const ASK: Properties<'static> = Properties::List(&[Property::RequestResponseInformation(true)]);
    const DO_NOT: Properties<'static> = Properties::List(&[Property::RequestResponseInformation(false)]);
    let list = [Property::ResponseInformation("clients/7")];
    for asked in [ASK, Properties::EMPTY, DO_NOT] {
        t.options.properties = asked;
        t.open();
        t.events();
        t.send(Connack { properties: Properties::List(&list), ..refusal(ReasonCode::Success) });
        if asked == ASK {
            assert!(matches!(t.event(), Seen::Connected { .. }));
            t.cut();
        } else {
            let why = t.refuses(ReasonCode::ProtocolError);
            assert_eq!(why, Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.1.2-28"));
        }
    }
});

// [5.0 MQTT-3.14.0-1]
scenario!(a_disconnect_before_connack_is_a_protocol_error, |t| {
    t.open();
    t.events();
    t.send_bytes(&[0xE0, 0x02, 0x8B, 0x00]);
    let why = t.refuses(ReasonCode::ProtocolError);
    assert_eq!(why, Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.14.0-1"));
});

// [5.0 MQTT-3.14.2-2], [U-32]
scenario!(a_session_expiry_in_the_servers_disconnect_is_refused, |t| {
    t.connect();
    t.send_bytes(&[0xE0, 0x07, 0x00, 0x05, 0x11, 0, 0, 0, 9]);
    let why = t.refuses(ReasonCode::ProtocolError);
    assert!(matches!(why, Why::Malformed(_)), "{why:?}");
});

// [U-39], [U-32]
scenario!(a_reason_that_only_a_client_may_give_is_refused, |t| {
    t.connect();
    t.send_bytes(&[0xE0, 0x02, 0x04, 0x00]);
    t.drain();
    assert!(matches!(t.refuses(ReasonCode::ProtocolError), Why::Malformed(_)));
});

// [3.1.1 MQTT-2.2.2-2], [3.1.1 MQTT-4.8.0-1], [U-32]
scenario!(reserved_flags_that_are_wrong_end_the_connection, [Version::V3_1_1, Version::V5], |t| {
    for bytes in [&[0x41, 2, 0, 1][..], &[0x60, 2, 0, 1], &[0xD1, 0], &[0x9F, 3, 0, 1, 0]] {
        t.connect();
        t.events();
        t.send_bytes(bytes);
        assert!(matches!(t.refuses(ReasonCode::MalformedPacket), Why::Malformed(_)), "{bytes:02x?}");
    }
});

// [3.1.1 MQTT-2.3.1-1], [5.0 MQTT-2.2.1-4]
scenario!(packet_identifier_0_ends_the_connection, VERSIONS, |t| {
    for bytes in [&[0x32, 5, 0, 1, b'a', 0, 0][..], &[0x34, 5, 0, 1, b'a', 0, 0], &[0x40, 2, 0, 0]] {
        let with_properties = [bytes, &[0][..]].concat();
        t.connect();
        t.events();
        if t.version() == Version::V5 && bytes[0] >> 4 == 3 {
            t.send_bytes(&[&[bytes[0], 6], &with_properties[2..]].concat());
        } else {
            t.send_bytes(bytes);
        }
        t.see_nothing();
        let why = t.expect_closing();
        assert!(matches!(why, Why::Malformed(_)), "{why:?}");
    }
});

// [3.1.1 MQTT-3.14.4-1], [5.0 MQTT-3.14.4-2], [3.1.1 MQTT-3.14.4-2], [5.0 MQTT-3.14.4-1]
scenario!(after_disconnect_nothing_is_sent_and_the_connection_is_closed, VERSIONS, |t| {
    t.options.keep_alive = 1;
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"x");
    t.next_frame();
    t.session.stop(Stop::now()).unwrap();
    t.writable = false;
    let message = Message::new(TopicName::new("a").unwrap());
    let refused = t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason);
    assert_eq!(refused, Err(PublishError::Stopping));
    t.session.check_link();
    t.send(inbound(Qos::AtLeastOnce, 1));
    t.send(Puback::new(id(1)));
    t.writable = true;
    t.expect(Disconnect { reason_code: ReasonCode::Success, properties: Default::default() });
    t.after(Duration::from_millis(900));
    t.expect_silence();
    assert_eq!(t.command(), Some(Command::Close));
    t.after(Duration::from_secs(10));
    t.expect_silence();
});

// [5.0 MQTT-3.14.4-1], [5.0 MQTT-4.13.2-1]
scenario!(after_the_servers_disconnect_nothing_is_sent, |t| {
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"x");
    t.next_frame();
    t.send(Disconnect { reason_code: ReasonCode::ServerShuttingDown, properties: Default::default() });
    t.publish("a", Qos::AtMostOnce, b"y");
    t.session.check_link();
    t.expect_silence();
    assert_eq!(t.closes_somehow(), Why::ServerDisconnected(ReasonCode::ServerShuttingDown));
});

// [5.0 MQTT-3.14.2-3], [5.0 MQTT-3.14.2-4]
scenario!(explanations_that_do_not_fit_the_server_are_left_out_of_disconnect, |t| {
    for property in [Property::ReasonString("a long farewell"), Property::UserProperty("a long", "farewell")]
    {
        t.connect_with(false, &[Property::MaximumPacketSize(20)]);
        let list = [property];
        t.session.stop(Stop::now().properties(Properties::List(&list))).unwrap();
        t.expect(Disconnect { reason_code: ReasonCode::Success, properties: Default::default() });
        assert_eq!(t.command(), Some(Command::Close));
        t.close(Closed::Carried);
        t.events();
    }
});

// [3.1.1 MQTT-4.8.0-2], [U-32]
scenario!(a_packet_that_cannot_be_taken_for_want_of_room_ends_the_connection, VERSIONS, |t| {
    t.connect();
    let payload = vec![0; 600];
    t.send(Publish::new(TopicName::new("in").unwrap(), &payload));
    t.see_nothing();
    t.refuses(ReasonCode::PacketTooLarge);
});

scenario!(s13_a_session_the_server_forgets_again_and_again_still_makes_progress, VERSIONS, |t| {
    t.options.clean_start = false;
    let mut open: Vec<_> = (0..5).map(|_| t.publish("a", Qos::ExactlyOnce, b"x")).collect();
    // Each connection lasts for one step of one exchange, and every second time the session is lost.
    for round in 0..60 {
        let present = round % 2 == 1 && t.version() != Version::V3_1;
        t.options.clean_start = round % 2 == 0 && t.version() == Version::V3_1;
        t.connect_with(present, &[]);
        while let Some(frame) = t.next_frame() {
            let packet = Packet::decode(&frame, t.version(), mqtt_session::proto::Peer::Client).unwrap();
            match packet {
                Packet::Publish(publish) => t.send(Pubrec::new(publish.packet_id.unwrap())),
                Packet::Pubrel(ack) => t.send(Pubcomp::new(ack.packet_id)),
                other => panic!("{other:?}"),
            }
            if round < 40 {
                break;
            }
        }
        for seen in t.events() {
            if let Seen::Done { token, .. } = seen {
                open.retain(|other| *other != token);
            }
        }
        if open.is_empty() {
            break;
        }
        t.cut();
    }
    assert_eq!(open, [], "every accepted message ends");
    assert_eq!(t.session.pending(), 0);
});

scenario!(a04_a_link_can_be_asked_for_a_sign_of_life_after_a_suspend, VERSIONS, |t| {
    t.options.keep_alive = 600;
    t.connect();
    t.session.check_link();
    t.expect(Pingreq);
    t.after(Duration::from_secs(10));
    assert_eq!(t.closes_somehow(), Why::PingTimeout);
    // An answer in time keeps it, and no further ping is due before the interval is over.
    t.connect();
    t.session.check_link();
    t.expect(Pingreq);
    t.after(Duration::from_secs(5));
    t.send(Pingresp);
    t.after(Duration::from_secs(300));
    t.expect_silence();
    assert!(t.session.is_connected());
});
