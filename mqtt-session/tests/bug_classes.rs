//! What a broken or hostile server does, by the name of the class of defect it provokes.

use crate::common;

use common::{Seen, VERSIONS, id};
use mqtt_session::proto::{
    Connack, Disconnect, Packet, PacketType, Pingresp, Properties, Property, Puback, Pubcomp, Publish,
    Pubrec, Pubrel, Qos, ReasonCode, ReasonCodes, Suback, Subscription, SubscriptionOptions, TopicFilter,
    TopicName, Unsuback, Version,
};
use mqtt_session::{Command, Config, LocalState, Outcome, Why};

fn accepted(session_present: bool) -> Connack<'static> {
    Connack { session_present, reason_code: ReasonCode::Success, properties: Default::default() }
}

// [3.1.1 MQTT-3.2.0-1], [5.0 MQTT-3.2.0-1]
scenario!(s01_a_packet_before_connack_ends_the_connection, VERSIONS, |t| {
    for bytes in [&[0x40, 0x02, 0x00, 0x01][..], &[0x30, 0x04, 0x00, 0x02, b'i', b'n'], &[0xD0, 0x00]] {
        t.open();
        t.events();
        t.send_bytes(bytes);
        let why = t.refuses(ReasonCode::ProtocolError);
        assert!(matches!(why, Why::Protocol(ReasonCode::ProtocolError, _)), "{why:?}");
    }
});

// M2: and it is judged by its first byte, not after 256 MiB.
scenario!(m02_a_huge_first_packet_is_refused_from_its_header, VERSIONS, |t| {
    t.open();
    t.events();
    t.send_bytes(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    t.expect_closing();
});

// [5.0 MQTT-3.2.0-2]
scenario!(s02_a_second_connack_ends_the_connection, VERSIONS, |t| {
    t.connect();
    t.send(accepted(false));
    t.refuses(ReasonCode::ProtocolError);
});

// [U-03]
scenario!(s03_packets_only_a_client_sends_end_the_connection, VERSIONS, |t| {
    for packet_type in
        [PacketType::Subscribe, PacketType::Unsubscribe, PacketType::Pingreq, PacketType::Connect]
    {
        t.connect();
        t.events();
        let bytes: &[u8] = match packet_type {
            PacketType::Pingreq => &[0xC0, 0x00],
            PacketType::Connect => b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
            PacketType::Subscribe => b"\x82\x06\x00\x01\x00\x01a\x00",
            _ => b"\xa2\x05\x00\x01\x00\x01a",
        };
        t.send_bytes(bytes);
        t.refuses(ReasonCode::ProtocolError);
    }
});

// [3.1.1 MQTT-3.2.2-1], [5.0 MQTT-3.2.2-2]
scenario!(s04_session_present_after_clean_start_ends_the_connection, [Version::V3_1_1, Version::V5], |t| {
    // Whatever the application knows of an earlier session.
    for known in [LocalState::None, LocalState::Held] {
        t.options.local_state = known;
        t.open();
        t.events();
        t.send(accepted(true));
        let why = t.refuses(ReasonCode::ProtocolError);
        assert_eq!(why, Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.2.2-2"));
    }
});

// [3.1.1 MQTT-3.2.2-3], [5.0 MQTT-3.2.2-4]
scenario!(s04_session_present_without_local_state_ends_the_connection, [Version::V3_1_1, Version::V5], |t| {
    t.options.clean_start = false;
    t.open();
    t.events();
    t.send(accepted(true));
    let why = t.refuses(ReasonCode::ProtocolError);
    assert_eq!(why, Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.2.2-4"));
});

// [3.1.1 MQTT-3.2.2-2], [5.0 MQTT-3.1.2-5], [5.0 MQTT-3.2.2-3]
scenario!(s04_session_present_with_state_of_an_earlier_run_is_taken, [Version::V3_1_1, Version::V5], |t| {
    t.options.clean_start = false;
    t.options.local_state = LocalState::Held;
    t.connect_with(true, &[]);
});

// [3.1.1 MQTT-3.2.2-4], [5.0 MQTT-3.2.2-6]
scenario!(s04_session_present_with_an_error_is_malformed, [Version::V3_1_1, Version::V5], |t| {
    t.open();
    t.events();
    let bytes: &[u8] =
        if t.version() == Version::V5 { &[0x20, 0x03, 0x01, 0x87, 0x00] } else { &[0x20, 0x02, 0x01, 0x05] };
    t.send_bytes(bytes);
    let why = t.expect_closing();
    assert!(matches!(why, Why::Malformed(_)), "not a refusal to be believed: {why:?}");
});

// [U-23], [U-25], [5.0 MQTT-4.3.3-11]
scenario!(s05_unsolicited_pubrel_is_answered, VERSIONS, |t| {
    t.connect();
    t.send(Pubrel::new(id(9)));
    let code =
        if t.version() == Version::V5 { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success };
    t.expect(Pubcomp::with(id(9), code, Default::default()));
    t.see(Seen::Anomaly(9));
    assert!(t.session.is_connected());
});

// [U-24], [U-25]
scenario!(s05_unsolicited_pubrec_is_answered, VERSIONS, |t| {
    t.connect();
    t.send(Pubrec::new(id(9)));
    let code =
        if t.version() == Version::V5 { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success };
    t.expect(Pubrel::with(id(9), code, Default::default()));
    t.see(Seen::Anomaly(9));
    assert!(t.session.is_connected());
});

// [U-35]
scenario!(s05_unsolicited_puback_and_pubcomp_are_counted_and_free_nothing, VERSIONS, |t| {
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"x");
    t.next_frame();
    t.send(Puback::new(id(9)));
    t.see(Seen::Anomaly(9));
    t.send(Pubcomp::new(id(1)));
    t.see(Seen::Anomaly(1));
    t.expect_silence();
    assert_eq!(t.session.stats().unexpected_acks, 2);
    assert_eq!(t.session.pending(), 1);
});

scenario!(s05_a_puback_for_a_qos_2_message_ends_it_as_violated_and_it_is_not_sent_again, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    t.next_frame();
    t.send(Puback::new(id(1)));
    t.done(token, "Violated");
    t.refuses(ReasonCode::ProtocolError);
    // The server may hold a half of the exchange: the next session is a new one.
    t.connect();
    t.expect_silence();
});

scenario!(
    s05_a_pubrec_for_a_qos_1_message_ends_the_connection_and_the_message_is_sent_again,
    VERSIONS,
    |t| {
        t.options.clean_start = false;
        t.connect();
        let token = t.publish("a", Qos::AtLeastOnce, b"x");
        t.next_frame();
        t.send(Pubrec::new(id(1)));
        t.refuses(ReasonCode::ProtocolError);
        t.resume();
        assert_eq!(t.next_frame().unwrap()[0], 0x3A);
        t.send(Puback::new(id(1)));
        t.done(token, "Acked(Success)");
    }
);

scenario!(a_duplicated_ack_does_not_complete_the_next_message, VERSIONS, |t| {
    t.connect();
    let first = t.publish("a", Qos::AtLeastOnce, b"1");
    t.next_frame();
    t.send(Puback::new(id(1)));
    t.done(first, "Acked(Success)");
    t.publish("a", Qos::AtLeastOnce, b"2");
    t.next_frame();
    t.send(Puback::new(id(1)));
    t.see(Seen::Anomaly(1));
    assert_eq!(t.session.pending(), 1);
});

scenario!(
    an_ack_that_comes_before_the_message_has_left_is_not_taken_for_its_answer,
    VERSIONS,
    |c| { c.max_in_flight = 1 },
    |t| {
        t.connect();
        let first = t.publish("a", Qos::AtLeastOnce, b"1");
        let second = t.publish("a", Qos::AtLeastOnce, b"2");
        t.next_frame();
        t.send(Puback::new(id(1)));
        t.done(first, "Acked(Success)");
        let third = t.publish("a", Qos::AtLeastOnce, b"3");
        t.drain();
        t.next_frame();
        t.writable = false;
        t.send(Puback::new(id(1)));
        t.done(second, "Acked(Success)");
        let frame = t.take(5);
        assert_eq!(frame[0] & 0xF0, 0x30, "the third message is on its way");
        t.send(Puback::new(id(1)));
        t.see(Seen::Anomaly(1));
        t.writable = true;
        t.drain();
        t.send(Puback::new(id(1)));
        t.done(third, "Acked(Success)");
    }
);

scenario!(a_repeated_pubrec_is_answered_again, VERSIONS, |t| {
    t.connect();
    t.publish("a", Qos::ExactlyOnce, b"1");
    t.next_frame();
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    assert_eq!(t.session.pending(), 1);
});

fn subscribe<S: mqtt_session::Storage>(t: &mut common::Trace<S>, filters: &[&str]) -> mqtt_session::Token {
    let list: Vec<Subscription<'_>> = filters
        .iter()
        .map(|filter| Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            options: SubscriptionOptions::new(Qos::AtLeastOnce),
        })
        .collect();
    let token = t.session.subscribe(&list, Default::default()).unwrap();
    let frame = t.next_frame().expect("SUBSCRIBE");
    assert_eq!(frame[0], 0x82);
    token
}

// [3.1.1 MQTT-3.9.3-1], [5.0 MQTT-3.9.3-1], [5.0 MQTT-3.11.3-1], [3.1.1 MQTT-3.8.3-2]
scenario!(subscriptions_are_granted_filter_by_filter, VERSIONS, |t| {
    t.connect();
    let token = subscribe(t, &["a/+", "b/#"]);
    let codes = [ReasonCode::GrantedQos1, ReasonCode::UnspecifiedError];
    t.send(Suback { packet_id: id(1), properties: Default::default(), codes: ReasonCodes::from(&codes[..]) });
    t.done(token, "Granted([GrantedQos1, UnspecifiedError])");
    let filter = [TopicFilter::new("a/+").unwrap()];
    let token = t.session.unsubscribe(&filter, Default::default()).unwrap();
    assert_eq!(t.next_frame().unwrap()[0], 0xA2);
    let codes: &[ReasonCode] =
        if t.version() == Version::V5 { &[ReasonCode::NoSubscriptionExisted] } else { &[] };
    t.send(Unsuback { packet_id: id(2), properties: Default::default(), codes: ReasonCodes::from(codes) });
    let want = if t.version() == Version::V5 { "Granted([NoSubscriptionExisted])" } else { "Granted([])" };
    t.done(token, want);
});

// [3.1.1 MQTT-3.8.4-5], [5.0 MQTT-3.8.4-6]
scenario!(s06_a_suback_with_the_wrong_number_of_codes_ends_the_connection, VERSIONS, |t| {
    for count in [1, 3] {
        t.connect();
        t.events();
        subscribe(t, &["a", "b"]);
        let codes = [ReasonCode::Success; 3];
        let packet_id = id(t.session.stats().connections as u16);
        t.send(Suback {
            packet_id,
            properties: Default::default(),
            codes: ReasonCodes::from(&codes[..count]),
        });
        t.see_nothing();
        t.refuses(ReasonCode::ProtocolError);
        t.session.stop(mqtt_session::Stop::now()).unwrap();
        t.events();
    }
});

// [3.1.1 MQTT-2.3.1-7], [5.0 MQTT-2.2.1-6], [3.1.1 MQTT-3.8.4-2], [5.0 MQTT-3.8.4-2], [U-35]
scenario!(s06_a_suback_for_an_unknown_identifier_ends_the_connection, VERSIONS, |t| {
    t.connect();
    let codes = [ReasonCode::Success];
    t.send(Suback { packet_id: id(5), properties: Default::default(), codes: ReasonCodes::from(&codes[..]) });
    t.refuses(ReasonCode::ProtocolError);
});

scenario!(s06_a_puback_never_completes_a_subscribe, VERSIONS, |t| {
    t.connect();
    subscribe(t, &["a"]);
    t.send(Puback::new(id(1)));
    t.see(Seen::Anomaly(1));
    assert_eq!(t.session.pending(), 1);
});

// [3.1.1 MQTT-2.3.1-2], [5.0 MQTT-2.2.1-3], [5.0 MQTT-4.3.2-1]
scenario!(
    s07_s08_identifiers_run_out_into_waiting_and_are_never_shared,
    VERSIONS,
    |c| { c.max_in_flight = 3 },
    |t| {
        t.connect();
        for round in 0..20u16 {
            for _ in 0..4 {
                t.publish("a", Qos::AtLeastOnce, b"x");
            }
            let mut held = Vec::new();
            while let Some(frame) = t.next_frame() {
                let packet = Packet::decode(&frame, t.version(), mqtt_session::proto::Peer::Client).unwrap();
                let Packet::Publish(Publish { packet_id: Some(id), .. }) = packet else {
                    panic!("{packet:?}")
                };
                assert!(!held.contains(&id), "round {round}: {id:?} is used twice");
                held.push(id);
                if held.len() == 3 {
                    t.expect_silence();
                    // The middle one is answered first.
                    t.send(Puback::new(held.remove(1)));
                }
            }
            for id in held {
                t.send(Puback::new(id));
            }
            t.events();
            assert_eq!(t.session.stats().in_flight, 0, "every identifier is free when nothing is open");
        }
    }
);

// [5.0 MQTT-4.13.2-1]
scenario!(a_disconnect_from_the_server_is_told_with_its_reason, |t| {
    for (bytes, code) in [
        (&[0xE0, 0x00][..], ReasonCode::Success),
        (&[0xE0, 0x01, 0x8B], ReasonCode::ServerShuttingDown),
        (&[0xE0, 0x02, 0x97, 0x00], ReasonCode::QuotaExceeded),
    ] {
        t.connect();
        t.events();
        t.send_bytes(bytes);
        t.expect_silence();
        assert_eq!(t.closes_somehow(), Why::ServerDisconnected(code));
        t.events();
    }
});

// [5.0 MQTT-3.1.4-3]
scenario!(a_client_taken_over_stops_and_says_so, |t| {
    t.connect();
    t.send(Disconnect { reason_code: ReasonCode::SessionTakenOver, properties: Default::default() });
    assert_eq!(t.command(), Some(Command::Close));
    t.close(mqtt_session::Closed::Carried);
    t.see(Seen::Disconnected { why: Why::ServerDisconnected(ReasonCode::SessionTakenOver), retry: None });
    t.see(Seen::Stopped { left: 0 });
    assert_eq!(t.command(), None);
    assert_eq!(t.session.poll_timeout(), None);
});

scenario!(a_take_over_by_a_late_connect_of_its_own_is_tried_again_once, |t| {
    t.options.clean_start = false;
    t.connect();
    t.cut();
    t.resume();
    t.events();
    // The CONNECT of the broken connection reaches the server only now.
    t.send(Disconnect { reason_code: ReasonCode::SessionTakenOver, properties: Default::default() });
    assert_eq!(t.closes_somehow(), Why::ServerDisconnected(ReasonCode::SessionTakenOver));
    t.resume();
    t.events();
    t.send(Disconnect { reason_code: ReasonCode::SessionTakenOver, properties: Default::default() });
    t.closes_somehow();
    assert!(matches!(t.events().last(), Some(Seen::Stopped { .. })), "a second time it is somebody else");
});

scenario!(
    s04_a_session_made_by_a_connect_whose_connack_was_lost_is_its_own,
    [Version::V3_1_1, Version::V5],
    |t| {
        t.options.clean_start = false;
        t.open();
        t.cut();
        t.events();
        t.connect_with(true, &[]);
    }
);

scenario!(a12_a_half_received_packet_does_not_survive_the_connection, VERSIONS, |t| {
    t.connect();
    t.send_bytes(&[0x30, 0x10, 0x00]);
    t.cut();
    t.connect();
    t.events();
    t.send(Publish::new(TopicName::new("in").unwrap(), b"whole"));
    assert!(matches!(t.event(), Seen::Message { payload, .. } if payload == b"whole"));
});

scenario!(a_pingresp_nobody_asked_for_is_harmless, VERSIONS, |t| {
    t.connect();
    t.send(Packet::Pingresp(Pingresp));
    t.see_nothing();
    assert!(t.session.is_connected());
});

#[test]
fn events_that_are_kept_stay_small() {
    // An event is returned by value for every message.
    assert!(size_of::<mqtt_session::Event<'_>>() <= 128, "{}", size_of::<mqtt_session::Event<'_>>());
    assert!(size_of::<Outcome<'_>>() <= 32);
    assert!(size_of::<Config>() <= 256);
}

scenario!(
    /// Reasons the application did not ask for end the connection; with DISCONNECT they may always come.
    /// [5.0 MQTT-3.1.2-29]
    reasons_come_only_where_they_were_asked_for, [Version::V5], |t| {
    for unasked in [Property::ReasonString("why"), Property::UserProperty("k", "v")] {
        let list = [unasked];
        for asked in [true, false] {
            t.options.properties = if asked { Properties::EMPTY } else { NO_REASONS };
            t.connect();
            t.publish("t", Qos::AtLeastOnce, b"m");
            let frame = t.next_frame().expect("PUBLISH");
            let packet_id = id(u16::from_be_bytes([frame[5], frame[6]]));
            t.send(Puback::with(packet_id, ReasonCode::QuotaExceeded, Properties::List(&list)));
            if asked {
                assert!(matches!(t.event(), Seen::Done { .. }));
            } else {
                let why = t.refuses(ReasonCode::ProtocolError);
                assert_eq!(why, Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.1.2-29"));
                t.connect();
                let frame = t.next_frame().expect("PUBLISH");
                t.send(Puback::new(id(u16::from_be_bytes([frame[5], frame[6]]))));
            }
            t.send(Disconnect { reason_code: ReasonCode::ServerBusy, properties: Properties::List(&list) });
            assert_eq!(t.closes_somehow(), Why::ServerDisconnected(ReasonCode::ServerBusy));
        }
    }
});

const NO_REASONS: Properties<'static> = Properties::List(&[Property::RequestProblemInformation(false)]);

#[test]
fn m07_a_flood_of_tiny_packets_costs_neither_memory_nor_more_than_its_bytes() {
    let mut t = common::Trace::heap(common::config(), usize::MAX);
    t.connect();
    t.events();
    // 10,000 PINGRESPs, then 10,000 empty messages: in one read, more than any driver gives at a time.
    let pings = [0xD0, 0x00].repeat(10_000);
    let messages = [0x30, 0x04, 0x00, 0x01, b'a', 0x00].repeat(10_000);
    let mut told = 0u32;
    let info = allocation_counter::measure(|| {
        let mut input = &pings[..];
        assert!(t.session.receive(&mut input, t.now).is_none());
        assert!(input.is_empty());
        // Each call tells one message and leaves the rest: the caller can stop wherever it wants.
        let mut input = &messages[..];
        while t.session.receive(&mut input, t.now).is_some() {
            told += 1;
            assert_eq!(input.len(), messages.len() - 6 * told as usize);
        }
    });
    assert_eq!((told, info.count_total), (10_000, 0));
    t.expect_silence();
    assert!(t.session.is_connected());
    assert_eq!(t.session.stats().bytes_kept, 0);
}
