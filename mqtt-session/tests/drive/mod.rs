//! Drives a session by a list of small operations, and checks the invariants of `docs/reliability.md` after each.
//!
//! An operation is three bytes: what, and two choices. So a list of them shrinks well, can be drawn by `proptest` and
//! by a fuzzer, and is a file in a corpus. The first six bytes of an input choose the configuration. The server at
//! the other end ([`Server`]) believes nothing: it keeps its own account of what a client may send.

#![allow(dead_code, unreachable_pub, reason = "tests and fuzz targets each use their part")]

mod server;

use core::num::NonZeroU64;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use mqtt_session::proto::{
    Properties, Property, Qos, ReasonCode, Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::tape::{Log, Track, replay};
use mqtt_session::{
    AckMode, AckToken, Closed, Command, Config, ConnectOptions, Durability, Event, FixedSession, HeapSession,
    Instant, Key, Message, Oversize, Session, SessionLost, Stop, Storage, Token, WhenFull, WhenNotStored,
};
use server::Server;

const MEMORY: usize = 3_000;
const WIRE: usize = 700;
const OUT: usize = 9;
const IN: usize = 4;

/// Bytes of an input that choose the configuration.
pub const SETUP: usize = 6;

/// What one run is about.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    config: Config,
    version: Version,
    clean: bool,
    expiry: u32,
    keep_alive: u16,
    /// The server may do what no server should.
    wild: bool,
    /// Records are stored when an operation says so, and not at once.
    slow: bool,
}

impl Setup {
    pub fn new(bytes: [u8; SETUP]) -> Self {
        let [kind, modes, window, limits, time, seed] = bytes;
        let mut config = Config::new(u64::from(seed));
        config.wire_bytes = WIRE;
        config.queue_bytes = MEMORY - WIRE;
        config.max_operations = OUT as u32;
        config.max_in_flight = 1 + u16::from(window % OUT as u8);
        config.max_in_flight_qos2_v3 = 1 + u16::from(window / 16 % 4);
        config.receive_maximum = 1 + u16::from(limits % IN as u8);
        config.max_packet_in = 120;
        config.oversize = match limits / 4 % 3 {
            0 => Oversize::Refuse,
            1 => Oversize::Skip,
            _ => Oversize::Chunks { largest: 300 },
        };
        config.ack_mode = if modes & 1 == 0 { AckMode::Automatic } else { AckMode::Manual };
        config.qos0_receipts = modes & 2 != 0;
        config.resubscribe = modes & 4 != 0;
        config.version_ladder = modes & 8 != 0;
        config.suspect.end = modes & 16 != 0;
        config.on_session_lost =
            [SessionLost::Republish, SessionLost::Fail, SessionLost::Drop][usize::from(modes >> 5) % 3];
        config.when_full =
            [WhenFull::Reject, WhenFull::DropOldest, WhenFull::DropNewest][usize::from(limits >> 4) % 3];
        config.durability = [Durability::Off, Durability::Off, Durability::Async, Durability::BeforeSend]
            [usize::from(time >> 6)];
        config.when_not_stored = if kind & 64 == 0 { WhenNotStored::End } else { WhenNotStored::Send };
        config.ack_timeout = (time & 1 != 0).then_some(Duration::from_secs(3));
        Self {
            config,
            version: [Version::V5, Version::V3_1_1, Version::V3_1][usize::from(kind) % 3],
            clean: kind & 4 != 0,
            expiry: if kind & 8 != 0 { 0 } else { u32::MAX },
            keep_alive: u16::from(time / 2 % 8),
            wild: kind & 16 != 0,
            slow: kind & 32 != 0,
        }
    }

    fn options(&self) -> ConnectOptions<'static> {
        let mut options = ConnectOptions::new("driven");
        options.version = self.version;
        options.clean_start = self.clean;
        options.session_expiry = if self.version == Version::V5 { self.expiry } else { 0 };
        options.keep_alive = self.keep_alive;
        options
    }
}

/// Splits any bytes into a setup and operations.
pub fn parse(data: &[u8]) -> Option<(Setup, Vec<[u8; 3]>)> {
    let (head, rest) = data.split_first_chunk::<SETUP>()?;
    Some((Setup::new(*head), rest.as_chunks::<3>().0.to_vec()))
}

/// Runs the list on both storages: the invariants hold on each, and nothing tells them apart.
pub fn both(setup: Setup, list: &[[u8; 3]]) -> Vec<String> {
    let heap = on_heap(setup, list);
    let fixed = Driver::new(fixed, setup).run(list);
    if let Some(line) = (0..heap.len().max(fixed.len())).find(|line| heap.get(*line) != fixed.get(*line)) {
        let before = &heap[line.saturating_sub(10)..line];
        panic!("after {before:#?}\nheap:  {:?}\nfixed: {:?}", heap.get(line), fixed.get(line));
    }
    heap
}

/// Runs the list on both storages with every call recorded, and what was recorded again.
pub fn recorded(setup: Setup, list: &[[u8; 3]]) {
    Driver::new(HeapSession::new, setup).recorded().run(list);
    Driver::new(fixed, setup).recorded().run(list);
}

/// Any bytes as a list of operations: the invariants hold after each.
pub fn operations(data: &[u8]) {
    if let Some((setup, list)) = parse(data) {
        on_heap(setup, &list);
    }
}

/// Any bytes as a list of operations: both storages do the same.
pub fn storages(data: &[u8]) {
    if let Some((setup, list)) = parse(data) {
        both(setup, &list);
    }
}

/// Any bytes from a server, in pieces, to a session in one of several states; on both storages.
pub fn bytes(data: &[u8]) {
    let Some((head, rest)) = data.split_first_chunk::<SETUP>() else { return };
    let Some(([state, piece], input)) = rest.split_first_chunk::<2>() else { return };
    let mut setup = Setup::new(*head);
    setup.wild = true;
    let state = STATES[usize::from(*state) % STATES.len()];
    let pieces: Vec<&[u8]> = input.chunks(1 + usize::from(*piece % 64)).collect();
    let heap = Driver::new(HeapSession::new, setup).run_bytes(state, &pieces);
    let fixed = Driver::new(fixed, setup).run_bytes(state, &pieces);
    assert_eq!(heap, fixed);
}

/// Any bytes as records of an earlier run. Bit 0 of the byte behind the setup mends what a change would be found by,
/// so that what lies behind the checksum is looked at too.
pub fn restore(data: &[u8]) {
    let Some((head, rest)) = data.split_first_chunk::<SETUP>() else { return };
    let Some((mode, mut rest)) = rest.split_first() else { return };
    let mut setup = Setup::new(*head);
    setup.wild = true;
    if setup.config.durability == Durability::Off {
        setup.config.durability = Durability::Async;
    }
    let mut records = Vec::new();
    while let Some((len, behind)) = rest.split_first() {
        let (record, behind) = behind.split_at(usize::from(*len).min(behind.len()));
        let mut record = record.to_vec();
        if mode & 1 != 0 {
            mend(&mut record);
        }
        let key =
            record.get(8..16).and_then(|bytes| bytes.first_chunk()).map_or(0, |key| u64::from_le_bytes(*key));
        records.push((Key::from(key), record));
        rest = behind;
    }
    let heap = Driver::new(HeapSession::new, setup).run_restored(&records);
    let fixed = Driver::new(fixed, setup).run_restored(&records);
    assert_eq!(heap, fixed);
}

/// What a run leaves in its journal, as an input for [`restore`] behind setup and mode.
pub fn records(setup: Setup, list: &[[u8; 3]]) -> Vec<u8> {
    let mut driver = Driver::new(HeapSession::new, setup);
    driver.start();
    driver.settle();
    for op in list {
        driver.step(*op);
        driver.settle();
    }
    let records = driver.journal.values().filter(|record| record.len() < 256);
    records.flat_map(|record| [&[record.len() as u8], &record[..]].concat()).collect()
}

/// Magic, version and checksum as they should be.
fn mend(record: &mut [u8]) {
    if record.len() < 84 {
        return;
    }
    record[..4].copy_from_slice(b"MQS\x02");
    let mut sum = u32::MAX;
    for byte in record[..80].iter().chain(&record[84..]) {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = sum >> 1 ^ if sum & 1 != 0 { 0xEDB8_8320 } else { 0 };
        }
    }
    record[80..84].copy_from_slice(&(!sum).to_le_bytes());
}

/// Operations that lead to the states in which bytes come; 31 exchanges all there is to send, both ways.
const STATES: [&[[u8; 3]]; 7] = [
    // Dialling; CONNECT sent; connected.
    &[],
    &[[9, 0, 0]],
    &[[31, 0, 2]],
    // Everything in flight; a message past PUBREC; what the server began.
    &[[31, 0, 2], [0, 1, 0], [0, 2, 9], [5, 1, 1], [5, 0, 0], [9, 0, 0]],
    &[[31, 0, 2], [0, 2, 0], [0, 2, 0], [9, 0, 0], [15, 0, 2], [12, 0, 0], [9, 0, 0]],
    &[[31, 0, 2], [18, 1, 1], [18, 2, 1], [18, 6, 1], [12, 0, 0]],
    // The same after a cut, with a message that has lost a part.
    &[
        [31, 0, 2],
        [0, 1, 0],
        [0, 2, 0],
        [7, 20, 0],
        [18, 2, 1],
        [12, 0, 0],
        [23, 0, 0],
        [22, 2, 0],
        [31, 0, 2],
    ],
];

/// Runs the list on the heap storage.
pub fn on_heap(setup: Setup, list: &[[u8; 3]]) -> Vec<String> {
    Driver::new(HeapSession::new, setup).run(list)
}

fn fixed(config: Config) -> FixedSession<[u8; MEMORY], OUT, IN> {
    FixedSession::<_, OUT, IN>::new([0u8; MEMORY], config)
}

/// The server knows a message by the tag in its payload.
fn payload(tag: u64, len: usize) -> Vec<u8> {
    let mut payload = tag.to_be_bytes().to_vec();
    payload.resize(len, b'p');
    payload
}

/// One session, its server, its clock, and what both were asked and told.
struct Driver<S: Storage> {
    session: Session<S>,
    make: fn(Config) -> Session<S>,
    setup: Setup,
    server: Server,
    now: Instant,
    /// A transport is open.
    open: bool,
    input: Vec<u8>,
    /// The message that comes in chunks.
    chunks: Vec<u8>,
    /// Every accepted operation: its token, and whether its end was told.
    operations: BTreeMap<Token, Account>,
    accepted: u64,
    acks: Vec<AckToken>,
    running: bool,
    /// Records and deletions that were given and not answered, and what survives a crash.
    disk: VecDeque<(Key, Option<Vec<u8>>)>,
    journal: BTreeMap<Key, Vec<u8>>,
    /// How often a message may come once more: after a crash.
    again: u32,
    /// The disk failed to store: nothing is promised of a crash.
    unstored: bool,
    /// Operations may end that this run knows nothing of: those of an earlier one.
    foreign: bool,
    /// Payloads that are provided, also after a crash; and those asked for.
    sources: BTreeMap<Token, Vec<u8>>,
    wanted: Vec<(Token, u32)>,
    log: Vec<String>,
    /// Every call of the sessions, where they are recorded.
    tape: Option<(Log<Vec<u8>>, Track)>,
}

/// What the application knows of an operation.
#[derive(Clone, Copy, Debug)]
struct Account {
    tag: u64,
    /// An end is to be told.
    awaited: bool,
    /// A publish, which the server knows by its tag.
    publish: bool,
    /// It survives a crash.
    durable: bool,
}

impl<S: Storage> Driver<S> {
    fn new(make: fn(Config) -> Session<S>, setup: Setup) -> Self {
        Self {
            session: make(setup.config),
            make,
            setup,
            server: Server::new(setup),
            chunks: Vec::new(),
            now: Instant::from_micros(7),
            open: false,
            input: Vec::new(),
            operations: BTreeMap::new(),
            accepted: 0,
            acks: Vec::new(),
            running: false,
            disk: VecDeque::new(),
            journal: BTreeMap::new(),
            again: 0,
            unstored: false,
            foreign: false,
            sources: BTreeMap::new(),
            wanted: Vec::new(),
            log: Vec::new(),
            tape: None,
        }
    }

    fn recorded(mut self) -> Self {
        let mut log = Log::new(Vec::new()).unwrap();
        let track = log.track(&mut self.session, "driven").unwrap();
        self.tape = Some((log, track));
        self
    }

    /// What was recorded runs again.
    fn replay(&mut self) {
        if let Some((mut log, track)) = self.tape.take() {
            log.take(track, &mut self.session).unwrap();
            let replayed = replay(&log.finish().unwrap()[..]).unwrap_or_else(|error| panic!("{error}"));
            assert!(replayed.tracks.iter().all(|track| track.calls > 0));
        }
    }

    fn note(&mut self, line: String) {
        self.log.push(line);
    }

    fn run(mut self, list: &[[u8; 3]]) -> Vec<String> {
        self.start();
        self.settle();
        for op in list {
            self.step(*op);
            self.settle();
            self.check();
        }
        self.heal();
        self.replay();
        core::mem::take(&mut self.log)
    }

    fn run_restored(mut self, records: &[(Key, Vec<u8>)]) -> Vec<String> {
        self.foreign = true;
        self.server.takes_anything();
        for (key, record) in records {
            let result = self.session.restore(*key, record, None);
            self.note(format!("restore {key} {result:?}"));
        }
        // Records of another client are kept for it: this one is refused.
        self.start();
        if self.running {
            self.heal();
        }
        core::mem::take(&mut self.log)
    }

    fn run_bytes(mut self, state: &[[u8; 3]], pieces: &[&[u8]]) -> Vec<String> {
        self.start();
        self.settle();
        for op in state {
            self.step(*op);
            self.settle();
        }
        for piece in pieces {
            self.server.raw(piece);
            self.read(usize::MAX);
            self.settle();
            self.write(usize::MAX);
            self.settle();
            self.check();
        }
        self.heal();
        core::mem::take(&mut self.log)
    }

    fn step(&mut self, [what, a, b]: [u8; 3]) {
        self.note(format!("-- {what} {a} {b}"));
        match what % 32 {
            0..=3 => self.publish(a, b),
            4 => self.store(a, b),
            5 => self.subscribe(a, b),
            6 => self.cancel(a),
            7 | 8 => self.write(1 + usize::from(a)),
            9 | 10 => self.write(usize::MAX),
            11 => self.read(1 + usize::from(a)),
            12..=14 => self.read(usize::MAX),
            15..=17 => self.server.answer(a, b),
            18 | 19 => self.server.publish(a, b),
            20 => self.server.answer(0, a),
            21 => self.time(Duration::from_millis(u64::from(a) * 8)),
            22 => self.time(Duration::from_secs(u64::from(a))),
            23 => self.end(if a & 1 == 0 { Closed::Failed } else { Closed::Ended }),
            24 | 25 => self.acknowledge(a, b),
            26 => self.server.choose(a, b),
            27 if a % 4 == 3 => self.crash(),
            27 => self.server.disconnect(a),
            28 => self.server.misbehave(a, b),
            29 => match a % 8 {
                0 => self.stop(b),
                1 | 2 => self.session.check_link(),
                3 | 4 => self.session.hold_input(b & 1 != 0),
                // The clock of a careless driver.
                5 => self.session.handle_timeout(Instant::from_micros(u64::from(b))),
                _ => self.start(),
            },
            30 => self.server.accept(),
            _ => {
                self.write(usize::MAX);
                self.server.accept();
                self.server.answer(a, b);
                self.read(usize::MAX);
            }
        }
    }

    fn start(&mut self) {
        let started = self.session.start(&self.setup.options());
        self.running |= started.is_ok();
        self.note(format!("start {started:?}"));
    }

    fn stop(&mut self, choice: u8) {
        self.session.stop(Stop::drain(Duration::from_secs(u64::from(choice % 4)))).unwrap();
    }

    fn publish(&mut self, a: u8, b: u8) {
        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(a) % 3];
        self.accepted += 1;
        let tag = self.accepted;
        let payload = payload(tag, 8 + usize::from(b) * if a & 128 != 0 { 5 } else { 1 } / 2);
        let list = [Property::ContentType("t"), Property::UserProperty("key", "value")];
        let mut message = Message::new(TopicName::new(["a", "a/b/c"][usize::from(a / 4) % 2]).unwrap())
            .qos(qos)
            .retain(a & 64 != 0 && b & 1 != 0)
            .tag(tag);
        if a & 8 != 0 {
            message = message.properties(Properties::List(&list));
        }
        if a & 48 == 16 {
            message = message.ttl(Duration::from_millis(u64::from(b) * 20));
        }
        if a & 48 == 32 {
            message = message.key(NonZeroU64::MIN.saturating_add(u64::from(b & 1)));
        }
        let chunked = a & 0xC0 == 0xC0;
        let result = if chunked {
            self.session.publish_chunked(&message, payload.len() as u32)
        } else {
            self.session.publish(&message, payload[..].into()).map_err(|refused| {
                assert_eq!(refused.payload.as_ref(), &payload[..], "a refused payload comes back");
                refused.reason
            })
        };
        // Who provides a payload is told when it is not wanted any more.
        let awaited = chunked || qos != Qos::AtMostOnce || self.setup.config.qos0_receipts;
        self.note(format!("publish {qos:?} {tag} {} {result:?}", payload.len()));
        if let Ok(token) = result {
            self.accepted(token, Account { tag, awaited, publish: true, durable: false });
            self.sources.insert(token, payload);
        }
    }

    fn accepted(&mut self, token: Token, account: Account) {
        let known = self.operations.insert(token, account);
        assert!(known.is_none(), "{token:?} was given before");
    }

    fn subscribe(&mut self, a: u8, b: u8) {
        let filters = ["a", "a/#", "+", "$share/g/a"].map(|text| TopicFilter::new(text).unwrap());
        let filters = &filters[..1 + usize::from(a) % 3];
        let result = if b.is_multiple_of(3) {
            self.session.unsubscribe(filters, Properties::EMPTY)
        } else {
            let options = SubscriptionOptions::new(Qos::ExactlyOnce);
            let list: Vec<_> =
                filters.iter().map(|filter| Subscription { filter: *filter, options }).collect();
            self.session.subscribe(&list, Properties::EMPTY)
        };
        self.note(format!("filters {} {b} {result:?}", filters.len()));
        if let Ok(token) = result {
            self.accepted(token, Account { tag: 0, awaited: true, publish: false, durable: false });
        }
    }

    /// The disk answers: for one record, or for all.
    fn store(&mut self, a: u8, b: u8) {
        let count = if a & 1 == 0 { 1 } else { usize::MAX };
        for _ in 0..count.min(self.disk.len()) {
            let Some((key, record)) = self.disk.pop_front() else { return };
            if a & 6 == 6 && b & 7 == 0 && self.setup.slow {
                self.note(format!("not stored {key}"));
                self.session.not_stored(key);
                self.unstored |= record.is_some();
                continue;
            }
            self.note(format!("stored {key}"));
            match record {
                Some(record) => self.journal.insert(key, record),
                None => self.journal.remove(&key),
            };
            self.session.stored(key);
        }
    }

    /// The process ends; the next one has what was stored.
    fn crash(&mut self) {
        if self.setup.config.durability == Durability::Off || self.server.is_wild() {
            return;
        }
        self.note("-- crash".to_owned());
        if self.open {
            self.open = false;
            self.server.closed();
        }
        // What is promised, is promised of what was stored before it was sent.
        let kept = self.setup.config.durability == Durability::BeforeSend && !self.unstored;
        self.server.crashed(kept);
        self.again += 1;
        self.foreign = true;
        self.running = false;
        self.input.clear();
        self.chunks.clear();
        self.acks.clear();
        self.disk.clear();
        self.wanted.clear();
        self.operations.retain(|_, account| account.durable);
        let mut session = (self.make)(self.setup.config);
        if let Some((log, track)) = &mut self.tape {
            log.take(*track, &mut self.session).unwrap();
            *track = log.track(&mut session, "driven, after a crash").unwrap();
        }
        self.session = session;
        for (key, record) in self.journal.clone() {
            let result = self.session.restore(key, &record, None);
            self.note(format!("restore {key} {result:?}"));
            assert!(result.is_ok(), "the session's own record: {result:?}");
        }
        self.start();
    }

    /// Provides what is asked for, as far as there is room.
    fn provide(&mut self) {
        for (token, offset) in core::mem::take(&mut self.wanted) {
            let Some(all) = self.sources.get(&token) else { continue };
            let piece = all.get(offset as usize..).unwrap_or_default();
            let result = self.session.provide(token, offset, piece);
            self.note(format!("provide {token:?} {offset} {result:?}"));
        }
    }

    fn cancel(&mut self, a: u8) {
        let Some(token) = self.operations.keys().nth(usize::from(a) % self.operations.len().max(1)) else {
            return;
        };
        let (token, cancelled) = (*token, self.session.cancel(*token));
        self.note(format!("cancel {token:?} {cancelled}"));
    }

    fn acknowledge(&mut self, a: u8, b: u8) {
        if self.acks.is_empty() {
            return;
        }
        let ack = self.acks.swap_remove(usize::from(a) % self.acks.len());
        let reason =
            [ReasonCode::Success, ReasonCode::QuotaExceeded, ReasonCode::Success][usize::from(b) % 3];
        let text = "because".repeat(usize::from(b) % 7);
        let why = [Property::ReasonString(&text), Property::UserProperty("key", "value")];
        let why = &why[..usize::from(b) / 3 % 3];
        let result = self.session.acknowledge(ack, reason, Properties::List(why));
        self.note(format!("acknowledge {ack:?} {reason:?} {result:?}"));
    }

    /// The transport takes up to `most` bytes.
    fn write(&mut self, most: usize) {
        if !self.open {
            return;
        }
        let mut left = most;
        let mut sent = Vec::new();
        let mut outgoing = self.session.outgoing(self.now);
        while left > 0 && !outgoing.is_empty() {
            let count = outgoing.chunk().len().min(left);
            sent.extend_from_slice(&outgoing.chunk()[..count]);
            outgoing.advance(count);
            left -= count;
        }
        if !sent.is_empty() {
            self.note(format!("sent {sent:02x?}"));
            self.server.receive(&sent);
            // Held input may be taken now.
            self.feed();
        }
    }

    /// The session is given up to `most` bytes.
    fn read(&mut self, most: usize) {
        if self.open {
            let bytes = self.server.deliver(most);
            self.input.extend_from_slice(&bytes);
        }
        self.feed();
        if self.open && self.server.wants_close() {
            self.end(Closed::Ended);
        }
    }

    fn feed(&mut self) {
        let input = core::mem::take(&mut self.input);
        let mut rest = &input[..];
        let up = self.session.is_connected();
        while let Some(event) = self.session.receive(&mut rest, self.now) {
            let line = format!("{event:?}");
            self.event(&event);
            self.note(line);
        }
        self.server.consumed(input.len() - rest.len(), up || self.session.is_connected());
        self.input = rest.to_vec();
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Message(message) => {
                self.acks.extend(message.ack);
                assert!(!self.session.topic(message).is_empty());
                self.server.told(message.payload);
            }
            Event::Start { message, .. } => {
                assert!(!self.session.topic(message).is_empty() && self.chunks.is_empty());
            }
            Event::Chunk(part) => self.chunks.extend_from_slice(part),
            Event::Aborted => self.chunks.clear(),
            Event::End { ack, .. } => {
                self.acks.extend(*ack);
                self.server.told(&core::mem::take(&mut self.chunks));
            }
            Event::Done { token, tag, outcome, .. } => {
                let Some(account) = self.operations.remove(token) else {
                    assert!(self.foreign, "{token:?} ends again, or was never accepted");
                    return;
                };
                assert_eq!(*tag, account.tag);
                assert!(account.awaited, "{token:?} has no end to be told");
                if account.publish {
                    self.server.ended(account.tag, &format!("{outcome:?}"));
                }
            }
            Event::Durable { token } => {
                if let Some(account) = self.operations.get_mut(token) {
                    account.durable = true;
                }
            }
            Event::PayloadWanted { token, offset } => self.wanted.push((*token, *offset)),
            Event::Stopped { .. } => self.running = false,
            _ => {}
        }
    }

    fn time(&mut self, span: Duration) {
        self.now = self.now.after(span);
    }

    fn end(&mut self, closed: Closed) {
        if self.open || closed == Closed::Carried {
            self.open = false;
            self.input.clear();
            self.server.closed();
            self.session.closed(closed, self.now);
        }
    }

    /// Commands, events and deadlines, until there are no more.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 100, "livelock: {:#?}", self.log.iter().rev().take(20).collect::<Vec<_>>());
            let before = self.log.len();
            while let Some(command) = self.session.poll_command() {
                let line = format!("{command:?}");
                match command {
                    Command::Put { key, record } => {
                        self.disk.push_back((key, Some(record.chunks().concat())));
                    }
                    Command::Delete { key } => self.disk.push_back((key, None)),
                    Command::Open { .. } if self.server.refuses_to_be_dialled() => {
                        self.session.closed(Closed::DialFailed, self.now);
                    }
                    Command::Open { .. } => {
                        self.open = true;
                        self.server.opened();
                        self.session.opened(&self.setup.options(), self.now);
                    }
                    _ => self.end(Closed::Carried),
                }
                self.note(line);
            }
            while let Some(event) = self.session.poll_event() {
                self.event(&event);
                self.note(format!("{event:?}"));
            }
            self.provide();
            if !self.setup.slow {
                self.store(1, 1);
            }
            if self.session.poll_timeout().is_some_and(|due| due <= self.now) {
                self.session.handle_timeout(self.now);
                self.note("timeout".to_owned());
            }
            if self.log.len() == before {
                return;
            }
        }
    }

    /// What holds between any two operations.
    fn check(&mut self) {
        let config = &self.setup.config;
        let stats = self.session.stats();
        let due = self.session.poll_timeout();
        assert!(due.is_none_or(|due| due > self.now), "a deadline that has passed: {due:?}");
        assert!(self.session.pending() <= config.max_operations);
        assert!(stats.bytes_kept <= config.queue_bytes, "{} bytes kept", stats.bytes_kept);
        assert!(stats.in_flight <= config.max_in_flight.into());
        let awaited = self.operations.values().filter(|account| account.awaited).count();
        let accepted = self.operations.len();
        assert!(
            self.foreign || self.session.pending() as usize <= accepted,
            "more is open than was accepted"
        );
        let state = (
            self.session.pending(),
            awaited,
            self.session.wants_read(),
            self.session.read_hint(),
            self.session.can_publish(Qos::ExactlyOnce),
            self.session.is_connected(),
        );
        self.note(format!("due {due:?} {state:?} {stats:?}"));
    }

    /// Everything works again: whatever was accepted ends, within a bounded number of rounds.
    fn heal(&mut self) {
        self.note("-- healed".to_owned());
        self.server.heal();
        self.setup.slow = false;
        self.end(Closed::Failed);
        self.session.hold_input(false);
        for round in 0.. {
            assert!(
                round < 600,
                "no progress: {} open, {:#?}",
                self.session.pending(),
                self.log.iter().rev().take(40).collect::<Vec<_>>()
            );
            if !self.running {
                self.start();
            }
            self.settle();
            self.write(usize::MAX);
            self.server.accept();
            self.server.answer_all();
            self.read(usize::MAX);
            while !self.acks.is_empty() {
                self.acknowledge(0, 0);
            }
            self.settle();
            self.write(usize::MAX);
            let left = self.operations.values().any(|account| account.awaited);
            if !left && self.session.pending() == 0 && self.session.is_connected() && self.server.is_idle() {
                break;
            }
            let due = self.session.poll_timeout().filter(|_| !self.session.is_connected() || round % 8 == 7);
            self.now = self.now.max(due.unwrap_or(self.now));
        }
        self.check();
        assert_eq!(self.session.stats().in_flight, 0, "idle means that every identifier is free");
        self.server.check_at_the_end(self.again);
    }
}

impl<S: Storage> Drop for Driver<S> {
    /// A failing run says what led to it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:#?}", self.setup);
            for line in self.log.iter().rev().take(60).rev() {
                println!("{line}");
            }
        }
    }
}
