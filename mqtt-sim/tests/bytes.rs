//! Each exchange cut at every byte of either side, and what arrives: at both ends' mercy, on both storages, in three
//! versions, without a journal, with one, and with a crash of the program instead of a mere cut.
//!
//! `cargo test -p mqtt-sim --test bytes -- --nocapture` prints the table of `docs/reliability.md`.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;

use mqtt_proto::{Properties, Qos, Subscription, SubscriptionOptions, TopicFilter, TopicName, Version};
use mqtt_session::{
    Closed, Command, Config, ConnectOptions, Durability, Event, Fixed, FixedSession, Heap, HeapSession,
    Instant, Key, Message, Session, Storage,
};
use mqtt_sim::broker::{Broker, BrokerConfig, ConnId};

const NOW: Instant = Instant::ZERO;
const MESSAGES: u64 = 2;

/// What is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Out,
    In,
}

/// Whose bytes end there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// The client's: the transport took no more.
    Taken,
    /// The client's: the transport took them, and no more arrived.
    Arrived,
    /// The broker's.
    Broker,
}

/// What keeps what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    Nothing,
    Journal,
    /// The program crashes where the connection is cut, and begins again with its journal.
    Crash,
}

/// What came of the cuts at all places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    cuts: u64,
    delivered: u64,
    again: u64,
    lost: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.delivered += other.delivered;
        self.again += other.again;
        self.lost += other.lost;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {} | {} | {}", self.cuts, self.delivered, self.again, self.lost)
    }
}

/// A client and a broker with a wire between them.
struct Rig<'m, S: Storage> {
    make: &'m dyn Fn(Config) -> Session<S>,
    session: Session<S>,
    version: Version,
    broker: Broker,
    conn: Option<ConnId>,
    dialling: bool,
    journal: BTreeMap<Key, Vec<u8>>,
    inbox: Vec<u8>,
    /// Messages that were told, by payload.
    told: BTreeMap<Vec<u8>, u64>,
    /// Bytes until the wire is cut, and on which side.
    cut: Option<(Side, usize)>,
    memory: Memory,
}

fn config(memory: Memory) -> Config {
    let mut config = Config::new(1);
    config.backoff.base = Duration::ZERO;
    config.queue_bytes = 1_024;
    config.wire_bytes = 1_024;
    config.max_operations = 8;
    config.receive_maximum = 8;
    if memory != Memory::Nothing {
        config.durability = Durability::BeforeSend;
    }
    config
}

impl<S: Storage> Rig<'_, S> {
    fn options(&self) -> ConnectOptions<'static> {
        let mut options = ConnectOptions::new("client");
        options.version = self.version;
        options.clean_start = false;
        options.keep_alive = 0;
        options.session_expiry = if self.version == Version::V5 { u32::MAX } else { 0 };
        options
    }

    /// Until nothing moves any more.
    fn run(&mut self) {
        for _ in 0..1_000 {
            let moved = self.commands() | self.events() | self.writes() | self.reads();
            if !moved {
                return;
            }
        }
        panic!("no end of it");
    }

    fn commands(&mut self) -> bool {
        let due = self.session.poll_timeout().is_some_and(|due| due <= NOW);
        if due {
            self.session.handle_timeout(NOW);
        }
        let mut any = due;
        while let Some(command) = self.session.poll_command() {
            any = true;
            let key = match command {
                Command::Open { .. } => {
                    self.dialling = true;
                    continue;
                }
                Command::Put { key, record } => {
                    self.journal.insert(key, record.chunks().concat());
                    key
                }
                Command::Delete { key } => {
                    self.journal.remove(&key);
                    key
                }
                other => panic!("nobody has a reason for {other:?}"),
            };
            self.session.stored(key);
        }
        if core::mem::take(&mut self.dialling) {
            self.conn = Some(self.broker.open(NOW));
            let options = self.options();
            self.session.opened(&options, NOW);
        }
        any
    }

    fn events(&mut self) -> bool {
        let mut any = false;
        while self.session.poll_event().is_some() {
            any = true;
        }
        any
    }

    fn writes(&mut self) -> bool {
        let Some(conn) = self.conn else { return false };
        let mut outgoing = self.session.outgoing(NOW);
        let (mut bytes, mut ends) = (Vec::new(), false);
        while !outgoing.is_empty() && !ends {
            let chunk = outgoing.chunk();
            let mut take = chunk.len();
            if let Some((Side::Taken, left)) = &mut self.cut {
                ends = take >= *left;
                take = take.min(*left);
                *left -= take;
            }
            bytes.extend_from_slice(&chunk[..take]);
            outgoing.advance(take);
        }
        if let Some((Side::Arrived, left)) = &mut self.cut {
            ends = bytes.len() >= *left && !bytes.is_empty();
            bytes.truncate(*left);
            *left -= bytes.len();
        }
        self.broker.receive(conn, &bytes, NOW);
        assert_eq!(self.broker.stats().protocol_errors, 0);
        if ends {
            self.breaks();
        }
        ends || !bytes.is_empty()
    }

    fn reads(&mut self) -> bool {
        let Some(conn) = self.conn else { return false };
        let mut bytes = self.broker.outgoing(conn).to_vec();
        let moved = !bytes.is_empty();
        let mut ends = false;
        self.broker.advance(conn, bytes.len());
        if let Some((Side::Broker, left)) = &mut self.cut {
            ends = bytes.len() >= *left && moved;
            bytes.truncate(*left);
            *left -= bytes.len();
        }
        self.inbox.extend_from_slice(&bytes);
        let inbox = core::mem::take(&mut self.inbox);
        let mut input = &inbox[..];
        while let Some(event) = self.session.receive(&mut input, NOW) {
            if let Event::Message(message) = event {
                *self.told.entry(message.payload.to_vec()).or_default() += 1;
            }
        }
        self.inbox = input.to_vec();
        if ends {
            self.breaks();
        }
        moved
    }

    /// The cut strikes.
    fn breaks(&mut self) {
        self.cut = None;
        self.inbox.clear();
        if let Some(conn) = self.conn.take() {
            self.broker.closed(conn, NOW);
        }
        if self.memory == Memory::Crash {
            self.commands_of_the_last_moment();
            self.session = (self.make)(config(self.memory));
            for (key, record) in &self.journal {
                self.session.restore(*key, record, None).unwrap();
            }
            let options = self.options();
            self.session.start(&options).unwrap();
        } else {
            self.session.closed(Closed::Failed, NOW);
        }
    }

    /// What the driver was given before the crash is stored.
    fn commands_of_the_last_moment(&mut self) {
        while let Some(command) = self.session.poll_command() {
            match command {
                Command::Put { key, record } => drop(self.journal.insert(key, record.chunks().concat())),
                Command::Delete { key } => drop(self.journal.remove(&key)),
                _ => {}
            }
        }
    }
}

/// One place: what arrived, or nothing if the exchange was over before.
fn place<S: Storage>(
    make: &dyn Fn(Config) -> Session<S>,
    (version, qos, way, memory): (Version, Qos, Way, Memory),
    (side, bytes): (Side, usize),
) -> Option<Tally> {
    let mut rig = Rig {
        make,
        session: make(config(memory)),
        version,
        broker: Broker::new(BrokerConfig::default()),
        conn: None,
        dialling: false,
        journal: BTreeMap::new(),
        inbox: Vec::new(),
        told: BTreeMap::new(),
        cut: None,
        memory,
    };
    let options = rig.options();
    rig.session.start(&options).unwrap();
    let filter = TopicFilter::new("in").unwrap();
    let subscription = Subscription { filter, options: SubscriptionOptions::new(qos) };
    rig.session.subscribe(&[subscription], Properties::EMPTY).unwrap();
    rig.run();
    assert!(rig.session.is_connected() && rig.session.pending() == 0);
    rig.cut = Some((side, bytes));
    for payload in [b"one", b"two"] {
        if way == Way::Out {
            let message = Message::new(TopicName::new("out").unwrap()).qos(qos);
            let _token = rig.session.publish(&message, (&payload[..]).into()).map_err(|_| ()).unwrap();
        } else {
            rig.broker.publish(TopicName::new("in").unwrap(), payload, qos, false, NOW);
        }
    }
    rig.run();
    if rig.cut.is_some() {
        return None;
    }
    let case = format!("{version:?} {qos:?} {way:?} {memory:?} {side:?} {bytes}");
    assert!(rig.session.is_connected(), "{case}");
    assert_eq!(rig.session.pending(), 0, "{case}");
    assert!(rig.broker.is_idle(), "{case}");
    let arrived = match way {
        Way::Out => rig.broker.stats().messages_in,
        Way::In => rig.told.values().sum(),
    };
    let different = if way == Way::In { rig.told.len() as u64 } else { arrived.min(MESSAGES) };
    match qos {
        Qos::AtMostOnce => assert!(arrived <= MESSAGES && different == arrived, "{case}: {arrived}"),
        Qos::AtLeastOnce => assert!(different == MESSAGES && arrived <= 2 * MESSAGES, "{case}: {arrived}"),
        Qos::ExactlyOnce => assert!(arrived == MESSAGES && different == MESSAGES, "{case}: {:?}", rig.told),
    }
    Some(Tally { cuts: 1, delivered: different, again: arrived - different, lost: MESSAGES - different })
}

/// All places of one exchange.
fn places<S: Storage>(make: &dyn Fn(Config) -> Session<S>, what: (Version, Qos, Way, Memory)) -> Tally {
    let mut tally = Tally::default();
    for side in [Side::Taken, Side::Arrived, Side::Broker] {
        let mut bytes = 0;
        while let Some(one) = place(make, what, (side, bytes)) {
            tally.add(one);
            bytes += 1;
            assert!(bytes < 200, "the exchange never ends");
        }
    }
    tally
}

#[test]
fn every_exchange_survives_a_cut_at_every_byte_with_and_without_a_journal() {
    type Bytes = [u8; 2_048];
    let heap = |config| -> Session<Heap> { HeapSession::new(config) };
    let fixed = |config| -> Session<Fixed<Bytes, 8, 8>> { FixedSession::new([0; 2_048], config) };
    println!("| exchange | version | memory | cuts | delivered | again | lost |");
    println!("| --- | --- | --- | ---: | ---: | ---: | ---: |");
    let mut all = Tally::default();
    for way in [Way::Out, Way::In] {
        for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
            for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
                for memory in [Memory::Nothing, Memory::Journal, Memory::Crash] {
                    let what = (version, qos, way, memory);
                    let mut tally = places(&heap, what);
                    assert_eq!(tally, places(&fixed, what), "{what:?}: the storages differ");
                    tally.add(tally);
                    println!("| {way:?}, QoS {} | {version:?} | {memory:?} | {tally} |", qos as u8);
                    all.add(tally);
                }
            }
        }
    }
    println!("| all | | | {all} |");
    assert!(all.cuts > 3_000, "{all}");
}
