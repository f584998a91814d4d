//! PUBLISH.

use crate::*;

fn publish(packet: Packet<'_>) -> Publish<'_> {
    match packet {
        Packet::Publish(publish) => publish,
        other => panic!("{other:?}"),
    }
}

/// Flags, read and written.
/// [3.1.1 MQTT-3.3.1-2] [3.1.1 MQTT-3.3.1-4] [5.0 MQTT-3.3.1-2] [5.0 MQTT-3.3.1-4]
#[test]
fn flags() {
    for version in ALL {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for (dup, retain) in [(false, false), (false, true), (true, false), (true, true)] {
                let packet_id = (qos != Qos::AtMostOnce).then(|| id(0x0102));
                let packet = Publish { dup, qos, retain, packet_id, ..Publish::new(topic("t"), b"p") };
                if dup && qos == Qos::AtMostOnce {
                    assert_eq!(no_encode(&packet, version), EncodeError::DupAtQos0);
                    continue;
                }
                let bytes = encode(&packet, version);
                assert_eq!(bytes[0], 0x30 | u8::from(dup) << 3 | (qos as u8) << 1 | u8::from(retain));
                assert_eq!(publish(accept(version, Server, &bytes)), packet);
            }
        }
    }
}

/// A packet identifier exactly with QoS 1 and 2.
/// [3.1.1 MQTT-2.3.1-1] [3.1.1 MQTT-2.3.1-5] [5.0 MQTT-2.2.1-2] [5.0 MQTT-2.2.1-4]
#[test]
fn packet_identifier() {
    for version in ALL {
        let none: &[u8] = if version == V5 { &[0] } else { &[] };
        let rule = if version == V5 { "MQTT-2.2.1-3" } else { "MQTT-2.3.1-1" };
        for first in [0x32, 0x33, 0x34, 0x3A] {
            for from in PEERS {
                let zero = support::frame(first, &[b"\x00\x01t\x00\x00", none].concat());
                protocol(version, from, &zero, rule);
                let seven = support::frame(first, &[b"\x00\x01t\x00\x07", none].concat());
                assert_eq!(publish(accept(version, from, &seven)).packet_id, PacketId::new(7));
            }
        }
        // With QoS 0 the bytes after the topic are the payload.
        let bytes = support::frame(0x30, &[b"\x00\x01t", none, b"\x00\x07"].concat());
        let found = publish(accept(version, Server, &bytes));
        assert_eq!((found.packet_id, found.payload), (None, &[0, 7][..]));

        let with = Publish { packet_id: PacketId::new(1), ..Publish::new(topic("t"), b"") };
        assert_eq!(no_encode(&with, version), EncodeError::PacketIdMismatch);
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let without = Publish { qos, ..Publish::new(topic("t"), b"") };
            assert_eq!(no_encode(&without, version), EncodeError::PacketIdMismatch);
        }
    }
    // The issue's own example: 33 05 00 01 68 00 00.
    protocol(V3_1_1, Server, &[0x33, 0x05, 0x00, 0x01, 0x68, 0x00, 0x00], "MQTT-2.3.1-1");
    assert_eq!(PacketId::new(0), None);
}

/// The topic name comes first. [3.1.1 MQTT-3.3.2-1] [5.0 MQTT-3.3.2-1]
#[test]
fn topic_comes_first() {
    let packet = Publish {
        qos: Qos::AtLeastOnce,
        packet_id: PacketId::new(0x0A0B),
        ..Publish::new(topic("a/b"), b"xyz")
    };
    assert_eq!(encode(&packet, V3_1_1), b"\x32\x0A\x00\x03a/b\x0A\x0Bxyz");
    assert_eq!(encode(&packet, V5), b"\x32\x0B\x00\x03a/b\x0A\x0B\x00xyz");
}

/// A topic alias is never 0. [5.0 MQTT-3.3.2-8] [C11]
#[test]
fn c11_topic_alias_0() {
    protocol(V5, Server, b"\x30\x07\x00\x01t\x03\x23\x00\x00", "MQTT-3.3.2-8");
    assert_eq!(
        publish(accept(V5, Server, b"\x30\x07\x00\x01t\x03\x23\x00\x01")).properties.topic_alias(),
        Some(1)
    );
    let list = [Property::TopicAlias(0)];
    let packet = Publish { properties: Properties::List(&list), ..Publish::new(topic("t"), b"") };
    assert_eq!(no_encode(&packet, V5), EncodeError::InvalidProperty(PropertyId::TopicAlias));
}

/// Several Subscription Identifiers from a server, in their order; none from a client.
/// [5.0 MQTT-3.3.4-4] [5.0 MQTT-3.3.4-6]
#[test]
fn subscription_identifiers() {
    let frame = b"\x30\x0D\x00\x01t\x07\x0B\x05\x0B\x80\x01\x0B\x05xy";
    let found = publish(accept(V5, Server, frame));
    assert_eq!(found.properties.subscription_identifiers().collect::<Vec<_>>(), [5, 128, 5]);
    assert_eq!(found.payload, b"xy");
    protocol(V5, Client, frame, "MQTT-3.3.4-6");
    assert!(!PropertyId::SubscriptionIdentifier.allowed_in(PropertyPlace::Publish, Client));
    assert!(PropertyId::SubscriptionIdentifier.allowed_in(PropertyPlace::Publish, Server));
    let not_here = EncodeError::PropertyNotAllowed(PropertyId::SubscriptionIdentifier);
    assert_eq!(found.properties.check_from(PropertyPlace::Publish, Server), Ok(()));
    assert_eq!(found.properties.check_from(PropertyPlace::Publish, Client), Err(not_here));
    assert_eq!(found.properties.check_from(PropertyPlace::Will, Client), Err(not_here));
}

/// Before 5.0 properties are not written, and what looks like them is payload. [5.0 MQTT-2.2.2-1]
#[test]
fn properties_belong_to_5_0() {
    let list = [Property::MessageExpiryInterval(1)];
    let packet = Publish { properties: Properties::List(&list), ..Publish::new(topic("t"), b"p") };
    for version in OLD {
        let bytes = encode(&packet, version);
        assert_eq!(bytes, b"\x30\x04\x00\x01tp");
        assert!(publish(accept(version, Server, &bytes)).properties.is_empty());
    }
    assert_eq!(encode(&packet, V5), b"\x30\x0A\x00\x01t\x05\x02\x00\x00\x00\x01p");
    assert_eq!(encode(&Publish::new(topic("t"), b"p"), V5), b"\x30\x05\x00\x01t\x00p");
}

/// Head and payload apart give the same bytes as together, and are read alike.
#[test]
fn head_and_payload_apart() {
    let payload = vec![0x5A; 20_000];
    let list = [Property::ContentType("text/plain"), Property::TopicAlias(9)];
    for version in ALL {
        for packet in [
            Publish::new(topic("a/b"), &payload),
            Publish { properties: Properties::List(&list), ..Publish::new(topic("a/b"), &payload) },
            Publish {
                qos: Qos::ExactlyOnce,
                packet_id: PacketId::new(3),
                dup: true,
                ..Publish::new(topic("ü"), &payload)
            },
        ] {
            let whole = encode(&packet, version);
            let mut head = vec![0; packet.head_len(version, payload.len()).expect("a legal head")];
            let without = Publish { payload: b"not looked at", ..packet };
            assert_eq!(without.encode_head(version, payload.len(), &mut head), Ok(head.len()));
            assert_eq!([&head[..], &payload[..]].concat(), whole);
            let mut short = vec![0; head.len() - 1];
            let needed = head.len();
            assert_eq!(
                packet.encode_head(version, payload.len(), &mut short),
                Err(EncodeError::BufferTooSmall { needed })
            );
            for there in 0..whole.len().min(head.len() + 300) {
                let found =
                    PublishHead::decode(&whole[..there], version, Server, usize::MAX).expect("a good head");
                if there < head.len() {
                    assert_eq!(found, None);
                    continue;
                }
                let found = found.expect("the head is whole");
                assert_eq!((found.head_len, found.total_len), (head.len(), whole.len()));
                assert_eq!(
                    found.publish,
                    Publish { payload: &payload[..there - head.len()], ..found.publish }
                );
                let read = publish(accept(version, Server, &whole));
                assert_eq!(found.publish, Publish { payload: found.publish.payload, ..read });
            }
        }
    }
    let why = PublishHead::decode(&[0x40, 2, 0, 1], V5, Server, 100).expect_err("a PUBACK");
    assert_eq!(why.kind, DecodeErrorKind::OtherPacket);
    assert!(PublishHead::decode(b"\x30\x06\x00\x01t\x80\x00x", V5, Server, 100).is_err());
    // An empty payload: the head is the whole packet.
    for (version, frame) in [(V3_1_1, &b"\x30\x03\x00\x01t"[..]), (V5, b"\x32\x06\x00\x01t\x00\x05\x00")] {
        let head = PublishHead::decode(frame, version, Server, 100).expect("a good head").expect("whole");
        assert_eq!(
            (head.head_len, head.total_len, head.publish.payload),
            (frame.len(), frame.len(), &b""[..])
        );
    }
    // Two packets in a row: the payload ends where the first does.
    let two = b"\x30\x04\x00\x01tp\x30\x04\x00\x01tp";
    let head = PublishHead::decode(two, V3_1_1, Server, 100).expect("a good head").expect("whole");
    assert_eq!(head.publish.payload, b"p");
}

/// A message from checked parts is the same on the wire, with the two properties that are given apart in front.
#[test]
fn stored_parts_make_the_same_packet() {
    let kept = [Property::UserProperty("k", "v"), Property::ContentType("text")];
    let alias = core::num::NonZeroU16::new(3);
    for version in ALL {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for payload_len in [0, 1, 100, 120, 130, 20_000] {
                for (expiry, alias, kept) in [
                    (None, None, &[][..]),
                    (Some(7), None, &[]),
                    (None, alias, &kept),
                    (Some(7), alias, &kept),
                ] {
                    let payload = vec![b'p'; payload_len];
                    let mut list = Vec::new();
                    list.extend(alias.map(|alias| Property::TopicAlias(alias.get())));
                    list.extend(expiry.map(Property::MessageExpiryInterval));
                    list.extend_from_slice(kept);
                    let packet_id = (qos != Qos::AtMostOnce).then(|| id(0x0102));
                    let properties =
                        if version.has_properties() { Properties::List(&list) } else { Properties::EMPTY };
                    let dup = qos != Qos::AtMostOnce;
                    let plain = Publish {
                        dup,
                        qos,
                        retain: true,
                        packet_id,
                        properties,
                        ..Publish::new(topic("a/b"), &payload)
                    };
                    let mut stored = vec![0; Properties::List(kept).body_len()];
                    Properties::List(kept).write_body(&mut stored).unwrap();
                    let parts = StoredPublish {
                        dup,
                        qos,
                        retain: true,
                        packet_id,
                        topic_alias: alias,
                        message_expiry_interval: expiry,
                        properties: EncodedProperties::from_stored(&stored),
                        ..StoredPublish::new(b"a/b", &payload)
                    };
                    let want = encode(&plain, version);
                    let mut out = vec![0; want.len()];
                    assert_eq!(parts.encode(version, payload_len, &mut out), Ok(want.len()));
                    assert_eq!(out, want);
                    let short = want.len() - 1;
                    let too_small = EncodeError::BufferTooSmall { needed: want.len() };
                    assert_eq!(parts.encode(version, payload_len, &mut out[..short]), Err(too_small));
                    // Without its payload: the head alone, of the same whole packet.
                    let head = StoredPublish { payload: &[], ..parts };
                    let head_len = want.len() - payload_len;
                    assert_eq!(head.encode(version, payload_len, &mut out), Ok(head_len));
                    assert_eq!(out[..head_len], want[..head_len]);
                }
            }
        }
    }
    // A payload that is longer than was said is counted as it is.
    let more = StoredPublish::new(b"a", b"hello");
    let mut out = [0; 16];
    for payload_len in 0..=5 {
        assert_eq!(more.encode(V3_1_1, payload_len, &mut out), Ok(10));
        assert_eq!(publish(accept(V3_1_1, Server, &out[..10])).payload, b"hello");
    }
    let endless = StoredPublish::new(b"a", &[]).encode(V5, usize::MAX, &mut []);
    assert_eq!(endless, Err(EncodeError::PacketTooLong));
    let long = vec![b'a'; 65_536];
    let endless = StoredPublish::new(&long, &[]).encode(V5, 0, &mut []);
    assert_eq!(endless, Err(EncodeError::StringTooLong));
}

/// What does not go together is refused here too.
#[test]
fn stored_parts_that_do_not_go_together() {
    let fine = StoredPublish::new(b"a", b"");
    let mut out = [0xAA; 32];
    let mut refused = |parts: StoredPublish<'_>, version, why| {
        assert_eq!(parts.encode(version, 0, &mut out), Err(why));
        assert_eq!(out, [0xAA; 32]);
    };
    for version in ALL {
        refused(StoredPublish { dup: true, ..fine }, version, EncodeError::DupAtQos0);
        refused(StoredPublish { packet_id: Some(id(1)), ..fine }, version, EncodeError::PacketIdMismatch);
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            refused(StoredPublish { qos, ..fine }, version, EncodeError::PacketIdMismatch);
        }
        refused(StoredPublish { topic: b"", ..fine }, version, EncodeError::MissingTopic);
    }
    let alias = StoredPublish { topic: b"", topic_alias: core::num::NonZeroU16::new(7), ..fine };
    for version in OLD {
        refused(alias, version, EncodeError::MissingTopic);
    }
    assert_eq!(alias.encode(V5, 0, &mut out), Ok(8));
    assert_eq!(out[..8], *b"\x30\x06\x00\x00\x03\x23\x00\x07");
}

/// A message without properties has a way of its own, which writes the same at every length of the remaining length,
/// of the name and of what there is room for; what it does not look at changes nothing.
#[test]
fn bare_parts_are_written_as_the_message_is() {
    let names = [1, 2, 7, 8, 15, 16, 31, 32, 33, 200].map(|len| "n".repeat(len));
    let payload = vec![0x5A; 2_097_152];
    let ids =
        [(Qos::AtMostOnce, None), (Qos::AtLeastOnce, Some(id(0x0102))), (Qos::ExactlyOnce, Some(id(0xFFFF)))];
    for version in ALL {
        for (name, (qos, packet_id)) in names.iter().flat_map(|name| ids.map(|id| (name, id))) {
            let head = name.len() + 2 + packet_id.map_or(0, |_| 2) + usize::from(version == V5);
            for remaining in [0x7F, 0x80, 0x3FFF, 0x4000, 0x1F_FFFF, 0x20_0000] {
                if remaining < head || remaining > 0x4000 && name.len() > 1 {
                    continue;
                }
                let payload = &payload[..remaining - head];
                for (dup, retain) in [(false, false), (false, true), (qos != Qos::AtMostOnce, true)] {
                    let whole = Publish { dup, qos, retain, packet_id, ..Publish::new(topic(name), payload) };
                    let parts = StoredPublish {
                        dup,
                        qos,
                        retain,
                        packet_id,
                        topic_alias: core::num::NonZeroU16::new(3),
                        message_expiry_interval: Some(9),
                        ..StoredPublish::new(name.as_bytes(), payload)
                    };
                    let want = encode(&whole, version);
                    let mut out = vec![0; want.len() + 1];
                    assert_eq!(parts.encode_bare(version, &mut out), Ok(want.len()));
                    assert_eq!(out[..want.len()], want);
                    assert_eq!(out[want.len()], 0);
                    let needed = EncodeError::BufferTooSmall { needed: want.len() };
                    assert_eq!(parts.encode_bare(version, &mut out[..want.len() - 1]), Err(needed));
                }
            }
        }
    }
}

/// What does not go together, and what is too long, is refused on the bare way too, before a byte is written.
#[test]
fn bare_parts_that_do_not_go_together() {
    let fine = StoredPublish::new(b"a", b"");
    let long = vec![b'a'; 65_536];
    let endless = vec![0; 268_435_455];
    let at_least_once = StoredPublish { qos: Qos::AtLeastOnce, ..fine };
    for version in ALL {
        for (parts, why) in [
            (StoredPublish { dup: true, ..fine }, EncodeError::DupAtQos0),
            (StoredPublish { packet_id: Some(id(1)), ..fine }, EncodeError::PacketIdMismatch),
            (at_least_once, EncodeError::PacketIdMismatch),
            (StoredPublish { topic: b"", ..fine }, EncodeError::MissingTopic),
            (StoredPublish { topic: &long, ..fine }, EncodeError::StringTooLong),
            (StoredPublish { payload: &endless, ..fine }, EncodeError::PacketTooLong),
        ] {
            let mut out = [0xAA; 32];
            assert_eq!(parts.encode_bare(version, &mut out), Err(why));
            assert_eq!(out, [0xAA; 32]);
        }
    }
    // The longest packet there is.
    let payload = &endless[..268_435_455 - 3];
    let longest = StoredPublish { payload, ..fine }.encode_bare(V3_1_1, &mut []);
    assert_eq!(longest, Err(EncodeError::BufferTooSmall { needed: 268_435_460 }));
}

/// A PUBLISH at the front of a stream reads as it does alone; where it is not there as a whole, is longer than wanted, is
/// something else or is wrong, nothing is read.
#[test]
fn the_publish_at_the_front_of_a_stream() {
    let mut found = 0;
    for entry in support::corpus::corpus() {
        let (version, from, frame) = (entry.version, entry.from, entry.frame);
        let alone = Publish::decode(&frame, version, from);
        let mut stream = frame.clone();
        stream.extend_from_slice(&frame);
        let want = alone.ok().filter(|_| frame.len() <= 0x3FFF + 3).map(|publish| (publish, frame.len()));
        for max in [frame.len(), usize::MAX] {
            assert_eq!(Publish::decode_front(&stream, version, from, max), want);
            assert_eq!(Publish::decode_front(&frame, version, from, max), want);
        }
        assert_eq!(Publish::decode_front(&stream, version, from, frame.len() - 1), None);
        for cut in 0..frame.len() {
            assert_eq!(Publish::decode_front(&frame[..cut], version, from, usize::MAX), None);
        }
        found += usize::from(want.is_some());
    }
    assert!(found > 20, "{found}");
    // With one and with two bytes of remaining length, the most of each, and with three.
    for (payload, read) in [(124, true), (125, true), (16_380, true), (16_381, false), (70_000, false)] {
        let payload = vec![b'p'; payload];
        let message = Publish::new(topic("a"), &payload);
        let frame = encode(&message, V3_1_1);
        let want = read.then_some((message, frame.len()));
        assert_eq!(Publish::decode_front(&frame, V3_1_1, Server, usize::MAX), want);
    }
    // Wrong: no name, DUP at QoS 0, QoS 3, a length that is written too long.
    for wrong in [
        &b"\x30\x02\x00\x00"[..],
        b"\x38\x03\x00\x01a",
        b"\x36\x05\x00\x01a\x00\x01",
        b"\x30\x83\x00\x00\x01a",
    ] {
        assert_eq!(Publish::decode_front(wrong, V3_1_1, Server, usize::MAX), None);
    }
}
