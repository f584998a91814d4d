//! The life of a connection: dialling, deadlines, trying again, stopping.

use crate::common;

use core::time::Duration;

use common::{Seen, VERSIONS, id};
use mqtt_session::proto::{
    Connack, Connect, Disconnect, Packet, Peer, Pingreq, Pingresp, Properties, Property, Puback, Publish,
    Qos, ReasonCode, TopicName, Version, Will,
};
use mqtt_session::{
    Closed, Command, ConnectOptions, Instant, PublishError, ServerOrder, StartError, Stop, Why,
};

fn connect_packet(frame: &[u8], version: Version) -> Connect<'_> {
    match Packet::decode(frame, version, Peer::Client).unwrap() {
        Packet::Connect(connect) => connect,
        other => panic!("{other:?}"),
    }
}

scenario!(connect_says_what_was_asked_for, VERSIONS, |t| {
    t.options = ConnectOptions {
        version: t.version(),
        keep_alive: 30,
        username: Some("user"),
        password: Some(b"secret"),
        will: Some(Will {
            topic: TopicName::new("will").unwrap(),
            payload: b"gone",
            qos: Qos::AtLeastOnce,
            retain: true,
            properties: Properties::EMPTY,
        }),
        properties: Properties::List(&[Property::UserProperty("a", "b")]),
        ..ConnectOptions::new("lamp")
    };
    let frame = t.open();
    let connect = connect_packet(&frame, t.version());
    assert_eq!((connect.version, connect.client_id, connect.keep_alive), (t.version(), "lamp", 30));
    assert_eq!((connect.username, connect.password), (Some("user"), Some(&b"secret"[..])));
    assert!(connect.clean_start);
    assert_eq!(connect.will.unwrap().payload, b"gone");
    if t.version() == Version::V5 {
        assert_eq!(connect.properties.receive_maximum(), Some(common::IN as u16));
        assert_eq!(connect.properties.maximum_packet_size(), Some(512));
        assert_eq!(connect.properties.user_properties().collect::<Vec<_>>(), [("a", "b")]);
    }
});

scenario!(later_connections_resume_where_the_session_outlives_one, VERSIONS, |t| {
    t.connect();
    t.cut();
    let version = t.version();
    let frame = t.open();
    assert_eq!(connect_packet(&frame, version).clean_start, version != Version::V5);
});

scenario!(credentials_may_change_between_attempts, VERSIONS, |t| {
    t.options.username = Some("user");
    t.options.password = Some(b"old");
    t.open();
    t.cut();
    t.options.password = Some(b"new");
    let frame = t.open();
    assert_eq!(connect_packet(&frame, t.version()).password, Some(&b"new"[..]));
});

scenario!(dialling_has_a_deadline, VERSIONS, |t| {
    t.session.start(&t.options).unwrap();
    t.see(Seen::Connecting { attempt: 1, server: 0 });
    assert_eq!(t.command(), Some(Command::Open { attempt: 1, server: 0 }));
    t.after(Duration::from_millis(29_999));
    assert_eq!(t.command(), None);
    t.after(Duration::from_millis(2));
    assert_eq!(t.closes_somehow(), Why::DialTimeout);
});

// [U-29]
scenario!(connack_has_a_deadline, VERSIONS, |t| {
    t.open();
    t.after(Duration::from_millis(9_999));
    assert_eq!(t.command(), None);
    t.after(Duration::from_millis(2));
    assert_eq!(t.closes_somehow(), Why::HandshakeTimeout);
});

// [3.1.1 MQTT-3.2.2-5], [5.0 MQTT-3.2.2-7], [5.0 MQTT-4.13.2-1]
scenario!(a_refusal_that_will_not_change_stops_and_says_why, VERSIONS, |t| {
    t.open();
    t.events();
    t.send(Connack {
        session_present: false,
        reason_code: ReasonCode::BadUserNameOrPassword,
        properties: Default::default(),
    });
    assert_eq!(t.command(), Some(Command::Close));
    t.close(Closed::Carried);
    t.see(Seen::Disconnected { why: Why::Refused(ReasonCode::BadUserNameOrPassword), retry: None });
    t.see(Seen::Stopped { left: 0 });
    assert_eq!(t.session.poll_timeout(), None);
});

// [5.0 MQTT-3.1.2-2]
scenario!(a_3_1_1_refusal_of_5_0_says_that_the_version_is_not_spoken, |t| {
    t.open();
    t.events();
    t.send_bytes(&[0x20, 0x02, 0x00, 0x01]);
    assert_eq!(t.closes_somehow(), Why::VersionRefused);
});

scenario!(a_busy_server_is_tried_again, VERSIONS, |t| {
    t.open();
    t.send(Connack {
        session_present: false,
        reason_code: ReasonCode::ServerUnavailable,
        properties: Default::default(),
    });
    t.closes_somehow();
    t.open();
});

scenario!(a06_attempts_come_at_growing_random_deadlines, VERSIONS, |t| {
    t.session.start(&t.options).unwrap();
    let mut longest = Duration::ZERO;
    for attempt in 1..12 {
        t.see(Seen::Connecting { attempt, server: 0 });
        assert_eq!(t.command(), Some(Command::Open { attempt, server: 0 }));
        t.close(Closed::DialFailed);
        let Seen::Disconnected { why: Why::DialFailed, retry: Some(delay) } = t.event() else { panic!() };
        assert!(delay <= Duration::from_secs(1 << (attempt - 1).min(10)).min(Duration::from_secs(60)));
        longest = longest.max(delay);
        assert_eq!(t.command(), None, "not before the deadline");
        t.after(delay);
    }
    assert!(longest > Duration::from_secs(10));
});

// [3.1.1 MQTT-3.1.4-2]
scenario!(a07_the_backoff_resets_only_after_a_healthy_time, VERSIONS, |t| {
    for _ in 0..3 {
        t.connect();
        t.after(Duration::from_secs(9));
        t.cut();
    }
    t.events();
    t.after_backoff();
    t.see(Seen::Connecting { attempt: 4, server: 0 });
    t.connect();
    t.after(Duration::from_secs(10));
    t.cut();
    t.events();
    t.after_backoff();
    t.see(Seen::Connecting { attempt: 1, server: 0 });
});

scenario!(attempts_may_have_a_limit, VERSIONS, |c| { c.backoff.attempts = Some(2) }, |t| {
    t.session.start(&t.options).unwrap();
    let token = t.publish("a", Qos::AtLeastOnce, b"kept");
    t.drain();
    t.command();
    t.close(Closed::DialFailed);
    t.after_backoff();
    t.events();
    t.close(Closed::DialFailed);
    t.see(Seen::Disconnected { why: Why::DialFailed, retry: None });
    t.see(Seen::Stopped { left: 1 });
    assert!(t.session.cancel(token), "it stays queued for the next start");
    t.session.start(&t.options).unwrap();
});

scenario!(servers_are_tried_in_turn, VERSIONS, |c| { c.servers = 3 }, |t| {
    t.session.start(&t.options).unwrap();
    for server in [0, 1, 2, 0] {
        t.drain();
        t.events();
        assert!(matches!(t.command(), Some(Command::Open { server: named, .. }) if named == server));
        t.close(Closed::DialFailed);
        t.after_backoff();
    }
});

// [3.1.1 MQTT-3.1.2-23], [5.0 MQTT-3.1.2-20]
scenario!(keep_alive_pings_when_nothing_is_sent_or_received, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    t.after(Duration::from_millis(9_999));
    t.expect_silence();
    t.after(Duration::from_millis(1));
    t.expect(Pingreq);
    t.send(Pingresp);
    // Sending alone does not keep a link alive that may be half open.
    for _ in 0..10 {
        t.after(Duration::from_secs(1));
        t.publish("a", Qos::AtMostOnce, b"x");
    }
    let mut pings = 0;
    while let Some(frame) = t.next_frame() {
        pings += usize::from(frame[0] == 0xC0);
    }
    assert_eq!(pings, 1);
    t.send(Pingresp);
    // Receiving alone does not either: the server wants to hear.
    for _ in 0..10 {
        t.after(Duration::from_secs(1));
        t.send(Publish::new(TopicName::new("in").unwrap(), b"x"));
    }
    t.expect(Pingreq);
});

// [3.1.1 MQTT-3.12.4-1], [5.0 MQTT-3.12.4-1], [U-28]
scenario!(a02_a_half_open_link_is_found_within_one_and_a_half_intervals, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    t.after(Duration::from_secs(10));
    t.expect(Pingreq);
    t.after(Duration::from_millis(4_999));
    assert_eq!(t.command(), None);
    t.after(Duration::from_millis(1));
    assert_eq!(t.closes_somehow(), Why::PingTimeout);
});

scenario!(a02_the_deadline_runs_although_the_ping_cannot_leave, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    t.writable = false;
    t.after(Duration::from_secs(15));
    assert_eq!(t.closes_somehow(), Why::PingTimeout);
});

// [A2], [U-28]
scenario!(a02_a_link_that_falls_silent_behind_a_blocked_transport_is_found, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    t.writable = false;
    t.after(Duration::from_secs(10)); // PINGREQ is owed, and cannot leave
    t.send(Publish::new(TopicName::new("in").unwrap(), b"the last word"));
    t.after(Duration::from_millis(14_999));
    assert_eq!(t.command(), None);
    t.after(Duration::from_millis(1));
    assert_eq!(t.closes_somehow(), Why::PingTimeout);
});

scenario!(one_ping_is_enough_for_both_directions, VERSIONS, |t| {
    t.options.keep_alive = 1;
    t.connect();
    t.writable = false;
    t.after(Duration::from_millis(1_200));
    t.send(Publish::new(TopicName::new("in").unwrap(), b"x"));
    t.after(Duration::from_secs(1));
    t.publish("a", Qos::AtLeastOnce, b"x");
    t.writable = true;
    t.expect(Pingreq);
    assert_eq!(t.next_frame().unwrap()[0], 0x32);
    t.expect_silence();
});

scenario!(one_ping_is_handed_out_however_long_the_transport_is_stuck, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    t.session.hold_input(true);
    t.writable = false;
    t.after(Duration::from_secs(11));
    for _ in 0..5 {
        assert_eq!(t.session.outgoing(t.now).chunk(), [0xC0, 0x00]);
    }
});

// [5.0 MQTT-3.1.2-21], [5.0 MQTT-3.2.2-21]
scenario!(the_servers_keep_alive_counts, |t| {
    t.options.keep_alive = 100;
    t.connect_with(false, &[Property::ServerKeepAlive(5)]);
    t.after(Duration::from_secs(5));
    t.expect(Pingreq);
});

scenario!(keep_alive_zero_is_silent, VERSIONS, |t| {
    t.options.keep_alive = 0;
    t.connect();
    t.after(Duration::from_secs(100_000));
    t.expect_silence();
    assert_eq!(t.session.poll_timeout(), None);
    t.session.check_link();
    t.expect(Pingreq);
    t.after(Duration::from_secs(10));
    assert_eq!(t.closes_somehow(), Why::PingTimeout);
});

scenario!(a05_no_ping_of_the_last_connection_is_awaited_on_the_next, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    t.after(Duration::from_secs(10));
    t.expect(Pingreq);
    t.cut();
    t.connect();
    t.after(Duration::from_millis(9_999));
    assert_eq!(t.command(), None);
    t.expect_silence();
});

scenario!(a14_held_input_does_not_end_a_healthy_link_and_pings_go_on, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    t.session.hold_input(true);
    t.after(Duration::from_secs(35));
    for _ in 0..3 {
        t.expect(Pingreq);
    }
    t.expect_silence();
    assert_eq!(t.command(), None);
    t.session.hold_input(false);
    t.after(Duration::from_secs(16));
    t.expect(Pingreq);
    assert_eq!(t.closes_somehow(), Why::PingTimeout);
});

scenario!(a01_a_packet_may_not_stay_half_received, VERSIONS, |t| {
    t.options.keep_alive = 0;
    t.connect();
    t.send_bytes(&[0x30, 0x10, 0x00]);
    t.after(Duration::from_secs(20));
    t.send_bytes(&[0x05]);
    t.after(Duration::from_secs(10));
    assert_eq!(t.closes_somehow(), Why::PartialTimeout);
});

scenario!(a03_a_clock_that_steps_back_or_stands_still_is_harmless, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    t.after(Duration::from_secs(5));
    t.session.handle_timeout(Instant::ZERO);
    t.session.handle_timeout(Instant::ZERO);
    t.expect_silence();
    t.after(Duration::from_secs(5));
    t.expect(Pingreq);
});

scenario!(stop_drains_what_was_accepted_then_disconnects, VERSIONS, |t| {
    t.connect();
    let token = t.publish("a", Qos::AtLeastOnce, b"x");
    t.next_frame();
    t.session.stop(Stop::drain(Duration::from_secs(5))).unwrap();
    let message = mqtt_session::Message::new(TopicName::new("a").unwrap());
    let refused = t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason);
    assert_eq!(refused, Err(PublishError::Stopping));
    t.expect_silence();
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
    t.expect(Disconnect { reason_code: ReasonCode::Success, properties: Default::default() });
    assert_eq!(t.command(), Some(Command::Close));
    t.close(Closed::Carried);
    t.see(Seen::Disconnected { why: Why::Stopped, retry: None });
    t.see(Seen::Stopped { left: 0 });
    assert_eq!(t.session.poll_timeout(), None);
});

scenario!(stop_gives_up_at_its_deadline_and_reports_what_is_left, VERSIONS, |t| {
    t.connect();
    let token = t.publish("a", Qos::AtLeastOnce, b"x");
    t.next_frame();
    t.session.stop(Stop::drain(Duration::from_secs(5))).unwrap();
    t.after(Duration::from_secs(5));
    t.expect(Disconnect { reason_code: ReasonCode::Success, properties: Default::default() });
    assert_eq!(t.command(), Some(Command::Close));
    t.close(Closed::Carried);
    t.see(Seen::Disconnected { why: Why::Stopped, retry: None });
    t.done(token, "Stopped");
    t.see(Seen::Stopped { left: 1 });
    assert_eq!(t.session.pending(), 0);
});

scenario!(stop_while_offline_waits_for_a_connection_only_if_something_is_queued, VERSIONS, |t| {
    t.session.start(&t.options).unwrap();
    t.events();
    t.command();
    t.close(Closed::DialFailed);
    t.session.stop(Stop::drain(Duration::from_secs(5))).unwrap();
    assert!(matches!(t.events().last(), Some(Seen::Stopped { left: 0 })));

    t.session.start(&t.options).unwrap();
    let token = t.publish("a", Qos::AtMostOnce, b"x");
    let _ = token;
    t.session.stop(Stop::drain(Duration::from_secs(500))).unwrap();
    t.connect();
    assert_eq!(t.next_frame().unwrap()[0], 0x30);
    assert_eq!(t.next_frame().unwrap()[0], 0xE0);
});

scenario!(stop_before_the_first_connection_ends_what_was_queued, VERSIONS, |t| {
    let token = t.publish("a", Qos::AtLeastOnce, b"x");
    t.session.stop(Stop::now()).unwrap();
    t.done(token, "Stopped");
    t.see(Seen::Stopped { left: 1 });
});

scenario!(stop_can_ask_for_the_will, VERSIONS, |t| {
    t.connect();
    t.session.stop(Stop::now().with_will()).unwrap();
    if t.version() == Version::V5 {
        t.expect(Disconnect { reason_code: ReasonCode::DisconnectWithWill, properties: Default::default() });
    }
    t.expect_silence();
    assert_eq!(t.command(), Some(Command::Close));
});

scenario!(disconnect_carries_the_properties_stop_was_given, |t| {
    t.options.session_expiry = 60;
    t.connect();
    let properties = [Property::SessionExpiryInterval(10), Property::ReasonString("bye")];
    t.session.stop(Stop::now().properties(Properties::List(&properties))).unwrap();
    t.expect(Disconnect { reason_code: ReasonCode::Success, properties: Properties::List(&properties) });
});

scenario!(exchanges_given_up_by_stop_make_the_next_session_a_new_one, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.publish("a", Qos::ExactlyOnce, b"x");
    t.next_frame();
    t.session.stop(Stop::now()).unwrap();
    t.drain();
    t.command();
    t.close(Closed::Carried);
    t.events();
    t.next_frame();
    let version = t.version();
    t.session.start(&t.options).unwrap();
    let frame = t.open();
    assert!(connect_packet(&frame, version).clean_start);
});

scenario!(start_says_what_is_wrong, VERSIONS, |t| {
    let long = "x".repeat(3000);
    let options = ConnectOptions { version: t.version(), ..ConnectOptions::new(&long) };
    assert!(matches!(
        t.session.start(&options),
        Err(StartError::ConnectTooLarge { .. } | StartError::Invalid(_))
    ));
    t.session.start(&t.options).unwrap();
    assert_eq!(t.session.start(&t.options), Err(StartError::AlreadyStarted));
});

scenario!(a_late_call_of_the_driver_is_harmless, VERSIONS, |t| {
    let options = t.options;
    t.session.opened(&options, t.now);
    t.session.closed(Closed::Failed, t.now);
    t.send_bytes(b"\x30\x04\x00\x02in");
    t.see_nothing();
    t.connect();
    t.session.opened(&options, t.now);
    t.expect_silence();
    assert!(t.session.is_connected());
    t.cut();
    t.close(Closed::Failed);
    t.connect();
});

scenario!(skipping_the_events_only_delays_the_next_attempt, VERSIONS, |t| {
    t.session.start(&t.options).unwrap();
    let mut now = t.now;
    let mut opens = 0;
    for _ in 0..100 {
        match t.session.poll_command() {
            Some(Command::Open { .. }) => {
                opens += 1;
                t.session.closed(Closed::DialFailed, now);
            }
            Some(other) => panic!("{other:?}"),
            None => {}
        }
        now = now.after(Duration::from_secs(60));
        t.session.handle_timeout(now);
    }
    assert!((1..10).contains(&opens), "{opens}");
    t.now = now;
    let events = t.events();
    assert!(matches!(events[0], Seen::Connecting { attempt: 1, .. }));
    assert!(matches!(t.command(), Some(Command::Open { .. })));
});

scenario!(
    the_ladder_steps_down_when_the_version_is_refused_and_keeps_what_was_accepted,
    [Version::V5],
    |c| { c.version_ladder = true },
    |t| {
        let asked = t.options;
        assert_eq!(t.open_any(), Version::V5);
        t.send_bytes(&[0x20, 0x02, 0x00, 0x01]);
        assert_eq!(t.closes_somehow(), Why::VersionRefused);
        t.options = asked;
        assert_eq!(t.open_any(), Version::V3_1_1);
        t.send(Connack {
            session_present: false,
            reason_code: ReasonCode::UnsupportedProtocolVersion,
            properties: Default::default(),
        });
        t.closes_somehow();
        t.options = asked;
        assert_eq!(t.open_any(), Version::V3_1);
        t.connect_accepted();
        assert!(t.session.is_connected());
        t.cut();
        // The server may be silent now and then: what it accepted once stays.
        for _ in 0..4 {
            t.options = asked;
            assert_eq!(t.open_any(), Version::V3_1);
            t.close(Closed::Ended);
        }
    }
);

scenario!(
    the_ladder_steps_down_after_two_silent_closes,
    [Version::V5],
    |c| { c.version_ladder = true },
    |t| {
        let asked = t.options;
        for version in [Version::V5, Version::V5, Version::V3_1_1, Version::V3_1_1, Version::V3_1] {
            t.options = asked;
            assert_eq!(t.open_any(), version);
            t.close(Closed::Ended);
        }
    }
);

scenario!(
    the_ladder_is_not_climbed_down_on_bad_credentials,
    [Version::V5],
    |c| { c.version_ladder = true },
    |t| {
        t.open();
        t.send(Connack {
            session_present: false,
            reason_code: ReasonCode::NotAuthorized,
            properties: Default::default(),
        });
        assert_eq!(t.closes_somehow(), Why::Refused(ReasonCode::NotAuthorized));
        assert_eq!(t.session.poll_timeout(), None);
    }
);

scenario!(
    the_ladder_is_not_climbed_down_when_the_options_need_5_0,
    [Version::V5],
    |c| { c.version_ladder = true },
    |t| {
        t.options.session_expiry = 60;
        t.open();
        t.send_bytes(&[0x20, 0x02, 0x00, 0x01]);
        assert_eq!(t.closes_somehow(), Why::VersionRefused);
        assert!(matches!(t.events().last(), Some(Seen::Stopped { .. })));
    }
);

scenario!(
    by_priority_the_first_server_comes_first_after_a_connection,
    VERSIONS,
    |c| {
        c.servers = 4;
        c.server_order = ServerOrder::Priority;
    },
    |t| {
        let dial = |t: &mut common::Trace<S>| loop {
            match t.command() {
                Some(Command::Open { server, .. }) => break server,
                Some(other) => panic!("{other:?}"),
                None => t.after_backoff(),
            }
        };
        t.session.start(&t.options).unwrap();
        for server in [0, 1] {
            assert_eq!(dial(t), server);
            t.close(Closed::DialFailed);
        }
        assert_eq!(dial(t), 2);
        t.session.opened(&t.options, t.now);
        t.drain();
        t.connect_accepted();
        t.cut();
        assert_eq!(dial(t), 0);
    }
);

scenario!(in_turn_a_server_that_was_up_is_tried_again_first, VERSIONS, |c| { c.servers = 3 }, |t| {
    let dial = |t: &mut common::Trace<S>| loop {
        match t.command() {
            Some(Command::Open { server, .. }) => break server,
            Some(other) => panic!("{other:?}"),
            None => t.after_backoff(),
        }
    };
    t.session.start(&t.options).unwrap();
    assert_eq!(dial(t), 0);
    t.close(Closed::DialFailed);
    assert_eq!(dial(t), 1);
    t.session.opened(&t.options, t.now);
    t.drain();
    t.connect_accepted();
    t.cut();
    assert_eq!(dial(t), 1);
    t.close(Closed::DialFailed);
    assert_eq!(dial(t), 2);
});

scenario!(
    at_random_every_server_is_tried_in_some_order,
    VERSIONS,
    |c| {
        c.servers = 3;
        c.server_order = ServerOrder::Random;
    },
    |t| {
        t.session.start(&t.options).unwrap();
        let mut tried = Vec::new();
        while tried.len() < 60 {
            match t.command() {
                Some(Command::Open { server, .. }) => {
                    tried.push(server);
                    t.close(Closed::DialFailed);
                }
                Some(other) => panic!("{other:?}"),
                None => t.after_backoff(),
            }
        }
        let in_turn = tried.windows(2).filter(|pair| pair[1] == (pair[0] + 1) % 3).count();
        assert!(in_turn < 40, "{tried:?}");
        for server in 0..3 {
            assert!(tried.iter().filter(|named| **named == server).count() > 8, "{tried:?}");
        }
    }
);

scenario!(
    a_lost_acknowledgement_is_found_by_its_timeout,
    VERSIONS,
    |c| { c.ack_timeout = Some(Duration::from_secs(5)) },
    |t| {
        t.options.clean_start = false;
        t.connect();
        t.publish("a", Qos::AtLeastOnce, b"1");
        t.publish("a", Qos::AtLeastOnce, b"2");
        t.after(Duration::from_secs(4));
        t.send(Puback::new(id(1)));
        t.after(Duration::from_secs(4));
        assert_eq!(t.command(), None);
        t.after(Duration::from_secs(1));
        assert_eq!(t.closes_somehow(), Why::AckTimeout);
        t.resume();
        assert_eq!(t.next_frame().unwrap()[0], 0x3A);
        t.send(Puback::new(id(2)));
        t.after(Duration::from_secs(50));
        t.expect_silence();
        assert!(t.session.is_connected());
    }
);

scenario!(a_poison_message_is_named_after_three_connections_without_progress, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    let token = t.publish("a", Qos::AtLeastOnce, b"poison");
    t.publish("a", Qos::AtLeastOnce, b"innocent");
    t.drain();
    t.events();
    for _ in 0..2 {
        t.close(Closed::Ended);
        assert!(!t.events().iter().any(|seen| matches!(seen, Seen::Suspect(_))));
        t.resume();
    }
    t.close(Closed::Ended);
    assert!(t.events().contains(&Seen::Suspect(token)));
});

scenario!(
    a_poison_message_can_be_ended,
    VERSIONS,
    |c| {
        c.suspect.end = true;
        c.suspect.after = 2;
    },
    |t| {
        t.options.clean_start = false;
        t.connect();
        let token = t.publish("a", Qos::AtLeastOnce, b"poison");
        t.publish("a", Qos::AtLeastOnce, b"innocent");
        t.drain();
        t.close(Closed::Ended);
        t.resume();
        t.close(Closed::Ended);
        let ended = |seen: &Seen| matches!(seen, Seen::Done { token: done, outcome, .. } if *done == token && outcome == "Abandoned");
        assert!(t.events().iter().any(ended));
        let version = t.version();
        let frame = t.open();
        assert!(
            connect_packet(&frame, version).clean_start,
            "a half-done exchange may be left on the server"
        );
        t.connect_accepted();
        let frame = t.next_frame().unwrap();
        assert!(frame.ends_with(b"innocent"));
        t.expect_silence();
    }
);

scenario!(progress_on_another_message_clears_a_suspicion, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"slow");
    for round in 0..10u16 {
        t.publish("a", Qos::AtLeastOnce, b"quick");
        t.drain();
        t.send(Puback::new(id(round + 2)));
        t.close(Closed::Ended);
        t.resume();
    }
    assert!(!t.events().iter().any(|seen| matches!(seen, Seen::Suspect(_))));
});
