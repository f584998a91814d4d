//! The small types: numbers both ways, names, words for humans.

use core::error::Error;
use std::collections::BTreeSet;

use crate::*;

#[test]
fn versions() {
    let told = ALL.map(|v| (v.level(), v.protocol_name(), v.has_properties(), v.to_string()));
    let expected = [(3, "MQIsdp", false, "3.1"), (4, "MQTT", false, "3.1.1"), (5, "MQTT", true, "5.0")];
    assert_eq!(
        told,
        expected.map(|(level, name, properties, text)| (level, name, properties, text.to_owned()))
    );
    assert_eq!(Version::default(), V5);
    assert!(V3_1 < V3_1_1 && V3_1_1 < V5);
}

#[test]
fn qualities_of_service() {
    for (number, qos) in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().enumerate() {
        let number = number as u8;
        assert_eq!(
            (Qos::try_from(number), Qos::from_u8(number), u8::from(qos)),
            (Ok(qos), Some(qos), number)
        );
    }
    for number in 3..=255 {
        assert_eq!(Qos::try_from(number), Err(InvalidQos(number)));
        assert!(InvalidQos(number).to_string().contains(&number.to_string()));
    }
    assert_eq!(Qos::default(), Qos::AtMostOnce);
}

#[test]
fn packet_identifiers() {
    for number in [1, 2, 0x1234, 65_535] {
        let id = id(number);
        assert_eq!((id.get(), u16::from(id), id.to_string()), (number, number, number.to_string()));
        assert_eq!(PacketId::from(core::num::NonZeroU16::new(number).expect("not zero")), id);
    }
}

/// The names and directions of the packet types, written down once more.
#[test]
fn packet_types() {
    let table = [
        ("CONNECT", true, false),
        ("CONNACK", false, true),
        ("PUBLISH", true, true),
        ("PUBACK", true, true),
        ("PUBREC", true, true),
        ("PUBREL", true, true),
        ("PUBCOMP", true, true),
        ("SUBSCRIBE", true, false),
        ("SUBACK", false, true),
        ("UNSUBSCRIBE", true, false),
        ("UNSUBACK", false, true),
        ("PINGREQ", true, false),
        ("PINGRESP", false, true),
        ("DISCONNECT", true, true),
        ("AUTH", true, true),
    ];
    for (number, (name, client, server)) in (1..=15_u8).zip(table) {
        for flags in 0..16 {
            assert_eq!(PacketType::from_first_byte(number << 4 | flags).map(|t| t as u8), Some(number));
            assert_eq!(PacketType::from_first_byte(flags), None);
        }
        let packet_type = PacketType::from_first_byte(number << 4).expect("a packet type");
        assert_eq!((packet_type.name(), packet_type.to_string()), (name, name.to_owned()));
        assert_eq!(
            (packet_type.allowed_from(Client, V5), packet_type.allowed_from(Server, V5)),
            (client, server)
        );
        for version in OLD {
            let auth = packet_type == PacketType::Auth;
            let disconnect = packet_type == PacketType::Disconnect;
            assert_eq!(packet_type.allowed_from(Client, version), client && !auth);
            assert_eq!(packet_type.allowed_from(Server, version), server && !auth && !disconnect);
        }
    }
    for place in PropertyPlace::ALL {
        let name = format!("{place:?}").to_uppercase();
        let expected = if name == "WILL" { "CONNECT" } else { &name };
        assert_eq!(place.packet_type().name(), expected);
    }
}

/// The numbers and names of the reason codes. A few are spelled out; the whole is checked for order and holes.
#[test]
fn reason_codes() {
    for byte in 0..=255_u8 {
        match ReasonCode::from_u8(byte) {
            Some(code) => {
                assert_eq!((code as u8, u8::from(code), ReasonCode::try_from(byte)), (byte, byte, Ok(code)));
                assert_eq!(code.is_error(), byte >= 0x80);
                assert_eq!(code.to_string(), code.name());
            }
            None => assert_eq!(ReasonCode::try_from(byte), Err(UnknownReasonCode(byte))),
        }
    }
    let known: Vec<u8> = (0..=255).filter(|byte| ReasonCode::from_u8(*byte).is_some()).collect();
    let expected: Vec<u8> = [0, 1, 2, 4, 0x10, 0x11, 0x18, 0x19].into_iter().chain(0x80..=0xA2).collect();
    assert_eq!(known, expected);
    assert_eq!(ReasonCode::ALL.iter().map(|code| *code as u8).collect::<Vec<_>>(), known);
    assert_eq!(ReasonCode::ALL.iter().map(|code| code.name()).collect::<BTreeSet<_>>().len(), known.len());
    assert_eq!(ReasonCode::PacketTooLarge as u8, 0x95);
    assert_eq!(ReasonCode::SessionTakenOver.name(), "Session taken over");
    assert_eq!(ReasonCode::WildcardSubscriptionsNotSupported as u8, 0xA2);
    assert!(UnknownReasonCode(0x77).to_string().contains("0x77"));
}

#[test]
fn errors_have_words() {
    let decode = [
        refuse(V5, Server, &[0x00, 0]),
        refuse(V5, Server, &[0xE0, 1, 0x04]),
        frame_len(&[0x30, 0xFF, 0x7F], 10).expect_err("too large"),
        refuse(V5, Server, &[0x20, 2, 0, 1]),
        refuse(V5, Client, b"\x10\x0D\x00\x04MQTT\x09\x02\x00\x00\x00\x00\x01"),
        Puback::decode(&[0x50, 2, 0, 1], V5, Server).expect_err("a PUBREC"),
    ];
    let words: BTreeSet<String> = decode.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), decode.len());
    for (why, text) in decode.iter().map(|why| (why, why.to_string())) {
        assert!(text.contains(why.rule) && text.contains(&format!("byte {}", why.at)), "{text}");
    }
    let id = PropertyId::TopicAlias;
    let encode = [
        EncodeError::BufferTooSmall { needed: 77 },
        EncodeError::OverLimit { needed: 77 },
        EncodeError::StringTooLong,
        EncodeError::StringWithNul,
        EncodeError::PacketTooLong,
        EncodeError::PropertyNotAllowed(id),
        EncodeError::DuplicateProperty(id),
        EncodeError::InvalidProperty(id),
        EncodeError::MissingProperty(id),
        EncodeError::DamagedProperties,
        EncodeError::InvalidReasonCode(ReasonCode::Banned),
        EncodeError::NotInThisVersion,
        EncodeError::InvalidTopic(TopicError::Nul),
        EncodeError::PacketIdMismatch,
        EncodeError::DupAtQos0,
        EncodeError::MissingTopic,
        EncodeError::Empty,
        EncodeError::NoLocalOnShared,
        EncodeError::PasswordWithoutUserName,
        EncodeError::ClientIdNotValid,
        EncodeError::SessionPresentOnRefusal,
    ];
    let words: BTreeSet<String> = encode.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), encode.len());
    assert!(words.iter().all(|text| text.len() > 15));
    assert!(encode[0].to_string().contains("77") && encode[5].to_string().contains("Topic Alias"));
    let topics = [
        TopicError::Empty,
        TopicError::TooLong,
        TopicError::Nul,
        TopicError::Wildcard,
        TopicError::MisplacedWildcard,
        TopicError::InvalidShare,
    ];
    assert_eq!(topics.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len(), topics.len());
    assert_eq!(EncodeError::from(TopicError::Nul).to_string(), TopicError::Nul.to_string());
    let all: [Box<dyn Error>; 3] = [Box::new(decode[0]), Box::new(encode[0]), Box::new(topics[0])];
    assert!(all.iter().all(|why| why.source().is_none()));
    // They stay small.
    assert!(size_of::<DecodeError>() <= 24 && size_of::<EncodeError>() <= 16 && size_of::<TopicError>() == 1);
}

#[test]
fn topics_are_texts() {
    assert_eq!(topic("a/b").to_string(), "a/b");
    assert_eq!(filter("a/+").to_string(), "a/+");
    assert_eq!(TopicName::try_from("a/b"), Ok(topic("a/b")));
    assert_eq!(TopicFilter::try_from("a/+"), Ok(filter("a/+")));
    assert_eq!(TopicFilter::try_from(topic("a/b")), Ok(filter("a/b")));
    assert_eq!(TopicFilter::try_from(topic("$share/a")), Err(TopicError::InvalidShare));
}

/// Lists are the same in every way they can be looked at, and print their items.
#[test]
fn lists() {
    let properties = [Property::TopicAlias(3), Property::UserProperty("n", "v")];
    let list = Properties::from(&properties[..]);
    assert!(list.into_iter().eq(properties) && (&list).into_iter().eq(properties));
    assert_eq!(format!("{list:?}"), "[TopicAlias(3), UserProperty(\"n\", \"v\")]");
    assert_eq!(format!("{:?}", list.iter()), format!("{list:?}"));
    let mut stored = [0; 32];
    let len = list.write_body(&mut stored).expect("room");
    let encoded = EncodedProperties::from_stored(&stored[..len]);
    assert_eq!(encoded.as_bytes(), &stored[..len]);
    assert!(encoded.into_iter().eq(properties));
    assert_eq!(encoded, EncodedProperties::from_stored(&stored[..len]));
    assert_ne!(encoded, EncodedProperties::from_stored(&stored[..3]));
    assert_eq!(Properties::from(encoded), list);
    assert_eq!(format!("{encoded:?}"), format!("{list:?}"));
    assert_eq!(list.find(PropertyId::TopicAlias), Some(Property::TopicAlias(3)));
    for property in [
        Property::MaximumQos(Qos::AtMostOnce),
        Property::RetainAvailable(true),
        Property::WillDelayInterval(7),
    ] {
        let text = format!("{property:?}");
        assert!(
            ["MaximumQos(AtMostOnce)", "RetainAvailable(true)", "WillDelayInterval(7)"].contains(&&*text),
            "{text}"
        );
    }
    assert_eq!(format!("{:?}", Property::CorrelationData(&[1])), "CorrelationData([1])");

    let items = [Subscription { filter: filter("a"), options: SubscriptionOptions::default() }];
    let list = Subscriptions::from(&items[..]);
    assert!(list.into_iter().eq(items) && !list.is_empty() && list.len() == 1);
    assert_eq!(format!("{list:?}"), format!("{items:?}"));
    assert_eq!(format!("{:?}", list.iter()), format!("{items:?}"));
    assert_ne!(list, Subscriptions::from(&[]));
    assert!(Subscriptions::from(&[]).is_empty() && Subscriptions::from_stored(b"").is_empty());
    assert!(!Subscriptions::from_stored(b"\x00\x01a\x00").is_empty());

    let filters = [filter("a"), filter("b")];
    let list = TopicFilters::from(&filters[..]);
    assert!(list.into_iter().eq(filters) && !list.is_empty() && list.len() == 2);
    assert_eq!(format!("{list:?}"), format!("{filters:?}"));
    assert_eq!(format!("{:?}", list.iter()), format!("{filters:?}"));
    assert_ne!(list, TopicFilters::from(&filters[..1]));
    assert!(TopicFilters::from(&[]).is_empty() && TopicFilters::from_stored(b"").is_empty());

    let codes = [ReasonCode::Success, ReasonCode::Banned];
    let list = ReasonCodes::from(&codes[..]);
    assert!(list.into_iter().eq(codes) && !list.is_empty() && list.len() == 2);
    assert_eq!(format!("{list:?}"), "[Success, Banned]");
    assert_eq!(ReasonCodes::default(), ReasonCodes::EMPTY);
    assert_eq!(ReasonCodes::from_stored(&[0, 0x8A]), list);
    assert_ne!(ReasonCodes::from_stored(&[0]), list);
}

#[test]
fn packets_print_their_names_and_convert() {
    let frames: [(Version, Peer, &[u8]); 6] = [
        (V5, Server, &[0x40, 2, 0, 1]),
        (V5, Server, &[0x50, 2, 0, 1]),
        (V5, Server, &[0x62, 2, 0, 1]),
        (V5, Server, &[0x70, 2, 0, 1]),
        (V5, Server, &[0xD0, 0]),
        (V5, Client, &[0xC0, 0]),
    ];
    let names = ["Puback", "Pubrec", "Pubrel", "Pubcomp", "Pingresp", "Pingreq"];
    for ((version, from, frame), name) in frames.into_iter().zip(names) {
        let packet = accept(version, from, frame);
        assert!(format!("{packet:?}").contains(name));
        assert_eq!(format!("{:?}", packet.packet_type()), name);
        assert_eq!(encode(&packet, version), frame);
        let why = packet.encode(version, &mut [0; 1]);
        assert_eq!(why, Err(EncodeError::BufferTooSmall { needed: frame.len() }));
        // A ping or acknowledgement has nothing that could be left out.
        let over = Err(EncodeError::OverLimit { needed: frame.len() });
        assert_eq!(packet.encode_within(version, frame.len() - 1, &mut [0; 9]), over);
    }
    let texts = [
        format!("{:?}", Puback::new(id(9))),
        format!("{:?}", Pubrec::new(id(9))),
        format!("{:?}", Pubrel::new(id(9))),
        format!("{:?}", Pubcomp::new(id(9))),
    ];
    for (text, name) in texts.iter().zip(names) {
        assert!(text.starts_with(name), "{text}");
    }
    let text = format!("{:?}", Puback::new(id(9)));
    assert!(text.contains("9") && text.contains("Success") && text.contains("[]"), "{text}");
    let text = format!("{:?}", Publish { retain: true, ..Publish::new(topic("a/b"), b"xyz") });
    assert!(text.contains("\"a/b\"") && text.contains("retain: true") && text.contains("3 bytes"), "{text}");
}

/// What may be a secret is told by its length, everything else as it is.
#[test]
fn connect_prints_its_fields() {
    let will = Will { qos: Qos::AtLeastOnce, retain: true, ..Will::new(topic("a/b"), b"gone") };
    let connect = Connect {
        keep_alive: 30,
        will: Some(will),
        username: Some("me"),
        password: Some(b"secret"),
        ..Connect::new(V5, "meter")
    };
    let told = "Will { topic: \"a/b\", payload: 4 bytes, qos: AtLeastOnce, retain: true, properties: [] }";
    assert_eq!(format!("{will:?}"), told);
    let expected = format!(
        "Connect {{ version: V5, bridge: false, clean_start: true, keep_alive: 30, client_id: \"meter\", \
         properties: [], will: Some({told}), username: Some(\"me\"), password: Some(6 bytes) }}"
    );
    assert_eq!(format!("{connect:?}"), expected);
}

/// Topic and payload are bytes here, and are told by their lengths.
#[test]
fn stored_parts_print_their_fields() {
    let parts = StoredPublish {
        dup: true,
        qos: Qos::AtLeastOnce,
        packet_id: Some(id(9)),
        ..StoredPublish::new(b"a/b", b"hello")
    };
    assert_eq!(
        format!("{parts:?}"),
        "StoredPublish { dup: true, qos: AtLeastOnce, retain: false, topic: 3 bytes, packet_id: Some(PacketId(9)), \
         topic_alias: None, message_expiry_interval: None, payload: 5 bytes, .. }"
    );
}
