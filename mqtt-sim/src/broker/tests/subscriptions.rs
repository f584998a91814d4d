//! Filters, options, retained messages.

use core::time::Duration;

use mqtt_proto::{
    Properties, Property, Publish, Qos, ReasonCode, RetainHandling, Subscribe, Subscription,
    SubscriptionOptions, Subscriptions, TopicFilter, TopicFilters, TopicName, Unsubscribe, Version,
};

use super::peer::{Bench, Client, VERSIONS, id, publish};
use crate::broker::BrokerConfig;

fn retain(bench: &mut Bench, client: Client, topic: &str, payload: &str) {
    let packet = Publish { retain: true, ..publish(topic, 0, 0, payload) };
    bench.send(client.conn, &packet, client.version);
}

#[test]
fn wildcards_match_as_the_standard_says() {
    let cases = [
        ("sport/#", &["sport", "sport/tennis", "sport/a/b"][..], &["sports", "x/sport"][..]),
        ("sport/+", &["sport/tennis", "sport/"], &["sport", "sport/a/b"]),
        ("+/+", &["a/b", "/finance"], &["a", "a/b/c"]),
        ("#", &["a", "/", "a/b"], &["$SYS/x"]),
        ("+/x", &["a/x"], &["$SYS/x"]),
        ("$SYS/#", &["$SYS/x"], &["SYS/x"]),
        ("a/b", &["a/b"], &["a/B", "a/b/", "/a/b"]),
    ];
    for (filter, hits, misses) in cases {
        let mut bench = Bench::new();
        let client = bench.join(Version::V5, "a");
        bench.subscribe(client, filter, 0);
        for topic in hits {
            bench.publish(client, topic, 0, 0, "x");
            assert_eq!(bench.take(client), [format!("PUBLISH q0 {topic} x")], "{filter}");
        }
        for topic in misses {
            bench.publish(client, topic, 0, 0, "x");
            assert!(bench.take(client).is_empty(), "{filter} {topic}");
        }
    }
}

#[test]
fn a_retained_message_reaches_later_subscribers_until_it_is_removed() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let client = bench.join(version, "a");
        retain(&mut bench, client, "t/1", "old");
        retain(&mut bench, client, "t/1", "new");
        retain(&mut bench, client, "t/2", "two");
        retain(&mut bench, client, "u", "other");
        let late = bench.join(version, "late");
        assert_eq!(
            bench.subscribe(late, "t/#", 1),
            ["SUBACK #900 0x01", "PUBLISH retain q0 t/1 new", "PUBLISH retain q0 t/2 two"]
        );
        // To those who are there it is a message like any other.
        retain(&mut bench, client, "t/1", "live");
        assert_eq!(bench.take(late), ["PUBLISH q0 t/1 live"]);
        retain(&mut bench, client, "t/1", "");
        assert_eq!(bench.take(late), ["PUBLISH q0 t/1 "]);
        assert_eq!(bench.subscribe(late, "t/1", 1), ["SUBACK #900 0x01"]);
        assert_eq!(bench.broker.retained(), 2);
    }
}

#[test]
fn retained_messages_are_bounded() {
    let config = BrokerConfig { max_retained: 1, max_retained_bytes: 200, ..BrokerConfig::default() };
    let mut bench = Bench::with(config);
    let client = bench.join(Version::V5, "a");
    bench.subscribe(client, "#", 0);
    retain(&mut bench, client, "one", "1");
    for (n, (topic, payload)) in [("two", "2".to_owned()), ("one", "x".repeat(200))].iter().enumerate() {
        let number = 10 + u16::try_from(n).unwrap();
        let packet = Publish { retain: true, ..publish(topic, 1, number, payload) };
        bench.take(client);
        bench.send(client.conn, &packet, Version::V5);
        assert_eq!(bench.take(client), [format!("PUBACK #{number} 0x97")]);
    }
    // What cannot be refused is delivered, but not kept.
    retain(&mut bench, client, "two", "2");
    assert_eq!(bench.take(client), ["PUBLISH q0 two 2"]);
    assert_eq!(bench.broker.retained(), 1);
    retain(&mut bench, client, "one", "replaced");
    assert_eq!(bench.broker.retained(), 1);
}

#[test]
fn retain_handling_decides_what_a_subscription_is_sent() {
    let options = |retain_handling| SubscriptionOptions {
        retain_handling,
        ..SubscriptionOptions::new(Qos::AtMostOnce)
    };
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    retain(&mut bench, client, "t", "kept");
    let kept = "PUBLISH retain q0 t kept";
    let suback = "SUBACK #900 0x00";
    let never = options(RetainHandling::DoNotSend);
    let new = options(RetainHandling::SendIfNew);
    let always = options(RetainHandling::Send);
    assert_eq!(bench.subscribe_with(client, "t", never, &[]), [suback]);
    assert_eq!(bench.subscribe_with(client, "t", new, &[]), [suback]);
    assert_eq!(bench.subscribe_with(client, "t", always, &[]), [suback, kept]);
    assert_eq!(bench.subscribe_with(client, "+", new, &[]), [suback, kept]);
}

#[test]
fn retain_as_published_keeps_the_flag() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    let options = SubscriptionOptions { retain_as_published: true, ..SubscriptionOptions::default() };
    bench.subscribe_with(client, "t", options, &[]);
    retain(&mut bench, client, "t", "x");
    bench.publish(client, "t", 0, 0, "y");
    assert_eq!(bench.take(client), ["PUBLISH retain q0 t x", "PUBLISH q0 t y"]);
}

#[test]
fn no_local_spares_the_sender_its_own_messages() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    let other = bench.join(Version::V5, "b");
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::default() };
    bench.subscribe_with(client, "t", options, &[]);
    bench.publish(client, "t", 0, 0, "own");
    bench.publish(other, "t", 0, 0, "other");
    assert_eq!(bench.take(client), ["PUBLISH q0 t other"]);
}

#[test]
fn overlapping_subscriptions_give_one_copy_with_all_identifiers() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    let at = |qos| SubscriptionOptions::new(qos);
    bench.subscribe_with(client, "t/+", at(Qos::AtMostOnce), &[Property::SubscriptionIdentifier(7)]);
    bench.subscribe_with(client, "t/1", at(Qos::AtLeastOnce), &[Property::SubscriptionIdentifier(9)]);
    bench.subscribe_with(client, "#", at(Qos::AtMostOnce), &[]);
    bench.publish(client, "t/1", 2, 5, "x");
    assert_eq!(
        bench.take(client),
        ["PUBLISH q1 #1 t/1 x SubscriptionIdentifier(9) SubscriptionIdentifier(7)", "PUBREC #5 0x00"]
    );
    // A new SUBSCRIBE replaces the identifier with the subscription.
    bench.subscribe_with(client, "t/1", at(Qos::AtMostOnce), &[]);
    bench.publish(client, "t/1", 0, 0, "y");
    assert_eq!(bench.take(client), ["PUBLISH q0 t/1 y SubscriptionIdentifier(7)"]);
}

#[test]
fn a_retained_message_carries_the_identifier_of_its_subscription() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    retain(&mut bench, client, "t", "x");
    let options = SubscriptionOptions::default();
    let answer = bench.subscribe_with(client, "t", options, &[Property::SubscriptionIdentifier(3)]);
    assert_eq!(answer[1..], ["PUBLISH retain q0 t x SubscriptionIdentifier(3)"]);
}

#[test]
fn members_of_a_shared_subscription_take_turns() {
    let mut bench = Bench::new();
    let sender = bench.join(Version::V5, "sender");
    let members: Vec<Client> = ["a", "b", "c"].map(|name| bench.join(Version::V5, name)).into();
    for member in &members {
        assert_eq!(bench.subscribe(*member, "$share/g/t/+", 1), ["SUBACK #900 0x01"]);
    }
    bench.subscribe(members[0], "$share/h/t/+", 0);
    for n in 1..=6 {
        bench.publish(sender, "t/x", 0, 0, &n.to_string());
    }
    let got: Vec<Vec<String>> = members.iter().map(|member| bench.take(*member)).collect();
    assert_eq!(got[1], ["PUBLISH q0 t/x 2", "PUBLISH q0 t/x 5"]);
    assert_eq!(got[2], ["PUBLISH q0 t/x 3", "PUBLISH q0 t/x 6"]);
    // Both groups' turns, and not one message merged into the other.
    assert_eq!(got[0].len(), 8);
    // Retained messages are not for shared subscriptions.
    retain(&mut bench, sender, "t/r", "kept");
    for member in &members {
        bench.take(*member);
    }
    assert_eq!(bench.subscribe(members[1], "$share/g/t/+", 1), ["SUBACK #900 0x01"]);
}

#[test]
fn a_shared_message_goes_to_somebody_who_is_there() {
    let mut bench = Bench::new();
    let sender = bench.join(Version::V5, "sender");
    let away = bench.join_kept(Version::V5, "away");
    let here = bench.join(Version::V5, "here");
    bench.subscribe(away, "$share/g/t", 1);
    bench.subscribe(here, "$share/g/t", 1);
    bench.cut(away);
    for n in 1..=3 {
        bench.publish(sender, "t", 1, n, "x");
    }
    assert_eq!(bench.take(here).len(), 3);
    // If nobody is there it waits for one of them.
    bench.cut(here);
    bench.publish(sender, "t", 1, 9, "later");
    bench.take(sender);
    let conn = bench.open();
    let connect = mqtt_proto::Connect { clean_start: false, ..mqtt_proto::Connect::new(Version::V5, "away") };
    bench.send(conn, &connect, Version::V5);
    assert_eq!(bench.take(Client { conn, version: Version::V5 })[1..], ["PUBLISH q1 #1 t later"]);
}

#[test]
fn no_local_on_a_shared_subscription_is_a_protocol_error() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    // The codec does not write such a packet, so it is spelled out.
    bench.bytes(client.conn, b"\x82\x10\x00\x01\x00\x00\x0a$share/g/t\x04");
    assert_eq!(bench.take(client), ["DISCONNECT 0x82"]);
}

#[test]
fn what_is_not_available_is_refused_filter_by_filter() {
    let config = BrokerConfig {
        wildcard_available: false,
        shared_available: false,
        subscription_identifiers_available: false,
        max_subscriptions: 1,
        ..BrokerConfig::default()
    };
    let mut bench = Bench::with(config);
    let client = bench.join(Version::V5, "a");
    let filters = ["ok", "a/+", "$share/g/t", "one-too-many"].map(|filter| Subscription {
        filter: TopicFilter::new(filter).unwrap(),
        options: SubscriptionOptions::new(Qos::AtLeastOnce),
    });
    let mut packet = Subscribe {
        packet_id: id(1),
        properties: Properties::EMPTY,
        filters: Subscriptions::from(&filters[..]),
    };
    bench.send(client.conn, &packet, Version::V5);
    assert_eq!(bench.take(client), ["SUBACK #1 0x01 0xa2 0x9e 0x97"]);
    let identifier = [Property::SubscriptionIdentifier(1)];
    packet.properties = Properties::List(&identifier);
    bench.send(client.conn, &packet, Version::V5);
    assert_eq!(bench.take(client), ["SUBACK #1 0xa1 0xa1 0xa1 0xa1"]);
    let old = bench.join(Version::V3_1_1, "b");
    packet.properties = Properties::EMPTY;
    bench.send(old.conn, &packet, Version::V3_1_1);
    assert_eq!(bench.take(old), ["SUBACK #1 0x01 0x80 0x80 0x80"]);
}

#[test]
fn unsubscribe_ends_what_there_was_and_says_so() {
    for version in VERSIONS {
        let mut bench = Bench::new();
        let client = bench.join(version, "a");
        bench.subscribe(client, "t", 0);
        bench.subscribe(client, "t/#", 0);
        let filters = ["t", "t/#", "never"].map(|filter| TopicFilter::new(filter).unwrap());
        let packet = Unsubscribe {
            packet_id: id(8),
            properties: Properties::EMPTY,
            filters: TopicFilters::from(&filters[..]),
        };
        bench.send(client.conn, &packet, version);
        let codes = if version == Version::V5 { " 0x00 0x00 0x11" } else { "" };
        assert_eq!(bench.take(client), [format!("UNSUBACK #8{codes}")]);
        bench.publish(client, "t", 0, 0, "x");
        assert!(bench.take(client).is_empty());
    }
}

#[test]
fn expiry_runs_while_a_message_waits() {
    let mut bench = Bench::new();
    let client = bench.join_kept(Version::V5, "a");
    bench.subscribe(client, "#", 1);
    bench.cut(client);
    let sender = bench
        .connect(&mqtt_proto::Connect { keep_alive: 0, ..mqtt_proto::Connect::new(Version::V5, "sender") });
    for (topic, seconds) in [("short", 5), ("long", 60)] {
        let expiry = [Property::MessageExpiryInterval(seconds)];
        let packet =
            Publish { retain: true, properties: Properties::List(&expiry), ..publish(topic, 1, 1, "x") };
        bench.send(sender.conn, &packet, Version::V5);
    }
    bench.after(Duration::from_millis(10_500));
    let conn = bench.open();
    let connect = mqtt_proto::Connect { clean_start: false, ..mqtt_proto::Connect::new(Version::V5, "a") };
    bench.send(conn, &connect, Version::V5);
    let client = Client { conn, version: Version::V5 };
    assert_eq!(bench.take(client)[1..], ["PUBLISH q1 #1 long x MessageExpiryInterval(50)"]);
    // The retained ones alike.
    let late = bench.join(Version::V5, "late");
    assert_eq!(bench.subscribe(late, "#", 1)[1..], ["PUBLISH retain q1 #1 long x MessageExpiryInterval(50)"]);
    assert_eq!(bench.broker.retained(), 1);
}

#[test]
fn properties_travel_on_unaltered_and_those_of_one_hop_do_not() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    let old = bench.join(Version::V3_1_1, "b");
    bench.subscribe(client, "t", 0);
    bench.subscribe(old, "t", 0);
    let properties = [
        Property::UserProperty("k", "2"),
        Property::TopicAlias(3),
        Property::PayloadFormatIndicator(true),
        Property::UserProperty("k", "1"),
        Property::ContentType("text"),
        Property::ResponseTopic("re"),
        Property::CorrelationData(b"id"),
    ];
    let packet = Publish { properties: Properties::List(&properties), ..publish("t", 0, 0, "x") };
    bench.send(client.conn, &packet, Version::V5);
    assert_eq!(
        bench.take(client),
        [
            "PUBLISH q0 t x UserProperty(\"k\", \"2\") PayloadFormatIndicator(true) UserProperty(\"k\", \"1\") \
          ContentType(\"text\") ResponseTopic(\"re\") CorrelationData([105, 100])"
        ]
    );
    assert_eq!(bench.take(old), ["PUBLISH q0 t x"]);
}

#[test]
fn the_broker_itself_can_publish() {
    let mut bench = Bench::new();
    let client = bench.join(Version::V5, "a");
    bench.subscribe(client, "t", 2);
    bench.broker.publish(TopicName::new("t").unwrap(), b"hi", Qos::ExactlyOnce, true, bench.now);
    assert_eq!(bench.broker.poll_active(), Some(client.conn));
    assert_eq!(bench.take(client), ["PUBLISH q2 #1 t hi"]);
    assert_eq!(bench.broker.retained(), 1);
    assert_eq!(ReasonCode::Success as u8, 0);
}
