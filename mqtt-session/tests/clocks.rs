//! What runs by the clock: the session's own expiry, deadlines of requests, delays.

use crate::common;

use core::time::Duration;

use common::{Seen, Trace, VERSIONS, id};
use mqtt_session::proto::{
    Packet, Peer, Properties, Property, Pubrec, Qos, ReasonCode, ReasonCodes, Suback, Subscription,
    SubscriptionOptions, TopicFilter, Unsuback, Version,
};
use mqtt_session::{Closed, Command, Config, SessionLost, Stop, Storage, Token, Why};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Every attempt fails until this much time has passed; whatever happens meanwhile is told.
fn offline<S: Storage>(t: &mut Trace<S>, span: Duration) -> Vec<Seen> {
    let end = t.now.after(span);
    let mut seen = Vec::new();
    while t.now < end {
        if t.command().is_some() {
            t.close(Closed::DialFailed);
        }
        let due = t.session.poll_timeout().map_or(end, |due| due.min(end));
        t.after(due.since(t.now));
        seen.extend(t.events());
    }
    seen.retain(|seen| !matches!(seen, Seen::Connecting { .. } | Seen::Disconnected { .. }));
    seen
}

/// The next CONNECT; whether it begins a new session.
fn clean_start<S: Storage>(t: &mut Trace<S>) -> bool {
    let frame = t.open();
    match Packet::decode(&frame, t.version(), Peer::Client).unwrap() {
        Packet::Connect(connect) => connect.clean_start,
        other => panic!("{other:?}"),
    }
}

/// One QoS 1 message unacknowledged, one QoS 2 message past PUBREC; then the connection breaks.
fn cut_in_the_middle<S: Storage>(t: &mut Trace<S>, connack: &[Property<'_>]) -> (Token, Token) {
    t.connect_with(false, connack);
    let first = t.publish("a", Qos::AtLeastOnce, b"1");
    let second = t.publish("b", Qos::ExactlyOnce, b"2");
    t.drain();
    t.send(Pubrec::new(id(2)));
    t.cut();
    t.events();
    (first, second)
}

scenario!(
    /// [5.0 MQTT-4.1.0-2] Section 3.1.2.11.2 of 5.0: the session is held lost when its time is over, not when somebody says so.
    a_session_whose_time_is_over_is_held_lost_on_this_side_too,
    |t| {
        t.options.session_expiry = 60;
        let (_, second) = cut_in_the_middle(t, &[]);
        assert_eq!(offline(t, Duration::from_millis(59_999)), []);
        let seen = offline(t, Duration::from_millis(2));
        assert_eq!(seen[0], Seen::SessionLost { republished: 1, ended: 1 });
        assert!(matches!(&seen[1], Seen::Done { token, outcome, .. }
            if (*token, outcome.as_str()) == (second, "Unknown")));
        assert_eq!(seen.len(), 2);
        // A server whose clock is behind must not resume what has no other half any more.
        assert!(clean_start(t));
        t.connect_accepted();
        t.see(Seen::Connected { session_present: false, resumed: false });
        let again = t.next_frame().unwrap();
        assert_eq!(again[0], 0x32, "a new message, without DUP");
        t.expect_silence();
        t.see_nothing();
    }
);

scenario!(
    /// What was agreed on is the server's value, if it gave one.
    the_interval_is_the_one_the_server_gave,
    |t| {
        t.options.session_expiry = 3_600;
        cut_in_the_middle(t, &[Property::SessionExpiryInterval(30)]);
        assert_eq!(offline(t, seconds(29)), []);
        assert!(matches!(offline(t, seconds(2))[0], Seen::SessionLost { .. }));
    }
);

scenario!(
    /// In time, the session goes on.
    a_session_that_is_resumed_in_time_goes_on_and_its_clock_stops,
    [Version::V5],
    |c| {
        c.backoff.cap = seconds(1);
    },
    |t| {
        t.options.session_expiry = 60;
        cut_in_the_middle(t, &[]);
        assert_eq!(offline(t, seconds(58)), []);
        assert!(!clean_start(t));
        // The time is over while the server has CONNECT already: what it says counts.
        t.events();
        t.after(seconds(9));
        t.send(mqtt_session::proto::Connack::accepted(true));
        t.see(Seen::Connected { session_present: true, resumed: true });
        t.after(seconds(30));
        t.see_nothing();
        t.cut();
        t.events();
        assert_eq!(offline(t, seconds(59)), [], "it begins anew with each connection");
    }
);

scenario!(
    /// A CONNECT whose CONNACK was lost may have resumed the session.
    a_connect_without_an_answer_begins_the_interval_anew,
    [Version::V5],
    |c| {
        c.backoff.cap = seconds(1);
    },
    |t| {
        t.options.session_expiry = 60;
        cut_in_the_middle(t, &[]);
        assert_eq!(offline(t, seconds(50)), []);
        assert!(!clean_start(t));
        t.cut();
        t.events();
        assert_eq!(offline(t, seconds(59)), []);
        assert!(matches!(offline(t, seconds(2))[0], Seen::SessionLost { .. }));
    }
);

scenario!(
    /// [U-34] 0xFFFFFFFF is for ever, and 3.x has no expiry.
    a_session_that_does_not_expire_is_waited_for,
    VERSIONS,
    |t| {
        t.options.session_expiry = if t.version() == Version::V5 { u32::MAX } else { 0 };
        t.options.clean_start = false;
        t.options.local_state = mqtt_session::LocalState::Held;
        cut_in_the_middle(t, &[]);
        assert_eq!(offline(t, seconds(100_000)), []);
        assert!(!clean_start(t));
    }
);

scenario!(
    /// The policy is applied when the time is over.
    the_policy_ends_what_is_lost_at_its_time,
    [Version::V5],
    |c| {
        c.on_session_lost = SessionLost::Fail;
    },
    |t| {
        t.options.session_expiry = 60;
        cut_in_the_middle(t, &[]);
        let seen = offline(t, seconds(61));
        assert_eq!(seen[0], Seen::SessionLost { republished: 0, ended: 2 });
        assert_eq!(seen.iter().filter(|seen| matches!(seen, Seen::Done { outcome, .. } if outcome == "Lost")).count(), 2);
        assert_eq!(t.session.pending(), 0);
    }
);

scenario!(
    /// Between two runs nobody tells the time: it is looked at when the next connection opens.
    a_session_that_ends_between_two_runs_is_lost_when_the_next_begins,
    |t| {
        t.options.session_expiry = 60;
        t.options.clean_start = false;
        t.options.local_state = mqtt_session::LocalState::Held;
        t.connect();
        let hour = [Property::SessionExpiryInterval(3_600)];
        t.session.stop(Stop::now().properties(Properties::List(&hour))).unwrap();
        assert_eq!(t.next_frame().unwrap(), [0xE0, 0x07, 0x00, 0x05, 0x11, 0, 0, 0x0E, 0x10]);
        t.closes_somehow();
        t.events();
        assert_eq!(t.session.poll_timeout(), None);
        t.now = t.now.after(seconds(3_599));
        assert!(!clean_start(t), "what DISCONNECT said counts");
        t.send(mqtt_session::proto::Connack::accepted(true));
        t.events();
        t.session.stop(Stop::now()).unwrap();
        t.drain();
        t.closes_somehow();
        t.now = t.now.after(seconds(61));
        assert!(clean_start(t));
    }
);

fn subscribe<S: Storage>(t: &mut Trace<S>, filter: &str) -> Token {
    let filter = TopicFilter::new(filter).unwrap();
    let options = SubscriptionOptions::new(Qos::AtMostOnce);
    t.session.subscribe(&[Subscription { filter, options }], Properties::EMPTY).unwrap()
}

fn suback<S: Storage>(t: &mut Trace<S>, number: u16) {
    t.send(Suback {
        packet_id: id(number),
        properties: Properties::EMPTY,
        codes: ReasonCodes::from_stored(&[0]),
    });
}

/// Ten seconds for a request.
fn ten(config: &mut Config) {
    config.request_timeout = Some(seconds(10));
    config.max_in_flight = 2;
}

scenario!(
    /// [5.0 MQTT-2.2.1-3] [3.1.1 MQTT-2.3.1-2] The identifier is not free before the answer has come.
    a_request_without_an_answer_times_out_and_keeps_its_identifier,
    VERSIONS,
    |c| {
        ten(c);
    },
    |t| {
        t.connect();
        let token = subscribe(t, "a");
        t.next_frame();
        t.after(Duration::from_millis(9_989));
        t.see_nothing();
        t.after(Duration::from_millis(30));
        t.done(token, "TimedOut");
        assert_eq!(t.session.pending(), 0);
        assert_eq!(t.session.stats().in_flight, 1);
        // Identifier 1 is held, so only 2 goes round.
        for _ in 0..4 {
            let token = t.publish("x", Qos::AtLeastOnce, b"");
            let frame = t.next_frame().unwrap();
            assert_eq!(frame[5..7], [0, 2], "{frame:02x?}");
            t.send(mqtt_session::proto::Puback::new(id(2)));
            t.done(token, "Acked(Success)");
        }
        suback(t, 1);
        t.see_nothing();
        assert_eq!(t.session.stats().in_flight, 0);
    }
);

scenario!(
    /// A late SUBACK counts for what is subscribed, and a late UNSUBACK for what is not any more.
    a_late_answer_is_absorbed_and_the_subscriptions_stay_right,
    VERSIONS,
    |c| {
        ten(c);
    },
    |t| {
        t.options.session_expiry = if t.version() == Version::V5 { 100 } else { 0 };
        t.connect();
        let kept = subscribe(t, "a");
        t.next_frame();
        t.after(seconds(11));
        t.done(kept, "TimedOut");
        suback(t, 1);
        let gone = subscribe(t, "b");
        t.next_frame();
        suback(t, 2);
        t.done(gone, "Granted([Success])");
        let token = t.session.unsubscribe(&[TopicFilter::new("b").unwrap()], Properties::EMPTY).unwrap();
        let number = t.next_frame().unwrap()[3];
        t.after(seconds(11));
        t.done(token, "TimedOut");
        t.send(Unsuback {
            packet_id: id(number.into()),
            properties: Properties::EMPTY,
            codes: ReasonCodes::from_stored(&[0]),
        });
        t.see_nothing();
        // A new session: "a" is made again, "b" is not.
        t.cut();
        t.connect();
        let frame = t.next_frame().unwrap();
        assert_eq!(frame[0], 0x82, "{frame:02x?}");
        assert_eq!(frame[frame.len() - 2], b'a');
        t.expect_silence();
    }
);

scenario!(
    /// A request made offline is taken back.
    a_request_that_was_not_sent_in_time_is_taken_back,
    VERSIONS,
    |c| {
        ten(c);
    },
    |t| {
        let token = subscribe(t, "a");
        t.session.start(&t.options).unwrap();
        let seen = offline(t, seconds(11));
        assert!(matches!(&seen[..], [Seen::Done { token: ended, outcome, .. }]
            if (*ended, outcome.as_str()) == (token, "TimedOut")));
        assert_eq!(t.session.stats().bytes_kept, 0);
        t.connect();
        t.expect_silence();
    }
);

scenario!(
    /// After a cut a timed-out request is sent once more, which settles what the server has; with a lost
    /// session it ends.
    a_timed_out_request_is_resolved_by_a_resume_and_ends_with_the_session,
    [Version::V5],
    |c| {
        ten(c);
    },
    |t| {
        t.options.session_expiry = 100;
        t.connect();
        let token = subscribe(t, "a");
        t.next_frame();
        t.after(seconds(11));
        t.done(token, "TimedOut");
        t.cut();
        t.resume();
        assert_eq!(t.next_frame().unwrap()[..4], [0x82, 0x07, 0, 1]);
        t.cut();
        t.connect();
        t.expect_silence();
        t.see(Seen::SessionLost { republished: 0, ended: 0 });
        t.see_nothing();
        assert_eq!(t.session.stats().in_flight, 0);
        assert_eq!(t.session.stats().bytes_kept, 0);
    }
);

scenario!(
    /// The wrong number of codes is one all the same.
    a_late_answer_must_still_be_a_right_one,
    [Version::V5],
    |c| {
        ten(c);
    },
    |t| {
        t.connect();
        let token = subscribe(t, "a");
        t.next_frame();
        t.after(seconds(11));
        t.done(token, "TimedOut");
        t.send(Suback {
            packet_id: id(1),
            properties: Properties::EMPTY,
            codes: ReasonCodes::from_stored(&[0, 0]),
        });
        assert_eq!(
            t.refuses(ReasonCode::ProtocolError),
            Why::Protocol(ReasonCode::ProtocolError, "MQTT-3.8.4-6")
        );
    }
);

scenario!(
    /// Off by default.
    without_a_deadline_a_request_waits,
    VERSIONS,
    |t| {
        t.options.keep_alive = 0;
        t.connect();
        let token = subscribe(t, "a");
        t.next_frame();
        t.after(seconds(100_000));
        t.see_nothing();
        suback(t, 1);
        t.done(token, "Granted([Success])");
        assert_eq!(t.command(), None::<Command<'_>>);
    }
);

scenario!(
    /// [A7] However a healthy connection ended, the delays begin anew.
    a07_a_healthy_connection_that_the_session_itself_ends_resets_the_backoff,
    VERSIONS,
    |t| {
        for _ in 0..6 {
            t.open();
            t.close(Closed::Failed);
        }
        t.connect();
        t.after(Duration::from_secs(69));
        t.after(Duration::from_secs(2));
        assert_eq!(t.closes_somehow(), Why::PingTimeout);
        t.after_backoff();
        t.see(Seen::Connecting { attempt: 1, server: 0 });
    }
);
