//! Messages and their acknowledgements, both ways.

use mqtt_proto::{
    Connect, PacketId, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode,
    TopicName, Version,
};

use super::peer::{Bench, Client, VERSIONS, encode, id, publish};
use crate::broker::BrokerConfig;

#[test]
fn each_qos_is_acknowledged_and_delivered_at_the_lower_of_both() {
    for version in VERSIONS {
        for qos_out in 0..=2_u8 {
            for qos_sub in 0..=2_u8 {
                let mut bench = Bench::new();
                let sender = bench.join(version, "sender");
                let receiver = bench.join(version, "receiver");
                assert_eq!(
                    bench.subscribe(receiver, "a/b", qos_sub),
                    [format!("SUBACK #900 0x{qos_sub:02x}")]
                );
                bench.publish(sender, "a/b", qos_out, 7, "hello");
                let answer: &[&str] = match qos_out {
                    0 => &[],
                    1 => &["PUBACK #7 0x00"],
                    _ => &["PUBREC #7 0x00"],
                };
                assert_eq!(bench.take(sender), answer);
                let expected = match qos_out.min(qos_sub) {
                    0 => "PUBLISH q0 a/b hello".to_owned(),
                    qos => format!("PUBLISH q{qos} #1 a/b hello"),
                };
                assert_eq!(bench.take(receiver), [expected]);
            }
        }
    }
}

#[test]
fn a_qos_2_message_is_handed_on_once_however_often_it_is_sent() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let sender = bench.join_kept(version, "sender");
        let receiver = bench.join(version, "receiver");
        bench.subscribe(receiver, "t", 0);
        bench.publish(sender, "t", 2, 5, "once");
        let again = Publish { dup: true, ..publish("t", 2, 5, "once") };
        bench.send(sender.conn, &again, version);
        assert_eq!(bench.take(sender), ["PUBREC #5 0x00", "PUBREC #5 0x00"]);
        // The identifier is remembered across connections.
        bench.cut(sender);
        let sender = bench.join_kept(version, "sender");
        bench.send(sender.conn, &again, version);
        bench.send(sender.conn, &Pubrel::new(id(5)), version);
        assert_eq!(bench.take(sender), ["PUBREC #5 0x00", "PUBCOMP #5 0x00"]);
        assert_eq!(bench.take(receiver), ["PUBLISH q0 t once"]);
        assert_eq!(bench.broker.stats().duplicates, 2);
        // After PUBREL the identifier stands for a new message.
        bench.publish(sender, "t", 2, 5, "twice");
        assert_eq!(bench.take(receiver), ["PUBLISH q0 t twice"]);
    }
}

#[test]
fn a_pubrel_or_pubrec_for_nothing_says_so_and_is_survived() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    bench.send(client.conn, &Pubrel::new(id(3)), Version::V5);
    bench.send(client.conn, &Pubrec::new(id(4)), Version::V5);
    bench.send(client.conn, &Puback::new(id(5)), Version::V5);
    bench.send(client.conn, &Pubcomp::new(id(6)), Version::V5);
    assert_eq!(bench.take(client), ["PUBCOMP #3 0x92", "PUBREL #4 0x92"]);
    assert_eq!(bench.broker.stats().unknown_acks, 4);
    bench.assert_up(client);
}

#[test]
fn delivery_of_qos_2_goes_through_all_its_steps() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let client = bench.join(version, "a");
        bench.subscribe(client, "t", 2);
        bench.publish(client, "t", 2, 1, "x");
        assert_eq!(bench.take(client), ["PUBLISH q2 #1 t x", "PUBREC #1 0x00"]);
        bench.send(client.conn, &Pubrec::new(id(1)), version);
        assert_eq!(bench.take(client), ["PUBREL #1 0x00"]);
        assert!(!bench.broker.is_idle());
        bench.send(client.conn, &Pubcomp::new(id(1)), version);
        bench.send(client.conn, &Pubrel::new(id(1)), version);
        assert_eq!(bench.take(client), ["PUBCOMP #1 0x00"]);
        assert!(bench.broker.is_idle());
    }
}

#[test]
fn a_refused_delivery_frees_its_identifier() {
    let mut bench = Bench::with(BrokerConfig { max_in_flight: 1, ..BrokerConfig::default() });
    let client = bench.join(Version::V5, "a");
    bench.subscribe(client, "t", 2);
    bench.publish(client, "t", 2, 1, "x");
    bench.publish(client, "t", 1, 2, "y");
    assert_eq!(bench.take(client), ["PUBLISH q2 #1 t x", "PUBREC #1 0x00", "PUBACK #2 0x00"]);
    let refusal = Pubrec::with(id(1), ReasonCode::QuotaExceeded, Properties::EMPTY);
    bench.send(client.conn, &refusal, Version::V5);
    assert_eq!(bench.take(client), ["PUBLISH q1 #2 t y"]);
}

#[test]
fn a_wrong_acknowledgement_ends_the_connection() {
    // A PUBACK for QoS 2, a PUBREC for QoS 1, a PUBCOMP before PUBREC.
    for (qos, answer) in [
        (2, encode(&Puback::new(id(1)), Version::V5)),
        (1, encode(&Pubrec::new(id(1)), Version::V5)),
        (2, encode(&Pubcomp::new(id(1)), Version::V5)),
    ] {
        let mut bench = Bench::new();
        let client = bench.join(Version::V5, "a");
        bench.subscribe(client, "t", qos);
        bench.publish(client, "t", qos, 1, "x");
        bench.take(client);
        bench.bytes(client.conn, &answer);
        assert_eq!(bench.take(client), ["DISCONNECT 0x82"]);
    }
}

#[test]
fn deliveries_stay_within_the_clients_receive_maximum() {
    let mut bench = Bench::new();
    let two = [Property::ReceiveMaximum(2)];
    let connect = Connect { properties: Properties::List(&two), ..Connect::new(Version::V5, "a") };
    let client = bench.connect(&connect);
    bench.subscribe(client, "t", 2);
    let sender = bench.join(Version::V5, "sender");
    for n in 1..=4 {
        bench.publish(sender, "t", 1, n, "m");
    }
    // QoS 0 does not count.
    bench.publish(sender, "t", 0, 0, "free");
    assert_eq!(bench.take(client), ["PUBLISH q1 #1 t m", "PUBLISH q1 #2 t m", "PUBLISH q0 t free"]);
    bench.send(client.conn, &Puback::new(id(2)), Version::V5);
    assert_eq!(bench.take(client), ["PUBLISH q1 #3 t m"]);
    bench.send(client.conn, &Puback::new(id(1)), Version::V5);
    assert_eq!(bench.take(client), ["PUBLISH q1 #4 t m"]);
}

#[test]
fn a_client_over_the_brokers_receive_maximum_is_disconnected() {
    for version in VERSIONS {
        let mut bench = Bench::with(BrokerConfig { receive_maximum: 2, ..BrokerConfig::default() });
        let client = bench.join(version, "a");
        bench.publish(client, "t", 2, 1, "x");
        bench.publish(client, "t", 2, 2, "x");
        bench.assert_up(client);
        // A completed exchange makes room.
        bench.send(client.conn, &Pubrel::new(id(1)), version);
        bench.publish(client, "t", 2, 3, "x");
        bench.assert_up(client);
        bench.publish(client, "t", 2, 4, "x");
        let farewell: &[&str] = if version == Version::V5 { &["DISCONNECT 0x93"] } else { &[] };
        assert_eq!(bench.take(client), farewell);
        bench.assert_ended(client);
    }
}

#[test]
fn what_was_in_flight_is_sent_again_in_order_with_dup() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let client = bench.join_kept(version, "a");
        let sender = bench.join(version, "sender");
        bench.subscribe(client, "t", 2);
        for (n, qos) in [(1, 2), (2, 1), (3, 2), (4, 1)] {
            bench.publish(sender, "t", qos, n, &format!("m{n}"));
        }
        assert_eq!(
            bench.take(client),
            ["PUBLISH q2 #1 t m1", "PUBLISH q1 #2 t m2", "PUBLISH q2 #3 t m3", "PUBLISH q1 #4 t m4"]
        );
        bench.send(client.conn, &Pubrec::new(id(3)), version);
        bench.send(client.conn, &Puback::new(id(2)), version);
        bench.cut(client);
        bench.publish(sender, "t", 1, 5, "m5");

        let client = rejoin(&mut bench, version, None);
        assert_eq!(
            bench.take(client)[1..],
            ["PUBLISH dup q2 #1 t m1", "PUBLISH dup q1 #4 t m4", "PUBREL #3 0x00", "PUBLISH q1 #5 t m5"]
        );
    }
}

fn rejoin(bench: &mut Bench, version: Version, receive_maximum: Option<u16>) -> Client {
    let mut list = vec![Property::SessionExpiryInterval(3_600)];
    list.extend(receive_maximum.map(Property::ReceiveMaximum));
    let properties = if version == Version::V5 { Properties::List(&list) } else { Properties::EMPTY };
    let connect = Connect { clean_start: false, properties, ..Connect::new(version, "a") };
    let conn = bench.open();
    bench.send(conn, &connect, version);
    Client { conn, version }
}

#[test]
fn a_resume_is_paced_by_the_quota_of_the_new_connection() {
    let mut bench = Bench::new();
    let client = rejoin(&mut bench, Version::V5, None);
    bench.subscribe(client, "t", 1);
    let sender = bench.join(Version::V5, "sender");
    for n in 1..=3 {
        bench.publish(sender, "t", 1, n, &format!("m{n}"));
    }
    assert_eq!(bench.take(client).len(), 3);
    bench.cut(client);
    let client = rejoin(&mut bench, Version::V5, Some(1));
    assert_eq!(bench.take(client)[1..], ["PUBLISH dup q1 #1 t m1"]);
    bench.publish(sender, "t", 1, 4, "m4");
    for n in 1..=2 {
        bench.send(client.conn, &Puback::new(id(n)), Version::V5);
        assert_eq!(bench.take(client), [format!("PUBLISH dup q1 #{} t m{}", n + 1, n + 1)]);
    }
    bench.send(client.conn, &Puback::new(id(3)), Version::V5);
    assert_eq!(bench.take(client), ["PUBLISH q1 #4 t m4"]);
}

#[test]
fn a_message_for_nobody_is_acknowledged_with_a_hint() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    bench.publish(client, "t", 1, 1, "x");
    bench.publish(client, "t", 2, 2, "x");
    assert_eq!(bench.take(client), ["PUBACK #1 0x10", "PUBREC #2 0x10"]);
}

#[test]
fn an_identifier_in_use_is_not_taken_for_something_else() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    bench.publish(client, "t", 2, 900, "x");
    bench.publish(client, "t", 1, 900, "y");
    assert_eq!(bench.take(client), ["PUBREC #900 0x10", "PUBACK #900 0x91"]);
    assert_eq!(bench.subscribe(client, "t", 1), ["SUBACK #900 0x91"]);

    let client = bench.join(Version::V3_1_1, "b");
    bench.publish(client, "t", 2, 9, "x");
    bench.publish(client, "t", 1, 9, "y");
    bench.assert_ended(client);
}

#[test]
fn qos_and_retain_that_are_not_served_end_the_connection() {
    let config =
        BrokerConfig { max_qos: Qos::AtLeastOnce, retain_available: false, ..BrokerConfig::default() };
    for version in VERSIONS {
        let mut bench = Bench::with(config.clone());
        let client = bench.join(version, "a");
        assert_eq!(bench.subscribe(client, "t", 2), ["SUBACK #900 0x01"]);
        bench.publish(client, "t", 2, 1, "x");
        if version == Version::V5 {
            assert_eq!(bench.take(client), ["DISCONNECT 0x9b"]);
        }
        bench.assert_ended(client);
        let client = bench.join(version, "a");
        bench.send(client.conn, &Publish { retain: true, ..publish("t", 0, 0, "x") }, version);
        if version == Version::V5 {
            assert_eq!(bench.take(client), ["DISCONNECT 0x9a"]);
        }
        bench.assert_ended(client);
    }
}

#[test]
fn inbound_aliases_are_resolved_and_checked() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    bench.subscribe(client, "#", 0);
    let alias = |n| [Property::TopicAlias(n)];
    let set = alias(16);
    let full = Publish { properties: Properties::List(&set), ..publish("long/topic", 0, 0, "1") };
    bench.send(client.conn, &full, Version::V5);
    bench.send(client.conn, &Publish { topic: None, ..full }, Version::V5);
    assert_eq!(bench.take(client), ["PUBLISH q0 long/topic 1", "PUBLISH q0 long/topic 1"]);
    let unknown = alias(2);
    let packet = Publish { topic: None, properties: Properties::List(&unknown), ..full };
    bench.send(client.conn, &packet, Version::V5);
    assert_eq!(bench.take(client), ["DISCONNECT 0x82"]);
    // Aliases end with the connection. [MQTT-3.3.2-7]
    let client = bench.join(Version::V5, "a");
    bench.send(client.conn, &Publish { topic: None, ..full }, Version::V5);
    assert_eq!(bench.take(client), ["DISCONNECT 0x82"]);
    let client = bench.join(Version::V5, "a");
    let high = alias(17);
    let packet = Publish { properties: Properties::List(&high), ..full };
    bench.send(client.conn, &packet, Version::V5);
    assert_eq!(bench.take(client), ["DISCONNECT 0x94"]);
}

#[test]
fn outbound_aliases_are_used_as_far_as_the_client_allows() {
    let mut bench = Bench::new();
    let one = [Property::TopicAliasMaximum(1)];
    let client =
        bench.connect(&Connect { properties: Properties::List(&one), ..Connect::new(Version::V5, "a") });
    bench.subscribe(client, "#", 0);
    for topic in ["first", "first", "second", "first"] {
        bench.broker.publish(TopicName::new(topic).unwrap(), b"x", Qos::AtMostOnce, false, bench.now);
    }
    assert_eq!(
        bench.take(client),
        [
            "PUBLISH q0 first x TopicAlias(1)",
            "PUBLISH q0 - x TopicAlias(1)",
            "PUBLISH q0 second x",
            "PUBLISH q0 - x TopicAlias(1)",
        ]
    );
}

#[test]
fn identifiers_wrap_past_those_in_use() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V3_1_1, "a");
    bench.subscribe(client, "t", 1);
    // Number 1 is never acknowledged.
    bench.publish(client, "t", 1, 1, "x");
    bench.take(client);
    let mut last = 0;
    for _ in 0..70_000_u32 {
        bench.publish(client, "t", 1, 1, "x");
        let bytes = bench.take_bytes(client.conn);
        let delivered = Publish::decode(&bytes[..8], Version::V3_1_1, mqtt_proto::Peer::Server).unwrap();
        let packet_id = delivered.packet_id.map_or(0, PacketId::get);
        assert!(packet_id > 1, "{packet_id}");
        last = packet_id;
        bench.send(client.conn, &Puback::new(id(packet_id)), Version::V3_1_1);
    }
    assert!(last > 4_000 && last < 5_000, "{last}");
}
