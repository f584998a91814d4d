//! PUBACK, PUBREC, PUBREL, PUBCOMP; DISCONNECT and AUTH.

use crate::support::shape::reason_codes;
use crate::support::{field, frame, join};
use crate::*;

const ACKS: [(u8, PacketType, &str); 4] = [
    (0x40, PacketType::Puback, "MQTT-3.4.2-1"),
    (0x50, PacketType::Pubrec, "MQTT-3.5.2-1"),
    (0x62, PacketType::Pubrel, "MQTT-3.6.2-1"),
    (0x70, PacketType::Pubcomp, "MQTT-3.7.2-1"),
];

fn ack<'a>(packet_type: PacketType, code: ReasonCode, properties: Properties<'a>) -> Packet<'a> {
    match packet_type {
        PacketType::Puback => Puback::with(id(7), code, properties).into(),
        PacketType::Pubrec => Pubrec::with(id(7), code, properties).into(),
        PacketType::Pubrel => Pubrel::with(id(7), code, properties).into(),
        PacketType::Pubcomp => Pubcomp::with(id(7), code, properties).into(),
        other => panic!("{other}"),
    }
}

/// The codes of the tables, for each side, and no others.
/// [5.0 MQTT-3.4.2-1] [5.0 MQTT-3.5.2-1] [5.0 MQTT-3.6.2-1] [5.0 MQTT-3.7.2-1] [C14]
#[test]
fn c14_codes_of_acknowledgements() {
    for (first, packet_type, rule) in ACKS {
        for from in PEERS {
            let table = reason_codes(packet_type, from);
            for byte in 0..=255_u8 {
                let frames = [frame(first, &[0, 7, byte]), frame(first, &[0, 7, byte, 0])];
                for frame in frames {
                    match ReasonCode::try_from(byte) {
                        Ok(code) if table.contains(&code) => {
                            assert_eq!(accept(V5, from, &frame), ack(packet_type, code, Properties::EMPTY));
                        }
                        Ok(_) => protocol(V5, from, &frame, rule),
                        Err(_) => malformed(V5, from, &frame, rule),
                    }
                }
            }
        }
        let anyone = [reason_codes(packet_type, Client), reason_codes(packet_type, Server)].concat();
        for code in ReasonCode::ALL.iter().filter(|code| !anyone.contains(code)) {
            let packet = ack(packet_type, *code, Properties::EMPTY);
            assert_eq!(no_encode(&packet, V5), EncodeError::InvalidReasonCode(*code));
            // Before 5.0 the code is left out.
            assert_eq!(encode(&packet, V3_1_1), [first, 2, 0, 7]);
        }
    }
}

/// Two bytes mean success without properties, three mean no properties; the shortest form is written. [U-20]
#[test]
fn short_forms_of_acknowledgements() {
    let list = [Property::ReasonString("no")];
    for (first, packet_type, _) in ACKS {
        let success = ack(packet_type, ReasonCode::Success, Properties::EMPTY);
        for version in ALL {
            assert_eq!(accept(version, Server, &[first, 2, 0, 7]), success);
            assert_eq!(encode(&success, version), [first, 2, 0, 7]);
        }
        assert_eq!(accept(V5, Server, &[first, 3, 0, 7, 0]), success);
        assert_eq!(accept(V5, Server, &[first, 4, 0, 7, 0, 0]), success);

        let code = *reason_codes(packet_type, Server).last().expect("one");
        let failure = ack(packet_type, code, Properties::EMPTY);
        assert_eq!(encode(&failure, V5), [first, 3, 0, 7, code as u8]);
        assert_eq!(accept(V5, Server, &[first, 4, 0, 7, code as u8, 0]), failure);

        let explained = ack(packet_type, ReasonCode::Success, Properties::List(&list));
        let bytes = [&[first, 9, 0, 7, 0, 5, 0x1F][..], &field("no")].concat();
        assert_eq!(encode(&explained, V5), bytes);
        assert_eq!(accept(V5, Server, &bytes), explained);
        assert_eq!(encode(&explained, V3_1), [first, 2, 0, 7]);
    }
}

/// Identifier 0 does not exist. [3.1.1 MQTT-2.3.1-1] [5.0 MQTT-2.2.1-4]
#[test]
fn identifier_0_of_acknowledgements() {
    for (first, ..) in ACKS {
        protocol(V5, Server, &[first, 2, 0, 0], "MQTT-2.2.1-3");
        protocol(V3_1_1, Server, &[first, 2, 0, 0], "MQTT-2.3.1-1");
        protocol(V5, Server, &[first, 3, 0, 0, 0], "MQTT-2.2.1-3");
    }
}

/// What only explains goes when the packet would be too long: first the user properties, then the reason string.
/// [5.0 MQTT-3.4.2-2] [5.0 MQTT-3.4.2-3] [5.0 MQTT-3.5.2-2] [5.0 MQTT-3.5.2-3] [5.0 MQTT-3.6.2-2]
/// [5.0 MQTT-3.6.2-3] [5.0 MQTT-3.7.2-2] [5.0 MQTT-3.7.2-3] [5.0 MQTT-3.14.2-3] [5.0 MQTT-3.14.2-4]
/// [5.0 MQTT-3.15.2-2] [5.0 MQTT-3.15.2-3] [C17]
#[test]
fn c17_explanations_are_left_out() {
    let user = Property::UserProperty("name", "value");
    let reason = Property::ReasonString("because");
    let method = Property::AuthenticationMethod("m");
    let expiry = Property::SessionExpiryInterval(5);
    let code = ReasonCode::PacketIdentifierNotFound;
    type Build = for<'p> fn(Properties<'p>) -> Packet<'p>;
    let cases: [(Build, Option<Property<'_>>); 9] = [
        (|p| Puback::with(id(1), ReasonCode::QuotaExceeded, p).into(), None),
        (|p| Pubrec::with(id(1), ReasonCode::QuotaExceeded, p).into(), None),
        (|p| Pubrel::with(id(1), ReasonCode::PacketIdentifierNotFound, p).into(), None),
        (|p| Pubcomp::with(id(1), ReasonCode::PacketIdentifierNotFound, p).into(), None),
        (|p| Disconnect { reason_code: ReasonCode::QuotaExceeded, properties: p }.into(), Some(expiry)),
        (|p| Auth { reason_code: ReasonCode::ContinueAuthentication, properties: p }.into(), Some(method)),
        (
            |p| Connack { properties: p, ..Connack::refused(ReasonCode::Banned) }.into(),
            Some(Property::ServerKeepAlive(3)),
        ),
        (|p| Suback { packet_id: id(1), properties: p, codes: (&[ReasonCode::Success]).into() }.into(), None),
        (
            |p| Unsuback { packet_id: id(1), properties: p, codes: (&[ReasonCode::Success]).into() }.into(),
            None,
        ),
    ];
    for (build, needed) in cases {
        let needed: Vec<_> = needed.into_iter().collect();
        let mut mixed = vec![user, reason, user];
        mixed.splice(1..1, needed.iter().copied());
        let with_reason: Vec<_> = mixed.iter().copied().filter(|property| *property != user).collect();
        let (full, half, least) = (
            build(Properties::List(&mixed)),
            build(Properties::List(&with_reason)),
            build(Properties::List(&needed)),
        );
        let lens = [&full, &half, &least].map(|packet| packet.encoded_len(V5).expect("a legal packet"));
        assert!(lens[0] > lens[1] && lens[1] > lens[2]);
        // The same when the properties are forwarded in their encoded form.
        let mut body = [0; 100];
        let len = Properties::List(&mixed).write_body(&mut body).expect("room");
        let forwarded = build(Properties::Encoded(EncodedProperties::from_stored(&body[..len])));
        for packet in [full, forwarded] {
            for max in 0..lens[0] + 2 {
                let mut out = [0; 128];
                let expected = match max {
                    _ if max >= lens[0] => full,
                    _ if max >= lens[1] => half,
                    _ if max >= lens[2] => least,
                    _ => {
                        let over = Err(EncodeError::OverLimit { needed: lens[0] });
                        assert_eq!(packet.encode_within(V5, max, &mut out), over);
                        assert_eq!(out, [0; 128]);
                        continue;
                    }
                };
                let len = packet.encode_within(V5, max, &mut out).expect("it fits");
                assert_eq!(out[..len], encode(&expected, V5));
            }
        }
    }
    // A message of the application is not shortened.
    let list = [user];
    let publish = Publish { properties: Properties::List(&list), ..Publish::new(topic("t"), b"") };
    assert!(matches!(publish.encode_within(V5, 10, &mut [0; 64]), Err(EncodeError::OverLimit { .. })));
    assert!(code.is_error());
}

/// DISCONNECT: the codes of each side; nothing at all means 0x00, one byte no properties.
/// [5.0 MQTT-3.14.2-1] [U-21] [U-39] [C14]
#[test]
fn c14_disconnect() {
    for from in PEERS {
        let table = reason_codes(PacketType::Disconnect, from);
        for byte in 0..=255_u8 {
            for bytes in [vec![0xE0, 1, byte], vec![0xE0, 2, byte, 0]] {
                match ReasonCode::try_from(byte) {
                    Ok(code) if table.contains(&code) => {
                        assert_eq!(accept(V5, from, &bytes), Disconnect::new(code).into());
                    }
                    Ok(_) => protocol(V5, from, &bytes, "MQTT-3.14.2-1"),
                    Err(_) => malformed(V5, from, &bytes, "MQTT-3.14.2-1"),
                }
            }
        }
    }
    assert_eq!(accept(V5, Client, &[0xE0, 0]), Disconnect::new(ReasonCode::NORMAL_DISCONNECTION).into());
    assert_eq!(accept(V5, Server, &[0xE0, 0]), Disconnect::new(ReasonCode::NORMAL_DISCONNECTION).into());
    assert_eq!(encode(&Disconnect::new(ReasonCode::Success), V5), [0xE0, 0]);
    assert_eq!(encode(&Disconnect::new(ReasonCode::ServerBusy), V5), [0xE0, 1, 0x89]);
    let list = [Property::SessionExpiryInterval(1)];
    let expires = Disconnect { reason_code: ReasonCode::Success, properties: Properties::List(&list) };
    assert_eq!(encode(&expires, V5), [0xE0, 7, 0, 5, 0x11, 0, 0, 0, 1]);
    for version in OLD {
        assert_eq!(encode(&expires, version), [0xE0, 0]);
        protocol(version, Server, &[0xE0, 0], "U-03");
    }
    let never = Disconnect::new(ReasonCode::GrantedQos1);
    assert_eq!(no_encode(&never, V5), EncodeError::InvalidReasonCode(ReasonCode::GrantedQos1));
}

/// A server sends no Session Expiry Interval, a client no Server Reference. [5.0 MQTT-3.14.2-2]
#[test]
fn disconnect_properties_of_each_side() {
    let expiry = [0xE0, 7, 0x80, 5, 0x11, 0, 0, 0, 1];
    protocol(V5, Server, &expiry, "MQTT-3.14.2-2");
    accept(V5, Client, &expiry);
    let reference = b"\xE0\x06\x80\x04\x1C\x00\x01s";
    protocol(V5, Client, reference, "U-07");
    accept(V5, Server, reference);
}

/// AUTH: the codes of each side; a method belongs to it unless it is the shortest form.
/// [5.0 MQTT-3.15.2-1] [5.0 MQTT-3.15.1-1] [U-18] [U-38] [C14]
#[test]
fn c14_auth() {
    let method = join(&[&[0x15], &field("m")]);
    for from in PEERS {
        let table = reason_codes(PacketType::Auth, from);
        for byte in 0..=255_u8 {
            let bytes = frame(0xF0, &join(&[&[byte, method.len() as u8], &method]));
            match ReasonCode::try_from(byte) {
                Ok(code) if table.contains(&code) => {
                    assert!(
                        matches!(accept(V5, from, &bytes), Packet::Auth(auth) if auth.reason_code == code)
                    );
                }
                Ok(_) => protocol(V5, from, &bytes, "MQTT-3.15.2-1"),
                Err(_) => malformed(V5, from, &bytes, "MQTT-3.15.2-1"),
            }
        }
    }
    let shortest = Auth { reason_code: ReasonCode::Success, properties: Properties::EMPTY };
    assert_eq!(accept(V5, Server, &[0xF0, 0]), shortest.into());
    assert_eq!(accept(V5, Server, &[0xF0, 1, 0]), shortest.into());
    assert_eq!(encode(&shortest, V5), [0xF0, 0]);
    protocol(V5, Client, &[0xF0, 0], "MQTT-3.15.2-1"); // success is the server's to say
    protocol(V5, Server, &[0xF0, 2, 0, 0], "U-18");
    protocol(V5, Server, &[0xF0, 1, 0x18], "U-18");
    protocol(V5, Server, &[0xF0, 2, 0x18, 0], "U-18");
    protocol(V5, Server, b"\xF0\x08\x18\x06\x1F\x00\x03why", "U-18");
    // A second method.
    let twice = frame(0xF0, &join(&[&[0x18, 8], &method, &method]));
    protocol(V5, Server, &twice, "U-08");

    let missing = EncodeError::MissingProperty(PropertyId::AuthenticationMethod);
    let reason = [Property::ReasonString("why")];
    for properties in [Properties::EMPTY, Properties::List(&reason)] {
        let auth = Auth { reason_code: ReasonCode::ContinueAuthentication, properties };
        assert_eq!(no_encode(&auth, V5), missing);
    }
    let auth = Auth { reason_code: ReasonCode::Success, properties: Properties::List(&reason) };
    assert_eq!(no_encode(&auth, V5), missing);
    for version in OLD {
        assert_eq!(no_encode(&shortest, version), EncodeError::NotInThisVersion);
    }
    let never = Auth { reason_code: ReasonCode::Banned, properties: Properties::EMPTY };
    assert_eq!(no_encode(&never, V5), EncodeError::InvalidReasonCode(ReasonCode::Banned));
}

/// Authentication data belongs to a method, in CONNECT, CONNACK and AUTH. [U-17]
#[test]
fn authentication_data_without_method() {
    let data = b"\x04\x16\x00\x01d";
    protocol(V5, Server, &frame(0x20, &join(&[&[0, 0], data])), "U-17");
    let connect = join(&[b"\x00\x04MQTT\x05\x02\x00\x00", data, &field("c")]);
    protocol(V5, Client, &frame(0x10, &connect), "U-17");
    protocol(V5, Client, &frame(0xF0, &join(&[&[0x18], data])), "U-17");
    let list = [Property::AuthenticationData(b"d")];
    let missing = EncodeError::MissingProperty(PropertyId::AuthenticationMethod);
    let connack = Connack { properties: Properties::List(&list), ..Connack::accepted(false) };
    assert_eq!(no_encode(&connack, V5), missing);
    let connect = Connect { properties: Properties::List(&list), ..Connect::new(V5, "c") };
    assert_eq!(no_encode(&connect, V5), missing);
}

/// What `short_ack` takes is what `decode` takes for a success without properties, whatever follows it.
#[test]
fn the_short_form_is_told_from_its_first_four_bytes() {
    for first in 0..=255u8 {
        for (len, low) in [(2, 7), (2, 0), (3, 7), (1, 7)] {
            let bytes = [first, len, 0, low, 0xFF];
            let want = match first {
                0x40 => Some(PacketType::Puback),
                0x50 => Some(PacketType::Pubrec),
                0x62 => Some(PacketType::Pubrel),
                0x70 => Some(PacketType::Pubcomp),
                _ => None,
            }
            .filter(|_| len == 2 && low != 0)
            .map(|packet_type| (packet_type, id(7)));
            assert_eq!(short_ack(&bytes), want, "{bytes:?}");
            if want.is_some() {
                for version in ALL {
                    assert!(Packet::decode(&bytes[..4], version, Client).is_ok());
                }
            }
        }
    }
    assert_eq!(short_ack(&[0x40, 2, 0]), None);
}
