//! Inbound QoS 2 messages the application refuses: each is told once, wherever a cut takes the PUBREC, and its
//! identifier is free for another message once the PUBREC has left.

use crate::common::{Seen, Trace, config, id};
use mqtt_session::proto::{
    Properties, Property, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, TopicName, Version,
};
use mqtt_session::{AckMode, AckToken, Config, Durability, Storage};

const NO: ReasonCode = ReasonCode::QuotaExceeded;

fn message(packet_id: u16, dup: bool, payload: &'static [u8]) -> Publish<'static> {
    Publish {
        dup,
        qos: Qos::ExactlyOnce,
        retain: false,
        topic: Some(TopicName::new("in").unwrap()),
        packet_id: Some(id(packet_id)),
        properties: Properties::EMPTY,
        payload,
    }
}

fn refusal(packet_id: u16) -> Pubrec<'static> {
    Pubrec::with(id(packet_id), NO, Properties::EMPTY)
}

/// The message that is told next, and its token.
fn told<S: Storage>(t: &mut Trace<S>) -> (Vec<u8>, AckToken) {
    t.take_event(|seen| match seen {
        Seen::Message { payload, ack, .. } => Some((payload.clone(), ack.expect("AckMode::Manual"))),
        _ => None,
    })
    .expect("a message")
}

/// Runs with each durability on both storages, with input whole and byte by byte; the server has the session.
macro_rules! refused {
    ($(#[$meta:meta])* $name:ident, |$t:ident| $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            fn go<S: Storage>($t: &mut Trace<S>) $body
            for durability in [Durability::Off, Durability::Async, Durability::BeforeSend] {
                let config = Config { durability, ack_mode: AckMode::Manual, ..config() };
                for step in [usize::MAX, 1] {
                    let mut heap = Trace::heap(config, step);
                    begin(&mut heap);
                    go(&mut heap);
                    let mut fixed = Trace::fixed(config, step);
                    begin(&mut fixed);
                    go(&mut fixed);
                }
            }
        }
    };
}

fn begin<S: Storage>(t: &mut Trace<S>) {
    t.options.clean_start = false;
    t.options.session_expiry = 3_600;
    t.connect();
}

/// A message is refused, and a cut comes when so many bytes of the PUBREC have left.
fn refuse_and_cut<S: Storage>(t: &mut Trace<S>, packet_id: u16, bytes: usize) {
    t.send(message(packet_id, false, b"x"));
    let (_, ack) = told(t);
    t.writable = false;
    t.session.acknowledge(ack, NO, Properties::EMPTY).unwrap();
    t.drain();
    let sent = t.take(bytes);
    assert_eq!(sent[..], [0x50, 3, 0, packet_id as u8, 0x97][..bytes]);
    t.cut();
    t.writable = true;
    t.after_backoff();
}

refused!(
    /// [5.0 MQTT-4.3.3-10]
    what_was_refused_is_refused_again_and_not_told_twice_where_the_refusal_did_not_leave, |t| {
    for bytes in 0..5 {
        refuse_and_cut(t, 7, bytes);
        t.resume();
        t.expect_silence();
        t.send(message(7, true, b"x"));
        t.see_nothing();
        t.expect(refusal(7));
        // It is over: the next one of this identifier is another.
        t.send(message(7, false, b"y"));
        let (payload, ack) = told(t);
        assert_eq!(payload, b"y");
        t.session.acknowledge(ack, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Pubrec::new(id(7)));
        t.send(Pubrel::new(id(7)));
        t.expect(Pubcomp::new(id(7)));
    }
    t.drain();
    assert!(t.journal.len() <= 1, "the session is all that is left: {:?}", t.journal.keys());
});

refused!(
    /// [5.0 MQTT-4.3.3-9]
    once_the_refusal_has_left_its_identifier_is_of_another_message, |t| {
    refuse_and_cut(t, 7, 5);
    t.resume();
    t.send(message(7, true, b"y"));
    assert_eq!(told(t).0, b"y");
});

refused!(
    /// [5.0 MQTT-3.3.1-1]
    a_message_without_dup_is_not_the_refused_one, |t| {
    refuse_and_cut(t, 7, 2);
    t.resume();
    t.send(message(7, false, b"y"));
    assert_eq!(told(t).0, b"y");
});

refused!(a_refusal_after_a_cut_waits_until_the_message_comes_again, |t| {
    t.send(message(7, false, b"x"));
    let (_, ack) = told(t);
    t.cut();
    t.after_backoff();
    t.resume();
    t.session.acknowledge(ack, NO, Properties::EMPTY).unwrap();
    t.expect_silence();
    t.send(message(7, true, b"x"));
    t.see_nothing();
    t.expect(refusal(7));
});

refused!(what_it_says_of_a_refusal_is_lost_with_the_connection_and_nothing_else, |t| {
    t.send(message(7, false, b"x"));
    let (_, ack) = told(t);
    t.writable = false;
    let why = [Property::ReasonString("no room")];
    t.session.acknowledge(ack, NO, Properties::List(&why)).unwrap();
    t.drain();
    t.cut();
    t.writable = true;
    t.after_backoff();
    t.resume();
    t.send(message(7, true, b"x"));
    t.expect(refusal(7));
    t.send(message(8, false, b"y"));
    let (_, ack) = told(t);
    t.session.acknowledge(ack, NO, Properties::List(&why)).unwrap();
    t.expect(Pubrec::with(id(8), NO, Properties::List(&why)));
    assert_eq!(t.session.stats().bytes_kept, 0);
});

refused!(refusals_that_are_on_their_way_end_in_order_as_they_leave, |t| {
    for number in 1..=3 {
        t.send(message(number, false, b"x"));
    }
    t.writable = false;
    for _ in 1..=3 {
        let (_, ack) = told(t);
        t.session.acknowledge(ack, NO, Properties::EMPTY).unwrap();
    }
    t.drain();
    // The first has left, of the second a part.
    t.take(7);
    t.cut();
    t.writable = true;
    t.after_backoff();
    t.resume();
    t.send(message(1, true, b"x"));
    assert_eq!(told(t).0, b"x");
    for number in [2, 3] {
        t.send(message(number, true, b"x"));
        t.see_nothing();
        t.expect(refusal(number));
    }
});

refused!(what_is_refused_counts_against_receive_maximum_until_the_refusal_has_left, |t| {
    // As many as the client takes, again and again.
    for _ in 0..3 {
        for number in 1..=8 {
            t.send(message(number, false, b"x"));
        }
        for number in 1..=8 {
            let (_, ack) = told(t);
            t.session.acknowledge(ack, NO, Properties::EMPTY).unwrap();
            t.expect(refusal(number));
        }
    }
});

refused!(a_session_that_is_lost_forgets_what_was_refused, |t| {
    refuse_and_cut(t, 7, 2);
    t.connect();
    t.send(message(7, true, b"y"));
    assert_eq!(told(t).0, b"y");
});

/// 3.x has no word for it: the message is taken where it comes again on such a connection.
#[test]
fn a_refused_message_is_taken_where_the_next_connection_cannot_say_so() {
    fn go<S: Storage>(t: &mut Trace<S>) {
        begin(t);
        refuse_and_cut(t, 7, 0);
        t.options.version = Version::V3_1_1;
        t.options.session_expiry = 0;
        t.resume();
        t.send(message(7, true, b"x"));
        t.see_nothing();
        t.expect(Pubrec::new(id(7)));
        t.send(Pubrel::new(id(7)));
        t.expect(Pubcomp::new(id(7)));
        t.drain();
        assert!(t.journal.len() <= 1);
    }
    for durability in [Durability::Off, Durability::Async, Durability::BeforeSend] {
        let config = Config { durability, ack_mode: AckMode::Manual, ..config() };
        go(&mut Trace::heap(config, usize::MAX));
        go(&mut Trace::fixed(config, 1));
    }
}
