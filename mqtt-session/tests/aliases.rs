//! Topic aliases (5.0): used by the session as far as both sides allow, resolved where the server uses them.

use crate::common;

use common::{Seen, Trace, id};
use mqtt_session::proto::{
    EncodeError, Packet, Peer, Properties, Property, PropertyId, Puback, Publish, Pubrec, Qos, ReasonCode,
    TopicName, Version,
};
use mqtt_session::{AckMode, Event, Message, PublishError, Storage, Topic, Why};

/// A PUBLISH as it is on the wire: topic (empty: none), alias, and the rest of no interest here.
fn publish<'a>(topic: &'a str, properties: &'a [Property<'a>], payload: &'a [u8]) -> Publish<'a> {
    Publish {
        topic: TopicName::new(topic).ok(),
        properties: Properties::List(properties),
        ..Publish::new(TopicName::new("any").unwrap(), payload)
    }
}

fn alias(number: u16) -> [Property<'static>; 1] {
    [Property::TopicAlias(number)]
}

fn allow<S: Storage>(t: &mut Trace<S>, maximum: u16) {
    t.connect_with(false, &[Property::TopicAliasMaximum(maximum)]);
}

/// What the next packet, a PUBLISH, says of its topic.
fn named<S: Storage>(t: &mut Trace<S>) -> (String, Option<u16>) {
    let frame = t.next_frame().expect("a PUBLISH");
    let Ok(Packet::Publish(publish)) = Packet::decode(&frame, Version::V5, Peer::Client) else {
        panic!("not a PUBLISH: {frame:02x?}");
    };
    (publish.topic.map_or("", TopicName::as_str).to_owned(), publish.properties.topic_alias())
}

fn says<S: Storage>(t: &mut Trace<S>, topic: &str, alias: Option<u16>) {
    assert_eq!(named(t), (topic.to_owned(), alias));
}

// ---- outgoing ----------------------------------------------------------------------------------

// [5.0 MQTT-3.3.2-9], [5.0 MQTT-3.2.2-17]
scenario!(a_topic_is_said_once_and_then_by_its_alias, |t| {
    allow(t, 10);
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
        t.publish("room/light", qos, b"x");
        t.publish("room/heating", qos, b"x");
    }
    says(t, "room/light", Some(1));
    says(t, "room/heating", Some(2));
    for _ in 0..2 {
        says(t, "", Some(1));
        says(t, "", Some(2));
    }
    t.expect_silence();
});

scenario!(an_alias_goes_with_the_other_properties_of_a_message, |t| {
    allow(t, 10);
    let properties = [Property::ContentType("text/plain"), Property::UserProperty("a", "b")];
    let message =
        Message::new(TopicName::new("room/light").unwrap()).properties(Properties::List(&properties));
    for message in [message, message.qos(Qos::AtLeastOnce)] {
        t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    }
    let all = [Property::TopicAlias(1), properties[0], properties[1]];
    t.expect(publish("room/light", &all, b"x"));
    let second = Publish { qos: Qos::AtLeastOnce, packet_id: Some(id(1)), ..publish("", &all, b"x") };
    t.expect(second);
});

// [5.0 MQTT-3.2.2-18]
scenario!(no_alias_is_sent_where_the_server_takes_none, |t| {
    t.connect();
    for _ in 0..3 {
        t.publish("room/light", Qos::AtMostOnce, b"x");
        says(t, "room/light", None);
    }
});

scenario!(no_alias_is_sent_where_the_own_cap_is_0, [Version::V5], |c| { c.max_topic_aliases = 0 }, |t| {
    allow(t, 10);
    for _ in 0..3 {
        t.publish("room/light", Qos::AtMostOnce, b"x");
        says(t, "room/light", None);
    }
});

// [5.0 MQTT-3.2.2-17]
scenario!(the_alias_used_longest_ago_is_given_to_another_topic, |t| {
    allow(t, 2);
    for (topic, said) in [
        ("topic/a", ("topic/a", 1)),
        ("topic/b", ("topic/b", 2)),
        ("topic/a", ("", 1)),
        ("topic/c", ("topic/c", 2)),
        ("topic/a", ("", 1)),
        ("topic/b", ("topic/b", 2)),
        ("topic/c", ("topic/c", 1)),
    ] {
        t.publish(topic, Qos::AtMostOnce, b"x");
        says(t, said.0, Some(said.1));
    }
});

scenario!(
    the_own_cap_holds_where_the_server_takes_more,
    [Version::V5],
    |c| { c.max_topic_aliases = 1 },
    |t| {
        allow(t, 65_535);
        t.publish("topic/a", Qos::AtMostOnce, b"x");
        says(t, "topic/a", Some(1));
        t.publish("topic/b", Qos::AtMostOnce, b"x");
        says(t, "topic/b", Some(1));
    }
);

scenario!(a_topic_shorter_than_an_alias_is_said_as_it_is, |t| {
    allow(t, 10);
    for _ in 0..2 {
        t.publish("abc", Qos::AtMostOnce, b"x");
        says(t, "abc", None);
    }
    t.publish("abcd", Qos::AtMostOnce, b"x");
    says(t, "abcd", Some(1));
});

// An alias table kept over a reconnect names the wrong topic, or none. [5.0 MQTT-3.3.2-7], [M5]
scenario!(m05_an_alias_table_is_not_kept_over_a_reconnect, |t| {
    t.options.clean_start = false;
    for round in 0..3 {
        if round == 1 {
            // This server takes none at all.
            t.connect_with(true, &[]);
            t.publish("room/light", Qos::AtMostOnce, b"x");
            says(t, "room/light", None);
        } else {
            t.connect_with(round != 0, &[Property::TopicAliasMaximum(3)]);
            t.publish("room/heating", Qos::AtMostOnce, b"x");
            says(t, "room/heating", Some(1));
            t.publish("room/light", Qos::AtMostOnce, b"x");
            says(t, "room/light", Some(2));
            t.publish("room/light", Qos::AtMostOnce, b"x");
            says(t, "", Some(2));
        }
        t.cut();
    }
});

// A resend with an alias only means nothing to a server that was never told it. [5.0 MQTT-3.3.2-7]
scenario!(a_resend_says_the_full_topic_and_no_alias, |t| {
    t.options.clean_start = false;
    t.options.session_expiry = 100;
    allow(t, 10);
    for payload in [b"1", b"2"] {
        t.publish("room/light", Qos::AtLeastOnce, payload);
    }
    says(t, "room/light", Some(1));
    says(t, "", Some(1));
    t.cut();
    t.connect_with(true, &[Property::TopicAliasMaximum(10)]);
    for (number, payload) in [(1, b"1"), (2, b"2")] {
        t.expect(Publish {
            dup: true,
            qos: Qos::AtLeastOnce,
            packet_id: Some(id(number)),
            ..publish("room/light", &[], payload)
        });
    }
    // What is new on this connection uses aliases again.
    t.publish("room/light", Qos::AtLeastOnce, b"3");
    says(t, "room/light", Some(1));
});

scenario!(a_packet_taken_back_unsent_leaves_no_alias_behind, |t| {
    t.options.clean_start = false;
    allow(t, 10);
    t.writable = false;
    t.publish("room/light", Qos::AtLeastOnce, b"1");
    t.publish("room/light", Qos::AtLeastOnce, b"2");
    t.drain();
    // Handed out, and not a byte of it taken.
    assert!(!t.session.outgoing(t.now).is_empty());
    t.cut();
    t.writable = true;
    t.connect_with(true, &[Property::TopicAliasMaximum(10)]);
    says(t, "room/light", Some(1));
    says(t, "", Some(1));
});

// A message that was published again on a lost session is a new one.
scenario!(a_message_published_again_says_its_topic_in_full, |t| {
    t.options.clean_start = false;
    allow(t, 10);
    t.publish("room/light", Qos::AtLeastOnce, b"1");
    says(t, "room/light", Some(1));
    t.cut();
    allow(t, 10);
    says(t, "room/light", Some(1));
});

// [5.0 MQTT-3.1.2-24]
scenario!(a_new_alias_does_not_take_a_packet_over_the_servers_limit, |t| {
    // Fixed header 2, topic 2 + 10, property length 1, payload 5: 20 bytes in all.
    let limits = [Property::TopicAliasMaximum(10), Property::MaximumPacketSize(20)];
    t.connect_with(false, &limits);
    for qos in [Qos::AtMostOnce, Qos::AtMostOnce] {
        t.publish("room/light", qos, b"12345");
        says(t, "room/light", None);
    }
});

scenario!(
    aliases_never_take_room_that_an_operation_could_have,
    [Version::V5],
    |c| { c.queue_bytes = 200 },
    |t| {
        allow(t, 10);
        for name in ["name/of/a/topic/a", "name/of/a/topic/b", "name/of/a/topic/c", "name/of/a/topic/d"] {
            t.publish(name, Qos::AtMostOnce, b"x");
            says(t, name, Some(name.bytes().last().map_or(0, |last| u16::from(last - b'a' + 1))));
        }
        assert_eq!(t.session.stats().bytes_kept, 0);
        // All the bytes there are: 8, the topic's 5 and 187 more.
        t.writable = false;
        t.publish("topic", Qos::AtLeastOnce, &[b'x'; 187]);
        t.writable = true;
        says(t, "topic", None);
        t.send(Puback::new(id(1)));
        // The aliases made room for it; the room is theirs again.
        t.publish("name/of/a/topic/d", Qos::AtMostOnce, b"x");
        let (topic, alias) = named(t);
        assert_eq!((topic.as_str(), alias.is_some()), ("name/of/a/topic/d", true));
    }
);

// [M5]
scenario!(m05_an_alias_of_the_application_is_refused, |t| {
    for connected in [false, true] {
        if connected {
            allow(t, 10);
        }
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
            let properties = alias(3);
            let message = Message::new(TopicName::new("room/light").unwrap())
                .qos(qos)
                .properties(Properties::List(&properties));
            let refused = t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason);
            let error = EncodeError::PropertyNotAllowed(PropertyId::TopicAlias);
            assert_eq!(refused, Err(PublishError::Invalid(error)));
        }
    }
});

scenario!(aliases_outlive_a_quiet_time, [Version::V5], |c| { c.topic_alias_maximum = 2 }, |t| {
    allow(t, 10);
    t.publish("room/light", Qos::AtMostOnce, b"x");
    says(t, "room/light", Some(1));
    t.send(publish("in/a", &alias(1), b"1"));
    see(t, "in/a", b"1");
    for _ in 0..10 {
        t.after(core::time::Duration::from_secs(5));
        t.session.handle_timeout(t.now);
    }
    t.publish("room/light", Qos::AtMostOnce, b"x");
    says(t, "", Some(1));
    t.publish("room/heating", Qos::AtLeastOnce, b"x");
    says(t, "room/heating", Some(2));
    t.send(publish("", &alias(1), b"2"));
    see(t, "in/a", b"2");
});

#[test]
fn a_large_lent_payload_goes_with_an_alias() {
    let mut t = Trace::new(mqtt_session::HeapSession::new(mqtt_session::Config::new(1)), usize::MAX);
    allow(&mut t, 10);
    let payload = vec![3; 100_000];
    t.publish("room/picture", Qos::AtLeastOnce, &payload);
    t.publish("room/picture", Qos::AtLeastOnce, &payload);
    says(&mut t, "room/picture", Some(1));
    says(&mut t, "", Some(1));
}

// ---- inbound -----------------------------------------------------------------------------------

fn see<S: Storage>(t: &mut Trace<S>, topic: &str, payload: &[u8]) {
    match t.event() {
        Seen::Message { topic: name, payload: content, .. } => {
            assert_eq!((name.as_str(), content.as_slice()), (topic, payload));
        }
        other => panic!("expected a message, got {other:?}"),
    }
}

scenario!(connect_announces_no_aliases_unless_asked_to, |t| {
    let frame = t.open();
    let Ok(Packet::Connect(connect)) = Packet::decode(&frame, Version::V5, Peer::Client) else { panic!() };
    assert_eq!(connect.properties.topic_alias_maximum(), None);
});

// [5.0 MQTT-3.3.2-10]
scenario!(
    every_alias_up_to_the_announced_maximum_is_taken,
    [Version::V5],
    |c| { c.topic_alias_maximum = 8 },
    |t| {
        let frame = t.open();
        let Ok(Packet::Connect(connect)) = Packet::decode(&frame, Version::V5, Peer::Client) else {
            panic!()
        };
        assert_eq!(connect.properties.topic_alias_maximum(), Some(8));
        t.connect_accepted();
        t.events();
        for number in (1..=8).rev() {
            t.send(publish(&format!("in/{number}"), &alias(number), b"first"));
            see(t, &format!("in/{number}"), b"first");
        }
        for number in 1..=8 {
            t.send(publish("", &alias(number), b"then"));
            see(t, &format!("in/{number}"), b"then");
        }
    }
);

// [5.0 MQTT-3.3.2-7], [U-16]
scenario!(
    alias_only_messages_never_reach_the_user_with_an_empty_topic,
    [Version::V5],
    |c| {
        c.topic_alias_maximum = 4;
        c.ack_mode = AckMode::Manual;
    },
    |t| {
        t.options.clean_start = false;
        t.connect();
        t.send(publish("in/light", &alias(1), b"1"));
        see(t, "in/light", b"1");
        for (number, qos) in [Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter().enumerate() {
            let packet_id = Some(id(number as u16 + 1));
            t.send(Publish { qos, packet_id, ..publish("", &alias(1), b"2") });
            see(t, "in/light", b"2");
        }
        t.cut();
        // On the next connection the number means nothing.
        t.resume();
        t.events();
        t.send(publish("", &alias(1), b"3"));
        t.see_nothing();
        let why = t.refuses(ReasonCode::ProtocolError);
        assert_eq!(why, Why::Protocol(ReasonCode::ProtocolError, "U-16"));
    }
);

scenario!(an_alias_may_be_given_to_another_topic, [Version::V5], |c| { c.topic_alias_maximum = 2 }, |t| {
    t.connect();
    for topic in ["in/a", "in/a", "in/longer", "in/b"] {
        t.send(publish(topic, &alias(2), b"1"));
        see(t, topic, b"1");
        t.send(publish("", &alias(2), b"2"));
        see(t, topic, b"2");
    }
});

// A duplicate is not delivered, and what it says of an alias counts.
scenario!(an_alias_told_by_a_duplicate_is_known, [Version::V5], |c| { c.topic_alias_maximum = 2 }, |t| {
    t.options.clean_start = false;
    t.connect();
    let message = Publish { qos: Qos::ExactlyOnce, packet_id: Some(id(9)), ..publish("in/a", &[], b"1") };
    t.send(message);
    see(t, "in/a", b"1");
    t.cut();
    t.resume();
    t.events();
    let given = alias(2);
    t.send(Publish { dup: true, properties: Properties::List(&given), ..message });
    t.see_nothing();
    t.expect(Pubrec::new(id(9)));
    t.send(publish("", &alias(2), b"2"));
    see(t, "in/a", b"2");
});

// [5.0 MQTT-3.1.2-26], [5.0 MQTT-3.1.2-27], [5.0 MQTT-3.3.2-11], [M5]
scenario!(
    m05_an_alias_above_the_maximum_ends_the_connection,
    [Version::V5],
    |c| { c.topic_alias_maximum = 2 },
    |t| {
        for number in [3, 65_535] {
            for topic in ["in/a", ""] {
                t.connect();
                t.send(publish(topic, &alias(number), b"x"));
                t.see_nothing();
                let why = t.refuses(ReasonCode::TopicAliasInvalid);
                assert_eq!(why, Why::Protocol(ReasonCode::TopicAliasInvalid, "MQTT-3.1.2-26"));
            }
        }
    }
);

// [5.0 MQTT-3.3.2-8]
scenario!(an_alias_of_0_ends_the_connection, [Version::V5], |c| { c.topic_alias_maximum = 2 }, |t| {
    t.connect();
    t.send_bytes(b"\x30\x09\x00\x02in\x03\x23\x00\x00x");
    t.see_nothing();
    t.refuses(ReasonCode::ProtocolError);
});

scenario!(
    topics_over_the_room_set_aside_end_the_connection_and_the_next_one_allows_none,
    [Version::V5],
    |c| {
        c.topic_alias_maximum = 4;
        c.topic_alias_bytes = 40;
    },
    |t| {
        t.connect();
        // 8 and 12 bytes each.
        for (number, topic) in [(1, "in/topic/one"), (2, "in/topic/two"), (2, "in/topic/six")] {
            t.send(publish(topic, &alias(number), b"x"));
            see(t, topic, b"x");
        }
        t.send(publish("in/three", &alias(3), b"x"));
        t.see_nothing();
        assert_eq!(t.refuses(ReasonCode::QuotaExceeded), Why::AliasesTooLong);
        let frame = t.open();
        let Ok(Packet::Connect(connect)) = Packet::decode(&frame, Version::V5, Peer::Client) else {
            panic!()
        };
        assert_eq!(connect.properties.topic_alias_maximum(), None);
    }
);

scenario!(
    a_full_queue_leaves_the_room_that_is_set_aside,
    [Version::V5],
    |c| {
        c.topic_alias_maximum = 4;
        c.topic_alias_bytes = 500;
    },
    |t| {
        t.connect();
        t.writable = false;
        let message = Message::new(TopicName::new("out").unwrap()).qos(Qos::AtLeastOnce);
        while t.session.publish(&message, [b'x'; 300][..].into()).is_ok() {}
        while t.session.publish(&message, [b'x'; 3][..].into()).is_ok() {}
        let long = "in/".repeat(40);
        for number in 1..=3 {
            let topic = format!("{long}{number}");
            t.send(publish(&topic, &alias(number), b"x"));
            see(t, &topic, b"x");
        }
        for number in 1..=3 {
            t.send(publish("", &alias(number), b"y"));
            see(t, &format!("{long}{number}"), b"y");
        }
    }
);

/// An event that is held while the server gives its alias to another topic is not taken for that one's.
#[test]
fn a_topic_that_is_asked_for_too_late_is_never_another_one() {
    let mut config = common::config();
    config.topic_alias_maximum = 2;
    let mut t = Trace::heap(config, usize::MAX);
    t.connect();
    let mut bytes = Vec::new();
    for packet in
        [publish("in/a", &alias(1), b"1"), publish("", &alias(1), b"2"), publish("in/b", &alias(1), b"3")]
    {
        use mqtt_session::proto::Encode;
        let mut frame = [0; 64];
        let len = packet.encode(Version::V5, &mut frame).unwrap();
        bytes.extend_from_slice(&frame[..len]);
    }
    let mut input = &bytes[..];
    let mut held = Vec::new();
    while let Some(event) = t.session.receive(&mut input, t.now) {
        let Event::Message(message) = event else { panic!() };
        if message.payload == b"2" {
            assert_eq!(t.session.topic(&message), "in/a");
            assert!(matches!(message.topic, Topic::Alias(alias) if alias.number() == 1));
        }
        held.push(message);
    }
    let topics: Vec<&str> = held.iter().map(|message| t.session.topic(message)).collect();
    assert_eq!(topics, ["in/a", "", "in/b"]);
}

/// An event that is held while the server says the same of its alias again keeps its topic.
#[test]
fn a_topic_that_is_said_again_stays_the_one_it_was() {
    let mut config = common::config();
    config.topic_alias_maximum = 3;
    let mut t = Trace::heap(config, usize::MAX);
    t.connect();
    let mut bytes = Vec::new();
    for packet in
        [publish("in/a", &alias(3), b"1"), publish("", &alias(3), b"2"), publish("in/a", &alias(3), b"3")]
    {
        use mqtt_session::proto::Encode;
        let mut frame = [0; 64];
        let len = packet.encode(Version::V5, &mut frame).unwrap();
        bytes.extend_from_slice(&frame[..len]);
    }
    let mut input = &bytes[..];
    let mut held = Vec::new();
    while let Some(Event::Message(message)) = t.session.receive(&mut input, t.now) {
        held.push(message);
    }
    assert!(matches!(held[1].topic, Topic::Alias(alias) if alias.number() == 3));
    let topics: Vec<&str> = held.iter().map(|message| t.session.topic(message)).collect();
    assert_eq!(topics, ["in/a"; 3]);
}

// [5.0 MQTT-3.1.2-27]
scenario!(an_alias_where_none_is_allowed_ends_the_connection, |t| {
    t.connect();
    t.send(publish("in/a", &alias(1), b"x"));
    t.see_nothing();
    let why = t.refuses(ReasonCode::TopicAliasInvalid);
    assert_eq!(why, Why::Protocol(ReasonCode::TopicAliasInvalid, "MQTT-3.1.2-27"));
});

// However long it is, and however little memory was taken until then.
scenario!(
    a_long_topic_has_an_alias_too,
    [Version::V5],
    |c| {
        c.topic_alias_maximum = 3;
        c.topic_alias_bytes = 1_000;
    },
    |t| {
        t.connect();
        for (number, len) in [(1, 300), (2, 280), (3, 130), (1, 200)] {
            let topic = "t".repeat(len);
            t.send(publish(&topic, &alias(number), b"x"));
            see(t, &topic, b"x");
            t.send(publish("", &alias(number), b"y"));
            see(t, &topic, b"y");
        }
    }
);
