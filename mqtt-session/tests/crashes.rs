//! What simulated programs that crash found in the engine, each made to happen once.

use crate::common::{MEMORY, Seen, Small, Trace, config, id};
use mqtt_session::proto::{
    Connect, Peer, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, Suback,
    Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{Config, Durability, Fixed, Heap, HeapSession, Key, Session, Storage};

fn recorded() -> Config {
    let mut config = config();
    config.durability = Durability::BeforeSend;
    config
}

/// Runs on both storages; the function makes the session of the next run of the program.
fn on_both(
    heap: impl Fn(&mut Trace<Heap>, &dyn Fn() -> Session<Heap>),
    fixed: impl Fn(&mut Trace<FixedStorage>, &dyn Fn() -> Session<FixedStorage>),
) {
    for step in [usize::MAX, 1] {
        heap(&mut prepared(Trace::<Heap>::heap(recorded(), step)), &|| HeapSession::new(recorded()));
        fixed(&mut prepared(Trace::<FixedStorage>::fixed(recorded(), step)), &|| {
            Small::new([0; MEMORY], recorded())
        });
    }
}

type FixedStorage = Fixed<[u8; MEMORY], 16, 8>;

fn prepared<S: Storage>(mut trace: Trace<S>) -> Trace<S> {
    trace.options.clean_start = false;
    trace.options.session_expiry = 3_600;
    trace
}

fn message(packet_id: u16) -> Publish<'static> {
    Publish {
        dup: false,
        qos: Qos::ExactlyOnce,
        retain: false,
        topic: Some(TopicName::new("a").unwrap()),
        packet_id: Some(id(packet_id)),
        properties: Properties::EMPTY,
        payload: b"x",
    }
}

/// [5.0 MQTT-4.3.3-11]
#[test]
fn pubrel_on_a_later_connection_is_answered_once_the_journal_has_deleted() {
    fn go<S: Storage>(t: &mut Trace<S>, _: &dyn Fn() -> Session<S>) {
        t.connect();
        t.send(message(5));
        t.expect(Pubrec::new(id(5)));
        t.cut();
        t.resume();
        // PUBREC had arrived: the server goes on with PUBREL.
        t.send(Pubrel::new(id(5)));
        t.expect(Pubcomp::new(id(5)));
    }
    on_both(go, go);
}

/// [S4]
#[test]
fn a_new_session_may_use_an_identifier_whose_record_is_still_being_deleted() {
    fn go<S: Storage>(t: &mut Trace<S>, _: &dyn Fn() -> Session<S>) {
        t.connect();
        t.send(message(5));
        t.expect(Pubrec::new(id(5)));
        t.events();
        t.syncs = false;
        t.send(Pubrel::new(id(5)));
        t.expect_silence();
        t.cut();
        // The server has lost the session.
        t.connect();
        t.events();
        t.send(message(5));
        assert!(matches!(t.event(), Seen::Message { .. }), "it is another message");
        t.expect_silence();
        t.syncs = true;
        t.sync();
        t.expect(Pubrec::new(id(5)));
        t.expect_silence();
        t.send(Pubrel::new(id(5)));
        t.expect(Pubcomp::new(id(5)));
        assert_eq!(t.journal.len(), 1, "the session's own record");
    }
    on_both(go, go);
}

/// [S4]
#[test]
fn a_subscription_that_was_being_made_again_when_the_program_crashed_is_made_again() {
    fn go<S: Storage>(t: &mut Trace<S>, fresh: &dyn Fn() -> Session<S>) {
        let granted: &'static [ReasonCode] = &[ReasonCode::GrantedQos1];
        let is_subscribe = |frame: Vec<u8>| frame[0] == 0x82;
        t.connect();
        let filter = TopicFilter::new("a").unwrap();
        let options = SubscriptionOptions::new(Qos::AtLeastOnce);
        t.session.subscribe(&[Subscription { filter, options }], Properties::EMPTY).unwrap();
        assert!(t.next_frame().is_some_and(is_subscribe));
        t.send(Suback { packet_id: id(1), properties: Properties::EMPTY, codes: granted.into() });
        t.cut();
        // The server has lost the session, and now has a new one in which nothing is subscribed.
        t.connect();
        assert!(t.next_frame().is_some_and(is_subscribe));
        t.restart(fresh());
        t.resume();
        assert!(t.next_frame().is_some_and(is_subscribe));
    }
    on_both(go, go);
}

/// [S17]
#[test]
fn a_record_that_is_refused_leaves_those_before_it_in_order() {
    fn go<S: Storage>(t: &mut Trace<S>, fresh: &dyn Fn() -> Session<S>) {
        let token = t.publish("a", Qos::AtLeastOnce, b"x");
        t.drain();
        t.restart(fresh());
        assert!(t.session.restore(Key::from(7), b"no record", None).is_err());
        assert!(t.session.cancel(token), "it waits under its old name");
    }
    on_both(go, go);
}

/// Whether CONNECT asks for a new session.
fn is_clean(frame: &[u8]) -> bool {
    Connect::decode(frame, Version::V5, Peer::Client).unwrap().clean_start
}

/// Otherwise the server could hold a session of which nothing is known here, and take new messages for old ones.
#[test]
fn a_new_session_that_was_asked_for_and_not_confirmed_is_asked_for_again_after_a_crash() {
    fn go<S: Storage>(t: &mut Trace<S>, fresh: &dyn Fn() -> Session<S>) {
        t.options.clean_start = true;
        assert!(is_clean(&t.open()));
        t.options.clean_start = false;
        t.restart(fresh());
        assert!(is_clean(&t.open()), "CONNECT may never have arrived");
        t.connect_accepted();
        t.drain();
        t.restart(fresh());
        assert!(!is_clean(&t.open()), "there is one, and it is known");
    }
    on_both(go, go);
}

/// The journal may answer for the mark of a lost session while the message waits for its place in the next one.
#[test]
fn a_mark_of_a_lost_session_does_not_stand_for_that_of_the_next() {
    fn go<S: Storage>(t: &mut Trace<S>, _: &dyn Fn() -> Session<S>) {
        let publish = |qos, packet_id, payload| Publish { qos, payload, ..message(packet_id) };
        t.connect();
        t.sync();
        t.publish("a", Qos::AtLeastOnce, b"1");
        t.drain();
        t.expect(publish(Qos::AtLeastOnce, 1, &b"1"[..]));
        t.syncs = false;
        t.publish("a", Qos::ExactlyOnce, b"2");
        // Its records are given to the journal, the mark too, and not answered for.
        t.expect_silence();
        t.cut();
        t.after_backoff();
        t.connect_with(false, &[Property::ReceiveMaximum(1)]);
        for _ in 0..3 {
            t.sync();
        }
        let first = t.next_frame().expect("the first one again");
        let packet_id = Publish::decode(&first, Version::V5, Peer::Client).unwrap().packet_id.unwrap();
        t.expect_silence();
        t.send(Puback::new(packet_id));
        t.expect_silence();
        t.sync();
        let second = t.next_frame().expect("the second one, now that its mark is stored");
        assert_eq!(Publish::decode(&second, Version::V5, Peer::Client).unwrap().payload, b"2");
    }
    on_both(go, go);
}
