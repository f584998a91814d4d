//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK.

use crate::support::shape::reason_codes;
use crate::support::{field, frame, join};
use crate::*;

fn subscribe(version: Version, filters: &[(&str, u8)]) -> Vec<u8> {
    let none: &[u8] = if version == V5 { &[0] } else { &[] };
    let mut body = join(&[&[0, 7], none]);
    for (filter, options) in filters {
        body.extend(field(filter));
        body.push(*options);
    }
    frame(0x82, &body)
}

/// At least one filter, read and written.
/// [3.1.1 MQTT-3.8.3-3] [3.1.1 MQTT-3.10.3-2] [5.0 MQTT-3.8.3-2] [5.0 MQTT-3.10.3-2]
#[test]
fn at_least_one_filter() {
    for version in ALL {
        let rule = if version == V5 { "MQTT-3.8.3-2" } else { "MQTT-3.8.3-3" };
        protocol(version, Client, &subscribe(version, &[]), rule);
        let none: &[u8] = if version == V5 { &[0] } else { &[] };
        protocol(version, Client, &frame(0xA2, &join(&[&[0, 7], none])), "MQTT-3.10.3-2");
        let properties = Properties::EMPTY;
        let packet = Subscribe { packet_id: id(7), properties, filters: (&[]).into() };
        assert_eq!(no_encode(&packet, version), EncodeError::Empty);
        let packet = Unsubscribe { packet_id: id(7), properties, filters: (&[]).into() };
        assert_eq!(no_encode(&packet, version), EncodeError::Empty);
    }
}

/// A packet identifier that is not 0. [3.1.1 MQTT-2.3.1-1]
#[test]
fn identifier_0() {
    for version in ALL {
        let rule = if version == V5 { "MQTT-2.2.1-3" } else { "MQTT-2.3.1-1" };
        for (first, from, body) in [
            (0x82, Client, &b"\x00\x00\x00\x00\x01a\x00"[..]),
            (0xA2, Client, b"\x00\x00\x00\x00\x01a"),
            (0x90, Server, b"\x00\x00\x00\x00"),
            (0xB0, Server, b"\x00\x00\x00\x00"),
        ] {
            protocol(version, from, &frame(first, body), rule);
        }
    }
}

/// The byte of options: QoS 0 to 2, Retain Handling 0 to 2, reserved bits 0, in every combination.
/// [3.1.1 MQTT-3.8.3-4] [5.0 MQTT-3.8.3-5] [U-22]
#[test]
fn options() {
    for byte in 0..=255_u8 {
        for version in OLD {
            let bytes = subscribe(version, &[("a", byte)]);
            if byte <= 2 {
                let Packet::Subscribe(found) = accept(version, Client, &bytes) else {
                    panic!("not a SUBSCRIBE")
                };
                let options = found.filters.iter().next().expect("one").options;
                assert_eq!(options, SubscriptionOptions::new(Qos::try_from(byte).expect("0 to 2")));
            } else {
                malformed(version, Client, &bytes, "MQTT-3.8.3-4");
            }
        }
        let bytes = subscribe(V5, &[("b", 1), ("a", byte)]);
        let (qos, handling) = (byte & 3, byte >> 4 & 3);
        if byte & 0xC0 != 0 {
            malformed(V5, Client, &bytes, "MQTT-3.8.3-5");
            assert_eq!(SubscriptionOptions::from_byte(byte), None);
        } else if qos == 3 || handling == 3 {
            protocol(V5, Client, &bytes, "U-22");
            assert_eq!(SubscriptionOptions::from_byte(byte), None);
        } else {
            let Packet::Subscribe(found) = accept(V5, Client, &bytes) else { panic!("not a SUBSCRIBE") };
            let options = found.filters.iter().nth(1).expect("two").options;
            assert_eq!(options.qos as u8, qos);
            assert_eq!(options.retain_handling as u8, handling);
            assert_eq!((options.no_local, options.retain_as_published), (byte & 4 != 0, byte & 8 != 0));
            assert_eq!(options.to_byte(), byte);
            assert_eq!(SubscriptionOptions::from_byte(byte), Some(options));
            assert_eq!(encode(&found, V5), bytes);
            // Before 5.0 only the QoS is written, also of what was received as 5.0.
            for version in OLD {
                assert_eq!(encode(&found, version), subscribe(version, &[("b", 1), ("a", qos)]));
            }
        }
    }
}

/// No Local is not for shared subscriptions. [5.0 MQTT-3.8.3-4]
#[test]
fn no_local_on_a_shared_subscription() {
    protocol(V5, Client, &subscribe(V5, &[("$share/g/a", 0x04)]), "MQTT-3.8.3-4");
    protocol(V5, Client, &subscribe(V5, &[("a", 0), ("$share/g/a/+", 0x05)]), "MQTT-3.8.3-4");
    accept(V5, Client, &subscribe(V5, &[("$share", 0x04), ("$shared/a", 0x04), ("$share/g/a", 0x08)]));
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::default() };
    let filters = [Subscription { filter: filter("$share/g/a"), options }];
    let packet = Subscribe { packet_id: id(7), properties: Properties::EMPTY, filters: (&filters).into() };
    assert_eq!(no_encode(&packet, V5), EncodeError::NoLocalOnShared);
    // Before 5.0 there is no such option.
    assert_eq!(encode(&packet, V3_1_1), subscribe(V3_1_1, &[("$share/g/a", 0)]));
}

/// Filters stand one behind the other, in their order. [3.1.1 MQTT-3.10.3-1] [5.0 MQTT-3.10.3-1]
#[test]
fn filters_in_their_order() {
    let texts = ["a/+", "b", "a/+", "$share/g/#", "ü"];
    let filters = texts.map(filter);
    for version in ALL {
        let none: &[u8] = if version == V5 { &[0] } else { &[] };
        let packet =
            Unsubscribe { packet_id: id(7), properties: Properties::EMPTY, filters: (&filters).into() };
        let mut body = join(&[&[0, 7], none]);
        texts.iter().for_each(|text| body.extend(field(text)));
        assert_eq!(encode(&packet, version), frame(0xA2, &body));
        let bytes = frame(0xA2, &body);
        let Packet::Unsubscribe(found) = accept(version, Client, &bytes) else {
            panic!("not an UNSUBSCRIBE")
        };
        assert_eq!(found, packet);
        assert_eq!((found.filters.len(), found.filters.is_empty()), (5, false));
        assert_eq!(found.filters.body_len(), packet.filters.body_len());
    }
}

/// SUBACK: the codes of the table, each of them, and their number is told exactly.
/// [3.1.1 MQTT-3.9.3-2] [3.1.1 MQTT-3.8.4-5] [5.0 MQTT-3.9.3-2] [5.0 MQTT-3.8.4-6] [5.0 MQTT-3.8.4-7] [C14]
#[test]
fn c14_codes_of_suback() {
    let table = reason_codes(PacketType::Suback, Server);
    for byte in 0..=255_u8 {
        let bytes = frame(0x90, &[0, 7, 0, 0, byte, 1]);
        match ReasonCode::try_from(byte) {
            Ok(code) if table.contains(&code) => {
                let Packet::Suback(found) = accept(V5, Server, &bytes) else { panic!("not a SUBACK") };
                let codes = [ReasonCode::GRANTED_QOS_0, code, ReasonCode::GrantedQos1];
                assert!(found.codes.iter().eq(codes));
                assert_eq!(found.codes.len(), 3);
                assert_eq!(encode(&found, V5), bytes);
                let sent = Suback { packet_id: id(7), properties: Properties::EMPTY, codes: (&codes).into() };
                assert_eq!(encode(&sent, V5), bytes);
                let old = if code.is_error() { 0x80 } else { byte };
                assert_eq!(encode(&sent, V3_1_1), frame(0x90, &[0, 7, 0, old, 1]));
            }
            Ok(code) => {
                protocol(V5, Server, &bytes, "MQTT-3.9.3-2");
                let codes = [code];
                let sent = Suback { packet_id: id(7), properties: Properties::EMPTY, codes: (&codes).into() };
                assert_eq!(no_encode(&sent, V5), EncodeError::InvalidReasonCode(code));
            }
            Err(_) => malformed(V5, Server, &bytes, "MQTT-3.9.3-2"),
        }
        for version in OLD {
            let bytes = frame(0x90, &[0, 7, 2, byte]);
            if matches!(byte, 0 | 1 | 2 | 0x80) {
                let Packet::Suback(found) = accept(version, Server, &bytes) else { panic!("not a SUBACK") };
                assert_eq!(found.codes.len(), 2);
                assert_eq!(found.codes.iter().last().map(|code| code as u8), Some(byte));
            } else {
                malformed(version, Server, &bytes, "MQTT-3.9.3-2");
            }
        }
    }
    let none = Suback { packet_id: id(7), properties: Properties::EMPTY, codes: ReasonCodes::EMPTY };
    assert_eq!(no_encode(&none, V5), EncodeError::Empty);
    assert_eq!(no_encode(&none, V3_1_1), EncodeError::Empty);
    let damaged = Suback { codes: ReasonCodes::from_stored(&[0, 0x77]), ..none };
    assert!(damaged.encoded_len(V5).is_err());
}

/// UNSUBACK: the codes of the table; before 5.0 nothing but the identifier. [5.0 MQTT-3.11.3-2] [C14]
#[test]
fn c14_codes_of_unsuback() {
    let table = reason_codes(PacketType::Unsuback, Server);
    for byte in 0..=255_u8 {
        let bytes = frame(0xB0, &[0, 7, 0, byte]);
        match ReasonCode::try_from(byte) {
            Ok(code) if table.contains(&code) => {
                let Packet::Unsuback(found) = accept(V5, Server, &bytes) else { panic!("not an UNSUBACK") };
                assert!(found.codes.iter().eq([code]));
                assert_eq!(encode(&found, V5), bytes);
                assert_eq!(encode(&found, V3_1), [0xB0, 2, 0, 7]);
            }
            Ok(code) => {
                protocol(V5, Server, &bytes, "MQTT-3.11.3-2");
                let codes = [code];
                let sent =
                    Unsuback { packet_id: id(7), properties: Properties::EMPTY, codes: (&codes).into() };
                assert_eq!(no_encode(&sent, V5), EncodeError::InvalidReasonCode(code));
            }
            Err(_) => malformed(V5, Server, &bytes, "MQTT-3.11.3-2"),
        }
    }
    for version in OLD {
        let Packet::Unsuback(found) = accept(version, Server, &[0xB0, 2, 0, 7]) else {
            panic!("not an UNSUBACK")
        };
        assert!(found.codes.is_empty());
    }
    let none = Unsuback { packet_id: id(7), properties: Properties::EMPTY, codes: ReasonCodes::EMPTY };
    assert_eq!(no_encode(&none, V5), EncodeError::Empty);
}

/// Lists that were received can be stored and sent again.
#[test]
fn stored_lists() {
    let items = [
        Subscription { filter: filter("a/+"), options: SubscriptionOptions::from_byte(0x2E).expect("legal") },
        Subscription { filter: filter("ü"), options: SubscriptionOptions::new(Qos::AtLeastOnce) },
    ];
    let list = Subscriptions::from(&items);
    let mut stored = vec![0; list.body_len()];
    assert_eq!(list.write_body(&mut stored), Ok(stored.len()));
    assert_eq!(Subscriptions::from_stored(&stored), list);
    assert_eq!(Subscriptions::from_stored(&stored).len(), 2);
    let needed = stored.len();
    assert_eq!(list.write_body(&mut stored[1..]), Err(EncodeError::BufferTooSmall { needed }));
    for cut in 0..stored.len() {
        let expected = if cut < 6 { 0 } else { 1 };
        assert_eq!(Subscriptions::from_stored(&stored[..cut]).iter().count(), expected, "{cut}");
    }

    let filters = ["a/+", "ü"].map(filter);
    let list = TopicFilters::from(&filters);
    let mut stored = vec![0; list.body_len()];
    assert_eq!(list.write_body(&mut stored), Ok(stored.len()));
    assert_eq!(TopicFilters::from_stored(&stored), list);
    let needed = stored.len();
    assert_eq!(list.write_body(&mut stored[1..]), Err(EncodeError::BufferTooSmall { needed }));
    assert_eq!(TopicFilters::from_stored(&stored[..6]).len(), 1);
    assert_eq!(TopicFilters::from_stored(b"\x00\x01#\x00\x02a#\x00\x01b").iter().count(), 1);
    assert_eq!(ReasonCodes::from_stored(&[0, 0x80, 0x77, 0]).iter().count(), 2);
}
