//! Server redirection: 0x9C and 0x9D with a Server Reference, by choice and bounded.

use crate::common;

use core::time::Duration;

use common::{Seen, Trace};
use mqtt_session::proto::{Connack, Disconnect, Properties, Property, Qos, ReasonCode, Version};
use mqtt_session::{Closed, Command, Stop, Storage, Why};

const ONCE: ReasonCode = ReasonCode::UseAnotherServer;
const MOVED: ReasonCode = ReasonCode::ServerMoved;

/// The server refuses CONNECT and names others.
fn refuse<S: Storage>(t: &mut Trace<S>, code: ReasonCode, reference: &str) {
    t.open();
    t.events();
    t.send(Connack {
        session_present: false,
        reason_code: code,
        properties: Properties::List(&[Property::ServerReference(reference)]),
    });
    t.see(Seen::ServerClosing { code, reference: Some(reference.to_owned()), reason: None });
    assert_eq!(t.closes_somehow(), Why::Refused(code));
}

/// The next attempt begins; what it dials.
fn dialled<S: Storage>(t: &mut Trace<S>) -> Option<String> {
    for _ in 0..10 {
        if let Some(command) = t.command() {
            assert!(matches!(command, Command::Open { server: 0, .. }), "{command:?}");
            return t.session.redirect().map(str::to_owned);
        }
        t.after_backoff();
    }
    panic!("no attempt");
}

fn fails<S: Storage>(t: &mut Trace<S>) {
    t.close(Closed::DialFailed);
}

scenario!(
    /// [A8] [U-31] Off by default.
    a08_without_a_choice_no_redirection_is_followed_and_the_run_ends,
    |t| {
        for code in [ONCE, MOVED] {
            refuse(t, code, "other.example:8883");
            t.see(Seen::Stopped { left: 0 });
            assert_eq!(t.session.poll_timeout(), None);
            assert_eq!(t.session.redirect(), None);
        }
    }
);

scenario!(
    /// A list of own servers is a choice of its own.
    without_a_choice_the_next_of_the_own_servers_is_tried,
    [Version::V5],
    |c| {
        c.servers = 2;
    },
    |t| {
        refuse(t, ONCE, "other.example");
        loop {
            match t.command() {
                Some(Command::Open { server, .. }) => break assert_eq!(server, 1),
                Some(other) => panic!("{other:?}"),
                None => t.after_backoff(),
            }
        }
        assert_eq!(t.session.redirect(), None);
    }
);

scenario!(
    /// [A8] [U-31]
    use_another_server_holds_for_the_next_attempt_alone,
    [Version::V5],
    |c| {
        c.redirects = 2;
    },
    |t| {
        refuse(t, ONCE, "other.example:8883");
        assert_eq!(dialled(t).as_deref(), Some("other.example:8883"));
        fails(t);
        assert_eq!(t.session.redirect(), None);
        assert_eq!(dialled(t), None);
        fails(t);
        refuse(t, ONCE, "third.example");
        t.open();
        assert_eq!(t.session.redirect(), Some("third.example"), "while it is dialled and connected");
        t.connect_accepted();
        assert_eq!(t.session.redirect(), Some("third.example"));
        t.cut();
        assert_eq!(dialled(t), None);
    }
);

scenario!(
    /// [A8]
    a_server_that_moved_is_left_for_the_rest_of_the_run,
    [Version::V5],
    |c| {
        c.redirects = 3;
    },
    |t| {
        refuse(t, MOVED, "new.example");
        for _ in 0..3 {
            assert_eq!(dialled(t).as_deref(), Some("new.example"));
            fails(t);
        }
        // From there for once elsewhere, and back.
        refuse(t, ONCE, "guest.example:1");
        assert_eq!(dialled(t).as_deref(), Some("guest.example:1"));
        fails(t);
        assert_eq!(dialled(t).as_deref(), Some("new.example"));
        fails(t);
        t.session.stop(Stop::now()).unwrap();
        t.drain();
        t.events();
        t.session.start(&t.options).unwrap();
        assert_eq!(dialled(t), None, "a new run begins at the own server");
    }
);

scenario!(
    /// Of several references each failed attempt takes the next.
    several_references_are_tried_in_turn,
    [Version::V5],
    |c| {
        c.redirects = 1;
    },
    |t| {
        refuse(t, MOVED, "a.example b.example:2  c.example");
        for want in ["a.example", "b.example:2", "c.example", "a.example"] {
            assert_eq!(dialled(t).as_deref(), Some(want));
            fails(t);
        }
        t.open();
        t.connect_accepted();
        assert_eq!(t.session.redirect(), Some("b.example:2"));
        t.cut();
        assert_eq!(dialled(t).as_deref(), Some("b.example:2"), "what worked is tried again first");
    }
);

scenario!(
    /// [A8] [U-31]
    a08_redirections_in_a_row_are_bounded,
    [Version::V5],
    |c| {
        c.redirects = 3;
    },
    |t| {
        for (code, to) in [(ONCE, "b.example"), (MOVED, "a.example"), (ONCE, "b.example")] {
            refuse(t, code, to);
            assert_eq!(dialled(t).as_deref(), Some(to));
            t.close(Closed::Failed);
        }
        refuse(t, MOVED, "a.example");
        t.see(Seen::Stopped { left: 0 });
    }
);

scenario!(
    /// [A8] A server that accepts and then sends away is one hop as well.
    a08_disconnect_redirects_and_only_a_healthy_connection_begins_the_count_anew,
    [Version::V5],
    |c| {
        c.redirects = 1;
    },
    |t| {
        t.connect();
        let other = [Property::ServerReference("b.example")];
        let away = || Disconnect { reason_code: ONCE, properties: Properties::List(&other) };
        t.send(away());
        t.see(Seen::ServerClosing { code: ONCE, reference: Some("b.example".to_owned()), reason: None });
        t.expect_silence();
        assert_eq!(t.closes_somehow(), Why::ServerDisconnected(ONCE));
        for _ in 0..3 {
            t.open();
            assert_eq!(t.session.redirect(), Some("b.example"));
            t.connect_accepted();
            t.after(Duration::from_secs(10));
            t.send(away());
            t.closes_somehow();
        }
        t.open();
        t.connect_accepted();
        t.after(Duration::from_secs(9));
        t.events();
        t.send(away());
        assert_eq!(t.closes_somehow(), Why::ServerDisconnected(ONCE));
        t.see(Seen::Stopped { left: 0 });
    }
);

scenario!(
    /// Nothing to follow.
    a_redirection_without_a_reference_ends_the_run,
    [Version::V5],
    |c| {
        c.redirects = 5;
    },
    |t| {
        t.open();
        t.events();
        t.send(Connack {
            session_present: false,
            reason_code: MOVED,
            properties: Properties::EMPTY,
        });
        assert_eq!(t.closes_somehow(), Why::Refused(MOVED));
        t.see(Seen::Stopped { left: 0 });
    }
);

scenario!(
    /// The room for references is set aside: a full queue does not lose one, and one takes no room from it.
    a_reference_is_kept_while_the_queue_is_full,
    [Version::V5],
    |c| {
        c.redirects = 1;
    },
    |t| {
        let message = mqtt_session::Message::new(mqtt_session::proto::TopicName::new("t").unwrap());
        let message = message.qos(Qos::AtLeastOnce);
        let mut accepted = 0;
        while t.session.publish(&message, [7; 200][..].into()).is_ok() {
            accepted += 1;
        }
        let long = format!("{} {}", "a".repeat(200), "b".repeat(60));
        let long = &long[..255];
        refuse(t, MOVED, long);
        assert_eq!(dialled(t).as_deref(), Some(&long[..200]));
        assert_eq!(t.session.stats().open, accepted);
        t.session.opened(&t.options, t.now);
        t.connect_accepted();
        for id in 1..=u16::try_from(accepted).unwrap() {
            t.send(mqtt_session::proto::Puback::new(common::id(id)));
        }
        t.after(Duration::from_secs(30));
        assert_eq!(t.session.stats().bytes_kept, 0);
        // What nothing needs was given back, and the reference is what it was.
        assert_eq!(t.session.redirect(), Some(&long[..200]));
        for _ in 0..accepted {
            t.session.publish(&message, [7; 200][..].into()).unwrap();
        }
        assert_eq!(t.session.redirect(), Some(&long[..200]));
    }
);
