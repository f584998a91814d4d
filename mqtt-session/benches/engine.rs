//! Times of the engine: a message from `publish` until it is complete, or from the network until its
//! acknowledgement has left. `cargo bench -p mqtt-session` prints nanoseconds, best and median of many
//! rounds, all cases in turn; `-- CASE N` runs one case N times and prints nothing, for counting
//! instructions under callgrind; `-- --list` names the cases.

use core::hint::black_box;
use std::time::Instant as Clock;

use mqtt_session::proto::{
    Connack, Encode, PacketId, Properties, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode,
    TopicName, Version,
};
use mqtt_session::{Config, ConnectOptions, FixedSession, HeapSession, Instant, Message, Session, Storage};

type Case = (String, Box<dyn FnMut()>);

/// Messages handed out before they are answered: what one write carries.
const BATCH: usize = 100;

fn config() -> Config {
    let mut config = Config::new(1);
    config.max_in_flight = 128;
    config.max_in_flight_qos2_v3 = 128;
    config.max_operations = 128;
    config.receive_maximum = 128;
    config.queue_bytes = 32 * 1024;
    config.wire_bytes = 32 * 1024;
    config
}

fn connected<S: Storage>(mut session: Session<S>, version: Version) -> Session<S> {
    let options = ConnectOptions { version, keep_alive: 0, ..ConnectOptions::new("bench") };
    session.start(&options).unwrap();
    let _ = session.poll_command();
    while session.poll_event().is_some() {}
    session.opened(&options, Instant::ZERO);
    take(&mut session);
    let mut connack = [0; 16];
    let accepted =
        Connack { session_present: false, reason_code: ReasonCode::Success, properties: Properties::EMPTY };
    let len = accepted.encode(version, &mut connack).unwrap();
    give(&mut session, &connack[..len]);
    assert!(session.is_connected());
    session
}

/// The transport takes everything.
fn take<S: Storage>(session: &mut Session<S>) -> usize {
    let mut out = session.outgoing(Instant::ZERO);
    let mut taken = 0;
    while !out.is_empty() {
        let count = black_box(out.chunk()).len();
        taken += count;
        out.advance(count);
    }
    taken
}

fn give<S: Storage>(session: &mut Session<S>, mut input: &[u8]) -> u32 {
    let mut events = 0;
    while let Some(event) = session.receive(&mut input, Instant::ZERO) {
        black_box(event);
        events += 1;
    }
    events
}

/// The acknowledgements of identifiers 1..=128, one after another, as the server sends them.
fn answers<P: Encode>(version: Version, answer: impl Fn(PacketId) -> P) -> Vec<Vec<u8>> {
    (1..=128)
        .map(|id| {
            let mut bytes = vec![0; 8];
            let len = answer(PacketId::new(id).unwrap()).encode(version, &mut bytes).unwrap();
            bytes.truncate(len);
            bytes
        })
        .collect()
}

/// The answers to the `BATCH` identifiers that follow `from` in turn.
fn turn(all: &[Vec<u8>], from: usize, out: &mut Vec<u8>) {
    out.clear();
    for step in 0..BATCH {
        out.extend_from_slice(&all[(from + step) % all.len()]);
    }
}

fn outgoing<S: Storage + 'static>(session: Session<S>, qos: Qos, version: Version) -> Box<dyn FnMut()> {
    let mut session = connected(session, version);
    let payload = [7u8; 64];
    let (pubacks, pubrecs, pubcomps) =
        (answers(version, Puback::new), answers(version, Pubrec::new), answers(version, Pubcomp::new));
    let (mut next, mut input) = (0, Vec::with_capacity(1024));
    Box::new(move || {
        let message = Message::new(TopicName::new("bench/device/state").unwrap()).qos(qos);
        for _ in 0..BATCH {
            black_box(session.publish(black_box(&message), payload.as_slice().into()).is_ok());
        }
        take(&mut session);
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => {
                turn(&pubacks, next, &mut input);
                assert_eq!(give(&mut session, &input), BATCH as u32);
            }
            Qos::ExactlyOnce => {
                turn(&pubrecs, next, &mut input);
                give(&mut session, &input);
                take(&mut session);
                turn(&pubcomps, next, &mut input);
                assert_eq!(give(&mut session, &input), BATCH as u32);
            }
        }
        next += BATCH;
    })
}

fn incoming<S: Storage + 'static>(session: Session<S>, qos: Qos, version: Version) -> Box<dyn FnMut()> {
    let mut session = connected(session, version);
    let (mut messages, mut releases) = (Vec::new(), Vec::new());
    for id in 1..=BATCH as u16 {
        let id = PacketId::new(id).unwrap();
        let mut publish = Publish::new(TopicName::new("bench/device/state").unwrap(), &[7; 64]);
        publish.qos = qos;
        publish.packet_id = (qos != Qos::AtMostOnce).then_some(id);
        let mut bytes = [0; 128];
        let len = publish.encode(version, &mut bytes).unwrap();
        messages.extend_from_slice(&bytes[..len]);
        let len = Pubrel::new(id).encode(version, &mut bytes).unwrap();
        releases.extend_from_slice(&bytes[..len]);
    }
    Box::new(move || {
        assert_eq!(give(&mut session, &messages), BATCH as u32);
        take(&mut session);
        if qos == Qos::ExactlyOnce {
            give(&mut session, &releases);
            take(&mut session);
        }
    })
}

fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    for version in [Version::V5, Version::V3_1_1] {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let heap = || HeapSession::new(config());
            let fixed = || FixedSession::<Box<[u8]>, 128, 128>::new(vec![0; 64 * 1024].into(), config());
            let name = |way: &str, storage: &str| format!("{way} QoS {} {version:?} {storage}", qos as u8);
            all.push((name("outgoing", "heap"), outgoing(heap(), qos, version)));
            all.push((name("outgoing", "fixed"), outgoing(fixed(), qos, version)));
            all.push((name("incoming", "heap"), incoming(heap(), qos, version)));
            all.push((name("incoming", "fixed"), incoming(fixed(), qos, version)));
        }
    }
    all
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut cases = cases();
    match &arguments[..] {
        [argument] if argument == "--list" => cases.iter().for_each(|(name, _)| println!("{name}")),
        [case, times] => {
            let (_, run) = &mut cases[case.parse::<usize>().expect("the number of a case")];
            for _ in 0..times.parse().expect("a number of times") {
                run();
            }
        }
        _ => time(&mut cases),
    }
}

/// Interleaved, so that a change of the machine's speed meets every case.
fn time(cases: &mut [Case]) {
    const ROUNDS: usize = 51;
    const TURNS: u32 = 100;
    let mut times = vec![Vec::with_capacity(ROUNDS); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in cases.iter_mut().zip(&mut times) {
            let begin = Clock::now();
            for _ in 0..TURNS {
                run();
            }
            times.push(begin.elapsed().as_nanos() as f64 / f64::from(TURNS) / BATCH as f64);
        }
    }
    println!("{:<40} {:>8} {:>8}", "ns a message", "best", "median");
    for ((name, _), times) in cases.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("{name:<40} {:>8.1} {:>8.1}", times[0], times[ROUNDS / 2]);
    }
}
