// The world of the guide's examples: a driver without a network, a clock that only moves when told, and a server that
// says what the example wants it to say. Input is never given back, so that events and packets may be kept.

use core::time::Duration;
use mqtt_session::proto::{
    Connack, Connect, Encode, Packet, Peer, Properties, Property, ReasonCode, Version, frame_len,
};
use mqtt_session::{Closed, Command, ConnectOptions, Event, Instant, Key, Session, Storage};
use std::collections::BTreeMap;

pub struct Server {
    pub now: Instant,
    /// The version of the connection.
    pub version: Version,
    /// The server of the list that `Command::Open` named last.
    pub dialled: u8,
    /// What the journal holds.
    pub journal: BTreeMap<Key, Vec<u8>>,
    sent: Vec<u8>,
    /// `Command::Open` was given, and not answered yet.
    dialling: bool,
}

impl Server {
    pub fn new() -> Self {
        Self {
            now: Instant::ZERO,
            version: Version::V5,
            dialled: 0,
            journal: BTreeMap::new(),
            sent: Vec::new(),
            dialling: false,
        }
    }

    /// Carries out commands, looks after deadlines and takes what leaves, until nothing is left to do.
    pub fn drives<S: Storage>(&mut self, session: &mut Session<S>) -> Vec<Event<'static>> {
        let mut events = Vec::new();
        loop {
            let moved = self.take(session);
            let told = events.len();
            events.extend(core::iter::from_fn(|| session.poll_event()));
            let mut answered = None;
            match session.poll_command() {
                Some(Command::Put { key, record }) => {
                    self.journal.insert(key, record.chunks().concat());
                    answered = Some(key);
                }
                Some(Command::Delete { key }) => {
                    self.journal.remove(&key);
                    answered = Some(key);
                }
                Some(Command::Close) => session.closed(Closed::Carried, self.now),
                Some(Command::Open { server, .. }) => (self.dialled, self.dialling) = (server, true),
                _ if moved || events.len() > told => {}
                _ => return events,
            }
            if let Some(key) = answered {
                session.stored(key);
            }
        }
    }

    fn take<S: Storage>(&mut self, session: &mut Session<S>) -> bool {
        let mut outgoing = session.outgoing(self.now);
        let before = self.sent.len();
        while !outgoing.is_empty() {
            let [first, lent, last] = outgoing.chunks();
            let count = first.len() + lent.len() + last.len();
            self.sent.extend([first, lent, last].concat());
            outgoing.advance(count);
        }
        self.sent.len() > before
    }

    /// Time passes until the session wants to connect.
    pub fn dials<S: Storage>(&mut self, session: &mut Session<S>) -> Vec<Event<'static>> {
        let mut events = self.drives(session);
        while !self.dialling {
            self.now = self.now.max(session.poll_timeout().expect("another attempt"));
            session.handle_timeout(self.now);
            events.extend(self.drives(session));
        }
        events
    }

    /// The transport is connected; the CONNECT that leaves.
    pub fn opens<S: Storage>(
        &mut self,
        session: &mut Session<S>,
        options: &ConnectOptions<'_>,
    ) -> Connect<'static> {
        self.dials(session);
        self.dialling = false;
        session.opened(options, self.now);
        self.take(session);
        let frame = self.sent.split_off(0).leak();
        let connect = Connect::decode(frame, options.version, Peer::Client).expect("CONNECT");
        self.version = connect.version;
        connect
    }

    /// The server accepts the connection; what that brings.
    pub fn accepts<S: Storage>(
        &mut self,
        session: &mut Session<S>,
        session_present: bool,
        properties: &[Property<'_>],
    ) -> Vec<Event<'static>> {
        let properties = Properties::List(properties);
        self.sends(session, Connack { session_present, reason_code: ReasonCode::Success, properties })
    }

    /// A whole connection, to a server without limits.
    pub fn connects<S: Storage>(session: &mut Session<S>, options: &ConnectOptions<'_>) -> Self {
        let mut server = Self::new();
        session.start(options).expect("good options");
        server.opens(session, options);
        server.accepts(session, false, &[]);
        server
    }

    /// The server sends a packet; what that brings.
    pub fn sends<'p, S: Storage>(
        &mut self,
        session: &mut Session<S>,
        packet: impl Into<Packet<'p>>,
    ) -> Vec<Event<'static>> {
        let packet = packet.into();
        let mut bytes = vec![0; packet.encoded_len(self.version).expect("a packet")];
        packet.encode(self.version, &mut bytes).expect("a packet");
        self.sends_bytes(session, &bytes)
    }

    pub fn sends_bytes<S: Storage>(&mut self, session: &mut Session<S>, bytes: &[u8]) -> Vec<Event<'static>> {
        let mut input: &'static [u8] = bytes.to_vec().leak();
        let mut events = self.drives(session);
        while let Some(event) = session.receive(&mut input, self.now) {
            events.push(event);
        }
        events.extend(self.drives(session));
        events
    }

    /// What the server has received since it was last asked.
    pub fn received<S: Storage>(&mut self, session: &mut Session<S>) -> Vec<Packet<'static>> {
        self.drives(session);
        let mut rest: &'static [u8] = self.sent.split_off(0).leak();
        let mut packets = Vec::new();
        while let Some(len) = frame_len(rest, usize::MAX).expect("a header") {
            let (frame, behind) = rest.split_at(len);
            packets.push(Packet::decode(frame, self.version, Peer::Client).expect("a good packet"));
            rest = behind;
        }
        packets
    }

    /// The connection breaks.
    pub fn cuts<S: Storage>(&mut self, session: &mut Session<S>) -> Vec<Event<'static>> {
        self.dialling = false;
        session.closed(Closed::Failed, self.now);
        self.sent.clear();
        self.drives(session)
    }

    /// Time passes, and every deadline on the way is kept.
    pub fn waits<S: Storage>(&mut self, session: &mut Session<S>, span: Duration) -> Vec<Event<'static>> {
        let end = self.now.after(span);
        let mut events = self.drives(session);
        while let Some(due) = session.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            session.handle_timeout(self.now);
            events.extend(self.drives(session));
        }
        self.now = end;
        events
    }

    /// A cut, then a new connection; the server still has the session, or not.
    pub fn reconnects<S: Storage>(
        &mut self,
        session: &mut Session<S>,
        options: &ConnectOptions<'_>,
        session_present: bool,
    ) -> Vec<Event<'static>> {
        let mut events = self.cuts(session);
        events.extend(self.dials(session));
        self.opens(session, options);
        events.extend(self.accepts(session, session_present, &[]));
        events
    }
}
