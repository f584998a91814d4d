//! Outgoing messages whose payload is provided in pieces while they are sent.

use crate::common;

use core::time::Duration;

use common::{Seen, Trace, VERSIONS, config, id};
use mqtt_session::proto::{
    Packet, PacketType, Peer, Pingreq, Pingresp, Properties, Property, Puback, Pubcomp, Publish, Pubrec,
    Pubrel, Qos, ReasonCode, TopicName, Version,
};
use mqtt_session::{AckMode, Message, ProvideError, PublishError, Storage, Token, Why};

/// Larger than the wire buffer and than all memory of the fixed storage.
const LEN: usize = 10_000;

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn topic() -> TopicName<'static> {
    TopicName::new("big").unwrap()
}

fn publish<S: Storage>(t: &mut Trace<S>, qos: Qos, len: usize) -> Token {
    t.session.publish_chunked(&Message::new(topic()).qos(qos), len as u32).expect("accepted")
}

/// Provides what is asked for, `piece` bytes at a time, until nothing more is.
fn serve<S: Storage>(t: &mut Trace<S>, token: Token, payload: &[u8], piece: usize) {
    for _ in 0..100_000 {
        t.drain();
        let Some(place) = t.take_event(|seen| match seen {
            Seen::PayloadWanted { token: wanted, offset } if *wanted == token => Some(*offset as usize),
            _ => None,
        }) else {
            return;
        };
        let part = &payload[place..payload.len().min(place + piece)];
        let taken = t.session.provide(token, place as u32, part).expect("what was asked for");
        assert!(taken > 0, "asked for what there is no room for");
    }
    panic!("asked for more than there is");
}

fn expect_publish<S: Storage>(t: &mut Trace<S>, qos: Qos, packet_id: u16, dup: bool, payload: &[u8]) {
    let packet_id = (qos != Qos::AtMostOnce).then(|| id(packet_id));
    t.expect(Publish { dup, qos, packet_id, ..Publish::new(topic(), payload) });
}

scenario!(a_payload_in_pieces_is_one_packet_like_any_other, VERSIONS, |t| {
    t.connect();
    for len in [1, 100, 1_024, LEN] {
        for piece in [1, 7, 500, LEN] {
            let payload = payload(len);
            let token = publish(t, Qos::AtLeastOnce, len);
            serve(t, token, &payload, piece.max(len / 2_000));
            let frame = t.next_frame().expect("PUBLISH");
            let Packet::Publish(sent) = Packet::decode(&frame, t.version(), Peer::Client).unwrap() else {
                panic!("not a PUBLISH")
            };
            assert_eq!((sent.payload, sent.topic), (&payload[..], Some(topic())));
            t.send(Puback::new(sent.packet_id.unwrap()));
            t.done(token, "Acked(Success)");
            t.expect_silence();
            t.see_nothing();
        }
    }
});

scenario!(every_quality_of_service_ends_in_one_outcome, VERSIONS, |t| {
    t.connect();
    let payload = payload(LEN);
    let token = publish(t, Qos::AtMostOnce, LEN);
    serve(t, token, &payload, LEN);
    expect_publish(t, Qos::AtMostOnce, 0, false, &payload);
    // Who provides a payload is always told when it is not needed any more.
    t.done(token, "Sent");
    let token = publish(t, Qos::ExactlyOnce, LEN);
    serve(t, token, &payload, LEN);
    expect_publish(t, Qos::ExactlyOnce, 1, false, &payload);
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    t.send(Pubcomp::new(id(1)));
    t.done(token, "Acked(Success)");
});

scenario!(an_empty_payload_is_never_asked_for, VERSIONS, |t| {
    t.connect();
    let first = publish(t, Qos::AtLeastOnce, 0);
    let second = publish(t, Qos::AtMostOnce, 0);
    expect_publish(t, Qos::AtLeastOnce, 1, false, b"");
    expect_publish(t, Qos::AtMostOnce, 0, false, b"");
    t.done(second, "Sent");
    t.send(Puback::new(id(1)));
    t.done(first, "Acked(Success)");
    t.see_nothing();
});

scenario!(nothing_comes_between_the_pieces, VERSIONS, |t| {
    t.connect();
    let payload = payload(LEN);
    let token = publish(t, Qos::AtLeastOnce, LEN);
    t.see(Seen::PayloadWanted { token, offset: 0 });
    assert_eq!(t.session.provide(token, 0, &payload[..300]).unwrap(), 300);
    t.see(Seen::PayloadWanted { token, offset: 300 });
    // An acknowledgement, a ping, a message each way and a subscription: all behind it.
    t.send(Publish {
        qos: Qos::AtLeastOnce,
        packet_id: Some(id(9)),
        ..Publish::new(TopicName::new("in").unwrap(), b"in")
    });
    assert!(matches!(t.event(), Seen::Message { .. }));
    t.session.check_link();
    t.publish("small", Qos::AtMostOnce, b"direct");
    t.publish("small", Qos::AtLeastOnce, b"queued");
    assert!(!t.session.can_publish(Qos::AtMostOnce));
    t.drain();
    assert_eq!(t.session.provide(token, 300, &payload[300..600]).unwrap(), 300);
    t.see(Seen::PayloadWanted { token, offset: 600 });
    t.session.provide(token, 600, &payload[600..700]).unwrap();
    serve(t, token, &payload, 900);
    expect_publish(t, Qos::AtLeastOnce, 1, false, &payload);
    t.expect(Puback::new(id(9)));
    t.expect(Pingreq);
    t.send(Pingresp);
    t.expect(Publish::new(TopicName::new("small").unwrap(), b"direct"));
    assert_eq!(t.next_frame().unwrap()[0], 0x32);
    t.expect_silence();
});

scenario!(
    an_acknowledgement_with_properties_waits_for_the_payload_too,
    [Version::V5],
    |c| {
        c.ack_mode = AckMode::Manual;
    },
    |t| {
        t.connect();
        let payload = payload(600);
        t.send(Publish {
            qos: Qos::AtLeastOnce,
            packet_id: Some(id(9)),
            ..Publish::new(TopicName::new("in").unwrap(), b"in")
        });
        let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!("a message") };
        let token = publish(t, Qos::AtLeastOnce, 600);
        t.see(Seen::PayloadWanted { token, offset: 0 });
        t.session.provide(token, 0, &payload[..300]).unwrap();
        let why = [Property::ReasonString("because")];
        t.session.acknowledge(ack, ReasonCode::Success, Properties::List(&why)).unwrap();
        serve(t, token, &payload, 300);
        expect_publish(t, Qos::AtLeastOnce, 1, false, &payload);
        t.expect(Puback::with(id(9), ReasonCode::Success, Properties::List(&why)));
        assert_eq!(t.session.stats().packets_out.of(PacketType::Puback), 1);
    }
);

scenario!(
    /// [5.0 MQTT-3.3.1-1] [5.0 MQTT-4.4.0-1]: sent again from its first byte, wherever it was cut.
    after_a_cut_the_payload_is_asked_for_from_the_beginning,
    VERSIONS,
    |t| {
        t.options.clean_start = false;
        t.connect();
        let payload = payload(LEN);
        let token = publish(t, Qos::AtLeastOnce, LEN);
        t.see(Seen::PayloadWanted { token, offset: 0 });
        t.session.provide(token, 0, &payload[..700]).unwrap();
        t.cut();
        // What is in the middle is of a connection that has gone.
        assert_eq!(t.session.provide(token, 700, &payload[700..]), Err(ProvideError::Stale));
        t.events();
        t.resume();
        serve(t, token, &payload, 1_000);
        expect_publish(t, Qos::AtLeastOnce, 1, true, &payload);
        // Whole, and cut before its acknowledgement: once more.
        t.cut();
        t.events();
        t.resume();
        t.see(Seen::PayloadWanted { token, offset: 0 });
        assert_eq!(
            t.session.provide(token, 5, &payload[5..]),
            Err(ProvideError::OutOfPlace { wanted: 0 }),
            "what was provided before does not count"
        );
        let mut at = t.session.provide(token, 0, &payload).unwrap();
        while at < LEN {
            t.see(Seen::PayloadWanted { token, offset: at as u32 });
            at += t.session.provide(token, at as u32, &payload[at..]).unwrap();
        }
        expect_publish(t, Qos::AtLeastOnce, 1, true, &payload);
        t.send(Puback::new(id(1)));
        t.done(token, "Acked(Success)");
        assert_eq!(t.session.provide(token, 0, &payload), Err(ProvideError::Stale));
    }
);

scenario!(
    /// [5.0 MQTT-4.3.3-6] [3.1.1 MQTT-4.3.3-1]
    past_pubrec_the_payload_is_never_asked_for_again,
    VERSIONS,
    |t| {
        t.options.clean_start = false;
        t.connect();
        let payload = payload(2_000);
        let token = publish(t, Qos::ExactlyOnce, 2_000);
        serve(t, token, &payload, 2_000);
        expect_publish(t, Qos::ExactlyOnce, 1, false, &payload);
        t.send(Pubrec::new(id(1)));
        t.expect(Pubrel::new(id(1)));
        t.cut();
        t.events();
        t.resume();
        t.expect(Pubrel::new(id(1)));
        t.send(Pubcomp::new(id(1)));
        t.done(token, "Acked(Success)");
    }
);

scenario!(a_cut_at_qos_0_is_told, VERSIONS, |t| {
    t.connect();
    let token = publish(t, Qos::AtMostOnce, LEN);
    t.see(Seen::PayloadWanted { token, offset: 0 });
    t.session.provide(token, 0, &payload(200)).unwrap();
    t.cut();
    assert!(matches!(t.event(), Seen::Disconnected { .. }));
    t.done(token, "Lost");
});

scenario!(a_lost_session_publishes_it_again_as_a_new_message, [Version::V5], |t| {
    t.options.session_expiry = 100;
    t.connect();
    let payload = payload(2_000);
    let token = publish(t, Qos::AtLeastOnce, 2_000);
    serve(t, token, &payload, 2_000);
    t.next_frame().unwrap();
    t.cut();
    t.events();
    t.connect();
    t.see(Seen::SessionLost { republished: 1, ended: 0 });
    serve(t, token, &payload, 2_000);
    expect_publish(t, Qos::AtLeastOnce, 2, false, &payload);
});

scenario!(the_payload_counts_nowhere_against_the_queue, VERSIONS, |t| {
    // Larger than `queue_bytes`, five times over, while nothing is connected.
    let tokens: Vec<Token> = (0..5).map(|_| publish(t, Qos::AtLeastOnce, LEN)).collect();
    assert_eq!(t.session.stats().bytes_kept, 5 * (3 + 8));
    t.connect();
    let payload = payload(LEN);
    for (number, token) in tokens.into_iter().enumerate() {
        serve(t, token, &payload, LEN);
        expect_publish(t, Qos::AtLeastOnce, number as u16 + 1, false, &payload);
    }
});

scenario!(it_can_be_taken_back_while_nothing_was_sent, VERSIONS, |t| {
    let first = publish(t, Qos::AtLeastOnce, LEN);
    let second = publish(t, Qos::AtLeastOnce, LEN);
    assert!(t.session.cancel(first));
    t.done(first, "Cancelled");
    t.connect();
    t.see(Seen::PayloadWanted { token: second, offset: 0 });
    assert!(!t.session.cancel(second));
});

scenario!(
    a_source_that_falls_silent_ends_the_connection_and_its_message,
    VERSIONS,
    |c| { c.source_timeout = Duration::from_secs(7) },
    |t| {
        t.options.clean_start = false;
        t.connect();
        let silent = publish(t, Qos::AtLeastOnce, LEN);
        let behind = t.publish("behind", Qos::AtLeastOnce, b"it");
        t.see(Seen::PayloadWanted { token: silent, offset: 0 });
        t.after(Duration::from_secs(6));
        t.session.provide(silent, 0, &payload(10)).unwrap();
        t.see(Seen::PayloadWanted { token: silent, offset: 10 });
        t.after(Duration::from_millis(6_999));
        t.see_nothing();
        t.after(Duration::from_millis(1));
        t.done(silent, "Abandoned");
        assert_eq!(t.expect_closing(), Why::SourceTimeout);
        // The server never had all of it: the session goes on, and the identifier is free.
        t.resume();
        t.expect(Publish {
            qos: Qos::AtLeastOnce,
            packet_id: Some(id(2)),
            ..Publish::new(TopicName::new("behind").unwrap(), b"it")
        });
        t.send(Puback::new(id(2)));
        t.done(behind, "Acked(Success)");
    }
);

scenario!(
    a_source_that_falls_silent_on_the_second_round_ends_the_session_too,
    [Version::V5],
    |c| { c.source_timeout = Duration::from_secs(7) },
    |t| {
        t.options.session_expiry = 100;
        t.connect();
        let token = publish(t, Qos::ExactlyOnce, 2_000);
        serve(t, token, &payload(2_000), 2_000);
        t.cut();
        t.events();
        t.resume();
        t.see(Seen::PayloadWanted { token, offset: 0 });
        t.after(Duration::from_secs(7));
        t.done(token, "Abandoned");
        assert_eq!(t.expect_closing(), Why::SourceTimeout);
        let connect = t.open();
        assert_eq!(connect[9] & 0b10, 0b10, "Clean Start: the server may hold a half of the exchange");
    }
);

scenario!(
    a_source_is_not_blamed_for_a_transport_that_takes_nothing,
    VERSIONS,
    |c| { c.source_timeout = Duration::from_secs(1) },
    |t| {
        t.options.keep_alive = 0;
        t.connect();
        let token = publish(t, Qos::AtLeastOnce, LEN);
        t.see(Seen::PayloadWanted { token, offset: 0 });
        t.writable = false;
        let payload = payload(LEN);
        let mut at = 0;
        loop {
            let taken = t.session.provide(token, at, &payload[at as usize..]).unwrap();
            if taken == 0 {
                break;
            }
            at += taken as u32;
        }
        t.after(Duration::from_secs(100));
        t.see_nothing();
        t.writable = true;
        t.see(Seen::PayloadWanted { token, offset: at });
        t.after(Duration::from_secs(1));
        t.done(token, "Abandoned");
    }
);

scenario!(
    /// [5.0 MQTT-3.1.2-20] [3.1.1 MQTT-3.1.2-23]: a packet being sent is no silence, and the ping that falls
    /// due meanwhile has its time from when it can be sent.
    keep_alive_waits_for_the_end_of_the_packet,
    VERSIONS,
    |t| {
        t.options.keep_alive = 10;
        t.connect();
        let payload = payload(LEN);
        let token = publish(t, Qos::AtLeastOnce, LEN);
        // A piece every 6 s for two minutes, and not a byte from the server.
        for piece in 0..20 {
            t.see(Seen::PayloadWanted { token, offset: piece * 500 });
            t.session.provide(token, piece * 500, &payload[piece as usize * 500..][..500]).unwrap();
            t.after(Duration::from_secs(6));
        }
        expect_publish(t, Qos::AtLeastOnce, 1, false, &payload);
        t.expect(Pingreq);
        t.after(Duration::from_secs(5));
        assert_eq!(t.expect_closing(), Why::PingTimeout);
    }
);

scenario!(a_transport_that_takes_nothing_in_the_middle_is_found, VERSIONS, |t| {
    t.options.keep_alive = 10;
    t.connect();
    let token = publish(t, Qos::AtLeastOnce, LEN);
    t.see(Seen::PayloadWanted { token, offset: 0 });
    t.writable = false;
    t.session.provide(token, 0, &payload(1_000)).unwrap();
    t.after(Duration::from_secs(15));
    assert_eq!(t.expect_closing(), Why::PingTimeout);
});

scenario!(
    /// A DISCONNECT in the middle of a payload would be a part of it.
    stopping_in_the_middle_closes_without_a_last_word,
    VERSIONS,
    |t| {
        t.connect();
        let token = publish(t, Qos::AtLeastOnce, LEN);
        t.see(Seen::PayloadWanted { token, offset: 0 });
        let head = t.take_sent();
        t.session.stop(mqtt_session::Stop::now()).unwrap();
        assert_eq!(t.expect_closing(), Why::Stopped);
        assert!(head.starts_with(&[0x32]) && head.len() < 20);
        t.done(token, "Stopped");
        t.see(Seen::Stopped { left: 1 });
    }
);

scenario!(a_drain_waits_for_the_payload, VERSIONS, |t| {
    t.connect();
    let token = publish(t, Qos::AtLeastOnce, LEN);
    t.session.stop(mqtt_session::Stop::drain(Duration::from_secs(10))).unwrap();
    let payload = payload(LEN);
    serve(t, token, &payload, 900);
    expect_publish(t, Qos::AtLeastOnce, 1, false, &payload);
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
    assert_eq!(t.next_frame().unwrap()[0], 0xE0);
});

scenario!(more_or_other_bytes_than_announced_are_refused, VERSIONS, |t| {
    t.connect();
    let token = publish(t, Qos::AtLeastOnce, 100);
    let payload = payload(101);
    assert_eq!(t.session.provide(token, 0, &payload[..1]), Err(ProvideError::Stale), "not asked for yet");
    t.see(Seen::PayloadWanted { token, offset: 0 });
    assert_eq!(t.session.provide(token, 0, &payload), Err(ProvideError::TooLong { left: 100 }));
    assert_eq!(t.session.provide(token, 1, &payload[1..2]), Err(ProvideError::OutOfPlace { wanted: 0 }));
    assert_eq!(t.session.provide(token, 0, &[]), Ok(0));
    assert_eq!(t.session.provide(token, 0, &payload[..60]), Ok(60));
    assert_eq!(t.session.provide(token, 60, &payload[60..]), Err(ProvideError::TooLong { left: 40 }));
    assert_eq!(t.session.provide(token, 60, &payload[60..100]), Ok(40));
    expect_publish(t, Qos::AtLeastOnce, 1, false, &payload[..100]);
});

scenario!(limits_hold_for_the_announced_length, [Version::V5], |t| {
    let too_long = t.session.publish_chunked(&Message::new(topic()), u32::MAX);
    assert!(
        matches!(too_long, Err(PublishError::TooLarge { .. } | PublishError::Invalid(_))),
        "{too_long:?}"
    );
    t.connect_with(false, &[Property::MaximumPacketSize(500)]);
    let refused = t.session.publish_chunked(&Message::new(topic()), 600);
    assert!(matches!(refused, Err(PublishError::TooLargeForServer { allowed: 500, .. })), "{refused:?}");
    // Told after it was accepted.
    let token = publish(t, Qos::AtLeastOnce, 400);
    t.see(Seen::PayloadWanted { token, offset: 0 });
    t.cut();
    t.events();
    t.connect_with(false, &[Property::MaximumPacketSize(300)]);
    assert_eq!(t.event(), Seen::SessionLost { republished: 1, ended: 0 });
    t.done(token, &format!("{:?}", mqtt_session::Outcome::Refused(ReasonCode::PacketTooLarge)));
});

#[test]
fn a_large_wire_buffer_asks_for_64_kib_at_a_time() {
    let mut config = config();
    config.wire_bytes = 1 << 20;
    let mut t = Trace::heap(config, usize::MAX);
    t.connect();
    t.writable = false;
    let token = publish(&mut t, Qos::AtLeastOnce, 1 << 20);
    assert!(!t.session.outgoing(t.now).is_empty());
    t.see(Seen::PayloadWanted { token, offset: 0 });
    let taken = t.session.provide(token, 0, &payload(1 << 20)).unwrap();
    assert!((60 * 1024..=64 * 1024).contains(&taken), "{taken}");
    assert_eq!(t.session.provide(token, taken as u32, b"x"), Ok(0));
}
