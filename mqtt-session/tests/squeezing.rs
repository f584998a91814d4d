//! Memory that is full of holes: what is kept for later moves, and is found again.

use crate::common;

use core::time::Duration;

use common::{Seen, Trace, id};
use mqtt_session::proto::{
    Packet, PacketId, Peer, Properties, Property, Puback, Publish, Qos, ReasonCode, TopicName, Version,
};
use mqtt_session::{AckMode, AckToken, Config, Message, Stop, Storage};

fn manual(config: &mut Config) {
    config.ack_mode = AckMode::Manual;
    config.wire_bytes = 256;
}

/// A message of the server at QoS 1, which the application has.
fn take<S: Storage>(t: &mut Trace<S>, number: u16) -> AckToken {
    t.send(Publish {
        qos: Qos::AtLeastOnce,
        packet_id: Some(id(number)),
        ..Publish::new(TopicName::new("in").unwrap(), b"x")
    });
    match t.event() {
        Seen::Message { ack: Some(ack), .. } => ack,
        other => panic!("{other:?}"),
    }
}

fn say<S: Storage>(t: &mut Trace<S>, ack: AckToken, text: &str) {
    let why = [Property::ReasonString(text)];
    t.session.acknowledge(ack, ReasonCode::QuotaExceeded, Properties::List(&why)).unwrap();
}

/// The Reason String of the next packet.
fn said<S: Storage>(t: &mut Trace<S>) -> String {
    let frame = t.next_frame().expect("a packet");
    let properties = match Packet::decode(&frame, Version::V5, Peer::Client).unwrap() {
        Packet::Puback(ack) => ack.properties,
        Packet::Disconnect(disconnect) => disconnect.properties,
        other => panic!("{other:?}"),
    };
    properties.reason_string().unwrap_or("nothing").to_owned()
}

/// Fills the memory for operations, down to a few bytes.
fn fill<S: Storage>(t: &mut Trace<S>) {
    let message = Message::new(TopicName::new("out").unwrap()).qos(Qos::AtLeastOnce);
    for len in [300, 60, 10] {
        while t.session.publish(&message, [7; 300][..len].into()).is_ok() {}
    }
}

/// The server answers the first message: its place is a hole.
fn answer_first<S: Storage>(t: &mut Trace<S>) {
    let first = PacketId::new(1).unwrap();
    t.drain();
    t.send(Puback::new(first));
}

scenario!(
    an_acknowledgement_that_waits_for_its_turn_keeps_its_reason,
    [Version::V5],
    |c| { manual(c) },
    |t| {
        t.connect();
        let (first, second) = (take(t, 1), take(t, 2));
        let before = t.publish("out", Qos::AtLeastOnce, &[1; 100]);
        say(t, second, "second");
        fill(t);
        answer_first(t);
        t.done(before, "Acked(Success)");
        // Fits the budget, not the end of the memory: everything moves.
        t.publish("out", Qos::AtLeastOnce, &[2; 90]);
        while t.next_frame().is_some() {}
        t.session.acknowledge(first, ReasonCode::Success, Properties::EMPTY).unwrap();
        assert_eq!((said(t), said(t)), ("nothing".to_owned(), "second".to_owned()));
    }
);

scenario!(
    an_acknowledgement_whose_turn_has_come_keeps_its_reason_until_it_is_written,
    [Version::V5],
    |c| { manual(c) },
    |t| {
        t.connect();
        let first = take(t, 1);
        let before = t.publish("out", Qos::AtLeastOnce, &[1; 100]);
        t.drain();
        t.writable = false;
        // The wire buffer has no room for it.
        for _ in 0..4 {
            t.publish("out", Qos::AtLeastOnce, &[1; 40]);
        }
        let _ = t.session.outgoing(t.now);
        let why = "why ".repeat(20);
        say(t, first, &why);
        let _ = t.session.outgoing(t.now);
        fill(t);
        answer_first(t);
        t.done(before, "Acked(Success)");
        t.publish("out", Qos::AtLeastOnce, &[2; 90]);
        t.writable = true;
        let frames: Vec<Vec<u8>> = core::iter::from_fn(|| t.next_frame()).collect();
        let puback = frames.iter().find(|frame| frame[0] == 0x40).expect("PUBACK");
        assert!(puback.ends_with(why.as_bytes()), "{puback:02x?}");
    }
);

scenario!(what_disconnect_is_to_say_is_found_again, [Version::V5], |c| { manual(c) }, |t| {
    t.connect();
    let ack = take(t, 1);
    t.publish("out", Qos::AtLeastOnce, &[1; 100]);
    for len in [300, 300, 300, 300, 300, 300, 300, 300, 300, 60] {
        t.publish("out", Qos::AtLeastOnce, &[7; 300][..len]);
    }
    let why = [Property::ReasonString("home")];
    t.session.stop(Stop::drain(Duration::from_secs(9)).properties(Properties::List(&why))).unwrap();
    answer_first(t);
    while t.next_frame().is_some() {}
    say(t, ack, &"x".repeat(90));
    assert_eq!(said(t), "x".repeat(90));
    t.after(Duration::from_secs(9));
    assert_eq!(said(t), "home");
});
