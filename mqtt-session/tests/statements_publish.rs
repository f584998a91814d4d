//! Statements of the standards about messages, both ways.

use crate::common;

use core::time::Duration;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Packet, Peer, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode,
    ReasonCodes, Suback, Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{AckMode, Closed, Message, Stop, Storage, Token};

fn outbound(qos: Qos, packet_id: u16, payload: &'static [u8]) -> Publish<'static> {
    Publish {
        qos,
        packet_id: (qos != Qos::AtMostOnce).then(|| id(packet_id)),
        ..Publish::new(TopicName::new("a").unwrap(), payload)
    }
}

fn again(publish: Publish<'static>) -> Publish<'static> {
    Publish { dup: true, ..publish }
}

/// The payloads of the messages that arrived, in order; nothing else happened.
fn messages<S: Storage>(t: &mut Trace<S>) -> Vec<Vec<u8>> {
    let payload = |seen| match seen {
        Seen::Message { payload, .. } => payload,
        other => panic!("{other:?}"),
    };
    t.events().into_iter().map(payload).collect()
}

fn subscribe<S: Storage>(t: &mut Trace<S>, filter: &str) -> Token {
    let options = SubscriptionOptions::new(Qos::ExactlyOnce);
    let list = [Subscription { filter: TopicFilter::new(filter).unwrap(), options }];
    t.session.subscribe(&list, Properties::EMPTY).unwrap()
}

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Open {
    Qos1,
    Qos2,
    Subscribe,
    Unsubscribe,
}

/// The packet that was sent: what it opens, if anything, and its identifier.
fn sent<S: Storage>(t: &mut Trace<S>) -> Option<(Option<Open>, u16)> {
    let frame = t.next_frame()?;
    Some(match Packet::decode(&frame, t.version(), Peer::Client).unwrap() {
        Packet::Publish(packet) if packet.qos == Qos::AtLeastOnce => {
            (Some(Open::Qos1), packet.packet_id.unwrap().get())
        }
        Packet::Publish(packet) => (Some(Open::Qos2), packet.packet_id.unwrap().get()),
        Packet::Subscribe(packet) => (Some(Open::Subscribe), packet.packet_id.get()),
        Packet::Unsubscribe(packet) => (Some(Open::Unsubscribe), packet.packet_id.get()),
        Packet::Pubrel(packet) => (None, packet.packet_id.get()),
        other => panic!("{other:?}"),
    })
}

/// Takes what was sent; none of it has the identifier of another that is open.
fn hand_out<S: Storage>(t: &mut Trace<S>, open: &mut Vec<(Open, u16)>) {
    while let Some((Some(kind), value)) = sent(t) {
        assert!((1..=6).contains(&value), "{value}");
        assert!(open.iter().all(|(_, other)| *other != value), "{value} is in use: {open:?}");
        open.push((kind, value));
    }
}

/// The server answers what is open under this identifier; `refuse`: with a refusal where there is one.
fn answer<S: Storage>(t: &mut Trace<S>, open: Open, value: u16, refuse: bool) {
    let v5 = t.version() == Version::V5;
    match open {
        Open::Qos1 => t.send(Puback::new(id(value))),
        Open::Qos2 if refuse && v5 => {
            t.send(Pubrec::with(id(value), ReasonCode::QuotaExceeded, Properties::EMPTY));
        }
        Open::Qos2 => {
            t.send(Pubrec::new(id(value)));
            assert_eq!(sent(t), Some((None, value)));
            t.send(Pubcomp::new(id(value)));
        }
        Open::Subscribe => {
            let codes = [if refuse { ReasonCode::UnspecifiedError } else { ReasonCode::GrantedQos1 }];
            let codes = ReasonCodes::from(&codes[..]);
            t.send(Suback { packet_id: id(value), properties: Properties::EMPTY, codes });
        }
        Open::Unsubscribe if v5 => t.send_bytes(&[0xB0, 4, 0, value as u8, 0, 0]),
        Open::Unsubscribe => t.send_bytes(&[0xB0, 2, 0, value as u8]),
    }
}

// [3.1.1 MQTT-2.3.1-2], [5.0 MQTT-2.2.1-3], [5.0 MQTT-4.3.2-1], [5.0 MQTT-4.3.3-1], [3.1.1 MQTT-4.3.2-1],
// [3.1.1 MQTT-4.3.3-1], [S8], [S9]
scenario!(
    no_two_open_exchanges_of_any_kind_share_an_identifier,
    VERSIONS,
    |c| {
        c.max_in_flight = 6;
        c.max_in_flight_qos2_v3 = 6;
        c.resubscribe = false;
    },
    |t| {
        t.connect();
        let mut open: Vec<(Open, u16)> = Vec::new();
        let mut random = 7u32;
        for round in 0..300u32 {
            if t.session.pending() < 10 {
                match round % 4 {
                    0 => drop(t.publish("a", Qos::AtLeastOnce, b"x")),
                    1 => drop(t.publish("a", Qos::ExactlyOnce, b"x")),
                    2 => drop(subscribe(t, "a")),
                    _ => drop(t.session.unsubscribe(&[TopicFilter::new("b").unwrap()], Properties::EMPTY)),
                }
            }
            random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            hand_out(t, &mut open);
            if open.len() > 4 || round > 280 && !open.is_empty() {
                // Answers come in any order.
                let (kind, value) = open.swap_remove(random as usize / 65_536 % open.len());
                answer(t, kind, value, random & 0x10_0000 != 0);
            }
            hand_out(t, &mut open);
            t.events();
            assert_eq!(t.session.stats().in_flight as usize, open.len());
        }
        while let Some((kind, value)) = open.pop() {
            answer(t, kind, value, false);
            hand_out(t, &mut open);
        }
        assert_eq!((t.session.pending(), t.session.stats().in_flight), (0, 0));
    }
);

// [3.1.1 MQTT-2.3.1-3], [3.1.1 MQTT-2.3.1-6], [5.0 MQTT-2.2.1-5], [5.0 MQTT-4.3.2-3], [5.0 MQTT-4.3.3-5]
scenario!(an_identifier_is_free_only_after_the_last_answer_and_kept_by_a_resend, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"1");
    t.publish("a", Qos::ExactlyOnce, b"2");
    t.expect(outbound(Qos::AtLeastOnce, 1, b"1"));
    t.expect(outbound(Qos::ExactlyOnce, 2, b"2"));
    t.after(Duration::from_secs(10));
    assert_eq!(t.session.stats().in_flight, 2);
    t.cut();
    assert_eq!(t.session.stats().in_flight, 2);
    t.resume();
    t.expect(again(outbound(Qos::AtLeastOnce, 1, b"1")));
    t.expect(again(outbound(Qos::ExactlyOnce, 2, b"2")));
    t.send(Pubrec::new(id(2)));
    t.expect(Pubrel::new(id(2)));
    assert_eq!(t.session.stats().in_flight, 2, "PUBREC frees nothing");
    t.cut();
    t.resume();
    t.expect(Pubrel::new(id(2)));
    t.expect(again(outbound(Qos::AtLeastOnce, 1, b"1")));
    t.send(Puback::new(id(1)));
    assert_eq!(t.session.stats().in_flight, 1);
    t.send(Pubcomp::new(id(2)));
    assert_eq!(t.session.stats().in_flight, 0);
});

// [3.1.1 MQTT-2.3.1-4], [5.0 MQTT-2.2.1-4]
scenario!(identifiers_of_the_two_directions_are_independent, VERSIONS, |t| {
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"out");
    t.expect(outbound(Qos::ExactlyOnce, 1, b"out"));
    t.send(outbound(Qos::ExactlyOnce, 1, b"in"));
    assert_eq!(messages(t), [b"in"]);
    t.expect(Pubrec::new(id(1)));
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    t.send(Pubrel::new(id(1)));
    t.expect(Pubcomp::new(id(1)));
    t.see_nothing();
    t.send(Pubcomp::new(id(1)));
    t.done(token, "Acked(Success)");
});

// [3.1.1 MQTT-4.4.0-1], [5.0 MQTT-4.4.0-1], [S12]
scenario!(nothing_is_ever_sent_again_on_the_same_connection, VERSIONS, |t| {
    t.options.keep_alive = 0;
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"1");
    t.publish("a", Qos::ExactlyOnce, b"2");
    t.publish("a", Qos::ExactlyOnce, b"3");
    for _ in 0..3 {
        t.next_frame();
    }
    t.send(Pubrec::new(id(3)));
    t.expect(Pubrel::new(id(3)));
    t.after(Duration::from_secs(1_000_000));
    t.expect_silence();
    assert_eq!(t.session.stats().resends, 0);
});

// [5.0 MQTT-4.4.0-2]
scenario!(what_the_server_refused_is_not_sent_again, |t| {
    t.options.clean_start = false;
    t.connect();
    t.publish("a", Qos::AtLeastOnce, b"1");
    t.publish("a", Qos::ExactlyOnce, b"2");
    t.drain();
    t.send(Puback::with(id(1), ReasonCode::NotAuthorized, Properties::EMPTY));
    t.send(Pubrec::with(id(2), ReasonCode::QuotaExceeded, Properties::EMPTY));
    t.cut();
    t.resume();
    t.expect_silence();
    assert_eq!(t.session.pending(), 0);
});

// [3.1.1 MQTT-3.3.5-2]
scenario!(a_server_that_closes_over_a_message_does_not_lose_it, [Version::V3_1_1], |t| {
    t.options.clean_start = false;
    t.connect();
    // Acknowledged although not authorised: nothing else can be known.
    let first = t.publish("a", Qos::AtLeastOnce, b"1");
    t.next_frame();
    t.send(Puback::new(id(1)));
    t.done(first, "Acked(Success)");
    // Or the connection is closed.
    let second = t.publish("a", Qos::AtLeastOnce, b"2");
    t.next_frame();
    t.close(Closed::Ended);
    t.resume();
    t.expect(again(outbound(Qos::AtLeastOnce, 2, b"2")));
    t.send(Puback::new(id(2)));
    assert!(t.events().iter().any(|seen| matches!(seen, Seen::Done { token, .. } if *token == second)));
});

// [5.0 MQTT-3.3.4-8], [5.0 MQTT-4.9.0-3], [5.0 MQTT-4.9.0-1], [5.0 MQTT-4.9.0-2]
scenario!(a_used_up_quota_holds_back_publishes_and_nothing_else, |t| {
    t.options.keep_alive = 10;
    t.connect_with(false, &[Property::ReceiveMaximum(1)]);
    t.publish("a", Qos::ExactlyOnce, b"1");
    t.expect(outbound(Qos::ExactlyOnce, 1, b"1"));
    // Behind it in the queue, a message at QoS 1 waits.
    t.publish("a", Qos::AtLeastOnce, b"2");
    t.expect_silence();
    t.send(outbound(Qos::AtLeastOnce, 5, b"in"));
    t.expect(Puback::new(id(5)));
    t.send(outbound(Qos::ExactlyOnce, 6, b"in"));
    t.expect(Pubrec::new(id(6)));
    t.send(Pubrel::new(id(6)));
    t.expect(Pubcomp::new(id(6)));
    t.after(Duration::from_secs(10));
    t.expect(mqtt_session::proto::Pingreq);
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    t.expect_silence();
    t.session.stop(Stop::now()).unwrap();
    assert_eq!(t.next_frame().unwrap()[0], 0xE0);
});

// [5.0 MQTT-3.3.4-8], [5.0 MQTT-4.9.0-3]
scenario!(a_subscribe_is_not_held_back_by_a_used_up_quota, |t| {
    t.connect_with(false, &[Property::ReceiveMaximum(1)]);
    t.publish("a", Qos::AtLeastOnce, b"1");
    t.expect(outbound(Qos::AtLeastOnce, 1, b"1"));
    t.publish("a", Qos::AtLeastOnce, b"2");
    t.publish("a", Qos::AtMostOnce, b"3");
    subscribe(t, "f");
    t.session.unsubscribe(&[TopicFilter::new("f").unwrap()], Properties::EMPTY).unwrap();
    let kinds: Vec<u8> = core::iter::from_fn(|| t.next_frame()).map(|frame| frame[0]).collect();
    assert_eq!(kinds, [0x82, 0xA2], "only PUBLISH waits");
});

// [5.0 MQTT-3.3.4-10]
scenario!(answers_are_taken_although_the_server_has_no_quota_left, |t| {
    t.connect();
    let message = t.publish("a", Qos::AtLeastOnce, b"1");
    let request = subscribe(t, "in");
    for value in 1..=common::IN as u16 {
        t.send(outbound(Qos::ExactlyOnce, value, b"x"));
    }
    t.events();
    t.send(Puback::new(id(1)));
    t.done(message, "Acked(Success)");
    answer(t, Open::Subscribe, 2, false);
    t.done(request, "Granted([GrantedQos1])");
});

// [3.1.1 MQTT-4.3.2-2], [5.0 MQTT-4.3.2-5], [3.1.1 MQTT-4.3.3-2], [5.0 MQTT-4.3.3-12]
scenario!(after_the_exchange_the_identifier_is_a_new_message_whatever_dup_says, VERSIONS, |t| {
    t.connect();
    for payload in [b"1", b"2"] {
        t.send(again(outbound(Qos::AtLeastOnce, 4, payload)));
        t.expect(Puback::new(id(4)));
    }
    assert_eq!(messages(t), [b"1", b"2"]);
    for payload in [b"3", b"4"] {
        t.send(again(outbound(Qos::ExactlyOnce, 4, payload)));
        t.expect(Pubrec::new(id(4)));
        t.send(Pubrel::new(id(4)));
        t.expect(Pubcomp::new(id(4)));
    }
    assert_eq!(messages(t), [b"3", b"4"]);
});

// [5.0 MQTT-4.3.3-13], [5.0 MQTT-4.3.3-7]
scenario!(an_exchange_is_completed_although_its_message_has_expired, VERSIONS, |t| {
    t.options.clean_start = false;
    t.options.keep_alive = 0;
    t.connect();
    let message =
        Message::new(TopicName::new("a").unwrap()).qos(Qos::ExactlyOnce).ttl(Duration::from_secs(5));
    let token = t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    t.expect(outbound(Qos::ExactlyOnce, 1, b"x"));
    t.after(Duration::from_secs(60));
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    t.after(Duration::from_secs(60));
    t.cut();
    t.resume();
    t.expect(Pubrel::new(id(1)));
    t.send(Pubcomp::new(id(1)));
    t.done(token, "Acked(Success)");
});

// [3.1.1 MQTT-4.6.0-3], [5.0 MQTT-4.6.0-3], [S14]
scenario!(
    pubrecs_leave_in_the_order_the_messages_came,
    VERSIONS,
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.connect();
        let mut tokens = Vec::new();
        for value in [5, 3, 4] {
            t.send(outbound(Qos::ExactlyOnce, value, b"x"));
            let Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
            tokens.push(ack);
        }
        for token in tokens.into_iter().rev() {
            t.expect_silence();
            t.session.acknowledge(token, ReasonCode::Success, Properties::EMPTY).unwrap();
        }
        for value in [5, 3, 4] {
            t.expect(Pubrec::new(id(value)));
        }
    }
);

// [3.1.1 MQTT-4.6.0-2], [5.0 MQTT-4.6.0-2], [3.1.1 MQTT-4.6.0-3], [5.0 MQTT-4.6.0-3], [3.1.1 MQTT-4.5.0-2],
// [5.0 MQTT-4.5.0-2], [3.1.1 MQTT-4.6.0-6], [5.0 MQTT-4.6.0-5]
scenario!(messages_are_told_and_acknowledged_in_the_order_they_came_without_the_application, VERSIONS, |t| {
    t.connect();
    t.writable = false;
    for value in [9, 2, 7, 4] {
        let payload: &'static [u8] = &[b"2", b"4", b"7", b"9"][usize::from(value / 2).min(4) - 1][..];
        let qos = if value % 2 == 0 { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
        t.send(outbound(qos, value, payload));
    }
    t.writable = true;
    t.expect(Puback::new(id(9)));
    t.expect(Pubrec::new(id(2)));
    t.expect(Puback::new(id(7)));
    t.expect(Pubrec::new(id(4)));
    assert_eq!(messages(t), [b"9", b"2", b"7", b"4"]);
});

// [3.1.1 MQTT-3.3.2-3], [5.0 MQTT-3.3.2-3], [3.1.1 MQTT-4.5.0-2], [5.0 MQTT-4.5.0-2]
scenario!(a_message_that_matches_no_subscription_is_told_and_acknowledged, VERSIONS, |t| {
    t.connect();
    subscribe(t, "other/#");
    t.next_frame();
    answer(t, Open::Subscribe, 1, false);
    t.events();
    t.send(outbound(Qos::ExactlyOnce, 3, b"x"));
    t.expect(Pubrec::new(id(3)));
    assert_eq!(messages(t), [b"x"]);
});

// [3.1.1 MQTT-3.3.1-8], [3.1.1 MQTT-3.3.1-9], [5.0 MQTT-3.3.1-12], [5.0 MQTT-3.3.1-13]
scenario!(the_retain_flag_is_handed_on_as_it_came, VERSIONS, |t| {
    t.connect();
    for retain in [true, false] {
        t.send(Publish { retain, ..outbound(Qos::AtMostOnce, 0, b"x") });
        assert!(matches!(t.event(), Seen::Message { retain: told, .. } if told == retain));
    }
});

// [5.0 MQTT-3.3.2-17], [5.0 MQTT-3.3.2-18], [5.0 MQTT-3.3.2-6], [5.0 MQTT-3.3.4-3], [5.0 MQTT-3.3.4-4]
scenario!(the_properties_of_a_message_are_handed_on_whole_and_in_order, |t| {
    t.connect();
    let list = [
        Property::UserProperty("b", "1"),
        Property::UserProperty("a", "2"),
        Property::SubscriptionIdentifier(7),
        Property::UserProperty("b", "1"),
        Property::MessageExpiryInterval(40),
        Property::SubscriptionIdentifier(268_435_455),
        Property::ResponseTopic("answer"),
    ];
    t.send(Publish { properties: Properties::List(&list), ..outbound(Qos::AtMostOnce, 0, b"x") });
    let Seen::Message { properties, .. } = t.event() else { panic!() };
    assert_eq!(properties, list.map(|property| format!("{property:?}")));
});

// [3.1.1 MQTT-3.3.5-1], [5.0 MQTT-3.3.4-2], [5.0 MQTT-3.3.4-5]
scenario!(copies_for_overlapping_subscriptions_are_told_one_by_one_each_at_its_quality, VERSIONS, |t| {
    t.connect();
    let v5 = t.version() == Version::V5;
    for (value, qos) in [(0, Qos::AtMostOnce), (1, Qos::AtLeastOnce), (2, Qos::ExactlyOnce)] {
        let list = [Property::SubscriptionIdentifier(u32::from(value) + 1)];
        let properties = if v5 { Properties::List(&list) } else { Properties::EMPTY };
        t.send(Publish { properties, ..outbound(qos, value, b"same") });
        let Seen::Message { qos: told, properties, payload, .. } = t.event() else { panic!() };
        assert_eq!((told, payload.as_slice()), (qos, &b"same"[..]));
        let want = list.map(|property| format!("{property:?}"));
        assert_eq!(properties, if v5 { &want[..] } else { &[] });
    }
    t.expect(Puback::new(id(1)));
    t.expect(Pubrec::new(id(2)));
});

// [5.0 MQTT-3.6.2-2], [5.0 MQTT-3.6.2-3], [5.0 MQTT-3.7.2-2], [5.0 MQTT-3.7.2-3]
scenario!(pubrel_and_pubcomp_explain_nothing_so_they_fit_every_server, |t| {
    // The smallest packets there are: four bytes, or five with a reason.
    t.connect_with(false, &[Property::MaximumPacketSize(8)]);
    t.publish("a", Qos::ExactlyOnce, b"");
    assert_eq!(t.next_frame().unwrap().len(), 8);
    t.send(Pubrec::new(id(1)));
    assert_eq!(t.next_frame().unwrap(), [0x62, 2, 0, 1]);
    t.send(Pubrec::new(id(9)));
    assert_eq!(t.next_frame().unwrap(), [0x62, 3, 0, 9, 0x92]);
    t.send(Pubrel::new(id(9)));
    assert_eq!(t.next_frame().unwrap(), [0x70, 3, 0, 9, 0x92]);
});

// [U-33]
scenario!(the_longest_expiry_does_not_overflow_the_clock, |t| {
    t.after(Duration::from_secs(u64::MAX / 4_000_000));
    let list = [Property::MessageExpiryInterval(u32::MAX)];
    let message = Message::new(TopicName::new("a").unwrap()).properties(Properties::List(&list));
    for message in [message.ttl(Duration::MAX), message] {
        t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    }
    t.after(Duration::from_secs(1_000));
    t.connect();
    for _ in 0..2 {
        let frame = t.next_frame().expect("it has not expired");
        let Packet::Publish(publish) = Packet::decode(&frame, Version::V5, Peer::Client).unwrap() else {
            panic!()
        };
        let left = publish.properties.message_expiry_interval().unwrap();
        assert!(left > u32::MAX - 2_000, "{left}");
    }
});
