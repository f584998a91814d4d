//! Times of the engine: a message from `publish` until it is complete, or from the network until its
//! acknowledgement has left. `cargo bench -p mqtt-session` prints nanoseconds, best and median of many
//! rounds, all cases in turn; `-- CASE N` runs one case N times and prints nothing, for counting
//! instructions under callgrind; `-- --list` names the cases, each behind the number of messages it runs at a time.

use core::hint::black_box;
use std::time::Instant as Clock;

use mqtt_session::proto::{
    Connack, Encode, PacketId, Properties, Puback, Pubcomp, Publish, Pubrec, Pubrel, Qos, ReasonCode,
    TopicName, Version,
};
use mqtt_session::{Config, ConnectOptions, FixedSession, HeapSession, Instant, Message, Session, Storage};

/// A name, messages in one run, and what makes the run.
type Case = (String, u16, Box<dyn FnOnce() -> Box<dyn FnMut()>>);

/// Messages handed out before they are answered, unless a case says otherwise: what one write carries.
const BATCH: u16 = 100;

/// Limits for `window` messages in flight.
fn config(window: u16) -> Config {
    let entries = window.checked_next_power_of_two().unwrap_or(u16::MAX);
    let mut config = Config::new(1);
    config.max_in_flight = entries;
    config.max_in_flight_qos2_v3 = entries;
    config.max_operations = u32::from(entries);
    config.receive_maximum = entries;
    config.queue_bytes = 256 * usize::from(entries);
    config.wire_bytes = 256 * usize::from(entries);
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

/// Every event is fetched, and looked at where it is.
fn give<S: Storage>(session: &mut Session<S>, mut input: &[u8]) -> u32 {
    let mut events = 0;
    loop {
        let event = session.receive(&mut input, Instant::ZERO);
        if black_box(&event).is_none() {
            return events;
        }
        events += 1;
    }
}

/// The acknowledgements of all identifiers in turn as the server sends them, twice over, so that those of any window
/// lie one after another; and how many identifiers there are.
struct Answers {
    bytes: Vec<u8>,
    ids: usize,
}

impl Answers {
    const LEN: usize = 4;

    fn new<P: Encode>(version: Version, window: u16, answer: impl Fn(PacketId) -> P) -> Self {
        let ids = config(window).max_in_flight;
        let mut bytes = Vec::new();
        for id in (1..=ids).chain(1..=ids) {
            let mut one = [0; Self::LEN];
            assert_eq!(answer(PacketId::new(id).unwrap()).encode(version, &mut one), Ok(Self::LEN));
            bytes.extend_from_slice(&one);
        }
        Self { bytes, ids: ids.into() }
    }

    /// The answers to the `window` messages behind the first `from`.
    fn turn(&self, from: usize, window: u16) -> &[u8] {
        let first = from % self.ids;
        &self.bytes[Self::LEN * first..Self::LEN * (first + usize::from(window))]
    }
}

fn outgoing<S: Storage + 'static>(
    session: Session<S>,
    qos: Qos,
    version: Version,
    window: u16,
) -> Box<dyn FnMut()> {
    let mut session = connected(session, version);
    let payload = [7u8; 64];
    let pubacks = Answers::new(version, window, Puback::new);
    let pubrecs = Answers::new(version, window, Pubrec::new);
    let pubcomps = Answers::new(version, window, Pubcomp::new);
    let mut next = 0;
    Box::new(move || {
        let message = Message::new(TopicName::new("bench/device/state").unwrap()).qos(qos);
        for _ in 0..window {
            black_box(session.publish(black_box(&message), black_box(&payload[..]).into()).is_ok());
        }
        take(&mut session);
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => {
                assert_eq!(give(&mut session, pubacks.turn(next, window)), u32::from(window));
            }
            Qos::ExactlyOnce => {
                assert_eq!(give(&mut session, pubrecs.turn(next, window)), 0);
                take(&mut session);
                assert_eq!(give(&mut session, pubcomps.turn(next, window)), u32::from(window));
            }
        }
        next += usize::from(window);
    })
}

fn incoming<S: Storage + 'static>(session: Session<S>, qos: Qos, version: Version) -> Box<dyn FnMut()> {
    let mut session = connected(session, version);
    let (mut messages, mut releases) = (Vec::new(), Vec::new());
    for id in 1..=BATCH {
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
        assert_eq!(give(&mut session, &messages), u32::from(BATCH));
        take(&mut session);
        if qos == Qos::ExactlyOnce {
            assert_eq!(give(&mut session, &releases), 0);
            take(&mut session);
        }
    })
}

fn fixed<const OUT: usize, const IN: usize>(window: u16) -> FixedSession<Box<[u8]>, OUT, IN> {
    let config = config(window);
    FixedSession::new(vec![0; config.queue_bytes + config.wire_bytes].into(), config)
}

/// One case; what it works on is made when it is run.
fn case(name: String, messages: u16, make: impl FnOnce() -> Box<dyn FnMut()> + 'static) -> Case {
    (name, messages, Box::new(make))
}

fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = Vec::new();
    let heap = |window| HeapSession::new(config(window));
    for version in [Version::V5, Version::V3_1_1] {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let name = |way: &str, storage: &str| format!("{way} QoS {} {version:?} {storage}", qos as u8);
            all.push(case(name("outgoing", "heap"), BATCH, move || {
                outgoing(heap(BATCH), qos, version, BATCH)
            }));
            all.push(case(name("outgoing", "fixed"), BATCH, move || {
                outgoing(fixed::<128, 128>(BATCH), qos, version, BATCH)
            }));
            all.push(case(name("incoming", "heap"), BATCH, move || incoming(heap(BATCH), qos, version)));
            all.push(case(name("incoming", "fixed"), BATCH, move || {
                incoming(fixed::<128, 128>(BATCH), qos, version)
            }));
        }
    }
    for window in [10, 1_000, 60_000] {
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let name = |storage| format!("outgoing QoS {} V5 {storage}, {window} in flight", qos as u8);
            all.push(case(name("heap"), window, move || outgoing(heap(window), qos, Version::V5, window)));
            all.push(case(name("fixed"), window, move || match window {
                10 => outgoing(fixed::<16, 4>(window), qos, Version::V5, window),
                1_000 => outgoing(fixed::<1_024, 4>(window), qos, Version::V5, window),
                _ => outgoing(fixed::<65_535, 4>(window), qos, Version::V5, window),
            }));
        }
    }
    all
}

/// A session that holds 65,535 operations inside it is made on the stack.
const STACK: usize = 256 << 20;

fn main() {
    std::thread::Builder::new().stack_size(STACK).spawn(run).unwrap().join().unwrap();
}

fn run() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let cases = cases();
    match &arguments[..] {
        [argument] if argument == "--list" => {
            cases.iter().for_each(|(name, messages, _)| println!("{messages} {name}"))
        }
        [case, times] => {
            let case = case.parse().expect("the number of a case");
            let (_, _, make) = cases.into_iter().nth(case).expect("there is such a case");
            let mut run = make();
            for _ in 0..times.parse().expect("a number of times") {
                run();
            }
        }
        _ => time(cases),
    }
}

/// Interleaved, so that a change of the machine's speed meets every case.
fn time(cases: Vec<Case>) {
    const ROUNDS: usize = 51;
    const MESSAGES: u32 = 10_000;
    let mut times = vec![Vec::with_capacity(ROUNDS); cases.len()];
    let mut cases: Vec<_> = cases.into_iter().map(|(name, window, make)| (name, window, make())).collect();
    for _ in 0..ROUNDS {
        for ((_, window, run), times) in cases.iter_mut().zip(&mut times) {
            let turns = (MESSAGES / u32::from(*window)).max(1);
            let begin = Clock::now();
            for _ in 0..turns {
                run();
            }
            times.push(begin.elapsed().as_nanos() as f64 / f64::from(turns * u32::from(*window)));
        }
    }
    println!("{:<40} {:>8} {:>8}", "ns a message", "best", "median");
    for ((name, ..), times) in cases.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("{name:<40} {:>8.1} {:>8.1}", times[0], times[ROUNDS / 2]);
    }
}
