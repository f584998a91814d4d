//! A message may take a short way, or wait in the queue first. What leaves is the same, and so is what stays behind.

use crate::common;

use core::num::NonZeroU64;
use core::time::Duration;

use bytes::Bytes;
use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Packet, Peer, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Qos, ReasonCode, TopicName, Version,
};
use mqtt_session::{HeapPayload, LocalState, Message, PublishError, SessionLost, Stop, Storage, Token};

const ALL: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

fn message(topic: &'static str, qos: Qos) -> Message<'static> {
    Message::new(TopicName::new(topic).unwrap()).qos(qos)
}

fn publish<S: Storage>(
    t: &mut Trace<S>,
    message: &Message<'_>,
    payload: &[u8],
) -> Result<Token, PublishError> {
    t.session.publish(message, payload.into()).map_err(|refused| refused.reason)
}

/// Payload, topic, Topic Alias, RETAIN, DUP.
type Sent = (Vec<u8>, String, Option<u16>, bool, bool);

/// What the server sees.
fn sent<S: Storage>(t: &mut Trace<S>) -> Vec<Sent> {
    let mut all = Vec::new();
    while let Some(frame) = t.next_frame() {
        let Ok(Packet::Publish(publish)) = Packet::decode(&frame, t.version(), Peer::Client) else {
            continue;
        };
        let topic = publish.topic.map_or("", TopicName::as_str).to_owned();
        let alias = publish.properties.topic_alias();
        all.push((publish.payload.to_vec(), topic, alias, publish.retain, publish.dup));
    }
    all
}

// [5.0 MQTT-3.3.1-5], [3.1.1 MQTT-3.3.1-5]
scenario!(what_is_to_be_retained_says_so_on_every_way_and_again_on_a_resume, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    for (qos, payload) in ALL.into_iter().zip([b"0", b"1", b"2"]) {
        publish(t, &message("room/light", qos).retain(true), payload).unwrap();
    }
    let want = |payload: &[u8], dup| (payload.to_vec(), "room/light".to_owned(), None, true, dup);
    assert_eq!(sent(t), [want(b"0", false), want(b"1", false), want(b"2", false)]);
    t.cut();
    publish(t, &message("room/light", Qos::AtLeastOnce).retain(true), b"queued").unwrap();
    t.resume();
    assert_eq!(sent(t), [want(b"1", true), want(b"2", true), want(b"queued", false)]);
});

scenario!(what_is_to_be_retained_says_so_where_an_alias_says_the_topic, |t| {
    t.connect_with(false, &[Property::TopicAliasMaximum(4)]);
    for retain in [true, false] {
        for qos in ALL {
            publish(t, &message("room/light", qos).retain(retain), b"x").unwrap();
        }
    }
    let all = sent(t);
    assert_eq!(all.iter().map(|sent| sent.3).collect::<Vec<_>>(), [true, true, true, false, false, false]);
    assert_eq!(all[0].1, "room/light");
    assert!(all[1..].iter().all(|sent| sent.1.is_empty() && sent.2 == Some(1)));
});

// [5.0 MQTT-3.2.2-14], [5.0 MQTT-3.2.2-15]
scenario!(what_the_server_does_not_take_is_refused_at_every_qos, |t| {
    t.connect_with(false, &[Property::RetainAvailable(false), Property::MaximumPacketSize(40)]);
    for qos in ALL {
        let retained = publish(t, &message("a", qos).retain(true), b"x");
        assert_eq!(retained, Err(PublishError::RetainNotSupported));
        let large = publish(t, &message("a", qos), &[b'x'; 60]);
        assert!(matches!(large, Err(PublishError::TooLargeForServer { allowed: 40, .. })), "{large:?}");
    }
    t.expect_silence();
});

// A server without retained messages takes the others as ever.
scenario!(what_is_not_to_be_retained_needs_no_retained_messages, |t| {
    t.connect_with(false, &[Property::RetainAvailable(false)]);
    for qos in ALL {
        let retained = publish(t, &message("a", qos).retain(true), b"x");
        assert_eq!(retained, Err(PublishError::RetainNotSupported));
        publish(t, &message("a", qos), b"x").unwrap();
    }
    assert_eq!(sent(t).len(), 3);
});

scenario!(properties_go_with_a_message_at_every_qos_without_aliases_too, |t| {
    t.connect();
    for properties in [
        &[Property::ContentType("text"), Property::UserProperty("k", "v")][..],
        &[Property::MessageExpiryInterval(60)],
    ] {
        for qos in ALL {
            publish(t, &message("a", qos).properties(Properties::List(properties)), b"x").unwrap();
            let frame = t.next_frame().unwrap();
            let Ok(Packet::Publish(publish)) = Packet::decode(&frame, Version::V5, Peer::Client) else {
                panic!("{frame:02x?}");
            };
            assert_eq!(publish.properties.iter().collect::<Vec<_>>(), properties);
        }
    }
});

scenario!(an_alias_of_the_application_is_refused_at_every_qos, |t| {
    t.connect();
    for qos in ALL {
        let properties = [Property::TopicAlias(1)];
        let refused = publish(t, &message("a", qos).properties(Properties::List(&properties)), b"x");
        assert!(matches!(refused, Err(PublishError::Invalid(_))), "{refused:?}");
    }
    t.expect_silence();
});

// A packet that finds no room in the wire buffer was not sent, and its alias was not said.
scenario!(a_topic_is_said_before_its_alias_however_full_the_wire_buffer_is, |t| {
    const TOPICS: [&str; 8] =
        ["room/0", "room/1", "room/2", "room/3", "room/4", "room/5", "room/6", "room/7"];
    for qos in ALL {
        t.connect_with(false, &[Property::TopicAliasMaximum(20)]);
        t.writable = false;
        for topic in TOPICS {
            publish(t, &message(topic, qos), &[b'x'; 200]).unwrap();
        }
        t.writable = true;
        for topic in TOPICS {
            publish(t, &message(topic, qos), b"x").unwrap();
        }
        let all = sent(t);
        for (at, (topic, alias)) in TOPICS.into_iter().zip(1..).enumerate() {
            assert_eq!((&*all[at].1, all[at].2), (topic, Some(alias)));
            assert_eq!((&*all[8 + at].1, all[8 + at].2), ("", Some(alias)));
        }
        t.session.stop(Stop::now()).unwrap();
        t.expect_closing();
        t.events();
    }
});

// Each acknowledgement gives back what its message took of the server's Receive Maximum. [5.0 MQTT-3.3.4-7]
scenario!(the_quota_comes_back_with_each_end_on_every_connection, |t| {
    for _ in 0..3 {
        t.connect_with(false, &[Property::ReceiveMaximum(2)]);
        for _ in 0..3 {
            for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
                for _ in 0..3 {
                    publish(t, &message("a", qos), b"x").unwrap();
                }
                for _ in 0..3 {
                    let frame = t.next_frame().expect("PUBLISH");
                    let Ok(Packet::Publish(Publish { packet_id: Some(number), .. })) =
                        Packet::decode(&frame, Version::V5, Peer::Client)
                    else {
                        panic!("{frame:02x?}");
                    };
                    if qos == Qos::AtLeastOnce {
                        t.send(Puback::new(number));
                    } else {
                        // What was refused leaves no PUBREL behind.
                        t.send(Pubrec::with(number, ReasonCode::QuotaExceeded, Properties::EMPTY));
                    }
                }
                t.expect_silence();
            }
        }
        assert_eq!((t.session.pending(), t.session.stats().bytes_kept), (0, 0));
        t.cut();
        t.events();
    }
});

scenario!(a_message_that_was_answered_keeps_no_bytes, VERSIONS, |t| {
    t.connect();
    let first = t.publish("a", Qos::ExactlyOnce, b"0123456789");
    let second = t.publish("a", Qos::AtLeastOnce, b"0123456789");
    let kept = t.session.stats().bytes_kept;
    assert!(kept > 20, "{kept}");
    t.send(Pubrec::new(id(1)));
    assert_eq!(t.session.stats().bytes_kept, kept / 2, "the message itself is never needed again");
    t.send(Pubcomp::new(id(1)));
    t.send(Puback::new(id(2)));
    t.done(first, "Acked(Success)");
    t.done(second, "Acked(Success)");
    assert_eq!(t.session.stats().bytes_kept, 0);
});

// With a deadline for acknowledgements every answer takes the long way.
scenario!(
    a_message_that_was_answered_on_the_long_way_keeps_no_bytes,
    VERSIONS,
    |c| { c.ack_timeout = Some(Duration::from_secs(60)) },
    |t| {
        t.connect();
        t.publish("a", Qos::ExactlyOnce, b"0123456789");
        t.send(Pubrec::new(id(1)));
        assert_eq!(t.session.stats().bytes_kept, 0, "the message itself is never needed again");
        t.send(Pubcomp::new(id(1)));
        assert_eq!(t.session.pending(), 0);
    }
);

/// Memory that is shared with the application is let go of as soon as it is not needed, however the message ends.
#[test]
fn a_shared_payload_is_let_go_of_when_its_message_ends() {
    for (len, timeout) in [(100, None), (3_000, None), (3_000, Some(Duration::from_secs(60))), (60_000, None)]
    {
        let payload = Bytes::from(vec![7; len]);
        let mut config = mqtt_session::Config::new(1);
        config.ack_timeout = timeout;
        config.on_session_lost = SessionLost::Fail;
        let mut t = Trace::heap(config, usize::MAX);
        let share = |t: &mut Trace<mqtt_session::Heap>, message: &Message<'_>| {
            let shared = HeapPayload::Share(payload.clone());
            t.session.publish(message, shared).map_err(|refused| refused.reason).unwrap()
        };
        let queued = share(&mut t, &message("a", Qos::AtLeastOnce));
        assert!(t.session.cancel(queued));
        share(&mut t, &message("a", Qos::AtLeastOnce).ttl(Duration::from_secs(1)));
        let key = message("a", Qos::AtLeastOnce).key(NonZeroU64::new(1).unwrap());
        share(&mut t, &key);
        publish(&mut t, &key, b"later").unwrap();
        t.drain();
        t.after(Duration::from_secs(2));
        assert!(payload.is_unique(), "cancelled, expired and replaced");
        t.connect();
        t.next_frame().unwrap();
        t.send(Puback::new(id(1)));
        share(&mut t, &message("a", Qos::AtMostOnce));
        t.next_frame().unwrap();
        assert!(payload.is_unique(), "sent");
        share(&mut t, &message("a", Qos::AtLeastOnce));
        t.next_frame().unwrap();
        t.send(Puback::new(id(2)));
        assert!(payload.is_unique(), "acknowledged");
        share(&mut t, &message("a", Qos::ExactlyOnce));
        t.next_frame().unwrap();
        t.send(Pubrec::new(id(3)));
        assert!(payload.is_unique(), "received");
        share(&mut t, &message("a", Qos::ExactlyOnce));
        t.next_frame().unwrap();
        t.cut();
        t.connect();
        assert!(payload.is_unique(), "lost with the session");
    }
}

// What came in time is out of the order of the times, and what takes its place there has a time of its own.
scenario!(a_message_that_was_acknowledged_does_not_expire_any_more, VERSIONS, |t| {
    t.options.clean_start = false;
    t.connect();
    let seconds = Duration::from_secs;
    for (number, ttl) in (1..=4).zip([9, 5, 7, 3]) {
        publish(t, &message("a", Qos::AtLeastOnce).ttl(seconds(ttl)), b"x").unwrap();
        t.drain();
        t.send(Puback::new(id(number)));
    }
    assert_eq!(sent(t).len(), 4);
    t.events();
    t.cut();
    t.events();
    t.session.stop(Stop::now()).unwrap();
    t.drain();
    t.events();
    let mut kept = Vec::new();
    for (at, ttl) in [30, 20, 0, 40, 25].into_iter().enumerate() {
        let mut message = message("a", Qos::AtLeastOnce);
        message.ttl = (ttl != 0).then_some(seconds(ttl));
        kept.push((ttl, publish(t, &message, &[at as u8]).unwrap()));
    }
    t.drain();
    t.after(seconds(15));
    t.see_nothing();
    kept.sort_by_key(|(ttl, _)| *ttl);
    t.after(seconds(30));
    for (_, token) in &kept[1..] {
        t.done(*token, "Expired");
    }
    t.see_nothing();
    assert!(t.session.poll_timeout().is_none(), "nothing is waited for");
});

// What has ended, in whatever way, wakes nobody.
scenario!(an_end_takes_the_time_to_live_with_it, VERSIONS, |t| {
    let mortal = message("a", Qos::AtLeastOnce).ttl(Duration::from_secs(50));
    let token = publish(t, &mortal, b"x").unwrap();
    t.drain();
    assert_eq!(t.session.poll_timeout(), Some(t.now.after(Duration::from_secs(50))));
    assert!(t.session.cancel(token));
    t.events();
    assert_eq!(t.session.poll_timeout(), None);
    t.options.keep_alive = 0;
    t.connect();
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        publish(t, &message("a", qos).ttl(Duration::from_secs(50)), b"x").unwrap();
    }
    t.drain();
    t.send(Puback::new(id(1)));
    t.send(Pubrec::new(id(2)));
    t.send(Pubcomp::new(id(2)));
    t.events();
    assert_eq!(t.session.poll_timeout(), None);
});

// The server of a session that nobody here knows of may bring again what an earlier program handed over.
scenario!(
    /// [5.0 MQTT-4.3.3-10]
    only_a_repeated_qos_2_message_of_an_unknown_session_may_be_had_already,
    [Version::V3_1_1, Version::V5],
    |t| {
        t.options.clean_start = false;
        t.options.local_state = LocalState::Held;
        for known in [false, true] {
            t.connect_with(true, &[]);
            for (number, dup, qos) in [
                (1, true, Qos::AtLeastOnce),
                (2, false, Qos::ExactlyOnce),
                (3, true, Qos::ExactlyOnce),
                (4, false, Qos::AtLeastOnce),
            ] {
                let topic = TopicName::new("a").unwrap();
                let number = id(number + 10 * u16::from(known));
                t.send(Publish { dup, qos, packet_id: Some(number), ..Publish::new(topic, b"x") });
            }
            assert_eq!(t.events().iter().filter(|seen| matches!(seen, Seen::Message { .. })).count(), 4);
            assert_eq!(t.redelivered, [false, false, true, false]);
            t.redelivered.clear();
            t.take_sent();
            t.session.stop(Stop::now()).unwrap();
            t.expect_closing();
            t.events();
            if known {
                break;
            }
        }
    }
);
