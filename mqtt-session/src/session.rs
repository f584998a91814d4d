//! The session: a thin shell that gives the core its tables and lets them grow.

use core::time::Duration;

use mqtt_proto::{Auth, Properties, Qos, ReasonCode, Subscription, TopicFilter};

use crate::config::Config;
use crate::engine::{Accepted, Body, Core, Filters, Give, Provided, Straight};
use crate::error::{
    AckError, AuthError, ProvideError, PublishError, Refused, RestoreError, StartError, StopError,
    SubscribeError,
};
use crate::event::{Closed, Command, Event, Received};
use crate::limits::ServerLimits;
use crate::options::{ConnectOptions, Message, Stop};
use crate::outgoing::Outgoing;
use crate::record::{Key, Record};
use crate::stats::Stats;
use crate::storage::{Fixed, Storage};
use crate::time::Instant;
use crate::token::{AckToken, Token};

/// An MQTT client without input or output: bytes and times in, bytes and events out.
///
/// # Commands
/// What the application wants: [`start`](Self::start), [`stop`](Self::stop), [`publish`](Self::publish),
/// [`subscribe`](Self::subscribe), [`unsubscribe`](Self::unsubscribe), [`acknowledge`](Self::acknowledge),
/// [`publish_chunked`](Self::publish_chunked), [`provide`](Self::provide),
/// [`authenticate`](Self::authenticate), [`cancel`](Self::cancel), [`check_link`](Self::check_link),
/// [`hold_input`](Self::hold_input). They never take the time: a deadline they begin counts from the next
/// time the session is told, and until then `poll_timeout` says "now".
///
/// # Inputs
/// What the world did: [`opened`](Self::opened), [`closed`](Self::closed), [`receive`](Self::receive),
/// [`handle_timeout`](Self::handle_timeout), [`stored`](Self::stored), [`not_stored`](Self::not_stored),
/// and before everything else [`restore`](Self::restore). They cannot fail: a broken server, a late call and a clock
/// that steps back are all answered by events.
///
/// # Outputs
/// [`poll_command`](Self::poll_command), [`poll_event`](Self::poll_event),
/// [`poll_timeout`](Self::poll_timeout), [`outgoing`](Self::outgoing): O(1), to be drained in any order
/// after anything else was called. Skipping one only delays things.
///
/// # Questions
/// [`topic`](Self::topic), [`redirect`](Self::redirect), [`read_hint`](Self::read_hint),
/// [`wants_read`](Self::wants_read),
/// [`can_publish`](Self::can_publish), [`is_connected`](Self::is_connected), [`pending`](Self::pending),
/// [`assigned_client_id`](Self::assigned_client_id),
/// [`server`](Self::server), [`stats`](Self::stats).
#[derive(Clone, Debug)]
pub struct Session<S: Storage> {
    core: Core,
    store: S,
}

/// A session with memory from the heap.
#[cfg(feature = "alloc")]
pub type HeapSession = Session<crate::storage::Heap>;

/// A session whose memory is all inside it: see [`Fixed`].
pub type FixedSession<B, const OUT: usize, const IN: usize> = Session<Fixed<B, OUT, IN>>;

#[cfg(feature = "alloc")]
impl Session<crate::storage::Heap> {
    /// A session that allocates on demand, within the limits of `config`.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        let store = crate::storage::Heap::new(&config);
        Self { core: Core::new(config), store }
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, const OUT: usize, const IN: usize> Session<Fixed<B, OUT, IN>> {
    /// A session in the memory given: it fits a `static`.
    ///
    /// `config.wire_bytes` of `memory`, at most half, are the outgoing buffer, in which CONNECT and the
    /// head of every message must fit; the rest keeps operations.
    ///
    /// ```
    /// use mqtt_session::{Config, FixedSession};
    ///
    /// static SESSION: FixedSession<[u8; 2048], 8, 4> = FixedSession::new([0; 2048], Config::new(1));
    /// ```
    #[must_use]
    pub const fn new(memory: B, config: Config) -> Self {
        Self { core: Core::new(config), store: Fixed::new(memory, config.wire_bytes) }
    }
}

/// Runs a step of the core, letting the table grow that it asks for, until it needs no more.
macro_rules! until_roomy {
    ($session:ident, $step:expr) => {
        while let Some((table, len)) = $step {
            $session.store.reserve(table, len);
        }
    };
}

impl<S: Storage> Session<S> {
    // ---- commands ----------------------------------------------------------------------------

    /// Begins to connect, and to connect again whenever the connection is lost.
    ///
    /// # Errors
    /// When the session runs already, or no CONNECT can be made of the options.
    pub fn start(&mut self, options: &ConnectOptions<'_>) -> Result<(), StartError> {
        self.bind();
        self.core.start(&mut self.store.tables(), options)
    }

    /// Ends the run: refuses new work, delivers what was accepted until the deadline, sends DISCONNECT,
    /// closes, and tells `Event::Stopped`. Called again, it can only shorten the wait
    /// ([`Stop::now`]). What was not finished ends as `Outcome::Stopped`; should it have been half
    /// done, the next connection of this session begins a new session on the server.
    ///
    /// ```
    /// use mqtt_session::proto::{Properties, Property};
    /// use mqtt_session::{Config, ConnectOptions, HeapSession, Stop};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut session = HeapSession::new(Config::new(1));
    /// session.start(&ConnectOptions { session_expiry: 60, ..ConnectOptions::new("lamp") })?;
    /// let hour = [Property::SessionExpiryInterval(3_600)];
    /// session.stop(Stop::now().with_will().properties(Properties::List(&hour)))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When DISCONNECT could not say what is asked for; nothing happens then. Without a reason and without
    /// properties of its own it never fails.
    pub fn stop(&mut self, how: Stop<'_>) -> Result<(), StopError> {
        self.bind();
        let len = self.core.plan_farewell(&how)?;
        if len != 0 {
            until_roomy!(self, self.core.room_for_bytes(&mut self.store.tables(), len));
            self.core.keep_farewell(&mut self.store.tables(), how.properties, len);
        }
        self.core.stop(&mut self.store.tables(), &how);
        Ok(())
    }

    /// Accepts a message for delivery, connected or not. It is copied once (a large shared payload is
    /// not copied at all) and waits for the transport, for the server's quota, or for a connection.
    ///
    /// At QoS 1 and 2 exactly one `Event::Done` follows; at QoS 0 only with `Config::qos0_receipts`.
    ///
    /// Where a message may leave at once (connected, nothing waits before it, the server's quota and the outgoing
    /// buffer have room) this call hands it out: it lies in the outgoing buffer and can no longer be cancelled or
    /// give way to another. At QoS 0 a cut before it left loses it; at QoS 1 and 2 it then waits again. A message
    /// with a `ttl`, a `key` or properties at QoS 1 or 2 always waits for the next `outgoing`.
    ///
    /// O(length), or O(`Config::queue_bytes`) when the memory has to be squeezed. Allocates only to
    /// grow beyond what was ever in use.
    ///
    /// # Errors
    /// The payload comes back with the reason.
    pub fn publish<'p>(
        &mut self,
        message: &Message<'_>,
        payload: S::Payload<'p>,
    ) -> Result<Token, Refused<S::Payload<'p>>> {
        self.bind();
        let shared = S::can_share(&payload);
        let body = if shared { Body::Shared } else { Body::Copied };
        loop {
            match self.core.publish(&mut self.store.tables(), message, payload.as_ref(), body) {
                Accepted::Handed(token) => return Ok(token),
                Accepted::Kept(token) => {
                    if shared {
                        self.store.share(token.index(), payload);
                    }
                    return Ok(token);
                }
                Accepted::Need(table, len) => self.store.reserve(table, len),
                Accepted::Refused(reason) => return Err(Refused { reason, payload }),
            }
        }
    }

    /// Accepts a message whose payload, of `len` bytes, is not given but asked for while it is sent:
    /// `Event::PayloadWanted` names the place, [`provide`](Self::provide) gives the bytes. So a payload can be
    /// larger than all memory. Only the head is kept, and counts against `Config::queue_bytes`.
    ///
    /// * It is one packet: while its payload is awaited nothing else is sent, not even an acknowledgement or a
    ///   ping. Provide it promptly. A server may close a connection on which no packet was completed for 1.5
    ///   keep-alive intervals: choose `ConnectOptions::keep_alive` for the longest one.
    /// * Sent again after a cut, the payload is asked for from its first byte: the source must be able to give
    ///   the same bytes again until `Event::Done`, which comes at QoS 0 too.
    /// * A source that does not answer within `Config::source_timeout` ends the connection, and its message as
    ///   `Outcome::Abandoned`.
    ///
    /// `WhenFull`, `Message::key` and `Message::ttl` act as for any message of which no byte was sent. O(head).
    ///
    /// ```
    /// use mqtt_session::proto::{Qos, TopicName};
    /// use mqtt_session::{Config, Event, HeapSession, Message, Outcome};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let image = vec![7; 1_000_000]; // a file, a flash chip
    /// let mut session = HeapSession::new(Config::new(1));
    /// let message = Message::new(TopicName::new("camera/1")?).qos(Qos::AtLeastOnce);
    /// let token = session.publish_chunked(&message, 1_000_000)?;
    ///
    /// // Whenever events are fetched:
    /// while let Some(event) = session.poll_event() {
    ///     match event {
    ///         Event::PayloadWanted { token, offset } => {
    ///             let piece = image[offset as usize..].chunks(4096).next().unwrap_or_default();
    ///             let _taken = session.provide(token, offset, piece)?; // what it did not take it asks for again
    ///         }
    ///         Event::Done { token, outcome, .. } => println!("{token:?}: {outcome:?}"),
    ///         _ => {}
    ///     }
    /// }
    /// # let _ = token;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub fn publish_chunked(&mut self, message: &Message<'_>, len: u32) -> Result<Token, PublishError> {
        self.bind();
        loop {
            match self.core.publish_sourced(&mut self.store.tables(), message, len) {
                Accepted::Handed(token) | Accepted::Kept(token) => return Ok(token),
                Accepted::Need(table, len) => self.store.reserve(table, len),
                Accepted::Refused(reason) => return Err(reason),
            }
        }
    }

    /// Gives the next piece of a payload that was asked for (`Event::PayloadWanted`): as many of `bytes` as
    /// there is room for are copied to the outgoing buffer. The number is returned; 0 where there is no room
    /// now. When there is room for more, the rest is asked for. It may be called again without being asked.
    ///
    /// # Errors
    /// Nothing is taken if this is not the packet in progress, not the next byte of it, or more than was
    /// announced.
    pub fn provide(&mut self, token: Token, offset: u32, bytes: &[u8]) -> Result<usize, ProvideError> {
        loop {
            match self.core.provide(&mut self.store.tables(), token, offset, bytes) {
                Provided::Taken(count) => return Ok(count),
                Provided::Need((table, len)) => self.store.reserve(table, len),
                Provided::Refused(error) => return Err(error),
            }
        }
    }

    /// Accepts a SUBSCRIBE; `Event::Done` brings the server's answer for each filter.
    ///
    /// # Errors
    /// When there is no room, or the server or the protocol does not allow it.
    pub fn subscribe(
        &mut self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, SubscribeError> {
        self.request(Filters::Subscribe(filters), properties)
    }

    /// Accepts an UNSUBSCRIBE; `Event::Done` brings the server's answer for each filter (none in 3.x).
    ///
    /// # Errors
    /// When there is no room, or the protocol does not allow it.
    pub fn unsubscribe(
        &mut self,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, SubscribeError> {
        self.request(Filters::Unsubscribe(filters), properties)
    }

    fn request(&mut self, filters: Filters<'_>, properties: Properties<'_>) -> Result<Token, SubscribeError> {
        self.bind();
        let plan = self.core.plan_filters(filters, properties)?;
        until_roomy!(self, self.core.room_in_tables(&mut self.store.tables(), &plan));
        self.core
            .accept_filters(&mut self.store.tables(), filters, properties, &plan)
            .ok_or(SubscribeError::BytesFull)
    }

    /// Acknowledges an inbound message (`AckMode::Manual`), in any order: on the wire the
    /// acknowledgements keep the order the messages came in. A reason code of 0x80 or above refuses the
    /// message (5.0; in 3.x it counts as success).
    ///
    /// `properties` explain it: a Reason String, User Properties (5.0; left out in 3.x). They are kept among the
    /// operations until the turn of the acknowledgement comes, and left out where `Config::queue_bytes` has no
    /// room for them, or where the packet would be longer than the server takes ([MQTT-3.4.2-2],
    /// [MQTT-3.4.2-3]): the acknowledgement itself always leaves. O(length), or O(`Config::queue_bytes`) when the
    /// memory has to be squeezed. Allocates only to grow beyond what was ever in use.
    ///
    /// ```
    /// use mqtt_session::proto::{Properties, Property, ReasonCode};
    /// use mqtt_session::{AckError, AckToken, Session, Storage};
    ///
    /// fn refuse<S: Storage>(session: &mut Session<S>, ack: AckToken) -> Result<(), AckError> {
    ///     let why = [Property::ReasonString("the disk is full")];
    ///     session.acknowledge(ack, ReasonCode::QuotaExceeded, Properties::List(&why))
    /// }
    /// ```
    ///
    /// # Errors
    /// A stale token, or a reason code or properties that PUBACK and PUBREC do not have; nothing happens then.
    pub fn acknowledge(
        &mut self,
        ack: AckToken,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), AckError> {
        let len = self.core.plan_acknowledge(&self.store.tables(), ack, reason, properties)?;
        if len != 0 {
            until_roomy!(self, self.core.room_for_bytes(&mut self.store.tables(), len));
        }
        self.core.acknowledge(&mut self.store.tables(), ack, reason, properties, len);
        Ok(())
    }

    /// Sends a step of an enhanced authentication (5.0): 0x18 answers an `Event::Auth` that asked for it,
    /// 0x19 begins a re-authentication on a connection that is up. The method is the one the properties of
    /// `ConnectOptions` named; each packet repeats it.
    ///
    /// The packet leaves with the next `outgoing`, behind what was handed out already; the session keeps
    /// nothing of it. The server's part comes as `Event::Auth` and, before the connection is up, ends with
    /// `Event::Connected`, whose CONNACK may carry authentication data too: where the method proves the
    /// *server*, check it there and [`stop`](Self::stop) if it is wrong, before the next `outgoing`.
    /// All steps together have `Config::connack_timeout`. A refusal is `Why::Refused` before the
    /// connection is up and `Why::ServerDisconnected` later. Copies the packet, O(length); allocates only
    /// to grow the outgoing buffer beyond what it ever was.
    ///
    /// ```
    /// use mqtt_session::proto::{Auth, Properties, Property, ReasonCode};
    /// use mqtt_session::{Config, ConnectOptions, Event, HeapSession, Instant};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let first = [Property::AuthenticationMethod("LEMMA"), Property::AuthenticationData(b"I am lamp")];
    /// let options = ConnectOptions { properties: Properties::List(&first), ..ConnectOptions::new("lamp") };
    /// let mut session = HeapSession::new(Config::new(1));
    /// session.start(&options)?;
    /// # while session.poll_event().is_some() {}
    /// # let _ = session.poll_command();
    /// session.opened(&options, Instant::ZERO);
    /// # session.outgoing(Instant::ZERO).advance(usize::MAX);
    /// let mut input = &b"\xF0\x10\x18\x0E\x15\x00\x05LEMMA\x16\x00\x03why"[..]; // AUTH, from the network
    /// while let Some(event) = session.receive(&mut input, Instant::ZERO) {
    ///     if let Event::Auth(Auth { reason_code: ReasonCode::ContinueAuthentication, properties }) = event {
    ///         assert_eq!(properties.authentication_data(), Some(&b"why"[..]));
    ///         let answer = [Property::AuthenticationMethod("LEMMA"), Property::AuthenticationData(b"because")];
    ///         session.authenticate(&Auth {
    ///             reason_code: ReasonCode::ContinueAuthentication,
    ///             properties: Properties::List(&answer),
    ///         })?;
    ///     }
    /// }
    /// assert_eq!(session.outgoing(Instant::ZERO).chunks()[0][0], 0xF0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When it is not the client's turn, the method is not the one of CONNECT, or there is no room.
    pub fn authenticate(&mut self, auth: &Auth<'_>) -> Result<(), AuthError> {
        self.bind();
        loop {
            match self.core.authenticate(&mut self.store.tables(), auth)? {
                None => return Ok(()),
                Some((table, len)) => self.store.reserve(table, len),
            }
        }
    }

    /// Takes an operation back that was not handed out yet (by `publish`, or by `outgoing`); its `Done` says
    /// `Outcome::Cancelled`. False: too late, or ended already. O(1).
    pub fn cancel(&mut self, token: Token) -> bool {
        self.bind();
        self.core.cancel(&mut self.store.tables(), token)
    }

    /// Sends a PINGREQ now and expects an answer in time: after a suspend, or a change of network.
    pub fn check_link(&mut self) {
        self.core.check_link();
    }

    /// Tells that the driver keeps input from the session, because the application is slow. Pings go
    /// out as always, but no answer is expected while nothing is read. Ends with the connection.
    pub fn hold_input(&mut self, held: bool) {
        self.core.hold_input(held);
    }

    // ---- inputs ------------------------------------------------------------------------------

    /// The transport is connected. The options are given again because credentials may have changed;
    /// even the version may be another than the one `start` was given.
    pub fn opened(&mut self, options: &ConnectOptions<'_>, now: Instant) {
        self.bind();
        until_roomy!(self, self.core.room_for_connect(&self.store.tables(), options));
        self.core.opened(&mut self.store.tables(), options, now);
    }

    /// The transport is gone, or could not be connected. Input that was not consumed is to be forgotten.
    pub fn closed(&mut self, closed: Closed, now: Instant) {
        self.bind();
        self.core.closed(&mut self.store.tables(), closed, now);
    }

    /// Takes packets from the front of `input` until one has something to tell. `None`: what is left in
    /// `input` is the beginning of a packet, or is held back because `wants_read` is false; give it again
    /// with what follows, or after the next flush.
    pub fn receive<'i>(&mut self, input: &mut &'i [u8], now: Instant) -> Option<Event<'i>> {
        self.bind();
        let mut event = None;
        let mut tables = self.store.tables();
        self.core.tell(now);
        loop {
            match self.core.receive_straight(&mut tables, input, &mut event) {
                Straight::Told => return event,
                Straight::Moved => {}
                Straight::Other => break,
            }
        }
        until_roomy!(self, self.core.receive(&mut self.store.tables(), input, now, &mut event));
        event
    }

    /// Time has passed. To be called when `poll_timeout` says so; any other time is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.bind();
        self.core.handle_timeout(&mut self.store.tables(), now);
        if let Some((arena, slots)) = self.core.quiet(&mut self.store.tables()) {
            self.store.shrink(arena, slots);
        }
    }

    /// The record of a `Command::Put` is stored, or that of a `Command::Delete` is deleted, and a crash
    /// cannot undo it. In any order; one `sync` may answer for many. O(1).
    pub fn stored(&mut self, key: Key) {
        self.core.stored(&mut self.store.tables(), key);
    }

    /// The record of a `Command::Put` or `Command::Delete` could not be stored or deleted, and will not be.
    ///
    /// With `Durability::BeforeSend` an operation of which nothing was sent ends as `Outcome::NotStored`, or
    /// goes on unrecorded (`Config::when_not_stored`); everything else goes on as if it had been stored, so
    /// that the session never hangs. O(1).
    pub fn not_stored(&mut self, key: Key) {
        self.core.not_stored(&mut self.store.tables(), key);
    }

    /// Takes back a record that an earlier run stored, with the time since then; `None`: not known, and
    /// lifetimes, of messages and of the session on the server, go on where they stood. Before anything else is done with the session, in any order.
    ///
    /// What was restored is held: the server's session is resumed, and operations keep their tokens. If the
    /// server has lost the session, `Config::on_session_lost` says what becomes of them. O(length); with the
    /// first command, input or output that follows, everything is put in order at once, O(n · log n), and
    /// until then questions are answered as by a new session.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use mqtt_session::proto::{Qos, TopicName};
    /// use mqtt_session::{Command, Config, Durability, Event, HeapSession, Key, Message};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut config = Config::new(1);
    /// config.durability = Durability::BeforeSend;
    /// let mut journal: BTreeMap<Key, Vec<u8>> = BTreeMap::new(); // a file, in earnest
    ///
    /// let mut session = HeapSession::new(config);
    /// let message = Message::new(TopicName::new("meter/7")?).qos(Qos::ExactlyOnce);
    /// let token = session.publish(&message, b"451".into())?;
    /// while let Some(command) = session.poll_command() {
    ///     let key = match command {
    ///         Command::Put { key, record } => {
    ///             journal.insert(key, record.chunks().concat());
    ///             key
    ///         }
    ///         Command::Delete { key } => {
    ///             journal.remove(&key);
    ///             key
    ///         }
    ///         _ => continue,
    ///     };
    ///     session.stored(key); // after the sync
    /// }
    /// assert!(matches!(session.poll_event(), Some(Event::Durable { token: safe }) if safe == token));
    /// drop(session); // a crash
    ///
    /// let mut session = HeapSession::new(config);
    /// for (key, record) in &journal {
    ///     session.restore(*key, record, None)?;
    /// }
    /// assert!(session.cancel(token)); // it waits again, under its old name
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the record cannot be taken for exactly what was stored; nothing of it is taken then.
    pub fn restore(&mut self, key: Key, record: &[u8], age: Option<Duration>) -> Result<(), RestoreError> {
        let store = &self.store;
        self.core.bind(|| store.capacity());
        while let Some((table, len)) = self.core.restore(&mut self.store.tables(), key, record, age)? {
            self.store.reserve(table, len);
        }
        Ok(())
    }

    // ---- outputs -----------------------------------------------------------------------------

    /// The next thing for the driver to carry out.
    #[must_use = "the session waits until the command is carried out"]
    pub fn poll_command(&mut self) -> Option<Command<'_>> {
        self.bind();
        Some(match self.core.poll_command(&mut self.store.tables())? {
            Give::Open { attempt, server } => Command::Open { attempt, server },
            Give::Close => Command::Close,
            Give::Put(key, head, slot) => Command::Put { key, record: self.store.view().record(head, slot) },
            Give::PutSession(head) => {
                let name = self.core.assigned_client_id().unwrap_or_default();
                Command::Put { key: Key::SESSION, record: Record::of(head, name.as_bytes()) }
            }
            Give::Delete(key) => Command::Delete { key },
        })
    }

    /// The next thing that time, the transport or a command did. `receive` tells what packets did.
    pub fn poll_event(&mut self) -> Option<Event<'static>> {
        self.core.poll_event(&mut self.store.tables())
    }

    /// When `handle_timeout` is to be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.core.poll_timeout()
    }

    /// The bytes to send now. Acknowledgements of messages that `receive` told leave with it.
    pub fn outgoing(&mut self, now: Instant) -> Outgoing<'_, S> {
        self.bind();
        self.pump(now);
        Outgoing::new(self, now)
    }

    // ---- questions ---------------------------------------------------------------------------

    /// The topic of a message that arrived, also where the server sent only an alias for it.
    ///
    /// To be asked before the next `receive` or `closed`: the server may then let the alias stand for another
    /// topic. What is asked too late is empty, which no topic is, and never another one's name. O(1).
    ///
    /// ```
    /// use mqtt_session::{Event, Session, Storage};
    ///
    /// fn show<S: Storage>(session: &Session<S>, event: &Event<'_>) {
    ///     if let Event::Message(message) = event {
    ///         println!("{}: {} bytes", session.topic(message), message.payload.len());
    ///     }
    /// }
    /// ```
    pub fn topic<'a>(&'a self, message: &Received<'a>) -> &'a str {
        self.core.topic(&self.store.view(), message.topic)
    }

    /// The Server Reference to dial in place of the driver's own server, `host` or `host:port` as the server
    /// gave it; only with `Config::redirects`. To be asked when `Command::Open` comes, which names the server
    /// that sent here: security (TLS) and credentials are to be that server's. It stays the same until the
    /// connection ends. O(length).
    pub fn redirect(&self) -> Option<&str> {
        self.core.redirect(self.store.view().arena)
    }

    /// Bytes the packet at the front of the input has in all; 0: unknown.
    pub fn read_hint(&self) -> usize {
        self.core.read_hint()
    }

    /// Whether the next packet could be taken. False: an acknowledgement it may need has no room until
    /// owed ones were sent, or (`AckMode::Manual` on 3.x) the application has to acknowledge a message first;
    /// read no more, flush, then give `receive` again what is there.
    pub fn wants_read(&self) -> bool {
        self.core.wants_read()
    }

    /// Whether a message published now would lie in the outgoing buffer after the next `outgoing`: nothing waits
    /// before it, the server's quota and the outgoing buffer have room. It is a promise for a message whose
    /// topic, properties and payload together have at most a quarter of `Config::wire_bytes`, and no more
    /// than 4,096 bytes, and for which `Config::queue_bytes` has room. A larger one may wait for the
    /// transport. False does not mean that `publish` would refuse: it keeps what has to wait. O(1).
    pub fn can_publish(&self, qos: Qos) -> bool {
        self.core.can_publish(qos)
    }

    /// Whether the server has accepted the connection and it has not ended.
    pub fn is_connected(&self) -> bool {
        self.core.is_connected()
    }

    /// The client identifier the server of this run assigned, where the options gave none (5.0) and it has at most
    /// 64 bytes. A later run with the same journal, whose options give none either, goes on under it
    /// (`Config::durability`); without a journal, give it in the options of the run that is to resume.
    ///
    /// ```
    /// # use mqtt_session::{Config, ConnectOptions, HeapSession, Instant};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let options = ConnectOptions::new("");
    /// let mut session = HeapSession::new(Config::new(1));
    /// session.start(&options)?;
    /// # while session.poll_event().is_some() {}
    /// # let _ = session.poll_command();
    /// session.opened(&options, Instant::ZERO);
    /// let mut input = &b"\x20\x09\x00\x00\x06\x12\x00\x03abc"[..]; // CONNACK, from the network
    /// while session.receive(&mut input, Instant::ZERO).is_some() {}
    /// assert_eq!(session.assigned_client_id(), Some("abc"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn assigned_client_id(&self) -> Option<&str> {
        self.core.assigned_client_id()
    }

    /// Operations accepted and not ended.
    pub fn pending(&self) -> u32 {
        self.core.open()
    }

    /// What the server allows; while not connected, the widest.
    pub fn server(&self) -> &ServerLimits {
        self.core.limits()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    // ---- for the layers on top ---------------------------------------------------------------

    /// Whether an operation is under way, or a subscription that is made again when it is lost.
    pub(crate) fn keeps(&self, token: Token) -> bool {
        self.core.keeps(&self.store.view(), token)
    }

    // ---- for Outgoing ------------------------------------------------------------------------

    #[inline]
    fn bind(&mut self) {
        if !self.core.is_ready() {
            self.make_ready();
        }
    }

    #[cold]
    fn make_ready(&mut self) {
        let store = &self.store;
        self.core.bind(|| store.capacity());
        self.core.finish_restore(&mut self.store.tables());
    }

    pub(crate) fn pump(&mut self, now: Instant) {
        until_roomy!(self, self.core.pump(&mut self.store.tables(), now));
    }

    pub(crate) fn chunks(&self) -> [&[u8]; 3] {
        self.core.chunks(&self.store.view())
    }

    pub(crate) fn advance(&mut self, count: usize, now: Instant) {
        self.core.advance(&mut self.store.tables(), count, now);
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        self.core.has_outgoing()
    }
}
