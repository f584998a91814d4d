//! Properties: the whole table number × place × side, and every way each can be wrong, generated.

use crate::support::{field, frame, join, section, varint};
use crate::*;

/// The table of section 2.2.2.2, written down once more: number, name, type, places. Places by letters: C CONNECT,
/// W will, c CONNACK, P PUBLISH, a the four acknowledgements, S SUBSCRIBE, s SUBACK, U UNSUBSCRIBE, u UNSUBACK,
/// D DISCONNECT, A AUTH.
const TABLE: [(u8, &str, Type, &str); 27] = [
    (0x01, "Payload Format Indicator", Type::Flag, "PW"),
    (0x02, "Message Expiry Interval", Type::Four(true), "PW"),
    (0x03, "Content Type", Type::Text, "PW"),
    (0x08, "Response Topic", Type::Topic, "PW"),
    (0x09, "Correlation Data", Type::Binary, "PW"),
    (0x0B, "Subscription Identifier", Type::Varint, "PS"),
    (0x11, "Session Expiry Interval", Type::Four(true), "CcD"),
    (0x12, "Assigned Client Identifier", Type::Text, "c"),
    (0x13, "Server Keep Alive", Type::Two(true), "c"),
    (0x15, "Authentication Method", Type::Text, "CcA"),
    (0x16, "Authentication Data", Type::Binary, "CcA"),
    (0x17, "Request Problem Information", Type::Flag, "C"),
    (0x18, "Will Delay Interval", Type::Four(true), "W"),
    (0x19, "Request Response Information", Type::Flag, "C"),
    (0x1A, "Response Information", Type::Text, "c"),
    (0x1C, "Server Reference", Type::Text, "cD"),
    (0x1F, "Reason String", Type::Text, "casuDA"),
    (0x21, "Receive Maximum", Type::Two(false), "Cc"),
    (0x22, "Topic Alias Maximum", Type::Two(true), "Cc"),
    (0x23, "Topic Alias", Type::Two(false), "P"),
    (0x24, "Maximum QoS", Type::Flag, "c"),
    (0x25, "Retain Available", Type::Flag, "c"),
    (0x26, "User Property", Type::Pair, "CWcPaSsUuDA"),
    (0x27, "Maximum Packet Size", Type::Four(false), "Cc"),
    (0x28, "Wildcard Subscription Available", Type::Flag, "c"),
    (0x29, "Subscription Identifiers Available", Type::Flag, "c"),
    (0x2A, "Shared Subscription Available", Type::Flag, "c"),
];

/// The type on the wire. Of numbers, whether 0 is allowed.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Type {
    Flag,
    Two(bool),
    Four(bool),
    Varint,
    Text,
    Topic,
    Binary,
    Pair,
}

impl Type {
    /// Legal values, the extremes among them.
    fn legal(self) -> Vec<Vec<u8>> {
        match self {
            Self::Flag => vec![vec![0], vec![1]],
            Self::Two(zero) => legal_numbers(2, zero),
            Self::Four(zero) => legal_numbers(4, zero),
            Self::Varint => {
                [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455].map(varint).to_vec()
            }
            Self::Text => ["", "x", "größer", "\u{FEFF}"].map(field).to_vec(),
            Self::Topic => ["x", "a/b", "ü", "/"].map(field).to_vec(),
            Self::Binary => vec![field(""), field([0]), field([0xFF, 0x00, 0xED, 0xA0])],
            Self::Pair => vec![join(&[&field(""), &field("")]), join(&[&field("n"), &field("ü")])],
        }
    }

    /// Values of the right size that the standard forbids.
    fn illegal(self) -> Vec<Vec<u8>> {
        match self {
            Self::Flag => (2..=255).map(|byte| vec![byte]).collect(),
            Self::Two(false) => vec![vec![0, 0]],
            Self::Four(false) => vec![vec![0, 0, 0, 0]],
            Self::Varint => vec![vec![0], vec![0x80, 0], vec![0x81, 0], vec![0xFF, 0xFF, 0xFF, 0xFF, 1]],
            Self::Text => vec![field([0xFF]), field([0xED, 0xA0, 0x80]), field("a\0")],
            Self::Topic => vec![field([0xFF]), field("a\0"), field("#"), field("a/+"), field("")],
            Self::Pair => vec![
                join(&[&field([0xC3]), &field("v")]),
                join(&[&field("n"), &field([0xC3])]),
                join(&[&field("n\0"), &field("v")]),
                join(&[&field("n"), &field("\0v")]),
            ],
            Self::Two(true) | Self::Four(true) | Self::Binary => vec![],
        }
    }
}

fn legal_numbers(size: usize, zero: bool) -> Vec<Vec<u8>> {
    let mut one = vec![0; size];
    one[size - 1] = 1;
    let mut values = vec![one, vec![0x12; size], vec![0xFF; size]];
    if zero {
        values.push(vec![0; size]);
    }
    values
}

fn letter(place: PropertyPlace) -> char {
    match place {
        PropertyPlace::Connect => 'C',
        PropertyPlace::Will => 'W',
        PropertyPlace::Connack => 'c',
        PropertyPlace::Publish => 'P',
        PropertyPlace::Puback | PropertyPlace::Pubrec | PropertyPlace::Pubrel | PropertyPlace::Pubcomp => 'a',
        PropertyPlace::Subscribe => 'S',
        PropertyPlace::Suback => 's',
        PropertyPlace::Unsubscribe => 'U',
        PropertyPlace::Unsuback => 'u',
        PropertyPlace::Disconnect => 'D',
        PropertyPlace::Auth => 'A',
    }
}

/// Who may send a packet with such a place.
fn senders(place: PropertyPlace) -> &'static [Peer] {
    match place {
        PropertyPlace::Connect
        | PropertyPlace::Will
        | PropertyPlace::Subscribe
        | PropertyPlace::Unsubscribe => &[Client],
        PropertyPlace::Connack | PropertyPlace::Suback | PropertyPlace::Unsuback => &[Server],
        _ => &[Client, Server],
    }
}

/// A packet with these properties, right in everything else.
fn packet(place: PropertyPlace, properties: &[u8]) -> Vec<u8> {
    around(place, &section(properties))
}

/// A packet with this section of properties, whatever it is.
fn around(place: PropertyPlace, section: &[u8]) -> Vec<u8> {
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
    frame(first, &join(&[before, section, after]))
}

/// What else must be there for this property to stand at this place.
fn company(place: PropertyPlace, number: u8) -> &'static [u8] {
    if number == 0x16 || (place == PropertyPlace::Auth && number != 0x15) { b"\x15\x00\x01m" } else { b"" }
}

/// One side may not send everything its packet allows the other.
fn forbidden_for(place: PropertyPlace, number: u8, from: Peer) -> bool {
    matches!(
        (place, number, from),
        (PropertyPlace::Publish, 0x0B, Client)
            | (PropertyPlace::Disconnect, 0x11, Server)
            | (PropertyPlace::Disconnect, 0x1C, Client)
    )
}

fn allowed(number: u8, place: PropertyPlace) -> Option<Type> {
    let (_, _, kind, places) = TABLE.iter().find(|entry| entry.0 == number)?;
    places.contains(letter(place)).then_some(*kind)
}

fn found_in(packet: &Packet<'_>, place: PropertyPlace) -> usize {
    let properties = match packet {
        Packet::Connect(Connect { will: Some(will), .. }) if place == PropertyPlace::Will => will.properties,
        Packet::Connect(packet) => packet.properties,
        Packet::Connack(packet) => packet.properties,
        Packet::Publish(packet) => packet.properties,
        Packet::Puback(packet) => packet.properties,
        Packet::Pubrec(packet) => packet.properties,
        Packet::Pubrel(packet) => packet.properties,
        Packet::Pubcomp(packet) => packet.properties,
        Packet::Subscribe(packet) => packet.properties,
        Packet::Suback(packet) => packet.properties,
        Packet::Unsubscribe(packet) => packet.properties,
        Packet::Unsuback(packet) => packet.properties,
        Packet::Disconnect(packet) => packet.properties,
        Packet::Auth(packet) => packet.properties,
        other => panic!("{other:?}"),
    };
    assert_eq!(properties.check(place), Ok(()));
    properties.iter().count()
}

/// Calls for every number a byte can be, at every place, from every side that has the place.
fn every(mut check: impl FnMut(u8, PropertyPlace, Peer)) {
    for number in 0..=255 {
        for place in PropertyPlace::ALL {
            for from in senders(*place) {
                check(number, *place, *from);
            }
        }
    }
}

/// Allowed where the table says so, with every legal value, and written back the same; elsewhere refused.
/// [U-07] [C10]
#[test]
fn c10_every_property_at_every_place() {
    let (mut accepted, mut refused) = (0, 0);
    every(|number, place, from| match allowed(number, place) {
        Some(_) if forbidden_for(place, number, from) => {}
        Some(kind) => {
            for value in kind.legal() {
                let with = company(place, number);
                let bytes = packet(place, &join(&[&[number], &value, with]));
                let packet = accept(V5, from, &bytes);
                assert_eq!(found_in(&packet, place), if with.is_empty() { 1 } else { 2 });
                assert_eq!(encode(&packet, V5), bytes);
                accepted += 1;
            }
        }
        None => {
            let kind = TABLE.iter().find(|entry| entry.0 == number).map_or(Type::Flag, |entry| entry.2);
            for value in kind.legal() {
                malformed(V5, from, &packet(place, &join(&[&[number], &value])), "U-07");
                refused += 1;
            }
        }
    });
    println!("{accepted} accepted, {refused} refused");
    assert_eq!(PropertyId::ALL.len(), TABLE.len());
    for (number, name, ..) in TABLE {
        let id = PropertyId::from_u8(number).expect("a property");
        assert_eq!((id as u8, id.name()), (number, name));
        for place in PropertyPlace::ALL {
            for from in senders(*place) {
                let expected = allowed(number, *place).is_some() && !forbidden_for(*place, number, *from);
                assert_eq!(id.allowed_in(*place, *from), expected, "{name} {place:?} {from:?}");
            }
        }
    }
}

/// Twice: a protocol error, except for User Property, and Subscription Identifier in PUBLISH. Also when the value is
/// the same, or 0. [U-08] [C9]
#[test]
fn c09_duplicate_properties() {
    let mut refused = 0;
    every(|number, place, from| {
        let Some(kind) = allowed(number, place).filter(|_| !forbidden_for(place, number, from)) else {
            return;
        };
        let repeats = number == 0x26 || (number == 0x0B && place == PropertyPlace::Publish);
        for first in kind.legal() {
            for second in kind.legal() {
                let with = company(place, number);
                let between = if place == PropertyPlace::Auth { &b""[..] } else { b"\x26\x00\x01n\x00\x01v" };
                let bytes = packet(place, &join(&[with, &[number], &first, between, &[number], &second]));
                if repeats {
                    accept(V5, from, &bytes);
                } else {
                    protocol(V5, from, &bytes, "U-08");
                    refused += 1;
                }
            }
        }
    });
    assert!(refused > 800, "{refused}");
}

/// Values out of range, each of them, by their own rules.
/// [U-09] [U-10] [U-11] [U-12] [U-13] [U-14] [5.0 MQTT-3.3.2-8] [5.0 MQTT-1.5.7-1] [5.0 MQTT-3.3.2-13]
/// [5.0 MQTT-3.3.2-14] [5.0 MQTT-3.3.2-19] [C11]
#[test]
fn c11_values_out_of_range() {
    every(|number, place, from| {
        let Some(kind) = allowed(number, place).filter(|_| !forbidden_for(place, number, from)) else {
            return;
        };
        for value in kind.illegal() {
            let bytes = packet(place, &join(&[company(place, number), &[number], &value]));
            let why = refuse(V5, from, &bytes);
            let (expected, code) = match (kind, number) {
                (Type::Two(_), 0x21) => ("U-09", ReasonCode::ProtocolError),
                (Type::Two(_), _) => ("MQTT-3.3.2-8", ReasonCode::ProtocolError),
                (Type::Four(_), _) => ("U-10", ReasonCode::ProtocolError),
                (Type::Flag, 0x24) => ("U-11", ReasonCode::ProtocolError),
                (Type::Flag, 0x01) => ("U-13", ReasonCode::ProtocolError),
                (Type::Flag, _) => ("U-12", ReasonCode::ProtocolError),
                (Type::Varint, _) if value == [0] => ("U-14", ReasonCode::ProtocolError),
                (Type::Varint, _) if value.len() == 2 => ("MQTT-1.5.5-1", ReasonCode::MalformedPacket),
                (Type::Varint, _) => ("U-01", ReasonCode::MalformedPacket),
                (Type::Topic, _) if value == field("") => ("MQTT-4.7.3-1", ReasonCode::MalformedPacket),
                (Type::Topic, _) if value == field("#") || value == field("a/+") => {
                    ("MQTT-3.3.2-14", ReasonCode::MalformedPacket)
                }
                _ if value.contains(&0xFF) || value.contains(&0xED) || value.contains(&0xC3) => {
                    ("MQTT-1.5.4-1", ReasonCode::MalformedPacket)
                }
                _ => ("MQTT-1.5.4-2", ReasonCode::MalformedPacket),
            };
            assert_eq!((why.rule, why.reason_code), (expected, code), "{number:#04X} {value:02X?}");
        }
    });
    // And none of them is written.
    let wrong = [
        Property::ReceiveMaximum(0),
        Property::MaximumPacketSize(0),
        Property::MaximumQos(Qos::ExactlyOnce),
        Property::SubscriptionIdentifier(0),
        Property::SubscriptionIdentifier(268_435_456),
        Property::TopicAlias(0),
    ];
    for property in wrong {
        assert_eq!(property.encode(&mut [0; 16]), Err(EncodeError::InvalidProperty(property.id())));
        let list = [property];
        let properties = Properties::List(&list);
        assert_eq!(properties.write_body(&mut [0; 16]), Err(EncodeError::InvalidProperty(property.id())));
        let place =
            *PropertyPlace::ALL.iter().find(|place| property.id().allowed_in(**place, Server)).expect("one");
        assert_eq!(properties.check(place), Err(EncodeError::InvalidProperty(property.id())));
    }
}

/// Cut short at every byte, with a section that says so: the property does not end where the section does.
/// [U-06] [C8]
#[test]
fn c08_a_section_that_ends_inside_a_property() {
    every(|number, place, from| {
        let Some(kind) = allowed(number, place).filter(|_| !forbidden_for(place, number, from)) else {
            return;
        };
        for value in kind.legal() {
            let whole = join(&[company(place, number), &[number], &value]);
            let begin = company(place, number).len();
            for cut in begin + 1..whole.len() {
                // A shorter number may be a whole varint; nothing else is whole.
                let why = refuse(V5, from, &packet(place, &whole[..cut]));
                assert_eq!(why.rule, "U-06", "{number:#04X} cut at {cut}");
                assert_eq!(why.reason_code, ReasonCode::MalformedPacket);
            }
        }
    });
}

/// A section that runs past the packet. [U-06] [C8]
#[test]
fn c08_a_section_beyond_the_packet() {
    for place in PropertyPlace::ALL {
        for from in senders(*place) {
            for len in [varint(200), varint(20_000), varint(268_435_455)] {
                malformed(V5, *from, &around(*place, &len), "U-06");
            }
            // The length itself is cut off.
            if matches!(*place, PropertyPlace::Connack | PropertyPlace::Puback | PropertyPlace::Auth) {
                malformed(V5, *from, &around(*place, &[0x80]), "U-05");
            }
        }
    }
}

/// No properties are written as a length of 0. [5.0 MQTT-2.2.2-1]
#[test]
fn no_properties() {
    for place in PropertyPlace::ALL {
        let bytes = packet(*place, b"");
        for from in senders(*place) {
            if *place == PropertyPlace::Auth {
                protocol(V5, *from, &bytes, "U-18");
                continue;
            }
            let read = accept(V5, *from, &bytes);
            assert_eq!(found_in(&read, *place), 0);
            let short = matches!(letter(*place), 'a' | 'D');
            assert_eq!(encode(&read, V5) == bytes, !short, "{place:?}");
        }
    }
}

/// Ten thousand properties in one packet: accepted, in order, nothing allocated for them. [M6]
#[test]
fn m06_a_flood_of_properties() {
    let mut properties = Vec::new();
    for number in 0..10_000 {
        properties.extend(join(&[&[0x26], &field("name"), &field(number.to_string())]));
    }
    let bytes = packet(PropertyPlace::Publish, &properties);
    let Packet::Publish(publish) = accept(V5, Server, &bytes) else { panic!("not a PUBLISH") };
    for (number, (name, value)) in publish.properties.user_properties().enumerate() {
        assert_eq!((name, value), ("name", &*number.to_string()));
    }
    assert_eq!(publish.properties.user_properties().count(), 10_000);
    assert_eq!(encode(&publish, V5), bytes);
}

/// Typed access by name gives the first of that name, from every way properties are held.
#[test]
fn access_by_name() {
    use Property as P;
    let list = [
        P::PayloadFormatIndicator(true),
        P::MessageExpiryInterval(2),
        P::ContentType("3"),
        P::ResponseTopic("8"),
        P::CorrelationData(b"9"),
        P::SubscriptionIdentifier(11),
        P::SessionExpiryInterval(17),
        P::AssignedClientIdentifier("18"),
        P::ServerKeepAlive(19),
        P::AuthenticationMethod("21"),
        P::AuthenticationData(b"22"),
        P::RequestProblemInformation(true),
        P::WillDelayInterval(24),
        P::RequestResponseInformation(true),
        P::ResponseInformation("26"),
        P::ServerReference("28"),
        P::ReasonString("31"),
        P::ReceiveMaximum(33),
        P::TopicAliasMaximum(34),
        P::TopicAlias(35),
        P::MaximumQos(Qos::AtLeastOnce),
        P::RetainAvailable(true),
        P::UserProperty("n", "38"),
        P::MaximumPacketSize(39),
        P::WildcardSubscriptionAvailable(true),
        P::SubscriptionIdentifiersAvailable(true),
        P::SharedSubscriptionAvailable(true),
        P::UserProperty("n", "again"),
        P::SubscriptionIdentifier(12),
    ];
    let mut stored = vec![0; Properties::List(&list).body_len()];
    assert_eq!(Properties::List(&list).write_body(&mut stored), Ok(stored.len()));
    assert_eq!(stored.len(), list.iter().map(P::encoded_len).sum());
    let encoded = EncodedProperties::from_stored(&stored);
    let mut half = vec![0; Properties::List(&list[14..]).body_len()];
    assert_eq!(Properties::List(&list[14..]).write_body(&mut half), Ok(half.len()));
    let chain = Properties::Chain(&list[..14], EncodedProperties::from_stored(&half));
    for p in [Properties::List(&list), Properties::Encoded(encoded), chain] {
        assert_eq!(p, Properties::List(&list));
        assert_eq!(p.payload_format_indicator(), Some(true));
        assert_eq!(p.message_expiry_interval(), Some(2));
        assert_eq!(p.content_type(), Some("3"));
        assert_eq!(p.response_topic(), Some("8"));
        assert_eq!(p.correlation_data(), Some(&b"9"[..]));
        assert_eq!(p.subscription_identifier(), Some(11));
        assert_eq!(p.session_expiry_interval(), Some(17));
        assert_eq!(p.assigned_client_identifier(), Some("18"));
        assert_eq!(p.server_keep_alive(), Some(19));
        assert_eq!(p.authentication_method(), Some("21"));
        assert_eq!(p.authentication_data(), Some(&b"22"[..]));
        assert_eq!(p.request_problem_information(), Some(true));
        assert_eq!(p.will_delay_interval(), Some(24));
        assert_eq!(p.request_response_information(), Some(true));
        assert_eq!(p.response_information(), Some("26"));
        assert_eq!(p.server_reference(), Some("28"));
        assert_eq!(p.reason_string(), Some("31"));
        assert_eq!(p.receive_maximum(), Some(33));
        assert_eq!(p.topic_alias_maximum(), Some(34));
        assert_eq!(p.topic_alias(), Some(35));
        assert_eq!(p.maximum_qos(), Some(Qos::AtLeastOnce));
        assert_eq!(p.retain_available(), Some(true));
        assert_eq!(p.maximum_packet_size(), Some(39));
        assert_eq!(p.wildcard_subscription_available(), Some(true));
        assert_eq!(p.subscription_identifiers_available(), Some(true));
        assert_eq!(p.shared_subscription_available(), Some(true));
        assert!(p.user_properties().eq([("n", "38"), ("n", "again")]));
        assert!(p.subscription_identifiers().eq([11, 12]));
        assert!(p.iter().eq(list));
        assert!(!p.is_empty());
        let mut again = vec![0; p.body_len()];
        assert_eq!(p.write_body(&mut again), Ok(stored.len()));
        assert_eq!(again, stored);
        let needed = stored.len();
        assert_eq!(p.write_body(&mut again[1..]), Err(EncodeError::BufferTooSmall { needed }));
    }
    assert_eq!(Properties::EMPTY.topic_alias(), None);
    assert!(Properties::EMPTY.is_empty() && Properties::default() == Properties::EMPTY);
    assert_ne!(Properties::List(&list), Properties::List(&list[1..]));
    for property in list {
        let needed = property.encoded_len();
        let mut out = vec![0; needed];
        assert_eq!(property.encode(&mut out), Ok(needed));
        assert_eq!(property.encode(&mut out[1..]), Err(EncodeError::BufferTooSmall { needed }));
        assert_eq!(EncodedProperties::from_stored(&out).iter().next(), Some(property));
    }
}

/// What is chained is checked as one: places, duplicates, and what belongs together.
#[test]
fn chains_are_checked_as_one() {
    let mut stored = [0; 16];
    let list = [Property::TopicAlias(3)];
    let len = Properties::List(&list).write_body(&mut stored).expect("room");
    let encoded = EncodedProperties::from_stored(&stored[..len]);
    let more = [Property::ContentType("x")];
    assert_eq!(Properties::Chain(&more, encoded).check(PropertyPlace::Publish), Ok(()));
    let twice = EncodeError::DuplicateProperty(PropertyId::TopicAlias);
    assert_eq!(Properties::Chain(&list, encoded).check(PropertyPlace::Publish), Err(twice));
    let not_here = EncodeError::PropertyNotAllowed(PropertyId::TopicAlias);
    assert_eq!(Properties::Encoded(encoded).check(PropertyPlace::Will), Err(not_here));
    assert_eq!(Properties::List(&list).check(PropertyPlace::Connack), Err(not_here));
    let publish = Publish {
        topic: None,
        properties: Properties::Chain(&more, encoded),
        ..Publish::new(topic("t"), b"p")
    };
    let bytes = encode(&publish, V5);
    assert!(matches!(accept(V5, Server, &bytes), Packet::Publish(read) if read == publish));
}

/// Bytes that never were properties: the iteration ends, nothing panics, and they are not sent.
#[test]
fn damaged_properties() {
    for stored in [
        &b"\x00"[..],
        b"\x23",
        b"\x23\x00",
        b"\x26\x00\x01n\x00",
        b"\x1F\x00\x05abc",
        b"\xFF\xFF",
        b"\x0B\x80\x80\x80\x80",
    ] {
        let properties = Properties::Encoded(EncodedProperties::from_stored(stored));
        assert_eq!(properties.iter().count(), 0, "{stored:02X?}");
        let mut iter = properties.iter();
        assert!(iter.next().is_none() && iter.next().is_none());
        assert_eq!(properties.topic_alias(), None);
        for place in PropertyPlace::ALL {
            assert_eq!(properties.check(*place), Err(EncodeError::DamagedProperties));
        }
    }
    let half = EncodedProperties::from_stored(b"\x23\x00\x01\x23\x00");
    assert!(half.iter().eq([Property::TopicAlias(1)]));
}
