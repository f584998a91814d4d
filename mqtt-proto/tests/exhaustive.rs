//! Small domains tried as a whole: every length prefix, every truncation and every single-byte change of a corpus of
//! valid packets, every way to cut a stream.

mod support;

use mqtt_proto::*;
use support::corpus::{Entry, corpus};
use support::varint;

/// What decoding gives; through [`Packet`] and through the packet's own type it is the same.
fn decode(frame: &[u8], version: Version, from: Peer) -> Result<Packet<'_>, DecodeError> {
    let any = Packet::decode(frame, version, from);
    let Some(packet_type) = frame.first().and_then(|first| PacketType::from_first_byte(*first)) else {
        return any;
    };
    let own = match packet_type {
        PacketType::Connect => Connect::decode(frame, version, from).map(Packet::from),
        PacketType::Connack => Connack::decode(frame, version, from).map(Packet::from),
        PacketType::Publish => Publish::decode(frame, version, from).map(Packet::from),
        PacketType::Puback => Puback::decode(frame, version, from).map(Packet::from),
        PacketType::Pubrec => Pubrec::decode(frame, version, from).map(Packet::from),
        PacketType::Pubrel => Pubrel::decode(frame, version, from).map(Packet::from),
        PacketType::Pubcomp => Pubcomp::decode(frame, version, from).map(Packet::from),
        PacketType::Subscribe => Subscribe::decode(frame, version, from).map(Packet::from),
        PacketType::Suback => Suback::decode(frame, version, from).map(Packet::from),
        PacketType::Unsubscribe => Unsubscribe::decode(frame, version, from).map(Packet::from),
        PacketType::Unsuback => Unsuback::decode(frame, version, from).map(Packet::from),
        PacketType::Pingreq => Pingreq::decode(frame, version, from).map(Packet::from),
        PacketType::Pingresp => Pingresp::decode(frame, version, from).map(Packet::from),
        PacketType::Disconnect => Disconnect::decode(frame, version, from).map(Packet::from),
        PacketType::Auth => Auth::decode(frame, version, from).map(Packet::from),
    };
    assert_eq!(any, own, "{frame:02X?}");
    any
}

/// Whatever is accepted can be sent on, and reads the same again. Whatever is refused names a place in the frame, a
/// rule, and a reason code that tells of an error.
fn sound(frame: &[u8], version: Version, from: Peer) -> bool {
    match decode(frame, version, from) {
        Ok(packet) => {
            let mut again =
                vec![0; packet.encoded_len(version).unwrap_or_else(|why| panic!("{why}: {frame:02X?}"))];
            assert_eq!(packet.encode(version, &mut again), Ok(again.len()));
            assert!(again.len() <= frame.len(), "{frame:02X?} grows to {again:02X?}");
            assert_eq!(Packet::decode(&again, version, from), Ok(packet), "{frame:02X?}");
            true
        }
        Err(why) => {
            assert!(why.at as usize <= frame.len(), "{why}: {frame:02X?}");
            assert!(why.rule.starts_with("MQTT-") || why.rule.starts_with("U-"), "{why:?}");
            assert!(why.reason_code.is_error());
            false
        }
    }
}

/// Every remaining length of up to four bytes there can be, against the standard's own pseudocode.
/// [U-01] [5.0 MQTT-1.5.5-1] [C1] [C2] [C3]
#[test]
fn every_length_prefix() {
    let announced = |input: &[u8]| announced_len(input, usize::MAX).map_err(|why| why.rule);
    let mut checked = 0_u64;
    for a in 0..=255_u8 {
        if a < 0x80 {
            assert_eq!(announced(&[0xC0, a]), Ok(Some(2 + usize::from(a))));
            assert_eq!(announced(&[0xC0, a, 0xFF, 0xFF, 0xFF]), Ok(Some(2 + usize::from(a))));
            checked += 1;
            continue;
        }
        for b in 0..=255_u8 {
            let two = usize::from(a & 0x7F) | usize::from(b & 0x7F) << 7;
            if b < 0x80 {
                let expected = if b == 0 { Err("MQTT-1.5.5-1") } else { Ok(Some(3 + two)) };
                assert_eq!(announced(&[0xC0, a, b]), expected);
                assert_eq!(announced(&[0xC0, a, b, 0xFF, 0xFF]), expected);
                checked += 1;
                continue;
            }
            assert_eq!(announced(&[0xC0, a, b]), Ok(None));
            for c in 0..=255_u8 {
                let three = two | usize::from(c & 0x7F) << 14;
                if c < 0x80 {
                    let expected = if c == 0 { Err("MQTT-1.5.5-1") } else { Ok(Some(4 + three)) };
                    assert_eq!(announced(&[0xC0, a, b, c]), expected);
                    checked += 1;
                    continue;
                }
                for d in 0..=255_u8 {
                    let four = three | usize::from(d & 0x7F) << 21;
                    let right = match announced_len(&[0xC0, a, b, c, d], usize::MAX) {
                        Ok(Some(len)) => d != 0 && d < 0x80 && len == 5 + four,
                        Ok(None) => false,
                        Err(why) => {
                            why.rule == if d == 0 { "MQTT-1.5.5-1" } else { "U-01" } && (d == 0 || d >= 0x80)
                        }
                    };
                    assert!(right, "{a:02X} {b:02X} {c:02X} {d:02X}");
                    checked += 1;
                }
            }
        }
    }
    assert_eq!(checked, 128 + (128 << 7) + (128 << 14) + (256 << 21));
}

/// Where a packet may end although it was longer: the payload of a PUBLISH, between the entries of a list, and where
/// reason code and properties may be left out.
fn may_end(entry: &Entry, whole: &Packet<'_>, header: usize, cut: usize) -> bool {
    let v5 = entry.version == Version::V5;
    match whole {
        Packet::Publish(publish) => cut >= entry.frame.len() - publish.payload.len(),
        Packet::Subscribe(subscribe) => {
            let begin = entry.frame.len() - subscribe.filters.body_len();
            let ends = subscribe.filters.iter().scan(begin, |at, item| {
                *at += item.filter.as_str().len() + 3;
                Some(*at)
            });
            ends.into_iter().any(|end| end == cut)
        }
        Packet::Unsubscribe(unsubscribe) => {
            let begin = entry.frame.len() - unsubscribe.filters.body_len();
            let ends = unsubscribe.filters.iter().scan(begin, |at, filter| {
                *at += filter.as_str().len() + 2;
                Some(*at)
            });
            ends.into_iter().any(|end| end == cut)
        }
        Packet::Suback(Suback { codes, .. }) => cut > entry.frame.len() - codes.len(),
        Packet::Unsuback(Unsuback { codes, .. }) => v5 && cut > entry.frame.len() - codes.len(),
        Packet::Puback(_) | Packet::Pubrec(_) | Packet::Pubrel(_) | Packet::Pubcomp(_) => {
            v5 && (cut == header + 2 || cut == header + 3)
        }
        // A DISCONNECT without a code says success.
        Packet::Disconnect(_) => v5 && (cut == header || cut == header + 1),
        // Only a success needs no method, and only a server can say it.
        Packet::Auth(auth) => match cut - header {
            0 => entry.from == Peer::Server,
            1 => auth.reason_code == ReasonCode::Success,
            _ => false,
        },
        // In 3.1 user name and password may be missing though their flags are set.
        Packet::Connect(connect) if entry.version == Version::V3_1 => {
            let password = connect.password.map_or(0, |password| password.len() + 2);
            let username = connect.username.map_or(0, |username| username.len() + 2);
            let len = entry.frame.len();
            cut == len - password || cut == len - password - username
        }
        _ => false,
    }
}

/// Every truncation of every packet of the corpus, with the length as it was and with the length corrected.
/// [U-05] [U-06] [C5] [C6] [C8]
#[test]
fn c06_every_truncation() {
    let (mut cuts, mut accepted) = (0, 0);
    for entry in corpus() {
        let Entry { version, from, frame } = &entry;
        let whole = Packet::decode(frame, *version, *from).expect("a valid packet");
        let body = frame[1..].iter().position(|byte| *byte < 0x80).expect("a length") + 2;
        for cut in 0..frame.len() {
            assert_eq!(frame_len(&frame[..cut], usize::MAX), Ok(None));
            assert!(!sound(&frame[..cut], *version, *from), "{:02X?}", &frame[..cut]);
            cuts += 1;
            if cut < body {
                continue;
            }
            let corrected = [&frame[..1], &varint(cut - body), &frame[body..cut]].concat();
            assert_eq!(frame_len(&corrected, usize::MAX), Ok(Some(corrected.len())));
            let fine = sound(&corrected, *version, *from);
            assert_eq!(
                fine,
                may_end(&entry, &whole, body, cut),
                "{version} {from:?} {corrected:02X?} of {whole:?}"
            );
            accepted += usize::from(fine);
        }
    }
    println!("{cuts} cuts, {accepted} of them between two entries or in a payload");
    assert!(cuts > 7000 && accepted > 400);
}

/// Every packet of the corpus with one more byte behind it: refused, where the packet ends. [U-04] [C7]
#[test]
fn c07_a_byte_behind_every_packet() {
    for Entry { version, from, mut frame } in corpus() {
        let len = frame.len();
        for byte in [0, 0xC0, 0xFF] {
            frame.push(byte);
            assert_eq!(frame_len(&frame, usize::MAX), Ok(Some(len)));
            let why = decode(&frame, version, from).expect_err("one byte too many");
            assert_eq!((why.rule, why.at as usize), ("U-04", len), "{frame:02X?}");
            frame.pop();
        }
    }
}

/// Every single-byte replacement in every packet of the corpus, read in its own version.
#[test]
fn every_single_byte_replacement() {
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    for Entry { version, from, frame } in corpus() {
        let mut changed = frame.clone();
        for place in 0..frame.len() {
            for byte in 0..=255 {
                changed[place] = byte;
                if sound(&changed, version, from) {
                    accepted += 1;
                } else {
                    refused += 1;
                }
            }
            changed[place] = frame[place];
        }
    }
    println!("{accepted} accepted, {refused} refused");
    assert!(accepted > 500_000 && refused > 500_000);
}

/// Every packet of the corpus read in every version from both sides: accepted or refused, never anything else.
#[test]
fn every_packet_in_every_version() {
    let (mut accepted, mut refused) = (0, 0);
    for entry in corpus() {
        for version in support::VERSIONS {
            for from in support::PEERS {
                match sound(&entry.frame, version, from) {
                    true => accepted += 1,
                    false => refused += 1,
                }
            }
        }
    }
    assert!(accepted > 500 && refused > 500);
}

/// Takes packets from a stream that arrives in pieces, as a connection does, and prints each.
fn feed<'s>(pieces: impl Iterator<Item = &'s [u8]>, version: Version, from: Peer) -> Vec<String> {
    let (mut buffer, mut packets) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend(piece);
        let mut rest = &buffer[..];
        loop {
            let announced = announced_len(rest, usize::MAX).expect("a good header");
            let whole = frame_len(rest, usize::MAX).expect("a good header");
            assert_eq!(whole, announced.filter(|len| *len <= rest.len()));
            let Some(len) = whole else { break };
            let packet = Packet::decode(&rest[..len], version, from).expect("a valid packet");
            packets.push(format!("{packet:?}"));
            rest = &rest[len..];
        }
        // What has come of a PUBLISH is no error as long as it can still become right.
        if rest.first().is_some_and(|first| first >> 4 == 3) {
            let head = PublishHead::decode(rest, version, from, usize::MAX).expect("a good head");
            assert!(head.is_none_or(|head| head.total_len > rest.len() && head.head_len <= rest.len()));
        }
        buffer = rest.to_vec();
    }
    assert!(buffer.is_empty(), "{buffer:02X?} is left");
    packets
}

/// The same packets come out of a stream fed whole, byte by byte, and cut at each place. [C4]
#[test]
fn c04_every_way_to_cut_a_stream() {
    for version in support::VERSIONS {
        for from in support::PEERS {
            let entries: Vec<_> =
                corpus().into_iter().filter(|entry| entry.version == version && entry.from == from).collect();
            assert!(entries.len() > 25);
            let stream: Vec<u8> = entries.iter().flat_map(|entry| entry.frame.clone()).collect();
            let whole = feed([&stream[..]].into_iter(), version, from);
            assert_eq!(whole.len(), entries.len());
            for size in [1, 2, 3, 7, 64] {
                assert_eq!(feed(stream.chunks(size), version, from), whole);
            }
            for pair in entries.windows(2) {
                let two = [&pair[0].frame[..], &pair[1].frame[..]].concat();
                let expected = feed([&two[..]].into_iter(), version, from);
                for cut in 0..=two.len() {
                    let (head, tail) = two.split_at(cut);
                    assert_eq!(feed([head, tail].into_iter(), version, from), expected);
                }
            }
        }
    }
}

/// The corpus is what it claims to be: large, and with every packet, property and direction in it.
#[test]
fn the_corpus_covers_everything() {
    let corpus = corpus();
    assert!(corpus.len() >= 300, "{} packets", corpus.len());
    for version in support::VERSIONS {
        for from in support::PEERS {
            for number in 1..=15_u8 {
                let packet_type = PacketType::from_first_byte(number << 4).expect("a packet type");
                let there = corpus.iter().any(|entry| {
                    entry.version == version && entry.from == from && entry.frame[0] >> 4 == number
                });
                assert_eq!(
                    there,
                    packet_type.allowed_from(from, version),
                    "{version} {from:?} {packet_type}"
                );
            }
        }
    }
    for id in PropertyId::ALL {
        let there = corpus.iter().any(|entry| {
            let packet = Packet::decode(&entry.frame, entry.version, entry.from).expect("a valid packet");
            format!("{packet:?}").contains(&format!("{id:?}("))
        });
        assert!(there, "{id}");
    }
}
