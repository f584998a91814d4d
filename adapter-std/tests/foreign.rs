//! The connection in somebody else's event loop: its descriptor and its deadline say all there is to wait for.

#![cfg(unix)]

#[path = "../../adapter-core/tests/peer/mod.rs"]
mod peer;

use core::time::Duration;
use std::os::fd::{AsFd, AsRawFd};
use std::thread;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use mqtt_adapter_std::{
    Connection, Event, Options, Outcome, PollError, ProvideError, Publish, Qos, ReasonCode, Why,
};
use peer::{Got, PATIENCE, Server};

fn options(server: &Server) -> Options {
    let mut options = Options::new(&server.url()).unwrap().with_session_expiry(Duration::from_secs(60));
    options.engine_mut().backoff.base = Duration::from_millis(5);
    options.engine_mut().backoff.cap = Duration::from_millis(20);
    options
}

/// An event loop that knows nothing of MQTT and counts what it does. It is told of edges only, which is harder.
struct Loop {
    poll: Poll,
    events: Events,
    connection: Connection,
    waits: u32,
    polls: u32,
}

impl Loop {
    fn new(options: Options) -> Self {
        let connection = Connection::new(options).unwrap();
        let poll = Poll::new().unwrap();
        let descriptor = connection.as_raw_fd();
        assert_eq!(descriptor, connection.as_fd().as_raw_fd());
        poll.registry().register(&mut SourceFd(&descriptor), Token(0), Interest::READABLE).unwrap();
        Self { poll, events: Events::with_capacity(4), connection, waits: 0, polls: 0 }
    }

    /// Runs until `pick` takes an event.
    fn until<R>(&mut self, mut pick: impl FnMut(&mut Connection, Event) -> Option<R>) -> R {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE, "it does not come");
            loop {
                self.polls += 1;
                match self.connection.poll(Some(Duration::ZERO)) {
                    Ok(Some(event)) => {
                        if let Some(found) = pick(&mut self.connection, event) {
                            return found;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            self.wait(PATIENCE);
        }
    }

    fn wait(&mut self, most: Duration) {
        self.waits += 1;
        let time = self.connection.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        // A millisecond more: the system may count in those, and rounds down.
        let time = time.map_or(most, |time| most.min(time + Duration::from_millis(1)));
        self.poll.poll(&mut self.events, Some(time)).unwrap();
    }

    /// Runs for so long, whatever comes.
    fn run_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            while self.connection.poll(Some(Duration::ZERO)).unwrap().is_some() {
                self.polls += 1;
            }
            self.polls += 1;
            self.wait(until.saturating_duration_since(Instant::now()));
        }
    }
}

fn connected(_: &mut Connection, event: Event) -> Option<()> {
    matches!(event, Event::Connected(_)).then_some(())
}

#[test]
fn dials_messages_pings_and_reconnects_need_no_busy_loop() {
    const MESSAGES: u16 = 50;
    let server = Server::new();
    let mut looped = Loop::new(options(&server).with_keep_alive(Duration::from_secs(1)));
    assert!(
        looped.connection.deadline().is_some_and(|at| at <= Instant::now()),
        "the first poll is due at once"
    );
    let script = thread::spawn(move || {
        let mut link = server.welcome(false);
        for id in 1..=MESSAGES {
            link.publish("a", b"x", Qos::AtLeastOnce, id);
        }
        let mut acked = 0;
        let mut pings = 0;
        while acked < MESSAGES || pings < 2 {
            match link.next() {
                Got::Puback(_) => acked += 1,
                Got::Ping => {
                    pings += 1;
                    link.send(&mqtt_proto::Pingresp);
                }
                got => panic!("{got:?}"),
            }
        }
        link.cut();
        let mut link = server.welcome(true);
        loop {
            match link.next_but_pings() {
                Got::Publish { id, .. } => link.puback(id),
                Got::Disconnect(ReasonCode::Success) => return,
                got => panic!("{got:?}"),
            }
        }
    });
    looped.until(connected);
    let mut seen = 0;
    while seen < MESSAGES {
        looped.until(|_, event| matches!(event, Event::Message(_)).then_some(()));
        seen += 1;
    }
    // Two pings, then the cut.
    let (waits, polls) = (looped.waits, looped.polls);
    looped.until(|_, event| matches!(event, Event::Disconnected(_)).then_some(()));
    let idle = (looped.waits - waits, looped.polls - polls);
    assert!(idle.0 < 40 && idle.1 < 60, "it is not idle between pings: {idle:?}");
    looped.until(connected);
    let token = looped.connection.publish(Publish::new("a", "x").qos(Qos::AtLeastOnce)).unwrap();
    assert_eq!(looped.connection.pending(), 1);
    looped.until(|_, event| matches!(event, Event::Done { token: done, .. } if done == token).then_some(()));
    assert_eq!(looped.connection.pending(), 0);
    looped.connection.stop(PATIENCE);
    looped.until(|_, event| matches!(event, Event::Stopped { left: 0 }).then_some(()));
    assert!(matches!(looped.connection.poll(Some(Duration::ZERO)), Err(PollError::Stopped)));
    script.join().unwrap();
    assert!(looped.waits < 250, "{} waits", looped.waits);
}

#[test]
fn a_dial_that_is_not_answered_ends_at_its_deadline() {
    // It listens and its queue is full, or it accepts and says nothing: both end at the engine's deadline.
    let server = Server::new();
    let mut options = options(&server);
    options.engine_mut().connack_timeout = Duration::from_millis(300);
    let mut looped = Loop::new(options);
    let why = looped.until(|_, event| match event {
        Event::Disconnected(end) => Some(end.why),
        _ => None,
    });
    assert!(matches!(why, Why::HandshakeTimeout), "{why:?}");
    assert!(looped.waits < 30, "{} waits", looped.waits);
}

#[test]
fn refused_dials_are_spaced_by_the_backoff() {
    let server = Server::new();
    let mut options = options(&server);
    options.engine_mut().backoff.base = Duration::from_millis(200);
    options.engine_mut().backoff.cap = Duration::from_millis(200);
    drop(server);
    let mut looped = Loop::new(options);
    for _ in 0..5 {
        looped.until(|_, event| matches!(event, Event::Disconnected(_)).then_some(()));
    }
    assert!(looped.waits < 60, "{} waits for five attempts", looped.waits);
}

#[test]
fn while_nothing_happens_nothing_is_done() {
    let server = Server::new();
    let mut looped = Loop::new(options(&server).with_keep_alive(Duration::from_secs(60)));
    let script = thread::spawn(move || server.welcome(false));
    looped.until(connected);
    let _link = script.join().unwrap();
    let polls = looped.polls;
    looped.run_for(Duration::from_millis(3_000));
    // What was read into is given back after a second; that is all.
    assert!(looped.polls - polls <= 20, "{} polls in three seconds", looped.polls - polls);
}

#[test]
fn a_payload_in_pieces_is_given_in_a_foreign_loop_and_again_after_a_cut() {
    const LEN: usize = 1_000_000;
    let bytes: Vec<u8> = (0..LEN).map(|at| (at / 7) as u8).collect();
    let server = Server::new();
    let mut looped = Loop::new(options(&server));
    let expected = bytes.clone();
    let script = thread::spawn(move || {
        let mut link = server.welcome(false);
        // In the middle of it: what has come is not yet a packet.
        link.read_some(100_000);
        link.cut();
        let mut link = server.welcome(true);
        let Got::Publish { payload, id, .. } = link.next() else { panic!("no publish") };
        assert!(payload == expected);
        link.puback(id);
        link
    });
    looped.until(connected);
    let publish = Publish::new("film", &[]).qos(Qos::AtLeastOnce);
    let sent = looped.connection.publish_chunked(publish, LEN as u32).unwrap();
    let mut begun = 0;
    let outcome = looped.until(|connection, event| match event {
        Event::PayloadWanted { token, offset } => {
            assert_eq!(token, sent);
            begun += u32::from(offset == 0);
            let from = offset as usize;
            let piece = &bytes[from..(from + 70_000).min(LEN)];
            match connection.provide(token, offset, piece) {
                // Cut meanwhile: it is asked for again.
                Ok(_) | Err(ProvideError::Stale) => None,
                Err(error) => panic!("{error}"),
            }
        }
        Event::Done { token, outcome, .. } if token == sent => Some(outcome),
        _ => None,
    });
    assert_eq!((outcome, begun >= 2), (Outcome::Acked(ReasonCode::Success), true));
    drop(script.join().unwrap());
}
