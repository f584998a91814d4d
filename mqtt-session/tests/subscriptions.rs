//! Subscriptions are remembered and made again on a new session.

use crate::common;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Packet, Peer, Publish, Qos, ReasonCode, ReasonCodes, Suback, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Unsuback, Version,
};
use mqtt_session::{Storage, Token};

fn subscribe<S: Storage>(t: &mut Trace<S>, filters: &[(&str, Qos)]) -> Token {
    let list: Vec<Subscription<'_>> = filters
        .iter()
        .map(|(filter, qos)| Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            options: SubscriptionOptions::new(*qos),
        })
        .collect();
    t.session.subscribe(&list, Default::default()).unwrap()
}

/// Takes the SUBSCRIBE that was sent, answers it with these codes and says what it asked for.
fn answer<S: Storage>(t: &mut Trace<S>, codes: &[ReasonCode]) -> Vec<(String, Qos)> {
    let frame = t.next_frame().expect("SUBSCRIBE");
    let packet = Packet::decode(&frame, t.version(), Peer::Client).unwrap();
    let Packet::Subscribe(Subscribe { packet_id, filters, .. }) = packet else { panic!("{packet:?}") };
    t.send(Suback { packet_id, properties: Default::default(), codes: ReasonCodes::from(codes) });
    filters.iter().map(|item| (item.filter.as_str().to_owned(), item.options.qos)).collect()
}

const ZERO: ReasonCode = ReasonCode::Success;
const ONE: ReasonCode = ReasonCode::GrantedQos1;
const NO: ReasonCode = ReasonCode::UnspecifiedError;

fn owned(filters: &[(&str, Qos)]) -> Vec<(String, Qos)> {
    filters.iter().map(|(filter, qos)| ((*filter).to_owned(), *qos)).collect()
}

scenario!(granted_filters_are_made_again_before_queued_publishes_and_refused_ones_are_not, VERSIONS, |t| {
    t.connect();
    let token = subscribe(t, &[("a", Qos::AtLeastOnce), ("b", Qos::AtMostOnce), ("c/#", Qos::AtLeastOnce)]);
    answer(t, &[ONE, NO, ONE]);
    assert!(matches!(t.event(), Seen::Done { .. }));
    assert_eq!(t.session.pending(), 0);
    for _ in 0..3 {
        t.cut();
        t.events();
        t.publish("x", Qos::AtMostOnce, b"queued");
        t.options.clean_start = true;
        t.connect();
        let again = answer(t, &[ONE, ZERO]);
        assert_eq!(again, owned(&[("a", Qos::AtLeastOnce), ("c/#", Qos::AtLeastOnce)]));
        let frame = t.next_frame().unwrap();
        let packet = Packet::decode(&frame, t.version(), Peer::Client).unwrap();
        assert!(
            matches!(packet, Packet::Publish(Publish { topic, .. }) if topic == TopicName::new("x").ok())
        );
        let events = t.events();
        assert!(
            events.contains(&Seen::Resubscribed { token, codes: vec![ONE, ZERO] }),
            "told with the token and each filter's result: {events:?}"
        );
    }
});

scenario!(a_resumed_session_needs_no_subscribe, [Version::V3_1_1, Version::V5], |t| {
    t.options.clean_start = false;
    t.connect();
    subscribe(t, &[("a", Qos::AtLeastOnce)]);
    answer(t, &[ONE]);
    t.cut();
    t.resume();
    t.expect_silence();
});

scenario!(on_3_1_which_cannot_tell_every_connection_subscribes_again, [Version::V3_1], |t| {
    t.options.clean_start = false;
    t.connect();
    subscribe(t, &[("a", Qos::AtLeastOnce)]);
    answer(t, &[ONE]);
    t.cut();
    t.resume();
    assert_eq!(answer(t, &[ONE]), owned(&[("a", Qos::AtLeastOnce)]));
});

// [3.1.1 MQTT-3.8.4-3], [5.0 MQTT-3.8.4-3]
scenario!(a_later_subscribe_to_the_same_filter_takes_its_place, VERSIONS, |t| {
    t.connect();
    subscribe(t, &[("a", Qos::AtMostOnce), ("b", Qos::AtMostOnce)]);
    answer(t, &[ZERO, ZERO]);
    subscribe(t, &[("a", Qos::AtLeastOnce)]);
    answer(t, &[ONE]);
    t.cut();
    t.options.clean_start = true;
    t.connect();
    assert_eq!(answer(t, &[ZERO]), owned(&[("b", Qos::AtMostOnce)]));
    assert_eq!(answer(t, &[ONE]), owned(&[("a", Qos::AtLeastOnce)]));
    t.expect_silence();
});

// [3.1.1 MQTT-3.10.4-2], [5.0 MQTT-3.10.4-2]
scenario!(what_was_unsubscribed_is_not_made_again, VERSIONS, |t| {
    t.connect();
    subscribe(t, &[("a", Qos::AtMostOnce), ("b", Qos::AtMostOnce)]);
    answer(t, &[ZERO, ZERO]);
    for (number, filter) in [(2, "a"), (3, "b")] {
        t.session.unsubscribe(&[TopicFilter::new(filter).unwrap()], Default::default()).unwrap();
        t.next_frame();
        let codes: &[ReasonCode] = if t.version() == Version::V5 { &[ZERO] } else { &[] };
        t.send(Unsuback {
            packet_id: id(number),
            properties: Default::default(),
            codes: ReasonCodes::from(codes),
        });
    }
    assert_eq!(t.session.stats().bytes_kept, 0);
    t.cut();
    t.options.clean_start = true;
    t.connect();
    t.expect_silence();
});

scenario!(a_subscription_cut_in_the_middle_is_made_on_the_next_connection_and_ends_once, VERSIONS, |t| {
    t.connect();
    let token = subscribe(t, &[("a", Qos::AtLeastOnce)]);
    t.next_frame();
    t.cut();
    t.options.clean_start = true;
    t.connect();
    assert_eq!(answer(t, &[ONE]), owned(&[("a", Qos::AtLeastOnce)]));
    let done = t
        .events()
        .into_iter()
        .filter(|seen| matches!(seen, Seen::Done { token: ended, .. } if *ended == token));
    assert_eq!(done.count(), 1);
});

scenario!(it_can_be_left_to_the_application, VERSIONS, |c| { c.resubscribe = false }, |t| {
    t.connect();
    subscribe(t, &[("a", Qos::AtLeastOnce)]);
    answer(t, &[ONE]);
    assert_eq!(t.session.stats().bytes_kept, 0);
    t.cut();
    t.options.clean_start = true;
    t.connect();
    t.expect_silence();
});

scenario!(
    a_subscription_made_again_waits_behind_what_holds_all_identifiers,
    [Version::V3_1],
    |c| { c.max_in_flight = 2 },
    |t| {
        t.options.clean_start = false;
        t.connect();
        subscribe(t, &[("a", Qos::AtLeastOnce)]);
        answer(t, &[ONE]);
        for payload in [b"1", b"2", b"3"] {
            t.publish("x", Qos::AtLeastOnce, payload);
        }
        t.drain();
        t.cut();
        t.resume();
        assert_eq!(t.next_frame().unwrap()[0], 0x3A);
        let frame = t.next_frame().unwrap();
        assert_eq!(frame[0], 0x3A);
        t.expect_silence();
        t.send(mqtt_session::proto::Puback::new(id(2)));
        assert_eq!(answer(t, &[ONE]), owned(&[("a", Qos::AtLeastOnce)]));
        assert_eq!(t.next_frame().unwrap()[0], 0x32);
    }
);

scenario!(a_granted_subscription_has_ended_and_stop_does_not_end_it_again, VERSIONS, |t| {
    t.connect();
    subscribe(t, &[("a", Qos::AtLeastOnce)]);
    answer(t, &[ONE]);
    t.events();
    t.session.stop(mqtt_session::Stop::now()).unwrap();
    t.drain();
    t.command();
    t.close(mqtt_session::Closed::Carried);
    let events = t.events();
    assert!(!events.iter().any(|seen| matches!(seen, Seen::Done { .. })), "{events:?}");
    assert!(matches!(events.last(), Some(Seen::Stopped { left: 0 })));
});
