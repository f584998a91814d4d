//! Records for a journal: what waits for them, and what a run makes of those of an earlier one.

use crate::common;

use core::time::Duration;

use common::{MEMORY, Seen, Small, Trace, config, id};
use mqtt_session::proto::{
    Connack, Connect, Packet, Peer, Properties, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode,
    Suback, Subscription, SubscriptionOptions, TopicFilter, TopicName, Unsuback, Version,
};
use mqtt_session::{
    AckMode, Command, Config, Durability, Fixed, Heap, HeapPayload, HeapSession, Key, Message, RestoreError,
    Session, SessionLost, StartError, Stop, Storage, Token, WhenNotStored,
};

/// Runs on both storages; `fresh` makes the session of the next run of the program.
macro_rules! durable {
    ($(#[$meta:meta])* $name:ident, $durability:ident, |$c:ident| $set:block, |$t:ident, $fresh:ident| $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            fn go<S: Storage>($t: &mut Trace<S>, $fresh: &dyn Fn() -> Session<S>) $body
            let mut config = config();
            config.durability = Durability::$durability;
            {
                let $c = &mut config;
                $set
            }
            for step in [usize::MAX, 1] {
                let mut heap = Trace::<Heap>::heap(config, step);
                prepare(&mut heap);
                go(&mut heap, &|| HeapSession::new(config));
                let mut fixed = Trace::<Fixed<_, 16, 8>>::fixed(config, step);
                prepare(&mut fixed);
                go(&mut fixed, &|| Small::new([0; MEMORY], config));
            }
        }
    };
    ($(#[$meta:meta])* $name:ident, |$t:ident, $fresh:ident| $body:block) => {
        durable!($(#[$meta])* $name, BeforeSend, |_c| {}, |$t, $fresh| $body);
    };
}

fn prepare<S: Storage>(t: &mut Trace<S>) {
    t.options.clean_start = false;
    t.options.session_expiry = 3_600;
}

fn message<'a>(topic: &'a str, qos: Qos, packet_id: u16, payload: &'static [u8]) -> Publish<'a> {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: Some(TopicName::new(topic).unwrap()),
        packet_id: (packet_id != 0).then(|| id(packet_id)),
        properties: Properties::EMPTY,
        payload,
    }
}

fn again(packet: Publish<'_>) -> Publish<'_> {
    Publish { dup: true, ..packet }
}

/// Keys of operations, marks and exchanges in the journal: everything but the session.
fn kept<S: Storage>(t: &Trace<S>) -> usize {
    t.journal.keys().filter(|key| u64::from(**key) != 3 << 30).count()
}

fn subscribe<S: Storage>(t: &mut Trace<S>, filter: &str) -> Token {
    let filter = TopicFilter::new(filter).unwrap();
    let options = SubscriptionOptions::new(Qos::ExactlyOnce);
    t.session.subscribe(&[Subscription { filter, options }], Properties::EMPTY).unwrap()
}

fn codes(list: &'static [ReasonCode], packet_id: u16) -> Suback<'static> {
    Suback { packet_id: id(packet_id), properties: Properties::EMPTY, codes: list.into() }
}

// ---- what waits ------------------------------------------------------------------------------------

durable!(nothing_of_a_publish_leaves_before_the_journal_has_it, |t, _fresh| {
    t.connect();
    t.syncs = false;
    let token = t.publish("a", Qos::AtLeastOnce, b"x");
    t.expect_silence();
    t.see_nothing();
    // The message and its mark were given together: one sync is enough.
    assert_eq!(t.unanswered.len(), 2);
    let (message_key, _) = t.unanswered.pop_front().unwrap();
    t.session.stored(message_key);
    t.see(Seen::Durable(token));
    t.expect_silence();
    t.sync();
    t.expect(message("a", Qos::AtLeastOnce, 1, b"x"));
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
    t.sync();
    assert_eq!(kept(t), 0);
});

durable!(many_records_are_answered_by_one_sync_in_any_order, |t, _fresh| {
    t.connect();
    t.syncs = false;
    let tokens = [b"1", b"2", b"3"].map(|payload| t.publish("a", Qos::ExactlyOnce, payload));
    t.drain();
    assert_eq!(t.unanswered.len(), 6);
    t.sync(); // last first
    let told = t.events();
    assert!(tokens.iter().all(|token| told.contains(&Seen::Durable(*token))), "{told:?}");
    for (number, payload) in [(1, b"1"), (2, b"2"), (3, b"3")] {
        t.expect(message("a", Qos::ExactlyOnce, number, payload));
    }
});

durable!(a_connection_is_opened_once_the_journal_knows_of_the_session, |t, _fresh| {
    t.syncs = false;
    t.session.start(&t.options.clone()).unwrap();
    assert_eq!(t.command(), None);
    t.sync();
    assert!(matches!(t.command(), Some(Command::Open { .. })));
});

durable!(without_waiting_everything_leaves_at_once, Async, |_c| {}, |t, _fresh| {
    t.syncs = false;
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    t.expect(message("a", Qos::ExactlyOnce, 1, b"x"));
    t.send(Pubrec::new(id(1)));
    t.expect(Pubrel::new(id(1)));
    t.send(Pubcomp::new(id(1)));
    t.done(token, "Acked(Success)");
    t.send(message("b", Qos::ExactlyOnce, 9, b"y"));
    t.expect(Pubrec::new(id(9)));
    t.send(Pubrel::new(id(9)));
    t.expect(Pubcomp::new(id(9)));
    t.sync();
    assert_eq!(kept(t), 0);
});

durable!(
    /// [5.0 MQTT-4.3.3-6]
    pubrel_waits_until_a_crash_cannot_send_publish_again, |t, fresh| {
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    t.expect(message("a", Qos::ExactlyOnce, 1, b"x"));
    t.syncs = false;
    t.events();
    t.send(Pubrec::new(id(1)));
    t.send(Pubrec::new(id(1)));
    t.expect_silence();
    t.sync();
    t.expect(Pubrel::new(id(1)));
    t.expect_silence();
    t.restart(fresh());
    t.syncs = true;
    t.resume();
    t.expect(Pubrel::new(id(1)));
    t.expect_silence();
    t.send(Pubcomp::new(id(1)));
    t.done(token, "Acked(Success)");
    t.drain();
    assert_eq!(kept(t), 0);
});

durable!(
    /// [5.0 MQTT-4.3.3-10]
    pubrec_waits_for_the_identifier_and_pubcomp_for_its_deletion, |t, _fresh| {
    t.connect();
    t.syncs = false;
    t.send(message("a", Qos::ExactlyOnce, 5, b"x"));
    t.expect_silence();
    t.send(again(message("a", Qos::ExactlyOnce, 5, b"x")));
    t.expect_silence();
    assert_eq!(t.events().len(), 1, "delivered once");
    t.sync();
    t.expect(Pubrec::new(id(5)));
    t.send(Pubrel::new(id(5)));
    t.expect_silence();
    t.sync();
    t.expect(Pubcomp::new(id(5)));
    assert_eq!(kept(t), 0);
});

durable!(
    /// [5.0 MQTT-4.6.0-3]
    pubrecs_keep_their_order_whatever_is_stored_first, |t, _fresh| {
    t.connect();
    t.syncs = false;
    for number in [7, 3, 5] {
        t.send(message("a", Qos::ExactlyOnce, number, b"x"));
    }
    t.sync(); // last first
    for number in [7, 3, 5] {
        t.expect(Pubrec::new(id(number)));
    }
});

durable!(
    what_the_application_acknowledges_is_recorded_before_pubrec,
    BeforeSend,
    |c| {
        c.ack_mode = AckMode::Manual;
    },
    |t, fresh| {
        t.connect();
        t.syncs = false;
        let mut acks = Vec::new();
        for number in [1, 2] {
            t.send(message("a", Qos::ExactlyOnce, number, b"x"));
            let Seen::Message { ack, .. } = t.event() else { panic!("a message") };
            acks.push(ack.unwrap());
        }
        t.session.acknowledge(acks[1], ReasonCode::Success, Properties::EMPTY).unwrap();
        t.drain();
        assert_eq!(t.unanswered.len(), 0, "not its turn");
        t.session.acknowledge(acks[0], ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect_silence();
        t.sync();
        t.expect(Pubrec::new(id(1)));
        t.expect(Pubrec::new(id(2)));
        t.restart(fresh());
        t.syncs = true;
        t.resume();
        t.send(again(message("a", Qos::ExactlyOnce, 1, b"x")));
        t.expect(Pubrec::new(id(1)));
        t.see_nothing();
    }
);

// ---- after a crash ---------------------------------------------------------------------------------

durable!(
    /// [5.0 MQTT-3.3.1-1] [5.0 MQTT-4.4.0-1]
    what_was_in_flight_goes_again_with_dup_and_its_identifier, |t, fresh| {
    t.connect();
    let first = t.publish("a", Qos::AtLeastOnce, b"1");
    let rest = [t.publish("a", Qos::ExactlyOnce, b"2"), t.publish("a", Qos::AtLeastOnce, b"3")];
    for (number, qos, payload) in
        [(1, Qos::AtLeastOnce, b"1"), (2, Qos::ExactlyOnce, b"2"), (3, Qos::AtLeastOnce, b"3")]
    {
        t.expect(message("a", qos, number, payload));
    }
    t.send(Puback::new(id(1)));
    t.drain();
    assert!(t.events().iter().any(|seen| matches!(seen, Seen::Done { token, .. } if *token == first)));
    t.restart(fresh());
    t.drain();
    assert_eq!(t.session.pending(), 2);
    let new = t.publish("a", Qos::AtLeastOnce, b"4");
    assert!(u64::from(new) >> 32 > u64::from(rest[1]) >> 32, "tokens go on above restored ones");
    t.resume();
    t.expect(again(message("a", Qos::ExactlyOnce, 2, b"2")));
    t.expect(again(message("a", Qos::AtLeastOnce, 3, b"3")));
    let frame = t.next_frame().unwrap();
    let sent = Packet::decode(&frame, Version::V5, Peer::Client).unwrap();
    let Packet::Publish(sent) = sent else { panic!("{sent:?}") };
    assert!(!sent.dup && sent.packet_id != Some(id(2)) && sent.packet_id != Some(id(3)), "{sent:?}");
    t.events();
    t.send(Puback::new(id(3)));
    t.done(rest[1], "Acked(Success)");
});

durable!(a_message_that_was_only_reserved_is_sent_without_dup_after_a_cut, |t, _fresh| {
    t.connect();
    t.writable = false;
    t.publish("a", Qos::ExactlyOnce, b"x");
    t.drain();
    let _ = t.session.outgoing(t.now);
    t.drain();
    let _ = t.session.outgoing(t.now).is_empty();
    t.cut();
    t.writable = true;
    t.resume();
    t.expect(message("a", Qos::ExactlyOnce, 1, b"x"));
});

durable!(tags_and_tokens_come_back_in_the_receipts_of_the_next_run, |t, fresh| {
    let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce).tag(77);
    let token = t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    t.drain();
    t.restart(fresh());
    t.connect();
    let _ = t.next_frame();
    t.send(Puback::new(id(1)));
    t.see(Seen::Done { token, tag: 77, outcome: "Acked(Success)".to_owned() });
});

durable!(an_inbound_exchange_goes_on_and_one_that_was_not_stored_is_marked, |t, fresh| {
    t.connect();
    t.send(message("a", Qos::ExactlyOnce, 5, b"x"));
    t.expect(Pubrec::new(id(5)));
    t.syncs = false;
    t.send(message("a", Qos::ExactlyOnce, 6, b"y"));
    t.expect_silence();
    // The crash takes what was not synced.
    for (key, _) in core::mem::take(&mut t.unanswered) {
        t.journal.remove(&key);
    }
    t.restart(fresh());
    t.syncs = true;
    t.redelivered.clear();
    t.resume();
    t.send(again(message("a", Qos::ExactlyOnce, 5, b"x")));
    t.expect(Pubrec::new(id(5)));
    t.see_nothing();
    t.send(again(message("a", Qos::ExactlyOnce, 6, b"y")));
    assert_eq!(t.redelivered, [true]);
    t.expect(Pubrec::new(id(6)));
    t.send(message("a", Qos::ExactlyOnce, 7, b"z"));
    assert_eq!(t.redelivered, [true, false]);
    t.expect(Pubrec::new(id(7)));
    for number in [5, 6, 7] {
        t.send(Pubrel::new(id(number)));
        t.expect(Pubcomp::new(id(number)));
    }
    assert_eq!(kept(t), 0);
});

durable!(subscriptions_of_an_earlier_run_are_made_again_when_the_session_is_lost, |t, fresh| {
    let token = subscribe(t, "in/#");
    let other = subscribe(t, "off/#");
    t.connect();
    let _ = (t.next_frame(), t.next_frame());
    t.send(codes(&[ReasonCode::GrantedQos2], 1));
    t.send(codes(&[ReasonCode::GrantedQos2], 2));
    let filter = TopicFilter::new("off/#").unwrap();
    t.session.unsubscribe(&[filter], Properties::EMPTY).unwrap();
    let _ = t.next_frame();
    let success: &'static [ReasonCode] = &[ReasonCode::Success];
    t.send(Unsuback { packet_id: id(3), properties: Properties::EMPTY, codes: success.into() });
    assert_eq!(t.events().len(), 3, "three ends");
    assert_eq!(kept(t), 1);
    t.restart(fresh());
    assert_eq!(t.session.pending(), 0);
    t.resume();
    t.expect_silence();
    t.restart(fresh());
    t.connect();
    let frame = t.next_frame().expect("SUBSCRIBE");
    assert!(frame[0] == 0x82 && frame.windows(4).any(|part| part == b"in/#"), "{frame:02x?}");
    t.expect_silence();
    t.events();
    t.send(codes(&[ReasonCode::GrantedQos1], 1));
    t.see(Seen::Resubscribed { token, codes: vec![ReasonCode::GrantedQos1] });
    assert_ne!(token, other);
});

durable!(a_session_that_the_server_lost_meanwhile_is_treated_by_the_policy, |t, fresh| {
    t.connect();
    let published = t.publish("a", Qos::AtLeastOnce, b"1");
    let released = t.publish("a", Qos::ExactlyOnce, b"2");
    let _ = (t.next_frame(), t.next_frame());
    t.send(Pubrec::new(id(2)));
    t.expect(Pubrel::new(id(2)));
    t.restart(fresh());
    t.connect();
    t.see(Seen::SessionLost { republished: 1, ended: 1 });
    t.done(released, "Unknown");
    t.expect(message("a", Qos::AtLeastOnce, 3, b"1"));
    t.send(Puback::new(id(3)));
    t.done(published, "Acked(Success)");
    t.drain();
    assert_eq!(kept(t), 0);
});

durable!(
    marks_of_a_lost_session_end_as_the_policy_says,
    BeforeSend,
    |c| {
        c.on_session_lost = SessionLost::Fail;
    },
    |t, fresh| {
        t.connect();
        let token = t.publish("a", Qos::ExactlyOnce, b"1");
        let _ = t.next_frame();
        t.events();
        t.cut();
        // The new session is in the journal, and the crash comes before the deletes.
        let mut journal = t.journal.clone();
        t.connect();
        let session = Key::from(3 << 30);
        journal.insert(session, t.journal[&session].clone());
        t.journal = journal;
        t.restart(fresh());
        t.done(token, "Lost");
        t.drain();
        assert_eq!(kept(t), 0);
    }
);

durable!(what_is_recorded_outlives_a_stop, |t, fresh| {
    t.connect();
    let token = t.publish("a", Qos::AtLeastOnce, b"1");
    let _ = t.next_frame();
    t.publish("a", Qos::AtMostOnce, b"0");
    t.events();
    t.session.stop(Stop::now()).unwrap();
    t.drain();
    assert_eq!(t.command(), Some(Command::Close));
    t.close(mqtt_session::Closed::Carried);
    let seen = t.events();
    assert!(seen.contains(&Seen::Stopped { left: 1 }), "{seen:?}");
    assert!(!seen.iter().any(|seen| matches!(seen, Seen::Done { .. })), "{seen:?}");
    t.restart(fresh());
    t.resume();
    t.expect(again(message("a", Qos::AtLeastOnce, 1, b"1")));
    t.send(Puback::new(id(1)));
    t.done(token, "Acked(Success)");
});

durable!(a_lifetime_runs_on_while_nobody_is_there, |t, fresh| {
    for ttl in [10, 100] {
        let message = Message::new(TopicName::new("a").unwrap())
            .qos(Qos::AtLeastOnce)
            .ttl(Duration::from_secs(ttl))
            .tag(ttl);
        t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    }
    t.drain();
    let journal = t.journal.clone();
    t.journal.clear();
    t.restart(fresh());
    for (key, record) in &journal {
        t.session.restore(*key, record, Some(Duration::from_secs(50))).unwrap();
    }
    t.after(Duration::from_millis(1));
    let expired = |seen: &Seen| matches!(seen, Seen::Done { tag: 10, outcome, .. } if outcome == "Expired");
    assert!(t.events().iter().any(expired));
    assert_eq!(t.session.pending(), 1);
});

// ---- a journal that cannot ---------------------------------------------------------------------------

durable!(what_cannot_be_stored_ends_and_is_not_sent, |t, _fresh| {
    t.connect();
    t.syncs = false;
    let token = t.publish("a", Qos::AtLeastOnce, b"x");
    t.drain();
    let (key, _) = t.unanswered.pop_front().unwrap();
    t.session.not_stored(key);
    t.done(token, "NotStored");
    t.sync();
    t.expect_silence();
    let marked = t.publish("a", Qos::ExactlyOnce, b"y");
    t.drain();
    t.unanswered.retain(|(_, put)| *put);
    let keys: Vec<Key> = t.unanswered.drain(..).map(|(key, _)| key).collect();
    t.session.stored(keys[0]);
    t.session.not_stored(keys[1]);
    t.see(Seen::Durable(marked));
    t.done(marked, "NotStored");
    t.sync();
    t.expect_silence();
    assert_eq!(kept(t), 0);
});

durable!(
    what_cannot_be_stored_goes_on_where_that_was_chosen,
    BeforeSend,
    |c| {
        c.when_not_stored = WhenNotStored::Send;
    },
    |t, _fresh| {
        t.syncs = false;
        let refuse = |t: &mut Trace<S>| {
            t.drain();
            while let Some((key, _)) = t.unanswered.pop_front() {
                t.session.not_stored(key);
                t.drain();
            }
        };
        t.session.start(&t.options.clone()).unwrap();
        refuse(t);
        t.connect();
        refuse(t);
        let token = t.publish("a", Qos::ExactlyOnce, b"x");
        refuse(t);
        t.expect(message("a", Qos::ExactlyOnce, 1, b"x"));
        t.send(Pubrec::new(id(1)));
        refuse(t);
        t.expect(Pubrel::new(id(1)));
        t.send(Pubcomp::new(id(1)));
        t.done(token, "Acked(Success)");
        t.send(message("b", Qos::ExactlyOnce, 2, b"y"));
        refuse(t);
        t.expect(Pubrec::new(id(2)));
        t.send(Pubrel::new(id(2)));
        refuse(t);
        t.expect(Pubcomp::new(id(2)));
    }
);

#[test]
fn without_durability_there_are_no_records_and_none_are_taken() {
    let mut t = Trace::heap(config(), usize::MAX);
    t.connect();
    let token = t.publish("a", Qos::ExactlyOnce, b"x");
    let _ = t.next_frame();
    assert!(t.journal.is_empty());
    assert_eq!(
        HeapSession::new(config()).restore(Key::from(u64::from(token)), b"", None),
        Err(RestoreError::Off)
    );
}

#[test]
fn a_kept_record_shares_the_payload() {
    let mut config = config();
    config.durability = Durability::Async;
    let mut session = HeapSession::new(config);
    let payload = bytes::Bytes::from(vec![7; 2_000]);
    let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce);
    session.publish(&message, HeapPayload::Share(payload.clone())).map_err(|refused| refused.reason).unwrap();
    let Some(Command::Put { record, .. }) = session.poll_command() else { panic!("a record") };
    let kept = record.keep();
    assert_eq!(kept.chunks()[1].as_ptr(), payload.as_ptr(), "not copied");
    assert_eq!(kept.chunks().map(|chunk| &chunk[..]).concat(), record.chunks().concat());
    let mut buffer = [0; 3_000];
    assert_eq!(record.copy_to(&mut buffer), Some(record.len()));
    assert_eq!(record.copy_to(&mut buffer[..100]), None);
}

// ---- records that are refused --------------------------------------------------------------------------

/// The checksum of a record, which is in bytes 80 to 83 and over all others.
fn seal(record: &mut [u8]) {
    let mut sum = u32::MAX;
    for byte in record[..80].iter().chain(&record[84..]) {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 };
        }
    }
    record[80..84].copy_from_slice(&(!sum).to_le_bytes());
}

/// What a run with something of everything leaves.
fn sample() -> (Config, Vec<(Key, Vec<u8>)>) {
    let mut config = config();
    config.durability = Durability::BeforeSend;
    let mut t = Trace::heap(config, usize::MAX);
    prepare(&mut t);
    subscribe(&mut t, "in/#");
    t.connect();
    let _ = t.next_frame();
    t.send(codes(&[ReasonCode::GrantedQos2], 1));
    for qos in [Qos::ExactlyOnce, Qos::ExactlyOnce, Qos::AtLeastOnce] {
        t.publish("some/topic", qos, b"payload");
        let _ = t.next_frame();
    }
    t.send(Pubrec::new(id(2)));
    t.send(message("in/1", Qos::ExactlyOnce, 5, b"x"));
    t.drain();
    (config, t.journal.into_iter().collect())
}

/// [S17]
#[test]
fn s17_damaged_foreign_older_and_doubled_records_are_refused() {
    let (config, records) = sample();
    let fresh = || HeapSession::new(config);
    assert!(records.len() >= 7, "{}", records.len());
    for (key, record) in &records {
        assert_eq!(fresh().restore(*key, record, None), Ok(()));
        for len in 0..record.len() {
            assert!(fresh().restore(*key, &record[..len], None).is_err(), "cut at {len}");
        }
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(fresh().restore(*key, &damaged, None).is_err(), "bit {bit}");
        }
        let mut long = record.clone();
        long.push(0);
        assert_eq!(fresh().restore(*key, &long, None), Err(RestoreError::Damaged));
        let mut older = record.clone();
        older[3] = 0;
        seal(&mut older);
        assert_eq!(fresh().restore(*key, &older, None), Err(RestoreError::Version(0)));
        let other = Key::from(u64::from(*key) ^ 1);
        assert_eq!(fresh().restore(other, record, None), Err(RestoreError::WrongKey));
        assert_eq!(fresh().restore(*key, b"something else", None), Err(RestoreError::Foreign));
        let mut session = fresh();
        session.restore(*key, record, None).unwrap();
        assert_eq!(session.restore(*key, record, None), Err(RestoreError::Duplicate));
    }
}

#[test]
fn s17_records_of_another_client_are_refused() {
    let (config, records) = sample();
    let mut session = HeapSession::new(config);
    let (key, record) = &records[0];
    session.restore(*key, record, None).unwrap();
    let (key, record) = &records[1];
    let mut other = record.clone();
    other[32] ^= 1;
    seal(&mut other);
    assert_eq!(session.restore(*key, &other, None), Err(RestoreError::OtherClient));
    let mut options = mqtt_session::ConnectOptions::new("somebody");
    options.clean_start = false;
    assert_eq!(session.start(&options), Err(StartError::OtherClient));
}

#[test]
fn records_come_before_everything_else_and_must_fit() {
    let (config, records) = sample();
    let (key, record) = &records[0];
    let mut session = HeapSession::new(config);
    let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce);
    session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    assert_eq!(session.restore(*key, record, None), Err(RestoreError::Started));
    let mut session = HeapSession::new(config);
    session.restore(*key, record, None).unwrap();
    assert!(session.poll_command().is_none());
    let (key, record) = &records[1];
    assert_eq!(session.restore(*key, record, None), Err(RestoreError::Started));

    let mut small = config;
    small.max_operations = 1;
    small.max_in_flight = 1;
    small.receive_maximum = 1;
    small.queue_bytes = 40;
    let mut session = HeapSession::new(small);
    let refused = records
        .iter()
        .filter(|(key, record)| session.restore(*key, record, None) == Err(RestoreError::NoRoom));
    assert!(refused.count() >= 3);
}

/// Any bytes, and any record with a checksum that fits, are taken or refused; a session goes on either way.
#[test]
fn whatever_is_restored_nothing_breaks() {
    let (config, records) = sample();
    let mut state = 1u64;
    let mut random = move |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..4_000 {
        let mut heap = HeapSession::new(config);
        let mut fixed = Small::new([0; MEMORY], config);
        for _ in 0..1 + random(records.len() * 2) {
            let (key, mut record) = records[random(records.len())].clone();
            for _ in 0..random(4) {
                let at = random(record.len());
                record[at] = if random(2) == 0 { random(256) as u8 } else { record[at].wrapping_add(1) };
            }
            if random(9) == 0 {
                record.truncate(random(record.len() + 1));
            }
            let mut key = u64::from(key);
            if record.len() >= 84 {
                if random(2) == 0 {
                    key = u64::from_le_bytes(record[8..16].try_into().unwrap());
                }
                seal(&mut record);
            }
            let result = heap.restore(Key::from(key), &record, None);
            assert_eq!(fixed.restore(Key::from(key), &record, None), result);
            if result.is_ok() { taken += 1 } else { refused += 1 }
        }
        let mut heap = Trace::new(heap, usize::MAX);
        let mut fixed = Trace::new(fixed, usize::MAX);
        assert_eq!(go_on(&mut heap), go_on(&mut fixed));
    }
    assert!(taken > 5_000 && refused > 5_000, "{taken} taken, {refused} refused");
}

/// Connects to a server that has the session, or has not, and acknowledges what it can.
fn go_on<S: Storage>(t: &mut Trace<S>) -> Vec<Vec<u8>> {
    prepare(t);
    t.options.local_state = mqtt_session::LocalState::Held;
    if t.session.start(&t.options.clone()).is_err() {
        return Vec::new();
    }
    let mut sent = Vec::new();
    for present in [true, false] {
        let frame = t.open();
        let connect = Connect::decode(&frame, Version::V5, Peer::Client).unwrap();
        t.events();
        // What the records say may have been over.
        t.send(Connack::accepted(present && !connect.clean_start));
        assert!(matches!(t.event(), Seen::Connected { .. }));
        while let Some(frame) = t.next_frame() {
            if frame[0] & 0xF6 == 0x32 && frame.len() > 4 {
                let topic = usize::from(frame[3]);
                let number = u16::from_be_bytes([frame[4 + topic], frame[5 + topic]]);
                t.send(Puback::new(id(number)));
            }
            sent.push(frame);
            assert!(sent.len() < 200, "{sent:02x?}");
        }
        t.cut();
    }
    sent
}
