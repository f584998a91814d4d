//! Strings: well-formed UTF-8 without U+0000, everywhere a string may stand.

use crate::support::{field, frame, join, section};
use crate::*;

/// Builds a frame around a string, for every place a string has in that version.
fn places(version: Version, text: &[u8]) -> Vec<(&'static str, Peer, Vec<u8>)> {
    let v5 = version == V5;
    let none: &[u8] = if v5 { &[0] } else { &[] };
    let name = field(version.protocol_name());
    let connect = |flags: u8, payload: &[&[u8]]| {
        let head = join(&[&name, &[version.level(), flags, 0, 0], none]);
        frame(0x10, &[head, join(payload)].concat())
    };
    let text = field(text);
    let mut places = vec![
        ("client identifier", Client, connect(0x02, &[&text])),
        ("will topic", Client, connect(0x06, &[&field("c"), none, &text, &field("w")])),
        ("user name", Client, connect(0x82, &[&field("c"), &text])),
        ("topic name", Server, frame(0x30, &join(&[&text, none, b"payload"]))),
        ("topic name", Client, frame(0x32, &join(&[&text, &[0, 1], none, b"payload"]))),
        ("filter", Client, frame(0x82, &join(&[&[0, 1], none, &text, &[1]]))),
        ("filter", Client, frame(0xA2, &join(&[&[0, 1], none, &text]))),
    ];
    if v5 {
        let publish = |property: &[u8]| frame(0x30, &join(&[&field("t"), &section(property), b"payload"]));
        let connack = |property: &[u8]| frame(0x20, &join(&[&[0, 0], &section(property)]));
        places.extend([
            ("content type", Server, publish(&join(&[&[0x03], &text]))),
            ("response topic", Server, publish(&join(&[&[0x08], &text]))),
            ("user property name", Server, publish(&join(&[&[0x26], &text, &field("v")]))),
            ("user property value", Server, publish(&join(&[&[0x26], &field("n"), &text]))),
            ("assigned client identifier", Server, connack(&join(&[&[0x12], &text]))),
            ("authentication method", Server, connack(&join(&[&[0x15], &text]))),
            ("response information", Server, connack(&join(&[&[0x1A], &text]))),
            ("server reference", Server, connack(&join(&[&[0x1C], &text]))),
            ("reason string", Server, connack(&join(&[&[0x1F], &text]))),
        ]);
    }
    places
}

const fn not_utf8(version: Version) -> &'static str {
    if matches!(version, V5) { "MQTT-1.5.4-1" } else { "MQTT-1.5.3-1" }
}

/// What is not well-formed UTF-8 is refused at every place.
/// [3.1.1 MQTT-1.5.3-1] [3.1.1 MQTT-3.1.3-4] [3.1.1 MQTT-3.1.3-10] [3.1.1 MQTT-3.1.3-11] [3.1.1 MQTT-3.3.2-1]
/// [3.1.1 MQTT-3.8.3-1] [3.1.1 MQTT-3.10.3-1]
/// [5.0 MQTT-1.5.4-1] [5.0 MQTT-1.5.7-1] [5.0 MQTT-3.1.3-4] [5.0 MQTT-3.1.3-11] [5.0 MQTT-3.1.3-12]
/// [5.0 MQTT-3.3.2-1] [5.0 MQTT-3.3.2-13] [5.0 MQTT-3.3.2-19] [5.0 MQTT-3.8.3-1] [5.0 MQTT-3.10.3-1] [C12]
#[test]
fn c12_malformed_utf8() {
    let malformed_texts: &[&[u8]] = &[
        b"\xED\xA0\x80",         // U+D800, a surrogate
        b"\xED\xBF\xBF",         // U+DFFF, a surrogate
        b"\xC0\x80",             // U+0000, overlong
        b"\xC1\xBF",             // U+007F, overlong
        b"\xE0\x9F\xBF",         // U+07FF, overlong
        b"\xF0\x8F\xBF\xBF",     // U+FFFF, overlong
        b"\xF4\x90\x80\x80",     // beyond U+10FFFF
        b"\xF8\x88\x80\x80\x80", // five bytes
        b"\x80",                 // a continuation alone
        b"\xC3",                 // cut short
        b"\xE2\x82",             // cut short
        b"abcdefgh\xFF",
        b"\xFEabcdefgh",
        b"abcdefghijk\xC3(nop",
    ];
    for version in ALL {
        for text in malformed_texts {
            for (place, from, frame) in places(version, text) {
                let why = refuse(version, from, &frame);
                assert_eq!(why.rule, not_utf8(version), "{place}: {text:02X?}");
                assert_eq!(why.reason_code, ReasonCode::MalformedPacket);
            }
        }
    }
}

/// U+0000 is refused at every place, alone and between others.
/// [3.1.1 MQTT-1.5.3-2] [3.1.1 MQTT-4.7.3-2] [5.0 MQTT-1.5.4-2] [5.0 MQTT-4.7.3-2] [5.0 MQTT-1.5.7-1] [C12]
#[test]
fn c12_nul() {
    for version in ALL {
        for text in [&b"\0"[..], b"a\0", b"\0a", b"abcdefgh\0", b"abcdefgh\0abcdefgh", "ü\0".as_bytes()] {
            for (place, from, frame) in places(version, text) {
                let rule = if version == V5 { "MQTT-1.5.4-2" } else { "MQTT-1.5.3-2" };
                assert_eq!(refuse(version, from, &frame).rule, rule, "{place}: {text:02X?}");
            }
        }
    }
}

/// What is odd but right is kept byte for byte: the byte-order mark, noncharacters, controls, the last code points.
/// [3.1.1 MQTT-1.5.3-3] [5.0 MQTT-1.5.4-3] [C12]
#[test]
fn c12_odd_text_is_kept() {
    for text in [
        "\u{FEFF}",
        "\u{FEFF}a",
        "a\u{FEFF}",
        "\u{FFFE}\u{FFFF}",
        "\u{1}\u{1F}\u{7F}\u{9F}",
        "\u{D7FF}\u{E000}\u{10FFFF}",
    ] {
        for version in ALL {
            for (place, from, frame) in places(version, text.as_bytes()) {
                let found = match accept(version, from, &frame) {
                    Packet::Connect(Connect { client_id, .. }) if place == "client identifier" => client_id,
                    Packet::Connect(Connect { will: Some(will), .. }) => will.topic.as_str(),
                    Packet::Connect(Connect { username: Some(name), .. }) => name,
                    Packet::Publish(publish) if place == "topic name" => {
                        publish.topic.expect("a name").as_str()
                    }
                    Packet::Subscribe(subscribe) => {
                        subscribe.filters.iter().next().expect("one").filter.as_str()
                    }
                    Packet::Unsubscribe(packet) => packet.filters.iter().next().expect("one").as_str(),
                    Packet::Publish(Publish { properties, .. })
                    | Packet::Connack(Connack { properties, .. }) => {
                        match properties.iter().next().expect("one") {
                            Property::ContentType(text)
                            | Property::ResponseTopic(text)
                            | Property::AssignedClientIdentifier(text)
                            | Property::AuthenticationMethod(text)
                            | Property::ResponseInformation(text)
                            | Property::ServerReference(text)
                            | Property::ReasonString(text) => text,
                            Property::UserProperty(name, _) if place.ends_with("name") => name,
                            Property::UserProperty(_, value) => value,
                            other => panic!("{other:?}"),
                        }
                    }
                    other => panic!("{other:?}"),
                };
                assert_eq!(found, text, "{place}");
                // And written the same.
                assert_eq!(encode(&accept(version, from, &frame), version), frame);
            }
        }
    }
}

/// A string with U+0000 is not written. Ill-formed UTF-8 cannot be: the fields are `&str`.
/// [3.1.1 MQTT-1.5.3-2] [5.0 MQTT-1.5.4-2] [5.0 MQTT-1.5.7-1] [3.1.1 MQTT-1.5.3-1] [5.0 MQTT-1.5.4-1]
#[test]
fn a_string_with_nul_is_not_written() {
    for version in ALL {
        assert_eq!(no_encode(&Connect::new(version, "a\0"), version), EncodeError::StringWithNul);
        let connect = Connect { username: Some("user\0name"), ..Connect::new(version, "c") };
        assert_eq!(no_encode(&connect, version), EncodeError::StringWithNul);
    }
    for property in [
        Property::ContentType("a\0"),
        Property::UserProperty("a\0", ""),
        Property::UserProperty("", "abcdefghijklmn\0"),
        Property::UserProperty("ü\0", ""),
    ] {
        let list = [property];
        let publish = Publish { properties: Properties::List(&list), ..Publish::new(topic("a"), b"") };
        assert_eq!(no_encode(&publish, V5), EncodeError::StringWithNul);
        assert_eq!(property.encode(&mut [0; 64]), Err(EncodeError::StringWithNul));
        assert_eq!(Properties::List(&list).write_body(&mut [0; 64]), Err(EncodeError::StringWithNul));
    }
}
