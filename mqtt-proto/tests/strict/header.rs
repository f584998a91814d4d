//! The fixed header: packet types, flags, remaining length, and that a packet fills its frame.

use crate::support::{frame, varint};
use crate::*;

/// The reserved flags are written as the standard fixes them.
/// [3.1.1 MQTT-2.2.2-1] [3.1.1 MQTT-3.6.1-1] [3.1.1 MQTT-3.8.1-1] [3.1.1 MQTT-3.10.1-1] [3.1.1 MQTT-3.14.1-1]
/// [5.0 MQTT-2.1.3-1] [5.0 MQTT-3.6.1-1] [5.0 MQTT-3.8.1-1] [5.0 MQTT-3.10.1-1] [5.0 MQTT-3.14.1-1]
/// [5.0 MQTT-3.15.1-1]
#[test]
fn flags_are_written_as_fixed() {
    let subscriptions = [Subscription { filter: filter("a"), options: SubscriptionOptions::default() }];
    let filters = [filter("a")];
    let codes = [ReasonCode::Success];
    let properties = Properties::EMPTY;
    for version in ALL {
        let first = |packet: Packet<'_>| encode(&packet, version)[0];
        assert_eq!(first(Connect::new(version, "c").into()), 0x10);
        assert_eq!(first(Connack::accepted(false).into()), 0x20);
        assert_eq!(first(Publish::new(topic("a"), b"").into()), 0x30);
        assert_eq!(first(Puback::new(id(1)).into()), 0x40);
        assert_eq!(first(Pubrec::new(id(1)).into()), 0x50);
        assert_eq!(first(Pubrel::new(id(1)).into()), 0x62);
        assert_eq!(first(Pubcomp::new(id(1)).into()), 0x70);
        assert_eq!(
            first(Subscribe { packet_id: id(1), properties, filters: (&subscriptions).into() }.into()),
            0x82
        );
        assert_eq!(first(Suback { packet_id: id(1), properties, codes: (&codes).into() }.into()), 0x90);
        assert_eq!(
            first(Unsubscribe { packet_id: id(1), properties, filters: (&filters).into() }.into()),
            0xA2
        );
        assert_eq!(first(Unsuback { packet_id: id(1), properties, codes: (&codes).into() }.into()), 0xB0);
        assert_eq!(first(Pingreq.into()), 0xC0);
        assert_eq!(first(Pingresp.into()), 0xD0);
        assert_eq!(first(Disconnect::new(ReasonCode::Success).into()), 0xE0);
    }
    let auth = Auth { reason_code: ReasonCode::Success, properties };
    assert_eq!(encode(&auth, V5)[0], 0xF0);
}

/// A well-formed body for each packet type, so that only the first byte can be wrong.
fn body(packet_type: u8, first: u8, version: Version) -> &'static [u8] {
    match (packet_type, version) {
        (1, V3_1) => b"\x00\x06MQIsdp\x03\x02\x00\x00\x00\x01c",
        (1, V3_1_1) => b"\x00\x04MQTT\x04\x02\x00\x00\x00\x01c",
        (1, V5) => b"\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c",
        (2, V5) => &[0, 0, 0],
        (2, _) => &[0, 0],
        (3, V5) if first & 0b0110 == 0 => b"\x00\x01a\x00",
        (3, _) if first & 0b0110 == 0 => b"\x00\x01a",
        (3, V5) => b"\x00\x01a\x00\x01\x00",
        (3, _) => b"\x00\x01a\x00\x01",
        (4..=7, _) => &[0, 1],
        (8, V5) => b"\x00\x01\x00\x00\x01a\x00",
        (8, _) => b"\x00\x01\x00\x01a\x00",
        (9, V5) => &[0, 1, 0, 0],
        (9, _) => &[0, 1, 0],
        (10, V5) => b"\x00\x01\x00\x00\x01a",
        (10, _) => b"\x00\x01\x00\x01a",
        (11, V5) => &[0, 1, 0, 0],
        (11, _) => &[0, 1],
        (14, V5) => &[0x80],
        (15, V5) => b"\x18\x04\x15\x00\x01m",
        _ => &[],
    }
}

/// Every first byte in every version from both sides, against the table of the standard written down once more.
/// [3.1.1 MQTT-2.2.2-2] [3.1.1 MQTT-3.3.1-2] [3.1.1 MQTT-3.3.1-4] [3.1.1 MQTT-3.6.1-1] [3.1.1 MQTT-3.8.1-1]
/// [3.1.1 MQTT-3.10.1-1] [3.1.1 MQTT-3.14.1-1]
/// [5.0 MQTT-2.1.3-1] [5.0 MQTT-3.3.1-2] [5.0 MQTT-3.3.1-4] [5.0 MQTT-3.6.1-1] [5.0 MQTT-3.8.1-1]
/// [5.0 MQTT-3.10.1-1] [5.0 MQTT-3.14.1-1] [5.0 MQTT-3.15.1-1] [U-02] [U-03] [U-36] [C13]
#[test]
fn c13_every_first_byte() {
    let mut accepted = 0;
    for version in ALL {
        for from in PEERS {
            for first in 0..=255_u8 {
                let (packet_type, flags) = (first >> 4, first & 0x0F);
                let flags_right = match packet_type {
                    0 => false,
                    3 => flags >> 1 & 0b11 != 3 && (flags >> 3 == 0 || flags >> 1 & 0b11 != 0),
                    6 | 8 | 10 if version == V3_1 => flags & 1 == 0 && flags >> 1 & 0b11 != 3,
                    6 | 8 | 10 => flags == 2,
                    15 if version != V5 => false,
                    _ => flags == 0,
                };
                let may_send = match packet_type {
                    1 | 8 | 10 | 12 => from == Client,
                    2 | 9 | 11 | 13 => from == Server,
                    14 => from == Client || version == V5,
                    _ => true,
                };
                let mut bytes = frame(first, body(packet_type, first, version));
                if packet_type == 14 && version == V5 && from == Client {
                    bytes = vec![first, 0];
                }
                if flags_right && may_send {
                    let packet = accept(version, from, &bytes);
                    assert_eq!(packet.packet_type() as u8, packet_type);
                    accepted += 1;
                    continue;
                }
                let why = refuse(version, from, &bytes);
                if flags_right {
                    assert_eq!((why.kind, why.rule), (DecodeErrorKind::Protocol, "U-03"));
                } else {
                    assert_eq!(why.kind, DecodeErrorKind::Malformed, "{first:#04X}");
                    assert_eq!(why.at, 0);
                }
            }
        }
    }
    // In three versions from two sides: PUBLISH has 10 first bytes; PUBACK, PUBREC, PUBCOMP one; PUBREL 6, 1, 1.
    let both_sides = 3 * 2 * 10 + 3 * 3 * 2 + (6 + 1 + 1) * 2;
    // From one side: CONNECT, CONNACK, SUBACK, UNSUBACK, PINGREQ, PINGRESP one; SUBSCRIBE and UNSUBSCRIBE 6, 1, 1.
    let one_side = 3 * 6 + (6 + 1 + 1) * 2;
    // DISCONNECT from a client, and in 5.0 from a server; AUTH in 5.0.
    assert_eq!(accepted, both_sides + one_side + (3 + 1) + 2);
}

/// Errors of the first byte name the statement that is broken.
/// [3.1.1 MQTT-2.2.2-2] [5.0 MQTT-2.1.3-1] [5.0 MQTT-3.14.1-1] [5.0 MQTT-3.15.1-1] [U-02]
#[test]
fn wrong_flags_name_their_statement() {
    malformed(V5, Client, &[0xE1, 0], "MQTT-3.14.1-1");
    malformed(V3_1_1, Client, &[0xE1, 0], "MQTT-3.14.1-1");
    malformed(V5, Client, &[0xF1, 0], "MQTT-3.15.1-1");
    malformed(V5, Client, &[0x00, 0], "U-02");
    malformed(V3_1_1, Client, &[0xF0, 0], "U-02");
    malformed(V5, Server, &[0x60, 2, 0, 1], "MQTT-3.6.1-1");
    malformed(V3_1_1, Server, &[0x60, 2, 0, 1], "MQTT-3.6.1-1");
    malformed(V5, Server, &[0xD1, 0], "MQTT-2.1.3-1");
    malformed(V5, Client, b"\x80\x07\x00\x01\x00\x00\x01a\x00", "MQTT-3.8.1-1");
    malformed(V5, Client, b"\xA0\x06\x00\x01\x00\x00\x01a", "MQTT-3.10.1-1");
    malformed(V5, Server, b"\x36\x06\x00\x01a\x00\x01\x00", "MQTT-3.3.1-4");
    malformed(V3_1_1, Server, b"\x36\x05\x00\x01a\x00\x01", "MQTT-3.3.1-4");
    malformed(V5, Server, b"\x38\x04\x00\x01a\x00", "MQTT-3.3.1-2");
    malformed(V3_1_1, Server, b"\x38\x03\x00\x01a", "MQTT-3.3.1-2");
}

/// A first byte that is wrong in every version is refused before the length is there.
/// [U-02]
#[test]
fn an_impossible_first_byte_is_no_reason_to_wait() {
    for first in [0x00, 0x0F, 0x11, 0x36, 0x38, 0x41, 0x61, 0x63, 0x81, 0x86, 0xE1, 0xF2] {
        assert!(frame_len(&[first], 1024).is_err(), "{first:#04X}");
        assert!(announced_len(&[first], 1024).is_err(), "{first:#04X}");
    }
    assert_eq!(frame_len(&[], 1024), Ok(None));
    assert_eq!(frame_len(&[0x40], 1024), Ok(None));
}

/// Four bytes carry the largest length; a fifth is refused when the fourth says that it comes. [U-01] [C1]
#[test]
fn c01_a_length_of_five_bytes() {
    for input in [&[0x30, 0xFF, 0xFF, 0xFF, 0xFF][..], &[0x30, 0x80, 0x80, 0x80, 0x80, 0x00]] {
        let why = frame_len(input, usize::MAX).expect_err("five bytes");
        assert_eq!((why.kind, why.rule, why.at), (DecodeErrorKind::Malformed, "U-01", 1));
        malformed(V5, Server, input, "U-01");
    }
    // The same inside: the length of the properties, and a Subscription Identifier.
    malformed(V5, Server, b"\x30\x08\x00\x01a\xFF\xFF\xFF\xFF\x01", "U-01");
    malformed(V5, Server, b"\x30\x0A\x00\x01a\x06\x0B\xFF\xFF\xFF\xFF\x01", "U-01");
    // A fourth byte that ends it is fine.
    assert_eq!(announced_len(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], usize::MAX), Ok(Some(268_435_460)));
}

/// A length may not be padded, in any version. [5.0 MQTT-1.5.5-1] [C2]
#[test]
fn c02_a_padded_length() {
    for input in [&[0xC0, 0x80, 0x00][..], &[0xC0, 0x80, 0x80, 0x00], &[0xC0, 0x80, 0x80, 0x80, 0x00]] {
        for version in ALL {
            malformed(version, Client, input, "MQTT-1.5.5-1");
        }
        assert_eq!(frame_len(input, 1024).map_err(|why| why.rule), Err("MQTT-1.5.5-1"));
    }
    malformed(V5, Server, b"\x30\x05\x00\x01a\x80\x00", "MQTT-1.5.5-1");
    malformed(V5, Server, b"\x30\x07\x00\x01a\x03\x0B\x81\x00", "MQTT-1.5.5-1");
}

/// Before 5.0 a switch reads padded lengths as the numbers they stand for: the same packets, nothing else. [C2]
#[test]
fn c02_a_padded_length_behind_the_switch() {
    use PaddedLength::{Accept, Refuse};
    let mut read = 0;
    for entry in support::corpus::corpus() {
        let (version, from) = (entry.version, entry.from);
        let packet = accept(version, from, &entry.frame);
        assert_eq!(Packet::decode_with(&entry.frame, version, from, Accept), Ok(packet));
        let shortest = varint(entry.frame.len() - 2);
        let body = if shortest.len() == 1 { &entry.frame[2..] } else { &entry.frame[3..] };
        for len in 2..=4 {
            let mut padded = varint(body.len());
            if padded.len() >= len {
                continue;
            }
            *padded.last_mut().expect("a byte") |= 0x80;
            padded.resize(len - 1, 0x80);
            padded.push(0);
            let frame = [&entry.frame[..1], &padded[..], body].concat();
            let refused = refuse(version, from, &frame);
            assert_eq!(refused.rule, "MQTT-1.5.5-1");
            assert_eq!(Packet::decode_with(&frame, version, from, Refuse), Err(refused));
            assert_eq!(frame_len_with(&frame, 1024, Refuse).map_err(|why| why.rule), Err("MQTT-1.5.5-1"));
            assert_eq!(frame_len_with(&frame, 1024, Accept), Ok(Some(frame.len())));
            assert_eq!(frame_len_with(&frame[..frame.len() - 1], 1024, Accept), Ok(None));
            assert_eq!(
                frame_len_with(&frame, frame.len() - 1, Accept).map_err(|why| why.kind),
                Err(DecodeErrorKind::TooLarge)
            );
            let behind = Packet::decode_with(&frame, version, from, Accept);
            if version == V5 {
                assert_eq!(behind, Err(refused));
            } else {
                assert_eq!(behind, Ok(packet));
                read += 1;
            }
        }
    }
    assert!(read > 300, "{read}");
}

/// The switch changes nothing else. [C2] [U-01]
#[test]
fn c02_what_the_switch_leaves_as_it_is() {
    use PaddedLength::Accept;
    let with = |frame| Packet::decode_with(frame, V3_1_1, Client, Accept).map_err(|why| (why.rule, why.at));
    // A fifth byte; a header that is not whole; bytes too few or too many; a first byte that is wrong.
    assert_eq!(with(&[0xC0, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(("U-01", 1)));
    assert_eq!(with(&[0xC0, 0x80]), Err(("U-05", 2)));
    assert_eq!(with(&[]), Err(("U-05", 0)));
    assert_eq!(with(&[0x30, 0x83, 0x00, 0]), Err(("U-05", 4)));
    assert_eq!(with(&[0xC0, 0x80, 0x00, 0]), Err(("U-04", 3)));
    assert_eq!(with(&[0xC1, 0x80, 0x00]), Err(("MQTT-2.1.3-1", 0)));
    assert_eq!(with(&[0xF0, 0x80, 0x00]), Err(("U-02", 0)));
    assert_eq!(with(&[0xD0, 0x80, 0x00]), Err(("U-03", 0)));
    // A CONNECT of 5.0, whatever version was expected.
    let mut connect = encode(&Connect::new(V5, "c"), V5);
    connect.splice(1..2, [connect[1] | 0x80, 0]);
    assert_eq!(with(&connect), Err(("MQTT-1.5.5-1", 1)));
    assert_eq!(frame_len_with(&[0xC1], 9, Accept).map_err(|why| why.rule), Err("MQTT-2.1.3-1"));
    assert_eq!(frame_len_with(&[], 9, Accept), Ok(None));
    assert_eq!(frame_len_with(&[0xC0, 0x80], 9, Accept), Ok(None));
    // An error inside counts from the front of the frame.
    assert_eq!(with(&[0x40, 0x82, 0x00, 0, 0]), Err(("MQTT-2.3.1-1", 3)));
}

/// The borders between lengths of one, two, three and four bytes, read and written. [C3]
#[test]
fn c03_borders_of_the_length() {
    let borders = [0_usize, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455];
    for (border, bytes) in borders.into_iter().zip([1, 1, 1, 2, 2, 3, 3, 4, 4]) {
        let mut input = vec![0x30];
        input.extend(varint(border));
        assert_eq!(input.len(), 1 + bytes);
        assert_eq!(announced_len(&input, usize::MAX), Ok(Some(1 + bytes + border)));
        if border < 5 {
            continue;
        }
        let mut out = [0; 16];
        let publish = Publish::new(topic("a"), b"");
        assert_eq!(publish.encode_head(V3_1_1, border - 3, &mut out), Ok(1 + bytes + 3));
        assert_eq!(out[..1 + bytes], input);
    }
    // Whole packets, as far as they are handy.
    for border in [127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
        let payload = vec![7; border - 3];
        let bytes = encode(&Publish::new(topic("a"), &payload), V3_1_1);
        let Packet::Publish(publish) = accept(V3_1_1, Server, &bytes) else { panic!("not a PUBLISH") };
        assert_eq!(publish.payload, payload);
    }
}

/// The header may come byte by byte. [C4]
#[test]
fn c04_a_split_length() {
    for border in [0_usize, 127, 128, 16_384, 2_097_152] {
        let mut header = vec![0x30];
        header.extend(varint(border));
        for cut in 0..header.len() {
            assert_eq!(announced_len(&header[..cut], usize::MAX), Ok(None));
            assert_eq!(frame_len(&header[..cut], usize::MAX), Ok(None));
        }
        assert_eq!(announced_len(&header, usize::MAX), Ok(Some(header.len() + border)));
    }
}

/// A field that runs past the packet is malformed, never a wait. [U-05] [C5]
#[test]
fn c05_an_inner_length_beyond_the_packet() {
    for version in ALL {
        malformed(version, Server, b"\x30\x05\xFF\xFFabc", "U-05");
        malformed(version, Server, b"\x30\x05\x00\x04abc", "U-05");
        assert_eq!(frame_len(b"\x30\x05\xFF\xFFabc", 1024), Ok(Some(7)));
    }
    // The same when the rest of the payload has not come: the head cannot become right.
    let head = PublishHead::decode(b"\x30\x05\x00\x04a", V3_1_1, Server, 1024);
    assert_eq!(head.map_err(|why| why.rule), Err("U-05"));
    malformed(V5, Client, b"\x10\x0E\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x05c", "U-05");
    malformed(V5, Client, b"\x82\x07\x00\x01\x00\x00\x09a\x00", "U-05");
    malformed(V5, Client, b"\xA2\x06\x00\x01\x00\x00\x09a", "U-05");
}

/// A packet that ends too early is malformed. [U-05] [C6]
#[test]
fn c06_a_required_field_is_missing() {
    malformed(V3_1_1, Server, b"\x32\x03\x00\x01a", "U-05"); // no packet identifier
    malformed(V5, Server, b"\x32\x05\x00\x01a\x00\x01", "U-05"); // no properties
    malformed(V3_1_1, Server, b"\x90\x02\x00\x01", "U-05"); // no codes
    malformed(V5, Server, b"\x90\x03\x00\x01\x00", "U-05");
    malformed(V5, Server, b"\xB0\x03\x00\x01\x00", "U-05");
    malformed(V3_1_1, Server, b"\x20\x01\x00", "U-05");
    malformed(V3_1_1, Server, b"\x20\x00", "U-05");
    malformed(V3_1_1, Server, b"\x40\x01\x00", "U-05");
    malformed(V3_1_1, Client, b"\x82\x05\x00\x01\x00\x01a", "U-05"); // no options
    malformed(V3_1_1, Client, b"\x10\x00", "U-05");
}

/// Bytes left over are malformed, within the packet and behind it. [U-04] [C7]
#[test]
fn c07_trailing_bytes() {
    for version in ALL {
        malformed(version, Server, &[0xD0, 0x01, 0x00], "U-04");
        malformed(version, Server, &[0xD0, 0x00, 0x00], "U-04");
        malformed(version, Client, &[0xC0, 0x01, 0x00], "U-04");
    }
    for first in [0x40, 0x50, 0x62, 0x70] {
        malformed(V3_1_1, Server, &[first, 0x03, 0x00, 0x01, 0x00], "U-04");
        malformed(V5, Server, &[first, 0x05, 0x00, 0x01, 0x00, 0x00, 0x00], "U-04");
    }
    malformed(V3_1_1, Server, &[0x20, 0x03, 0x00, 0x00, 0x00], "U-04");
    // What follows a PUBLISH is not its payload.
    malformed(V3_1_1, Server, b"\x30\x04\x00\x01tp+", "U-04");
    malformed(V5, Client, b"\x30\x05\x00\x01t\x00p+", "U-04");
    malformed(V5, Server, &[0x20, 0x04, 0x00, 0x00, 0x00, 0x00], "U-04");
    malformed(V3_1_1, Server, &[0xB0, 0x03, 0x00, 0x01, 0x00], "U-04");
    malformed(V3_1_1, Client, &[0xE0, 0x01, 0x00], "U-04");
    malformed(V5, Client, &[0xE0, 0x03, 0x00, 0x00, 0x00], "U-04");
    malformed(V5, Client, b"\xF0\x07\x18\x04\x15\x00\x01m\x00", "U-04");
    malformed(V3_1_1, Client, b"\x10\x0E\x00\x04MQTT\x04\x02\x00\x00\x00\x01c\x00", "U-04");
    malformed(V5, Client, b"\x10\x0F\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01c\x00", "U-04");
}

/// Five bytes that announce 256 MiB are refused from the header; nothing is allocated, here never.
/// [5.0 MQTT-3.1.2-24] [U-27] [M1] [M2]
#[test]
fn m01_an_announced_length_over_the_limit() {
    let why = frame_len(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], 1 << 20).expect_err("too large");
    assert_eq!((why.kind, why.reason_code), (DecodeErrorKind::TooLarge, ReasonCode::PacketTooLarge));
    assert_eq!(announced_len(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], 1 << 20), Err(why));
    assert_eq!(PublishHead::decode(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], V5, Server, 1 << 20), Err(why));
    // The limit counts the whole packet.
    assert_eq!(frame_len(&[0x40, 0x02, 0, 1], 4), Ok(Some(4)));
    assert_eq!(frame_len(&[0x40, 0x02], 3), Err(why));
    assert_eq!(frame_len(&[0x40, 0x02], 4), Ok(None));
}

/// The counterpart of [`frame_len`]: a packet over the limit of the peer is not written.
/// [5.0 MQTT-3.2.2-15] [C17]
#[test]
fn c17_a_packet_over_the_limit_of_the_peer() {
    let publish = Publish::new(topic("a/b"), b"hello");
    let needed = publish.encoded_len(V5).expect("a legal packet");
    let mut out = [0; 64];
    assert_eq!(publish.encode_within(V5, needed, &mut out), Ok(needed));
    let mut out = [0; 64];
    assert_eq!(publish.encode_within(V5, needed - 1, &mut out), Err(EncodeError::OverLimit { needed }));
    assert_eq!(out, [0; 64]);
}

/// Neither a packet over 268,435,455 bytes is written nor a field over 65,535. [C17]
#[test]
fn c17_a_packet_or_field_that_cannot_be_written() {
    let publish = Publish::new(topic("a"), b"");
    assert_eq!(publish.head_len(V3_1_1, 268_435_452), Ok(8));
    assert_eq!(publish.head_len(V3_1_1, 268_435_453), Err(EncodeError::PacketTooLong));
    assert_eq!(publish.head_len(V3_1_1, usize::MAX), Err(EncodeError::PacketTooLong));
    assert_eq!(publish.encode_head(V5, usize::MAX, &mut [0; 64]), Err(EncodeError::PacketTooLong));
    let long = "x".repeat(65_536);
    let fits = &long[1..];
    assert_eq!(no_encode(&Connect::new(V5, &long), V5), EncodeError::StringTooLong);
    let connect = Connect { username: Some(&long), ..Connect::new(V5, "") };
    assert_eq!(no_encode(&connect, V5), EncodeError::StringTooLong);
    let connect = Connect { password: Some(long.as_bytes()), ..Connect::new(V5, "") };
    assert_eq!(no_encode(&connect, V5), EncodeError::StringTooLong);
    let will = Will::new(topic("a"), long.as_bytes());
    let connect = Connect { will: Some(will), ..Connect::new(V5, "") };
    assert_eq!(no_encode(&connect, V5), EncodeError::StringTooLong);
    for list in [
        [Property::UserProperty(&long, "")],
        [Property::UserProperty("", &long)],
        [Property::AuthenticationMethod(&long)],
    ] {
        let connect = Connect { properties: Properties::List(&list), ..Connect::new(V5, "") };
        assert_eq!(no_encode(&connect, V5), EncodeError::StringTooLong);
    }
    let frame = encode(&Connect::new(V5, fits), V5);
    assert!(matches!(accept(V5, Client, &frame), Packet::Connect(connect) if connect.client_id == fits));
}

/// Properties that make the packet too long: 2,100 times the longest pair. [C17]
#[test]
fn c17_too_many_properties() {
    let long = "x".repeat(65_535);
    let list = vec![Property::UserProperty(&long, &long); 2100];
    for many in [2047, 2048, 2100] {
        let properties = Properties::List(&list[..many]);
        assert_eq!(properties.body_len(), many * 131_075);
        let expected = many * 131_075 + 4 + 3 < 268_435_456;
        let packets: [Packet<'_>; 5] = [
            Puback::with(id(1), ReasonCode::Success, properties).into(),
            Publish { properties, ..Publish::new(topic("a"), b"") }.into(),
            Connack { properties, ..Connack::accepted(false) }.into(),
            Disconnect { reason_code: ReasonCode::Success, properties }.into(),
            Connect { properties, ..Connect::new(V5, "c") }.into(),
        ];
        for packet in packets {
            let len = packet.encoded_len(V5);
            assert_eq!(len.is_ok(), expected, "{many}: {len:?}");
            assert!(expected || len == Err(EncodeError::PacketTooLong));
        }
    }
}

/// Each error names the byte at which the packet goes wrong.
#[test]
fn errors_name_the_byte() {
    let long = frame(0x30, &[b"\x00\x01t\x00", &[0; 200][..]].concat());
    let mut long_flags = long.clone();
    long_flags[6] = 0x05; // five bytes of properties, the first of them 0
    let cases: [(Version, Peer, &[u8], u32); 14] = [
        (V3_1_1, Server, &[0x36, 2, 0, 0], 0),
        (V3_1_1, Server, &[0xD0, 0x80, 0x00], 1),
        (V3_1_1, Server, b"\x30\x05\x00\x04abc", 4),
        (V3_1_1, Server, b"\x30\x03\x00\x01\xFF", 2),
        (V3_1_1, Server, b"\x32\x05\x00\x01t\x00\x00", 5),
        (V3_1_1, Server, &[0x90, 5, 0, 1, 0, 1, 3], 6),
        (V3_1_1, Client, b"\x82\x0A\x00\x01\x00\x01a\x00\x00\x01b\x03", 11),
        (V5, Server, &[0x40, 3, 0, 1, 0x77], 4),
        (V5, Server, b"\x30\x07\x00\x01t\x03\x23\x00\x00", 7),
        (V5, Server, b"\x30\x07\x00\x01t\x03\x24\x00\x00", 6),
        (V5, Server, b"\x30\x0A\x00\x01t\x06\x23\x00\x01\x23\x00\x01", 9),
        (V5, Server, b"\x30\x05\x00\x01t\x09\x23", 6),
        (V5, Client, b"\x10\x0E\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x01c", 9),
        (V5, Server, &long_flags, 7),
    ];
    accept(V5, Server, &long);
    for (version, from, frame, at) in cases {
        let why = refuse(version, from, frame);
        assert_eq!(why.at, at, "{why}: {frame:02X?}");
    }
    // The head of a PUBLISH alone: where the length stands that runs past the packet, or is padded.
    let heads: [(Version, &[u8], u32); 4] = [
        (V3_1_1, b"\x30\x01", 2),
        (V3_1_1, b"\x30\x85\x01\x00\x84", 5),
        (V5, b"\x30\x05\x00\x01t\x09", 5),
        (V5, b"\x30\x05\x00\x01t\x80\x00", 5),
    ];
    for (version, head, at) in heads {
        let why = PublishHead::decode(head, version, Server, 1024).expect_err("cannot become right");
        assert_eq!(why.at, at, "{why}: {head:02X?}");
    }
}

/// Asking for one packet type and meeting another is an error of its own. [U-03]
#[test]
fn another_packet_than_asked_for() {
    let why = Puback::decode(&[0x50, 2, 0, 1], V5, Server).expect_err("a PUBREC");
    assert_eq!((why.kind, why.at), (DecodeErrorKind::OtherPacket, 0));
    assert!(Publish::decode(&[0x50, 2, 0, 1], V5, Server).is_err());
    assert!(Connack::decode(&[0x20, 3, 0, 0, 0], V5, Client).is_err());
    assert!(Subscribe::decode(b"\x82\x07\x00\x01\x00\x00\x01a\x00", V5, Server).is_err());
}
