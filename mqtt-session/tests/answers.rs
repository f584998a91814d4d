//! Questions, texts and small values: each says exactly what is so.

use core::time::Duration;

use mqtt_session::proto::{
    Encode, EncodeError, Packet, Peer, Properties, Property, Puback, Publish, Qos, ReasonCode, Subscription,
    SubscriptionOptions, TopicError, TopicFilter, TopicName, Version,
};
use mqtt_session::request::{RequestError, RequestsError};
use mqtt_session::{
    AckError, AckMode, AuthError, Command, Config, ConnectOptions, Durability, HeapPayload, HeapSession,
    Instant, Key, Message, ProvideError, PublishError, Refused, RestoreError, ServerLimits, StartError,
    StopError, SubscribeError, Token, Why,
};

use crate::common::{MEMORY, Small, Trace, VERSIONS, config, id};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn message(qos: Qos) -> Message<'static> {
    Message::new(TopicName::new("a").unwrap()).qos(qos)
}

// ---- texts -----------------------------------------------------------------------------------------

/// Each is a sentence of its own, and has the numbers in it that help.
fn tell_apart<E: core::fmt::Display>(errors: &[E], numbers: &str) {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for (at, text) in texts.iter().enumerate() {
        assert!(text.len() > 8, "{text:?}");
        assert!(!texts[..at].contains(text), "{text:?} twice");
    }
    for number in numbers.split(' ').filter(|number| !number.is_empty()) {
        assert!(texts.iter().any(|text| text.contains(number)), "{number} in none of {texts:?}");
    }
}

#[test]
fn every_error_says_what_it_is() {
    let invalid = EncodeError::ClientIdNotValid;
    let (needed, allowed) = (701, 702);
    tell_apart(
        &[
            StartError::AlreadyStarted,
            StartError::ConnectTooLarge { needed, room: 703 },
            StartError::Invalid(invalid),
            StartError::OtherClient,
        ],
        "701 703",
    );
    tell_apart(
        &[StopError::InvalidReason, StopError::Invalid(invalid), StopError::ExpiryRaised, StopError::NoRoom],
        "",
    );
    let publish = [
        PublishError::QueueFull,
        PublishError::BytesFull,
        PublishError::TooLarge { needed, allowed },
        PublishError::TooLargeForServer { needed, allowed },
        PublishError::QosNotSupported(Qos::AtLeastOnce),
        PublishError::RetainNotSupported,
        PublishError::Invalid(invalid),
        PublishError::Stopping,
    ];
    tell_apart(&publish, "701 702");
    for reason in publish {
        let refused = Refused { reason, payload: &b"canary"[..] };
        assert_eq!(refused.to_string(), reason.to_string());
        let debug = format!("{refused:?}");
        assert!(debug.contains(&format!("{reason:?}")) && !debug.contains("canary"), "{debug}");
    }
    tell_apart(
        &[ProvideError::Stale, ProvideError::OutOfPlace { wanted: 704 }, ProvideError::TooLong { left: 705 }],
        "704 705",
    );
    tell_apart(
        &[
            SubscribeError::NoFilter,
            SubscribeError::QueueFull,
            SubscribeError::BytesFull,
            SubscribeError::TooLarge { needed, allowed },
            SubscribeError::TooLargeForServer { needed, allowed },
            SubscribeError::WildcardsNotSupported,
            SubscribeError::SharedNotSupported,
            SubscribeError::IdentifiersNotSupported,
            SubscribeError::Invalid(invalid),
            SubscribeError::Stopping,
        ],
        "701 702",
    );
    tell_apart(&[AckError::Stale, AckError::InvalidReason, AckError::Invalid(invalid)], "");
    tell_apart(
        &[
            RestoreError::Off,
            RestoreError::Started,
            RestoreError::Foreign,
            RestoreError::Version(77),
            RestoreError::Damaged,
            RestoreError::WrongKey,
            RestoreError::OtherClient,
            RestoreError::Duplicate,
            RestoreError::NoRoom,
            RestoreError::Invalid,
        ],
        "77",
    );
    tell_apart(
        &[
            AuthError::NotConnected,
            AuthError::NoMethod,
            AuthError::MethodChanged,
            AuthError::OutOfTurn,
            AuthError::InvalidReason,
            AuthError::NoRoom,
            AuthError::TooLarge { needed, allowed },
            AuthError::TooLargeForServer { needed, allowed },
            AuthError::Invalid(invalid),
        ],
        "701 702",
    );
    tell_apart(
        &[
            RequestsError::NotInThisVersion,
            RequestsError::NotAssigned,
            RequestsError::TopicTooLong { needed },
            RequestsError::Topic(TopicError::Empty),
            RequestsError::Subscribe(SubscribeError::QueueFull),
        ],
        "701 128",
    );
    tell_apart(
        &[
            RequestError::NotInThisVersion,
            RequestError::NotReady,
            RequestError::TableFull,
            RequestError::ChainedProperties,
            RequestError::Publish(PublishError::QueueFull),
        ],
        "",
    );
}

#[test]
fn every_end_of_a_connection_says_why() {
    let error = Packet::decode(&[0x20, 1, 0], Version::V5, Peer::Server).unwrap_err();
    tell_apart(
        &[
            Why::DialFailed,
            Why::DialTimeout,
            Why::HandshakeTimeout,
            Why::Refused(ReasonCode::ServerBusy),
            Why::VersionRefused,
            Why::PeerClosed,
            Why::TransportFailed,
            Why::PingTimeout,
            Why::PartialTimeout,
            Why::AckTimeout,
            Why::SourceTimeout,
            Why::AuthTimeout,
            Why::ServerDisconnected(ReasonCode::ServerShuttingDown),
            Why::Malformed(error),
            Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.1.2-29"),
            Why::Flooded { limit: 706 },
            Why::AliasesTooLong,
            Why::ConnectInvalid,
        ],
        "706 MQTT-3.1.2-29 busy shutting",
    );
    assert_eq!(Why::Stopped.to_string(), "stopped");
}

#[test]
fn nothing_that_is_printed_has_content_or_secrets_in_it() {
    let options =
        ConnectOptions { username: Some("who"), password: Some(b"canary"), ..ConnectOptions::new("lamp") };
    let text = format!("{options:?}");
    assert!(
        text.contains("lamp") && text.contains("who") && text.contains("***") && !text.contains("canary"),
        "{text}"
    );
    let mut heap = HeapSession::new(config());
    let mut fixed = Small::new([0; MEMORY], config());
    heap.publish(&message(Qos::AtLeastOnce), b"canary".into()).unwrap();
    fixed.publish(&message(Qos::AtLeastOnce), b"canary".into()).unwrap();
    for text in [format!("{heap:?}"), format!("{fixed:?}")] {
        assert!(!text.contains("canary") && !text.contains("99, 97, 110"), "{text}");
    }
    assert!(format!("{heap:?}").contains("Heap { slots: 4, arena: 256"), "{heap:?}");
    assert!(format!("{fixed:?}").contains("Fixed"), "{fixed:?}");
    assert_eq!(format!("{:?}", HeapPayload::from(b"canary")), "Copy(6 bytes)");
    assert_eq!(format!("{:?}", HeapPayload::from(bytes::Bytes::from_static(b"canary"))), "Share(6 bytes)");
    assert_eq!(format!("{:?}", mqtt_session::FixedPayload::from(b"canary")), "FixedPayload(6 bytes)");
}

// ---- names and records -----------------------------------------------------------------------------

#[test]
fn a_token_is_its_index_and_a_generation_that_goes_on() {
    let mut session = HeapSession::new(config());
    let first = session.publish(&message(Qos::AtLeastOnce), b"x".into()).unwrap();
    let second = session.publish(&message(Qos::AtLeastOnce), b"x".into()).unwrap();
    assert_eq!((first.index(), second.index()), (0, 1));
    assert!(session.cancel(first));
    assert!(session.poll_event().is_some());
    let third = session.publish(&message(Qos::AtLeastOnce), b"x".into()).unwrap();
    assert_eq!(third.index(), 0);
    assert!(u64::from(first) < u64::from(second) && u64::from(second) < u64::from(third));
    for token in [first, second, third] {
        assert_eq!(Token::from(u64::from(token)), token);
    }
    assert!(!session.cancel(first), "its place is another's");
}

#[test]
fn a_record_is_the_same_bytes_however_it_is_taken() {
    for (len, shared) in [(0, false), (10, false), (5_000, true)] {
        let mut session = HeapSession::new(Config { durability: Durability::Async, ..Config::new(1) });
        let payload = bytes::Bytes::from(vec![7; len]);
        session.publish(&message(Qos::AtLeastOnce), payload.clone().into()).unwrap();
        let Some(Command::Put { key, record }) = session.poll_command() else { panic!() };
        let whole = record.chunks().concat();
        assert_eq!(whole.len(), 84 + 1 + len);
        assert_eq!(record.len(), whole.len());
        assert_eq!(format!("{record:?}"), format!("Record({} bytes)", whole.len()));
        let mut buffer = vec![0; whole.len()];
        assert_eq!(record.copy_to(&mut buffer[1..]), None);
        assert_eq!(record.copy_to(&mut buffer), Some(whole.len()));
        assert_eq!(buffer, whole);
        let kept = record.keep();
        assert_eq!(kept.chunks().map(|chunk| chunk.to_vec()).concat(), whole);
        assert_eq!(kept.len(), whole.len());
        assert_eq!(format!("{kept:?}"), format!("KeptRecord({} bytes)", whole.len()));
        assert_eq!(kept.chunks()[1].as_ptr() == payload.as_ptr() && len != 0, shared, "{len}");
        assert_eq!(Key::from(u64::from(key)), key);
        assert_eq!(key.to_string(), format!("{:016x}", u64::from(key)));
    }
}

// ---- what is handed out ----------------------------------------------------------------------------

scenario!(what_leaves_is_the_same_in_whatever_pieces_it_is_taken, VERSIONS, |t| {
    t.connect();
    t.writable = false;
    let before = t.session.stats().bytes_out;
    assert!(t.session.outgoing(t.now).is_empty());
    assert!(t.session.outgoing(t.now).chunk().is_empty());
    let mut buffer = [0xEE; 8];
    assert_eq!(t.session.outgoing(t.now).copy_to(&mut buffer), 0);
    assert_eq!(t.session.outgoing(t.now).copy_to(&mut []), 0);
    t.publish("abcdef", Qos::AtLeastOnce, b"0123456789");
    let outgoing = t.session.outgoing(t.now);
    assert!(!outgoing.is_empty());
    let whole = outgoing.chunks().concat();
    assert_eq!(outgoing.chunk(), &whole[..]);
    let mut taken = Vec::new();
    for step in [1, 3, 2, 100] {
        let mut buffer = vec![0; step];
        let count = t.session.outgoing(t.now).copy_to(&mut buffer);
        assert_eq!(count, step.min(whole.len() - taken.len()));
        taken.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(taken, whole);
    assert!(t.session.outgoing(t.now).is_empty());
    // More than there is counts as all.
    t.publish("abcdef", Qos::AtLeastOnce, b"0123456789");
    t.session.outgoing(t.now).advance(10_000);
    assert!(t.session.outgoing(t.now).is_empty());
    assert_eq!(t.session.stats().bytes_out - before, whole.len() as u64 * 2);
});

// ---- questions -------------------------------------------------------------------------------------

// [S16] Each limit is read, and forgotten with its connection.
scenario!(s16_the_limits_are_those_of_the_connection, |t| {
    let widest = *t.session.server();
    assert_eq!(widest.receive_maximum, 65_535);
    assert_eq!(widest.maximum_packet_size, 268_435_460);
    assert_eq!((widest.maximum_qos, widest.topic_alias_maximum), (Qos::ExactlyOnce, 0));
    assert!(widest.retain_available && widest.wildcard_subscriptions);
    assert!(widest.shared_subscriptions && widest.subscription_identifiers);
    t.options.keep_alive = 33;
    t.connect();
    assert_eq!(*t.session.server(), {
        let mut plain = widest;
        plain.keep_alive = seconds(33);
        plain
    });
    t.cut();
    assert_eq!(*t.session.server(), widest);
    type Change = fn(&mut ServerLimits);
    let each: [(Property<'_>, Change); 9] = [
        (Property::ReceiveMaximum(7), |limits| limits.receive_maximum = 7),
        (Property::MaximumQos(Qos::AtLeastOnce), |limits| limits.maximum_qos = Qos::AtLeastOnce),
        (Property::RetainAvailable(false), |limits| limits.retain_available = false),
        (Property::MaximumPacketSize(99), |limits| limits.maximum_packet_size = 99),
        (Property::TopicAliasMaximum(3), |limits| limits.topic_alias_maximum = 3),
        (Property::WildcardSubscriptionAvailable(false), |limits| limits.wildcard_subscriptions = false),
        (Property::SharedSubscriptionAvailable(false), |limits| limits.shared_subscriptions = false),
        (Property::SubscriptionIdentifiersAvailable(false), |limits| limits.subscription_identifiers = false),
        (Property::SessionExpiryInterval(44), |limits| limits.session_expiry = 44),
    ];
    for (property, change) in each {
        t.connect_with(false, &[property]);
        let mut wanted = widest;
        wanted.keep_alive = seconds(33);
        change(&mut wanted);
        assert_eq!(*t.session.server(), wanted);
        t.cut();
    }
    t.connect_with(false, &[Property::ServerKeepAlive(5)]);
    assert_eq!(t.session.server().keep_alive, seconds(5));
});

scenario!(can_publish_says_what_the_next_flush_would_do, VERSIONS, |c| { c.max_in_flight = 2 }, |t| {
    let can = |t: &Trace<S>| {
        [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce].map(|qos| t.session.can_publish(qos))
    };
    assert_eq!(can(t), [false; 3], "not connected");
    t.connect();
    assert_eq!(can(t), [true; 3]);
    t.publish("a", Qos::AtLeastOnce, b"x");
    t.drain();
    assert_eq!(can(t), [true; 3]);
    t.publish("a", Qos::AtLeastOnce, b"x");
    t.drain();
    assert_eq!(can(t), [true, false, false], "as many are in flight as may be");
    t.send(Puback::new(id(1)));
    assert_eq!(can(t), [true; 3]);
    let item = Subscription {
        filter: TopicFilter::new("a").unwrap(),
        options: SubscriptionOptions::new(Qos::AtMostOnce),
    };
    t.session.subscribe(&[item], Properties::EMPTY).unwrap();
    t.drain();
    assert_eq!(can(t), [true, false, false], "the quota would do, and no identifier is left");
    t.session.stop(mqtt_session::Stop::drain(seconds(9))).unwrap();
    assert_eq!(can(t), [false; 3], "stopping");
});

scenario!(a_time_to_live_is_told_to_whoever_asks_when_to_wake_up, VERSIONS, |t| {
    t.options.keep_alive = 0;
    t.connect();
    t.cut();
    t.connect_with(false, &[]);
    assert_eq!(t.session.poll_timeout(), None);
    t.writable = false;
    // More than is handed out at once, so that the last one waits.
    for _ in 0..5 {
        t.publish("a", Qos::AtLeastOnce, &[7; 250]);
    }
    t.drain();
    t.session.publish(&message(Qos::AtLeastOnce).ttl(seconds(5)), b"x"[..].into()).map_err(|_| ()).unwrap();
    assert_eq!(t.session.poll_timeout(), Some(t.now), "the time must be told");
    t.session.handle_timeout(t.now);
    assert_eq!(t.session.poll_timeout(), Some(t.now.after(seconds(5))));
});

scenario!(read_hint_is_the_length_of_the_packet_at_the_front, VERSIONS, |t| {
    t.connect();
    assert_eq!(t.session.read_hint(), 0);
    let publish = Publish::new(TopicName::new("a").unwrap(), &[7; 200]);
    let mut bytes = [0; 300];
    let len = publish.encode(t.version(), &mut bytes).unwrap();
    for (given, hint) in [(1, 0), (2, 0), (3, len), (len - 1, len)] {
        let mut input = &bytes[..given];
        assert!(t.session.receive(&mut input, t.now).is_none());
        assert_eq!((input.len(), t.session.read_hint()), (given, hint));
    }
    let mut input = &bytes[..len];
    assert!(t.session.receive(&mut input, t.now).is_some());
    assert_eq!((input.len(), t.session.read_hint()), (0, 0));
});

scenario!(what_is_kept_is_counted_to_the_byte, VERSIONS, |t| {
    assert_eq!((t.session.pending(), t.session.stats().bytes_kept), (0, 0));
    let token = t.publish("abc", Qos::AtLeastOnce, b"12345");
    assert_eq!((t.session.pending(), t.session.stats().bytes_kept), (1, 3 + 5 + 8));
    t.publish("abc", Qos::AtLeastOnce, b"1");
    assert_eq!((t.session.pending(), t.session.stats().bytes_kept), (2, 16 + 3 + 1 + 8));
    assert_eq!(t.session.stats().queued, 2);
    assert!(t.session.cancel(token));
    assert_eq!((t.session.pending(), t.session.stats().bytes_kept), (1, 12));
    t.connect();
    t.drain();
    let stats = t.session.stats();
    assert_eq!((stats.open, stats.in_flight, stats.queued), (1, 1, 0));
    t.send(Puback::new(id(1)));
    assert_eq!((t.session.pending(), t.session.stats().bytes_kept), (0, 0));
});

// The memory of a connection's aliases is free for the next one, and for messages.
scenario!(
    aliases_of_connections_that_have_ended_keep_no_memory,
    [Version::V5],
    |c| {
        c.topic_alias_maximum = 2;
        c.topic_alias_bytes = 600;
    },
    |t| {
        for _ in 0..20 {
            t.connect_with(false, &[Property::TopicAliasMaximum(2)]);
            for number in [1, 2] {
                let alias = [Property::TopicAlias(number)];
                let topic = format!("{number}").repeat(200);
                t.send(Publish {
                    properties: Properties::List(&alias),
                    ..Publish::new(TopicName::new(&topic).unwrap(), b"x")
                });
                let own = Message::new(TopicName::new(&topic).unwrap());
                t.session.publish(&own, b"x"[..].into()).map_err(|_| ()).unwrap();
            }
            t.drain();
            t.cut();
            t.events();
        }
        let mut accepted = 0;
        while t.session.publish(&message(Qos::AtLeastOnce), [7; 200][..].into()).is_ok() {
            accepted += 1;
        }
        assert_eq!(accepted, (MEMORY - 1_024 - 600) / 209);
        t.connect();
        assert_eq!(core::iter::from_fn(|| t.next_frame()).count(), accepted);
    }
);

// ---- times -----------------------------------------------------------------------------------------

#[test]
fn instants_saturate_and_never_go_below_zero() {
    let (start, later) = (Instant::from_micros(5), Instant::from_micros(9));
    assert_eq!(start.as_micros(), 5);
    assert_eq!(start.after(Duration::from_micros(4)), later);
    assert_eq!(later.since(start), Duration::from_micros(4));
    assert_eq!(start.since(later), Duration::ZERO);
    assert_eq!(start.after(Duration::MAX).as_micros(), u64::MAX);
    assert_eq!(Instant::ZERO.after(Duration::from_micros(u64::MAX - 1)).as_micros(), u64::MAX - 1);
    assert_eq!(Instant::ZERO.as_micros(), 0);
}

/// A manual acknowledgement of every kind of token, at each edge of the table.
#[test]
fn as_many_tokens_as_the_table_has_places_are_told_apart() {
    let mut t =
        Trace::heap(Config { ack_mode: AckMode::Manual, receive_maximum: 300, ..Config::new(1) }, usize::MAX);
    t.connect();
    let mut tokens = Vec::new();
    for number in 1..=300 {
        t.send(Publish {
            qos: Qos::AtLeastOnce,
            packet_id: Some(id(number)),
            ..Publish::new(TopicName::new("a").unwrap(), b"x")
        });
        let crate::common::Seen::Message { ack: Some(ack), .. } = t.event() else { panic!() };
        assert!(!tokens.contains(&ack));
        tokens.push(ack);
    }
    for ack in tokens.iter().rev() {
        t.session.acknowledge(*ack, ReasonCode::Success, Properties::EMPTY).unwrap();
        let again = t.session.acknowledge(*ack, ReasonCode::Success, Properties::EMPTY);
        assert_eq!(again, Err(AckError::Stale));
    }
    for number in 1..=300 {
        t.expect(Puback::new(id(number)));
    }
}
