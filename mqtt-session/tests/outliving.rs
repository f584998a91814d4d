//! All there is of an operation outlives the program: what the next run makes of it is what this one would have made.

use crate::common;

use core::num::NonZeroU64;
use core::time::Duration;

use common::{MEMORY, Seen, Small, Trace, config, id};
use mqtt_session::proto::{
    Packet, Peer, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, Suback,
    Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{
    AckError, AckMode, Command, Config, Durability, HeapSession, Key, Message, RestoreError, Session, Stop,
    Storage, Token, WhenFull, WhenNotStored,
};

/// Runs with each kind of journal on both storages; `fresh` makes the session of the next run of the program.
macro_rules! outlives {
    ($(#[$meta:meta])* $name:ident, |$c:ident| $set:block, |$t:ident, $fresh:ident| $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            fn go<S: Storage>($t: &mut Trace<S>, $fresh: &dyn Fn() -> Session<S>) $body
            for durability in [Durability::Async, Durability::BeforeSend] {
                #[allow(unused_mut)]
                let mut $c = Config { durability, ..config() };
                $set
                let config = $c;
                let (mut heap, mut fixed) = (Trace::heap(config, usize::MAX), Trace::fixed(config, 1));
                go(keep(&mut heap), &|| HeapSession::new(config));
                go(keep(&mut fixed), &|| Small::new([0; MEMORY], config));
            }
        }
    };
}

fn keep<S: Storage>(t: &mut Trace<S>) -> &mut Trace<S> {
    t.options.clean_start = false;
    t.options.session_expiry = 3_600;
    t
}

fn message(qos: Qos) -> Message<'static> {
    Message::new(TopicName::new("topic").unwrap()).qos(qos)
}

fn publish<S: Storage>(t: &mut Trace<S>, message: &Message<'_>, payload: &[u8]) -> Token {
    t.session.publish(message, payload.into()).map_err(|refused| refused.reason).unwrap()
}

/// How an operation ended, whatever else was told; with its tag.
fn ended<S: Storage>(t: &mut Trace<S>, token: Token) -> Option<(String, u64)> {
    t.drain();
    t.take_event(|seen| match seen {
        Seen::Done { token: ended, outcome, tag } if *ended == token => Some((outcome.clone(), *tag)),
        _ => None,
    })
}

fn sent(frame: &[u8]) -> Publish<'_> {
    match Packet::decode(frame, Version::V5, Peer::Client) {
        Ok(Packet::Publish(publish)) => publish,
        other => panic!("{other:?}"),
    }
}

outlives!(what_waits_keeps_its_flags_its_key_and_its_expiry, |_c| {}, |t, fresh| {
    let properties = [Property::MessageExpiryInterval(600), Property::ContentType("text")];
    let whole = message(Qos::AtLeastOnce).retain(true).properties(Properties::List(&properties)).tag(77);
    let kept = publish(t, &whole, b"first");
    let value = message(Qos::ExactlyOnce).key(NonZeroU64::new(5).unwrap());
    let old = publish(t, &value, b"old");
    t.drain();
    let bytes = t.session.stats().bytes_kept;
    t.restart(fresh());
    t.drain();
    assert_eq!(t.session.stats().bytes_kept, bytes);
    publish(t, &value, b"new");
    assert_eq!(ended(t, old), Some(("Dropped".to_owned(), 0)));
    t.after(Duration::from_secs(100));
    t.events();
    t.connect();
    let frame = t.next_frame().unwrap();
    let first = sent(&frame);
    assert!(first.retain && !first.dup);
    assert_eq!(first.payload, b"first");
    let left = first.properties.message_expiry_interval().unwrap();
    assert!((498..=500).contains(&left), "{left}");
    assert_eq!(first.properties.content_type(), Some("text"));
    t.send(Puback::new(id(1)));
    assert_eq!(ended(t, kept), Some(("Acked(Success)".to_owned(), 77)));
    let frame = t.next_frame().unwrap();
    assert_eq!((sent(&frame).payload, sent(&frame).retain), (&b"new"[..], false));
    t.send(Pubrec::new(id(2)));
    t.send(Pubcomp::new(id(2)));
    t.drain();
    assert_eq!((t.session.pending(), t.session.stats().bytes_kept), (0, 0));
});

// What may go on waiting may be longer than the wire buffer: a payload is not encoded there.
outlives!(a_message_longer_than_the_wire_buffer_goes_on_waiting, |_c| {}, |t, fresh| {
    let token = publish(t, &message(Qos::AtLeastOnce), &[7; 2_000]);
    t.drain();
    t.restart(fresh());
    t.connect();
    assert_eq!(sent(&t.next_frame().unwrap()).payload, [7; 2_000]);
    t.send(Puback::new(id(1)));
    assert_eq!(ended(t, token), Some(("Acked(Success)".to_owned(), 0)));
});

outlives!(a_request_that_was_not_answered_is_made_again_and_told, |_c| {}, |t, fresh| {
    let filter = TopicFilter::new("in/#").unwrap();
    let item = Subscription { filter, options: SubscriptionOptions::new(Qos::AtLeastOnce) };
    let token = t.session.subscribe(&[item], Properties::EMPTY).unwrap();
    t.connect();
    assert_eq!(t.next_frame().unwrap()[0], 0x82);
    t.events();
    t.restart(fresh());
    t.connect_with(true, &[]);
    assert_eq!(t.next_frame().unwrap()[0], 0x82, "SUBSCRIBE");
    let codes = [ReasonCode::GrantedQos1];
    t.send(Suback { packet_id: id(1), properties: Properties::EMPTY, codes: (&codes).into() });
    assert!(t.events().iter().any(|seen| matches!(seen, Seen::Done { token: done, .. } if *done == token)));
});

// The order is that of the calls, whatever slots the operations came to lie in.
outlives!(
    what_was_received_is_released_in_the_order_it_was_published,
    |c| { c.max_operations = 3 },
    |t, fresh| {
        t.connect();
        let first = publish(t, &message(Qos::AtLeastOnce), b"1");
        publish(t, &message(Qos::ExactlyOnce), b"2");
        t.drain();
        t.send(Puback::new(id(1)));
        assert!(ended(t, first).is_some());
        t.drain();
        // These have a slot before the second one's, or behind it.
        publish(t, &message(Qos::ExactlyOnce), b"3");
        publish(t, &message(Qos::ExactlyOnce), b"4");
        t.drain();
        t.take_sent();
        for number in [3, 1, 2] {
            t.send(Pubrec::new(id(number)));
            t.drain();
        }
        t.take_sent();
        t.restart(fresh());
        t.resume();
        for number in [2, 3, 1] {
            t.expect(Pubrel::new(id(number)));
        }
        t.expect_silence();
    }
);

/// Of two operations in one slot the later one counts, in whatever order they are read, and has the whole room there is; the
/// records of the other are deleted.
#[test]
fn an_operation_takes_the_place_of_an_earlier_one_in_its_slot_and_its_room() {
    fn all<S: Storage>(mut session: Session<S>, records: &[(Key, Vec<u8>)], of: u64) -> usize {
        for (key, record) in records {
            assert_eq!(session.restore(*key, record, None), Ok(()), "{key}");
        }
        let mut deleted = 0;
        while let Some(command) = session.poll_command() {
            let Command::Delete { key } = command else { panic!("{command:?}") };
            assert_eq!(u64::from(key) >> 32, of, "a record of the earlier one");
            deleted += 1;
        }
        // A topic of five bytes, and eight bytes of its own.
        assert_eq!(session.stats().bytes_kept, 300 + 5 + 8);
        assert_eq!(session.pending(), 1);
        deleted
    }
    let config = Config { durability: Durability::BeforeSend, max_operations: 1, ..config() };
    let mut t = Trace::heap(config, usize::MAX);
    keep(&mut t).connect();
    let session = Key::from(3 << 30);
    let mut generations = Vec::new();
    for number in 1..=2 {
        publish(&mut t, &message(Qos::AtLeastOnce), &[number; 300]);
        t.drain();
        let records: Vec<_> = t.journal.clone().into_iter().filter(|(key, _)| *key != session).collect();
        assert_eq!(records.len(), 2);
        generations.push(records);
        t.send(Puback::new(id(number.into())));
        t.drain();
    }
    let tight = Config { queue_bytes: 400, ..config };
    let of = u64::from(generations[0][0].0) >> 32;
    for order in [[0, 1], [1, 0]] {
        let records = order.map(|run| generations[run].clone()).concat();
        assert_eq!(all(HeapSession::new(tight), &records, of), 2);
        assert_eq!(all(Small::new([0; MEMORY], tight), &records, of), 2);
    }
}

/// A record that is fetched before the time is told says the whole time to live, whatever the time was last.
#[test]
fn a_time_to_live_that_has_not_begun_is_recorded_whole() {
    let mut t = Trace::heap(Config { durability: Durability::Async, ..config() }, usize::MAX);
    t.after(Duration::from_secs(100));
    t.session.handle_timeout(t.now);
    for seconds in [60, 70] {
        publish(&mut t, &message(Qos::AtLeastOnce).ttl(Duration::from_secs(seconds)), b"x");
    }
    for seconds in [60, 70] {
        let Some(Command::Put { record, .. }) = t.session.poll_command() else { panic!("a record") };
        let record = record.chunks().concat();
        let expires = u64::from_le_bytes(record[56..64].try_into().unwrap());
        assert_eq!(expires, seconds * 1_000_000, "microseconds");
    }
}

outlives!(what_gave_way_is_deleted, |c| { c.when_full = WhenFull::DropOldest }, |t, fresh| {
    let tokens: Vec<Token> =
        (0..22).map(|number| publish(t, &message(Qos::AtLeastOnce), &[number])).collect();
    for token in &tokens[..6] {
        assert_eq!(ended(t, *token), Some(("Dropped".to_owned(), 0)));
    }
    // Once it was told.
    t.drain();
    assert_eq!(t.journal.len(), 16);
    for round in 0..3 {
        publish(t, &message(Qos::AtLeastOnce), &[100 + round]);
        t.drain();
    }
    t.events();
    t.drain();
    assert_eq!(t.journal.len(), 16);
    t.restart(fresh());
    t.drain();
    assert_eq!(t.session.pending(), 16);
});

// Nothing is promised of a message at QoS 0: it ends with the run, and is not sent in the next.
outlives!(what_is_not_recorded_ends_with_the_run, |_c| {}, |t, _fresh| {
    t.connect();
    t.cut();
    publish(t, &message(Qos::AtMostOnce), b"0");
    let kept = publish(t, &message(Qos::AtLeastOnce), b"1");
    t.session.stop(Stop::now()).unwrap();
    t.drain();
    t.events();
    assert_eq!(t.session.pending(), 1);
    t.resume();
    let frame = t.next_frame().unwrap();
    assert_eq!(sent(&frame).payload, b"1");
    t.expect_silence();
    t.send(Puback::new(id(1)));
    assert!(ended(t, kept).is_some());
});

/// Of two exchanges with one identifier the later one counts, in whatever order they are read; the record of the other is
/// deleted.
#[test]
fn an_exchange_takes_the_place_of_an_earlier_one_with_its_identifier() {
    fn all<S: Storage>(mut t: Trace<S>, [earlier, later]: [Key; 2], records: &[&(Key, Vec<u8>)]) {
        for (key, record) in records {
            assert_eq!(t.session.restore(*key, record, None), Ok(()), "{key}");
            t.journal.insert(*key, record.clone());
        }
        t.drain();
        assert!(!t.journal.contains_key(&earlier) && t.journal.contains_key(&later));
        keep(&mut t).resume();
        inbound(&mut t, 5, Qos::ExactlyOnce);
        t.expect(Pubrec::new(id(5)));
        t.see_nothing();
        t.send(Pubrel::new(id(5)));
        t.expect(Pubcomp::new(id(5)));
        assert!(!t.journal.contains_key(&later));
    }
    let config = Config { durability: Durability::BeforeSend, ..config() };
    let mut t = Trace::heap(config, usize::MAX);
    keep(&mut t).connect();
    let session = Key::from(3 << 30);
    let of_session = |t: &Trace<mqtt_session::Heap>| (session, t.journal[&session].clone());
    let mut generations = Vec::new();
    for _ in 0..2 {
        inbound(&mut t, 5, Qos::ExactlyOnce);
        t.drain();
        let record = t.journal.iter().find(|(key, _)| **key != session).unwrap();
        generations.push((*record.0, record.1.clone()));
        t.send(Pubrel::new(id(5)));
        t.drain();
    }
    let session = of_session(&t);
    let keys = [generations[0].0, generations[1].0];
    assert!(keys[0] != keys[1]);
    for order in [[0, 1], [1, 0]] {
        let records = [&session, &generations[order[0]], &generations[order[1]]];
        all(Trace::heap(config, usize::MAX), keys, &records);
        all(Trace::fixed(config, 1), keys, &records);
    }
}

/// An exchange of a session that is lost is over, though its record could not be deleted: its identifier is that of a new
/// message.
#[test]
fn an_exchange_of_a_lost_session_takes_no_message_for_itself() {
    fn all<S: Storage>(mut t: Trace<S>, records: &[(Key, Vec<u8>)]) {
        t.journal = records.iter().cloned().collect();
        for (key, record) in records {
            assert_eq!(t.session.restore(*key, record, None), Ok(()), "{key}");
        }
        t.drain();
        assert_eq!(t.journal.len(), 1, "nothing but the session");
        keep(&mut t).resume();
        inbound(&mut t, 5, Qos::ExactlyOnce);
        assert!(matches!(t.event(), Seen::Message { .. }));
        t.expect(Pubrec::new(id(5)));
    }
    for durability in [Durability::Async, Durability::BeforeSend] {
        let config = Config { durability, ..config() };
        let mut t = Trace::heap(config, usize::MAX);
        keep(&mut t).connect();
        inbound(&mut t, 5, Qos::ExactlyOnce);
        t.drain();
        let session = Key::from(3 << 30);
        let (key, record) = t.journal.iter().find(|(key, _)| **key != session).unwrap();
        let lost = (*key, record.clone());
        t.cut();
        t.connect();
        t.drain();
        let records = [(session, t.journal[&session].clone()), lost];
        for order in [[0, 1], [1, 0]] {
            let records = order.map(|at: usize| records[at].clone());
            all(Trace::heap(config, usize::MAX), &records);
            all(Trace::fixed(config, 1), &records);
        }
    }
}

// That a session is lost is told where the server was to keep it. A session that ends with its connection is not lost.
outlives!(only_a_session_that_was_to_be_kept_can_be_lost, |_c| {}, |t, fresh| {
    for expiry in [3_600, 0] {
        t.options.session_expiry = expiry;
        t.connect();
        t.drain();
        t.restart(fresh());
        t.open();
        t.connect_accepted();
        let lost = t.events().iter().any(|seen| matches!(seen, Seen::SessionLost { .. }));
        assert_eq!(lost, expiry != 0);
        t.session.stop(Stop::now()).unwrap();
        t.expect_closing();
        t.events();
        t.journal.clear();
        t.restart(fresh());
    }
});

/// Where nothing waits for the journal, nothing ends because it says no.
#[test]
fn what_was_not_stored_is_sent_all_the_same_where_nothing_waits_for_it() {
    let config = Config { durability: Durability::Async, when_not_stored: WhenNotStored::End, ..config() };
    let mut t = Trace::heap(config, usize::MAX);
    t.syncs = false;
    let token = publish(&mut t, &message(Qos::AtLeastOnce), b"x");
    t.drain();
    for (key, _) in core::mem::take(&mut t.unanswered) {
        t.session.not_stored(key);
    }
    assert_eq!(ended(&mut t, token), None);
    t.syncs = true;
    t.connect();
    assert_eq!(sent(&t.next_frame().unwrap()).payload, b"x");
}

// ---- content ---------------------------------------------------------------------------------------

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

/// [S17]: properties that the session says itself, or has made into something else, are in no record.
#[test]
fn s17_a_record_with_properties_that_are_never_recorded_is_refused() {
    let config = Config { durability: Durability::BeforeSend, ..config() };
    let mut t = Trace::heap(config, usize::MAX);
    let properties = [Property::ContentType("text")];
    publish(&mut t, &message(Qos::AtLeastOnce).properties(Properties::List(&properties)), b"x");
    t.drain();
    let (key, record) = t.journal.iter().find(|(key, _)| u64::from(**key) != 3 << 30).unwrap();
    let at = record.len() - 1 - 7;
    assert_eq!(record[at..at + 7], *b"\x03\x00\x04text");
    let with = |bytes: &[u8; 7]| {
        let mut changed = record.clone();
        changed[at..at + 7].copy_from_slice(bytes);
        seal(&mut changed);
        let told = HeapSession::new(config).restore(*key, &changed, None);
        assert_eq!(told, Small::new([0; MEMORY], config).restore(*key, &changed, None));
        told
    };
    assert_eq!(with(b"\x08\x00\x04text"), Ok(()), "a Response Topic");
    assert_eq!(with(b"\x23\x00\x01\x08\x00\x01r"), Err(RestoreError::Invalid), "a Topic Alias");
    assert_eq!(
        with(b"\x02\x00\x00\x00\x05\x01\x01"),
        Err(RestoreError::Invalid),
        "a Message Expiry Interval"
    );
    assert_eq!(with(b"\x0B\x01\x08\x00\x02rr"), Err(RestoreError::Invalid), "a Subscription Identifier");
    assert_eq!(with(b"\x03\x00\x02te\x03\x00"), Err(RestoreError::Invalid), "half of a property");
    assert_eq!(with(b"\x03\x00\x05text"), Err(RestoreError::Invalid), "a longer one than there is");
}

// ---- a quiet time ----------------------------------------------------------------------------------

fn inbound<S: Storage>(t: &mut Trace<S>, number: u16, qos: Qos) {
    let topic = TopicName::new("in").unwrap();
    t.send(Publish { qos, packet_id: Some(id(number)), ..Publish::new(topic, b"x") });
}

// Tables may be new ones behind a quiet time; what was said of the old ones is not said of them.
scenario!(
    acknowledgements_of_before_a_quiet_time_are_stale_behind_it,
    common::VERSIONS,
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.options.keep_alive = 0;
        t.connect();
        let mut old = Vec::new();
        for round in 1..=3 {
            for (number, qos) in [(1, Qos::AtLeastOnce), (2, Qos::ExactlyOnce), (3, Qos::AtLeastOnce)] {
                inbound(t, number, qos);
            }
            let tokens: Vec<_> = t
                .events()
                .into_iter()
                .filter_map(|seen| match seen {
                    Seen::Message { ack, .. } => ack,
                    _ => None,
                })
                .collect();
            assert_eq!(tokens.len(), 3);
            for stale in &old {
                let told = t.session.acknowledge(*stale, ReasonCode::Success, Properties::EMPTY);
                assert_eq!(told, Err(AckError::Stale), "round {round}");
            }
            t.expect_silence();
            for token in &tokens {
                t.session.acknowledge(*token, ReasonCode::Success, Properties::EMPTY).unwrap();
            }
            t.expect(Puback::new(id(1)));
            t.expect(Puback::new(id(3)));
            t.expect(Pubrec::new(id(2)));
            t.send(Pubrel::new(id(2)));
            t.expect(Pubcomp::new(id(2)));
            old.extend(tokens);
            t.after(Duration::from_secs(10));
            t.session.handle_timeout(t.now);
            t.drain();
        }
    }
);

// Which records there are does not change behind a quiet time. [MQTT-4.3.3-10]
outlives!(exchanges_are_recorded_behind_a_quiet_time_too, |_c| {}, |t, fresh| {
    t.options.keep_alive = 0;
    t.connect();
    for number in 1..=3 {
        t.syncs = false;
        let before = t.journal.len();
        inbound(t, number, Qos::ExactlyOnce);
        t.drain();
        assert_eq!(t.journal.len(), before + 1);
        t.sync();
        t.syncs = true;
        t.expect(Pubrec::new(id(number)));
        t.send(Pubrel::new(id(number)));
        t.expect(Pubcomp::new(id(number)));
        assert_eq!(t.journal.len(), before);
        t.events();
        t.after(Duration::from_secs(10));
        t.session.handle_timeout(t.now);
        t.drain();
    }
    inbound(t, 9, Qos::ExactlyOnce);
    t.events();
    t.restart(fresh());
    t.resume();
    inbound(t, 9, Qos::ExactlyOnce);
    t.expect(Pubrec::new(id(9)));
    t.see_nothing();
});

#[test]
fn what_is_to_be_stored_before_it_is_answered_is_so_behind_a_quiet_time() {
    let mut t = Trace::heap(Config { durability: Durability::BeforeSend, ..config() }, usize::MAX);
    t.options.keep_alive = 0;
    keep(&mut t).connect();
    for number in 1..=2 {
        t.after(Duration::from_secs(10));
        t.session.handle_timeout(t.now);
        t.drain();
        t.syncs = false;
        inbound(&mut t, number, Qos::ExactlyOnce);
        t.expect_silence();
        t.sync();
        t.expect(Pubrec::new(id(number)));
        t.syncs = true;
        t.send(Pubrel::new(id(number)));
        t.expect(Pubcomp::new(id(number)));
    }
}
