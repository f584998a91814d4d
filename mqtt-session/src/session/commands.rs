//! What the application wants.

use mqtt_proto::{Auth, Properties, ReasonCode, Subscription, TopicFilter};

use super::Session;
use crate::engine::{Accepted, Body, Filters, Provided};
use crate::error::{
    AckError, AuthError, ProvideError, PublishError, Refused, StartError, StopError, SubscribeError,
};
use crate::options::{ConnectOptions, Message, Stop};
use crate::storage::Storage;
use crate::token::{AckToken, Token};

impl<S: Storage> Session<S> {
    /// Begins to connect, and to connect again whenever the connection is lost.
    ///
    /// # Errors
    /// When the session runs already, or no CONNECT can be made of the options.
    pub fn start(&mut self, options: &ConnectOptions<'_>) -> Result<(), StartError> {
        tape!(self, tape => tape.start(options));
        self.bind();
        let result = self.core.start(&mut self.store.tables(), options);
        tape!(self, tape, after => tape.outcome(&result, after));
        result
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
        tape!(self, tape => tape.stop(&how));
        let result = self.end(how);
        tape!(self, tape, after => tape.outcome(&result, after));
        result
    }

    fn end(&mut self, how: Stop<'_>) -> Result<(), StopError> {
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
        tape!(self, tape => tape.publish(message, payload.as_ref(), S::can_share(&payload)));
        let result = self.accept(message, payload);
        tape!(self, tape, after => tape.outcome(&result.as_ref().map_err(|refused| refused.reason), after));
        result
    }

    fn accept<'p>(
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
        tape!(self, tape => tape.publish_chunked(message, len));
        let result = self.accept_chunked(message, len);
        tape!(self, tape, after => tape.outcome(&result, after));
        result
    }

    fn accept_chunked(&mut self, message: &Message<'_>, len: u32) -> Result<Token, PublishError> {
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
        tape!(self, tape => tape.provide(token, offset, bytes));
        let result = self.take_piece(token, offset, bytes);
        tape!(self, tape, after => tape.outcome(&result, after));
        result
    }

    fn take_piece(&mut self, token: Token, offset: u32, bytes: &[u8]) -> Result<usize, ProvideError> {
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
        tape!(self, tape => tape.request(filters, properties));
        let result = self.accept_request(filters, properties);
        tape!(self, tape, after => tape.outcome(&result, after));
        result
    }

    fn accept_request(
        &mut self,
        filters: Filters<'_>,
        properties: Properties<'_>,
    ) -> Result<Token, SubscribeError> {
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
        tape!(self, tape => tape.acknowledge(ack, reason, properties));
        let result = self.acknowledge_with(ack, reason, properties);
        tape!(self, tape, after => tape.outcome(&result, after));
        result
    }

    fn acknowledge_with(
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
        tape!(self, tape => tape.authenticate(auth));
        let result = self.authenticate_with(auth);
        tape!(self, tape, after => tape.outcome(&result, after));
        result
    }

    fn authenticate_with(&mut self, auth: &Auth<'_>) -> Result<(), AuthError> {
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
        tape!(self, tape => tape.cancel(token));
        self.bind();
        let done = self.core.cancel(&mut self.store.tables(), token);
        tape!(self, tape, after => tape.outcome(&Ok::<_, ()>(done), after));
        done
    }

    /// Sends a PINGREQ now and expects an answer in time: after a suspend, or a change of network.
    pub fn check_link(&mut self) {
        tape!(self, tape => tape.check_link());
        self.core.check_link();
        tape!(self, tape, after => tape.done(after));
    }

    /// Tells that the driver keeps input from the session, because the application is slow. Pings go
    /// out as always, but no answer is expected while nothing is read. Ends with the connection.
    pub fn hold_input(&mut self, held: bool) {
        tape!(self, tape => tape.hold_input(held));
        self.core.hold_input(held);
        tape!(self, tape, after => tape.done(after));
    }
}
