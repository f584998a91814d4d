//! CONNECT.

use crate::support::{field, frame, join};
use crate::*;

/// A CONNECT by hand: flags and payload.
fn connect(version: Version, flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    let none: &[u8] = if version == V5 { &[0] } else { &[] };
    let head = join(&[&field(version.protocol_name()), &[version.level(), flags, 0, 10], none]);
    frame(0x10, &join(&[&head, &join(payload)]))
}

/// The will's properties, then its topic and payload.
fn will(version: Version) -> Vec<u8> {
    let none: &[u8] = if version == V5 { &[0] } else { &[] };
    join(&[none, &field("w/t"), &field("gone")])
}

#[track_caller]
fn read(frame: &[u8]) -> Connect<'_> {
    // Whatever version the caller thinks of, the packet itself decides.
    let versions = ALL.map(|version| accept(version, Client, frame));
    assert!(versions.iter().all(|packet| *packet == versions[0]));
    match versions[0] {
        Packet::Connect(connect) => connect,
        other => panic!("{other:?}"),
    }
}

/// Name and level of each version, read and written; anything else is an unsupported version.
/// [3.1.1 MQTT-3.1.2-1] [5.0 MQTT-3.1.2-1] [U-36]
#[test]
fn protocol_name_and_level() {
    for (version, name, level) in [(V3_1, "MQIsdp", 3), (V3_1_1, "MQTT", 4), (V5, "MQTT", 5)] {
        let bytes = encode(&Connect::new(version, "c"), version);
        assert_eq!(
            bytes[2..],
            [&field(name)[..], &[level]].concat()[..]
                .iter()
                .chain(&bytes[5 + name.len()..])
                .copied()
                .collect::<Vec<_>>()[..]
        );
        assert_eq!(read(&bytes).version, version);
    }
    let wrong: [(&str, u8); 11] = [
        ("MQTT", 3),
        ("MQTT", 6),
        ("MQTT", 0),
        ("MQTT", 0x85),
        ("MQTT", 0x83),
        ("MQIsdp", 4),
        ("MQIsdp", 5),
        ("mqtt", 4),
        ("MQTt", 5),
        ("", 4),
        ("MQTTT", 5),
    ];
    for (name, level) in wrong {
        let bytes = frame(0x10, &join(&[&field(name), &[level, 2, 0, 0, 0], &field("c")]));
        let why = refuse(V5, Client, &bytes);
        assert_eq!(why.kind, DecodeErrorKind::UnsupportedVersion, "{name} {level}");
        assert_eq!(why.reason_code, ReasonCode::UnsupportedProtocolVersion);
    }
}

/// The bridge bit of the level, in the versions that have it.
#[test]
fn bridge_bit() {
    for version in OLD {
        for bridge in [false, true] {
            let bytes = encode(&Connect { bridge, ..Connect::new(version, "c") }, version);
            let level = bytes[4 + version.protocol_name().len()];
            assert_eq!(level, version.level() | if bridge { 0x80 } else { 0 });
            assert_eq!((read(&bytes).bridge, read(&bytes).version), (bridge, version));
        }
    }
    assert_eq!(
        no_encode(&Connect { bridge: true, ..Connect::new(V5, "c") }, V5),
        EncodeError::NotInThisVersion
    );
}

/// The reserved flag is 0. [3.1.1 MQTT-3.1.2-3] [5.0 MQTT-3.1.2-3]
#[test]
fn reserved_flag() {
    for version in ALL {
        malformed(version, Client, &connect(version, 0x03, &[&field("c")]), "MQTT-3.1.2-3");
        assert_eq!(encode(&Connect::new(version, "c"), version)[5 + version.protocol_name().len()] & 1, 0);
    }
}

/// Will flag set: properties, topic and payload are there, with QoS and retain as the flags say.
/// [3.1.1 MQTT-3.1.2-9] [5.0 MQTT-3.1.2-9]
#[test]
fn will_present() {
    for version in ALL {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for retain in [false, true] {
                let flags = 0x06 | (qos as u8) << 3 | u8::from(retain) << 5;
                let bytes = connect(version, flags, &[&field("c"), &will(version)]);
                let found = read(&bytes).will.expect("a will");
                assert_eq!(found, Will { qos, retain, ..Will::new(topic("w/t"), b"gone") });
                assert_eq!(encode(&read(&bytes), version), bytes);
            }
        }
        malformed(version, Client, &connect(version, 0x06, &[&field("c")]), "U-05");
        let topic_only = will(version)[..will(version).len() - 6].to_vec();
        malformed(version, Client, &connect(version, 0x06, &[&field("c"), &topic_only]), "U-05");
    }
}

/// Will flag clear: QoS and retain are 0 and there are no will fields.
/// [3.1.1 MQTT-3.1.2-11] [3.1.1 MQTT-3.1.2-13] [3.1.1 MQTT-3.1.2-15] [5.0 MQTT-3.1.2-11] [5.0 MQTT-3.1.2-13]
#[test]
fn will_absent() {
    for version in ALL {
        let [qos, retain] = if version == V5 {
            ["MQTT-3.1.2-11", "MQTT-3.1.2-13"]
        } else {
            ["MQTT-3.1.2-13", "MQTT-3.1.2-15"]
        };
        for flags in [0x0A, 0x12, 0x1A] {
            malformed(version, Client, &connect(version, flags, &[&field("c")]), qos);
        }
        malformed(version, Client, &connect(version, 0x22, &[&field("c")]), retain);
        malformed(version, Client, &connect(version, 0x02, &[&field("c"), &will(version)]), "U-04");
        let bytes = encode(&Connect::new(version, "c"), version);
        assert_eq!(bytes[5 + version.protocol_name().len()], 0x02);
        assert_eq!(bytes.len(), connect(version, 0x02, &[&field("c")]).len());
    }
}

/// There is no will of QoS 3: not read, and [`Qos`] cannot say it. [3.1.1 MQTT-3.1.2-14] [5.0 MQTT-3.1.2-12]
#[test]
fn will_qos_3() {
    for version in ALL {
        let rule = if version == V5 { "MQTT-3.1.2-12" } else { "MQTT-3.1.2-14" };
        malformed(version, Client, &connect(version, 0x1E, &[&field("c"), &will(version)]), rule);
    }
    assert_eq!(Qos::try_from(3), Err(InvalidQos(3)));
}

/// User name and password are there exactly when their flags say so.
/// [3.1.1 MQTT-3.1.2-18] [3.1.1 MQTT-3.1.2-19] [3.1.1 MQTT-3.1.2-20] [3.1.1 MQTT-3.1.2-21] [3.1.1 MQTT-3.1.2-22]
/// [5.0 MQTT-3.1.2-16] [5.0 MQTT-3.1.2-17] [5.0 MQTT-3.1.2-18] [5.0 MQTT-3.1.2-19]
#[test]
fn credentials() {
    for version in ALL {
        let bytes = connect(version, 0xC2, &[&field("c"), &field("user"), &field(b"\xFF\x00")]);
        let found = read(&bytes);
        assert_eq!((found.username, found.password), (Some("user"), Some(&b"\xFF\x00"[..])));
        assert_eq!(encode(&found, version), bytes);

        let bytes = connect(version, 0x82, &[&field("c"), &field("user")]);
        assert_eq!((read(&bytes).username, read(&bytes).password), (Some("user"), None));
        assert_eq!(encode(&read(&bytes), version), bytes);

        // A field without its flag.
        malformed(version, Client, &connect(version, 0x02, &[&field("c"), &field("user")]), "U-04");
        malformed(
            version,
            Client,
            &connect(version, 0x82, &[&field("c"), &field("user"), &field("pw")]),
            "U-04",
        );
    }
    // A flag without its field.
    for version in [V3_1_1, V5] {
        malformed(version, Client, &connect(version, 0x82, &[&field("c")]), "U-05");
        malformed(version, Client, &connect(version, 0xC2, &[&field("c"), &field("user")]), "U-05");
    }
    // A password alone: 5.0 only.
    let alone = connect(V5, 0x42, &[&field("c"), &field("pw")]);
    assert_eq!((read(&alone).username, read(&alone).password), (None, Some(&b"pw"[..])));
    assert_eq!(encode(&read(&alone), V5), alone);
    for version in OLD {
        malformed(version, Client, &connect(version, 0x42, &[&field("c"), &field("pw")]), "MQTT-3.1.2-22");
        let packet = Connect { password: Some(b"pw"), ..Connect::new(version, "c") };
        assert_eq!(no_encode(&packet, version), EncodeError::PasswordWithoutUserName);
    }
}

/// In 3.1 the remaining length takes precedence over the flags of user name and password. [U-36]
#[test]
fn credentials_missing_in_3_1() {
    let bytes = connect(V3_1, 0xC2, &[&field("c")]);
    assert_eq!((read(&bytes).username, read(&bytes).password), (None, None));
    let bytes = connect(V3_1, 0xC2, &[&field("c"), &field("user")]);
    assert_eq!((read(&bytes).username, read(&bytes).password), (Some("user"), None));
    malformed(V3_1, Client, &connect(V3_1, 0xC2, &[&field("c"), b"\x00"]), "U-05");
}

/// The payload in its order: client identifier, will, user name, password.
/// [3.1.1 MQTT-3.1.3-1] [3.1.1 MQTT-3.1.3-3] [5.0 MQTT-3.1.3-1] [5.0 MQTT-3.1.3-3]
#[test]
fn payload_order() {
    for version in ALL {
        let packet = Connect {
            keep_alive: 10,
            will: Some(Will::new(topic("w/t"), b"gone")),
            username: Some("user"),
            password: Some(b"pw"),
            ..Connect::new(version, "client")
        };
        let expected =
            connect(version, 0xC6, &[&field("client"), &will(version), &field("user"), &field("pw")]);
        assert_eq!(encode(&packet, version), expected);
        assert_eq!(read(&expected), packet);
        // The client identifier is never missing.
        malformed(version, Client, &connect(version, 0x02, &[]), "U-05");
    }
    for version in [V3_1_1, V5] {
        assert_eq!(read(&connect(version, 0x02, &[&field("")])).client_id, "");
    }
}

/// 3.1 wants 1 to 23 characters; later versions take the same and more. [U-36] [3.1.1 MQTT-3.1.3-5]
#[test]
fn client_id_lengths() {
    let longest = "0123456789abcdefghijABC";
    assert_eq!(longest.len(), 23);
    for version in ALL {
        for id in ["0", longest] {
            assert_eq!(read(&encode(&Connect::new(version, id), version)).client_id, id);
        }
    }
    let umlauts = "ü".repeat(23); // characters, not bytes
    assert_eq!(read(&encode(&Connect::new(V3_1, &umlauts), V3_1)).client_id, umlauts);
    let longer = format!("{longest}D");
    assert_eq!(no_encode(&Connect::new(V3_1, ""), V3_1), EncodeError::ClientIdNotValid);
    // Many servers take more, so a client may send it.
    let sent = Connect { keep_alive: 10, ..Connect::new(V3_1, &longer) };
    assert_eq!(encode(&sent, V3_1), connect(V3_1, 0x02, &[&field(&longer)]));
    for id in ["", &longer] {
        let why = refuse(V3_1, Client, &connect(V3_1, 0x02, &[&field(id)]));
        assert_eq!((why.rule, why.reason_code), ("U-36", ReasonCode::ClientIdentifierNotValid));
        for version in [V3_1_1, V5] {
            assert_eq!(read(&encode(&Connect::new(version, id), version)).client_id, id);
        }
    }
}

/// Clean start and keep-alive.
#[test]
fn clean_start_and_keep_alive() {
    for version in ALL {
        for clean_start in [false, true] {
            for keep_alive in [0, 1, 0x1234, 65_535] {
                let packet = Connect { clean_start, keep_alive, ..Connect::new(version, "c") };
                let bytes = encode(&packet, version);
                assert_eq!(read(&bytes), packet);
                let flags = 5 + version.protocol_name().len();
                assert_eq!(bytes[flags], u8::from(clean_start) << 1);
                assert_eq!(bytes[flags + 1..flags + 3], keep_alive.to_be_bytes());
            }
        }
    }
}

/// Secrets do not show: password, will payload, authentication data.
#[test]
fn debug_hides_secrets() {
    let list = [Property::AuthenticationMethod("m"), Property::AuthenticationData(b"canary")];
    let packet = Connect {
        properties: Properties::List(&list),
        will: Some(Will::new(topic("w"), b"canary")),
        username: Some("user"),
        password: Some(b"canary"),
        ..Connect::new(V5, "client")
    };
    let bytes = encode(&packet, V5);
    let auth = Auth { reason_code: ReasonCode::ContinueAuthentication, properties: Properties::List(&list) };
    let publish = Publish::new(topic("t"), b"canary");
    let numbers = format!("{:?}", b"canary");
    for text in [
        format!("{packet:?}"),
        format!("{:?}", read(&bytes)),
        format!("{:?}", Packet::Connect(packet)),
        format!("{:#?}", packet),
        format!("{auth:?}"),
        format!("{:?}", auth.properties),
        format!("{:?}", auth.properties.iter()),
        format!("{:?}", list[1]),
        format!("{publish:?}"),
    ] {
        assert!(!text.contains("canary") && !text.contains(&numbers) && !text.contains("99,"), "{text}");
        assert!(text.contains("6 bytes"), "{text}");
    }
    assert!(format!("{packet:?}").contains("client"));
}
