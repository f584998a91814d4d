//! What goes wrong on purpose, and only that.

use core::time::Duration;

use mqtt_proto::{PacketType, Puback, Qos, TopicName, Version};

use super::peer::{Bench, Client, id};
use crate::broker::{Chaos, Misdeed, Rule};
use crate::random::Rate;

const PING: [u8; 2] = [0xC0, 0];

fn bench() -> (Bench, Client) {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    bench.subscribe(client, "t/#", 1);
    (bench, client)
}

#[test]
fn a_packet_is_dropped_or_doubled() {
    let (mut bench, client) = bench();
    bench.broker.misbehave(Rule::sending(PacketType::Pingresp, Misdeed::Drop));
    bench.broker.misbehave(Rule {
        skip: 1,
        times: 2,
        ..Rule::sending(PacketType::Pingresp, Misdeed::Duplicate).to("a")
    });
    let counts: Vec<usize> = (0..5)
        .map(|_| {
            bench.bytes(client.conn, &PING);
            bench.take(client).len()
        })
        .collect();
    assert_eq!(counts, [0, 1, 2, 2, 1]);
    assert_eq!(bench.broker.misdeeds(), 3);
}

#[test]
fn a_rule_for_another_client_or_topic_does_not_apply() {
    let (mut bench, client) = bench();
    bench.broker.misbehave(Rule::sending(PacketType::Pingresp, Misdeed::Drop).to("b"));
    let other = Rule::sending(PacketType::Publish, Misdeed::Drop);
    bench.broker.misbehave(Rule { topic: Some("t/+/x".to_owned()), ..other.clone() });
    bench.broker.misbehave(Rule { topic: Some("no/#/filter".to_owned()), ..other });
    bench.bytes(client.conn, &PING);
    for topic in ["t/1", "t/1/x", "t/1/x"] {
        let name = TopicName::new(topic).unwrap();
        bench.broker.publish(name, b"m", Qos::AtLeastOnce, false, bench.now);
    }
    assert_eq!(bench.take(client), ["PINGRESP", "PUBLISH q1 #1 t/1 m", "PUBLISH q1 #3 t/1/x m"]);
}

#[test]
fn a_dropped_message_is_sent_again_on_a_resume() {
    let mut bench = Bench::new();
    let client = bench.join_kept(Version::V5, "a");
    bench.subscribe(client, "t", 1);
    bench.broker.misbehave(Rule::sending(PacketType::Publish, Misdeed::Drop));
    bench.broker.publish(TopicName::new("t").unwrap(), b"m", Qos::AtLeastOnce, false, bench.now);
    assert!(bench.take(client).is_empty());
    bench.cut(client);
    let conn = bench.open();
    let connect = mqtt_proto::Connect { clean_start: false, ..mqtt_proto::Connect::new(Version::V5, "a") };
    bench.send(conn, &connect, Version::V5);
    let client = Client { conn, version: Version::V5 };
    assert_eq!(bench.take(client)[1..], ["PUBLISH dup q1 #1 t m"]);
}

#[test]
fn a_packet_is_late_or_changes_places() {
    let (mut bench, client) = bench();
    let second = Duration::from_secs(1);
    bench.broker.misbehave(Rule::sending(PacketType::Puback, Misdeed::Delay(second)));
    bench.publish(client, "u", 1, 1, "x");
    bench.publish(client, "u", 1, 2, "x");
    assert_eq!(bench.take(client), ["PUBACK #2 0x10"]);
    bench.after(second);
    assert_eq!(bench.take(client), ["PUBACK #1 0x10"]);
    bench.broker.misbehave(Rule::sending(PacketType::Puback, Misdeed::Swap));
    bench.publish(client, "u", 1, 3, "x");
    assert!(bench.take(client).is_empty());
    bench.publish(client, "u", 1, 4, "x");
    assert_eq!(bench.take(client), ["PUBACK #4 0x10", "PUBACK #3 0x10"]);
}

#[test]
fn the_connection_is_closed_instead_of_an_answer_or_on_a_message() {
    let (mut bench, client) = bench();
    bench.broker.misbehave(Rule::sending(PacketType::Puback, Misdeed::Close));
    bench.publish(client, "u", 1, 1, "x");
    assert!(bench.take(client).is_empty());
    bench.assert_ended(client);
    let (mut bench, client) = self::bench();
    bench.broker.close_on("poison/+");
    bench.publish(client, "t/1", 0, 0, "x");
    assert_eq!(bench.take(client).len(), 1);
    bench.publish(client, "poison/1", 0, 0, "x");
    bench.assert_ended(client);
    assert_eq!(bench.broker.stats().messages_in, 1);
}

#[test]
fn a_qos_2_message_is_answered_with_puback() {
    let (mut bench, client) = bench();
    bench.broker.misbehave(Rule { times: 2, ..Rule::sending(PacketType::Pubrec, Misdeed::Puback) });
    bench.broker.misbehave(Rule::sending(PacketType::Pingresp, Misdeed::Puback));
    for id in [5, 0x1234, 7] {
        bench.publish(client, "u", 2, id, "x");
    }
    bench.bytes(client.conn, &PING);
    let expected = ["PUBACK #5 0x00", "PUBACK #4660 0x00", "PUBREC #7 0x10", "PINGRESP"];
    assert_eq!(bench.take(client), expected);
}

#[test]
fn any_bytes_take_the_place_of_a_packet() {
    let (mut bench, client) = bench();
    let wrong = super::peer::encode(&Puback::new(id(5)), Version::V5);
    bench.broker.misbehave(Rule::sending(PacketType::Pubrec, Misdeed::Replace(wrong)));
    bench.publish(client, "u", 2, 5, "x");
    assert_eq!(bench.take(client), ["PUBACK #5 0x00"]);
}

#[test]
fn any_bytes_can_be_sent() {
    let (mut bench, client) = bench();
    assert!(bench.broker.send_bytes("a", &[1, 2, 3], bench.now));
    assert!(!bench.broker.send_bytes("b", &[1, 2, 3], bench.now));
    assert_eq!(bench.take_bytes(client.conn), [1, 2, 3]);
}

#[test]
fn chaos_hits_acknowledgements_only_and_ends_with_good_behaviour() {
    let (mut bench, client) = bench();
    bench.subscribe(client, "t/#", 0);
    bench.broker.set_chaos(Chaos { seed: 1, lost_ack: Rate::one_in(3), duplicate: Rate::one_in(3) });
    let count = |bench: &mut Bench| {
        for n in 1..=300 {
            bench.publish(client, "t/1", 1, n, "x");
        }
        let got = bench.take(client);
        let acks = got.iter().filter(|text| text.starts_with("PUBACK")).count();
        (got.len() - acks, acks)
    };
    let (messages, acks) = count(&mut bench);
    assert_eq!(messages, 300);
    assert!((200..400).contains(&acks) && acks != 300, "{acks}");
    bench.broker.behave();
    assert_eq!(count(&mut bench), (300, 300));
}
