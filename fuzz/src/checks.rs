//! One function for each fuzz target: takes any bytes, and panics when the codec does what it should not.

use mqtt_proto::*;

use crate::support::shape::{Choices, Shape};
use crate::support::{PEERS, VERSIONS, frame, section};

fn version_and_peer(byte: u8) -> (Version, Peer) {
    (VERSIONS[usize::from(byte) % 3], PEERS[usize::from(byte / 3) % 2])
}

fn encode(packet: &impl Encode, version: Version) -> Vec<u8> {
    let mut out = vec![0; packet.encoded_len(version).expect("a legal packet")];
    assert_eq!(packet.encode(version, &mut out), Ok(out.len()));
    out
}

/// Whatever is accepted can be sent on and reads the same again; whatever is refused names place, rule and code.
fn sound(frame: &[u8], version: Version, from: Peer) {
    match Packet::decode(frame, version, from) {
        Ok(packet) => {
            assert_eq!(frame_len(frame, usize::MAX), Ok(Some(frame.len())));
            let again = encode(&packet, version);
            assert!(again.len() <= frame.len());
            assert_eq!(Packet::decode(&again, version, from), Ok(packet));
            assert!(!format!("{packet:?}").is_empty());
        }
        Err(why) => {
            assert!(why.at as usize <= frame.len());
            assert!(!why.rule.is_empty() && why.reason_code.is_error());
        }
    }
}

/// Any bytes as a frame, as they are and with a length that fits.
pub fn decode(data: &[u8]) {
    let Some((choice, input)) = data.split_first() else { return };
    let (version, from) = version_and_peer(*choice);
    sound(input, version, from);
    if let Some((first, body)) = input.split_first() {
        sound(&frame(*first, body), version, from);
    }
    // The switch for padded lengths only ever reads more, and only what breaks that one statement.
    let padded = Packet::decode_with(input, version, from, PaddedLength::Accept);
    match Packet::decode(input, version, from) {
        Err(why) if padded.is_ok() => assert!(why.rule == "MQTT-1.5.5-1" && version != Version::V5),
        strict => assert!(padded == strict || strict.is_err()),
    }
    for max in [0, 64, usize::MAX] {
        let announced = announced_len(input, max);
        assert_eq!(frame_len(input, max), announced.map(|len| len.filter(|len| *len <= input.len())));
        if let Ok(Some(len)) = announced {
            assert!(len <= max && len >= 2);
        }
    }
}

/// A drawn packet, written and read.
pub fn roundtrip(data: &[u8]) {
    let shape = Shape::draw(&mut Choices(data));
    let packet = shape.packet();
    let frame = encode(&packet, shape.version);
    let read = Packet::decode(&frame, shape.version, shape.from).expect("what was written can be read");
    assert_eq!(read.packet_type(), packet.packet_type());
    // Before 5.0 codes and options become coarser; written again they are the same.
    if shape.version == Version::V5 {
        assert_eq!(read, packet);
    }
    assert_eq!(encode(&read, shape.version), frame);
    let mut small = vec![0xAA; frame.len() - 1];
    assert_eq!(
        packet.encode(shape.version, &mut small),
        Err(EncodeError::BufferTooSmall { needed: frame.len() })
    );
    assert!(small.iter().all(|byte| *byte == 0xAA));
    let mut limited = vec![0; frame.len()];
    for max in [0, frame.len() / 2, frame.len() - 1] {
        match packet.encode_within(shape.version, max, &mut limited) {
            Ok(len) => {
                assert!(len <= max);
                Packet::decode(&limited[..len], shape.version, shape.from)
                    .expect("the shorter packet can be read");
            }
            Err(why) => assert_eq!(why, EncodeError::OverLimit { needed: frame.len() }),
        }
    }
}

/// Takes packets from a stream that arrives in pieces, until one is refused.
fn feed<'s>(pieces: impl Iterator<Item = &'s [u8]>, version: Version, from: Peer) -> Vec<String> {
    let (mut buffer, mut told) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend(piece);
        let mut rest = &buffer[..];
        loop {
            match frame_len(rest, 4096) {
                Ok(Some(len)) => {
                    let (frame, tail) = rest.split_at(len);
                    rest = tail;
                    match Packet::decode(frame, version, from) {
                        Ok(packet) => told.push(format!("{packet:?}")),
                        Err(why) => {
                            told.push(format!("{why:?}"));
                            return told;
                        }
                    }
                }
                Ok(None) => break,
                Err(why) => {
                    told.push(format!("{why:?}"));
                    return told;
                }
            }
        }
        buffer = rest.to_vec();
    }
    told
}

/// A stream in one piece and in many: the same packets, the same error.
pub fn split(data: &[u8]) {
    let [choice, a, b, stream @ ..] = data else { return };
    let (version, from) = version_and_peer(*choice);
    let whole = feed([stream].into_iter(), version, from);
    assert_eq!(feed(stream.chunks(1), version, from), whole);
    assert_eq!(feed(stream.chunks(usize::from(*a).max(1)), version, from), whole);
    let (head, tail) = stream.split_at(usize::from(*b).min(stream.len()));
    assert_eq!(feed([head, tail].into_iter(), version, from), whole);
    // The head of a PUBLISH says the same as the whole packet.
    let mut before = None;
    for there in 0..=stream.len().min(300) {
        match PublishHead::decode(&stream[..there], version, from, 4096) {
            Ok(None) => assert_eq!(before, None),
            Ok(Some(head)) => {
                let same = Publish { payload: &[], ..head.publish };
                let text = format!("{same:?} {} {}", head.head_len, head.total_len);
                assert!(before.is_none_or(|before| before == text));
                if there >= head.total_len {
                    let packet = Publish::decode(&stream[..head.total_len], version, from);
                    assert_eq!(packet, Ok(head.publish));
                }
                before = Some(text);
            }
            Err(_) => {
                assert_eq!(before, None);
                break;
            }
        }
    }
}

/// Any bytes as the properties of a packet.
pub fn properties(data: &[u8]) {
    let [place, choice, bytes @ ..] = data else { return };
    let place = PropertyPlace::ALL[usize::from(*place) % PropertyPlace::ALL.len()];
    let (_, from) = version_and_peer(*choice);
    let (first, before, after): (u8, &[u8], &[u8]) = match place {
        PropertyPlace::Connect => (0x10, b"\x00\x04MQTT\x05\x02\x00\x00", b"\x00\x01c"),
        PropertyPlace::Will => (0x10, b"\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01c", b"\x00\x01t\x00\x01w"),
        PropertyPlace::Connack => (0x20, &[0, 0], &[]),
        PropertyPlace::Publish => (0x30, b"\x00\x01t", b"payload"),
        PropertyPlace::Puback => (0x40, &[0, 1, 0], &[]),
        PropertyPlace::Pubrec => (0x50, &[0, 1, 0], &[]),
        PropertyPlace::Pubrel => (0x62, &[0, 1, 0], &[]),
        PropertyPlace::Pubcomp => (0x70, &[0, 1, 0], &[]),
        PropertyPlace::Subscribe => (0x82, &[0, 1], b"\x00\x01a\x00"),
        PropertyPlace::Suback => (0x90, &[0, 1], &[0]),
        PropertyPlace::Unsubscribe => (0xA2, &[0, 1], b"\x00\x01a"),
        PropertyPlace::Unsuback => (0xB0, &[0, 1], &[0]),
        PropertyPlace::Disconnect => (0xE0, &[0x80], &[]),
        PropertyPlace::Auth => (0xF0, &[0x18], &[]),
    };
    let input = frame(first, &[before, &section(bytes), after].concat());
    sound(&input, Version::V5, from);

    // As if they had been stored: safe, and when they are right, the same.
    let stored = Properties::Encoded(EncodedProperties::from_stored(bytes));
    let list: Vec<_> = stored.iter().collect();
    assert!(list.len() <= bytes.len());
    for id in PropertyId::ALL {
        if let Some(found) = stored.find(*id) {
            assert_eq!(found.id(), *id);
        }
    }
    assert!(stored.user_properties().count() + stored.subscription_identifiers().count() <= list.len());
    if Packet::decode(&input, Version::V5, from).is_ok() {
        assert_eq!(stored.check(place), Ok(()));
        assert_eq!(Properties::List(&list).check(place), Ok(()));
        assert_eq!(Properties::List(&list), stored);
        let mut again = vec![0; Properties::List(&list).body_len()];
        assert_eq!(Properties::List(&list).write_body(&mut again), Ok(again.len()));
        assert_eq!(again, bytes);
        for property in &list {
            assert!(property.id().allowed_in(place, from));
        }
    }
}

/// Whether a text is a topic filter, level by level as the standard describes it.
fn is_filter(text: &str) -> bool {
    if text.is_empty() || text.len() > 65_535 || text.contains('\0') {
        return false;
    }
    let inner = match text.strip_prefix("$share/") {
        None => text,
        Some(rest) => match rest.split_once('/') {
            Some((name, inner)) if !name.is_empty() && !name.contains(['+', '#']) && !inner.is_empty() => {
                inner
            }
            _ => return false,
        },
    };
    let levels: Vec<_> = inner.split('/').collect();
    let (last, others) = levels.split_last().expect("at least one");
    let plain = |level: &&str| *level == "+" || !level.contains(['+', '#']);
    others.iter().all(plain) && (plain(last) || *last == "#")
}

/// Whether a filter without share name matches, level by level.
fn is_match(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut wanted, mut levels) = (filter.split('/'), name.split('/'));
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some(wanted), Some(level)) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
}

/// Lines of text: each a filter for a table, the first a topic name.
pub fn topics(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default();
    let name = TopicName::new(first);
    let is_name = !first.is_empty() && first.len() <= 65_535 && !first.contains(['\0', '+', '#']);
    assert_eq!(name.is_ok(), is_name);
    let mut router = Router::new();
    let mut filters = Vec::new();
    for (number, line) in lines.enumerate() {
        let filter = TopicFilter::new(line);
        assert_eq!(filter.is_ok(), is_filter(line), "{line:?}");
        if let Ok(filter) = filter {
            assert_eq!(filter.has_wildcards(), line.contains(['+', '#']));
            router.insert(filter, number);
            filters.push((filter, number));
        }
    }
    if let Ok(name) = name {
        let inner = |filter: TopicFilter<'_>| {
            filter.share().map_or(filter.as_str().to_owned(), |(_, inner)| inner.to_string())
        };
        let mut expected = Vec::new();
        for (filter, number) in &filters {
            assert_eq!(filter.matches(name), is_match(&inner(*filter), first));
            if filter.matches(name) {
                expected.push(*number);
            }
        }
        let mut found: Vec<_> = router.matches(name).copied().collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
    for (filter, number) in &filters {
        assert_eq!(router.remove(*filter, |value| value == number), 1);
    }
    assert!(router.is_empty());
}
