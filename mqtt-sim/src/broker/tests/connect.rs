//! CONNECT and its answers.

use core::time::Duration;

use mqtt_proto::{Connect, Properties, Property, Qos, TopicName, Version, Will};

use super::peer::{Bench, Client, VERSIONS, encode};
use crate::broker::BrokerConfig;

fn answer(config: BrokerConfig, connect: &Connect<'_>) -> Vec<u8> {
    let mut bench = Bench::with(config);
    let conn = bench.open();
    bench.send(conn, connect, connect.version);
    let bytes = bench.take_bytes(conn);
    assert!(bench.broker.wants_close(conn));
    bytes
}

#[test]
fn each_version_is_let_in_with_its_own_connack() {
    let mut bench = Bench::new();
    for (version, client_id) in [(Version::V3_1, "a"), (Version::V3_1_1, "b")] {
        let conn = bench.open();
        bench.send(conn, &Connect::new(version, client_id), version);
        assert_eq!(bench.take_bytes(conn), [0x20, 2, 0, 0]);
        assert_eq!(bench.broker.client_id(conn), Some(client_id));
    }
    let conn = bench.open();
    bench.send(conn, &Connect::new(Version::V5, "c"), Version::V5);
    let answer = bench.take(Client { conn, version: Version::V5 });
    assert_eq!(
        answer,
        ["CONNACK 0x00 ReceiveMaximum(1024) MaximumPacketSize(1048576) TopicAliasMaximum(16)"]
    );
    assert_eq!(bench.broker.sessions().collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn every_split_of_a_connect_gives_the_same_answer() {
    let bytes = encode(&Connect::new(Version::V5, "split"), Version::V5);
    let whole = {
        let mut bench = Bench::new();
        let conn = bench.open();
        bench.bytes(conn, &bytes);
        bench.take_bytes(conn)
    };
    for cut in 0..bytes.len() {
        let mut bench = Bench::new();
        let conn = bench.open();
        bench.bytes(conn, &bytes[..cut]);
        assert!(bench.take_bytes(conn).is_empty());
        bench.bytes(conn, &bytes[cut..]);
        assert_eq!(bench.take_bytes(conn), whole);
    }
}

#[test]
fn limits_are_announced_when_they_differ_from_what_is_assumed() {
    let config = BrokerConfig {
        receive_maximum: u16::MAX,
        max_packet_size: 4_096,
        topic_alias_maximum: 0,
        max_qos: Qos::AtLeastOnce,
        retain_available: false,
        wildcard_available: false,
        subscription_identifiers_available: false,
        shared_available: false,
        server_keep_alive: Some(7),
        max_session_expiry: 30,
        ..BrokerConfig::default()
    };
    let mut bench = Bench::with(config);
    let conn = bench.open();
    let expiry = [Property::SessionExpiryInterval(60)];
    let connect = Connect { properties: Properties::List(&expiry), ..Connect::new(Version::V5, "a") };
    bench.send(conn, &connect, Version::V5);
    assert_eq!(
        bench.take(Client { conn, version: Version::V5 }),
        ["CONNACK 0x00 SessionExpiryInterval(30) MaximumQos(AtLeastOnce) RetainAvailable(false) \
          MaximumPacketSize(4096) WildcardSubscriptionAvailable(false) \
          SubscriptionIdentifiersAvailable(false) SharedSubscriptionAvailable(false) ServerKeepAlive(7)"]
    );
}

#[test]
fn an_empty_client_id_gets_one_assigned_where_the_version_allows_it() {
    let mut bench = Bench::new();
    let conn = bench.open();
    bench.send(conn, &Connect::new(Version::V5, ""), Version::V5);
    let answer = bench.take(Client { conn, version: Version::V5 });
    assert!(answer[0].contains("AssignedClientIdentifier(\"auto-1\")"), "{answer:?}");
    assert_eq!(bench.broker.client_id(conn), Some("auto-1"));

    let conn = bench.open();
    bench.send(conn, &Connect::new(Version::V3_1_1, ""), Version::V3_1_1);
    assert_eq!(bench.take_bytes(conn), [0x20, 2, 0, 0]);
    assert_eq!(bench.broker.client_id(conn), Some("auto-2"));

    let kept = Connect { clean_start: false, ..Connect::new(Version::V3_1_1, "") };
    assert_eq!(encode(&kept, Version::V3_1_1).len(), 14);
    assert_eq!(answer_of_bytes(&encode(&kept, Version::V3_1_1)), [0x20, 2, 0, 2]);
}

fn answer_of_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut bench = Bench::new();
    let conn = bench.open();
    bench.bytes(conn, bytes);
    let answer = bench.take_bytes(conn);
    assert!(bench.broker.wants_close(conn));
    answer
}

#[test]
fn a_client_id_3_1_does_not_allow_is_refused_with_code_2() {
    let long = b"\x10\x26\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x18abcdefghijklmnopqrstuvwx";
    assert_eq!(answer_of_bytes(long), [0x20, 2, 0, 2]);
    let empty = b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00";
    assert_eq!(answer_of_bytes(empty), [0x20, 2, 0, 2]);
}

#[test]
fn a_version_that_is_not_served_is_refused_in_the_form_of_one_that_is() {
    let old = BrokerConfig { newest_version: Version::V3_1_1, ..BrokerConfig::default() };
    assert_eq!(answer(old.clone(), &Connect::new(Version::V5, "a")), [0x20, 2, 0, 1]);
    let ancient = BrokerConfig { newest_version: Version::V3_1, ..BrokerConfig::default() };
    assert_eq!(answer(ancient, &Connect::new(Version::V3_1_1, "a")), [0x20, 2, 0, 1]);
    let modern = BrokerConfig { oldest_version: Version::V5, ..BrokerConfig::default() };
    assert_eq!(answer(modern, &Connect::new(Version::V3_1_1, "a")), [0x20, 2, 0, 1]);
    // A level from the future.
    assert_eq!(answer_of_bytes(b"\x10\x0d\x00\x04MQTT\x06\x02\x00\x3c\x00\x01a"), [0x20, 3, 0, 0x84, 0]);
    // A level nobody ever had.
    assert_eq!(answer_of_bytes(b"\x10\x0d\x00\x04MQTT\x02\x02\x00\x3c\x00\x01a"), [0x20, 2, 0, 1]);
}

#[test]
fn a_malformed_connect_is_answered_in_5_0_and_met_with_silence_before() {
    // The reserved flag is set. [MQTT-3.1.2-3]
    assert_eq!(
        answer_of_bytes(b"\x10\x0e\x00\x04MQTT\x05\x03\x00\x3c\x00\x00\x01a")[..4],
        [0x20, 3, 0, 0x81]
    );
    assert_eq!(answer_of_bytes(b"\x10\x0d\x00\x04MQTT\x04\x03\x00\x3c\x00\x01a"), []);
}

#[test]
fn users_are_checked_when_there_are_any() {
    let config =
        BrokerConfig { users: [("meter".to_owned(), b"secret".to_vec())].into(), ..BrokerConfig::default() };
    let good = |version| Connect {
        username: Some("meter"),
        password: Some(b"secret"),
        ..Connect::new(version, "a")
    };
    for version in VERSIONS {
        Bench::with(config.clone()).connect(&good(version));
        let bad = [
            Connect { password: Some(b"guess"), ..good(version) },
            Connect { username: Some("other"), ..good(version) },
            Connect { password: None, ..good(version) },
            Connect::new(version, "a"),
        ];
        for connect in &bad {
            let bytes = answer(config.clone(), connect);
            let code = if version == Version::V5 { 0x86 } else { 4 };
            assert_eq!(bytes[3], code);
        }
    }
}

#[test]
fn a_will_the_broker_cannot_keep_is_refused() {
    let config =
        BrokerConfig { max_qos: Qos::AtMostOnce, retain_available: false, ..BrokerConfig::default() };
    let will = Will::new(TopicName::new("gone").unwrap(), b"x");
    let qos =
        Connect { will: Some(Will { qos: Qos::AtLeastOnce, ..will }), ..Connect::new(Version::V5, "a") };
    assert_eq!(answer(config.clone(), &qos)[3], 0x9B);
    let retain = Connect { will: Some(Will { retain: true, ..will }), ..Connect::new(Version::V5, "a") };
    assert_eq!(answer(config, &retain)[3], 0x9A);
}

#[test]
fn an_authentication_method_is_refused() {
    let method = [Property::AuthenticationMethod("SCRAM-SHA-256")];
    let connect = Connect { properties: Properties::List(&method), ..Connect::new(Version::V5, "a") };
    assert_eq!(answer(BrokerConfig::default(), &connect)[3], 0x8C);
}

#[test]
fn the_sessions_are_bounded() {
    let config = BrokerConfig { max_sessions: 1, ..BrokerConfig::default() };
    for (version, code) in [(Version::V3_1, 3), (Version::V3_1_1, 3), (Version::V5, 0x97)] {
        let mut bench = Bench::with(config.clone());
        let first = bench.join(version, "a");
        let conn = bench.open();
        bench.send(conn, &Connect::new(version, "b"), version);
        assert_eq!(bench.take_bytes(conn)[3], code);
        // The same client again does not need room.
        bench.join(version, "a");
        bench.assert_ended(first);
    }
}

#[test]
fn the_connections_are_bounded() {
    let mut bench = Bench::with(BrokerConfig { max_connections: 1, ..BrokerConfig::default() });
    let first = bench.open();
    let second = bench.open();
    assert!(!bench.broker.wants_close(first));
    assert!(bench.broker.wants_close(second));
    assert_eq!(bench.broker.poll_active(), Some(second));
    bench.broker.closed(first, bench.now);
    bench.broker.closed(second, bench.now);
    assert_eq!(bench.broker.connections(), 0);
    assert_eq!(bench.broker.poll_timeout(), None);
}

#[test]
fn a_transport_without_connect_is_closed_in_time() {
    let mut bench = Bench::new();
    let conn = bench.open();
    bench.bytes(conn, &[0x10]);
    bench.after(Duration::from_millis(9_999));
    assert!(!bench.broker.wants_close(conn));
    bench.after(Duration::from_millis(1));
    assert!(bench.broker.wants_close(conn));
    assert_eq!(bench.broker.stats().timeouts, 1);
}

#[test]
fn a_second_client_of_the_same_name_takes_over() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let old = bench.join(version, "a");
        let new = bench.join(version, "a");
        let farewell: &[&str] = if version == Version::V5 { &["DISCONNECT 0x8e"] } else { &[] };
        assert_eq!(bench.take(old), farewell);
        bench.assert_ended(old);
        bench.assert_up(new);
        assert_eq!(bench.broker.stats().takeovers, 1);
    }
}

#[test]
fn keep_alive_is_given_half_as_long_again() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let client = bench.connect(&Connect { keep_alive: 10, ..Connect::new(version, "a") });
        bench.after(Duration::from_secs(14));
        bench.bytes(client.conn, &[0xC0, 0]);
        assert_eq!(bench.take(client), ["PINGRESP"]);
        bench.after(Duration::from_millis(14_999));
        bench.assert_up(client);
        bench.after(Duration::from_millis(1));
        let farewell: &[&str] = if version == Version::V5 { &["DISCONNECT 0x8d"] } else { &[] };
        assert_eq!(bench.take(client), farewell);
        bench.assert_ended(client);
    }
}

#[test]
fn part_of_a_packet_does_not_keep_a_client_alive() {
    let mut bench = Bench::new();
    let client = bench.connect(&Connect { keep_alive: 10, ..Connect::new(Version::V5, "a") });
    bench.after(Duration::from_secs(14));
    bench.bytes(client.conn, &[0xC0]);
    bench.after(Duration::from_secs(1));
    bench.assert_ended(client);
}

#[test]
fn server_keep_alive_replaces_the_clients_own() {
    let mut bench = Bench::with(BrokerConfig { server_keep_alive: Some(2), ..BrokerConfig::default() });
    let client = bench.connect(&Connect { keep_alive: 0, ..Connect::new(Version::V5, "a") });
    bench.after(Duration::from_secs(3));
    bench.assert_ended(client);
}

#[test]
fn without_keep_alive_silence_is_no_reason() {
    let mut bench = Bench::new();
    let client = bench.connect(&Connect { keep_alive: 0, ..Connect::new(Version::V3_1_1, "a") });
    assert_eq!(bench.broker.poll_timeout(), None);
    bench.after(Duration::from_secs(1_000_000));
    bench.assert_up(client);
}
