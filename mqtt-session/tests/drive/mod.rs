//! Drives a session by a list of small operations, and checks the invariants of `docs/reliability.md` after each.
//!
//! An operation is three bytes: what, and two choices. So a list of them shrinks well, can be drawn by `proptest` and
//! by a fuzzer, and is a file in a corpus. The first six bytes of an input choose the configuration. The server at
//! the other end ([`Server`]) believes nothing: it keeps its own account of what a client may send.

#![allow(dead_code, unreachable_pub, reason = "tests and fuzz targets each use their part")]

mod server;

use core::num::NonZeroU64;
use core::time::Duration;
use std::collections::BTreeMap;

use mqtt_session::proto::{
    Properties, Property, Qos, ReasonCode, Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{
    AckMode, AckToken, Closed, Command, Config, ConnectOptions, Event, FixedSession, HeapSession, Instant,
    Message, Oversize, Session, SessionLost, Stop, Storage, Token, WhenFull,
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
        config.ack_timeout = (time & 1 != 0).then_some(Duration::from_secs(3));
        Self {
            config,
            version: [Version::V5, Version::V3_1_1, Version::V3_1][usize::from(kind) % 3],
            clean: kind & 4 != 0,
            expiry: if kind & 8 != 0 { 0 } else { u32::MAX },
            keep_alive: u16::from(time / 2 % 8),
            wild: kind & 16 != 0,
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
    let fixed = FixedSession::<_, OUT, IN>::new([0u8; MEMORY], setup.config);
    let fixed = Driver::new(fixed, setup).run(list);
    if let Some(line) = (0..heap.len().max(fixed.len())).find(|line| heap.get(*line) != fixed.get(*line)) {
        let before = &heap[line.saturating_sub(10)..line];
        panic!("after {before:#?}\nheap:  {:?}\nfixed: {:?}", heap.get(line), fixed.get(line));
    }
    heap
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
    let heap = Driver::new(HeapSession::new(setup.config), setup).run_bytes(state, &pieces);
    let fixed = FixedSession::<_, OUT, IN>::new([0u8; MEMORY], setup.config);
    let fixed = Driver::new(fixed, setup).run_bytes(state, &pieces);
    assert_eq!(heap, fixed);
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
    Driver::new(HeapSession::new(setup.config), setup).run(list)
}

/// One session, its server, its clock, and what both were asked and told.
struct Driver<S: Storage> {
    session: Session<S>,
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
    log: Vec<String>,
}

/// What the application knows of an operation.
#[derive(Clone, Copy, Debug)]
struct Account {
    tag: u64,
    /// An end is to be told.
    awaited: bool,
    /// A publish, which the server knows by its tag.
    publish: bool,
}

impl<S: Storage> Driver<S> {
    fn new(session: Session<S>, setup: Setup) -> Self {
        Self {
            session,
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
            log: Vec::new(),
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
            0..=4 => self.publish(a, b),
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
        // The server knows the message by the tag in its payload.
        let mut payload = tag.to_be_bytes().to_vec();
        payload.resize(8 + usize::from(b) * if a & 128 != 0 { 5 } else { 1 } / 2, b'p');
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
        let result = self.session.publish(&message, payload[..].into()).map_err(|refused| {
            assert_eq!(refused.payload.as_ref(), &payload[..], "a refused payload comes back");
            refused.reason
        });
        let awaited = qos != Qos::AtMostOnce || self.setup.config.qos0_receipts;
        if let Ok(token) = result {
            let known = self.operations.insert(token, Account { tag, awaited, publish: true });
            assert!(known.is_none(), "{token:?} was given before");
        }
        self.note(format!("publish {qos:?} {tag} {} {result:?}", payload.len()));
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
        if let Ok(token) = result {
            let known = self.operations.insert(token, Account { tag: 0, awaited: true, publish: false });
            assert!(known.is_none(), "{token:?} was given before");
        }
        self.note(format!("filters {} {b} {result:?}", filters.len()));
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
                let account = self.operations.remove(token);
                let account =
                    account.unwrap_or_else(|| panic!("{token:?} ends again, or was never accepted"));
                assert_eq!(*tag, account.tag);
                assert!(account.awaited, "{token:?} has no end to be told");
                if account.publish {
                    self.server.ended(account.tag, &format!("{outcome:?}"));
                }
            }
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
        assert!(self.session.pending() as usize <= self.operations.len(), "more is open than was accepted");
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
        self.server.check_at_the_end();
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
