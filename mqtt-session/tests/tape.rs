//! Logs of times, bytes and calls: what was recorded runs again bit for bit, what was changed is found, and no secret is in
//! it. Every `scenario!` is recorded and replayed as well, on both storages; so are the drawn operations, here.

use std::io;

use mqtt_session::proto::{Auth, Properties, Property, Qos, ReasonCode, TopicName, Will};
use mqtt_session::tape::{Log, ReplayError, Replayed, TooLate, replay};
use mqtt_session::{
    Closed, Command, Config, ConnectOptions, Event, FixedSession, HeapSession, Instant, Message, Session,
    Stop, Storage,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::drive;

const CANARY: &str = "canary";

/// A connection with all that is secret, a message each way, an authentication, and an end.
fn run<S: Storage>(mut session: Session<S>) -> Vec<u8> {
    let mut log = Log::new(Vec::new()).unwrap();
    let track = log.track(&mut session, "lamp").unwrap();
    let will = Will::new(TopicName::new("will").unwrap(), CANARY.as_bytes());
    let properties = [
        Property::AuthenticationMethod("LEMMA"),
        Property::AuthenticationData(CANARY.as_bytes()),
        Property::UserProperty("token", CANARY),
    ];
    let options = ConnectOptions {
        username: Some(CANARY),
        password: Some(CANARY.as_bytes()),
        will: Some(will),
        properties: Properties::List(&properties),
        ..ConnectOptions::new("lamp")
    };
    let mut now = Instant::from_micros(1 << 40);
    session.start(&options).unwrap();
    let message = Message::new(TopicName::new("state").unwrap()).qos(Qos::AtLeastOnce).tag(7);
    session.publish(&message, b"on".as_slice().into()).map_err(|refused| refused.reason).unwrap();
    drain(&mut session);
    session.opened(&options, now);
    flush(&mut session, now, 10);
    log.take(track, &mut session).unwrap();

    // A challenge, the answer, CONNACK with the server's proof; all of it in small pieces.
    let challenge = b"\xF0\x13\x18\x11\x15\x00\x05LEMMA\x16\x00\x06canary";
    let connack = b"\x20\x14\x00\x00\x11\x15\x00\x05LEMMA\x16\x00\x06canary";
    now = Instant::from_micros(now.as_micros() - 1_000); // the clock steps back
    give(&mut session, challenge, now, 3);
    let answer = [Property::AuthenticationMethod("LEMMA"), Property::AuthenticationData(CANARY.as_bytes())];
    let auth =
        Auth { reason_code: ReasonCode::ContinueAuthentication, properties: Properties::List(&answer) };
    session.authenticate(&auth).unwrap();
    flush(&mut session, now, usize::MAX);
    give(&mut session, connack, now, 5);
    assert!(session.is_connected());
    flush(&mut session, now, 1);
    give(&mut session, b"\x32\x08\x00\x01t\x00\x09\x00hi\x40\x02\x00\x01", now, 4);
    flush(&mut session, now, usize::MAX);
    assert_eq!(session.pending(), 0);
    log.take(track, &mut session).unwrap();

    session.stop(Stop::now()).unwrap();
    flush(&mut session, now, usize::MAX);
    drain(&mut session);
    session.closed(Closed::Carried, now);
    drain(&mut session);
    log.take(track, &mut session).unwrap();
    log.finish().unwrap()
}

fn drain<S: Storage>(session: &mut Session<S>) {
    while session.poll_command().is_some() {}
    while session.poll_event().is_some() {}
}

fn flush<S: Storage>(session: &mut Session<S>, now: Instant, piece: usize) {
    let mut outgoing = session.outgoing(now);
    while !outgoing.is_empty() {
        let count = outgoing.chunk().len().min(piece);
        outgoing.advance(count);
    }
}

/// Input as a driver reads it: what was not consumed comes again with what follows.
fn give<S: Storage>(session: &mut Session<S>, bytes: &[u8], now: Instant, piece: usize) {
    let mut held = Vec::new();
    for piece in bytes.chunks(piece) {
        held.extend_from_slice(piece);
        let mut input = &held[..];
        while session.receive(&mut input, now).is_some() {}
        let left = input.len();
        held.drain(..held.len() - left);
        drain(session);
    }
    assert!(held.is_empty());
}

fn fixed() -> FixedSession<Vec<u8>, 8, 4> {
    FixedSession::new(vec![0; 4_096], Config::new(5))
}

#[test]
fn a_recorded_run_of_either_storage_runs_again() {
    for log in [run(HeapSession::new(Config::new(5))), run(fixed())] {
        let Replayed { tracks, .. } = replay(&log[..]).unwrap();
        assert_eq!(tracks.len(), 1);
        assert_eq!(tracks[0].label, "lamp");
        assert!(tracks[0].calls > 30 && tracks[0].bytes_in > 50 && tracks[0].bytes_out > 50, "{tracks:?}");
        assert_eq!(tracks[0].last, Instant::from_micros((1 << 40) - 1_000));
    }
}

#[test]
fn no_secret_is_in_a_log() {
    let log = run(HeapSession::new(Config::new(5)));
    assert!(!log.windows(CANARY.len()).any(|bytes| bytes == CANARY.as_bytes()));
    // Nor a part of one that came in pieces.
    assert!(!log.windows(3).any(|bytes| [b"can", b"ana", b"nar", b"ary"].iter().any(|part| bytes == *part)));
    assert!(log.windows(2).any(|bytes| bytes == b"hi"), "payloads are");
}

#[test]
fn every_changed_bit_is_found() {
    let log = run(HeapSession::new(Config::new(5)));
    for at in 0..log.len() {
        for bit in 0..8 {
            let mut changed = log.clone();
            changed[at] ^= 1 << bit;
            match replay(&changed[..]) {
                Err(
                    ReplayError::Damaged { .. }
                    | ReplayError::NoLog
                    | ReplayError::Format { .. }
                    | ReplayError::Cut { .. },
                ) => {}
                other => panic!("bit {bit} of byte {at}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_log_that_breaks_off_is_told_from_one_that_is_whole() {
    let log = run(HeapSession::new(Config::new(5)));
    for len in 0..log.len() {
        match replay(&log[..len]) {
            Err(ReplayError::Cut { .. } | ReplayError::NoLog) => {}
            other => panic!("{len} bytes: {other:?}"),
        }
    }
    let mut longer = log.clone();
    longer.push(0);
    assert!(matches!(replay(&longer[..]), Err(ReplayError::Damaged { .. })));
    assert!(replay(&log[..]).is_ok());
}

/// A log whose blocks were mended after a change.
fn mended(log: &[u8], change: impl Fn(u8, &mut Vec<u8>)) -> Vec<u8> {
    let (magic, mut rest) = log.split_at(8);
    let mut mended = magic.to_vec();
    while let Some((head, behind)) = rest.split_first_chunk::<13>() {
        let len = u32::from_le_bytes(*head[5..].first_chunk().unwrap()) as usize;
        let (content, behind) = behind.split_at(len);
        let mut content = content.to_vec();
        change(head[0], &mut content);
        let mut block = head[..5].to_vec();
        block.extend((content.len() as u32).to_le_bytes());
        let mut sum = u32::MAX;
        for byte in block.iter().chain(&content) {
            sum ^= u32::from(*byte);
            for _ in 0..8 {
                sum = sum >> 1 ^ if sum & 1 != 0 { 0xEDB8_8320 } else { 0 };
            }
        }
        mended.extend(block);
        mended.extend((!sum).to_le_bytes());
        mended.extend(content);
        rest = behind;
    }
    mended
}

#[test]
fn a_log_of_another_engine_or_format_is_refused_by_name() {
    let log = run(HeapSession::new(Config::new(5)));
    let version = concat!("mqtt-session ", env!("CARGO_PKG_VERSION"));
    let other = mended(&log, |kind, content| {
        if kind == 1 {
            let at = content.windows(version.len()).position(|text| text == version.as_bytes()).unwrap();
            content[at + version.len() - 1] = b'9';
        }
    });
    let error = replay(&other[..]).unwrap_err();
    assert!(matches!(&error, ReplayError::OtherEngine { engine } if engine.starts_with("mqtt-session ")));
    assert!(error.to_string().contains(version), "{error}");

    let mut other = log;
    other[7] = 200;
    let error = replay(&other[..]).unwrap_err();
    assert!(matches!(error, ReplayError::Format { version: 200 }));
    assert!(error.to_string().contains("format 200"), "{error}");
    assert!(matches!(replay(&b"\x89PNG\r\n\x1a\n...."[..]), Err(ReplayError::NoLog)));
}

#[test]
fn the_first_difference_is_named() {
    // Another payload was published than the one whose digest the log has.
    let log = run(HeapSession::new(Config::new(5)));
    let other = mended(&log, |kind, content| {
        if kind == 2
            && let Some(at) = content.windows(5).position(|text| text == b"state")
        {
            content[at] = b'S';
        }
    });
    let ReplayError::Differs(difference) = replay(&other[..]).unwrap_err() else { panic!() };
    assert_eq!((difference.track.as_str(), difference.call), ("lamp", "advance"));
    assert_eq!(difference.at, Instant::from_micros((1 << 40) - 1_000));
    assert!(difference.got.contains("bytes to send"), "{difference}");

    // The seed is another: the delay before the next attempt is.
    let mut session = HeapSession::new(Config::new(5));
    let mut log = Log::new(Vec::new()).unwrap();
    let track = log.track(&mut session, "").unwrap();
    session.start(&ConnectOptions::new("a")).unwrap();
    drain(&mut session);
    for _ in 0..2 {
        session.closed(Closed::DialFailed, Instant::from_micros(5));
        drain(&mut session);
        session.handle_timeout(Instant::from_micros(100_000_000));
        drain(&mut session);
    }
    log.take(track, &mut session).unwrap();
    let log = log.finish().unwrap();
    replay(&log[..]).unwrap();
    let other = mended(&log, |kind, content| {
        if kind == 1 {
            let at = content.windows(5).rposition(|text| text == b"0.1.0").unwrap();
            assert_eq!(content[at + 5], 5);
            content[at + 5] = 6;
        }
    });
    let ReplayError::Differs(difference) = replay(&other[..]).unwrap_err() else { panic!() };
    assert!(difference.to_string().contains("differs: expected"), "{difference}");
}

#[test]
fn whatever_the_calls_say_replaying_does_not_panic() {
    let log = run(HeapSession::new(Config::new(5)));
    let calls = |content: &[u8], at: usize, byte: u8| {
        let mut content = content.to_vec();
        let len = content.len();
        content[at % len] = byte;
        content
    };
    for at in (0..600).step_by(3) {
        for byte in [0, 1, 3, 15, 24, 0x7F, 0x80, 0x8F, 0xFF] {
            let other = mended(&log, |kind, content| {
                if kind != 3 {
                    *content = calls(content, at, byte);
                }
            });
            // Anything but a panic.
            let _ = replay(&other[..]);
        }
    }
}

#[test]
fn only_a_new_session_can_be_recorded_and_only_once() {
    let mut log = Log::new(Vec::new()).unwrap();
    let mut session = HeapSession::new(Config::new(1));
    session.start(&ConnectOptions::new("a")).unwrap();
    let error = log.track(&mut session, "late").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.get_ref().is_some_and(|error| error.is::<TooLate>()));
    let mut session = HeapSession::new(Config::new(1));
    let track = log.track(&mut session, "once").unwrap();
    assert!(log.track(&mut session, "twice").is_err());
    assert!(!format!("{session:?}").is_empty());
    log.take(track, &mut session).unwrap();
    assert_eq!(replay(&log.finish().unwrap()[..]).unwrap().tracks.len(), 1);
}

#[test]
fn several_sessions_share_a_log() {
    let mut log = Log::new(Vec::new()).unwrap();
    let mut sessions: Vec<HeapSession> = (0..3).map(|seed| HeapSession::new(Config::new(seed))).collect();
    let tracks: Vec<_> =
        sessions.iter_mut().enumerate().map(|(n, one)| log.track(one, &format!("{n}")).unwrap()).collect();
    for round in 0..3 {
        for (session, track) in sessions.iter_mut().zip(&tracks) {
            if round == 0 {
                session.start(&ConnectOptions::new("a")).unwrap();
            }
            assert!(matches!(session.poll_command(), Some(Command::Open { .. })) == (round == 0));
            assert!(matches!(session.poll_event(), Some(Event::Connecting { .. })) == (round == 0));
            session.check_link();
            session.hold_input(round == 1);
            log.take(*track, session).unwrap();
        }
    }
    let replayed = replay(&log.finish().unwrap()[..]).unwrap();
    let calls: Vec<_> = replayed.tracks.iter().map(|track| (track.label.as_str(), track.calls)).collect();
    assert_eq!(calls, [("0", 13), ("1", 13), ("2", 13)]);
}

#[test]
fn a_writer_that_fails_is_told_and_the_session_goes_on() {
    struct Full(usize);

    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut log = Log::new(Full(300)).unwrap();
    let mut session = HeapSession::new(Config::new(1));
    let track = log.track(&mut session, "full").unwrap();
    session.start(&ConnectOptions::new("a")).unwrap();
    for _ in 0..100 {
        session.check_link();
    }
    assert_eq!(log.take(track, &mut session).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(matches!(session.poll_command(), Some(Command::Open { .. })));
}

fn seed() -> RngSeed {
    let chosen = std::env::var("OPERATIONS_SEED").ok().and_then(|seed| seed.parse().ok());
    RngSeed::Fixed(chosen.unwrap_or(2))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: seed(), ..ProptestConfig::default() })]

    #[test]
    fn drawn_operations_run_again(
        setup in any::<[u8; drive::SETUP]>(),
        list in proptest::collection::vec(any::<[u8; 3]>(), 0..120),
    ) {
        drive::recorded(drive::Setup::new(setup), &list);
    }
}
