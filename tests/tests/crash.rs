//! The program crashes between any two things it does, another one takes over what its journal holds, and
//! what was promised still holds: `Durability` says what.
//!
//! The journal is a log: what a crash leaves is the effect of the first so many commands, at least those
//! that were synced. Every run is crashed at every place, with nothing, half and all of what was not
//! synced yet, some runs twice.

use std::collections::{BTreeMap, BTreeSet};

use mqtt_session::proto::{
    Properties, Qos, ReasonCode, Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use mqtt_session::{
    AckMode, Command, Config, ConnectOptions, Durability, Event, FixedSession, HeapSession, Instant, Key,
    LocalState, Message, Outcome, Session, Storage, Token,
};
use mqtt_sim::broker::{Broker, BrokerConfig, ConnId};

const MESSAGES: u64 = 3;

/// The program ended without a word.
struct Crash;

/// What a run is about.
#[derive(Clone, Copy, Debug)]
struct Case {
    durability: Durability,
    qos: Qos,
    version: Version,
    ack_mode: AckMode,
    /// The server's Receive Maximum: with 1, identifiers are given one after the other.
    window: u16,
    /// The end of each topic. Its length decides which packet a piece of what is written ends in.
    topic: &'static str,
    /// Outgoing topic aliases that may be in use.
    aliases: u16,
    /// The server loses its sessions while the program is down.
    forgets: bool,
    /// Crash before the action of this number, and after the restart before that one.
    crash: [u32; 2],
    /// Of what was not synced, this many quarters survive.
    kept: usize,
}

impl Case {
    fn config(&self) -> Config {
        let mut config = Config::new(7);
        config.max_topic_aliases = self.aliases;
        config.durability = self.durability;
        config.ack_mode = self.ack_mode;
        config.max_operations = 8;
        config.max_in_flight = 4;
        config.receive_maximum = 4;
        config.queue_bytes = 3_000;
        config.wire_bytes = 1_000;
        config
    }

    fn options(&self) -> ConnectOptions<'static> {
        let mut options = ConnectOptions::new("phoenix");
        options.version = self.version;
        options.clean_start = false;
        options.session_expiry = if self.version == Version::V5 { 3_600 } else { 0 };
        // Without waiting for the journal, a session may be on the server of which it knows nothing.
        if self.durability == Durability::Async {
            options.local_state = LocalState::Held;
        }
        options
    }
}

#[derive(Default)]
struct Log {
    /// What a crash cannot take.
    synced: BTreeMap<Key, Vec<u8>>,
    /// Puts and deletes behind it.
    behind: Vec<(Key, Option<Vec<u8>>)>,
}

impl Log {
    fn apply(&mut self, count: usize) {
        for (key, record) in self.behind.drain(..count) {
            match record {
                Some(record) => self.synced.insert(key, record),
                None => self.synced.remove(&key),
            };
        }
    }

    fn crash(&mut self, quarters: usize) {
        self.apply(self.behind.len() * quarters / 4);
        self.behind.clear();
    }
}

/// A client that never crashes: it counts what the server delivers, and publishes to the one that does.
struct Watcher {
    session: HeapSession,
    conn: ConnId,
    seen: BTreeMap<Vec<u8>, u32>,
}

impl Watcher {
    fn new(broker: &mut Broker, now: Instant) -> Self {
        let mut watcher =
            Self { session: HeapSession::new(Config::new(3)), conn: broker.open(now), seen: BTreeMap::new() };
        let mut options = ConnectOptions::new("watcher");
        options.keep_alive = 0;
        watcher.session.start(&options).unwrap();
        let filter = TopicFilter::new("out/#").unwrap();
        let options_of_filter = SubscriptionOptions::new(Qos::ExactlyOnce);
        let subscription = Subscription { filter, options: options_of_filter };
        watcher.session.subscribe(&[subscription], Properties::EMPTY).unwrap();
        while watcher.session.poll_event().is_some() {}
        assert!(matches!(watcher.session.poll_command(), Some(Command::Open { .. })));
        watcher.session.opened(&options, now);
        while watcher.go_on(broker, now) {}
        watcher
    }

    fn go_on(&mut self, broker: &mut Broker, now: Instant) -> bool {
        let mut any = false;
        while broker.poll_active().is_some() {}
        let mut sent = [0; 4_096];
        let count = self.session.outgoing(now).copy_to(&mut sent);
        if count != 0 {
            broker.receive(self.conn, &sent[..count], now);
            any = true;
        }
        let input = broker.outgoing(self.conn).to_vec();
        broker.advance(self.conn, input.len());
        let mut rest = &input[..];
        while let Some(event) = self.session.receive(&mut rest, now) {
            any = true;
            if let Event::Message(message) = event {
                *self.seen.entry(message.payload.to_vec()).or_default() += 1;
            }
        }
        assert!(rest.is_empty());
        while self.session.poll_event().is_some() {}
        any
    }
}

/// Everything that outlives a crash: the server, the journal, the watcher, and what the test noted.
struct World {
    case: Case,
    broker: Broker,
    now: Instant,
    log: Log,
    watcher: Watcher,
    actions: u32,
    crash_at: u32,
    /// Publishes, those that were told to be safe, and how often each was told to have ended.
    published: BTreeMap<Token, Vec<u8>>,
    durable: BTreeSet<Token>,
    done: BTreeMap<Token, Vec<String>>,
    /// Messages handed over: whether marked as redelivered, each time.
    received: BTreeMap<Vec<u8>, Vec<bool>>,
    /// What the application committed (`AckMode::Manual`): packet identifier and payload.
    committed: BTreeSet<(u16, Vec<u8>)>,
    processed: BTreeMap<Vec<u8>, u32>,
}

impl World {
    fn new(case: Case) -> Self {
        let mut broker =
            Broker::new(BrokerConfig { receive_maximum: case.window, ..BrokerConfig::default() });
        let now = Instant::from_micros(1);
        let watcher = Watcher::new(&mut broker, now);
        Self {
            case,
            broker,
            now,
            log: Log::default(),
            watcher,
            actions: 0,
            crash_at: u32::MAX,
            published: BTreeMap::new(),
            durable: BTreeSet::new(),
            done: BTreeMap::new(),
            received: BTreeMap::new(),
            committed: BTreeSet::new(),
            processed: BTreeMap::new(),
        }
    }

    /// The place between two things the program does.
    fn act(&mut self) -> Result<(), Crash> {
        self.actions += 1;
        if self.actions == self.crash_at { Err(Crash) } else { Ok(()) }
    }

    /// One run of the program: `first` is what it does at its start. Returns once nothing is left to do.
    fn run<S: Storage>(
        &mut self,
        mut session: Session<S>,
        first: impl FnOnce(&mut Self, &mut Session<S>) -> Result<(), Crash>,
    ) -> Result<(), Crash> {
        for (key, record) in &self.log.synced {
            session.restore(*key, record, None).unwrap();
        }
        let mut conn = None;
        let ended = self.run_on(&mut session, &mut conn, first);
        if let Some(conn) = conn {
            self.broker.closed(conn, self.now);
        }
        if ended.is_err() {
            self.log.crash(self.case.kept);
            if self.case.forgets {
                self.forget();
            }
        }
        ended
    }

    /// The server loses every session; the watcher comes back as a new one.
    fn forget(&mut self) {
        self.broker.forget_sessions(self.now);
        let seen = core::mem::take(&mut self.watcher.seen);
        self.broker.closed(self.watcher.conn, self.now);
        self.watcher = Watcher::new(&mut self.broker, self.now);
        self.watcher.seen = seen;
    }

    fn run_on<S: Storage>(
        &mut self,
        session: &mut Session<S>,
        conn: &mut Option<ConnId>,
        first: impl FnOnce(&mut Self, &mut Session<S>) -> Result<(), Crash>,
    ) -> Result<(), Crash> {
        let options = self.case.options();
        session.start(&options).unwrap();
        first(self, session)?;
        let mut input = Vec::new();
        for round in 0.. {
            assert!(round < 3_000, "livelock: {:?}", self.case);
            let mut idle = true;
            while let Some(command) = session.poll_command() {
                idle = false;
                match command {
                    Command::Put { key, record } => {
                        let record = record.chunks().concat();
                        self.act()?;
                        self.log.behind.push((key, Some(record)));
                    }
                    Command::Delete { key } => {
                        self.act()?;
                        self.log.behind.push((key, None));
                    }
                    Command::Open { .. } => {
                        *conn = Some(self.broker.open(self.now));
                        session.opened(&options, self.now);
                    }
                    other => panic!("{other:?} {:?}", self.case),
                }
            }
            // What leaves before the sync must not depend on it.
            idle &= !self.exchange(session, *conn, &mut input)?;
            if !self.log.behind.is_empty() && round % 3 == 0 {
                idle = false;
                self.act()?;
                let keys: Vec<Key> = self.log.behind.iter().map(|(key, _)| *key).collect();
                self.log.apply(keys.len());
                for key in keys.into_iter().rev() {
                    session.stored(key);
                }
            }
            while let Some(event) = session.poll_event() {
                idle = false;
                self.note(&event);
            }
            while self.watcher.go_on(&mut self.broker, self.now) {
                idle = false;
            }
            if idle && round % 3 == 0 && self.log.behind.is_empty() {
                if session.pending() == 0 && session.is_connected() && input.is_empty() {
                    return Ok(());
                }
                let due = session.poll_timeout().expect("something to wait for");
                self.now = self.now.max(due);
                session.handle_timeout(self.now);
            }
        }
        Ok(())
    }

    /// A few bytes each way.
    fn exchange<S: Storage>(
        &mut self,
        session: &mut Session<S>,
        conn: Option<ConnId>,
        input: &mut Vec<u8>,
    ) -> Result<bool, Crash> {
        let Some(conn) = conn else { return Ok(false) };
        let mut any = false;
        let mut sent = [0; 23];
        let count = session.outgoing(self.now).copy_to(&mut sent);
        if count != 0 {
            any = true;
            self.act()?;
            self.broker.receive(conn, &sent[..count], self.now);
            while self.broker.poll_active().is_some() {}
        }
        let arrived = self.broker.outgoing(conn);
        let count = arrived.len().min(31);
        input.extend_from_slice(&arrived[..count]);
        self.broker.advance(conn, count);
        if !input.is_empty() && session.wants_read() {
            let given = core::mem::take(input);
            let mut rest = &given[..];
            let mut acks = Vec::new();
            while let Some(event) = session.receive(&mut rest, self.now) {
                any = true;
                if let Event::Message(message) = &event {
                    self.act()?;
                    self.take(message);
                    acks.extend(message.ack);
                } else {
                    self.note(&event);
                }
            }
            *input = rest.to_vec();
            for ack in acks {
                self.act()?;
                session.acknowledge(ack, ReasonCode::Success, Properties::EMPTY).unwrap();
            }
        }
        Ok(any)
    }

    fn take(&mut self, message: &mqtt_session::Received<'_>) {
        let payload = message.payload.to_vec();
        self.received.entry(payload.clone()).or_default().push(message.redelivered);
        let id = message.packet_id.map_or(0, |id| id.get());
        if self.committed.insert((id, payload.clone())) || !message.redelivered {
            *self.processed.entry(payload).or_default() += 1;
        }
    }

    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Durable { token } => {
                self.durable.insert(*token);
            }
            Event::Done { token, outcome, .. } => {
                if let Outcome::Granted(_) = outcome {
                    return;
                }
                self.done.entry(*token).or_default().push(format!("{outcome:?}"));
            }
            Event::Disconnected { why, .. } => panic!("{why} {:?}", self.case),
            _ => {}
        }
    }
}

fn publish<S: Storage>(world: &mut World, session: &mut Session<S>) -> Result<(), Crash> {
    let topic = format!("out/{}", world.case.topic);
    for number in 0..MESSAGES {
        let message = Message::new(TopicName::new(&topic).unwrap()).qos(world.case.qos).tag(number);
        let payload = number.to_le_bytes();
        world.act()?;
        let token = session.publish(&message, payload[..].into()).map_err(|refused| refused.reason).unwrap();
        world.published.insert(token, payload.to_vec());
    }
    Ok(())
}

/// Runs until nothing is left, through the crashes of the case; the number of actions of the first run.
fn outgoing<S: Storage>(case: Case, fresh: impl Fn(Config) -> Session<S>) -> u32 {
    let mut world = World::new(case);
    world.crash_at = case.crash[0];
    let first = world.run(fresh(case.config()), publish);
    let actions = world.actions;
    if first.is_err() {
        world.actions = 0;
        world.crash_at = case.crash[1];
        let second = world.run(fresh(case.config()), |_, _| Ok(()));
        if second.is_err() {
            world.crash_at = u32::MAX;
            assert!(world.run(fresh(case.config()), |_, _| Ok(())).is_ok());
        }
    }
    // What is left in the journal is the session, and nothing that ended.
    let left: Vec<&Key> = world.log.synced.keys().collect();
    assert!(left.len() <= 1, "{left:?} {case:?}");
    let crashed = first.is_err();
    let repeats = case.forgets || case.durability == Durability::Async || case.qos != Qos::ExactlyOnce;
    for (payload, count) in &world.watcher.seen {
        assert!(repeats || *count == 1, "{payload:?} {count} times, {case:?}");
        assert!(crashed || *count == 1, "{payload:?} {count} times, {case:?}");
    }
    if !crashed {
        assert_eq!(world.watcher.seen.len() as u64, MESSAGES, "{case:?}");
    }
    if case.qos == Qos::AtMostOnce {
        return actions;
    }
    for token in &world.durable {
        assert!(world.watcher.seen.contains_key(&world.published[token]), "lost: {token:?} {case:?}");
        let done = world.done.get(token).unwrap_or_else(|| panic!("no end of {token:?}, {case:?}"));
        // A crash between a receipt and the delete that follows it brings the receipt again.
        let most = if crashed { 1 + case.crash.len() } else { 1 };
        assert!(
            done.len() <= most
                && done.iter().all(|how| how.starts_with("Acked") || (case.forgets && how == "Unknown")),
            "{done:?} {case:?}"
        );
    }
    actions
}

fn subscribe<S: Storage>(_: &mut World, session: &mut Session<S>) -> Result<(), Crash> {
    let filter = TopicFilter::new("in/#").unwrap();
    let subscription = Subscription { filter, options: SubscriptionOptions::new(Qos::ExactlyOnce) };
    session.subscribe(&[subscription], Properties::EMPTY).unwrap();
    Ok(())
}

fn incoming<S: Storage>(case: Case, fresh: impl Fn(Config) -> Session<S>) -> u32 {
    let mut world = World::new(case);
    // The run that subscribes ends well; messages come while nobody is there.
    assert!(world.run(fresh(case.config()), subscribe).is_ok());
    let topic = format!("in/{}", case.topic);
    for number in 0..MESSAGES {
        let message = Message::new(TopicName::new(&topic).unwrap()).qos(case.qos);
        world.watcher.session.publish(&message, number.to_le_bytes()[..].into()).unwrap();
    }
    while world.watcher.go_on(&mut world.broker, world.now) {}
    let mut actions = 0;
    for crash_at in [case.crash[0], case.crash[1], u32::MAX] {
        world.actions = 0;
        world.crash_at = crash_at;
        let ended = world.run(fresh(case.config()), |_, _| Ok(()));
        actions = actions.max(world.actions);
        if ended.is_ok() {
            break;
        }
    }
    if case.qos == Qos::AtMostOnce {
        return actions;
    }
    assert_eq!(world.received.len() as u64, MESSAGES, "lost: {case:?}");
    if case.qos == Qos::ExactlyOnce {
        for (payload, marks) in &world.received {
            assert!(marks.iter().skip(1).all(|mark| *mark), "{payload:?} {marks:?} {case:?}");
        }
        if case.ack_mode == AckMode::Manual {
            assert!(world.processed.values().all(|count| *count == 1), "{:?} {case:?}", world.processed);
        }
    }
    // The subscription, the session, and no exchange that is over.
    let most = if case.durability == Durability::Async { 2 + MESSAGES as usize } else { 2 };
    assert!(world.log.synced.len() <= most, "{:?} {case:?}", world.log.synced.keys());
    actions
}

fn everywhere(durability: Durability, ack_mode: AckMode, forgets: bool, run: impl Fn(Case) -> u32) {
    let mut runs = 0;
    for (topic, aliases) in [("a", 0), ("of/here", 0), ("of/here", 2), ("of/here/and/of/there", 0)] {
        for (version, window) in [(Version::V3_1_1, 9), (Version::V5, 9), (Version::V5, 1)] {
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let crash = [u32::MAX; 2];
                let case = Case {
                    durability,
                    qos,
                    version,
                    ack_mode,
                    window,
                    topic,
                    aliases,
                    forgets,
                    crash,
                    kept: 0,
                };
                runs += crash_at_every_place(case, &run);
            }
        }
    }
    println!("{durability:?}, {ack_mode:?}: {runs} crashed runs");
    assert!(runs > 1_600, "{runs}");
}

/// How many runs were crashed.
fn crash_at_every_place(case: Case, run: &impl Fn(Case) -> u32) -> u32 {
    let mut runs = 0;
    for first in 1..=run(case) {
        for kept in [0, 2, 4] {
            for second in [u32::MAX, first % 5 + 1, first % 23 + 3] {
                run(Case { crash: [first, second], kept, ..case });
                runs += 1;
            }
        }
    }
    runs
}

fn heap(config: Config) -> HeapSession {
    HeapSession::new(config)
}

fn fixed(config: Config) -> FixedSession<[u8; 4_000], 8, 4> {
    FixedSession::new([0; 4_000], config)
}

/// [5.0 MQTT-4.3.3-1] [5.0 MQTT-4.4.0-1] [S17]
#[test]
fn publishes_survive_a_crash_anywhere_once_they_are_durable() {
    everywhere(Durability::BeforeSend, AckMode::Automatic, false, |case| outgoing(case, heap));
}

#[test]
fn publishes_survive_a_crash_anywhere_in_fixed_memory() {
    everywhere(Durability::BeforeSend, AckMode::Automatic, false, |case| outgoing(case, fixed));
}

#[test]
fn a_journal_that_nobody_waits_for_loses_and_repeats_no_more_than_it_says() {
    everywhere(Durability::Async, AckMode::Automatic, false, |case| outgoing(case, heap));
}

/// [5.0 MQTT-4.3.3-10]
#[test]
fn messages_are_never_lost_and_repeated_only_with_a_mark() {
    everywhere(Durability::BeforeSend, AckMode::Automatic, false, |case| incoming(case, heap));
    everywhere(Durability::BeforeSend, AckMode::Automatic, false, |case| incoming(case, fixed));
}

#[test]
fn an_application_that_commits_before_it_acknowledges_has_each_message_once() {
    everywhere(Durability::BeforeSend, AckMode::Manual, false, |case| incoming(case, heap));
    everywhere(Durability::BeforeSend, AckMode::Manual, false, |case| incoming(case, fixed));
}

#[test]
fn messages_survive_with_a_journal_that_nobody_waits_for() {
    everywhere(Durability::Async, AckMode::Automatic, false, |case| incoming(case, heap));
    everywhere(Durability::Async, AckMode::Manual, false, |case| incoming(case, heap));
}

/// A message that was told to be durable arrives even then, if need be twice.
#[test]
fn a_server_that_loses_the_session_too_loses_no_durable_message() {
    everywhere(Durability::BeforeSend, AckMode::Automatic, true, |case| outgoing(case, heap));
}
