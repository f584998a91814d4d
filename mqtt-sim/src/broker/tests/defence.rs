//! Peers that do not keep to the rules.

use mqtt_proto::{Connect, Properties, Property, Publish, Version};

use super::peer::{Bench, VERSIONS, publish};
use crate::broker::{Broker, BrokerConfig};

#[test]
fn nothing_but_connect_comes_first() {
    for first in [&[0xC0, 0][..], &[0x30], &[0xE0, 0], &[0x00], &[0xF0, 0], &[0x20, 2, 0, 0]] {
        let mut bench = Bench::new();
        let conn = bench.open();
        bench.bytes(conn, first);
        assert!(bench.broker.wants_close(conn), "{first:?}");
        assert!(bench.take_bytes(conn).is_empty());
    }
}

#[test]
fn what_a_client_may_not_send_is_a_protocol_error() {
    let cases: [(&str, &[u8]); 7] = [
        ("a second CONNECT", b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a"),
        ("CONNACK", b"\x20\x03\x00\x00\x00"),
        ("SUBACK", b"\x90\x04\x00\x01\x00\x00"),
        ("UNSUBACK", b"\xb0\x04\x00\x01\x00\x00"),
        ("PINGRESP", b"\xd0\x00"),
        ("AUTH without a method", b"\xf0\x00"),
        ("a subscription identifier in PUBLISH", b"\x30\x06\x00\x01t\x02\x0b\x01"),
    ];
    for (what, bytes) in cases {
        let mut bench = Bench::new();
        let client = bench.join(Version::V5, "a");
        bench.bytes(client.conn, bytes);
        assert_eq!(bench.take(client), ["DISCONNECT 0x82"], "{what}");
        bench.assert_ended(client);
    }
}

#[test]
fn malformed_bytes_are_answered_and_the_connection_ended() {
    let cases: [&[u8]; 5] = [
        b"\x36\x07\x00\x01t\x00\x01\x00x",
        b"\x80\x06\x00\x01\x00\x00\x01t\x00",
        b"\x82\x03\x00\x01\x00",
        b"\x30\x05\x00\x05t\x00x",
        b"\xc0\xff\xff\xff\xff\x7f",
    ];
    for bytes in cases {
        for version in VERSIONS {
            let mut bench = Bench::new();
            let client = bench.join(version, "a");
            bench.bytes(client.conn, bytes);
            if version == Version::V5 {
                let farewell = bench.take(client);
                assert!(farewell == ["DISCONNECT 0x81"] || farewell == ["DISCONNECT 0x82"], "{farewell:?}");
            }
            bench.assert_ended(client);
            assert_eq!(bench.broker.stats().protocol_errors, 1, "{bytes:?}");
        }
    }
}

#[test]
fn an_announced_length_beyond_the_limit_ends_it_before_the_body_came() {
    let mut bench = Bench::with(BrokerConfig { max_packet_size: 100, ..BrokerConfig::default() });
    let client = bench.join(Version::V5, "a");
    bench.bytes(client.conn, &[0x30, 99]);
    assert_eq!(bench.take(client), ["DISCONNECT 0x95"]);
    let client = bench.join(Version::V5, "a");
    let payload = "x".repeat(94);
    bench.publish(client, "t", 0, 0, &payload);
    bench.assert_up(client);
}

#[test]
fn a_packet_in_single_bytes_is_the_same_packet() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    bench.subscribe(client, "t", 0);
    for byte in b"\x30\x06\x00\x01t\x00hi\xc0\x00" {
        bench.bytes(client.conn, &[*byte]);
    }
    assert_eq!(bench.take(client), ["PUBLISH q0 t hi", "PINGRESP"]);
}

#[test]
fn a_message_larger_than_the_receiver_takes_is_not_sent() {
    let mut bench = Bench::new();
    let sixteen = [Property::MaximumPacketSize(16)];
    let connect = Connect { properties: Properties::List(&sixteen), ..Connect::new(Version::V5, "a") };
    let client = bench.connect(&connect);
    bench.subscribe(client, "t", 1);
    let sender = bench.join(Version::V5, "sender");
    bench.publish(sender, "t", 1, 1, "12345678");
    bench.publish(sender, "t", 1, 2, "123456789");
    bench.publish(sender, "t", 0, 0, "12345678901");
    bench.publish(sender, "t", 1, 3, "next");
    assert_eq!(bench.take(client), ["PUBLISH q1 #1 t 12345678", "PUBLISH q1 #3 t next"]);
    assert_eq!(bench.broker.stats().dropped, 2);
}

#[test]
fn a_reader_that_stops_costs_a_bounded_amount() {
    let config = BrokerConfig {
        max_output_bytes: 10_000,
        max_queued: 50,
        max_queued_bytes: 100_000,
        ..BrokerConfig::default()
    };
    let mut bench = Bench::with(config);
    let slow = bench.join(Version::V5, "slow");
    bench.subscribe(slow, "t", 0);
    let sender = bench.join(Version::V5, "sender");
    let payload = "x".repeat(1_000);
    for _ in 0..1_000 {
        bench.publish(sender, "t", 0, 0, &payload);
    }
    assert!(bench.broker.outgoing(slow.conn).len() < 11_100);
    assert!(bench.broker.stats().dropped > 900);
    // As it reads on, what was kept follows: ten in the output and fifty in the queue.
    let got = bench.take(slow);
    assert_eq!(got.len(), 60);
    // One that only asks is cut.
    let config = BrokerConfig { max_output_bytes: 100, ..BrokerConfig::default() };
    let mut bench = Bench::with(config);
    let slow = bench.join(Version::V5, "slow");
    for _ in 0..101 {
        bench.bytes(slow.conn, &[0xC0, 0]);
    }
    assert_eq!(bench.broker.stats().slow_readers, 1);
    assert!(bench.broker.wants_close(slow.conn));
}

#[test]
fn all_queues_together_are_bounded() {
    let config = BrokerConfig { max_stored_bytes: 10_000, ..BrokerConfig::default() };
    let mut bench = Bench::with(config);
    for name in ["a", "b", "c"] {
        let client = bench.join_kept(Version::V5, name);
        bench.subscribe(client, "t", 1);
        bench.cut(client);
    }
    let sender = bench.join(Version::V5, "sender");
    let payload = "x".repeat(935);
    for n in 1..=20 {
        bench.publish(sender, "t", 1, n, &payload);
    }
    assert_eq!(bench.broker.sessions.stored_bytes, 10_000);
    assert_eq!(bench.broker.stats().dropped, 50);
    bench.broker.forget_sessions(bench.now);
    assert_eq!(bench.broker.sessions.stored_bytes, 0);
}

#[test]
fn an_ended_connection_is_closed_even_if_its_last_bytes_are_not_taken() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    bench.bytes(client.conn, &[0xFF, 0]);
    assert!(!bench.broker.wants_close(client.conn));
    while bench.broker.poll_active().is_some() {}
    bench.after(core::time::Duration::from_secs(5));
    assert!(bench.broker.wants_close(client.conn));
    assert_eq!(bench.broker.poll_active(), Some(client.conn));
}

#[test]
fn deep_topics_and_filters_are_only_long() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    let topic = "a/".repeat(32_000);
    let filter = "+/".repeat(32_000) + "#";
    assert_eq!(bench.subscribe(client, &filter, 0), ["SUBACK #900 0x00"]);
    bench.publish(client, &topic, 0, 0, "deep");
    assert_eq!(bench.take(client).len(), 1);
}

/// Every packet of a well-behaved conversation, cut short or with one byte changed, at every place: the broker answers
/// or closes, and goes on serving others.
#[test]
fn damaged_packets_of_every_kind_hurt_nobody_else() {
    let packets: [&[u8]; 8] = [
        b"\x10\x1e\x00\x04MQTT\x05\xc6\x00\x3c\x00\x00\x01a\x00\x00\x01w\x00\x01x\x00\x01u\x00\x01p",
        b"\x34\x09\x00\x01t\x00\x05\x02\x01\x01x",
        b"\x62\x03\x00\x05\x00",
        b"\x82\x0a\x00\x01\x02\x0b\x01\x00\x02t+\x01",
        b"\xa2\x07\x00\x02\x00\x00\x02t+",
        b"\x40\x04\x00\x01\x00\x00",
        b"\xc0\x00",
        b"\xe0\x02\x04\x00",
    ];
    let mut broker = Broker::new(BrokerConfig::default());
    let now = mqtt_session::Instant::ZERO;
    for packet in packets {
        for place in 0..packet.len() {
            for value in 0..=u8::MAX {
                let mut damaged = packet.to_vec();
                damaged[place] = value;
                for bytes in [&damaged[..], &damaged[..=place]] {
                    let conn = broker.open(now);
                    if packet[0] != 0x10 {
                        broker.receive(conn, b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01b", now);
                    }
                    broker.receive(conn, bytes, now);
                    let n = broker.outgoing(conn).len();
                    broker.advance(conn, n);
                    broker.closed(conn, now);
                }
            }
        }
    }
    assert_eq!(broker.connections(), 0);
    let mut bench = Bench { broker, now };
    let client = bench.join(Version::V5, "still here");
    bench.subscribe(client, "t", 0);
    bench.send(client.conn, &Publish { ..publish("t", 0, 0, "x") }, Version::V5);
    assert_eq!(bench.take(client), ["PUBLISH q0 t x"]);
}

#[test]
fn calls_for_connections_that_are_not_there_do_nothing() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    bench.cut(client);
    bench.bytes(client.conn, &[0xC0, 0]);
    bench.broker.advance(client.conn, 7);
    bench.cut(client);
    assert!(bench.broker.outgoing(client.conn).is_empty());
    assert!(bench.broker.wants_close(client.conn));
    assert_eq!(bench.broker.client_id(client.conn), None);
    assert_eq!(bench.broker.connection_of("a"), None);
}

#[test]
fn a_clock_that_steps_back_stands_still() {
    let mut bench = Bench::new();
    bench.after(core::time::Duration::from_secs(100));
    let client = bench.join(Version::V5, "a");
    bench.now = mqtt_session::Instant::ZERO;
    bench.bytes(client.conn, &[0xC0, 0]);
    assert_eq!(bench.take(client), ["PINGRESP"]);
    bench.broker.handle_timeout(bench.now);
    bench.assert_up(client);
}
