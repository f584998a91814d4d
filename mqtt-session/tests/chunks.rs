//! Inbound messages larger than a buffer, delivered in chunks.

use crate::common;

use core::time::Duration;

use common::{IN, Seen, Trace, VERSIONS, config, id};
use mqtt_session::proto::{
    Connect, Encode, Packet, PacketId, Peer, Pingreq, Pingresp, Properties, Property, Puback, Pubcomp,
    Publish, Pubrec, Pubrel, Qos, ReasonCode, TopicName, Version,
};
use mqtt_session::{AckError, AckMode, AckToken, Config, Oversize, Storage, Why};

/// What is taken as a whole in these tests, and what in chunks.
const WHOLE: u32 = 96;
const LARGEST: u32 = 100_000;

fn chunked(config: &mut Config) {
    config.max_packet_in = WHOLE;
    config.oversize = Oversize::Chunks { largest: LARGEST };
}

fn large(qos: Qos, packet_id: u16, payload: &[u8]) -> Publish<'_> {
    Publish {
        qos,
        packet_id: PacketId::new(packet_id).filter(|_| qos != Qos::AtMostOnce),
        ..Publish::new(TopicName::new("big").unwrap(), payload)
    }
}

fn bytes<'p>(packet: impl Into<Packet<'p>>, version: Version) -> Vec<u8> {
    let packet = packet.into();
    let mut bytes = vec![0; packet.encoded_len(version).unwrap()];
    packet.encode(version, &mut bytes).unwrap();
    bytes
}

/// A payload whose every byte says where it belongs.
fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn see_whole<S: Storage>(t: &mut Trace<S>, qos: Qos, dup: bool, payload: &[u8]) -> Option<AckToken> {
    let len = payload.len() as u32;
    t.see(Seen::Start { topic: "big".to_owned(), qos, retain: false, dup, len });
    t.see(Seen::Chunk(payload.to_vec()));
    match t.event() {
        Seen::End { ack } => ack,
        other => panic!("expected End, got {other:?}"),
    }
}

scenario!(
    a_message_larger_than_the_buffer_comes_in_chunks_and_is_acknowledged_after_its_end,
    VERSIONS,
    |c| { chunked(c) },
    |t| {
        t.connect();
        let payload = payload(5_000);
        let version = t.version();
        for (qos, packet_id) in [(Qos::AtMostOnce, 0), (Qos::AtLeastOnce, 7), (Qos::ExactlyOnce, 8)] {
            let frame = bytes(large(qos, packet_id, &payload), version);
            let (most, last) = frame.split_at(frame.len() - 1);
            t.send_bytes(most);
            t.expect_silence();
            t.send_bytes(last);
            assert_eq!(see_whole(t, qos, false, &payload), None);
            match qos {
                Qos::AtMostOnce => t.expect_silence(),
                Qos::AtLeastOnce => t.expect(Puback::new(id(7))),
                Qos::ExactlyOnce => {
                    t.expect(Pubrec::new(id(8)));
                    t.send(Pubrel::new(id(8)));
                    t.expect(Pubcomp::new(id(8)));
                }
            }
            t.see_nothing();
        }
        // What follows is a packet like any other.
        t.send(large(Qos::AtMostOnce, 0, b"small"));
        assert!(matches!(t.event(), Seen::Message { payload, .. } if payload == b"small"));
    }
);

scenario!(
    /// The packet that just fits the buffer is whole, the next longer one is not.
    the_buffer_decides_what_comes_in_chunks,
    VERSIONS,
    |c| { chunked(c) },
    |t| {
        t.connect();
        let head = bytes(large(Qos::AtMostOnce, 0, b""), t.version()).len();
        let fits = payload(WHOLE as usize - head);
        t.send(large(Qos::AtMostOnce, 0, &fits));
        assert!(matches!(t.event(), Seen::Message { payload, .. } if payload == fits));
        let over = payload(WHOLE as usize - head + 1);
        t.send(large(Qos::AtMostOnce, 0, &over));
        see_whole(t, Qos::AtMostOnce, false, &over);
    }
);

scenario!(
    /// [5.0 MQTT-3.1.2-24]: the limit that is announced is that of the chunks, not that of the buffer.
    the_larger_bound_is_the_one_announced,
    [Version::V5],
    |c| { chunked(c) },
    |t| {
        let connect = t.open();
        let announced = Connect::decode(&connect, Version::V5, Peer::Client)
            .unwrap()
            .properties
            .iter()
            .find_map(|property| match property {
                Property::MaximumPacketSize(size) => Some(size),
                _ => None,
            });
        assert_eq!(announced, Some(LARGEST));
    }
);

scenario!(
    /// [U-27]
    a_packet_over_the_larger_bound_is_refused,
    VERSIONS,
    |c| {
        chunked(c);
        c.oversize = Oversize::Chunks { largest: 200 };
    },
    |t| {
        t.connect();
        let payload = payload(300);
        t.send_bytes(&bytes(large(Qos::AtMostOnce, 0, &payload), t.version())[..20]);
        assert!(matches!(t.refuses(ReasonCode::PacketTooLarge), Why::Malformed(_)));
    }
);

scenario!(a_head_larger_than_the_buffer_is_refused_however_it_comes, VERSIONS, |c| { chunked(c) }, |t| {
    t.connect();
    let topic = "t".repeat(WHOLE as usize);
    let publish = Publish::new(TopicName::new(&topic).unwrap(), b"payload");
    t.send_bytes(&bytes(publish, t.version()));
    let why = t.refuses(ReasonCode::PacketTooLarge);
    assert_eq!(why, Why::Protocol(ReasonCode::PacketTooLarge, "MQTT-3.1.2-24"));
});

scenario!(only_a_publish_comes_in_chunks, [Version::V5], |c| { chunked(c) }, |t| {
    t.connect();
    let reason = "r".repeat(200);
    let list = [Property::ReasonString(&reason)];
    let ack = Puback::with(id(1), ReasonCode::Success, Properties::List(&list));
    t.send_bytes(&bytes(ack, Version::V5)[..10]);
    t.refuses(ReasonCode::PacketTooLarge);
});

scenario!(
    /// [M1]: what a packet announces costs nothing, and no more than the buffer is ever asked for.
    m01_the_driver_is_never_asked_for_the_whole_packet,
    VERSIONS,
    |c| { chunked(c) },
    |t| {
        t.connect();
        let payload = payload(9_000);
        let frame = bytes(large(Qos::AtMostOnce, 0, &payload), t.version());
        for piece in frame.chunks(50) {
            t.send_bytes(piece);
            assert!(t.session.read_hint() <= WHOLE as usize, "{}", t.session.read_hint());
        }
        see_whole(t, Qos::AtMostOnce, false, &payload);
    }
);

scenario!(
    /// [5.0 MQTT-4.3.3-10] [3.1.1 MQTT-4.3.3-2]
    cut_at_every_byte_a_message_starts_again_and_is_delivered_once,
    VERSIONS,
    |c| { chunked(c) },
    |t| {
        t.options.clean_start = false;
        t.connect();
        let payload = payload(130);
        let version = t.version();
        let first = bytes(large(Qos::ExactlyOnce, 8, &payload), version);
        let again = bytes(Publish { dup: true, ..large(Qos::ExactlyOnce, 8, &payload) }, version);
        let head = first.len() - payload.len();
        for at in 0..first.len() {
            t.send_bytes(if at == 0 { &first[..at] } else { &again[..at] });
            t.cut();
            let events = t.events();
            let told = events.iter().any(|event| matches!(event, Seen::Start { .. }));
            assert_eq!(told, at >= head, "at {at}: {events:?}");
            assert_eq!(told, events.contains(&Seen::Aborted), "at {at}: {events:?}");
            if let Some(Seen::Disconnected { .. }) = events.last() {
                let aborted = events.iter().position(|event| *event == Seen::Aborted);
                assert!(aborted.is_none_or(|place| place == events.len() - 2), "{events:?}");
            }
            t.resume();
            t.expect_silence();
        }
        t.send_bytes(&again);
        see_whole(t, Qos::ExactlyOnce, true, &payload);
        t.expect(Pubrec::new(id(8)));
        // Delivered: from here on it is answered, and passes unseen, in pieces too.
        t.cut();
        t.resume();
        t.events();
        t.send_bytes(&again[..100]);
        t.expect_silence();
        t.send_bytes(&again[100..]);
        t.expect(Pubrec::new(id(8)));
        t.see_nothing();
        t.send(Pubrel::new(id(8)));
        t.expect(Pubcomp::new(id(8)));
        // A new exchange of the same identifier is a new message.
        t.send_bytes(&first);
        see_whole(t, Qos::ExactlyOnce, false, &payload);
    }
);

scenario!(
    s14_with_manual_acknowledgement_the_token_comes_with_the_end,
    VERSIONS,
    |c| {
        chunked(c);
        c.ack_mode = AckMode::Manual;
    },
    |t| {
        t.options.clean_start = false;
        t.connect();
        let payload = payload(300);
        t.send(large(Qos::AtLeastOnce, 1, b"small"));
        let Seen::Message { ack: Some(small), .. } = t.event() else { panic!("a message") };
        t.send(large(Qos::AtLeastOnce, 2, &payload));
        let first = see_whole(t, Qos::AtLeastOnce, false, &payload).unwrap();
        t.send(large(Qos::ExactlyOnce, 3, &payload));
        let second = see_whole(t, Qos::ExactlyOnce, false, &payload).unwrap();
        t.expect_silence();
        t.session.acknowledge(first, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect_silence();
        t.session.acknowledge(small, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Puback::new(id(1)));
        t.expect(Puback::new(id(2)));
        // Not answered yet: the same message again is neither told nor answered.
        t.send(Publish { dup: true, ..large(Qos::ExactlyOnce, 3, &payload) });
        t.see_nothing();
        t.expect_silence();
        // The token of QoS 2 lives on, that of QoS 1 does not.
        t.send(large(Qos::AtLeastOnce, 4, &payload));
        let stale = see_whole(t, Qos::AtLeastOnce, false, &payload).unwrap();
        t.cut();
        t.resume();
        assert_eq!(
            t.session.acknowledge(stale, ReasonCode::Success, Properties::EMPTY),
            Err(AckError::Stale)
        );
        t.session.acknowledge(second, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Pubrec::new(id(3)));
    }
);

scenario!(
    /// [5.0 MQTT-3.1.2-20]: a long message on its way in keeps nothing from being sent.
    pings_leave_while_a_message_streams_in_and_its_bytes_are_life,
    VERSIONS,
    |c| { chunked(c) },
    |t| {
        t.options.keep_alive = 20;
        t.connect();
        let payload = payload(5_000);
        let frame = bytes(large(Qos::AtLeastOnce, 5, &payload), t.version());
        for piece in frame.chunks(500) {
            t.send_bytes(piece);
            // Less than `ping_timeout`, so that each piece answers what was asked before it.
            t.after(Duration::from_secs(9));
        }
        let events = t.events();
        assert!(matches!(events.last(), Some(Seen::End { .. })), "{events:?}");
        let mut pings = 0;
        let mut acks = 0;
        while let Some(frame) = t.next_frame() {
            match frame[0] {
                0xC0 => pings += 1,
                0x40 => acks += 1,
                other => panic!("sent {other:#x}"),
            }
        }
        assert!((3..=5).contains(&pings) && acks == 1, "{pings} pings, {acks} acknowledgements");
        t.send(Pingresp);
        t.after(Duration::from_secs(20));
        t.expect(Pingreq);
    }
);

scenario!(a_message_that_stops_in_the_middle_ends_the_connection, VERSIONS, |c| { chunked(c) }, |t| {
    t.options.keep_alive = 0;
    t.connect();
    let payload = payload(5_000);
    let frame = bytes(large(Qos::AtLeastOnce, 5, &payload), t.version());
    t.send_bytes(&frame[..200]);
    t.after(Duration::from_secs(29));
    t.send_bytes(&frame[200..201]);
    t.after(Duration::from_secs(29));
    t.events();
    t.after(Duration::from_secs(1));
    // Told as soon as it is known, before the connection is.
    t.see(Seen::Aborted);
    assert_eq!(t.expect_closing(), Why::PartialTimeout);
    t.see_nothing();
});

scenario!(
    /// [5.0 MQTT-3.3.4-7]
    a_message_over_the_receive_maximum_is_refused_at_its_head,
    [Version::V5],
    |c| {
        chunked(c);
        c.ack_mode = AckMode::Manual;
        c.receive_maximum = 1;
    },
    |t| {
        t.connect();
        let payload = payload(300);
        t.send(large(Qos::AtLeastOnce, 1, &payload));
        see_whole(t, Qos::AtLeastOnce, false, &payload);
        t.send_bytes(&bytes(large(Qos::AtLeastOnce, 2, &payload), Version::V5)[..50]);
        t.refuses(ReasonCode::ReceiveMaximumExceeded);
        t.see_nothing();
    }
);

scenario!(
    /// What the application acknowledges while a message streams in does not take the place its own
    /// acknowledgement needs: the last `End` would wait for input that never comes.
    the_end_never_waits_for_room,
    VERSIONS,
    |c| {
        chunked(c);
        c.ack_mode = AckMode::Manual;
        c.receive_maximum = 2;
    },
    |t| {
        t.connect();
        let payload = payload(300);
        let version = t.version();
        t.send(large(Qos::AtLeastOnce, 1, b"small"));
        let Seen::Message { ack: Some(small), .. } = t.event() else { panic!("a message") };
        let frame = bytes(large(Qos::AtLeastOnce, 2, &payload), version);
        t.send_bytes(&frame[..frame.len() - 1]);
        t.writable = false;
        t.session.acknowledge(small, ReasonCode::Success, Properties::EMPTY).unwrap();
        assert!(!t.session.outgoing(t.now).is_empty());
        t.send_bytes(&frame[frame.len() - 1..]);
        see_whole(t, Qos::AtLeastOnce, false, &payload);
        t.writable = true;
        t.expect(Puback::new(id(1)));
    }
);

scenario!(
    as_many_messages_as_the_receive_maximum_may_wait_in_chunks_too,
    VERSIONS,
    |c| {
        chunked(c);
        c.ack_mode = AckMode::Manual;
    },
    |t| {
        t.connect();
        let payload = payload(200);
        let mut acks = Vec::new();
        for number in 1..=IN as u16 {
            let qos = if number % 2 == 0 { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
            t.send(large(qos, number, &payload));
            acks.push(see_whole(t, qos, false, &payload).unwrap());
        }
        for ack in acks {
            t.session.acknowledge(ack, ReasonCode::Success, Properties::EMPTY).unwrap();
        }
        for _ in 0..IN {
            assert!(t.next_frame().is_some());
        }
    }
);

#[test]
fn a_bound_below_the_buffer_counts_as_the_buffer() {
    let mut config = config();
    config.oversize = Oversize::Chunks { largest: 0 };
    let mut t = Trace::heap(config, usize::MAX);
    let connect = t.open();
    let connect = Connect::decode(&connect, Version::V5, Peer::Client).unwrap();
    assert!(connect.properties.iter().any(|property| property == Property::MaximumPacketSize(512)));
}
