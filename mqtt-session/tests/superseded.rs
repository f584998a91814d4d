//! Records an earlier run could not delete: of two operations in one slot, or with one packet identifier, the later one
//! counts, whatever the order in which they are read, and what is left of the earlier one is deleted.

use std::collections::BTreeMap;

use crate::common::{MEMORY, OUT, Seen, Small, Trace, config, id};
use mqtt_session::proto::{Properties, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, TopicName};
use mqtt_session::{Config, Durability, HeapSession, Key, Session, Storage, Token};

fn message(qos: Qos, packet_id: u16, dup: bool, payload: &'static [u8]) -> Publish<'static> {
    Publish {
        dup,
        qos,
        retain: false,
        topic: Some(TopicName::new("a").unwrap()),
        packet_id: Some(id(packet_id)),
        properties: Properties::EMPTY,
        payload,
    }
}

/// One operation at a time: each has the slot and the identifier of the one before.
fn narrow() -> Config {
    Config { durability: Durability::BeforeSend, max_operations: 1, max_in_flight: 1, ..config() }
}

fn hold<S: Storage>(t: &mut Trace<S>) {
    t.options.clean_start = false;
    t.options.session_expiry = 3_600;
}

/// The disk fails to delete: the session is told so, and the record stays.
fn undeleted<S: Storage>(t: &mut Trace<S>, act: impl FnOnce(&mut Trace<S>)) {
    let before = t.journal.clone();
    t.drain();
    t.syncs = false;
    act(t);
    t.drain();
    for (key, put) in core::mem::take(&mut t.unanswered) {
        if put {
            t.session.stored(key);
        } else {
            t.session.not_stored(key);
        }
    }
    t.syncs = true;
    t.drain();
    for (key, record) in before {
        t.journal.entry(key).or_insert(record);
    }
}

/// The next run reads what is there, in this order, and carries out what it asks for.
fn restart<S: Storage>(t: &mut Trace<S>, session: Session<S>, backwards: bool) {
    let records: BTreeMap<Key, Vec<u8>> = core::mem::take(&mut t.journal);
    t.restart(session);
    let mut list: Vec<_> = records.iter().collect();
    if backwards {
        list.reverse();
    }
    for (key, record) in list {
        t.session.restore(*key, record, None).expect("what was stored");
    }
    t.journal = records;
}

/// Records and marks of operations.
fn operations<S: Storage>(t: &Trace<S>) -> usize {
    t.journal.keys().filter(|key| u64::from(**key) >> 31 & 1 == 0).count()
}

fn done<S: Storage>(t: &mut Trace<S>) -> Vec<Token> {
    let events = t.events();
    events
        .iter()
        .filter_map(|seen| if let Seen::Done { token, .. } = seen { Some(*token) } else { None })
        .collect()
}

#[test]
fn the_later_of_two_operations_in_one_slot_is_restored_whatever_the_order() {
    fn go<S: Storage>(t: &mut Trace<S>, fresh: &dyn Fn() -> Session<S>, backwards: bool) {
        hold(t);
        let first = t.publish("a", Qos::ExactlyOnce, b"1");
        t.see(Seen::Durable(first));
        undeleted(t, |t| {
            assert!(t.session.cancel(first));
            t.done(first, "Cancelled");
        });
        let second = t.publish("a", Qos::ExactlyOnce, b"2");
        t.see(Seen::Durable(second));
        assert_eq!((operations(t), first == second), (2, false));
        restart(t, fresh(), backwards);
        assert_eq!(t.session.pending(), 0, "nothing is in order before the first command");
        t.resume();
        assert_eq!(t.session.pending(), 1);
        t.expect(message(Qos::ExactlyOnce, 1, false, b"2"));
        assert_eq!(operations(t), 2, "the record of the first is gone, the second has a mark");
        t.send(Pubrec::new(id(1)));
        t.expect(Pubrel::new(id(1)));
        t.send(Pubcomp::new(id(1)));
        t.drain();
        assert_eq!(done(t), [second]);
        assert_eq!(operations(t), 0);
    }
    for backwards in [false, true] {
        let config = narrow();
        go(&mut Trace::heap(config, usize::MAX), &|| HeapSession::new(config), backwards);
        go(&mut Trace::fixed(config, 1), &|| Small::new([0; MEMORY], config), backwards);
    }
}

#[test]
fn the_mark_of_an_operation_that_ended_says_nothing_of_the_next_in_its_slot() {
    fn go<S: Storage>(t: &mut Trace<S>, fresh: &dyn Fn() -> Session<S>, backwards: bool, qos: Qos) {
        hold(t);
        t.connect();
        let first = t.publish("a", qos, b"1");
        t.expect(message(qos, 1, false, b"1"));
        undeleted(t, |t| {
            if qos == Qos::AtLeastOnce {
                t.send(Puback::new(id(1)));
            } else {
                t.send(Pubrec::with(id(1), ReasonCode::QuotaExceeded, Properties::EMPTY));
            }
            assert_eq!(done(t), [first]);
        });
        assert_eq!(operations(t), 2);
        let second = t.publish("a", qos, b"2");
        t.expect(message(qos, 1, false, b"2"));
        assert_eq!(operations(t), 4);
        restart(t, fresh(), backwards);
        t.resume();
        t.expect(message(qos, 1, true, b"2"));
        t.expect_silence();
        assert_eq!(operations(t), 2, "what was left of the first is deleted");
        if qos == Qos::AtLeastOnce {
            t.send(Puback::new(id(1)));
        } else {
            t.send(Pubrec::new(id(1)));
            t.expect(Pubrel::new(id(1)));
            t.send(Pubcomp::new(id(1)));
        }
        assert_eq!(done(t), [second]);
        t.drain();
        assert_eq!(operations(t), 0);
    }
    for (backwards, qos) in [
        (false, Qos::AtLeastOnce),
        (true, Qos::AtLeastOnce),
        (false, Qos::ExactlyOnce),
        (true, Qos::ExactlyOnce),
    ] {
        let config = narrow();
        go(&mut Trace::heap(config, usize::MAX), &|| HeapSession::new(config), backwards, qos);
        go(&mut Trace::fixed(config, 1), &|| Small::new([0; MEMORY], config), backwards, qos);
    }
}

/// Slots are many, identifiers are not: the undeleted mark is in another slot.
#[test]
fn of_two_marks_with_one_identifier_that_of_the_later_message_counts() {
    fn go<S: Storage>(t: &mut Trace<S>, fresh: &dyn Fn() -> Session<S>, backwards: bool) {
        hold(t);
        t.connect();
        // It keeps the first slot while the second goes in and out.
        let first = t.publish("a", Qos::ExactlyOnce, b"1");
        t.expect(message(Qos::ExactlyOnce, 1, false, b"1"));
        let second = t.publish("a", Qos::ExactlyOnce, b"2");
        undeleted(t, |t| {
            t.send(Pubrec::with(id(1), ReasonCode::QuotaExceeded, Properties::EMPTY));
            assert!(t.take_event(|seen| matches!(seen, Seen::Done { token, .. } if *token == first).then_some(())).is_some());
        });
        t.expect(message(Qos::ExactlyOnce, 1, false, b"2"));
        assert_eq!(operations(t), 4);
        restart(t, fresh(), backwards);
        t.resume();
        t.expect(message(Qos::ExactlyOnce, 1, true, b"2"));
        t.expect_silence();
        assert_eq!(operations(t), 2);
        t.send(Pubrec::new(id(1)));
        t.expect(Pubrel::new(id(1)));
        t.send(Pubcomp::new(id(1)));
        assert_eq!(done(t), [second]);
        t.drain();
        assert_eq!(operations(t), 0);
    }
    for backwards in [false, true] {
        let config = Config { max_operations: OUT as u32, ..narrow() };
        go(&mut Trace::heap(config, usize::MAX), &|| HeapSession::new(config), backwards);
        go(&mut Trace::fixed(config, 1), &|| Small::new([0; MEMORY], config), backwards);
    }
}

/// An inbound exchange whose record could not be deleted, and the next one of its identifier.
#[test]
fn the_later_of_two_inbound_exchanges_with_one_identifier_counts() {
    fn go<S: Storage>(t: &mut Trace<S>, fresh: &dyn Fn() -> Session<S>, backwards: bool) {
        hold(t);
        t.connect();
        t.send(message(Qos::ExactlyOnce, 5, false, b"1"));
        t.expect(Pubrec::new(id(5)));
        undeleted(t, |t| t.send(Pubrel::new(id(5))));
        t.expect(Pubcomp::new(id(5)));
        t.send(message(Qos::ExactlyOnce, 5, false, b"2"));
        t.expect(Pubrec::new(id(5)));
        assert_eq!(t.journal.len(), 3, "the session, and two exchanges");
        restart(t, fresh(), backwards);
        t.resume();
        assert_eq!(t.journal.len(), 2, "that of the first is deleted");
        t.events();
        t.send(message(Qos::ExactlyOnce, 5, true, b"2"));
        t.expect(Pubrec::new(id(5)));
        t.see_nothing();
        t.send(Pubrel::new(id(5)));
        t.expect(Pubcomp::new(id(5)));
        t.drain();
        assert_eq!(t.journal.len(), 1);
    }
    for backwards in [false, true] {
        let config = narrow();
        go(&mut Trace::heap(config, usize::MAX), &|| HeapSession::new(config), backwards);
        go(&mut Trace::fixed(config, 1), &|| Small::new([0; MEMORY], config), backwards);
    }
}

/// As much as the budget has room for: the earlier one gives its room to the later one.
#[test]
fn the_earlier_operation_makes_room_for_the_later_one() {
    fn go<S: Storage>(t: &mut Trace<S>, fresh: &dyn Fn() -> Session<S>, backwards: bool) {
        hold(t);
        let payload = [b'x'; 600];
        let first = t.publish("a", Qos::ExactlyOnce, &payload);
        undeleted(t, |t| assert!(t.session.cancel(first)));
        let second = t.publish("a", Qos::ExactlyOnce, &payload);
        t.drain();
        restart(t, fresh(), backwards);
        t.drain();
        assert!(t.session.cancel(second));
        assert!(!t.session.cancel(first));
    }
    for backwards in [false, true] {
        let config = Config { queue_bytes: 800, ..narrow() };
        go(&mut Trace::heap(config, usize::MAX), &|| HeapSession::new(config), backwards);
        go(&mut Trace::fixed(config, 1), &|| Small::new([0; MEMORY], config), backwards);
    }
}
