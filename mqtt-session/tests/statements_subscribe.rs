//! Statements of the standards about subscriptions, and about filters where the client applies them itself.

use crate::common;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Packet, Peer, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode,
    ReasonCodes, RetainHandling, Suback, Subscription, SubscriptionOptions, TopicFilter, TopicName, Unsuback,
    Version,
};
use mqtt_session::{Storage, Token, Why};

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::new(text).unwrap()
}

fn subscribe<S: Storage>(t: &mut Trace<S>, filters: &[(&str, SubscriptionOptions)]) -> Token {
    let list: Vec<Subscription<'_>> = filters
        .iter()
        .map(|(text, options)| Subscription { filter: filter(text), options: *options })
        .collect();
    t.session.subscribe(&list, Properties::EMPTY).unwrap()
}

fn unsubscribe<S: Storage>(t: &mut Trace<S>, text: &str) -> Token {
    let token = t.session.unsubscribe(&[filter(text)], Properties::EMPTY).unwrap();
    assert_eq!(t.next_frame().expect("UNSUBSCRIBE")[0], 0xA2);
    token
}

/// The SUBSCRIBE that was sent: its identifier, and what it asks for.
fn asked<S: Storage>(t: &mut Trace<S>) -> (u16, Vec<(String, SubscriptionOptions)>) {
    let frame = t.next_frame().expect("SUBSCRIBE");
    let Packet::Subscribe(packet) = Packet::decode(&frame, t.version(), Peer::Client).unwrap() else {
        panic!("{frame:02x?}")
    };
    let filters = packet.filters.iter().map(|item| (item.filter.as_str().to_owned(), item.options)).collect();
    (packet.packet_id.get(), filters)
}

fn granted<S: Storage>(t: &mut Trace<S>, value: u16, codes: &[ReasonCode]) {
    t.send(Suback { packet_id: id(value), properties: Properties::EMPTY, codes: ReasonCodes::from(codes) });
}

fn ended<S: Storage>(t: &mut Trace<S>, value: u16, codes: &[ReasonCode]) {
    let codes = if t.version() == Version::V5 { codes } else { &[] };
    t.send(Unsuback { packet_id: id(value), properties: Properties::EMPTY, codes: ReasonCodes::from(codes) });
}

fn message(qos: Qos, packet_id: u16) -> Publish<'static> {
    Publish {
        qos,
        packet_id: (qos != Qos::AtMostOnce).then(|| id(packet_id)),
        ..Publish::new(TopicName::new("f").unwrap(), b"x")
    }
}

const ONE: SubscriptionOptions = SubscriptionOptions::new(Qos::AtLeastOnce);

// [5.0 MQTT-3.3.1-9], [5.0 MQTT-3.3.1-10], [5.0 MQTT-3.3.1-11], [5.0 MQTT-3.3.1-12], [5.0 MQTT-3.3.1-13],
// [5.0 MQTT-3.8.3-3], [5.0 MQTT-3.2.2-10]
scenario!(options_reach_the_server_as_they_were_given_each_time, |t| {
    let mut wanted = Vec::new();
    for retain_handling in [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend] {
        for bits in 0..4 {
            wanted.push(SubscriptionOptions {
                retain_handling,
                no_local: bits & 1 != 0,
                retain_as_published: bits & 2 != 0,
                qos: Qos::ExactlyOnce,
            });
        }
    }
    // A server that cannot do QoS 2 itself is asked for it all the same.
    let limits = [Property::MaximumQos(Qos::AtMostOnce)];
    t.connect_with(false, &limits);
    for chunk in wanted.chunks(4) {
        let names = ["a", "b", "c", "d"];
        let list: Vec<(&str, SubscriptionOptions)> = names.into_iter().zip(chunk.iter().copied()).collect();
        let want: Vec<(String, SubscriptionOptions)> =
            list.iter().map(|(name, options)| ((*name).to_owned(), *options)).collect();
        subscribe(t, &list);
        let (value, sent) = asked(t);
        assert_eq!(sent, want);
        granted(t, value, &[ReasonCode::Success; 4]);
        t.cut();
        t.connect_with(false, &limits);
        let (value, again) = asked(t);
        assert_eq!(again, want);
        granted(t, value, &[ReasonCode::Success; 4]);
        t.events();
    }
});

// [3.1.1 MQTT-3.8.4-6], [5.0 MQTT-3.8.4-8], [3.1.1 MQTT-3.8.3-2]
scenario!(a_lower_quality_or_a_refusal_is_told_and_messages_come_at_the_quality_they_have, VERSIONS, |t| {
    t.connect();
    let two = SubscriptionOptions::new(Qos::ExactlyOnce);
    let token = subscribe(t, &[("f", two), ("g/#", two), ("h", two)]);
    let (value, _) = asked(t);
    granted(t, value, &[ReasonCode::Success, ReasonCode::UnspecifiedError, ReasonCode::GrantedQos1]);
    t.done(token, "Granted([Success, UnspecifiedError, GrantedQos1])");
    for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
        t.send(message(qos, 3));
        assert!(matches!(t.event(), Seen::Message { qos: told, .. } if told == qos));
    }
    t.expect(Puback::new(id(3)));
});

// [5.0 MQTT-4.8.2-3]
scenario!(a_shared_subscription_has_the_quality_that_was_granted, |t| {
    t.connect();
    let token = subscribe(t, &[("$share/g/f", SubscriptionOptions::new(Qos::ExactlyOnce))]);
    let (value, _) = asked(t);
    granted(t, value, &[ReasonCode::GrantedQos1]);
    t.done(token, "Granted([GrantedQos1])");
    t.send(message(Qos::AtLeastOnce, 1));
    assert!(matches!(t.event(), Seen::Message { qos: Qos::AtLeastOnce, .. }));
});

// [3.1.1 MQTT-3.10.4-3], [5.0 MQTT-3.10.4-3], [3.1.1 MQTT-3.10.4-2], [5.0 MQTT-3.10.4-2]
scenario!(what_was_begun_is_completed_after_unsubscribe, VERSIONS, |t| {
    t.connect();
    subscribe(t, &[("f", ONE)]);
    let (value, _) = asked(t);
    granted(t, value, &[ReasonCode::GrantedQos1]);
    t.send(message(Qos::ExactlyOnce, 5));
    t.expect(Pubrec::new(id(5)));
    unsubscribe(t, "f");
    t.send(message(Qos::AtLeastOnce, 6)); // on its way when UNSUBSCRIBE came
    t.expect(Puback::new(id(6)));
    ended(t, 2, &[ReasonCode::Success]);
    t.events();
    t.send(Publish { dup: true, ..message(Qos::ExactlyOnce, 5) });
    t.expect(Pubrec::new(id(5)));
    t.send(Pubrel::new(id(5)));
    t.expect(Pubcomp::new(id(5)));
    t.see_nothing();
});

// [3.1.1 MQTT-3.10.4-4], [5.0 MQTT-3.10.4-4], [3.1.1 MQTT-3.10.4-5], [5.0 MQTT-3.10.4-5]
scenario!(an_unsubscribe_ends_with_its_unsuback_also_when_nothing_was_deleted, VERSIONS, |t| {
    t.connect();
    let token = unsubscribe(t, "never/subscribed");
    t.see_nothing();
    ended(t, 1, &[ReasonCode::NoSubscriptionExisted]);
    let v5 = t.version() == Version::V5;
    t.done(token, if v5 { "Granted([NoSubscriptionExisted])" } else { "Granted([])" });
    assert_eq!(t.session.stats().in_flight, 0);
});

// [3.1.1 MQTT-3.10.4-4], [5.0 MQTT-3.10.4-5], [3.1.1 MQTT-2.3.1-7], [5.0 MQTT-2.2.1-6]
scenario!(s06_an_unsuback_of_another_identifier_ends_the_connection, VERSIONS, |t| {
    t.connect();
    unsubscribe(t, "f");
    t.events();
    ended(t, 2, &[ReasonCode::Success]);
    t.see_nothing();
    assert_eq!(
        t.refuses(ReasonCode::ProtocolError),
        Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.11.3-1")
    );
    assert_eq!(t.session.pending(), 1);
});

// [5.0 MQTT-3.11.3-1]
scenario!(s06_an_unsuback_with_the_wrong_number_of_codes_ends_the_connection, |t| {
    for count in [1, 3] {
        t.connect();
        t.events();
        t.session.unsubscribe(&[filter("a"), filter("b")], Properties::EMPTY).unwrap();
        t.next_frame();
        let value = t.session.stats().connections as u16;
        ended(t, value, &[ReasonCode::Success; 3][..count]);
        t.see_nothing();
        t.refuses(ReasonCode::ProtocolError);
        t.session.stop(mqtt_session::Stop::now()).unwrap();
        t.events();
    }
});

// [3.1.1 MQTT-3.10.4-1], [3.1.1 MQTT-3.8.4-3], [5.0 MQTT-3.8.4-3], [3.1.1 MQTT-4.7.3-4], [5.0 MQTT-4.7.3-4]
scenario!(filters_are_compared_character_by_character, VERSIONS, |t| {
    t.connect();
    subscribe(
        t,
        &[("a/b", ONE), ("A/b", ONE), ("a/b/", ONE), ("a/\u{e9}", ONE), ("a/e\u{301}", ONE), ("+/b", ONE)],
    );
    let (value, all) = asked(t);
    granted(t, value, &[ReasonCode::GrantedQos1; 6]);
    for (number, gone) in ["a/b", "a/\u{e9}", "a/+"].into_iter().enumerate() {
        unsubscribe(t, gone);
        ended(t, number as u16 + 2, &[ReasonCode::Success]);
    }
    t.cut();
    t.options.clean_start = true;
    t.connect();
    let left: Vec<_> = all.into_iter().filter(|(text, _)| text != "a/b" && text != "a/\u{e9}").collect();
    assert_eq!(asked(t).1, left, "those, and no others");
});

// [3.1.1 MQTT-4.7.2-1], [5.0 MQTT-4.7.2-1], [3.1.1 MQTT-4.7.3-4], [5.0 MQTT-4.7.3-4]
#[test]
fn what_the_client_matches_itself_follows_the_rules_of_the_server() {
    let matches = |text: &str, name: &str| filter(text).matches(TopicName::new(name).unwrap());
    assert!(!matches("#", "$SYS/load") && !matches("+/load", "$SYS/load") && !matches("+", "$SYS"));
    assert!(matches("$SYS/#", "$SYS/load") && matches("$SYS/+", "$SYS/load"));
    assert!(!matches("Sport", "sport") && !matches("/a", "a") && !matches("a/", "a"));
    assert!(!matches("\u{e9}", "e\u{301}"), "nothing is normalised");
}
