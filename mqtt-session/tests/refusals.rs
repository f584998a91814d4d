//! What is refused at the call, and what only once the server has told its limits.

use crate::common;

use common::{Trace, VERSIONS, id};
use mqtt_session::proto::{
    Properties, Property, Puback, Pubcomp, Publish, Qos, ReasonCode, Suback, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{Closed, Event, Message, OverQos, PublishError, Storage, SubscribeError, Token};

fn item(filter: &str) -> Subscription<'_> {
    Subscription {
        filter: TopicFilter::new(filter).unwrap(),
        options: SubscriptionOptions::new(Qos::AtLeastOnce),
    }
}

fn subscribe<S: Storage>(t: &mut Trace<S>, filter: &str) -> Result<Token, SubscribeError> {
    t.session.subscribe(&[item(filter)], Properties::EMPTY)
}

const IDENTIFIED: Properties<'static> = Properties::List(&[Property::SubscriptionIdentifier(7)]);

fn grant<S: Storage>(t: &mut Trace<S>, number: u16) {
    let codes = [ReasonCode::GrantedQos1];
    t.send(Suback { packet_id: id(number), properties: Properties::EMPTY, codes: (&codes).into() });
}

scenario!(a_request_has_one_filter_at_least_and_65_535_at_most, VERSIONS, |t| {
    assert_eq!(t.session.subscribe(&[], Properties::EMPTY), Err(SubscribeError::NoFilter));
    assert_eq!(t.session.unsubscribe(&[], Properties::EMPTY), Err(SubscribeError::NoFilter));
    let many = vec![item("a"); 65_536];
    let refused = SubscribeError::TooLarge { needed: 65_536, allowed: 65_535 };
    assert_eq!(t.session.subscribe(&many, Properties::EMPTY), Err(refused));
    t.connect();
    t.expect_silence();
});

scenario!(a_request_that_can_never_fit_is_refused_with_the_room_there_is, |t| {
    let long = "a".repeat(1_020);
    let refused = subscribe(t, &long);
    assert!(
        matches!(refused, Err(SubscribeError::TooLarge { allowed: 1_024, needed: 1_029 })),
        "{refused:?}"
    );
    assert!(subscribe(t, &long[..1_000]).is_ok());
});

scenario!(
    a_request_over_the_memory_for_operations_is_refused,
    [Version::V5],
    |c| { c.queue_bytes = 200 },
    |t| {
        let refused = subscribe(t, &"a".repeat(200));
        assert!(
            matches!(refused, Err(SubscribeError::TooLarge { allowed: 200, needed: 200.. })),
            "{refused:?}"
        );
        assert!(subscribe(t, &"a".repeat(180)).is_ok());
        assert_eq!(subscribe(t, "abcdefgh"), Err(SubscribeError::BytesFull));
    }
);

// [5.0 MQTT-3.2.2-15], [S16]
scenario!(s16_a_request_over_the_servers_packet_size_is_refused, |t| {
    t.connect_with(false, &[Property::MaximumPacketSize(30)]);
    let refused = subscribe(t, &"a".repeat(23));
    assert_eq!(refused, Err(SubscribeError::TooLargeForServer { needed: 31, allowed: 30 }));
    t.expect_silence();
    assert!(subscribe(t, &"a".repeat(22)).is_ok());
    assert_eq!(t.next_frame().map(|frame| frame.len()), Some(30));
});

// [S16] Nothing that the server does not support is even sent.
scenario!(s16_what_the_server_does_not_support_is_refused_when_asked_for, |t| {
    let each = [
        (Property::WildcardSubscriptionAvailable(false), SubscribeError::WildcardsNotSupported),
        (Property::SharedSubscriptionAvailable(false), SubscribeError::SharedNotSupported),
        (Property::SubscriptionIdentifiersAvailable(false), SubscribeError::IdentifiersNotSupported),
    ];
    for (limit, error) in each {
        t.connect_with(false, &[limit]);
        let wild = subscribe(t, "a/+").err();
        let shared = subscribe(t, "$share/group/a").err();
        let identified = t.session.subscribe(&[item("a")], IDENTIFIED).err();
        let plain = subscribe(t, "a").err();
        let expected = |wanted| Some(wanted).filter(|wanted| *wanted == error);
        assert_eq!(wild, expected(SubscribeError::WildcardsNotSupported));
        assert_eq!(shared, expected(SubscribeError::SharedNotSupported));
        assert_eq!(identified, expected(SubscribeError::IdentifiersNotSupported));
        assert_eq!(plain, None);
        let sent = core::iter::from_fn(|| t.next_frame()).count();
        assert_eq!(sent, 3, "all but the refused one");
        t.close(Closed::Failed);
        t.session.stop(mqtt_session::Stop::now()).unwrap();
        t.events();
    }
});

// [S16] They were asked for before the server was known.
scenario!(s16_what_waited_is_refused_where_the_server_does_not_support_it, |t| {
    let each = [
        (Property::WildcardSubscriptionAvailable(false), 0),
        (Property::SharedSubscriptionAvailable(false), 1),
        (Property::SubscriptionIdentifiersAvailable(false), 2),
        (Property::MaximumPacketSize(20), 3),
    ];
    let codes = [
        "Refused(WildcardSubscriptionsNotSupported)",
        "Refused(SharedSubscriptionsNotSupported)",
        "Refused(SubscriptionIdentifiersNotSupported)",
        "Refused(PacketTooLarge)",
    ];
    for (limit, which) in each {
        t.session.start(&t.options).unwrap();
        let tokens = [
            subscribe(t, "a/+").unwrap(),
            subscribe(t, "$share/g/a").unwrap(),
            t.session.subscribe(&[item("a")], IDENTIFIED).unwrap(),
            subscribe(t, "a/long/one/it/is").unwrap(),
        ];
        t.connect_with(false, &[limit]);
        t.done(tokens[which], codes[which]);
        t.see_nothing();
        let sent = core::iter::from_fn(|| t.next_frame()).count();
        assert_eq!(sent, 3, "all but the refused one");
        t.session.stop(mqtt_session::Stop::now()).unwrap();
        t.command();
        t.close(Closed::Carried);
        t.events();
    }
});

// [5.0 MQTT-3.2.2-14], [S16]
scenario!(s16_a_retained_message_that_waited_is_refused_where_none_are_kept, |t| {
    t.session.start(&t.options).unwrap();
    let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce).retain(true);
    let token = t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    let plain = t.publish("a", Qos::AtLeastOnce, b"y");
    t.connect_with(false, &[Property::RetainAvailable(false)]);
    t.done(token, "Refused(RetainNotSupported)");
    t.expect(Publish {
        qos: Qos::AtLeastOnce,
        packet_id: Some(id(1)),
        ..Publish::new(TopicName::new("a").unwrap(), b"y")
    });
    t.send(Puback::new(id(1)));
    t.done(plain, "Acked(Success)");
});

scenario!(a_head_that_just_fits_the_wire_buffer_is_taken_and_one_more_byte_is_not, VERSIONS, |t| {
    // Fixed header, topic and, in 5.0, an empty property length: judged for the longest version.
    let longest = 1_024 - 3 - 2 - 1;
    let publish = |t: &mut Trace<S>, len: usize| {
        let topic = "a".repeat(len);
        let message = Message::new(TopicName::new(&topic).unwrap());
        t.session.publish(&message, b""[..].into()).map_err(|refused| refused.reason)
    };
    assert!(publish(t, longest).is_ok());
    let refused = publish(t, longest + 1);
    assert_eq!(refused, Err(PublishError::TooLarge { needed: 1_025, allowed: 1_024 }));
    t.connect();
    assert!(t.next_frame().is_some());
});

// The topic is named as it is: with a new alias beside it the packet would not fit.
scenario!(a_head_that_just_fits_is_sent_without_an_alias, |t| {
    t.connect_with(false, &[Property::TopicAliasMaximum(5)]);
    let topic = "a".repeat(1_018);
    for _ in 0..2 {
        let message = Message::new(TopicName::new(&topic).unwrap()).qos(Qos::AtMostOnce);
        t.session.publish(&message, b""[..].into()).map_err(|refused| refused.reason).unwrap();
        assert_eq!(t.next_frame().map(|frame| frame.len()), Some(1_024));
    }
});

/// More ends than can wait at once are told one after another, and none is lost.
fn all_ends<S: Storage>(t: &mut Trace<S>, of: fn(&Event<'_>) -> bool) -> usize {
    let mut told = 0;
    for _ in 0..20 {
        // Nothing is fetched while everything is handed out that can be.
        t.session.outgoing(t.now).advance(usize::MAX);
        told += core::iter::from_fn(|| t.session.poll_event()).filter(of).count();
    }
    told
}

// [S16], [5.0 MQTT-3.2.2-11] The server's limits shrank between two connections.
scenario!(s16_more_exchanges_given_up_than_ends_can_wait, |t| {
    t.options.clean_start = false;
    t.options.session_expiry = 100;
    t.connect();
    for _ in 0..12 {
        t.publish("a", Qos::ExactlyOnce, b"x");
    }
    t.drain();
    t.cut();
    t.events();
    t.open();
    let list = [Property::MaximumQos(Qos::AtLeastOnce)];
    let connack = mqtt_session::proto::Connack {
        properties: Properties::List(&list),
        ..mqtt_session::proto::Connack::accepted(true)
    };
    let mut bytes = [0; 32];
    let len = mqtt_session::proto::Encode::encode(&connack, Version::V5, &mut bytes).unwrap();
    let mut input = &bytes[..len];
    assert!(matches!(t.session.receive(&mut input, t.now), Some(Event::Connected(_))));
    let ends = all_ends(t, |event| {
        matches!(
            event,
            Event::Done { outcome: mqtt_session::Outcome::Refused(ReasonCode::QosNotSupported), .. }
        )
    });
    assert_eq!(ends, 12);
    assert_eq!(t.session.stats().in_flight, 12, "until each PUBREL is answered");
    (1..=12).for_each(|number| t.send(Pubcomp::new(id(number))));
    t.see_nothing();
    assert_eq!((t.session.stats().in_flight, t.session.pending()), (0, 0));
});

// [S16] None of the subscriptions can be made again.
scenario!(s16_more_subscriptions_lost_than_ends_can_wait, |t| {
    t.connect();
    for number in 1..=12 {
        t.session.subscribe(&[item(&format!("{number}/#"))], Properties::EMPTY).unwrap();
        t.drain();
        grant(t, number);
    }
    t.cut();
    t.events();
    t.open();
    let list = [Property::WildcardSubscriptionAvailable(false)];
    let connack = mqtt_session::proto::Connack {
        properties: Properties::List(&list),
        ..mqtt_session::proto::Connack::accepted(false)
    };
    let mut bytes = [0; 32];
    let len = mqtt_session::proto::Encode::encode(&connack, Version::V5, &mut bytes).unwrap();
    let mut input = &bytes[..len];
    assert!(matches!(t.session.receive(&mut input, t.now), Some(Event::Connected(_))));
    assert_eq!(all_ends(t, |event| matches!(event, Event::SubscriptionLost { .. })), 12);
    assert_eq!(t.session.pending(), 0);
});

// A SUBSCRIBE has no quality of service that could be lowered.
scenario!(
    lowering_leaves_requests_alone,
    [Version::V5],
    |c| {
        c.over_qos = OverQos::Lower;
        c.durability = mqtt_session::Durability::BeforeSend;
    },
    |t| {
        t.session.start(&t.options).unwrap();
        let message = t.publish("a", Qos::ExactlyOnce, b"x");
        subscribe(t, "a").unwrap();
        t.connect_with(false, &[Property::MaximumQos(Qos::AtLeastOnce)]);
        let frames: Vec<u8> = core::iter::from_fn(|| t.next_frame()).map(|frame| frame[0]).collect();
        assert_eq!(frames, [0x32, 0x82], "PUBLISH at QoS 1, SUBSCRIBE");
        t.send(Puback::new(id(1)));
        assert!(t.events().iter().any(|seen| matches!(
            seen,
            common::Seen::Done { token, outcome, .. } if *token == message && outcome == "Acked(Success)"
        )));
    }
);
