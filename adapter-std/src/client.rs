//! A client that many threads share.

use core::fmt;
use core::task::Waker;
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use mqtt_adapter_core::{
    AckError, AckToken, AuthError, ConnectError, Event, Failed, Handle, Message, Options, Outcome,
    Properties, Publish, PublishError, Qos, ReasonCode, RecvError, RequestError, ResponseError, ServerLimits,
    Stats, Stop, StopError, Subscription, Token, TopicFilter, Watch, Worker, client, subscription,
    with_payload,
};

use crate::net::{Dialled, Link, Net};
use crate::wait::{block, block_for, call, call_for};

/// A handle of a client whose input and output happen on a thread of its own.
///
/// Clones are handles of the same client and may be used from any thread. When the last one goes, what was
/// accepted is delivered for at most [`Options::linger`], then the client disconnects and its thread ends; to wait for
/// that, call [`stop`](Self::stop). No lock is held while a call waits.
///
/// **The end of the process** waits for no thread: when `main` returns or the process exits, what was accepted may be
/// undelivered, and a server that got no DISCONNECT sends the will. Call [`stop`](Self::stop) before. The same goes for signals:
/// have the handler set a flag or write to a channel, and stop the client in the thread that looks there.
///
/// Messages wait in an inbox bounded by [`Options::inbox_bytes`]. When it is full the client stops
/// reading from the socket, so that the server is held back and no message is lost here; pings and
/// acknowledgements that are owed go out all the same. While a call waits for an answer of the server, reading goes
/// on over the bound, or the answer could not arrive: QoS 0 messages over the bound are then dropped,
/// and counted by [`dropped`](Self::dropped).
///
/// ```no_run
/// use std::time::Duration;
/// use mqtt_adapter_std::{Client, Options, Publish, Qos};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect(Options::new("mqtt://localhost")?)?;
/// client.subscribe("lamp/+/set", Qos::AtLeastOnce)?;
/// client.publish(Publish::new("lamp/7/set", "on").qos(Qos::AtLeastOnce))?.wait()?;
/// let message = client.recv().ok_or("stopped")?;
/// println!("{}: {:?}", message.topic(), message.payload());
/// client.stop(Duration::from_secs(5));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    handle: Handle<Link>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Client {
    /// Starts a client and waits until its first connection is up. One failed attempt for each server is an error,
    /// and nothing is left running; once the connection was up, a lost one is made again in the background.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(options: Options) -> Result<Self, ConnectError> {
        let client = Self::start(options)?;
        match call(|wait, context| client.handle.poll_first_connection(0, wait, context)) {
            Ok(()) => Ok(client),
            Err(error) => {
                client.stop(Duration::ZERO);
                Err(error)
            }
        }
    }

    /// Starts a client that connects, and connects again, in the background.
    ///
    /// # Errors
    /// [`ConnectError::Options`], [`ConnectError::Will`], or [`ConnectError::Io`] where the system gives no thread or no
    /// means to wait for sockets.
    pub fn start(options: Options) -> Result<Self, ConnectError> {
        let (handle, mut worker) = client(options)?;
        worker.keep_guard();
        let mut net = Net::new().map_err(ConnectError::Io)?;
        net.block_elsewhere().map_err(ConnectError::Io)?;
        let waker = net.waker().map_err(ConnectError::Io)?;
        worker.set_waker(&Waker::from(waker));
        let thread = thread::Builder::new()
            .name("mqtt-client".to_owned())
            .spawn(move || run(worker, net))
            .map_err(ConnectError::Io)?;
        Ok(Self { handle, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// The same client for who works for it: it does not keep it going, though a clone does.
    pub(crate) fn lend(&self) -> Self {
        Self { handle: self.handle.lend(), thread: Arc::clone(&self.thread) }
    }

    pub(crate) const fn inner(&self) -> &Handle<Link> {
        &self.handle
    }

    // Publishing

    /// Publishes. While the queue is full it waits for room; it does not wait for the server's answer: that
    /// is what the receipt is for.
    ///
    /// # Errors
    /// [`PublishError`], with the payload if it was an owned one.
    pub fn publish(&self, publish: Publish<'_>) -> Result<Receipt, PublishError> {
        let mut publish = self.prepared(publish)?;
        call(|wait, context| self.handle.poll_publish(&mut publish, wait, context)).map(Receipt)
    }

    /// Publishes; waits for room in the queue at most this long.
    ///
    /// # Errors
    /// [`PublishError::TimedOut`] and as [`publish`](Self::publish).
    pub fn publish_timeout(&self, publish: Publish<'_>, timeout: Duration) -> Result<Receipt, PublishError> {
        let mut publish = self.prepared(publish)?;
        match call_for(timeout, |wait, context| self.handle.poll_publish(&mut publish, wait, context)) {
            Some(result) => result.map(Receipt),
            None => Err(with_payload(PublishError::TimedOut { payload: None }, publish)),
        }
    }

    /// Publishes if there is room in the queue; never waits.
    ///
    /// # Errors
    /// [`PublishError`]; a full queue is told by [`PublishError::is_full`].
    pub fn try_publish(&self, publish: Publish<'_>) -> Result<Receipt, PublishError> {
        self.handle.try_publish(self.prepared(publish)?).map(Receipt)
    }

    /// The message as the hook before a publish leaves it.
    fn prepared<'p>(&self, mut publish: Publish<'p>) -> Result<Publish<'p>, PublishError> {
        match self.handle.prepare(&mut publish, None) {
            Ok(()) => Ok(publish),
            Err(error) => Err(with_payload(error, publish)),
        }
    }

    // Asking

    /// Asks, and waits for the response (5.0): publishes the message with a Response Topic and Correlation Data of its own
    /// ([`Options::with_response_topic`](crate::Options::with_response_topic)) and gives back the message that answers it.
    /// [`Message::reply`](crate::Message::reply) is the other side.
    ///
    /// # Errors
    /// [`ResponseError`].
    pub fn request(&self, publish: Publish<'_>, timeout: Duration) -> Result<Message, ResponseError> {
        let mut publish = self.prepared(publish)?;
        let mut ask = call(|wait, context| self.handle.poll_request(&mut publish, timeout, wait, context))?;
        block(|context| ask.poll_response(context))
    }

    // Subscribing

    /// Subscribes and waits for the server's answer: the quality of service it granted.
    ///
    /// # Errors
    /// [`RequestError`]; a refusing answer is [`RequestError::Refused`].
    pub fn subscribe(&self, filter: &str, qos: Qos) -> Result<ReasonCode, RequestError> {
        single(&self.subscribe_many(&[subscription(filter, qos)?], Properties::EMPTY)?)
    }

    /// Subscribes to several filters in one packet and waits for the server's answers, one for each filter in order,
    /// refusing ones included.
    ///
    /// # Errors
    /// [`RequestError`], if there was no answer.
    pub fn subscribe_many(
        &self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Vec<ReasonCode>, RequestError> {
        codes(
            call(|wait, context| self.handle.poll_subscribe(filters, properties, wait, context))
                .map(Receipt)?,
        )
    }

    /// Ends a subscription and waits for the server's answer. 3.x servers give none: success.
    ///
    /// # Errors
    /// [`RequestError`]; a refusing answer is [`RequestError::Refused`].
    pub fn unsubscribe(&self, filter: &str) -> Result<ReasonCode, RequestError> {
        let filter = TopicFilter::new(filter).map_err(RequestError::Filter)?;
        single(&self.unsubscribe_many(&[filter], Properties::EMPTY)?)
    }

    /// Ends several subscriptions in one packet and waits for the server's answers (none from a 3.x server).
    ///
    /// # Errors
    /// [`RequestError`], if there was no answer.
    pub fn unsubscribe_many(
        &self,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Vec<ReasonCode>, RequestError> {
        codes(
            call(|wait, context| self.handle.poll_unsubscribe(filters, properties, wait, context))
                .map(Receipt)?,
        )
    }

    /// Asks for subscriptions and does not wait; the receipt ends with
    /// [`Outcome::Granted`](crate::Outcome::Granted).
    ///
    /// # Errors
    /// [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn request_subscribe(
        &self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Receipt, RequestError> {
        self.handle.subscribe(filters, properties).map(Receipt)
    }

    /// Asks to end subscriptions and does not wait.
    ///
    /// # Errors
    /// [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn request_unsubscribe(
        &self,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Receipt, RequestError> {
        self.handle.unsubscribe(filters, properties).map(Receipt)
    }

    // Receiving

    /// The next message; waits for it. Each message is given to one caller only. `None`: the client has stopped and
    /// nothing is left.
    #[must_use]
    pub fn recv(&self) -> Option<Message> {
        call(|wait, context| self.handle.poll_recv(wait, context))
    }

    /// The next message; waits for it at most this long.
    ///
    /// # Errors
    /// [`RecvError::TimedOut`] or [`RecvError::Stopped`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Message, RecvError> {
        match call_for(timeout, |wait, context| self.handle.poll_recv(wait, context)) {
            Some(message) => message.ok_or(RecvError::Stopped),
            None => Err(RecvError::TimedOut),
        }
    }

    /// The next message, if one is waiting.
    ///
    /// # Errors
    /// [`RecvError::Empty`] or [`RecvError::Stopped`].
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        self.handle.try_recv()
    }

    /// The messages, one after another, until the client has stopped. The iterator is a handle: while it lives,
    /// the client does.
    #[must_use]
    pub fn messages(&self) -> Messages {
        Messages(self.clone())
    }

    /// Acknowledges a message of [`AckMode::Manual`](crate::AckMode::Manual), in any order. `properties` explain it (5.0): a Reason
    /// String, User Properties; what is too much for the server is left out.
    ///
    /// # Errors
    /// [`AckError::Stale`] after a reconnect, [`AckError::InvalidReason`], [`AckError::Invalid`].
    pub fn acknowledge(
        &self,
        ack: AckToken,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), AckError> {
        self.handle.acknowledge(ack, reason, properties)
    }

    /// Sends a step of an enhanced authentication (5.0): 0x18 answers an [`Event::Auth`] that asked for it, 0x19 begins a
    /// re-authentication while connected. The properties repeat the Authentication Method of
    /// [`Options::with_properties`](crate::Options::with_properties).
    ///
    /// # Errors
    /// [`AuthError`]: it is not the client's turn, the method is another, or there is no room.
    pub fn authenticate(&self, reason: ReasonCode, properties: Properties<'_>) -> Result<(), AuthError> {
        self.handle.authenticate(reason, properties)
    }

    /// Begins to authenticate again (5.0), with a new [`Authenticator`](crate::Authenticator) of
    /// [`Options::with_authenticator`](crate::Options::with_authenticator).
    ///
    /// # Errors
    /// [`AuthError`]: it is not the client's turn, there is no room, or no authenticator.
    pub fn reauthenticate(&self) -> Result<(), AuthError> {
        self.handle.reauthenticate()
    }

    // The connection

    /// The next connection event: everything but [`Event::Message`], [`Event::Done`] and [`Event::Unblocked`]. Waits
    /// for it at most this long (`None`: as long as it takes). `None`: the time is over, or the client has stopped and
    /// all were taken. Each event is given to one caller only; the newest 1,024 are kept.
    #[must_use]
    pub fn next_event(&self, timeout: Option<Duration>) -> Option<Event> {
        match timeout {
            None => call(|wait, context| self.handle.poll_event(wait, context)),
            Some(timeout) => {
                call_for(timeout, |wait, context| self.handle.poll_event(wait, context)).flatten()
            }
        }
    }

    /// Waits for the first connection. One failed attempt for each server is an error, though the client goes on
    /// trying; once the connection was up, this waits until it is up again.
    ///
    /// # Errors
    /// [`ConnectError::Failed`] or [`ConnectError::Stopped`].
    pub fn connected(&self) -> Result<(), ConnectError> {
        let since = self.handle.connections();
        call(|wait, context| self.handle.poll_first_connection(since, wait, context))
    }

    /// Waits until there is a connection, whatever number of attempts it takes, at most this long.
    ///
    /// # Errors
    /// [`ConnectError::TimedOut`]; [`ConnectError::Failed`] if the client has given up; [`ConnectError::Stopped`].
    pub fn connected_timeout(&self, timeout: Duration) -> Result<(), ConnectError> {
        let since = self.handle.connections();
        match call_for(timeout, |wait, context| self.handle.poll_connected(since, wait, context)) {
            Some(result) => result,
            None => Err(ConnectError::TimedOut { last: self.handle.last_disconnect() }),
        }
    }

    /// Whether a server has accepted the connection and it is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.handle.is_connected()
    }

    /// Pings now, whatever the keep-alive interval says: after the computer slept, or the network changed.
    pub fn check_link(&self) {
        self.handle.check_link();
    }

    // Operations

    /// Takes an operation back; false if something of it was sent already.
    #[must_use]
    pub fn cancel(&self, token: Token) -> bool {
        self.handle.cancel(token)
    }

    /// Operations accepted and not ended.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.handle.pending()
    }

    /// Waits until every accepted operation has ended.
    pub fn idle(&self) {
        call(|wait, context| self.handle.poll_idle(wait, context));
    }

    /// As [`idle`](Self::idle), at most this long; false: the time is over.
    #[must_use]
    pub fn idle_timeout(&self, timeout: Duration) -> bool {
        call_for(timeout, |wait, context| self.handle.poll_idle(wait, context)).is_some()
    }

    // Questions

    /// The engine's counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.handle.stats()
    }

    /// QoS 0 messages dropped because the inbox was full while a call waited for the server.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.handle.dropped()
    }

    /// What the server allows on the present connection.
    #[must_use]
    pub fn server_limits(&self) -> ServerLimits {
        self.handle.server_limits()
    }

    /// What the client was made with.
    #[must_use]
    pub fn options(&self) -> &Options {
        self.handle.options()
    }

    // The end

    /// Refuses new work, delivers what was accepted for at most this long, disconnects and waits until the thread has
    /// ended: how many operations were left. Messages that wait can still be taken. The server has a second to close the
    /// connection when everything is written, so that it reads the last acknowledgements.
    pub fn stop(&self, within: Duration) -> u32 {
        // A plain drain is never refused.
        self.stop_with(Stop::drain(within)).unwrap_or(0)
    }

    /// As [`stop`](Self::stop), with all that can be said about it.
    ///
    /// # Errors
    /// [`StopError`]: DISCONNECT cannot say what is asked for, and nothing happens.
    pub fn stop_with(&self, how: Stop<'_>) -> Result<u32, StopError> {
        self.handle.stop(how)?;
        let left = call(|wait, context| self.handle.poll_stopped(wait, context));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has nothing to say; and it does not panic.
            let _ = thread.join();
        }
        Ok(left)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("options", self.options())
            .field("is_connected", &self.is_connected())
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

fn codes(receipt: Receipt) -> Result<Vec<ReasonCode>, RequestError> {
    match receipt.wait() {
        Ok(Outcome::Granted(codes)) => Ok(codes),
        Ok(_) => Ok(Vec::new()),
        Err(Failed(Outcome::Stopped)) => Err(RequestError::Stopped),
        Err(Failed(Outcome::Refused(code))) => Err(RequestError::Refused(code)),
        Err(failed) => Err(RequestError::Failed(failed)),
    }
}

fn single(codes: &[ReasonCode]) -> Result<ReasonCode, RequestError> {
    match codes.first() {
        Some(code) if code.is_error() => Err(RequestError::Refused(*code)),
        Some(code) => Ok(*code),
        None => Ok(ReasonCode::Success),
    }
}

/// The end of one operation, to be waited for. Dropping it loses nothing but the answer.
#[derive(Debug)]
pub struct Receipt(Watch<Link>);

impl Receipt {
    pub(crate) fn into_inner(self) -> Watch<Link> {
        self.0
    }

    /// The operation; `None`: a QoS 0 message without receipt.
    #[must_use]
    pub const fn token(&self) -> Option<Token> {
        self.0.token()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_done()
    }

    /// Waits for the end, across reconnects. A QoS 0 message without receipt has ended with its acceptance.
    ///
    /// # Errors
    /// [`Failed`]: the operation did not do what it was for.
    pub fn wait(mut self) -> Result<Outcome, Failed> {
        block(|context| self.0.poll_outcome(context)).into_result()
    }

    /// Waits until the message is in the journal, so that a crash does not lose it. What has ended well counts too: then
    /// the server has it. Without a journal, and at QoS 0, that is what it waits for.
    ///
    /// # Errors
    /// [`Failed`]: it has ended, and did not do what it was for.
    pub fn durable(&mut self) -> Result<(), Failed> {
        let result = block(|context| self.0.poll_durable(context));
        self.0.rest();
        result
    }

    /// As [`durable`](Self::durable), at most this long; `None`: not yet.
    pub fn durable_timeout(&mut self, timeout: Duration) -> Option<Result<(), Failed>> {
        let result = block_for(timeout, |context| self.0.poll_durable(context));
        self.0.rest();
        result
    }

    /// Waits for the end at most this long; `None`: not yet. May be asked again, also after the end.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<Outcome, Failed>> {
        match block_for(timeout, |context| self.0.poll_outcome(context)) {
            Some(outcome) => Some(outcome.into_result()),
            None => {
                self.0.rest();
                None
            }
        }
    }
}

/// The messages of a client; see [`Client::messages`].
#[derive(Debug)]
pub struct Messages(Client);

impl Iterator for Messages {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.0.recv()
    }
}

/// The client's thread.
fn run(mut worker: Worker<Link>, mut net: Net) {
    let options = Arc::clone(worker.options());
    let mut busy = false;
    loop {
        let mut turn = worker.turn(busy);
        net.obey(&mut turn, &options);
        if turn.stopped {
            return;
        }
        let mut link = if turn.read { net.readable() } else { None };
        if link.is_some() && turn.blocked {
            // A socket that never runs dry must not hide that it takes bytes again.
            match net.wait(Some(Duration::ZERO)) {
                Ok(false) => {}
                Ok(true) => worker.writable(),
                Err(_) => return,
            }
        }
        if link.is_none() {
            if busy {
                // Who published during the last turn relies on another one.
                busy = false;
                continue;
            }
            match net.wait(turn.deadline) {
                Ok(false) => {}
                Ok(true) => worker.writable(),
                // Without means to wait there is no client: dropping the worker tells everybody.
                Err(_) => return,
            }
            match net.dialled() {
                Some(Dialled::Link(link)) => {
                    let opened = worker.opened_with(Arc::clone(&link), net.attempt().unwrap_or(&options));
                    if let Some(generation) = opened {
                        net.adopt(generation, link);
                    }
                }
                Some(Dialled::Failed(cause)) => worker.dial_failed(Some(cause)),
                None => {}
            }
            link = if turn.read { net.readable() } else { None };
        }
        if let Some(link) = link {
            match worker.read(&turn, &link) {
                Ok(0) => worker.lost(turn.generation, None),
                Ok(_) => {
                    if net.emptied(worker.is_filled()) {
                        net.drained();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => net.drained(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => worker.lost(turn.generation, Some(&error)),
            }
        }
        busy = net.readable().is_some();
    }
}
