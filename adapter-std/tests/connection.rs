//! The connection driven by the caller's thread, against a server with a script.

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use core::time::Duration;
use std::thread;
use std::time::Instant;

use mqtt_adapter_std::{
    Cause, Connection, Event, Options, Outcome, PollError, Publish, PublishError, Qos, ReasonCode,
    RequestError, Why,
};
use peer::{Got, PATIENCE, Server};

fn options(server: &Server) -> Options {
    let mut options = Options::new(&server.url()).unwrap();
    options.engine_mut().backoff.base = Duration::from_millis(5);
    options.engine_mut().backoff.cap = Duration::from_millis(20);
    options
}

/// The first event that `pick` takes.
fn until<R>(connection: &mut Connection, mut pick: impl FnMut(Event) -> Option<R>) -> R {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < PATIENCE, "it does not come");
        if let Some(event) = connection.poll(Some(PATIENCE)).unwrap()
            && let Some(found) = pick(event)
        {
            return found;
        }
    }
}

fn connected(event: Event) -> Option<()> {
    matches!(event, Event::Connected(_)).then_some(())
}

#[test]
fn one_thread_connects_publishes_subscribes_and_receives() {
    let server = Server::new();
    let mut connection = Connection::new(options(&server)).unwrap();
    let script = thread::spawn(move || {
        let mut link = server.welcome(false);
        let Got::Subscribe { id, .. } = link.next() else { panic!("no subscribe") };
        link.suback(id, &[ReasonCode::GrantedQos2]);
        let Got::Publish { id, payload, .. } = link.next() else { panic!("no publish") };
        link.puback(id);
        link.publish("echo", &payload, Qos::ExactlyOnce, 9);
        assert_eq!(link.next(), Got::Pubrec(9));
        link.pubrel(9);
        assert_eq!(link.next(), Got::Pubcomp(9));
        assert_eq!(link.next(), Got::Disconnect(ReasonCode::Success));
        assert_eq!(link.next(), Got::End);
    });
    until(&mut connection, connected);
    let subscribed = connection.subscribe("#", Qos::ExactlyOnce).unwrap();
    until(&mut connection, |event| match event {
        Event::Done { token, outcome: Outcome::Granted(codes), .. } if token == subscribed => {
            assert_eq!(codes, [ReasonCode::GrantedQos2]);
            Some(())
        }
        _ => None,
    });
    let publish = Publish::new("call", "hello").qos(Qos::AtLeastOnce).tag(42);
    let published = connection.publish(publish).unwrap();
    let (mut done, mut echo) = (false, false);
    while !(done && echo) {
        until(&mut connection, |event| match event {
            Event::Done { token, tag: 42, outcome: Outcome::Acked(_), .. } if token == published => {
                done = true;
                Some(())
            }
            Event::Message(message) => {
                echo = true;
                assert_eq!((message.topic(), message.payload()), ("echo", &b"hello"[..]));
                Some(())
            }
            _ => None,
        });
    }
    // The last acknowledgement of QoS 2 is on its way with this poll or the next.
    while connection.poll(Some(Duration::from_millis(20))).unwrap().is_some() {}
    connection.stop(PATIENCE);
    assert_eq!(
        until(&mut connection, |event| match event {
            Event::Stopped { left } => Some(left),
            _ => None,
        }),
        0
    );
    assert!(matches!(connection.poll(None), Err(PollError::Stopped)));
    assert!(matches!(connection.publish(Publish::new("a", "x")), Err(PublishError::Stopped { .. })));
    assert_eq!(connection.unsubscribe("a"), Err(RequestError::Stopped));
    script.join().unwrap();
}

#[test]
fn a_refused_connection_is_an_event_and_is_tried_again() {
    let server = Server::new();
    let options = options(&server);
    drop(server);
    let mut connection = Connection::new(options).unwrap();
    for _ in 0..3 {
        let end = until(&mut connection, |event| match event {
            Event::Disconnected(end) => Some(end),
            _ => None,
        });
        assert_eq!(end.why, Why::DialFailed);
        assert!(matches!(end.cause, Some(Cause::Dial { .. })));
        assert!(end.retry.is_some());
    }
}

#[test]
fn polling_without_time_never_waits() {
    let server = Server::new();
    let mut connection = Connection::new(options(&server)).unwrap();
    let start = Instant::now();
    // The server does not even accept: only a call that waits would not come back.
    for _ in 0..1_000 {
        connection.poll(Some(Duration::ZERO)).unwrap();
    }
    let script = thread::spawn(move || server.welcome(false));
    while !connection.is_connected() {
        connection.poll(Some(Duration::ZERO)).unwrap();
        assert!(start.elapsed() < PATIENCE);
    }
    script.join().unwrap();
}

#[test]
fn a_cut_is_resumed_without_the_applications_help() {
    let server = Server::new();
    let options = options(&server).with_session_expiry(Duration::from_secs(60));
    let mut connection = Connection::new(options).unwrap();
    let script = thread::spawn(move || {
        let mut link = server.welcome(false);
        assert!(matches!(link.next(), Got::Publish { dup: false, .. }));
        link.cut();
        let mut link = server.welcome(true);
        let Got::Publish { dup: true, id, .. } = link.next() else { panic!("not sent again") };
        link.puback(id);
        link
    });
    let token = connection.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).unwrap();
    let outcome = until(&mut connection, |event| match event {
        Event::Done { token: done, outcome, .. } if done == token => Some(outcome),
        _ => None,
    });
    assert_eq!(outcome, Outcome::Acked(ReasonCode::Success));
    script.join().unwrap();
}

#[test]
fn events_that_wait_do_not_stop_pings() {
    let server = Server::new();
    let mut connection = Connection::new(options(&server).with_keep_alive(Duration::from_secs(1))).unwrap();
    let script = thread::spawn(move || {
        let mut link = server.welcome(false);
        for _ in 0..200 {
            link.publish("a", b"x", Qos::AtMostOnce, 0);
        }
        loop {
            if link.next() == Got::Ping {
                link.send(&mqtt_proto::Pingresp);
                return link;
            }
        }
    });
    until(&mut connection, connected);
    // A hundredth of a second for each message: the queue is not empty before the ping is due.
    for _ in 0..200 {
        until(&mut connection, |event| matches!(event, Event::Message(_)).then_some(()));
        thread::sleep(Duration::from_millis(10));
    }
    assert!(connection.is_connected());
    until_ping(&mut connection, script);
}

fn until_ping(connection: &mut Connection, script: thread::JoinHandle<peer::Link>) {
    while !script.is_finished() {
        connection.poll(Some(Duration::from_millis(10))).unwrap();
    }
    script.join().unwrap();
}
