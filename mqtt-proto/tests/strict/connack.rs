//! CONNACK.

use crate::support::shape::reason_codes;
use crate::*;

fn connack(packet: Packet<'_>) -> Connack<'_> {
    match packet {
        Packet::Connack(connack) => connack,
        other => panic!("{other:?}"),
    }
}

/// The upper seven flags are 0; 3.1 reserves the whole byte. [5.0 MQTT-3.2.2-1]
#[test]
fn flags() {
    for flags in 0..=255_u8 {
        let (v5, v3) = ([0x20, 3, flags, 0, 0], [0x20, 2, flags, 0]);
        if flags > 1 {
            malformed(V5, Server, &v5, "MQTT-3.2.2-1");
            malformed(V3_1_1, Server, &v3, "MQTT-3.2.2-1");
        } else {
            assert_eq!(connack(accept(V5, Server, &v5)), Connack::accepted(flags == 1));
            assert_eq!(connack(accept(V3_1_1, Server, &v3)), Connack::accepted(flags == 1));
        }
        assert_eq!(connack(accept(V3_1, Server, &v3)), Connack::accepted(false));
    }
    assert_eq!(encode(&Connack::accepted(true), V3_1), [0x20, 2, 0, 0]);
    assert_eq!(encode(&Connack::accepted(true), V3_1_1), [0x20, 2, 1, 0]);
    assert_eq!(encode(&Connack::accepted(true), V5), [0x20, 3, 1, 0, 0]);
}

/// A refusal has no session. [3.1.1 MQTT-3.2.2-4] [5.0 MQTT-3.2.2-6]
#[test]
fn session_present_on_refusal() {
    malformed(V5, Server, &[0x20, 3, 1, 0x87, 0], "MQTT-3.2.2-6");
    for code in 1..=5 {
        malformed(V3_1_1, Server, &[0x20, 2, 1, code], "MQTT-3.2.2-4");
    }
    let packet = Connack { session_present: true, ..Connack::refused(ReasonCode::Banned) };
    for version in ALL {
        assert_eq!(no_encode(&packet, version), EncodeError::SessionPresentOnRefusal);
    }
}

/// The codes of the table, and no others. [5.0 MQTT-3.2.2-8] [C14]
#[test]
fn c14_codes() {
    let table = reason_codes(PacketType::Connack, Server);
    for byte in 0..=255_u8 {
        let frame = [0x20, 3, 0, byte, 0];
        match ReasonCode::try_from(byte) {
            Ok(code) if table.contains(&code) => {
                assert_eq!(connack(accept(V5, Server, &frame)).reason_code, code);
                assert_eq!(encode(&Connack::refused(code), V5), frame);
            }
            Ok(code) => {
                protocol(V5, Server, &frame, "MQTT-3.2.2-8");
                assert_eq!(no_encode(&Connack::refused(code), V5), EncodeError::InvalidReasonCode(code));
            }
            Err(_) => malformed(V5, Server, &frame, "MQTT-3.2.2-8"),
        }
    }
}

/// The return codes of 3.x, both ways; 6 and above are refused. [C14]
#[test]
fn c14_old_codes() {
    use ReasonCode::*;
    let codes = [
        Success,
        UnsupportedProtocolVersion,
        ClientIdentifierNotValid,
        ServerUnavailable,
        BadUserNameOrPassword,
        NotAuthorized,
    ];
    for version in OLD {
        for byte in 0..=255_u8 {
            let frame = [0x20, 2, 0, byte];
            match codes.get(usize::from(byte)) {
                Some(code) => {
                    assert_eq!(connack(accept(version, Server, &frame)).reason_code, *code);
                    assert_eq!(encode(&Connack::refused(*code), version), frame);
                }
                None => malformed(version, Server, &frame, "MQTT-3.2.2-6"),
            }
        }
        for code in ReasonCode::ALL.iter().filter(|code| !codes.contains(code)) {
            assert_eq!(no_encode(&Connack::refused(*code), version), EncodeError::InvalidReasonCode(*code));
        }
    }
}

/// A 3.1.1 server's refusal of a 5.0 CONNECT is told apart from a malformed CONNACK.
#[test]
fn version_refused() {
    let why = refuse(V5, Server, &[0x20, 2, 0, 1]);
    assert_eq!(why.kind, DecodeErrorKind::VersionRefused);
    assert_eq!(why.reason_code, ReasonCode::UnsupportedProtocolVersion);
    malformed(V5, Server, &[0x20, 2, 0, 0], "U-05");
    protocol(V5, Server, &[0x20, 2, 0, 2], "MQTT-3.2.2-8");
    protocol(V5, Server, &[0x20, 2, 1, 1], "MQTT-3.2.2-8");
    malformed(V5, Server, &[0x20, 2, 0, 0x84], "U-05");
    protocol(V5, Server, &[0x20, 3, 0, 1, 0], "MQTT-3.2.2-8");
    for version in OLD {
        assert_eq!(
            connack(accept(version, Server, &[0x20, 2, 0, 1])).reason_code,
            ReasonCode::UnsupportedProtocolVersion
        );
    }
}
