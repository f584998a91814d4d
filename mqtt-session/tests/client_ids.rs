//! Who the client is where its name is empty, or too long for some.

use crate::common;

use core::time::Duration;

use common::{Seen, Trace, VERSIONS};
use mqtt_session::proto::{
    Connack, EncodeError, Packet, Peer, Properties, Property, Puback, Qos, ReasonCode, Version,
};
use mqtt_session::{Anomaly, ConnectOptions, HeapSession, StartError, Storage, Why};

/// The client identifier and Clean Start of CONNECT, read by hand: the decoder refuses what is too long in 3.1.
fn connect(frame: &[u8], version: Version) -> (String, bool) {
    // Two bytes of length at most, then the protocol name.
    let start = if frame[1] < 0x80 { 2 } else { 3 };
    let name = usize::from(frame[start + 1]);
    let flags = frame[start + 2 + name + 1];
    let mut at = start + 2 + name + 4;
    if version == Version::V5 {
        at += 1 + usize::from(frame[at]);
    }
    let len = usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    (String::from_utf8(frame[at + 2..at + 2 + len].to_vec()).unwrap(), flags & 2 != 0)
}

fn open<S: Storage>(t: &mut Trace<S>) -> (String, bool) {
    let frame = t.open();
    connect(&frame, t.version())
}

fn accept<S: Storage>(t: &mut Trace<S>, session_present: bool, properties: &[Property<'_>]) {
    t.send(Packet::Connack(Connack {
        session_present,
        reason_code: ReasonCode::Success,
        properties: Properties::List(properties),
    }));
}

// [5.0 MQTT-3.1.3-7], [U-37]
scenario!(an_assigned_client_identifier_is_used_again_so_that_its_session_is_resumed, |t| {
    t.options.client_id = "";
    t.options.session_expiry = 100;
    assert_eq!(open(t), (String::new(), true));
    accept(t, false, &[Property::AssignedClientIdentifier("auto-4711")]);
    assert_eq!(t.session.assigned_client_id(), Some("auto-4711"));
    t.events();
    t.publish("a", Qos::AtLeastOnce, b"1");
    t.drain();
    t.cut();
    // The session of that name goes on.
    assert_eq!(open(t), ("auto-4711".to_owned(), false));
    accept(t, true, &[]);
    let seen = t.events();
    assert!(seen.contains(&Seen::Connected { session_present: true, resumed: true }), "{seen:?}");
    let again = t.next_frame().unwrap();
    assert_eq!(again[0], 0x3A, "PUBLISH with DUP");
    t.send(Puback::new(common::id(1)));
    t.cut();
    assert_eq!(open(t).0, "auto-4711");
});

scenario!(an_assigned_client_identifier_ends_with_the_run, |t| {
    t.options.client_id = "";
    open(t);
    accept(t, false, &[Property::AssignedClientIdentifier("auto-1")]);
    t.session.stop(mqtt_session::Stop::now()).unwrap();
    t.drain();
    t.expect_closing();
    t.events();
    assert_eq!(open(t), (String::new(), true));
    accept(t, false, &[Property::AssignedClientIdentifier("auto-2")]);
    assert_eq!(t.session.assigned_client_id(), Some("auto-2"));
});

scenario!(an_assigned_client_identifier_too_long_to_keep_is_asked_for_anew, |t| {
    t.options.client_id = "";
    let long = "x".repeat(65);
    for _ in 0..2 {
        assert_eq!(open(t).0, "");
        accept(t, false, &[Property::AssignedClientIdentifier(&long)]);
        assert_eq!(t.session.assigned_client_id(), None);
        t.cut();
    }
});

// [5.0 MQTT-3.2.2-16]
scenario!(a_server_that_assigns_no_client_identifier_is_left, |t| {
    t.options.client_id = "";
    open(t);
    accept(t, false, &[]);
    let why = t.refuses(ReasonCode::ProtocolError);
    assert_eq!(why, Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.2.2-16"));
});

// [U-37]
scenario!(a_client_identifier_nobody_asked_for_is_told_and_not_used, |t| {
    open(t);
    t.events();
    accept(t, false, &[Property::AssignedClientIdentifier("other")]);
    let seen = t.events();
    assert!(seen.contains(&Seen::Odd(Anomaly::UnaskedClientId)), "{seen:?}");
    assert!(t.session.is_connected());
    assert_eq!(t.session.assigned_client_id(), None);
    t.cut();
    assert_eq!(open(t).0, "tester");
});

// [3.1.1 MQTT-3.1.3-7]
scenario!(an_empty_client_identifier_of_3_1_1_wants_a_clean_session, [Version::V3_1_1], |t| {
    t.options.client_id = "";
    t.options.clean_start = false;
    assert_eq!(t.session.start(&t.options), Err(StartError::Invalid(EncodeError::ClientIdNotValid)));
    t.options.clean_start = true;
    for _ in 0..2 {
        assert_eq!(open(t), (String::new(), true));
        t.connect_accepted();
        t.cut();
    }
});

// [U-36]
scenario!(an_empty_client_identifier_of_3_1_is_made_of_the_seed, [Version::V3_1], |t| {
    t.options.client_id = "";
    t.options.clean_start = false;
    for _ in 0..2 {
        // The seed of the tests is 1.
        assert_eq!(open(t), ("mqtt0000000000000001".to_owned(), false));
        t.connect_accepted();
        t.cut();
    }
});

// [U-36]
scenario!(a_client_identifier_over_23_characters_is_sent_to_3_1_with_a_warning, VERSIONS, |t| {
    for (client_id, long) in [("01234567890123456789012", false), ("012345678901234567890123", true)] {
        t.options.client_id = client_id;
        let warned = long && t.version() == Version::V3_1;
        let _ = t.session.start(&t.options);
        for _ in 0..2 {
            assert_eq!(open(t).0, client_id);
            let seen = t.events();
            assert_eq!(seen.contains(&Seen::Odd(Anomaly::LongClientId)), warned, "{seen:?}");
            t.connect_accepted();
            t.events();
            t.cut();
        }
    }
});

/// Whatever the name, the ladder goes down to a version that is spoken.
#[test]
fn the_ladder_reaches_3_1_with_an_empty_and_with_a_long_client_identifier() {
    let long = "a-client-identifier-of-more-than-23-characters";
    for (client_id, sent) in [("", ["", "", "mqtt0000000000000007"]), (long, [long; 3])] {
        for clean_start in [true, false] {
            let mut config = mqtt_session::Config::new(7);
            config.version_ladder = true;
            config.backoff.cap = Duration::from_millis(1);
            let mut t = Trace::new(HeapSession::new(config), usize::MAX);
            t.options = ConnectOptions { client_id, clean_start, ..ConnectOptions::new("") };
            for (version, sent) in [Version::V5, Version::V3_1_1, Version::V3_1].into_iter().zip(sent) {
                let frame = t.open();
                // Only what has no name is clean against the wish.
                let clean = clean_start || (version == Version::V3_1_1 && client_id.is_empty());
                assert_eq!(connect(&frame, version), (sent.to_owned(), clean), "{version:?}");
                if version != Version::V3_1 {
                    // "Unacceptable protocol version", as 3.1.1 says it.
                    t.send_bytes(b"\x20\x02\x00\x01");
                    t.expect_closing();
                }
            }
            t.send_bytes(b"\x20\x02\x00\x00");
            assert!(t.session.is_connected());
        }
    }
}

/// What is decoded by the strict reader is the same.
#[test]
fn a_made_client_identifier_is_one_that_3_1_allows() {
    let mut t = Trace::heap(common::config(), usize::MAX);
    t.options = ConnectOptions { version: Version::V3_1, ..ConnectOptions::new("") };
    let frame = t.open();
    let Ok(Packet::Connect(connect)) = Packet::decode(&frame, Version::V3_1, Peer::Client) else { panic!() };
    assert_eq!(connect.client_id, "mqtt0000000000000001");
}
