//! Two storages with equal limits behave alike to the byte: random operations, cuts, crashes with a
//! journal, and a broker, run on each with one seed, give the same bytes, events, results and deadlines.

use core::num::NonZeroU64;
use core::time::Duration;
use std::collections::BTreeMap;

use mqtt_session::proto::{
    Properties, Property, Qos, ReasonCode, Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{
    AckMode, AckToken, Closed, Command, Config, ConnectOptions, Durability, Event, FixedSession, HeapSession,
    Instant, Key, Message, OverQos, Oversize, Session, SessionLost, Stop, Storage, Token, WhenFull,
    WhenNotStored,
};
use mqtt_sim::broker::{Broker, BrokerConfig, ConnId};

const MEMORY: usize = 3_000;
const WIRE: usize = 700;
const OUT: usize = 9;
const IN: usize = 3;
const SEEDS: u64 = 1_000;
const STEPS: usize = 250;

/// A small generator, so that a seed says everything.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

fn config(seed: u64, random: &mut Random) -> Config {
    let mut config = Config::new(seed);
    config.wire_bytes = WIRE;
    config.queue_bytes = MEMORY - WIRE;
    config.max_operations = OUT as u32;
    config.max_in_flight = 1 + random.below(OUT) as u16;
    config.receive_maximum = 1 + random.below(IN) as u16;
    config.max_packet_in = 400;
    config.oversize =
        [Oversize::Refuse, Oversize::Skip, Oversize::Chunks { largest: 10_000 }][random.below(3)];
    config.ack_mode = if random.one_in(3) { AckMode::Manual } else { AckMode::Automatic };
    config.qos0_receipts = random.one_in(2);
    config.when_full = [WhenFull::Reject, WhenFull::DropOldest, WhenFull::DropNewest][random.below(3)];
    config.version_ladder = random.one_in(2);
    config.ack_timeout = random.one_in(3).then_some(Duration::from_secs(3));
    config.suspect.end = random.one_in(2);
    config.on_session_lost = [SessionLost::Republish, SessionLost::Fail, SessionLost::Drop][random.below(3)];
    // By the seed, so that the other draws stay what they are.
    config.over_qos = if seed.is_multiple_of(2) { OverQos::Refuse } else { OverQos::Lower };
    config.max_topic_aliases = (seed % 4) as u16;
    if seed.is_multiple_of(5) {
        config.topic_alias_maximum = 1 + (seed % IN as u64) as u16;
        config.topic_alias_bytes = 20 + (seed % 60) as usize;
    }
    config.request_timeout = seed.is_multiple_of(7).then_some(Duration::from_secs(2));
    config.redirects = u8::from(seed % 7 == 1);
    config.durability = match random.below(5) {
        0 => Durability::Async,
        1 => Durability::BeforeSend,
        _ => Durability::Off,
    };
    config.when_not_stored = if random.one_in(2) { WhenNotStored::End } else { WhenNotStored::Send };
    config
}

/// One client on one storage, with a broker of its own and everything it did written down.
struct Run<S: Storage> {
    session: Session<S>,
    /// Makes a session like the first, for the run after a crash.
    fresh: fn(Config) -> Session<S>,
    config: Config,
    journal: BTreeMap<Key, Vec<u8>>,
    unanswered: Vec<Key>,
    crashes: u32,
    broker: Broker,
    random: Random,
    now: Instant,
    version: Version,
    /// Who has no name is given one.
    client_id: &'static str,
    clean: bool,
    conn: Option<ConnId>,
    input: Vec<u8>,
    tokens: Vec<Token>,
    acks: Vec<AckToken>,
    log: Vec<String>,
    cuts: u32,
    messages: u32,
    chunked: u32,
    /// Lengths of payloads that are provided.
    sources: Vec<(Token, u32)>,
    wanted: Vec<(Token, u32)>,
    provided: u32,
}

impl<S: Storage> Run<S> {
    fn new(
        fresh: fn(Config) -> Session<S>,
        config: Config,
        random: Random,
        version: Version,
        clean: bool,
    ) -> Self {
        Self {
            session: fresh(config),
            fresh,
            config,
            journal: BTreeMap::new(),
            unanswered: Vec::new(),
            crashes: 0,
            client_id: if random.clone().one_in(12) { "" } else { "twin" },
            broker: Broker::new(BrokerConfig::default()),
            random,
            now: Instant::from_micros(5),
            version,
            clean,
            conn: None,
            input: Vec::new(),
            tokens: Vec::new(),
            acks: Vec::new(),
            log: Vec::new(),
            cuts: 0,
            messages: 0,
            chunked: 0,
            sources: Vec::new(),
            wanted: Vec::new(),
            provided: 0,
        }
    }

    fn options(&self) -> ConnectOptions<'static> {
        let mut options = ConnectOptions::new(self.client_id);
        options.version = self.version;
        options.clean_start = self.clean;
        options.session_expiry = 3600;
        options.keep_alive = 5;
        options
    }

    fn note(&mut self, line: String) {
        self.log.push(line);
    }

    fn run(mut self) -> Self {
        let started = self.session.start(&self.options());
        self.note(format!("{started:?}"));
        for _ in 0..STEPS {
            self.step();
            self.settle();
        }
        self
    }

    fn step(&mut self) {
        match self.random.below(18) {
            0..=3 => self.publish(),
            4 => self.subscribe(),
            5 => {
                if !self.tokens.is_empty() {
                    let token = self.tokens[self.random.below(self.tokens.len())];
                    let cancelled = self.session.cancel(token);
                    self.note(format!("cancel {token:?} {cancelled}"));
                }
            }
            6 | 7 => {
                let bytes = 1 + self.random.below(300);
                self.send(bytes);
            }
            8 | 9 => {
                let bytes = 1 + self.random.below(300);
                self.receive(bytes);
            }
            10 => {
                self.send(usize::MAX);
                self.receive(usize::MAX);
            }
            11 => {
                self.now = self.now.after(Duration::from_millis(self.random.below(4_000) as u64));
                self.broker.handle_timeout(self.now);
            }
            12 => {
                if self.random.one_in(3) {
                    self.cut();
                }
            }
            13 => {
                let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][self.random.below(3)];
                let payload =
                    vec![b'b'; self.random.below(if self.random.clone().one_in(8) { 2_000 } else { 500 })];
                let topic = TopicName::new("to/twin").unwrap();
                self.broker.publish(topic, &payload, qos, false, self.now);
            }
            14 => {
                if !self.acks.is_empty() {
                    let ack = self.acks.swap_remove(self.random.below(self.acks.len()));
                    let text = "because".repeat(self.log.len() % 9);
                    let list = [Property::ReasonString(&text)];
                    let why = &list[..self.log.len() % 2];
                    let result = self.session.acknowledge(ack, ReasonCode::Success, Properties::List(why));
                    self.note(format!("acknowledge {ack:?} {result:?}"));
                }
            }
            15 | 16 => self.answer(),
            _ => match self.random.below(15) {
                0 => self.session.check_link(),
                1 => {
                    self.session.stop(Stop::drain(Duration::from_secs(self.random.below(3) as u64))).unwrap()
                }
                2 => {
                    let held = self.random.one_in(2);
                    self.session.hold_input(held);
                }
                3 => self.broker.forget_sessions(self.now),
                4 | 5 => self.crash(),
                _ => {
                    let started = self.session.start(&self.options());
                    self.note(format!("{started:?}"));
                }
            },
        }
    }

    /// The journal answers for some of what it was given.
    fn answer(&mut self) {
        for _ in 0..self.random.below(9) {
            if self.unanswered.is_empty() {
                return;
            }
            let key = self.unanswered.swap_remove(self.random.below(self.unanswered.len()));
            if self.random.one_in(30) {
                self.note(format!("not stored {key}"));
                self.journal.remove(&key);
                self.session.not_stored(key);
            } else {
                self.note(format!("stored {key}"));
                self.session.stored(key);
            }
        }
    }

    /// The program ends without a word, and another one takes over what the journal holds.
    fn crash(&mut self) {
        if self.config.durability == Durability::Off {
            return;
        }
        self.crashes += 1;
        if let Some(conn) = self.conn.take() {
            self.broker.closed(conn, self.now);
        }
        self.input.clear();
        self.unanswered.clear();
        self.acks.clear();
        self.session = (self.fresh)(self.config);
        let age = self.random.one_in(2).then(|| Duration::from_millis(self.random.below(3_000) as u64));
        for (key, record) in core::mem::take(&mut self.journal) {
            let result = self.session.restore(key, &record, age);
            self.note(format!("restore {key} {result:?}"));
            if result.is_ok() {
                self.journal.insert(key, record);
            }
        }
        let started = self.session.start(&self.options());
        self.note(format!("{started:?}"));
    }

    fn publish(&mut self) {
        let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][self.random.below(3)];
        let payload = vec![b'p'; self.random.below(if self.random.clone().one_in(5) { 900 } else { 60 })];
        let topic = ["to/twin", "a", "a/b/c"][self.random.below(3)];
        let list = [Property::ContentType("t"), Property::UserProperty("key", "value")];
        let properties = if self.random.one_in(3) { Properties::List(&list) } else { Properties::EMPTY };
        let message = Message::new(TopicName::new(topic).unwrap())
            .qos(qos)
            .retain(self.random.one_in(9))
            .properties(properties)
            .tag(self.log.len() as u64);
        let message = match self.random.below(6) {
            0 => message.ttl(Duration::from_millis(self.random.below(9_000) as u64)),
            1 => message.key(NonZeroU64::MIN.saturating_add(self.random.below(2) as u64)),
            _ => message,
        };
        if self.random.one_in(10) {
            let len = self.random.below(3_000) as u32;
            let result = self.session.publish_chunked(&message, len);
            self.tokens.extend(result);
            self.sources.extend(result.map(|token| (token, len)));
            self.note(format!("publish chunked {qos:?} {len} {result:?}"));
            return;
        }
        let result =
            self.session.publish(&message, payload.as_slice().into()).map_err(|refused| refused.reason);
        self.tokens.extend(result);
        self.note(format!("publish {qos:?} {} {result:?}", payload.len()));
    }

    /// Gives a piece of what was asked for, now and then something else.
    fn provide(&mut self) {
        while let Some((token, offset)) = self.wanted.pop() {
            let len = self.sources.iter().find(|(source, _)| *source == token).map_or(0, |(_, len)| *len);
            let count = match self.random.below(20) {
                0 => return,
                1 => len as usize,
                _ => self.random.below(500).min((len - offset) as usize),
            };
            let result = self.session.provide(token, offset, &vec![b's'; count]);
            self.provided += u32::from(result == Ok((len - offset) as usize));
            self.note(format!("provide {token:?} {offset} {count} {result:?}"));
        }
    }

    fn subscribe(&mut self) {
        let filter = TopicFilter::new(["to/twin", "a/#", "+"][self.random.below(3)]).unwrap();
        let result = if self.random.one_in(3) {
            self.session.unsubscribe(&[filter], Properties::EMPTY)
        } else {
            let options = SubscriptionOptions::new(Qos::ExactlyOnce);
            self.session.subscribe(&[Subscription { filter, options }], Properties::EMPTY)
        };
        self.tokens.extend(result);
        self.note(format!("subscribe {filter} {result:?}"));
    }

    /// The transport takes up to `most` bytes.
    fn send(&mut self, most: usize) {
        let Some(conn) = self.conn else { return };
        let mut left = most;
        let mut outgoing = self.session.outgoing(self.now);
        let mut sent = Vec::new();
        while left > 0 && !outgoing.is_empty() {
            let count = outgoing.chunk().len().min(left);
            sent.extend_from_slice(&outgoing.chunk()[..count]);
            outgoing.advance(count);
            left -= count;
        }
        if !sent.is_empty() {
            self.broker.receive(conn, &sent, self.now);
            self.note(format!("sent {sent:02x?}"));
        }
    }

    /// The session is given up to `most` bytes.
    fn receive(&mut self, most: usize) {
        if let Some(conn) = self.conn {
            let count = self.broker.outgoing(conn).len().min(most);
            self.input.extend_from_slice(&self.broker.outgoing(conn)[..count]);
            self.broker.advance(conn, count);
        }
        self.feed();
        if let Some(conn) = self.conn
            && self.broker.wants_close(conn)
        {
            self.end(Closed::Ended);
        }
    }

    fn feed(&mut self) {
        let input = core::mem::take(&mut self.input);
        let mut rest = &input[..];
        while let Some(event) = self.session.receive(&mut rest, self.now) {
            match &event {
                Event::Message(message) => {
                    self.messages += 1;
                    self.acks.extend(message.ack);
                }
                Event::End { ack, .. } => {
                    self.chunked += 1;
                    self.acks.extend(*ack);
                }
                _ => {}
            }
            self.note(format!("{event:?}"));
        }
        self.input = rest.to_vec();
    }

    fn cut(&mut self) {
        if self.conn.is_some() {
            self.cuts += 1;
            self.end(Closed::Failed);
        }
    }

    fn end(&mut self, closed: Closed) {
        if let Some(conn) = self.conn.take() {
            self.broker.closed(conn, self.now);
        }
        self.input.clear();
        self.session.closed(closed, self.now);
    }

    /// Commands, events and deadlines, until there are no more.
    fn settle(&mut self) {
        while self.broker.poll_active().is_some() {}
        for round in 0..100 {
            assert!(round < 99, "livelock: {:?}", self.log.iter().rev().take(20).collect::<Vec<_>>());
            let before = self.log.len();
            while let Some(command) = self.session.poll_command() {
                self.log.push(format!("{command:?}"));
                match command {
                    Command::Put { key, record } => {
                        let record = record.chunks().concat();
                        self.log.push(format!("{record:02x?}"));
                        self.journal.insert(key, record);
                        self.unanswered.push(key);
                    }
                    Command::Delete { key } => {
                        self.journal.remove(&key);
                        self.unanswered.push(key);
                    }
                    Command::Open { .. } if self.random.one_in(5) => {
                        self.session.closed(Closed::DialFailed, self.now);
                    }
                    Command::Open { .. } => {
                        self.conn = Some(self.broker.open(self.now));
                        self.session.opened(&self.options(), self.now);
                    }
                    _ => self.end(Closed::Carried),
                }
            }
            while let Some(event) = self.session.poll_event() {
                if let Event::PayloadWanted { token, offset } = event {
                    self.wanted.push((token, offset));
                }
                self.note(format!("{event:?}"));
            }
            self.provide();
            let due = self.session.poll_timeout();
            if due.is_some_and(|due| due <= self.now) {
                self.session.handle_timeout(self.now);
                self.note("timeout".to_owned());
            }
            if self.log.len() == before {
                let state = (self.session.pending(), self.session.wants_read(), self.session.read_hint());
                self.note(format!("due {due:?} {state:?} {:?}", self.session.stats()));
                return;
            }
        }
    }
}

#[test]
fn a_thousand_seeds_with_cuts_give_identical_bytes_events_and_deadlines_on_both_storages() {
    let (mut cuts, mut messages, mut chunked, mut provided) = (0, 0, 0, 0);
    let (mut lines, mut crashes) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = Random(seed);
        let config = config(seed, &mut random);
        let version = [Version::V3_1, Version::V3_1_1, Version::V5][random.below(3)];
        let clean = random.one_in(4);
        let heap = Run::new(HeapSession::new, config, random.clone(), version, clean).run();
        let fixed = |config| FixedSession::<_, OUT, IN>::new([0u8; MEMORY], config);
        let fixed = Run::new(fixed, config, random, version, clean).run();
        for (line, (heap, fixed)) in heap.log.iter().zip(&fixed.log).enumerate() {
            assert_eq!(heap, fixed, "seed {seed}, line {line}, {version:?}");
        }
        assert_eq!(heap.log.len(), fixed.log.len(), "seed {seed}");
        cuts += heap.cuts;
        messages += heap.messages;
        chunked += heap.chunked;
        provided += heap.provided;
        crashes += heap.crashes;
        lines += heap.log.len();
    }
    println!(
        "{SEEDS} seeds: {lines} lines compared, {cuts} cuts, {crashes} crashes, {messages} messages received, {chunked} in chunks"
    );
    assert!(cuts > 1_000 && messages > 1_000, "the run did what it is for: {cuts} cuts, {messages} messages");
    assert!(provided > 400, "the run did what it is for: {provided} payloads provided to the end");
    assert!(chunked > 150, "the run did what it is for: {chunked} messages in chunks");
    assert!(crashes > 500, "the run did what it is for: {crashes} crashes");
}
