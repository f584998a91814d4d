//! Enhanced authentication: AUTH packets before CONNACK and while connected.

use crate::common;

use core::time::Duration;

use common::{Seen, Trace};
use mqtt_session::proto::{
    Auth, Connack, Disconnect, Packet, Peer, Properties, Property, Publish, Qos, ReasonCode, TopicName,
    Version,
};
use mqtt_session::{AuthError, Command, Message, Stop, Storage, Why};

const METHOD: &str = "LEMMA";
static FIRST: [Property<'_>; 2] =
    [Property::AuthenticationMethod(METHOD), Property::AuthenticationData(b"first")];

fn auth<'a>(reason_code: ReasonCode, list: &'a [Property<'a>]) -> Auth<'a> {
    Auth { reason_code, properties: Properties::List(list) }
}

fn step<'a>(data: &'a [u8]) -> [Property<'a>; 2] {
    [Property::AuthenticationMethod(METHOD), Property::AuthenticationData(data)]
}

fn seen(code: ReasonCode, data: &[u8]) -> Seen {
    Seen::Auth { code, method: Some(METHOD.to_owned()), data: Some(data.to_vec()) }
}

fn go_on<S: Storage>(t: &mut Trace<S>, data: &[u8]) -> Result<(), AuthError> {
    t.session.authenticate(&auth(ReasonCode::ContinueAuthentication, &step(data)))
}

fn challenge<S: Storage>(t: &mut Trace<S>, data: &[u8]) {
    t.send(auth(ReasonCode::ContinueAuthentication, &step(data)));
}

/// CONNECT with a method was sent.
fn open<S: Storage>(t: &mut Trace<S>) {
    t.options.properties = Properties::List(&FIRST);
    let frame = t.open();
    match Packet::decode(&frame, Version::V5, Peer::Client).unwrap() {
        Packet::Connect(connect) => {
            assert_eq!(connect.properties.authentication_method(), Some(METHOD));
            assert_eq!(connect.properties.authentication_data(), Some(&b"first"[..]));
        }
        other => panic!("{other:?}"),
    }
    t.events();
}

fn accept<S: Storage>(t: &mut Trace<S>, list: &[Property<'_>]) {
    t.send(Connack {
        session_present: false,
        reason_code: ReasonCode::Success,
        properties: Properties::List(list),
    });
}

/// CONNECT with a method was accepted.
fn connect<S: Storage>(t: &mut Trace<S>) {
    open(t);
    accept(t, &step(b"welcome"));
    t.see(Seen::Connected { session_present: false, resumed: false });
}

fn protocol(rule: &'static str) -> Why {
    Why::Protocol(ReasonCode::ProtocolError, rule)
}

scenario!(
    /// [5.0 MQTT-4.12.0-2] [5.0 MQTT-4.12.0-3] [5.0 MQTT-4.12.0-5] [5.0 MQTT-3.1.2-30]
    several_steps_lead_to_connack_and_nothing_else_is_sent_before,
    |t| {
        open(t);
        t.publish("early", Qos::AtMostOnce, b"waits");
        for round in [&b"one"[..], b"two", b"three"] {
            challenge(t, round);
            t.see(seen(ReasonCode::ContinueAuthentication, round));
            t.expect_silence();
            go_on(t, round).unwrap();
            t.expect(auth(ReasonCode::ContinueAuthentication, &step(round)));
        }
        t.expect_silence();
        accept(t, &step(b"proof"));
        t.see(Seen::Connected { session_present: false, resumed: false });
        t.expect(Publish {
            dup: false,
            qos: Qos::AtMostOnce,
            retain: false,
            topic: TopicName::new("early").ok(),
            packet_id: None,
            properties: Properties::EMPTY,
            payload: b"waits",
        });
    }
);

scenario!(
    /// [5.0 MQTT-4.12.0-1] [5.0 MQTT-4.12.0-4]
    a_refusal_after_some_steps_stops_and_is_told_with_what_the_server_said,
    |t| {
        for code in [ReasonCode::NotAuthorized, ReasonCode::BadAuthenticationMethod] {
            open(t);
            challenge(t, b"who");
            go_on(t, b"me").unwrap();
            t.next_frame();
            t.events();
            t.send(Connack {
                session_present: false,
                reason_code: code,
                properties: Properties::List(&[Property::ReasonString("no")]),
            });
            t.see(Seen::ServerClosing { code, reference: None, reason: Some("no".to_owned()) });
            assert_eq!(t.closes_somehow(), Why::Refused(code));
            t.see(Seen::Stopped { left: 0 });
        }
    }
);

scenario!(
    /// [5.0 MQTT-4.12.0-6] [S15]
    s15_an_auth_without_a_method_in_connect_is_a_protocol_error,
    |t| {
        t.open();
        challenge(t, b"who");
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-6"));
        t.connect();
        challenge(t, b"who");
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-6"));
    }
);

scenario!(
    /// [5.0 MQTT-4.12.0-6] [S15]
    s15_a_method_in_connack_that_was_not_asked_for_is_a_protocol_error,
    |t| {
        t.open();
        accept(t, &[Property::AuthenticationMethod(METHOD)]);
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-6"));
    }
);

scenario!(
    /// [5.0 MQTT-4.12.0-5] [S15]
    s15_another_method_in_auth_or_connack_is_a_protocol_error,
    |t| {
        let other = [Property::AuthenticationMethod("OTHER")];
        open(t);
        t.send(auth(ReasonCode::ContinueAuthentication, &other));
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-5"));
        open(t);
        accept(t, &other);
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-5"));
        open(t);
        accept(t, &[]);
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-5"));
        connect(t);
        t.session.authenticate(&auth(ReasonCode::ReAuthenticate, &step(b"again"))).unwrap();
        t.next_frame();
        t.send(auth(ReasonCode::Success, &other));
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-5"));
    }
);

scenario!(nothing_of_an_authentication_comes_between_the_pieces_of_a_payload, |t| {
    connect(t);
    let message = Message::new(TopicName::new("big").unwrap()).qos(Qos::AtMostOnce);
    let token = t.session.publish_chunked(&message, 20).unwrap();
    t.see(Seen::PayloadWanted { token, offset: 0 });
    t.session.provide(token, 0, &[1; 10]).unwrap();
    let again = [Property::AuthenticationMethod(METHOD)];
    let again = auth(ReasonCode::ReAuthenticate, &again);
    assert_eq!(t.session.authenticate(&again), Err(AuthError::NoRoom));
    t.see(Seen::PayloadWanted { token, offset: 10 });
    t.session.provide(token, 10, &[2; 10]).unwrap();
    t.session.authenticate(&again).unwrap();
    t.expect(Publish::new(TopicName::new("big").unwrap(), &[[1; 10], [2; 10]].concat()));
    t.expect(again);
});

scenario!(
    /// [5.0 MQTT-4.12.0-2] [S15]
    s15_success_before_connack_is_a_protocol_error,
    |t| {
        open(t);
        t.send(auth(ReasonCode::Success, &step(b"done")));
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-2"));
        open(t);
        t.send_bytes(&[0xF0, 0x00]);
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-2"));
    }
);

scenario!(
    /// [5.0 MQTT-3.15.1-1] [5.0 MQTT-3.15.2-1] [U-18] [S15]
    s15_an_auth_with_wrong_flags_reason_or_without_a_method_is_malformed,
    |t| {
        for (bytes, code) in [
            (&[0xF1, 0x00][..], ReasonCode::MalformedPacket),
            // 0x19 is the client's.
            (b"\xF0\x0A\x19\x08\x15\x00\x05LEMMA", ReasonCode::ProtocolError),
            (&[0xF0, 0x02, 0x18, 0x00], ReasonCode::ProtocolError),
        ] {
            open(t);
            t.send_bytes(bytes);
            assert!(matches!(t.refuses(code), Why::Malformed(_)), "{bytes:02x?}");
        }
    }
);

scenario!(
    /// [U-17] [U-38] [S15]
    s15_data_without_a_method_two_methods_and_the_clients_reason_are_malformed,
    |t| {
        for bytes in [
            // CONNACK and AUTH with Authentication Data alone.
            &b"\x20\x07\x00\x00\x04\x16\x00\x01x"[..],
            b"\xF0\x06\x18\x04\x16\x00\x01x",
            // Two methods.
            b"\xF0\x0A\x18\x08\x15\x00\x01a\x15\x00\x01a",
            // Re-authenticate is the client's to say.
            b"\xF0\x06\x19\x04\x15\x00\x01a",
        ] {
            open(t);
            t.send_bytes(bytes);
            assert!(matches!(t.refuses(ReasonCode::ProtocolError), Why::Malformed(_)), "{bytes:02x?}");
        }
    }
);

scenario!(
    /// [5.0 MQTT-4.12.0-3] A server that does not wait for its answer.
    a_second_challenge_or_connack_before_the_answer_is_a_protocol_error,
    |t| {
        open(t);
        challenge(t, b"one");
        challenge(t, b"two");
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-3"));
        open(t);
        challenge(t, b"one");
        accept(t, &step(b"welcome"));
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.0-3"));
    }
);

scenario!(
    /// [5.0 MQTT-3.2.0-1] [5.0 MQTT-3.1.4-6] [5.0 MQTT-3.14.0-1] [M2]
    m02_before_connack_only_connack_and_auth_are_taken_and_only_small_ones,
    [Version::V5],
    |c| {
        c.max_packet_in = 1 << 20;
    },
    |t| {
        open(t);
        t.send(Disconnect::new(ReasonCode::ServerBusy));
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-3.14.0-1"));
        open(t);
        // Judged by its first byte: not even the rest of its header is waited for.
        t.send_bytes(&[0x30]);
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-3.2.0-1"));
        open(t);
        // AUTH of 100,000 bytes.
        t.send_bytes(&[0xF0, 0xA0, 0x8D, 0x06]);
        assert!(matches!(t.refuses(ReasonCode::PacketTooLarge), Why::Malformed(_)));
    }
);

scenario!(
    /// All steps together have the time of one CONNACK.
    m02_the_deadline_of_connack_goes_on_while_steps_are_taken,
    |t| {
        open(t);
        for round in 0..3 {
            t.after(Duration::from_secs(3));
            challenge(t, &[round]);
            go_on(t, &[round]).unwrap();
            t.next_frame();
        }
        t.events();
        t.after(Duration::from_millis(999));
        assert_eq!(t.command(), None);
        t.after(Duration::from_millis(2));
        assert_eq!(t.closes_somehow(), Why::HandshakeTimeout);
    }
);

scenario!(
    /// [5.0 MQTT-4.12.0-7]
    without_a_method_auth_is_never_sent_nor_on_3_x,
    common::VERSIONS,
    |t| {
        assert_eq!(go_on(t, b"x"), Err(AuthError::NotConnected));
        if t.version() != Version::V5 {
            // Properties have no place there.
            t.options.properties = Properties::List(&FIRST);
        }
        t.open();
        assert_eq!(go_on(t, b"x"), Err(AuthError::NoMethod));
        t.connect_accepted();
        let again = auth(ReasonCode::ReAuthenticate, &FIRST);
        assert_eq!(t.session.authenticate(&again), Err(AuthError::NoMethod));
        t.expect_silence();
        t.cut();
        assert_eq!(t.session.authenticate(&again), Err(AuthError::NotConnected));
    }
);

scenario!(
    /// AUTH is of 5.0 alone.
    auth_from_a_3_x_server_ends_the_connection,
    [Version::V3_1, Version::V3_1_1],
    |t| {
        t.open();
        t.send_bytes(&[0xF0, 0x00]);
        assert_eq!(t.expect_closing(), protocol("MQTT-3.2.0-1"));
        t.connect();
        t.send_bytes(&[0xF0, 0x00]);
        assert!(matches!(t.expect_closing(), Why::Malformed(_)));
    }
);

scenario!(
    /// [5.0 MQTT-4.12.0-3] [5.0 MQTT-4.12.0-5] [5.0 MQTT-4.12.1-1] [5.0 MQTT-3.15.2-1]
    an_auth_out_of_turn_or_of_another_method_is_refused_and_changes_nothing,
    |t| {
        open(t);
        let again = auth(ReasonCode::ReAuthenticate, &FIRST);
        assert_eq!(go_on(t, b"early"), Err(AuthError::OutOfTurn));
        assert_eq!(t.session.authenticate(&again), Err(AuthError::OutOfTurn));
        challenge(t, b"who");
        assert_eq!(t.session.authenticate(&again), Err(AuthError::OutOfTurn));
        let other = [Property::AuthenticationMethod("OTHER")];
        let other = auth(ReasonCode::ContinueAuthentication, &other);
        assert_eq!(t.session.authenticate(&other), Err(AuthError::MethodChanged));
        let none = auth(ReasonCode::ContinueAuthentication, &[]);
        assert_eq!(t.session.authenticate(&none), Err(AuthError::MethodChanged));
        let wrong = auth(ReasonCode::Success, &FIRST);
        assert_eq!(t.session.authenticate(&wrong), Err(AuthError::InvalidReason));
        t.expect_silence();
        go_on(t, b"me").unwrap();
        assert_eq!(go_on(t, b"twice"), Err(AuthError::OutOfTurn));
        t.expect(auth(ReasonCode::ContinueAuthentication, &step(b"me")));
        accept(t, &FIRST);
        t.events();
        assert_eq!(go_on(t, b"late"), Err(AuthError::OutOfTurn));
        t.expect_silence();
    }
);

scenario!(
    /// [5.0 MQTT-4.12.1-1]
    re_authentication_goes_through_its_steps_while_messages_flow,
    |t| {
        connect(t);
        t.session.authenticate(&auth(ReasonCode::ReAuthenticate, &step(b"again"))).unwrap();
        t.expect(auth(ReasonCode::ReAuthenticate, &step(b"again")));
        let token = t.publish("a", Qos::AtLeastOnce, b"x");
        assert_eq!(t.next_frame().unwrap()[0], 0x32);
        challenge(t, b"prove");
        t.see(seen(ReasonCode::ContinueAuthentication, b"prove"));
        t.send(mqtt_session::proto::Puback::new(common::id(1)));
        t.done(token, "Acked(Success)");
        go_on(t, b"proof").unwrap();
        t.expect(auth(ReasonCode::ContinueAuthentication, &step(b"proof")));
        t.send(auth(ReasonCode::Success, &step(b"fine")));
        t.see(seen(ReasonCode::Success, b"fine"));
        // And once more, answered by the shortest form.
        t.session.authenticate(&auth(ReasonCode::ReAuthenticate, &step(b"third"))).unwrap();
        t.next_frame();
        t.send_bytes(&[0xF0, 0x00]);
        t.see(Seen::Auth { code: ReasonCode::Success, method: None, data: None });
        assert!(t.session.is_connected());
    }
);

scenario!(
    /// [5.0 MQTT-4.12.1-2]
    a_refused_re_authentication_ends_the_run,
    |t| {
        connect(t);
        t.session.authenticate(&auth(ReasonCode::ReAuthenticate, &FIRST)).unwrap();
        t.next_frame();
        t.send(Disconnect::new(ReasonCode::NotAuthorized));
        assert_eq!(t.closes_somehow(), Why::ServerDisconnected(ReasonCode::NotAuthorized));
        t.see(Seen::Stopped { left: 0 });
    }
);

scenario!(
    /// [5.0 MQTT-4.12.1-2] The application finds the server's proof wrong.
    the_client_may_end_a_failed_re_authentication_with_disconnect,
    |t| {
        connect(t);
        t.session.authenticate(&auth(ReasonCode::ReAuthenticate, &FIRST)).unwrap();
        t.next_frame();
        challenge(t, b"forged");
        t.events();
        t.session.stop(Stop::now()).unwrap();
        t.expect(Disconnect::new(ReasonCode::Success));
        assert_eq!(t.command(), Some(Command::Close));
    }
);

scenario!(
    /// [5.0 MQTT-4.12.1-2] Waiting for a server that never answers has an end.
    a_re_authentication_without_an_answer_is_given_up,
    |t| {
        connect(t);
        t.session.authenticate(&auth(ReasonCode::ReAuthenticate, &FIRST)).unwrap();
        t.next_frame();
        t.after(Duration::from_millis(9_999));
        assert_eq!(t.command(), None);
        t.after(Duration::from_millis(2));
        assert_eq!(t.refuses(ReasonCode::UnspecifiedError), Why::AuthTimeout);
        // The next connection begins anew.
        connect(t);
        t.after(Duration::from_secs(30));
        assert_eq!(t.command(), None);
    }
);

scenario!(
    /// While the driver keeps input back no answer can be seen, so none is missed.
    a_re_authentication_waits_for_an_application_that_is_slow,
    |t| {
        connect(t);
        t.session.authenticate(&auth(ReasonCode::ReAuthenticate, &FIRST)).unwrap();
        t.next_frame();
        t.session.hold_input(true);
        t.after(Duration::from_secs(25));
        assert_eq!(t.command(), None);
        t.session.hold_input(false);
        t.after(Duration::from_secs(10));
        assert_eq!(t.refuses(ReasonCode::UnspecifiedError), Why::AuthTimeout);
    }
);

scenario!(
    /// [5.0 MQTT-4.12.1-1] Only the client begins again.
    an_auth_nobody_asked_for_is_a_protocol_error,
    |t| {
        connect(t);
        challenge(t, b"again");
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-4.12.1-1"));
    }
);

scenario!(
    /// [5.0 MQTT-3.15.2-2] [5.0 MQTT-3.15.2-3]
    auth_leaves_out_what_only_explains_when_the_server_takes_no_more,
    |t| {
        open(t);
        accept(t, &[Property::AuthenticationMethod(METHOD), Property::MaximumPacketSize(24)]);
        t.events();
        let long = [
            Property::AuthenticationMethod(METHOD),
            Property::AuthenticationData(b"data"),
            Property::ReasonString("because"),
            Property::UserProperty("name", "value"),
        ];
        t.session.authenticate(&auth(ReasonCode::ReAuthenticate, &long)).unwrap();
        t.expect(auth(ReasonCode::ReAuthenticate, &step(b"data")));
        challenge(t, b"?");
        let needed = 2 + 1 + 1 + 8 + 3 + 20;
        assert_eq!(go_on(t, &[7; 20]), Err(AuthError::TooLargeForServer { needed, allowed: 24 }));
        go_on(t, b"ok").unwrap();
    }
);

scenario!(
    /// What is sent lies in the wire buffer, which is bounded.
    an_auth_that_finds_no_room_is_refused_and_may_be_sent_later,
    |t| {
        open(t);
        challenge(t, b"who");
        let huge = go_on(t, &[1; 2000]);
        assert!(matches!(huge, Err(AuthError::TooLarge { allowed: 1024, .. })), "{huge:?}");
        accept_after(t);
        t.writable = false;
        for _ in 0..4 {
            t.publish("fill", Qos::AtMostOnce, &[2; 200]);
        }
        let again = step(&[3; 300]);
        let again = auth(ReasonCode::ReAuthenticate, &again);
        assert_eq!(t.session.authenticate(&again), Err(AuthError::NoRoom));
        t.writable = true;
        t.drain();
        t.session.authenticate(&again).unwrap();
        let last = core::iter::from_fn(|| t.next_frame()).last().unwrap();
        assert_eq!(last[0], 0xF0);
    }
);

fn accept_after<S: Storage>(t: &mut Trace<S>) {
    go_on(t, b"me").unwrap();
    t.next_frame();
    accept(t, &FIRST);
    t.events();
}

scenario!(
    /// [5.0 MQTT-3.1.2-29]
    reasons_in_auth_come_only_where_they_were_asked_for,
    |t| {
        static SILENT: [Property<'_>; 2] =
            [Property::AuthenticationMethod(METHOD), Property::RequestProblemInformation(false)];
        t.options.properties = Properties::List(&SILENT);
        t.open();
        let why = [Property::AuthenticationMethod(METHOD), Property::ReasonString("because")];
        t.send(auth(ReasonCode::ContinueAuthentication, &why));
        assert_eq!(t.refuses(ReasonCode::ProtocolError), protocol("MQTT-3.1.2-29"));
    }
);

#[test]
fn no_debug_output_shows_authentication_data_or_a_password() {
    let mut t = Trace::heap(common::config(), usize::MAX);
    t.writable = false;
    static SECRET: [Property<'_>; 2] =
        [Property::AuthenticationMethod(METHOD), Property::AuthenticationData(b"0123456789")];
    t.options.properties = Properties::List(&SECRET);
    t.options.username = Some("user");
    t.options.password = Some(b"0123456789");
    t.session.start(&t.options).unwrap();
    t.drain();
    assert!(matches!(t.command(), Some(Command::Open { .. })));
    t.session.opened(&t.options, t.now);
    t.drain();
    let printed = format!("{:?} {:?} {:?}", t.session, t.options, auth(ReasonCode::ReAuthenticate, &SECRET));
    for secret in ["0123456789", "48, 49, 50", "30, 31, 32"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
