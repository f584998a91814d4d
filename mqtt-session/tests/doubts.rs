//! A session on the server of which this side does not know all: identifiers under which it may hold an exchange
//! are asked for before a QoS 2 message takes one.

use core::time::Duration;

use crate::common::{MEMORY, Seen, Small, Trace, config, id};
use mqtt_session::proto::{
    Connect, Peer, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, Suback,
    Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{Config, Durability, HeapSession, LocalState, Session, Storage, WhenNotStored};

fn message(qos: Qos, packet_id: u16, payload: &'static [u8]) -> Publish<'static> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(TopicName::new("a").unwrap()),
        packet_id: (packet_id != 0).then(|| id(packet_id)),
        properties: Properties::EMPTY,
        payload,
    }
}

fn small(set: impl Fn(&mut Config)) -> Config {
    let mut config = config();
    config.max_in_flight = 3;
    config.durability = Durability::Async;
    set(&mut config);
    config
}

fn hold<S: Storage>(t: &mut Trace<S>) {
    t.options.clean_start = false;
    t.options.session_expiry = 3_600;
    t.options.local_state = LocalState::Held;
}

/// Runs on both storages, with input whole and byte by byte.
macro_rules! doubtful {
    ($(#[$meta:meta])* $name:ident, |$c:ident| $set:block, |$t:ident, $fresh:ident| $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            fn go<S: Storage>($t: &mut Trace<S>, $fresh: &dyn Fn() -> Session<S>) $body
            let config = small(|$c: &mut Config| $set);
            for step in [usize::MAX, 1] {
                let mut heap = Trace::heap(config, step);
                hold(&mut heap);
                go(&mut heap, &|| HeapSession::new(config));
                let mut fixed = Trace::fixed(config, step);
                hold(&mut fixed);
                go(&mut fixed, &|| Small::new([0; MEMORY], config));
            }
        }
    };
}

/// The program ends without a word; the journal has lost all but the first `kept` records and deletions.
fn crash<S: Storage>(t: &mut Trace<S>, session: Session<S>, kept: usize) {
    for (key, _) in core::mem::take(&mut t.unanswered).into_iter().skip(kept) {
        t.journal.remove(&key);
    }
    t.restart(session);
}

doubtful!(
    /// [5.0 MQTT-4.3.3-10]
    a_message_never_takes_an_identifier_the_server_may_hold_for_another, |_c| {}, |t, fresh| {
    t.connect();
    t.sync();
    t.syncs = false;
    let first = t.publish("a", Qos::ExactlyOnce, b"1");
    t.publish("a", Qos::ExactlyOnce, b"2");
    t.expect(message(Qos::ExactlyOnce, 1, b"1"));
    t.expect(message(Qos::ExactlyOnce, 2, b"2"));
    // The server has both; the journal has both messages, and not their marks.
    crash(t, fresh(), 2);
    t.syncs = true;
    t.resume();
    for number in 1..=3 {
        t.expect(Pubrel::new(id(number)));
    }
    t.expect_silence();
    t.send(Pubcomp::new(id(2)));
    t.expect(message(Qos::ExactlyOnce, 2, b"1"));
    t.send(Pubcomp::with(id(3), ReasonCode::PacketIdentifierNotFound, Properties::EMPTY));
    t.expect(message(Qos::ExactlyOnce, 3, b"2"));
    t.send(Pubcomp::new(id(1)));
    t.see_nothing();
    t.send(Pubrec::new(id(2)));
    t.expect(Pubrel::new(id(2)));
    t.send(Pubcomp::new(id(2)));
    t.done(first, "Acked(Success)");
    t.publish("a", Qos::ExactlyOnce, b"3");
    t.expect(message(Qos::ExactlyOnce, 1, b"3"));
});

doubtful!(what_holds_an_identifier_in_the_journal_goes_on_with_it, |_c| {}, |t, fresh| {
    t.connect();
    t.publish("a", Qos::ExactlyOnce, b"1");
    t.expect(message(Qos::ExactlyOnce, 1, b"1"));
    t.restart(fresh());
    t.resume();
    t.expect(Pubrel::new(id(2)));
    t.expect(Pubrel::new(id(3)));
    t.expect(Publish { dup: true, ..message(Qos::ExactlyOnce, 1, b"1") });
});

doubtful!(what_was_not_answered_is_asked_for_again_on_the_next_connection, |_c| {}, |t, fresh| {
    t.connect();
    t.sync();
    t.restart(fresh());
    t.resume();
    t.publish("a", Qos::ExactlyOnce, b"1");
    for number in 1..=3 {
        t.expect(Pubrel::new(id(number)));
    }
    t.send(Pubcomp::new(id(2)));
    t.expect(message(Qos::ExactlyOnce, 2, b"1"));
    t.cut();
    t.after_backoff();
    t.resume();
    t.expect(Pubrel::new(id(1)));
    t.expect(Pubrel::new(id(3)));
    t.expect(Publish { dup: true, ..message(Qos::ExactlyOnce, 2, b"1") });
});

doubtful!(a_server_that_closes_on_what_it_is_asked_is_not_asked_for_ever, |_c| {}, |t, fresh| {
    t.connect();
    t.sync();
    t.restart(fresh());
    t.resume();
    t.publish("a", Qos::ExactlyOnce, b"1");
    for _ in 0..8 {
        for number in 1..=3 {
            t.expect(Pubrel::new(id(number)));
        }
        t.expect_silence();
        t.cut();
        t.after_backoff();
        t.resume();
    }
    t.expect(message(Qos::ExactlyOnce, 1, b"1"));
});

doubtful!(who_never_publishes_at_qos_2_is_not_held_up, |_c| {}, |t, fresh| {
    t.connect();
    t.sync();
    t.restart(fresh());
    t.resume();
    t.publish("a", Qos::AtLeastOnce, b"1");
    t.publish("a", Qos::AtMostOnce, b"2");
    t.expect(message(Qos::AtLeastOnce, 1, b"1"));
    t.expect(message(Qos::AtMostOnce, 0, b"2"));
    // One identifier is in use: the two others are asked for.
    t.publish("a", Qos::ExactlyOnce, b"3");
    t.expect(Pubrel::new(id(2)));
    t.expect(Pubrel::new(id(3)));
    t.expect_silence();
    t.send(Puback::new(id(1)));
    t.expect(message(Qos::ExactlyOnce, 1, b"3"));
});

doubtful!(
    a_server_without_qos_2_is_not_asked,
    |c| { c.over_qos = mqtt_session::OverQos::Lower },
    |t, fresh| {
        t.connect();
        t.sync();
        t.syncs = false;
        t.publish("a", Qos::ExactlyOnce, b"1");
        t.expect(message(Qos::ExactlyOnce, 1, b"1"));
        crash(t, fresh(), 1);
        t.syncs = true;
        t.connect_with(true, &[Property::MaximumQos(Qos::AtLeastOnce)]);
        t.expect(message(Qos::AtLeastOnce, 1, b"1"));
    }
);

doubtful!(a_new_session_holds_nothing, |_c| {}, |t, fresh| {
    t.connect();
    t.sync();
    t.restart(fresh());
    t.resume();
    t.publish("a", Qos::ExactlyOnce, b"1");
    t.expect(Pubrel::new(id(1)));
    t.cut();
    t.after_backoff();
    t.connect();
    t.expect(message(Qos::ExactlyOnce, 1, b"1"));
});

doubtful!(
    /// A session of an earlier run of which there is no record at all.
    a_session_that_is_only_said_to_be_held_is_in_doubt_too, |c| { c.durability = Durability::Off }, |t, _fresh| {
    t.resume();
    t.publish("a", Qos::ExactlyOnce, b"1");
    for number in 1..=3 {
        t.expect(Pubrel::new(id(number)));
    }
    t.send(Pubcomp::new(id(3)));
    t.expect(message(Qos::ExactlyOnce, 3, b"1"));
});

doubtful!(
    a_journal_that_is_waited_for_leaves_no_doubt,
    |c| { c.durability = Durability::BeforeSend },
    |t, fresh| {
        t.connect();
        t.publish("a", Qos::ExactlyOnce, b"1");
        t.expect(message(Qos::ExactlyOnce, 1, b"1"));
        t.restart(fresh());
        t.resume();
        t.publish("a", Qos::ExactlyOnce, b"2");
        t.expect(Publish { dup: true, ..message(Qos::ExactlyOnce, 1, b"1") });
        t.expect(message(Qos::ExactlyOnce, 2, b"2"));
    }
);

doubtful!(
    messages_that_go_unrecorded_leave_doubt,
    |c| {
        c.durability = Durability::BeforeSend;
        c.when_not_stored = WhenNotStored::Send;
    },
    |t, fresh| {
        t.connect();
        t.publish("a", Qos::ExactlyOnce, b"1");
        t.expect(message(Qos::ExactlyOnce, 1, b"1"));
        t.restart(fresh());
        t.resume();
        t.expect(Pubrel::new(id(2)));
        t.expect(Pubrel::new(id(3)));
        t.expect(Publish { dup: true, ..message(Qos::ExactlyOnce, 1, b"1") });
    }
);

doubtful!(an_answer_nobody_asked_for_frees_nothing, |_c| {}, |t, fresh| {
    t.connect();
    t.sync();
    t.restart(fresh());
    t.resume();
    t.send(Pubcomp::new(id(1)));
    t.see(Seen::Anomaly(1));
    t.publish("a", Qos::ExactlyOnce, b"1");
    for number in 1..=3 {
        t.expect(Pubrel::new(id(number)));
    }
});

doubtful!(
    an_answer_that_never_comes_has_a_deadline,
    |c| {
        c.ack_timeout = Some(Duration::from_secs(5));
    },
    |t, fresh| {
        t.connect();
        t.sync();
        t.restart(fresh());
        t.resume();
        t.publish("a", Qos::ExactlyOnce, b"1");
        t.drain();
        t.after(Duration::from_secs(5));
        assert_eq!(t.expect_closing(), mqtt_session::Why::AckTimeout);
    }
);

/// The marks of the lost session must not be taken for those of the next one, in which another message may have their
/// identifiers: here a subscription made again takes one, and every message behind it that of its follower.
#[test]
fn messages_of_a_lost_session_wait_for_the_record_of_the_next_one() {
    fn go<S: Storage>(t: &mut Trace<S>) {
        let filter = TopicFilter::new("in/#").unwrap();
        let options = SubscriptionOptions::new(Qos::AtMostOnce);
        t.session.subscribe(&[Subscription { filter, options }], Properties::EMPTY).unwrap();
        t.connect();
        let _ = t.next_frame();
        let codes = (&[ReasonCode::Success][..]).into();
        t.send(Suback { packet_id: id(1), properties: Properties::EMPTY, codes });
        for payload in [b"1", b"2", b"3"] {
            t.publish("a", Qos::ExactlyOnce, payload);
            assert!(t.next_frame().is_some());
        }
        t.cut();
        t.after_backoff();
        t.syncs = false;
        t.connect();
        t.expect_silence();
        t.sync();
        assert!(t.next_frame().is_some_and(|frame| frame[0] == 0x82));
        t.expect(message(Qos::ExactlyOnce, 3, b"1"));
    }
    for version in [Version::V3_1_1, Version::V5] {
        let config = small(|_| {});
        let (mut heap, mut fixed) = (Trace::heap(config, 1), Trace::fixed(config, 1));
        hold(&mut heap);
        hold(&mut fixed);
        (heap.options.version, fixed.options.version) = (version, version);
        if version != Version::V5 {
            (heap.options.session_expiry, fixed.options.session_expiry) = (0, 0);
        }
        go(&mut heap);
        go(&mut fixed);
    }
}

doubtful!(
    /// A clean one ends with its connection: what follows it began with nothing.
    on_3_1_a_clean_session_leaves_nothing_in_doubt, |c| { c.durability = Durability::Off; }, |t, _fresh| {
    (t.options.version, t.options.session_expiry) = (Version::V3_1, 0);
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"1");
    for number in 1..=3 {
        t.expect(Pubrel::new(id(number)));
    }
    t.send(Pubcomp::new(id(1)));
    t.expect(message(Qos::ExactlyOnce, 1, b"1"));
    // The wrong answer: whether the server still holds it nobody knows, so the next session is a new one.
    t.send(Puback::new(id(1)));
    t.done(token, "Violated");
    t.refuses(ReasonCode::ProtocolError);
    let clean = |frame: Vec<u8>| Connect::decode(&frame, Version::V3_1, Peer::Client).unwrap().clean_start;
    assert!(clean(t.open()));
    t.connect_accepted();
    t.cut();
    assert!(!clean(t.open()));
    t.connect_accepted();
    t.publish("a", Qos::ExactlyOnce, b"2");
    t.expect(message(Qos::ExactlyOnce, 1, b"2"));
});
