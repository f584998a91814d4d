//! A tiny language in which a test of the session reads like a capture.
//!
//! The test plays the server and the clock: `send` gives the session a packet, `expect` takes the next
//! packet the session sent, `after` lets time pass, `cut` breaks the connection. Every scenario runs on
//! both storages, and with input whole and byte by byte.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use mqtt_session::proto::{
    Connack, Encode, Packet, PacketId, Peer, Properties, Property, Qos, ReasonCode, TopicName, Version,
    frame_len,
};
use mqtt_session::tape::{Log, Track, replay};
use mqtt_session::{
    AckToken, Closed, Command, Config, ConnectOptions, Event, FixedSession, HeapSession, Instant, Key,
    Message, Outcome, Session, Storage, Token, Why,
};

/// Memory of the fixed sessions: 1 KiB of it is the outgoing buffer.
pub const MEMORY: usize = 4096;
pub const OUT: usize = 16;
pub const IN: usize = 8;
pub type Small = FixedSession<[u8; MEMORY], OUT, IN>;

/// Limits that both storages can hold.
pub fn config() -> Config {
    let mut config = Config::new(1);
    config.wire_bytes = 1024;
    config.queue_bytes = MEMORY - 1024;
    config.max_operations = OUT as u32;
    config.max_in_flight = OUT as u16;
    config.receive_maximum = IN as u16;
    config.max_packet_in = 512;
    config
}

/// What an event said, without what it borrowed.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    Connecting {
        attempt: u32,
        server: u8,
    },
    Connected {
        session_present: bool,
        resumed: bool,
    },
    Disconnected {
        why: Why,
        retry: Option<Duration>,
    },
    SessionLost {
        republished: u32,
        ended: u32,
    },
    Message {
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
        retain: bool,
        dup: bool,
        properties: Vec<String>,
        ack: Option<AckToken>,
    },
    Start {
        topic: String,
        qos: Qos,
        retain: bool,
        dup: bool,
        len: u32,
    },
    /// Chunks in a row are one: where they are parted depends on how the input came.
    Chunk(Vec<u8>),
    End {
        ack: Option<AckToken>,
    },
    Aborted,
    PayloadWanted {
        token: Token,
        offset: u32,
    },
    Skipped(u32),
    Done {
        token: Token,
        tag: u64,
        outcome: String,
    },
    Suspect(Token),
    SubscriptionLost(Token),
    Durable(Token),
    Resubscribed {
        token: Token,
        codes: Vec<ReasonCode>,
    },
    Auth {
        code: ReasonCode,
        method: Option<String>,
        data: Option<Vec<u8>>,
    },
    ServerClosing {
        code: ReasonCode,
        reference: Option<String>,
        reason: Option<String>,
    },
    Unblocked,
    Anomaly(u16),
    Odd(mqtt_session::Anomaly),
    Stopped {
        left: u32,
    },
}

impl Seen {
    pub fn of<S: Storage>(session: &Session<S>, event: &Event<'_>) -> Self {
        match event {
            Event::Connecting { attempt, server } => Self::Connecting { attempt: *attempt, server: *server },
            Event::Connected(up) => {
                Self::Connected { session_present: up.session_present, resumed: up.resumed }
            }
            Event::Disconnected { why, retry } => Self::Disconnected { why: *why, retry: *retry },
            Event::SessionLost { republished, ended } => {
                Self::SessionLost { republished: *republished, ended: *ended }
            }
            Event::Message(message) => Self::Message {
                topic: session.topic(message).to_owned(),
                payload: message.payload.to_vec(),
                qos: message.qos,
                retain: message.retain,
                dup: message.dup,
                properties: message.properties.iter().map(|property| format!("{property:?}")).collect(),
                ack: message.ack,
            },
            Event::Start { message, len } => Self::Start {
                topic: session.topic(message).to_owned(),
                qos: message.qos,
                retain: message.retain,
                dup: message.dup,
                len: *len,
            },
            Event::Chunk(part) => Self::Chunk(part.to_vec()),
            Event::End { ack, .. } => Self::End { ack: *ack },
            Event::Aborted => Self::Aborted,
            Event::PayloadWanted { token, offset } => Self::PayloadWanted { token: *token, offset: *offset },
            Event::Skipped { len } => Self::Skipped(*len),
            Event::Done { token, tag, outcome, .. } => {
                Self::Done { token: *token, tag: *tag, outcome: outcome_text(outcome) }
            }
            Event::Resubscribed { token, codes, .. } => {
                Self::Resubscribed { token: *token, codes: codes.iter().collect() }
            }
            Event::SubscriptionLost { token, .. } => Self::SubscriptionLost(*token),
            Event::Suspect { token } => Self::Suspect(*token),
            Event::Durable { token } => Self::Durable(*token),
            Event::Auth(auth) => Self::Auth {
                code: auth.reason_code,
                method: auth.properties.authentication_method().map(str::to_owned),
                data: auth.properties.authentication_data().map(<[u8]>::to_vec),
            },
            Event::ServerClosing { reason_code, properties } => Self::ServerClosing {
                code: *reason_code,
                reference: properties.server_reference().map(str::to_owned),
                reason: properties.reason_string().map(str::to_owned),
            },
            Event::Unblocked => Self::Unblocked,
            Event::Anomaly(mqtt_session::Anomaly::UnexpectedAck(id)) => Self::Anomaly(id.get()),
            Event::Anomaly(other) => Self::Odd(*other),
            Event::Stopped { left } => Self::Stopped { left: *left },
            other => panic!("an event the tests do not know: {other:?}"),
        }
    }
}

pub fn outcome_text(outcome: &Outcome<'_>) -> String {
    match outcome {
        Outcome::Granted(codes) => format!("Granted({:?})", codes.iter().collect::<Vec<_>>()),
        other => format!("{other:?}"),
    }
}

/// One session, its peer and its clock.
pub struct Trace<S: Storage> {
    pub session: Session<S>,
    pub options: ConnectOptions<'static>,
    pub now: Instant,
    /// Bytes of input given at a time.
    step: usize,
    /// Whether the transport takes bytes.
    pub writable: bool,
    sent: VecDeque<u8>,
    input: Vec<u8>,
    seen: VecDeque<Seen>,
    commands: VecDeque<Command<'static>>,
    /// What the journal holds.
    pub journal: BTreeMap<Key, Vec<u8>>,
    /// Whether the journal answers at once.
    pub syncs: bool,
    /// Keys the journal has not answered for yet, in order; false: of a `Delete`.
    pub unanswered: VecDeque<(Key, bool)>,
    /// Of each message that arrived, whether an earlier run may have had it.
    pub redelivered: Vec<bool>,
    /// Every call of the session, where it is recorded.
    tape: Option<(Log<Vec<u8>>, Track)>,
}

impl Trace<mqtt_session::Heap> {
    pub fn heap(config: Config, step: usize) -> Self {
        Self::new(HeapSession::new(config), step)
    }
}

impl Trace<mqtt_session::Fixed<[u8; MEMORY], OUT, IN>> {
    pub fn fixed(config: Config, step: usize) -> Self {
        Self::new(Small::new([0; MEMORY], config), step)
    }
}

impl<S: Storage> Trace<S> {
    pub fn new(session: Session<S>, step: usize) -> Self {
        Self {
            session,
            options: ConnectOptions::new("tester"),
            now: Instant::from_micros(1_000),
            step,
            writable: true,
            sent: VecDeque::new(),
            input: Vec::new(),
            seen: VecDeque::new(),
            commands: VecDeque::new(),
            journal: BTreeMap::new(),
            syncs: true,
            unanswered: VecDeque::new(),
            redelivered: Vec::new(),
            tape: None,
        }
    }

    /// Records every call from now on.
    pub fn recorded(mut self) -> Self {
        let mut log = Log::new(Vec::new()).unwrap();
        let track = log.track(&mut self.session, "scenario").unwrap();
        self.tape = Some((log, track));
        self
    }

    /// What was recorded runs again, bit for bit.
    pub fn replay(&mut self) {
        if let Some((mut log, track)) = self.tape.take() {
            log.take(track, &mut self.session).unwrap();
            replay(&log.finish().unwrap()[..]).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    pub fn version(&self) -> Version {
        self.options.version
    }

    /// Drains every output of the session, as a driver does after anything it did.
    pub fn drain(&mut self) {
        for _ in 0..10_000 {
            let mut idle = true;
            while self.carry_out() {
                idle = false;
            }
            if self.syncs {
                for (key, _) in core::mem::take(&mut self.unanswered) {
                    self.session.stored(key);
                }
            }
            while let Some(event) = self.session.poll_event() {
                let seen = Seen::of(&self.session, &event);
                self.seen.push_back(seen);
                idle = false;
            }
            if self.writable {
                let mut buffer = [0; 97];
                let count = self.session.outgoing(self.now).copy_to(&mut buffer);
                self.sent.extend(&buffer[..count]);
                idle &= count == 0;
            }
            let held = self.input.len();
            self.feed();
            idle &= self.input.len() == held;
            if idle && self.session.poll_timeout().is_none_or(|due| due > self.now) {
                return;
            }
            if idle {
                self.session.handle_timeout(self.now);
            }
        }
        panic!("livelock: the session always has something to do");
    }

    /// The program ends without a word, and another one takes over what the journal holds.
    pub fn restart(&mut self, mut session: Session<S>) {
        if let Some((log, track)) = &mut self.tape {
            log.take(*track, &mut self.session).unwrap();
            *track = log.track(&mut session, "scenario, after a restart").unwrap();
        }
        self.session = session;
        self.sent.clear();
        self.input.clear();
        self.seen.clear();
        self.commands.clear();
        self.unanswered.clear();
        for (key, record) in &self.journal {
            self.session.restore(*key, record, None).expect("what was stored");
        }
    }

    /// The journal answers for what it was given last, or before that.
    pub fn sync(&mut self) {
        self.drain();
        while let Some((key, _)) = self.unanswered.pop_back() {
            self.session.stored(key);
            self.drain();
        }
    }

    /// Carries out the next command. False: there is none.
    pub fn carry_out(&mut self) -> bool {
        match self.session.poll_command() {
            None => return false,
            Some(Command::Put { key, record }) => {
                self.journal.insert(key, record.chunks().concat());
                self.unanswered.push_back((key, true));
            }
            Some(Command::Delete { key }) => {
                self.journal.remove(&key);
                self.unanswered.push_back((key, false));
            }
            Some(Command::Open { attempt, server }) => {
                self.commands.push_back(Command::Open { attempt, server });
            }
            Some(Command::Close) => self.commands.push_back(Command::Close),
            Some(other) => panic!("a command the tests do not know: {other:?}"),
        }
        true
    }

    fn feed(&mut self) {
        let input = core::mem::take(&mut self.input);
        let mut rest = &input[..];
        while let Some(event) = self.session.receive(&mut rest, self.now) {
            let seen = Seen::of(&self.session, &event);
            if let Event::Message(message) = &event {
                self.redelivered.push(message.redelivered);
            }
            match (self.seen.back_mut(), seen) {
                (Some(Seen::Chunk(before)), Seen::Chunk(part)) => before.extend(part),
                (_, seen) => self.seen.push_back(seen),
            }
        }
        self.input = rest.to_vec();
    }

    /// The server sends these bytes.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.drain();
        for piece in bytes.chunks(self.step.min(bytes.len().max(1))) {
            self.input.extend_from_slice(piece);
            self.feed();
            self.drain();
        }
    }

    /// The server sends this packet.
    pub fn send<'p>(&mut self, packet: impl Into<Packet<'p>>) {
        let packet = packet.into();
        let mut bytes = vec![0; packet.encoded_len(self.version()).unwrap()];
        packet.encode(self.version(), &mut bytes).unwrap();
        self.send_bytes(&bytes);
    }

    /// The next packet the session sent is this one.
    pub fn expect<'p>(&mut self, packet: impl Into<Packet<'p>>) {
        let packet = packet.into();
        let frame = self.next_frame().unwrap_or_else(|| panic!("nothing was sent, expected {packet:?}"));
        let sent =
            Packet::decode(&frame, self.version(), Peer::Client).expect("the session sent a bad packet");
        assert_eq!(sent, packet);
    }

    /// The next packet the session sent, as bytes.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.drain();
        let bytes = self.sent.make_contiguous();
        let len = frame_len(bytes, usize::MAX).expect("the session sent a bad header")?;
        Some(self.sent.drain(..len).collect())
    }

    /// The bytes sent so far that were not looked at.
    pub fn take_sent(&mut self) -> Vec<u8> {
        self.drain();
        self.sent.drain(..).collect()
    }

    /// Nothing more was sent.
    pub fn expect_silence(&mut self) {
        self.drain();
        assert!(self.sent.is_empty(), "sent: {:02x?}", self.sent);
    }

    /// Time passes; every deadline on the way is kept.
    pub fn after(&mut self, span: Duration) {
        let end = self.now.after(span);
        self.drain();
        while let Some(due) = self.session.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.drain();
    }

    /// Time passes until the next deadline: where nothing else is due, the next attempt.
    pub fn after_backoff(&mut self) {
        let due = self.session.poll_timeout().expect("a deadline");
        self.after(due.since(self.now));
    }

    /// The connection breaks; what was not taken from the session is lost.
    pub fn cut(&mut self) {
        self.close(Closed::Failed);
    }

    pub fn close(&mut self, closed: Closed) {
        self.sent.clear();
        self.input.clear();
        self.session.closed(closed, self.now);
        self.drain();
    }

    /// The transport takes exactly `count` bytes and then no more.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        assert!(!self.writable, "set writable to false first");
        let mut buffer = vec![0; count];
        let taken = self.session.outgoing(self.now).copy_to(&mut buffer);
        assert_eq!(taken, count, "there are not so many bytes to take");
        buffer
    }

    /// The next event.
    pub fn event(&mut self) -> Seen {
        self.drain();
        self.seen.pop_front().expect("an event")
    }

    /// Takes out the first event that is wanted, wherever it stands.
    pub fn take_event<T>(&mut self, wanted: impl Fn(&Seen) -> Option<T>) -> Option<T> {
        let (place, found) =
            self.seen.iter().enumerate().find_map(|(place, seen)| Some((place, wanted(seen)?)))?;
        self.seen.remove(place);
        Some(found)
    }

    /// The next event is this one.
    pub fn see(&mut self, want: Seen) {
        assert_eq!(self.event(), want);
    }

    pub fn see_nothing(&mut self) {
        self.drain();
        assert_eq!(self.seen, []);
    }

    /// All events there are.
    pub fn events(&mut self) -> Vec<Seen> {
        self.drain();
        self.seen.drain(..).collect()
    }

    pub fn done(&mut self, token: Token, outcome: &str) {
        match self.event() {
            Seen::Done { token: ended, outcome: how, .. } => {
                assert_eq!((ended, how.as_str()), (token, outcome))
            }
            other => panic!("expected Done {outcome}, got {other:?}"),
        }
    }

    pub fn command(&mut self) -> Option<Command<'static>> {
        self.drain();
        self.commands.pop_front()
    }

    /// Starts, dials and sends CONNECT; returns its frame.
    pub fn open(&mut self) -> Vec<u8> {
        // Harmless where it runs already.
        let _ = self.session.start(&self.options);
        self.drain();
        for _ in 0..100 {
            if let Some(command) = self.command() {
                assert!(matches!(command, Command::Open { .. }), "{command:?}");
                self.session.opened(&self.options, self.now);
                let frame = self.next_frame().expect("CONNECT");
                assert_eq!(frame[0], 0x10, "CONNECT");
                self.seen.retain(|seen| !matches!(seen, Seen::Connecting { .. }));
                return frame;
            }
            self.after_backoff();
        }
        panic!("no attempt to connect");
    }

    /// Connects with the version the session tries this time, which is then the version of the trace.
    pub fn open_any(&mut self) -> Version {
        let frame = self.open();
        // Name and level: "MQIsdp" 3, "MQTT" 4 or 5.
        let level = frame[2 + 2 + usize::from(frame[3])];
        self.options.version = match level {
            3 => Version::V3_1,
            4 => Version::V3_1_1,
            _ => Version::V5,
        };
        self.options.version
    }

    /// Connects; the server answers with Session Present and these properties.
    pub fn connect_with(&mut self, session_present: bool, properties: &[Property<'_>]) {
        self.open();
        self.seen.clear();
        let list = if self.version() == Version::V5 { properties } else { &[] };
        let session_present = session_present && self.version() != Version::V3_1;
        self.send(Packet::Connack(Connack {
            session_present,
            reason_code: ReasonCode::Success,
            properties: Properties::List(list),
        }));
        match self.event() {
            Seen::Connected { session_present: told, .. } => assert_eq!(told, session_present),
            other => panic!("expected Connected, got {other:?}"),
        }
    }

    /// The server accepts a connection that was opened.
    pub fn connect_accepted(&mut self) {
        self.send(Packet::Connack(Connack {
            session_present: false,
            reason_code: ReasonCode::Success,
            properties: Properties::EMPTY,
        }));
    }

    pub fn connect(&mut self) {
        self.connect_with(false, &[]);
    }

    pub fn resume(&mut self) {
        self.connect_with(true, &[]);
    }

    /// Publishes a message that must be accepted.
    pub fn publish(&mut self, topic: &str, qos: Qos, payload: &[u8]) -> Token {
        let message = Message::new(TopicName::new(topic).unwrap()).qos(qos);
        let token = self.session.publish(&message, payload.into()).map_err(|refused| refused.reason);
        token.expect("accepted")
    }

    /// The session ends the connection, with or without a last word.
    pub fn expect_closing(&mut self) -> Why {
        self.drain();
        self.sent.clear();
        self.closes_somehow()
    }

    /// The session wants the transport closed, and tells why once it is.
    pub fn closes_somehow(&mut self) -> Why {
        assert_eq!(self.command(), Some(Command::Close));
        self.close(Closed::Carried);
        loop {
            if let Seen::Disconnected { why, .. } = self.event() {
                return why;
            }
        }
    }

    /// In 5.0 DISCONNECT with this code was sent; in any version the connection is closed.
    pub fn refuses(&mut self, code: ReasonCode) -> Why {
        if self.version() == Version::V5 {
            let frame = self.next_frame().expect("DISCONNECT");
            assert_eq!((frame[0], frame[2]), (0xE0, code as u8), "{frame:02x?}");
        }
        self.expect_silence();
        self.closes_somehow()
    }
}

pub fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

pub const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5];

/// Defines a test that runs on both storages, whole and byte by byte; `versions` runs it for each of
/// them, otherwise it is for 5.0.
#[macro_export]
macro_rules! scenario {
    ($(#[$meta:meta])* $name:ident, |$t:ident| $body:block) => {
        $crate::scenario!($(#[$meta])* $name, [Version::V5], |_c| {}, |$t| $body);
    };
    ($(#[$meta:meta])* $name:ident, $versions:expr, |$t:ident| $body:block) => {
        $crate::scenario!($(#[$meta])* $name, $versions, |_c| {}, |$t| $body);
    };
    ($(#[$meta:meta])* $name:ident, $versions:expr, |$c:ident| $set:block, |$t:ident| $body:block) => {
        $(#[$meta])*
        #[test]
        fn $name() {
            fn go<S: mqtt_session::Storage>($t: &mut $crate::common::Trace<S>) $body
            #[allow(unused_mut)]
            let mut config = $crate::common::config();
            {
                let $c = &mut config;
                $set
            }
            for version in $versions {
                for step in [usize::MAX, 1] {
                    let mut heap = $crate::common::Trace::heap(config, step);
                    heap.options.version = version;
                    go(&mut heap);
                    let mut fixed = $crate::common::Trace::fixed(config, step);
                    fixed.options.version = version;
                    go(&mut fixed);
                }
                let mut heap = $crate::common::Trace::heap(config, usize::MAX).recorded();
                heap.options.version = version;
                go(&mut heap);
                heap.replay();
                let mut fixed = $crate::common::Trace::fixed(config, 1).recorded();
                fixed.options.version = version;
                go(&mut fixed);
                fixed.replay();
            }
        }
    };
}
