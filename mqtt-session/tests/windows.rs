//! Windows and promises: what is taken in at a time, and what can be handed out at once.

use crate::common;

use core::time::Duration;

use common::{Seen, Trace, VERSIONS, config, id};
use mqtt_session::proto::{
    Pingreq, Properties, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode, TopicName, Version,
};
use mqtt_session::{AckMode, AckToken, Message, Oversize, PublishError, Storage, WhenFull, Why};

const V3: [Version; 2] = [Version::V3_1, Version::V3_1_1];

fn message(qos: Qos, packet_id: u16, payload: &[u8]) -> Publish<'_> {
    Publish { qos, packet_id: Some(id(packet_id)), ..Publish::new(TopicName::new("a").unwrap(), payload) }
}

fn see<S: Storage>(t: &mut Trace<S>, want: &[u8]) -> AckToken {
    match t.event() {
        Seen::Message { payload, ack: Some(ack), .. } if payload == want => ack,
        other => panic!("expected {want:?}, got {other:?}"),
    }
}

scenario!(
    /// [S10]: a 3.x server cannot be told how much it may send, so what is too much waits for its turn.
    s10_on_3_x_one_too_many_waits_until_the_application_acknowledges,
    V3,
    |c| {
        c.ack_mode = AckMode::Manual;
        c.receive_maximum = 1;
    },
    |t| {
        t.options.keep_alive = 10;
        t.connect();
        let own = t.publish("own", Qos::AtLeastOnce, b"");
        t.next_frame().unwrap();
        t.send(message(Qos::AtLeastOnce, 1, b"first"));
        let first = see(t, b"first");
        assert!(t.session.wants_read());
        t.send(message(Qos::AtLeastOnce, 2, b"second"));
        t.send(Puback::new(id(1)));
        assert!(!t.session.wants_read());
        t.see_nothing();
        // The application takes its time. The server hears from this side, and is not expected to answer
        // what cannot be read.
        for _ in 0..10 {
            t.after(Duration::from_secs(10));
            t.expect(Pingreq);
        }
        t.see_nothing();
        t.session.acknowledge(first, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Puback::new(id(1)));
        assert!(t.session.wants_read());
        let second = see(t, b"second");
        t.done(own, "Acked(Success)");
        t.session.acknowledge(second, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Puback::new(id(2)));
        // From here on silence is silence again.
        t.after(Duration::from_secs(10));
        t.expect(Pingreq);
        t.after(Duration::from_secs(5));
        assert_eq!(t.expect_closing(), Why::PingTimeout);
    }
);

scenario!(
    a_large_message_waits_before_its_first_chunk,
    V3,
    |c| {
        c.ack_mode = AckMode::Manual;
        c.receive_maximum = 1;
        c.max_packet_in = 64;
        c.oversize = Oversize::Chunks { largest: 1_000 };
    },
    |t| {
        t.connect();
        t.send(message(Qos::AtLeastOnce, 1, b"first"));
        let first = see(t, b"first");
        t.send(message(Qos::AtLeastOnce, 2, &[7; 200]));
        t.see_nothing();
        t.session.acknowledge(first, ReasonCode::Success, Properties::EMPTY).unwrap();
        assert!(matches!(t.event(), Seen::Start { len: 200, .. }));
        t.see(Seen::Chunk(vec![7; 200]));
        assert!(matches!(t.event(), Seen::End { ack: Some(_) }));
    }
);

scenario!(
    a_repetition_of_what_is_open_does_not_wait,
    V3,
    |c| {
        c.ack_mode = AckMode::Manual;
        c.receive_maximum = 2;
    },
    |t| {
        t.connect();
        t.send(message(Qos::AtLeastOnce, 1, b"first"));
        see(t, b"first");
        t.send(message(Qos::ExactlyOnce, 2, b"second"));
        let second = see(t, b"second");
        t.session.acknowledge(second, ReasonCode::Success, Properties::EMPTY).unwrap();
        t.expect(Pubrec::new(id(2)));
        t.send(Publish { dup: true, ..message(Qos::ExactlyOnce, 2, b"second") });
        t.expect(Pubrec::new(id(2)));
        t.send(Pubrel::new(id(2)));
        t.expect(Pubcomp::new(id(2)));
        assert!(t.session.wants_read());
    }
);

scenario!(
    /// The room of a QoS 2 message comes with a PUBREL, which would wait behind.
    s10_on_3_x_a_flood_that_no_acknowledgement_ends_is_fatal_and_names_the_window,
    V3,
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.connect();
        for value in 1..=common::IN as u16 {
            t.send(message(Qos::ExactlyOnce, value, b"x"));
            see(t, b"x");
        }
        t.send(message(Qos::AtLeastOnce, 100, b"x"));
        let why = t.expect_closing();
        assert_eq!(why, Why::Flooded { limit: common::IN as u16 });
        assert!(why.to_string().contains("max_inflight_messages"), "{why}");
        // Not again and again.
        t.see(Seen::Stopped { left: 0 });
    }
);

scenario!(what_can_be_published_lies_in_the_outgoing_buffer_after_the_next_outgoing, VERSIONS, |t| {
    t.connect();
    t.writable = false;
    // A quarter of the wire buffer, with its topic.
    for len in [255, 0, 100, 17] {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce] {
            let mut handed = t.session.stats().publishes_out;
            while t.session.can_publish(qos) {
                t.publish("t", qos, &vec![b'x'; len]);
                let _ = t.session.outgoing(t.now);
                handed += 1;
                assert_eq!(t.session.stats().publishes_out, handed, "{len} {qos:?}");
            }
            assert!(!t.session.can_publish(qos));
        }
        // Somewhere in the middle of it.
        let pending = { t.session.outgoing(t.now).chunk().len() };
        t.take(pending.min(600));
    }
    t.writable = true;
    t.drain();
    assert!(t.session.can_publish(Qos::AtMostOnce));
});

scenario!(
    acknowledgements_that_go_first_leave_room_for_what_can_be_published,
    VERSIONS,
    |c| { c.ack_mode = AckMode::Manual },
    |t| {
        t.connect();
        let mut acks = Vec::new();
        for value in 1..=common::IN as u16 {
            t.send(message(Qos::AtLeastOnce, value, b"x"));
            acks.push(see(t, b"x"));
        }
        t.writable = false;
        while t.session.can_publish(Qos::AtMostOnce) {
            t.publish("t", Qos::AtMostOnce, &[b'x'; 200]);
            let _ = t.session.outgoing(t.now);
        }
        // One more place than it says is there: make it just free.
        t.take(100);
        while !t.session.can_publish(Qos::AtMostOnce) {
            t.take(1);
        }
        for ack in acks {
            t.session.acknowledge(ack, ReasonCode::Success, Properties::EMPTY).unwrap();
        }
        let handed = t.session.stats().publishes_out;
        t.publish("t", Qos::AtMostOnce, &[b'x'; 255]);
        let _ = t.session.outgoing(t.now);
        assert_eq!(t.session.stats().publishes_out, handed + 1);
    }
);

scenario!(
    /// Each drop is told, and eight can wait to be; fetching them is all it takes.
    dropping_the_oldest_goes_on_while_events_are_fetched,
    VERSIONS,
    |c| { c.when_full = WhenFull::DropOldest },
    |t| {
        let publish = |t: &mut Trace<S>| {
            let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce);
            t.session.publish(&message, b"x"[..].into()).map_err(|refused| refused.reason)
        };
        for _ in 0..common::OUT + 8 {
            publish(t).unwrap();
        }
        assert_eq!(publish(t), Err(PublishError::QueueFull));
        assert_eq!(t.events().iter().filter(|seen| matches!(seen, Seen::Done { .. })).count(), 8);
        for _ in 0..100 {
            publish(t).unwrap();
            assert!(matches!(t.event(), Seen::Done { outcome, .. } if outcome == "Dropped"));
        }
    }
);

scenario!(messages_expire_each_at_its_time_and_in_that_order, VERSIONS, |t| {
    let mut tokens = Vec::new();
    for step in [9, 3, 7, 1, 5] {
        let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce);
        let message = message.ttl(Duration::from_secs(step));
        tokens.push((step, t.session.publish(&message, b"x"[..].into()).map_err(|r| r.reason).unwrap()));
    }
    // One is taken back, one is sent: neither expires.
    let (_, gone) = tokens.remove(2);
    assert!(t.session.cancel(gone));
    t.done(gone, "Cancelled");
    tokens.sort();
    for (step, token) in tokens {
        t.after(
            Duration::from_secs(step).saturating_sub(Duration::from_micros(1 + t.now.as_micros() - 1_000)),
        );
        t.see_nothing();
        t.after(Duration::from_micros(1));
        t.done(token, "Expired");
    }
    assert_eq!(t.session.poll_timeout(), None);
});

/// Ten thousand wakings, of which each looks only at what expires: a scan of what is left would be half a billion
/// steps.
#[test]
fn a_hundred_thousand_different_times_to_live_cost_what_expires() {
    let mut config = config();
    config.max_operations = 100_000;
    config.queue_bytes = 64 << 20;
    let mut t = Trace::heap(config, usize::MAX);
    for number in 0..100_000u64 {
        let message = Message::new(TopicName::new("a").unwrap()).qos(Qos::AtLeastOnce);
        // 1 ms apart, in no order.
        let ttl = Duration::from_millis(1_000 + number * 7_919 % 100_000);
        t.session.publish(&message.ttl(ttl), b"x"[..].into()).map_err(|refused| refused.reason).unwrap();
    }
    t.after(Duration::from_secs(102));
    assert_eq!(t.events().len(), 100_000);
}
