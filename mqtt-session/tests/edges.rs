//! Where things meet: full buffers, late calls, changed options, versions that cannot say what they mean.

use crate::common;

use core::num::NonZeroU64;
use core::time::Duration;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Packet, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, ReasonCodes,
    Suback, Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{
    AckMode, Closed, Command, Config, ConnectOptions, FixedSession, HeapSession, LocalState, Message,
    Oversize, Stop, StopError, Storage, Token,
};

fn sub<S: Storage>(t: &mut Trace<S>, filter: &str, properties: Properties<'_>) -> Token {
    let list = [Subscription {
        filter: TopicFilter::new(filter).unwrap(),
        options: SubscriptionOptions::new(Qos::AtLeastOnce),
    }];
    t.session.subscribe(&list, properties).unwrap()
}

fn inbound(qos: Qos, packet_id: u16, payload: &'static [u8]) -> Publish<'static> {
    Publish {
        qos,
        packet_id: (qos != Qos::AtMostOnce).then(|| id(packet_id)),
        ..Publish::new(TopicName::new("in").unwrap(), payload)
    }
}

fn kinds<S: Storage>(t: &mut Trace<S>) -> Vec<u8> {
    core::iter::from_fn(|| t.next_frame()).map(|frame| frame[0] >> 4).collect()
}

scenario!(a_small_payload_behind_a_long_topic_leaves, VERSIONS, |t| {
    t.connect();
    // Head about 920 bytes (fits the 1,024 of the wire buffer), payload 200 (not over a quarter of it).
    t.publish(&"t".repeat(900), Qos::AtLeastOnce, &[7; 200]);
    t.publish("b", Qos::AtLeastOnce, b"behind");
    assert_eq!(kinds(t), [3, 3], "accepted, so it must leave; nothing behind it may wait for ever");
});

scenario!(a_session_made_by_a_connect_that_timed_out_is_its_own, [Version::V3_1_1, Version::V5], |t| {
    t.options.clean_start = false;
    t.options.session_expiry = if t.version() == Version::V5 { 100 } else { 0 };
    for _ in 0..3 {
        t.open();
        t.after(Duration::from_secs(10)); // CONNACK is lost
        t.closes_somehow();
        t.events();
    }
    t.open();
    t.send(Packet::Connack(mqtt_session::proto::Connack {
        session_present: true,
        reason_code: ReasonCode::Success,
        properties: Properties::EMPTY,
    }));
    assert!(
        t.session.is_connected(),
        "[MQTT-3.2.2-4] again, and again on every attempt: {:?}",
        t.closes_somehow()
    );
});

// [U-30]
scenario!(a_queued_subscribe_obeys_the_limits_that_connack_told, |t| {
    sub(t, "$share/g/a", Properties::EMPTY);
    sub(t, "a/#", Properties::EMPTY);
    sub(t, "b", Properties::List(&[Property::SubscriptionIdentifier(7)]));
    t.connect_with(
        false,
        &[
            Property::SharedSubscriptionAvailable(false),
            Property::WildcardSubscriptionAvailable(false),
            Property::SubscriptionIdentifiersAvailable(false),
        ],
    );
    t.expect_silence();
});

scenario!(a_subscription_made_again_obeys_the_limits_and_says_so, |t| {
    t.connect();
    let token = sub(t, "$share/g/a", Properties::EMPTY);
    t.next_frame();
    t.send(Suback {
        packet_id: id(1),
        properties: Default::default(),
        codes: ReasonCodes::from(&[ReasonCode::GrantedQos1][..]),
    });
    t.cut();
    t.events();
    t.connect_with(false, &[Property::SharedSubscriptionAvailable(false)]);
    t.expect_silence();
    assert!(
        t.events().iter().any(|seen| matches!(seen, Seen::SubscriptionLost(told) if *told == token)),
        "never silently"
    );
});

scenario!(
    what_was_acknowledged_before_stop_leaves_before_disconnect,
    VERSIONS,
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.connect();
        t.send(inbound(Qos::AtLeastOnce, 1, b"x"));
        let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
        t.session.acknowledge(ack, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.session.stop(Stop::drain(Duration::from_secs(5))).unwrap();
        assert_eq!(kinds(t), [4, 14], "PUBACK, DISCONNECT");
    }
);

scenario!(a_later_value_that_is_refused_does_not_end_the_one_before, VERSIONS, |t| {
    let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce);
    for _ in 0..15 {
        t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    }
    let keyed = message.key(NonZeroU64::new(1).unwrap());
    t.session.publish(&keyed, b"old"[..].into()).map_err(|refused| refused.reason).unwrap();
    let later = t.session.publish(&keyed, b"new"[..].into()).map_err(|refused| refused.reason);
    let old_is_gone = t.events().iter().any(|seen| matches!(seen, Seen::Done { .. }));
    assert_eq!(later.is_ok(), old_is_gone, "{later:?}: either the old value or the new one");
});

scenario!(an_unsubscribe_in_flight_on_3_1_is_not_undone_by_subscribing_again, [Version::V3_1], |t| {
    t.options.clean_start = false;
    t.connect();
    sub(t, "a", Properties::EMPTY);
    t.next_frame();
    t.send(Suback {
        packet_id: id(1),
        properties: Default::default(),
        codes: ReasonCodes::from(&[ReasonCode::GrantedQos1][..]),
    });
    t.session.unsubscribe(&[TopicFilter::new("a").unwrap()], Properties::EMPTY).unwrap();
    assert_eq!(kinds(t), [10], "UNSUBSCRIBE left");
    t.cut();
    t.connect();
    let order = kinds(t);
    assert_eq!(order.last(), Some(&10), "UNSUBSCRIBE must have the last word: {order:?}");
});

// [3.1.1 MQTT-3.1.2-6]
scenario!(on_3_1_a_session_after_a_clean_one_is_a_new_one, [Version::V3_1, Version::V3_1_1], |t| {
    t.options.clean_start = true;
    t.connect();
    t.send(inbound(Qos::ExactlyOnce, 1, b"first"));
    t.expect(Pubrec::new(id(1)));
    t.events();
    // Clean Session 1: the server forgets all of it with the connection. The next run keeps its session.
    t.session.stop(Stop::now()).unwrap();
    t.drain();
    t.command();
    t.close(Closed::Carried);
    t.events();
    t.options.clean_start = false;
    t.connect();
    t.send(inbound(Qos::ExactlyOnce, 1, b"second"));
    assert!(matches!(t.event(), Seen::Message { payload, .. } if payload == b"second"), "a new message");
});

scenario!(
    stopped_is_told_however_late_events_are_fetched,
    VERSIONS,
    |c| { c.backoff.attempts = Some(10) },
    |t| {
        t.session.start(&t.options).unwrap();
        // A driver that keeps every deadline, and looks at events only now and then.
        let mut stopped = 0;
        for _ in 0..20 {
            for _ in 0..50 {
                while t.session.poll_command().is_some() {}
                let Some(due) = t.session.poll_timeout() else { break };
                t.now = t.now.max(due);
                t.session.handle_timeout(t.now);
                if t.session.poll_command() == Some(Command::Close) {
                    t.session.closed(Closed::Carried, t.now);
                }
            }
            while let Some(event) = t.session.poll_event() {
                stopped += u32::from(matches!(Seen::of(&t.session, &event), Seen::Stopped { .. }));
            }
        }
        assert_eq!(stopped, 1);
        assert!(t.session.start(&t.options).is_ok(), "the session has given up and is idle");
    }
);

scenario!(disconnect_properties_too_long_for_the_wire_buffer_do_not_keep_disconnect_back, |t| {
    t.connect();
    let long = "r".repeat(1100); // the queue has room (3,072), the wire buffer (1,024) never
    let list = [Property::ReasonString(&long)];
    let how = Stop::now().properties(Properties::List(&list));
    assert_eq!(t.session.stop(how), Err(StopError::NoRoom));
    t.session.stop(Stop::now()).unwrap();
    t.after(Duration::from_secs(3));
    assert_eq!(kinds(t), [14], "without DISCONNECT the server publishes the will");
});

scenario!(a_drain_waits_for_its_deadline_also_for_qos_0_in_the_wire_buffer, VERSIONS, |t| {
    t.connect();
    t.writable = false;
    t.publish("a", Qos::AtMostOnce, b"x");
    let _ = t.session.outgoing(t.now);
    t.session.stop(Stop::drain(Duration::from_secs(30))).unwrap();
    t.after(Duration::from_secs(3));
    assert_eq!(t.command(), None, "27 s are left for a slow transport to take what was accepted");
});

scenario!(a_cut_while_draining_is_not_the_end_before_the_deadline, [Version::V3_1_1, Version::V5], |t| {
    t.options.clean_start = false;
    t.connect();
    let _token = t.publish("a", Qos::AtLeastOnce, b"x");
    t.next_frame();
    t.session.stop(Stop::drain(Duration::from_secs(60))).unwrap();
    t.cut();
    let events = t.events();
    assert!(
        !events.iter().any(|seen| matches!(seen, Seen::Stopped { .. })),
        "accepted, and 60 s to deliver it: {events:?}"
    );
});

scenario!(
    ack_timeout_is_armed_for_a_pubrel_on_a_resume_and_for_publishes_behind_it,
    [Version::V3_1_1, Version::V5],
    |c| { c.ack_timeout = Some(Duration::from_secs(5)) },
    |t| {
        t.options.clean_start = false;
        t.options.keep_alive = 0;
        t.connect();
        t.publish("a", Qos::ExactlyOnce, b"x");
        t.next_frame();
        t.send(Pubrec::new(id(1)));
        t.expect(Pubrel::new(id(1)));
        t.cut();
        t.resume();
        t.expect(Pubrel::new(id(1)));
        t.publish("b", Qos::AtLeastOnce, b"y");
        t.next_frame();
        // The server never answers either.
        assert!(t.session.poll_timeout().is_some(), "a deadline");
        t.after(Duration::from_secs(6));
        assert_eq!(t.command(), Some(Command::Close));
    }
);

scenario!(a_message_taken_back_by_a_cut_still_expires_while_offline, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.writable = false;
    let message =
        Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce).ttl(Duration::from_secs(5));
    t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    let _ = t.session.outgoing(t.now); // handed out; the transport takes no byte
    t.after(Duration::from_secs(6));
    t.cut();
    let mut events = t.events();
    t.command();
    // Nothing was sent, 5 s are over: with or without a connection it is to end now.
    for _ in 0..20 {
        t.after(Duration::from_secs(10));
        while t.command().is_some() {
            t.close(Closed::DialFailed);
        }
    }
    events.extend(t.events());
    assert!(events.iter().any(|seen| matches!(seen, Seen::Done { .. })), "Expired");
});

scenario!(a_local_time_to_live_does_not_shorten_what_the_server_is_told, |t| {
    t.connect();
    let list = [Property::MessageExpiryInterval(3600)];
    let message = Message::new(TopicName::new("a").unwrap())
        .properties(Properties::List(&list))
        .ttl(Duration::from_secs(5));
    t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    let frame = t.next_frame().unwrap();
    let Packet::Publish(publish) =
        Packet::decode(&frame, Version::V5, mqtt_session::proto::Peer::Client).unwrap()
    else {
        panic!()
    };
    assert_eq!(publish.properties.message_expiry_interval(), Some(3600));
});

scenario!(
    no_acknowledgement_is_due_while_input_is_held,
    VERSIONS,
    |c| { c.ack_timeout = Some(Duration::from_secs(5)) },
    |t| {
        t.connect();
        t.publish("a", Qos::AtLeastOnce, b"x");
        t.next_frame();
        t.session.hold_input(true);
        t.after(Duration::from_secs(20));
        assert_eq!(t.command(), None, "the application is slow, the link is healthy");
    }
);

scenario!(no_ping_answer_is_due_while_input_is_held, VERSIONS, |t| {
    t.connect();
    t.session.hold_input(true);
    t.session.check_link();
    t.after(Duration::from_secs(30));
    assert_eq!(t.command(), None, "the application is slow, the link is healthy");
});

scenario!(bytes_of_a_packet_on_its_way_are_life, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    t.after(Duration::from_secs(8));
    // A PUBLISH of 100 bytes, 5 bytes a second: done in 20 s of the 30 s it may take.
    let mut packet = vec![0x30, 98, 0, 1, b'a', 0];
    packet.extend([b'p'; 94]);
    for piece in packet.chunks(5) {
        t.send_bytes(piece);
        t.after(Duration::from_secs(1));
        assert_eq!(t.command(), None, "bytes arrive every second");
    }
});

scenario!(
    a_skipped_message_is_acknowledged_in_its_turn,
    [Version::V3_1, Version::V3_1_1],
    |c| {
        c.max_packet_in = 64;
        c.oversize = Oversize::Skip;
        c.ack_mode = AckMode::Manual;
    },
    |t| {
        t.connect();
        t.send(inbound(Qos::AtLeastOnce, 1, b"x"));
        let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
        t.send(inbound(Qos::AtLeastOnce, 2, &[9; 100]));
        t.events();
        t.drain();
        t.session.acknowledge(ack, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Puback::new(id(1)));
        t.expect(Puback::new(id(2)));
    }
);

scenario!(
    refusing_counts_as_success_on_3_x,
    [Version::V3_1, Version::V3_1_1],
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.connect();
        t.send(inbound(Qos::ExactlyOnce, 1, b"x"));
        let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
        t.session.acknowledge(ack, ReasonCode::UnspecifiedError, Properties::EMPTY).unwrap();
        t.expect(Pubrec::new(id(1)));
        t.send(Pubrel::new(id(1)));
        t.expect(Pubcomp::new(id(1)));
        t.see_nothing();
    }
);

scenario!(
    a_refused_qos_2_message_is_not_delivered_twice_on_3_x,
    [Version::V3_1_1],
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.options.clean_start = false;
        t.connect();
        t.send(inbound(Qos::ExactlyOnce, 1, b"x"));
        let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
        t.session.acknowledge(ack, ReasonCode::UnspecifiedError, Properties::EMPTY).unwrap();
        t.expect(Pubrec::new(id(1)));
        t.cut(); // PUBREC never arrived
        t.resume();
        t.events();
        t.send(Publish { dup: true, ..inbound(Qos::ExactlyOnce, 1, b"x") });
        t.see_nothing();
    }
);

scenario!(a_late_connect_of_its_own_after_a_connack_timeout_is_pardoned, |t| {
    t.options.clean_start = false;
    t.options.session_expiry = 100;
    t.options.local_state = LocalState::Held;
    t.open();
    t.after(Duration::from_secs(10));
    t.closes_somehow(); // CONNECT is still on its way to the server
    t.events();
    t.connect();
    t.events();
    t.send(mqtt_session::proto::Disconnect {
        reason_code: ReasonCode::SessionTakenOver,
        properties: Default::default(),
    });
    assert_eq!(t.command(), Some(Command::Close));
    t.close(Closed::Carried);
    assert!(!t.events().iter().any(|seen| matches!(seen, Seen::Stopped { .. })), "nobody else took it over");
});

#[test]
fn start_refuses_connect_properties_that_the_session_sets() {
    for property in [
        Property::ReceiveMaximum(5),
        Property::MaximumPacketSize(100),
        Property::SessionExpiryInterval(5),
        Property::TopicAliasMaximum(5),
    ] {
        let list = [property];
        let mut options = ConnectOptions::new("x");
        options.session_expiry = 7;
        options.properties = Properties::List(&list);
        let mut session = HeapSession::new(Config::new(1));
        let started = session.start(&options);
        assert!(started.is_err(), "documented as refused here: {property:?}");
    }
}

scenario!(a_publish_of_a_client_has_no_subscription_identifier, |t| {
    let list = [Property::SubscriptionIdentifier(1)];
    let message = Message::new(TopicName::new("a").unwrap()).properties(Properties::List(&list));
    assert!(t.session.publish(&message, b"x"[..].into()).is_err(), "[MQTT-3.3.4-6]");
});

scenario!(no_local_on_a_shared_subscription_is_refused, |t| {
    let mut options = SubscriptionOptions::new(Qos::AtLeastOnce);
    options.no_local = true;
    let list = [Subscription { filter: TopicFilter::new("$share/g/a").unwrap(), options }];
    assert!(t.session.subscribe(&list, Properties::EMPTY).is_err(), "[MQTT-3.8.3-4]");
});

// [U-19]
scenario!(stop_does_not_raise_a_session_expiry_of_0, |t| {
    t.connect();
    let how = Stop::now().properties(Properties::List(&[Property::SessionExpiryInterval(100)]));
    assert_eq!(t.session.stop(how), Err(StopError::ExpiryRaised), "U-19");
    t.expect_silence();
});

scenario!(
    suback_before_subscribe_has_left_completes_nothing,
    VERSIONS,
    |c| {
        c.max_in_flight = 1;
        c.resubscribe = false;
    },
    |t| {
        t.connect();
        let codes = [ReasonCode::GrantedQos1];
        let suback =
            Suback { packet_id: id(1), properties: Default::default(), codes: ReasonCodes::from(&codes[..]) };
        sub(t, "a", Properties::EMPTY);
        t.next_frame();
        t.send(suback);
        t.events();
        t.writable = false;
        sub(t, "b", Properties::EMPTY);
        let _ = t.session.outgoing(t.now);
        t.send(suback); // of a broken server, again
        let events = t.events();
        assert!(
            !events.iter().any(|seen| matches!(seen, Seen::Done { .. })),
            "no byte of it was sent: {events:?}"
        );
    }
);

#[test]
fn the_arena_stays_within_queue_bytes() {
    let mut config = Config::new(1);
    config.queue_bytes = 1_000_000;
    let info = allocation_counter::measure(|| {
        let mut session = HeapSession::new(config);
        let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce);
        let payload = vec![7u8; 10_000];
        while session.publish(&message, payload[..].into()).is_ok() {}
        core::mem::forget(session);
        drop(payload);
    });
    // About 100 slots of less than 200 bytes beside it.
    assert!(
        info.bytes_current < 1_000_000 + 60_000,
        "{} bytes for queue_bytes = 1,000,000",
        info.bytes_current
    );
}

scenario!(left_and_ended_count_only_what_gets_a_done, |t| {
    t.connect();
    sub(t, "a", Properties::EMPTY);
    t.next_frame();
    t.send(Suback {
        packet_id: id(1),
        properties: Default::default(),
        codes: ReasonCodes::from(&[ReasonCode::GrantedQos1][..]),
    });
    t.cut();
    t.connect();
    t.next_frame(); // SUBSCRIBE again, not answered
    t.events();
    assert_eq!(t.session.pending(), 0, "the application has nothing open");
    t.session.stop(Stop::now()).unwrap();
    t.drain();
    t.command();
    t.close(Closed::Carried);
    assert_eq!(t.events().last(), Some(&Seen::Stopped { left: 0 }));
});

scenario!(an_unsubscribe_is_possible_with_every_slot_held, VERSIONS, |t| {
    t.connect();
    for number in 0..16u16 {
        sub(t, &format!("f/{number}"), Properties::EMPTY);
        let frame = t.next_frame().unwrap();
        let packet_id = id(u16::from_be_bytes([frame[2], frame[3]]));
        t.send(Suback {
            packet_id,
            properties: Default::default(),
            codes: ReasonCodes::from(&[ReasonCode::GrantedQos1][..]),
        });
    }
    t.events();
    assert_eq!(t.session.pending(), 0);
    let taken = t.session.unsubscribe(&[TopicFilter::new("f/0").unwrap()], Properties::EMPTY);
    assert!(taken.is_ok(), "{taken:?}, and nothing will ever unblock it");
});

// [3.1.1 MQTT-3.1.3-2], [5.0 MQTT-3.1.3-2]
scenario!(a_session_of_another_client_id_is_another_session, [Version::V3_1_1, Version::V5], |t| {
    t.options.clean_start = false;
    t.options.session_expiry = if t.version() == Version::V5 { 100 } else { 0 };
    t.connect();
    t.send(inbound(Qos::ExactlyOnce, 1, b"of the first"));
    t.expect(Pubrec::new(id(1)));
    t.session.stop(Stop::now()).unwrap();
    t.drain();
    t.command();
    t.close(Closed::Carried);
    t.events();
    t.options.client_id = "another";
    t.options.local_state = LocalState::Held;
    t.resume();
    t.send(inbound(Qos::ExactlyOnce, 1, b"of the second"));
    assert!(matches!(t.event(), Seen::Message { .. }), "a new message of another session");
});

scenario!(pubrel_of_a_refused_exchange_is_not_forgotten_behind_a_used_up_quota, |t| {
    t.options.clean_start = false;
    t.options.session_expiry = 100;
    t.connect();
    t.publish("a", Qos::ExactlyOnce, b"x");
    t.next_frame();
    t.cut();
    t.publish("b", Qos::AtLeastOnce, b"y");
    t.open();
    // A driver: CONNACK comes in, its event is taken, then what is to be sent is asked for, once.
    let mut input = &[0x20, 8, 1, 0, 5, 0x24, 1, 0x21, 0, 1][..]; // present, Maximum QoS 1, Receive Maximum 1
    while t.session.receive(&mut input, t.now).is_some() {}
    while t.session.poll_event().is_some() {}
    let mut buffer = [0; 64];
    let count = t.session.outgoing(t.now).copy_to(&mut buffer);
    assert_eq!(&buffer[..count], [0x62, 2, 0, 1], "PUBREL; nothing else would wake the driver");
});

scenario!(what_was_sent_can_be_neither_cancelled_nor_dropped_nor_called_unsent, VERSIONS, |t| {
    t.options.clean_start = true;
    t.connect();
    let token = t.publish("a", Qos::AtLeastOnce, b"x");
    let message =
        Message::new(TopicName::new("b").unwrap()).qos(Qos::AtLeastOnce).ttl(Duration::from_secs(2));
    let mortal = t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    assert_eq!(kinds(t), [3, 3], "both were sent whole, and subscribers may have them");
    t.cut();
    t.open();
    t.now = t.now.after(Duration::from_secs(3));
    t.writable = false;
    t.connect_accepted();
    t.events();
    let cancelled = t.session.cancel(token);
    t.writable = true;
    let expired = t.events().iter().any(
            |seen| matches!(seen, Seen::Done { token: told, outcome, .. } if *told == mortal && outcome == "Expired"),
        );
    assert_eq!((cancelled, expired), (false, false), "(Cancelled, Expired) say that nothing was sent");
});

scenario!(a_suback_is_progress, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"x");
    t.next_frame();
    for _ in 0..4 {
        sub(t, "s", Properties::EMPTY);
        while let Some(frame) = t.next_frame() {
            if frame[0] >> 4 == 8 {
                let packet_id = id(u16::from_be_bytes([frame[2], frame[3]]));
                t.send(Suback {
                    packet_id,
                    properties: Default::default(),
                    codes: ReasonCodes::from(&[ReasonCode::GrantedQos1][..]),
                });
            }
        }
        t.cut();
        assert!(
            !t.events().iter().any(|seen| matches!(seen, Seen::Suspect(_))),
            "SUBSCRIBE was answered each time"
        );
        t.resume();
        t.drain();
    }
});

#[test]
fn the_ack_of_a_skipped_message_is_not_lost() {
    fn run<S: Storage>(session: mqtt_session::Session<S>) -> Vec<u8> {
        let mut t = Trace::new(session, usize::MAX);
        t.options.version = Version::V3_1_1;
        t.connect();
        t.send(inbound(Qos::AtLeastOnce, 1, b"x"));
        let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
        // The transport is blocked, the wire buffer full.
        t.writable = false;
        for _ in 0..8 {
            t.publish("q", Qos::AtMostOnce, &[1; 20]);
            let _ = t.session.outgoing(t.now);
        }
        let mut packet = vec![0x32, 105, 0, 1, b'a', 0, 2];
        packet.extend([0; 100]);
        t.send_bytes(&packet[..50]);
        t.session.acknowledge(ack, ReasonCode::Success, Properties::EMPTY).unwrap();
        let _ = t.session.outgoing(t.now);
        t.send_bytes(&packet[50..]);
        t.writable = true;
        core::iter::from_fn(|| t.next_frame())
            .filter(|frame| frame[0] == 0x40)
            .map(|frame| frame[3])
            .collect()
    }
    let mut config = Config::new(1);
    config.wire_bytes = 249;
    config.queue_bytes = 1000;
    config.max_operations = 8;
    config.receive_maximum = 2;
    config.max_packet_in = 64;
    config.oversize = Oversize::Skip;
    config.ack_mode = AckMode::Manual;
    for wire in 100..160 {
        config.wire_bytes = wire;
        let heap = run(HeapSession::new(config));
        let fixed = run(FixedSession::<[u8; 1260], 8, 2>::new([0; 1260], config));
        assert_eq!((heap.len(), fixed.len()), (2, 2), "wire {wire}: PUBACKs on heap and fixed");
    }
}

scenario!(properties_that_only_a_broken_client_sends_are_refused, |t| {
    let message = Message::new(TopicName::new("a").unwrap());
    let list = [Property::ResponseTopic("a/#")];
    let sent = t.session.publish(&message.properties(Properties::List(&list)), b"x"[..].into());
    assert!(sent.is_err(), "[MQTT-3.3.2-14] a response topic has no wildcards");
});

scenario!(two_subscription_identifiers_in_one_subscribe, |t| {
    let twice = [Property::SubscriptionIdentifier(1), Property::SubscriptionIdentifier(2)];
    let list = [Subscription {
        filter: TopicFilter::new("a").unwrap(),
        options: SubscriptionOptions::new(Qos::AtLeastOnce),
    }];
    let taken = t.session.subscribe(&list, Properties::List(&twice));
    assert!(taken.is_err(), "3.8.2.1.2: a protocol error to send it twice");
});

// [A4]
scenario!(a_late_timeout_after_a_suspend_asks_before_it_closes, VERSIONS, |t| {
    t.options.keep_alive = 60;
    t.connect();
    // The machine sleeps for ten minutes; the timer of the driver fires before the socket is read.
    t.now = t.now.after(Duration::from_secs(600));
    t.session.handle_timeout(t.now);
    assert_eq!(t.session.poll_command(), None, "no PINGREQ was ever handed out");
});

#[test]
fn the_short_way_is_taken_on_both_storages_alike() {
    fn run<S: Storage>(mut t: Trace<S>) -> (Vec<u32>, Vec<u8>) {
        t.connect();
        t.writable = false;
        let text = "v".repeat(200);
        let list = [Property::UserProperty("k", &text)];
        let plain = Message::new(TopicName::new("a").unwrap());
        let long = plain.properties(Properties::List(&list));
        t.publish("first", Qos::AtMostOnce, b"x");
        let mut pending = Vec::new();
        for _ in 0..40 {
            t.session.publish(&long, b"0123456789"[..].into()).map_err(|refused| refused.reason).unwrap();
            pending.push(t.session.pending());
            // The transport takes all but the last byte: the wire buffer is never empty.
            let have: usize = t.session.outgoing(t.now).chunks().iter().map(|chunk| chunk.len()).sum();
            t.take(have - 1);
        }
        t.session.publish(&long, b"last"[..].into()).map_err(|refused| refused.reason).unwrap();
        t.cut();
        t.writable = true;
        t.connect();
        let after = core::iter::from_fn(|| t.next_frame()).flatten().collect();
        (pending, after)
    }
    let mut config = common::config();
    for wire in 900..1024 {
        config.wire_bytes = wire;
        let (heap, fixed) = (run(Trace::heap(config, usize::MAX)), run(Trace::fixed(config, usize::MAX)));
        assert_eq!(heap.0, fixed.0, "pending() after each publish, wire_bytes {wire}");
        assert_eq!(heap.1, fixed.1, "what leaves after a cut, wire_bytes {wire}");
    }
}

scenario!(
    a_violated_exchange_does_not_leave_its_identifier_to_a_new_qos_2_message,
    [Version::V3_1_1, Version::V5],
    |c| { c.max_in_flight = 1 },
    |t| {
        t.options.clean_start = false;
        t.options.session_expiry = if t.version() == Version::V5 { 100 } else { 0 };
        t.connect();
        t.publish("a", Qos::ExactlyOnce, b"x");
        t.next_frame();
        t.send(Puback::new(id(1)));
        t.drain();
        t.next_frame();
        assert_eq!(t.command(), Some(Command::Close));
        t.close(Closed::Carried);
        t.publish("b", Qos::ExactlyOnce, b"y");
        let connect = t.open();
        let clean = connect[9] & 2 != 0;
        t.send(Packet::Connack(mqtt_session::proto::Connack {
            session_present: !clean,
            reason_code: ReasonCode::Success,
            properties: Properties::EMPTY,
        }));
        let first = t.next_frame().unwrap();
        assert!(
            clean || first[0] >> 4 == 6,
            "PUBREL first, or a new session; not PUBLISH 1 over a half of an exchange: {first:02x?}"
        );
    }
);

scenario!(
    a_subscribe_that_overtook_and_was_not_sent_waits_behind_what_holds_the_identifiers,
    [Version::V5],
    |c| { c.max_in_flight = 3 },
    |t| {
        t.options.clean_start = false;
        t.options.session_expiry = 100;
        t.connect();
        t.publish("a", Qos::AtLeastOnce, b"1");
        t.publish("a", Qos::AtLeastOnce, b"2");
        assert_eq!(kinds(t), [3, 3]);
        t.cut();
        t.connect_with(true, &[Property::ReceiveMaximum(1)]);
        assert_eq!(kinds(t), [3], "the second waits for quota");
        t.writable = false;
        sub(t, "f", Properties::EMPTY);
        assert_eq!(t.session.outgoing(t.now).chunk()[0], 0x82, "SUBSCRIBE does not");
        t.cut();
        t.writable = true;
        t.publish("a", Qos::AtLeastOnce, b"3");
        t.resume();
        assert_eq!(kinds(t), [3, 3, 8], "no byte of it was sent: it is behind both, and holds the third");
        t.send(Puback::new(id(1)));
        assert_eq!(kinds(t), [3]);
    }
);

scenario!(
    a_subscribe_that_overtook_and_was_lost_is_sent_again_in_its_place,
    [Version::V5],
    |c| { c.max_in_flight = 3 },
    |t| {
        t.options.clean_start = false;
        t.options.session_expiry = 100;
        t.connect_with(false, &[Property::ReceiveMaximum(1)]);
        t.publish("a", Qos::AtLeastOnce, b"1");
        t.publish("a", Qos::AtLeastOnce, b"2");
        sub(t, "f", Properties::EMPTY);
        assert_eq!(kinds(t), [3, 8]);
        t.cut();
        t.connect_with(true, &[Property::ReceiveMaximum(1)]);
        assert_eq!(kinds(t), [3, 8]);
        t.cut();
        t.connect();
        t.see(Seen::SessionLost { republished: 1, ended: 0 });
        assert_eq!(kinds(t), [3, 8, 3]);
    }
);

// [3.1.1 MQTT-3.8.4-1], [5.0 MQTT-3.8.4-1], [5.0 MQTT-3.10.4-4]
scenario!(
    a_request_without_an_answer_is_found_by_the_timeout_and_sent_again_with_its_identifier,
    [Version::V3_1_1, Version::V5],
    |c| { c.ack_timeout = Some(Duration::from_secs(5)) },
    |t| {
        t.options.clean_start = false;
        t.options.keep_alive = 0;
        t.connect();
        for unsubscribe in [false, true] {
            if unsubscribe {
                t.session.unsubscribe(&[TopicFilter::new("f").unwrap()], Properties::EMPTY).unwrap();
            } else {
                sub(t, "f", Properties::EMPTY);
            }
            let first = t.next_frame().unwrap();
            t.after(Duration::from_secs(4));
            assert_eq!(t.command(), None);
            t.after(Duration::from_secs(1));
            assert_eq!(t.closes_somehow(), mqtt_session::Why::AckTimeout);
            t.resume();
            assert_eq!(t.next_frame().unwrap(), first);
            let value = u16::from_be_bytes([first[2], first[3]]);
            t.events();
            if unsubscribe {
                let v5 = t.version() == Version::V5;
                t.send_bytes(if v5 { &[0xB0, 4, 0, 2, 0, 0] } else { &[0xB0, 2, 0, 2] });
            } else {
                let codes = ReasonCodes::from(&[ReasonCode::GrantedQos1][..]);
                t.send(Suback { packet_id: id(value), properties: Properties::EMPTY, codes });
            }
            assert!(matches!(t.event(), Seen::Done { .. }));
            t.after(Duration::from_secs(50));
            assert!(t.session.is_connected());
        }
    }
);

scenario!(
    identifiers_reserved_for_the_journal_leave_one_for_a_subscribe_before_them,
    VERSIONS,
    |c| {
        c.max_in_flight = 2;
        c.durability = mqtt_session::Durability::BeforeSend;
    },
    |t| {
        sub(t, "f", Properties::EMPTY);
        for payload in [b"1", b"2", b"3"] {
            t.publish("a", Qos::AtLeastOnce, payload);
        }
        t.connect();
        assert_eq!(kinds(t), [8, 3], "nothing waits for ever");
    }
);

scenario!(
    an_acknowledgement_is_not_due_before_its_message_has_left,
    VERSIONS,
    |c| { c.ack_timeout = Some(Duration::from_secs(5)) },
    |t| {
        t.options.keep_alive = 0;
        t.connect();
        t.writable = false;
        t.publish("a", Qos::AtLeastOnce, &[7; 1500]);
        let _ = t.session.outgoing(t.now);
        for _ in 0..14 {
            t.after(Duration::from_secs(1));
            t.take(100);
            assert_eq!(t.command(), None, "the transport is slow, the server has not got it yet");
        }
        t.take(if t.version() == Version::V5 { 109 } else { 108 });
        t.after(Duration::from_secs(5));
        assert_eq!(t.closes_somehow(), mqtt_session::Why::AckTimeout);
    }
);
