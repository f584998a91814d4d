//! A connection driven by the caller's thread.

use core::fmt;
use core::task::Waker;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use mqtt_adapter_core::session::HeapSession;
use mqtt_adapter_core::{
    AckError, AckToken, AuthError, ConnectError, Driver, Event, Flush, Input, Options, Properties,
    ProvideError, Publish, PublishError, Qos, ReasonCode, Request, RequestError, ResponseError, Sink, Stats,
    Stop, StopError, Subscription, Token, TopicFilter, subscription, with_payload,
};

use crate::net::{Dialled, Link, Net};

/// Time after which input, output and time get another look, although events still wait.
const ABSENCE: Duration = Duration::from_millis(10);

/// A client that lives on the caller's thread: nothing happens outside of its methods, and there is no other
/// thread, but for the one that writes a [`Journal`](crate::Journal).
///
/// [`poll`](Self::poll) does all the work and returns one event at a time; it must be called again and again, or pings
/// and reconnects do not happen. Names of hosts are resolved in it, and the hook before an attempt and a connector
/// are called in it, which blocks as long as they do and counts against the attempt's time
/// ([`Config::dial_timeout`](crate::Config::dial_timeout)). To do other things meanwhile, give it a short time-out, or
/// use [`Client`](crate::Client).
///
/// # In an event loop of your own
///
/// On Unix a connection is a descriptor (`AsFd`, `AsRawFd`), and on every system it has a [`deadline`](Self::deadline). Wait until the
/// descriptor is *readable* (nothing else is to be asked for, also while it writes), or until the deadline; then poll with
/// no time until there is no event. The descriptor is the same for the life of the connection, whatever becomes of
/// its sockets.
///
/// ```no_run
/// # fn wait_for(_: std::os::fd::BorrowedFd<'_>, _: Option<std::time::Duration>) {}
/// use std::os::fd::AsFd;
/// use std::time::{Duration, Instant};
/// use mqtt_adapter_std::{Connection, Options};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut connection = Connection::new(Options::new("mqtt://localhost")?)?;
/// loop {
///     while let Some(event) = connection.poll(Some(Duration::ZERO))? {
///         println!("{event:?}");
///     }
///     let time = connection.deadline().map(|at| at.saturating_duration_since(Instant::now()));
///     wait_for(connection.as_fd(), time); // poll, epoll, kqueue, with whatever else you wait for
/// }
/// # }
/// ```
///
/// # Alone
///
/// ```no_run
/// use mqtt_adapter_std::{Connection, Event, Options, Publish, Qos};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut connection = Connection::new(Options::new("mqtt://localhost")?)?;
/// connection.subscribe("lamp/+/set", Qos::AtLeastOnce)?;
/// while let Some(event) = connection.poll(None)? {
///     match event {
///         Event::Message(message) => {
///             let state = message.topic().replace("/set", "/state");
///             connection.publish(Publish::new(&state, message.payload()).qos(Qos::AtLeastOnce))?;
///         }
///         Event::Disconnected(end) => eprintln!("{end}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Connection {
    driver: Driver<Link>,
    input: Input,
    net: Net,
    events: Queue,
    /// When the last turn was, and until when it allows to wait.
    turned: Instant,
    deadline: Option<Instant>,
    /// Commands were given since.
    touched: bool,
    /// The link is to be read: its generation, and the hint for the buffer.
    reading: Option<(u64, usize)>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    bytes: usize,
    limit: usize,
}

impl Queue {
    fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes = self.bytes.saturating_sub(event.size());
        Some(event)
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

impl Sink for Queue {
    fn ready(&self) -> bool {
        self.bytes < self.limit
    }

    fn event(&mut self, event: Event) {
        self.bytes += event.size();
        self.events.push_back(event);
    }
}

impl Connection {
    /// A client that connects when it is polled.
    ///
    /// # Errors
    /// [`ConnectError::Options`], [`ConnectError::Will`], or [`ConnectError::Io`] where the system gives no means to
    /// wait for sockets.
    pub fn new(options: Options) -> Result<Self, ConnectError> {
        let limit = options.inbox_bytes();
        let driver = Driver::new(options)?;
        let mut net = Net::new().map_err(ConnectError::Io)?;
        if driver.has_journal() {
            driver.set_waker(&Waker::from(net.waker().map_err(ConnectError::Io)?));
        }
        Ok(Self {
            driver,
            input: Input::new(),
            net,
            events: Queue { limit, ..Queue::default() },
            turned: Instant::now(),
            deadline: None,
            touched: true,
            reading: None,
        })
    }

    /// The next event, waiting for it at most this long; `None`: as long as it takes. `Ok(None)`: the time is
    /// over.
    ///
    /// # Errors
    /// [`PollError::Stopped`] after [`Event::Stopped`]; [`PollError::Io`] if the system cannot wait for sockets.
    pub fn poll(&mut self, timeout: Option<Duration>) -> Result<Option<Event>, PollError> {
        let start = Instant::now();
        let mut now = start;
        loop {
            let late = now.saturating_duration_since(self.turned) >= ABSENCE;
            if !late && let Some(event) = self.events.pop() {
                return Ok(Some(event));
            }
            if self.driver.is_stopped() && self.events.is_empty() {
                return Err(PollError::Stopped);
            }
            let wait = if late || self.touched || !self.events.is_empty() {
                Some(Duration::ZERO)
            } else {
                // A time beyond what the clock can say is no limit.
                let until = timeout.and_then(|timeout| start.checked_add(timeout));
                let until = match (until, self.deadline) {
                    (Some(until), Some(deadline)) => Some(until.min(deadline)),
                    (until, deadline) => until.or(deadline),
                };
                until.map(|until| until.saturating_duration_since(now))
            };
            let idle = !late && !self.touched;
            // A turn that commands make necessary needs no look at the socket before.
            if !self.touched || late {
                self.wait(wait)?;
                self.read();
            }
            self.turn();
            now = self.turned;
            let over = timeout.is_some_and(|timeout| now.saturating_duration_since(start) >= timeout);
            if over && idle && self.events.is_empty() && !self.driver.is_stopped() {
                return Ok(None);
            }
        }
    }

    /// When [`poll`](Self::poll) is to be called at the latest, for who waits in another way than in it: for the next ping,
    /// the next attempt to connect, the end of one under way. In the past: at once, because an event waits or a command
    /// was given. `None`: not before the descriptor is readable. It changes with every call that takes `&mut self`.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let waits = !self.events.is_empty() || self.touched;
        if waits || (self.reading.is_some() && self.net.readable().is_some()) {
            return Some(self.turned);
        }
        [self.deadline, self.net.deadline()].into_iter().flatten().min()
    }

    /// Everything that can be done without waiting.
    fn turn(&mut self) {
        let mut turn = self.driver.turn(&mut self.input, &mut self.events);
        self.net.obey(&mut turn, self.driver.options());
        self.turned = Instant::now();
        self.touched = false;
        if let Some(rest) = self.input.rest() {
            turn.deadline = Some(turn.deadline.map_or(rest, |deadline| deadline.min(rest)));
        }
        self.deadline = turn.deadline.and_then(|deadline| self.turned.checked_add(deadline));
        self.reading = turn.read.then_some((turn.generation, turn.hint));
    }

    /// Reads once if there is something.
    fn read(&mut self) {
        let Some((generation, hint)) = self.reading else { return };
        let Some(link) = self.net.readable() else { return };
        match self.input.read_from(&*link, hint) {
            Ok(0) => self.driver.lost(generation, None),
            Ok(_) => {
                if self.net.emptied(self.input.is_filled()) {
                    self.net.drained();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.net.drained(),
            Err(error) => self.driver.lost(generation, Some(&error)),
        }
    }

    /// Waits for the socket, unless it is known to have something to read.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), PollError> {
        if self.reading.is_some() && self.net.readable().is_some() {
            // A socket that never runs dry must not hide that it takes bytes again.
            if !self.driver.is_flushed() && self.net.wait(Some(Duration::ZERO)).map_err(PollError::Io)? {
                self.driver.writable();
            }
            return Ok(());
        }
        if self.net.wait(timeout).map_err(PollError::Io)? {
            self.driver.writable();
        }
        match self.net.dialled() {
            Some(Dialled::Link(link)) => {
                let options = Arc::clone(self.driver.options());
                if self.driver.opened_with(Arc::clone(&link), self.net.attempt().unwrap_or(&options)) {
                    self.net.adopt(self.driver.generation(), link);
                }
            }
            Some(Dialled::Failed(cause)) => self.driver.dial_failed(Some(cause)),
            None => {}
        }
        Ok(())
    }

    /// The driver, for a command that the next turn carries out.
    const fn touch(&mut self) -> &mut Driver<Link> {
        self.touched = true;
        &mut self.driver
    }

    /// Takes a message over; it leaves at once or, in a burst, gathered with others and no later than with
    /// the next [`poll`](Self::poll). Never blocks. Its end is told as [`Event::Done`] (QoS 1 and 2).
    ///
    /// # Errors
    /// [`PublishError`]; a full queue is told by [`PublishError::is_full`], and [`Event::Unblocked`] comes when
    /// there is room.
    pub fn publish(&mut self, mut publish: Publish<'_>) -> Result<Token, PublishError> {
        let taken = match self.driver.prepare(&mut publish, None) {
            Ok(()) => self.driver.publish(&mut publish),
            Err(error) => Err(error),
        };
        match taken {
            Ok(token) => {
                // What is gathered leaves with the next poll.
                let flushed = self.driver.flush_or_gather();
                self.touched |=
                    flushed == Flush::Gathered || self.driver.is_due_earlier() || self.driver.has_journal();
                Ok(token)
            }
            Err(error) => Err(with_payload(error, publish)),
        }
    }

    /// Takes over a message of which the payload, of `len` bytes, is given piece by piece while it is sent, so that it may
    /// be larger than memory; what `publish` has as its payload is not looked at. [`Event::PayloadWanted`] asks for it,
    /// from its first byte again after a reconnect; [`provide`](Self::provide) gives it. [`Event::Done`] tells its end.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let mut connection = mqtt_adapter_std::Connection::new(mqtt_adapter_std::Options::new("mqtt://localhost")?)?;
    /// use mqtt_adapter_std::{Event, Publish, Qos};
    ///
    /// let film = vec![7; 1_000_000]; // or a file
    /// let sent = connection.publish_chunked(Publish::new("films", &[]).qos(Qos::AtLeastOnce), 1_000_000)?;
    /// while let Some(event) = connection.poll(None)? {
    ///     match event {
    ///         Event::PayloadWanted { token, offset } if token == sent => {
    ///             // What is not taken now is asked for when there is room.
    ///             let _taken = connection.provide(token, offset, &film[offset as usize..]);
    ///         }
    ///         Event::Done { token, .. } if token == sent => break,
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn publish_chunked(&mut self, mut publish: Publish<'_>, len: u32) -> Result<Token, PublishError> {
        self.driver.prepare(&mut publish, Some(len))?;
        self.touch().publish_chunked(&publish, len)
    }

    /// Gives bytes of a payload that is asked for, from this place on; how many were taken. For the rest there is
    /// [`Event::PayloadWanted`] again when there is room. A source that is silent for
    /// [`Config::source_timeout`](crate::Config::source_timeout) costs the connection.
    ///
    /// # Errors
    /// [`ProvideError`]: they are not what is wanted now; it is asked again, or has ended.
    pub fn provide(&mut self, token: Token, offset: u32, bytes: &[u8]) -> Result<usize, ProvideError> {
        self.touch().session_mut().provide(token, offset, bytes)
    }

    /// Asks (5.0): publishes the message with a Response Topic and Correlation Data of its own
    /// ([`Options::with_response_topic`](crate::Options::with_response_topic)). [`Event::Response`] brings the message
    /// that answers it, or [`Event::NoResponse`] why there is none.
    ///
    /// # Errors
    /// [`ResponseError`].
    pub fn request(&mut self, mut publish: Publish<'_>, timeout: Duration) -> Result<Request, ResponseError> {
        self.driver.prepare(&mut publish, None)?;
        self.touch().request(&mut publish, timeout)
    }

    /// Asks for a subscription; the answer is told as [`Event::Done`] with
    /// [`Outcome::Granted`](crate::Outcome::Granted).
    ///
    /// # Errors
    /// [`RequestError::Filter`], [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<Token, RequestError> {
        self.subscribe_many(&[subscription(filter, qos)?], Properties::EMPTY)
    }

    /// Asks for several subscriptions in one packet.
    ///
    /// # Errors
    /// [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn subscribe_many(
        &mut self,
        filters: &[Subscription<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, RequestError> {
        self.touch().subscribe(filters, properties)
    }

    /// Asks to end a subscription.
    ///
    /// # Errors
    /// [`RequestError::Filter`], [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn unsubscribe(&mut self, filter: &str) -> Result<Token, RequestError> {
        let filter = TopicFilter::new(filter).map_err(RequestError::Filter)?;
        self.unsubscribe_many(&[filter], Properties::EMPTY)
    }

    /// Asks to end several subscriptions in one packet.
    ///
    /// # Errors
    /// [`RequestError::Rejected`] or [`RequestError::Stopped`].
    pub fn unsubscribe_many(
        &mut self,
        filters: &[TopicFilter<'_>],
        properties: Properties<'_>,
    ) -> Result<Token, RequestError> {
        self.touch().unsubscribe(filters, properties)
    }

    /// Acknowledges a message of [`AckMode::Manual`](crate::AckMode::Manual), in any order. `properties` explain it (5.0): a Reason
    /// String, User Properties; what is too much for the server is left out.
    ///
    /// # Errors
    /// [`AckError::Stale`] after a reconnect, [`AckError::InvalidReason`], [`AckError::Invalid`].
    pub fn acknowledge(
        &mut self,
        ack: AckToken,
        reason: ReasonCode,
        properties: Properties<'_>,
    ) -> Result<(), AckError> {
        self.touch().session_mut().acknowledge(ack, reason, properties)
    }

    /// Sends a step of an enhanced authentication (5.0): 0x18 answers an [`Event::Auth`] that asked for it, 0x19 begins a
    /// re-authentication while connected. The properties repeat the Authentication Method of
    /// [`Options::with_properties`](crate::Options::with_properties).
    ///
    /// # Errors
    /// [`AuthError`]: it is not the client's turn, the method is another, or there is no room.
    pub fn authenticate(&mut self, reason: ReasonCode, properties: Properties<'_>) -> Result<(), AuthError> {
        self.touch().authenticate(reason, properties)
    }

    /// Begins to authenticate again (5.0), with a new [`Authenticator`](crate::Authenticator) of
    /// [`Options::with_authenticator`](crate::Options::with_authenticator).
    ///
    /// # Errors
    /// [`AuthError`]: it is not the client's turn, there is no room, or no authenticator.
    pub fn reauthenticate(&mut self) -> Result<(), AuthError> {
        self.touch().reauthenticate()
    }

    /// Takes an operation back; false if something of it was sent already. If it is true, [`Event::Done`] with
    /// [`Outcome::Cancelled`](crate::Outcome::Cancelled) follows.
    pub fn cancel(&mut self, token: Token) -> bool {
        self.touch().session_mut().cancel(token)
    }

    /// Pings now, whatever the keep-alive interval says: after the computer slept, or the network changed.
    pub fn check_link(&mut self) {
        self.touch().session_mut().check_link();
    }

    /// Delivers what was accepted for at most this long, then disconnects. Poll on until [`Event::Stopped`]: the server has
    /// a second to close the connection when everything is written, so that it reads the last acknowledgements.
    pub fn stop(&mut self, within: Duration) {
        // A plain drain is never refused.
        let _ = self.stop_with(Stop::drain(within));
    }

    /// Disconnects as told. Poll on until [`Event::Stopped`].
    ///
    /// # Errors
    /// [`StopError`]: DISCONNECT cannot say what is asked for, and nothing happens.
    pub fn stop_with(&mut self, how: Stop<'_>) -> Result<(), StopError> {
        if !self.driver.is_stopping() {
            self.driver.options().before_disconnect();
        }
        self.touch().stop(how)
    }

    /// Whether a server has accepted the connection and it is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.driver.session().is_connected()
    }

    /// Operations accepted and not ended. To wait until nothing is left, poll until this is zero: QoS 1 and 2 have their
    /// answers then, and the system has the last byte of QoS 0.
    #[must_use]
    pub fn pending(&self) -> u32 {
        self.driver.session().pending()
    }

    /// The engine's counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.driver.session().stats()
    }

    /// The engine.
    #[must_use]
    pub const fn session(&self) -> &HeapSession {
        self.driver.session()
    }

    /// What the connection was made with.
    #[must_use]
    pub fn options(&self) -> &Options {
        self.driver.options()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("options", self.driver.options())
            .field("is_connected", &self.is_connected())
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

/// A descriptor that is readable when [`Connection::poll`] has something to do; see [`Connection`] and
/// [`Connection::deadline`].
#[cfg(unix)]
impl std::os::fd::AsRawFd for Connection {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.net.poll().as_raw_fd()
    }
}

/// As `AsRawFd`, for event loops that borrow what they wait for.
#[cfg(unix)]
impl std::os::fd::AsFd for Connection {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.net.poll().registry().as_fd()
    }
}

/// Why there is no further event.
#[derive(Debug)]
#[non_exhaustive]
pub enum PollError {
    /// [`Event::Stopped`] was returned; nothing more comes.
    Stopped,
    /// The system cannot wait for sockets.
    Io(io::Error),
}

impl fmt::Display for PollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("the connection is stopped: make a new one"),
            Self::Io(error) => write!(f, "cannot wait for sockets: {error}"),
        }
    }
}

impl core::error::Error for PollError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Stopped => None,
            Self::Io(error) => Some(error),
        }
    }
}
