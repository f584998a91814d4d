//! Publishes above the server's Maximum QoS: refused, or lowered where nothing of them was ever sent.

use crate::common;

use common::{Seen, Trace, id};
use mqtt_session::proto::{Property, Puback, Publish, Qos, ReasonCode, TopicName, Version};
use mqtt_session::{Message, OverQos, PublishError, Storage};

fn lower(config: &mut mqtt_session::Config) {
    config.over_qos = OverQos::Lower;
}

/// The server takes at most this.
fn at_most<S: Storage>(t: &mut Trace<S>, session_present: bool, qos: Qos) {
    let limits = [Property::MaximumQos(qos)];
    t.connect_with(session_present, if qos == Qos::ExactlyOnce { &[] } else { &limits });
}

fn publish(qos: Qos, number: u16, payload: &[u8]) -> Publish<'_> {
    Publish {
        qos,
        packet_id: mqtt_session::proto::PacketId::new(number),
        ..Publish::new(TopicName::new("a").unwrap(), payload)
    }
}

// [5.0 MQTT-3.2.2-11]
scenario!(a_publish_above_maximum_qos_is_refused_unless_asked_otherwise, |t| {
    t.session.start(&t.options).unwrap();
    let early = t.publish("a", Qos::ExactlyOnce, b"early");
    at_most(t, false, Qos::AtLeastOnce);
    t.done(early, "Refused(QosNotSupported)");
    let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::ExactlyOnce);
    let refused = t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason);
    assert_eq!(refused, Err(PublishError::QosNotSupported(Qos::AtLeastOnce)));
    t.expect_silence();
});

// [5.0 MQTT-3.2.2-11]
scenario!(a_publish_above_maximum_qos_is_lowered_where_asked, [Version::V5], |c| { lower(c) }, |t| {
    t.session.start(&t.options).unwrap();
    let early = t.publish("a", Qos::ExactlyOnce, b"early");
    at_most(t, false, Qos::AtLeastOnce);
    let late = t.publish("a", Qos::ExactlyOnce, b"late");
    let plain = t.publish("a", Qos::AtLeastOnce, b"plain");
    for (number, payload, token) in [(1, &b"early"[..], early), (2, b"late", late), (3, b"plain", plain)] {
        t.expect(publish(Qos::AtLeastOnce, number, payload));
        t.send(Puback::new(id(number)));
        t.done(token, "Acked(Success)");
    }
    t.expect_silence();
});

scenario!(a_publish_lowered_to_qos_0_ends_as_one_and_is_told, [Version::V5], |c| { lower(c) }, |t| {
    at_most(t, false, Qos::AtMostOnce);
    t.writable = false;
    let first = t.publish("a", Qos::ExactlyOnce, b"1");
    let second = t.publish("a", Qos::AtLeastOnce, b"2");
    // What was asked for at QoS 0 has no end to be told.
    t.publish("a", Qos::AtMostOnce, b"3");
    t.drain();
    t.see_nothing();
    // Six bytes each; the second is cut in its middle.
    t.take(8);
    t.done(first, "Sent");
    t.cut();
    let seen = t.events();
    let lost = |seen: &Seen| matches!(seen, Seen::Done { token, outcome, .. } if *token == second && outcome == "Lost");
    assert_eq!(seen.iter().filter(|seen| lost(seen)).count(), 1, "{seen:?}");
});

scenario!(
    a_lowered_publish_that_never_left_is_sent_as_it_was_asked_for_where_that_is_possible,
    [Version::V5],
    |c| { lower(c) },
    |t| {
        t.options.clean_start = false;
        at_most(t, false, Qos::AtLeastOnce);
        t.writable = false;
        t.publish("a", Qos::ExactlyOnce, b"1");
        t.drain();
        assert!(!t.session.outgoing(t.now).is_empty());
        t.cut();
        t.writable = true;
        at_most(t, true, Qos::ExactlyOnce);
        t.expect(publish(Qos::ExactlyOnce, 2, b"1"));
    }
);

// [5.0 MQTT-3.2.2-11]
scenario!(a_publish_that_was_sent_is_never_altered, [Version::V5], |c| { lower(c) }, |t| {
    t.options.clean_start = false;
    t.connect();
    let sent = t.publish("a", Qos::ExactlyOnce, b"1");
    t.expect(publish(Qos::ExactlyOnce, 1, b"1"));
    let _ = t.session.outgoing(t.now);
    t.cut();
    at_most(t, true, Qos::AtLeastOnce);
    t.done(sent, "Refused(QosNotSupported)");
    // The half exchange is ended on both sides.
    assert_eq!(t.next_frame().unwrap()[0], 0x62, "PUBREL");
    t.expect_silence();
    assert!(!matches!(t.events().first(), Some(Seen::Done { .. })));
});

/// A lowered publish that was sent is sent again as it was.
#[test]
fn a_lowered_publish_stays_lowered_once_it_was_sent() {
    let mut config = common::config();
    lower(&mut config);
    let mut t = Trace::heap(config, usize::MAX);
    t.options.clean_start = false;
    at_most(&mut t, false, Qos::AtLeastOnce);
    let token = t.publish("a", Qos::ExactlyOnce, b"1");
    t.expect(publish(Qos::AtLeastOnce, 1, b"1"));
    t.cut();
    at_most(&mut t, true, Qos::ExactlyOnce);
    t.expect(Publish { dup: true, ..publish(Qos::AtLeastOnce, 1, b"1") });
    t.send(Puback::with(id(1), ReasonCode::Success, Default::default()));
    t.done(token, "Acked(Success)");
}
