//! Calls that come early, late or twice, and what happens at the edges of tables and times.

use crate::common;

use core::num::NonZeroU64;
use core::time::Duration;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Connack, Encode, Packet, Peer, Properties, Property, Puback, Publish, Qos, ReasonCode, Suback,
    Subscription, SubscriptionOptions, TopicFilter, TopicName, Unsuback, Version,
};
use mqtt_session::{
    AckMode, Closed, Command, Config, Event, HeapSession, Message, Outcome, Oversize, PublishError,
    StartError, Stop, StopError, Storage, WhenFull, Why,
};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn bytes<'p>(packet: impl Into<Packet<'p>>) -> Vec<u8> {
    let packet = packet.into();
    let mut bytes = vec![0; packet.encoded_len(Version::V5).unwrap()];
    packet.encode(Version::V5, &mut bytes).unwrap();
    bytes
}

fn message(qos: Qos) -> Message<'static> {
    Message::new(TopicName::new("a").unwrap()).qos(qos)
}

fn publish<S: Storage>(t: &mut Trace<S>, message: &Message<'_>, payload: &[u8]) -> Result<(), PublishError> {
    t.session.publish(message, payload.into()).map(|_| ()).map_err(|refused| refused.reason)
}

fn subscribe<S: Storage>(t: &mut Trace<S>, filter: &str) -> mqtt_session::Token {
    let options = SubscriptionOptions::new(Qos::AtLeastOnce);
    let item = Subscription { filter: TopicFilter::new(filter).unwrap(), options };
    t.session.subscribe(&[item], Properties::EMPTY).unwrap()
}

fn grant<S: Storage>(t: &mut Trace<S>, number: u16) {
    let codes = [ReasonCode::GrantedQos1];
    t.send(Suback { packet_id: id(number), properties: Properties::EMPTY, codes: (&codes).into() });
}

// ---- out of turn -----------------------------------------------------------------------------------

scenario!(a_run_that_has_not_ended_cannot_be_started_again, VERSIONS, |t| {
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"x");
    assert_eq!(t.session.start(&t.options), Err(StartError::AlreadyStarted));
    t.session.stop(Stop::drain(seconds(9))).unwrap();
    assert_eq!(t.session.start(&t.options), Err(StartError::AlreadyStarted));
    t.session.stop(Stop::now()).unwrap();
    t.session.outgoing(t.now).advance(usize::MAX);
    assert_eq!(t.session.poll_command(), Some(Command::Close));
    t.session.closed(Closed::Carried, t.now);
    assert_eq!(t.session.start(&t.options), Err(StartError::AlreadyStarted), "Stopped was not fetched");
    t.events();
    assert_eq!(t.session.start(&t.options), Ok(()));
});

scenario!(a_transport_nobody_asked_for_is_not_used, VERSIONS, |t| {
    t.session.opened(&t.options, t.now);
    t.session.start(&t.options).unwrap();
    // The command to open was not given yet.
    t.session.opened(&t.options, t.now);
    t.session.closed(Closed::Failed, t.now);
    t.expect_silence();
    assert_eq!(t.command(), Some(Command::Open { attempt: 1, server: 0 }));
    t.see(Seen::Connecting { attempt: 1, server: 0 });
    t.see_nothing();
});

scenario!(a_transport_that_takes_nothing_is_no_sign_of_life, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    let before = t.session.stats().bytes_out;
    t.now = t.now.after(seconds(9));
    t.session.outgoing(t.now).advance(0);
    assert_eq!(t.session.stats().bytes_out, before);
    t.after(seconds(1));
    assert_eq!(t.next_frame(), Some(vec![0xC0, 0]), "PINGREQ at its time");
});

scenario!(the_first_call_of_stop_says_why, |t| {
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"x");
    let _ = t.next_frame();
    let (first, second) = ([Property::ReasonString("first")], [Property::ReasonString("second")]);
    t.session.stop(Stop::drain(seconds(9)).properties(Properties::List(&first))).unwrap();
    t.session.stop(Stop::now().properties(Properties::List(&second))).unwrap();
    let frame = t.next_frame().expect("DISCONNECT");
    let Ok(Packet::Disconnect(disconnect)) = Packet::decode(&frame, Version::V5, Peer::Client) else {
        panic!("{frame:02x?}");
    };
    assert_eq!(disconnect.properties.reason_string(), Some("first"));
});

scenario!(what_disconnect_cannot_keep_is_refused_and_nothing_is_stopped, |t| {
    t.connect();
    let long = "x".repeat(1_020);
    let list = [Property::ReasonString(&long)];
    assert_eq!(t.session.stop(Stop::now().properties(Properties::List(&list))), Err(StopError::NoRoom));
    while publish(t, &message(Qos::AtLeastOnce), &[7; 200]).is_ok() {}
    while publish(t, &message(Qos::AtLeastOnce), b"x").is_ok() {}
    let list = [Property::ReasonString(&long[..900])];
    assert_eq!(t.session.stop(Stop::now().properties(Properties::List(&list))), Err(StopError::NoRoom));
    assert!(t.session.is_connected());
    assert_eq!(t.command(), None);
});

scenario!(acknowledgements_leave_before_disconnect, VERSIONS, |t| {
    t.connect();
    t.writable = false;
    let publish = Publish {
        qos: Qos::AtLeastOnce,
        packet_id: Some(id(9)),
        ..Publish::new(TopicName::new("a").unwrap(), b"x")
    };
    t.send(publish);
    t.session.stop(Stop::drain(seconds(9))).unwrap();
    t.writable = true;
    t.expect(Puback::new(id(9)));
    assert_eq!(t.next_frame().map(|frame| frame[0]), Some(0xE0));
});

// Nothing is left that a connection would be needed for.
scenario!(a_cut_while_the_last_acknowledgements_leave_ends_the_run, VERSIONS, |t| {
    t.connect();
    t.writable = false;
    t.send(Publish {
        qos: Qos::AtLeastOnce,
        packet_id: Some(id(9)),
        ..Publish::new(TopicName::new("a").unwrap(), b"x")
    });
    t.session.stop(Stop::drain(seconds(9))).unwrap();
    t.events();
    t.cut();
    assert!(matches!(t.event(), Seen::Disconnected { why: Why::TransportFailed, retry: None }));
    t.see(Seen::Stopped { left: 0 });
});

// ---- limits ----------------------------------------------------------------------------------------

/// [5.0 MQTT-3.3.4-7] The widest window is what a server takes where nothing is said.
#[test]
fn a_receive_maximum_of_65_535_is_not_said() {
    for (receive_maximum, said) in [(65_535, None), (65_534, Some(65_534))] {
        let config = Config { receive_maximum, ..common::config() };
        let mut t = Trace::heap(config, usize::MAX);
        let frame = t.open();
        let Ok(Packet::Connect(connect)) = Packet::decode(&frame, Version::V5, Peer::Client) else {
            panic!("{frame:02x?}");
        };
        assert_eq!(connect.properties.receive_maximum(), said);
    }
}

#[test]
fn can_publish_says_no_once_as_much_is_handed_out_as_leaves_at_a_time() {
    let config = Config { wire_bytes: 256 * 1024, queue_bytes: 1024 * 1024, ..Config::new(1) };
    let mut t = Trace::heap(config, usize::MAX);
    t.connect();
    t.writable = false;
    for _ in 0..16 {
        assert!(t.session.can_publish(Qos::AtMostOnce));
        publish(&mut t, &message(Qos::AtMostOnce), &[7; 4_096]).unwrap();
    }
    assert!(!t.session.can_publish(Qos::AtMostOnce));
    // It is taken all the same, and waits.
    publish(&mut t, &message(Qos::AtMostOnce), b"x").unwrap();
    assert_eq!(t.session.pending(), 1);
    t.writable = true;
    t.drain();
    assert!(t.session.can_publish(Qos::AtMostOnce));
}

scenario!(a_full_table_refuses_a_message_at_qos_0_too, VERSIONS, |t| {
    t.connect();
    for _ in 0..common::OUT {
        t.publish("a", Qos::AtLeastOnce, b"x");
    }
    t.drain();
    assert!(!t.session.can_publish(Qos::AtMostOnce));
    assert_eq!(publish(t, &message(Qos::AtMostOnce), b"x"), Err(PublishError::QueueFull));
});

scenario!(
    what_was_sent_is_not_dropped_for_what_is_new,
    VERSIONS,
    |c| {
        c.when_full = WhenFull::DropNewest;
        c.max_operations = 2;
    },
    |t| {
        t.connect();
        t.publish("a", Qos::AtLeastOnce, b"1");
        t.publish("a", Qos::AtLeastOnce, b"2");
        t.drain();
        assert_eq!(publish(t, &message(Qos::AtLeastOnce), b"3"), Err(PublishError::QueueFull));
        t.see_nothing();
    }
);

scenario!(
    a_later_value_that_does_not_fit_leaves_the_one_before,
    VERSIONS,
    |c| { c.queue_bytes = 100 },
    |t| {
        let latest = message(Qos::AtLeastOnce).key(NonZeroU64::MIN);
        publish(t, &latest, &[1; 40]).unwrap();
        publish(t, &message(Qos::AtLeastOnce), &[2; 20]).unwrap();
        assert_eq!(publish(t, &latest, &[3; 70]), Err(PublishError::BytesFull));
        t.see_nothing();
        publish(t, &latest, &[3; 50]).unwrap();
        assert_eq!(t.events().len(), 1, "the one before was dropped");
    }
);

scenario!(
    later_values_wait_for_the_ends_of_those_before_to_be_fetched,
    VERSIONS,
    |c| { c.max_operations = 1 },
    |t| {
        let latest = message(Qos::AtLeastOnce).key(NonZeroU64::MIN);
        for _ in 0..9 {
            publish(t, &latest, b"x").unwrap();
        }
        assert_eq!(publish(t, &latest, b"x"), Err(PublishError::QueueFull));
        let dropped = |event: &Event<'_>| matches!(event, Event::Done { outcome: Outcome::Dropped, .. });
        assert_eq!(core::iter::from_fn(|| t.session.poll_event()).filter(dropped).count(), 8);
        publish(t, &latest, b"x").unwrap();
    }
);

scenario!(
    more_requests_time_out_than_ends_can_wait,
    VERSIONS,
    |c| { c.request_timeout = Some(seconds(10)) },
    |t| {
        t.connect();
        for number in 0..12 {
            subscribe(t, &format!("{number}"));
        }
        t.drain();
        t.now = t.now.after(seconds(11));
        let mut told = 0;
        for _ in 0..4 {
            t.session.handle_timeout(t.now);
            assert!(told == 12 || t.session.poll_timeout().is_some());
            let ends = core::iter::from_fn(|| t.session.poll_event())
                .filter(|event| matches!(event, Event::Done { outcome: Outcome::TimedOut, .. }));
            told += ends.count();
            t.now = t.now.after(seconds(1));
        }
        assert_eq!(told, 12);
        // Each comes to an end on the wire all the same.
        (1..=12).for_each(|number| grant(t, number));
        t.see_nothing();
        assert_eq!(t.session.pending(), 0);
    }
);

scenario!(what_expired_while_nobody_looked_does_not_leave, |t| {
    t.connect_with(false, &[Property::ReceiveMaximum(1)]);
    let first = t.publish("a", Qos::AtLeastOnce, b"1");
    publish(t, &message(Qos::AtLeastOnce).ttl(seconds(5)), b"2").unwrap();
    let _ = t.next_frame();
    t.now = t.now.after(seconds(6));
    let puback = bytes(Puback::new(id(1)));
    let mut input = &puback[..];
    assert!(matches!(
        t.session.receive(&mut input, t.now),
        Some(Event::Done { token, outcome: Outcome::Acked(_), .. }) if token == first
    ));
    assert!(t.session.outgoing(t.now).is_empty());
    assert!(matches!(t.session.poll_event(), Some(Event::Done { outcome: Outcome::Expired, .. })));
});

// ---- a cut in the middle ---------------------------------------------------------------------------

scenario!(what_was_to_go_again_and_did_not_goes_again_with_its_identifier, VERSIONS, |t| {
    t.options.clean_start = false;
    t.options.session_expiry = if t.version() == Version::V5 { 100 } else { 0 };
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"1");
    let first = t.next_frame().unwrap();
    t.cut();
    t.open();
    t.writable = false;
    t.send(Connack::accepted(t.version() != Version::V3_1));
    // Handed out again; the transport takes nothing of it.
    let _ = t.session.outgoing(t.now);
    assert_eq!(t.session.stats().resends, 1);
    t.cut();
    t.writable = true;
    t.resume();
    let again = t.next_frame().unwrap();
    assert_eq!((again[0], &again[1..]), (first[0] | 8, &first[1..]), "DUP, and otherwise the same");
});

// A server may answer what came before the cut.
scenario!(
    an_answer_may_come_before_anything_was_sent_again,
    [Version::V3_1_1, Version::V5],
    |c| { c.ack_timeout = Some(seconds(10)) },
    |t| {
        t.options.clean_start = false;
        t.options.session_expiry = if t.version() == Version::V5 { 100 } else { 0 };
        t.connect();
        let token = t.publish("a", Qos::AtLeastOnce, b"1");
        let _ = t.next_frame();
        t.cut();
        t.open();
        t.events();
        t.writable = false;
        let mut both = vec![0x20, 2, 1, 0];
        if t.version() == Version::V5 {
            both = vec![0x20, 3, 1, 0, 0];
        }
        both.extend([0x40, 2, 0, 1]);
        t.send_bytes(&both);
        assert!(matches!(t.event(), Seen::Connected { session_present: true, .. }));
        t.done(token, "Acked(Success)");
        t.writable = true;
        t.expect_silence();
        t.after(seconds(30));
        assert!(t.session.is_connected(), "nothing more is awaited");
    }
);

// Section 3.1.2.11.2: its CONNECT was on its way in time, so the server decides.
scenario!(a_session_whose_time_runs_out_during_the_handshake_may_still_be_there, |t| {
    t.options.clean_start = false;
    t.options.session_expiry = 30;
    t.connect();
    let token = t.publish("a", Qos::AtLeastOnce, b"1");
    let _ = t.next_frame();
    t.cut();
    while t.command().is_none() {
        t.after_backoff();
    }
    t.after(seconds(28));
    t.session.opened(&t.options, t.now);
    let _ = t.next_frame();
    t.after(seconds(5));
    t.session.handle_timeout(t.now);
    t.events();
    t.send(Connack::accepted(true));
    t.see(Seen::Connected { session_present: true, resumed: true });
    assert!(t.next_frame().is_some_and(|frame| frame[0] == 0x3A), "PUBLISH with DUP");
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
});

// ---- input held back -------------------------------------------------------------------------------

// [A14]
scenario!(a14_half_a_packet_has_its_time_from_when_input_is_read_again, VERSIONS, |t| {
    t.options.keep_alive = 0;
    t.connect();
    t.send_bytes(&[0x30, 5, 0]);
    t.session.hold_input(true);
    t.after(seconds(100));
    t.session.hold_input(false);
    t.after(seconds(29));
    assert!(t.session.is_connected());
    t.after(seconds(2));
    assert_eq!(t.expect_closing(), Why::PartialTimeout);
});

// [A14]
scenario!(
    a14_an_acknowledgement_has_its_time_from_when_input_is_read_again,
    VERSIONS,
    |c| { c.ack_timeout = Some(seconds(10)) },
    |t| {
        t.options.keep_alive = 0;
        t.connect();
        t.publish("a", Qos::AtLeastOnce, b"1");
        let _ = t.next_frame();
        t.session.hold_input(true);
        t.after(seconds(100));
        t.session.hold_input(false);
        t.after(seconds(9));
        assert!(t.session.is_connected());
        t.after(seconds(2));
        assert_eq!(t.expect_closing(), Why::AckTimeout);
    }
);

// ---- inbound ---------------------------------------------------------------------------------------

// [5.0 MQTT-3.1.2-29] A reason code alone is always allowed.
scenario!(a_code_without_a_reason_is_no_reason, |t| {
    t.options.properties = Properties::List(&[Property::RequestProblemInformation(false)]);
    t.connect();
    let token = t.publish("a", Qos::AtLeastOnce, b"1");
    let _ = t.next_frame();
    t.send_bytes(&[0x40, 3, 0, 1, 0x10]);
    t.done(token, "Acked(NoMatchingSubscribers)");
});

// [S5] Identifiers of QoS 1 and QoS 2 are one space, and an exchange at QoS 1 has no PUBREL.
scenario!(
    s05_pubrel_for_a_message_at_qos_1_ends_nothing,
    [Version::V5],
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.connect();
        t.send(Publish {
            qos: Qos::AtLeastOnce,
            packet_id: Some(id(5)),
            ..Publish::new(TopicName::new("a").unwrap(), b"x")
        });
        let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
        t.send_bytes(&[0x62, 2, 0, 5]);
        t.see(Seen::Anomaly(5));
        assert_eq!(t.next_frame(), Some(vec![0x70, 3, 0, 5, 0x92]));
        t.session.acknowledge(ack, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Puback::new(id(5)));
    }
);

scenario!(
    with_room_for_one_an_acknowledgement_waits_for_the_end_of_a_large_message,
    [Version::V5],
    |c| {
        c.ack_mode = AckMode::Manual;
        c.receive_maximum = 1;
        c.max_packet_in = 64;
        c.oversize = Oversize::Chunks { largest: 1_000 };
    },
    |t| {
        t.connect();
        let small = Publish::new(TopicName::new("a").unwrap(), b"x");
        t.send(Publish { qos: Qos::AtLeastOnce, packet_id: Some(id(5)), ..small });
        let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
        let large = bytes(Publish::new(TopicName::new("a").unwrap(), &[7; 200]));
        let (first, rest) = large.split_at(100);
        t.send_bytes(first);
        t.session.acknowledge(ack, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect_silence();
        t.send_bytes(rest);
        t.expect(Puback::new(id(5)));
    }
);

// What was refused is still subscribed, so it is made again.
scenario!(a_filter_the_server_does_not_take_back_stays_subscribed, |t| {
    t.connect();
    subscribe(t, "a");
    let _ = t.next_frame();
    grant(t, 1);
    t.session.unsubscribe(&[TopicFilter::new("a").unwrap()], Properties::EMPTY).unwrap();
    let _ = t.next_frame();
    let codes = [ReasonCode::NotAuthorized];
    t.send(Unsuback { packet_id: id(2), properties: Properties::EMPTY, codes: (&codes).into() });
    t.cut();
    t.connect();
    assert_eq!(t.next_frame().map(|frame| frame[0]), Some(0x82), "SUBSCRIBE");
});

// The memory is given back only once the last word is over.
scenario!(a_stop_that_takes_long_keeps_what_it_is_to_say, |t| {
    t.connect();
    let why = [Property::ReasonString("home")];
    t.session.stop(Stop::now().properties(Properties::List(&why))).unwrap();
    t.drain();
    assert_eq!(t.command(), Some(Command::Close));
    t.now = t.now.after(seconds(9));
    t.session.handle_timeout(t.now);
    t.close(Closed::Carried);
    assert!(t.events().contains(&Seen::Stopped { left: 0 }));
    t.connect();
    t.publish("a", Qos::AtMostOnce, b"x");
    assert!(t.next_frame().is_some());
});

#[test]
fn a_small_shared_payload_is_copied_and_a_large_one_is_not() {
    for len in [512, 513, 5_000] {
        let mut t = Trace::heap(Config::new(1), usize::MAX);
        t.connect();
        let payload = bytes::Bytes::from(vec![7; len]);
        let sent = payload.clone();
        let kept = t.session.publish(&message(Qos::AtLeastOnce), sent.into());
        kept.map_err(|refused| refused.reason).unwrap();
        assert_eq!(!payload.is_unique(), len > 512, "{len}");
        let frame = t.next_frame().unwrap();
        assert!(frame.ends_with(&payload));
    }
}

/// What a session keeps it tells nobody who prints it.
#[test]
fn nothing_kept_is_printed() {
    let mut session = HeapSession::new(Config::new(1));
    let message = Message::new(TopicName::new("canary/topic").unwrap()).qos(Qos::AtLeastOnce);
    session.publish(&message, b"canary"[..].into()).map_err(|refused| refused.reason).unwrap();
    assert!(!format!("{session:?}").contains("canary"));
}

// On 3.x a message one too many waits in the input, at either quality of service.
scenario!(
    a_message_at_qos_2_waits_for_one_at_qos_1_to_be_acknowledged,
    [Version::V3_1, Version::V3_1_1],
    |c| {
        c.ack_mode = AckMode::Manual;
        c.receive_maximum = 1;
    },
    |t| {
        t.connect();
        let publish = Publish::new(TopicName::new("a").unwrap(), b"x");
        t.send(Publish { qos: Qos::AtLeastOnce, packet_id: Some(id(1)), ..publish });
        let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
        t.send(Publish { qos: Qos::ExactlyOnce, packet_id: Some(id(2)), ..publish });
        t.see_nothing();
        assert!(!t.session.wants_read());
        t.session.acknowledge(ack, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Puback::new(id(1)));
        assert!(matches!(t.event(), Seen::Message { qos: Qos::ExactlyOnce, .. }));
    }
);

// Nobody was told its beginning, so nobody is told that it broke off.
scenario!(
    a_cut_in_the_middle_of_a_message_that_is_let_pass_is_only_a_cut,
    [Version::V3_1, Version::V3_1_1],
    |c| {
        c.max_packet_in = 64;
        c.oversize = Oversize::Skip;
    },
    |t| {
        t.connect();
        let large = [&[0x30, 203, 1, 0, 1, b'a'][..], &[7; 100]].concat();
        t.send_bytes(&large);
        t.cut();
        assert!(!t.events().contains(&Seen::Aborted));
    }
);

// [5.0 MQTT-3.3.2-7] Asked for too late, an alias stands for nothing.
scenario!(
    an_alias_of_a_connection_that_has_ended_names_nothing,
    [Version::V5],
    |c| { c.topic_alias_maximum = 2 },
    |t| {
        t.connect();
        let alias = [Property::TopicAlias(1)];
        let named = Publish {
            properties: Properties::List(&alias),
            ..Publish::new(TopicName::new("a").unwrap(), b"x")
        };
        t.send(named);
        let again = bytes(Publish { topic: None, ..named });
        let mut input = &again[..];
        let Some(Event::Message(message)) = t.session.receive(&mut input, t.now) else { panic!() };
        assert_eq!(t.session.topic(&message), "a");
        t.session.closed(Closed::Failed, t.now);
        assert_eq!(t.session.topic(&message), "");
    }
);

// [M5]
scenario!(
    m05_a_topic_longer_than_the_memory_for_aliases_ends_the_connection,
    [Version::V5],
    |c| {
        c.topic_alias_maximum = 2;
        c.topic_alias_bytes = 32;
    },
    |t| {
        t.connect();
        let alias = [Property::TopicAlias(1)];
        let topic = "a".repeat(100);
        t.send(Publish {
            properties: Properties::List(&alias),
            ..Publish::new(TopicName::new(&topic).unwrap(), b"x")
        });
        assert_eq!(t.refuses(ReasonCode::QuotaExceeded), Why::AliasesTooLong);
    }
);

// The place is another message's by now.
scenario!(a_token_of_an_earlier_message_is_stale, VERSIONS, |c| { c.ack_mode = AckMode::Manual }, |t| {
    t.connect();
    let publish = Publish {
        qos: Qos::AtLeastOnce,
        packet_id: Some(id(1)),
        ..Publish::new(TopicName::new("a").unwrap(), b"x")
    };
    t.send(publish);
    let Seen::Message { ack: Some(first), .. } = t.event() else { panic!() };
    t.session.acknowledge(first, ReasonCode::Success, Properties::EMPTY).unwrap();
    t.expect(Puback::new(id(1)));
    t.send(publish);
    let Seen::Message { ack: Some(second), .. } = t.event() else { panic!() };
    let stale = t.session.acknowledge(first, ReasonCode::Success, Properties::EMPTY);
    assert_eq!(stale, Err(mqtt_session::AckError::Stale));
    t.session.acknowledge(second, ReasonCode::Success, Properties::EMPTY).unwrap();
});

// What is owed stays owed, however long the transport takes nothing.
scenario!(an_acknowledgement_that_waits_for_the_transport_is_not_forgotten, VERSIONS, |t| {
    t.options.keep_alive = 0;
    t.connect();
    t.drain();
    t.writable = false;
    t.send(Publish {
        qos: Qos::AtLeastOnce,
        packet_id: Some(id(1)),
        ..Publish::new(TopicName::new("a").unwrap(), b"x")
    });
    t.now = t.now.after(seconds(60));
    t.session.handle_timeout(t.now);
    t.writable = true;
    t.expect(Puback::new(id(1)));
});

// [U-26] What waits for a PUBREL and what waits for its PUBACK to leave count together.
scenario!(both_qualities_of_service_share_the_receive_maximum, |t| {
    t.connect();
    let publish = Publish::new(TopicName::new("a").unwrap(), b"x");
    for number in 1..=4 {
        t.send(Publish { qos: Qos::ExactlyOnce, packet_id: Some(id(number)), ..publish });
        assert!(t.next_frame().is_some(), "PUBREC");
    }
    t.writable = false;
    for number in 5..=8 {
        t.send(Publish { qos: Qos::AtLeastOnce, packet_id: Some(id(number)), ..publish });
    }
    assert_eq!(t.events().len(), 8);
    t.send(Publish { qos: Qos::AtLeastOnce, packet_id: Some(id(9)), ..publish });
    t.see_nothing();
    t.writable = true;
    let why = t.expect_closing();
    assert_eq!(why, Why::Protocol(ReasonCode::ReceiveMaximumExceeded, "MQTT-3.3.4-7"));
});

scenario!(nothing_is_published_into_the_middle_of_a_payload, VERSIONS, |t| {
    t.connect();
    let token = t.session.publish_chunked(&message(Qos::AtMostOnce), 10).unwrap();
    t.drain();
    t.session.provide(token, 0, b"01234").unwrap();
    assert!(!t.session.can_publish(Qos::AtMostOnce));
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        publish(t, &message(qos), b"behind").unwrap();
    }
    t.drain();
    t.session.provide(token, 5, b"56789").unwrap();
    let frames: Vec<Vec<u8>> = core::iter::from_fn(|| t.next_frame()).collect();
    assert_eq!(frames.len(), 3);
    assert!(
        frames[0].ends_with(b"0123456789")
            && frames[1].ends_with(b"behind")
            && frames[2].ends_with(b"behind")
    );
});

// [S5]
scenario!(s05_more_releases_of_nothing_than_lie_ready_are_all_answered, VERSIONS, |t| {
    t.connect();
    t.writable = false;
    for number in 1..=7 {
        t.send_bytes(&[0x62, 2, 0, number]);
    }
    t.writable = true;
    for number in 1..=7 {
        let frame = t.next_frame().expect("PUBCOMP");
        assert_eq!((frame[0], frame[3]), (0x70, number));
    }
    t.expect_silence();
});

scenario!(a_memory_that_fills_while_everything_leaves_at_once_refuses_what_is_too_much, VERSIONS, |t| {
    t.connect();
    let mut sent = 0;
    while publish(t, &message(Qos::AtLeastOnce), &[7; 220]).is_ok() {
        t.drain();
        sent += 1;
    }
    assert_eq!(sent, (common::MEMORY - 1_024) / 229);
    assert_eq!(publish(t, &message(Qos::AtLeastOnce), &[7; 220]), Err(PublishError::BytesFull));
    t.send(Puback::new(id(1)));
    assert!(t.events().contains(&Seen::Unblocked));
    assert_eq!(publish(t, &message(Qos::AtLeastOnce), &[7; 220]), Ok(()));
});

// ---- identifiers in doubt --------------------------------------------------------------------------

/// A session that resumes what an earlier run left, of which it knows nothing.
fn held(max_in_flight: u16, limits: &[Property<'_>]) -> Trace<mqtt_session::Heap> {
    let mut t = Trace::heap(Config { max_in_flight, ..Config::new(1) }, usize::MAX);
    t.options.clean_start = false;
    t.options.local_state = mqtt_session::LocalState::Held;
    t.options.session_expiry = 100;
    publish(&mut t, &message(Qos::ExactlyOnce), b"x").unwrap();
    t.connect_with(true, limits);
    t
}

/// [5.0 MQTT-4.3.3-10]
#[test]
fn identifiers_in_doubt_are_asked_for_a_few_at_a_time() {
    let mut t = held(100, &[]);
    let asked: Vec<Vec<u8>> = core::iter::from_fn(|| t.next_frame()).collect();
    assert_eq!(asked.len(), 32);
    for (frame, number) in asked.iter().zip(1..) {
        assert_eq!(frame[..], [0x62, 2, 0, number]);
    }
    // Nobody asked for that one; and an answer counts once.
    t.send_bytes(&[0x70, 3, 0, 50, 0x92]);
    t.see(Seen::Anomaly(50));
    t.expect_silence();
    t.send_bytes(&[0x70, 3, 0, 7, 0x92]);
    t.see_nothing();
    let frame = t.next_frame().expect("PUBLISH");
    assert_eq!((frame[0], &frame[5..7]), (0x34, &[0, 7][..]), "under the first identifier that is free");
    t.send_bytes(&[0x70, 3, 0, 7, 0x92]);
    assert_eq!(t.events().len(), 1, "no open exchange in that phase");
    for number in (1..=32).filter(|number| *number != 7) {
        t.send_bytes(&[0x70, 3, 0, number, 0x92]);
    }
    t.see_nothing();
}

#[test]
fn no_identifier_is_asked_for_where_the_server_takes_no_qos_2() {
    let mut t = held(100, &[Property::MaximumQos(Qos::AtLeastOnce)]);
    assert!(t.events().iter().any(|seen| matches!(
        seen,
        Seen::Done { outcome, .. } if outcome == "Refused(QosNotSupported)"
    )));
    t.expect_silence();
}
